"""The loaders of docs/export.md, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from shared.data import images
from shared.errors import Offline
from shared.export.exporting import export
from shared.inference import Runtime

PAGE = Path(__file__).resolve().parents[3] / "docs" / "export.md"


def loader(word: str) -> str:
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S) if word in c)
    return str(code)


def run(python: str, code: str, folder: Path, picture: Path) -> tuple[str, float, float]:
    (folder / "photograph.jpg").write_bytes(picture.read_bytes())
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    label, probability, novelty = done.stdout.strip().splitlines()[-1].split()
    return label, float(probability), float(novelty)


@pytest.fixture
def photograph(pictures: Path, tmp_path: Path) -> Path:
    file = tmp_path / "some.jpg"
    picture = cv2.imread(str(sorted(pictures.rglob("*.png"))[7]))
    cv2.imwrite(str(file), cv2.resize(picture, (150, 110), interpolation=cv2.INTER_CUBIC))
    return file


@pytest.mark.parametrize(("target", "word"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_the_loader_on_the_page_gives_the_bundles_answer(
    bundle: Path, photograph: Path, tmp_path: Path, target: str, word: str
) -> None:
    pytest.importorskip(word, reason=f"{word} is not installed")
    export(bundle, target, tmp_path / "out", say=lambda _: None)
    expected = Runtime.open(bundle).predict([images.read(photograph)])
    label, probability, novelty = run(
        sys.executable, loader(f"import json, numpy as np, {word}"), tmp_path / "out", photograph
    )
    assert label == Runtime.open(bundle).labels[expected.probabilities[0].argmax()]
    assert abs(probability - expected.probabilities[0].max()) < 1e-3 and abs(novelty - expected.novelty[0]) < 1e-2


@pytest.mark.long
def test_tflite_is_converted_in_its_own_environment_and_answers_as_the_bundle(
    bundle: Path, pictures: Path, photograph: Path, tmp_path: Path
) -> None:
    from shared.export.targets import tflite

    try:
        python = tflite.environment(lambda _: None)
    except Offline as error:
        pytest.skip(str(error))
    facts = export(bundle, "tflite", tmp_path / "out", source=pictures, most=20, say=lambda _: None)
    assert facts["own_runtime"] and facts["images"]["flips"] == []
    assert facts["images"]["probability"]["largest"] < 1e-3
    expected = Runtime.open(bundle).predict([images.read(photograph)])
    label, probability, _ = run(str(python), loader("ai_edge_litert"), tmp_path / "out", photograph)
    assert label == Runtime.open(bundle).labels[expected.probabilities[0].argmax()]
    assert abs(probability - expected.probabilities[0].max()) < 1e-3


def test_without_a_package_index_the_reason_is_one_sentence_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.export.targets import tflite

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Offline, match=r"cannot be installed .*connect to a package index once"):
        tflite.environment(lambda _: None)
    assert not list((tmp_path / "loupe").glob("litert-*"))
