import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from shared.data import images
from shared.errors import BundleError, ExportError, LoupeError
from shared.export import certificate, tensorrt_rules
from shared.export.certificate import Limits, Outputs
from shared.export.exporting import export
from shared.export.targets import onnx_file
from shared.inference import Runtime
from shared.inference import bundle as bundles

onnx = pytest.importorskip("onnx", reason="the train extra is not installed")


def quiet(_: str) -> None:
    return None


def openvino_bridge(folder: Path, pictures: list[np.ndarray]) -> np.ndarray:
    """Probabilities by OpenVINO from the exported file alone, as docs/export.md says."""
    ov = pytest.importorskip("openvino", reason="the openvino extra is not installed")
    model = ov.Core().compile_model(str(folder / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([model({"image": picture[None]})["probabilities"] for picture in pictures])


def test_openvino_gives_the_bundles_answers_for_pictures_of_any_size(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    facts = export(bundle, "openvino", tmp_path / "ir", source=pictures, most=30, say=quiet)
    assert facts["own_runtime"] and facts["images"]["n"] == 30 and facts["golden"]["n"] == 4
    assert facts["images"]["probability"]["largest"] < 1e-4 and facts["images"]["flips"] == []
    rng = np.random.default_rng(2)
    odd = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((33, 200), (300, 220), (9, 7))]
    expected = Runtime.open(bundle).predict(odd).probabilities
    assert np.abs(openvino_bridge(tmp_path / "ir", odd) - expected).max() < 1e-3


def test_an_int8_bundle_is_computed_in_int8_by_openvino(int8_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    wide = ["probability=1", "apart=1", "flips=1", "golden_flips=4"]
    facts = export(int8_bundle, "openvino", tmp_path / "ir", overrides=wide, say=quiet)
    assert facts["int8"] and facts["convolutions_in_int8"] >= 0.9 * facts["convolutions"] > 10
    assert facts["size_bytes"] < 0.5 * (int8_bundle.parent / "float.onnx").stat().st_size


def test_openvinos_own_reading_of_the_resize_would_be_refused(
    bundle: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate sees what OpenVINO passes over in silence: a resize without antialiasing."""
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    from shared.export.targets import openvino

    monkeypatch.setattr(openvino, "_resize_as_pillow", lambda model, ov: None)
    big = tmp_path / "big"
    big.mkdir()
    for i, file in enumerate(sorted(pictures.rglob("*.png"))[::20]):
        images.write_png(
            big / f"{i}.png",
            np.random.default_rng(i)
            .permutation(np.kron(images.read(file), np.ones((5, 5, 1), np.uint8)).reshape(-1, 3))
            .reshape(320, 320, 3),
        )
    with pytest.raises(ExportError, match=r"does not give the bundle's answers: .*nothing was written"):
        export(bundle, "openvino", tmp_path / "ir", source=big, say=quiet)
    assert not (tmp_path / "ir").exists()


def test_onnx_is_the_same_file_with_what_a_program_there_must_know(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    facts = export(bundle, "onnx", tmp_path / "out", source=pictures, most=10, say=quiet)
    assert (tmp_path / "out/model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()
    said = json.loads((tmp_path / "out/model.json").read_text())
    assert said["labels"] == ["ok", "scratch", "spot"] and "uint8 RGB" in said["input"]
    kept = json.loads((tmp_path / "out/parity.json").read_text())
    assert kept["files"]["model.onnx"] == bundles.file_hash(tmp_path / "out/model.onnx")
    assert kept["bundle_hash"] == facts["bundle_hash"] == bundles.load(bundle).hash


def test_a_model_that_needs_more_than_its_file_is_named(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    assert onnx_file.faults(model) == []
    model.graph.node.append(onnx.helper.make_node("Gelu", ["features"], ["other"], domain="com.microsoft"))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    del model.graph.output[2]
    found = " ".join(onnx_file.faults(model))
    assert "Gelu" in found and "no output novelty" in found


def test_tensorrt_gets_a_graph_that_keeps_its_rules_and_the_line_that_builds_it(bundle: Path, tmp_path: Path) -> None:
    facts = export(bundle, "tensorrt", tmp_path / "out", say=quiet)
    assert not facts["own_runtime"]
    assert "--minShapes=image:1x32x32x3 --optShapes=image:1x64x64x3" in facts["trtexec"]
    assert tensorrt_rules.violations(onnx.load(tmp_path / "out/model.onnx")) == []
    assert "antialiasing" in tensorrt_rules.violations(onnx.load(bundle / "model.onnx"))[0]


def test_nothing_is_overwritten_and_an_older_export_is_replaced(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="is no export"):
        export(bundle, "onnx", tmp_path / "mine", say=quiet)
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"
    export(bundle, "onnx", tmp_path / "out", say=quiet)
    export(bundle, "tensorrt", tmp_path / "out", say=quiet)
    assert json.loads((tmp_path / "out/parity.json").read_text())["target"] == "tensorrt"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("flips=-", "flips"), ("flip=0.1", "did you mean 'flips'"), ("probability=much", "probability")],
)
def test_a_wrong_limit_is_one_sentence(bundle: Path, tmp_path: Path, wrong: str, said: str) -> None:
    with pytest.raises(LoupeError, match=said):
        export(bundle, "onnx", tmp_path / "out", overrides=[wrong], say=quiet)


def test_flips_crossings_and_numbers_that_are_none_are_seen(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(bundle, folder)
    card = json.loads((folder / "bundle.json").read_text())
    card["certificate"] = {"threshold": 0.5, "sentence": "s"}
    loaded = bundles.Bundle(folder, card)
    own = Outputs(np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0]], np.float32), np.ones((2, 3), np.float32), np.zeros(2))
    other = own._replace(probabilities=np.array([[0.4, 0.6, 0.0], [0.9, 0.1, 0.0]], np.float32))
    found = certificate.compare(loaded, own, other, ["a.png", "b.png"])
    assert found.flips == ("a.png",) and found.crossings == ("a.png",)
    same = certificate.compare(loaded, own, own, ["a.png", "b.png"])
    assert certificate.refusal(same, same, Limits()) == ""
    refused = certificate.refusal(same, found, Limits(probability=1))
    assert "1 of 2 images get another label" in refused and "a.png" in refused
    assert "golden" in certificate.refusal(found, None, Limits(probability=1))
    broken = own._replace(scores=np.full((2, 3), np.nan, np.float32))
    with pytest.raises(ExportError, match="not numbers"):
        certificate.compare(loaded, own, broken, ["a.png", "b.png"])
