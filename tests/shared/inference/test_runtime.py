import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from shared import atomic
from shared.data import images
from shared.errors import BundleError, DataError
from shared.inference import Runtime, nearest
from shared.inference import bundle as bundles


@pytest.fixture(scope="module")
def runtime(bundle: Path) -> Runtime:
    return Runtime.open(bundle, threads=1)


@pytest.fixture(scope="module")
def some(pictures: Path) -> list[np.ndarray]:
    return [images.read(p) for p in sorted(pictures.rglob("*.png"))[::10]]


def test_probabilities_add_up_and_do_not_depend_on_the_batch(runtime: Runtime, some: list[np.ndarray]) -> None:
    together = runtime.predict(some)
    alone = np.concatenate([runtime.predict([image]).probabilities for image in some])
    assert np.allclose(together.probabilities.sum(1), 1, atol=1e-5)
    assert np.abs(together.probabilities - alone).max() < 1e-4


def test_images_of_different_sizes_keep_their_order(runtime: Runtime, some: list[np.ndarray]) -> None:
    mixed = [cv2.resize(image, (40 + 7 * i, 90)) for i, image in enumerate(some)]
    together = runtime.predict(mixed)
    assert together.probabilities.shape == (len(mixed), 3) and together.novelty.shape == (len(mixed),)
    for i, image in enumerate(mixed):
        assert np.allclose(together.probabilities[i], runtime.predict([image]).probabilities[0], atol=1e-4)


def test_the_class_map_adds_up_to_the_score(runtime: Runtime, some: list[np.ndarray]) -> None:
    answers = runtime.predict(some, class_map=True)
    assert answers.class_map is not None and answers.class_map.shape == (len(some), 3, 4, 4)
    scores = answers.class_map.mean((2, 3))
    softmax = np.exp(scores - scores.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    assert np.abs(softmax - answers.probabilities).max() < 1e-3


def test_a_bare_onnxruntime_session_gives_the_same_answers(
    bundle: Path, runtime: Runtime, some: list[np.ndarray]
) -> None:
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    bare = session.run(["probabilities"], {"image": np.stack(some)})[0]
    assert np.abs(bare - runtime.predict(some).probabilities).max() < 1e-4


def test_the_model_file_alone_says_what_it_is(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    (image,) = model.graph.input
    shape = [d.dim_value or d.dim_param for d in image.type.tensor_type.shape.dim]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8 and shape[3] == 3
    metadata = json.loads({p.key: p.value for p in model.metadata_props}["loupe"])
    assert metadata["labels"] == ["ok", "scratch", "spot"] and len(metadata["golden"]) == 4
    assert {"data_hash", "backbone", "temperature", "certificate", "input"} <= set(metadata)


def test_an_unfamiliar_picture_is_more_novel_than_a_familiar_one(runtime: Runtime, some: list[np.ndarray]) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = (255, 0, 200)
    familiar = runtime.predict(some).novelty
    assert runtime.predict([stripes]).novelty[0] > 2 * np.median(familiar)


@pytest.mark.parametrize(
    "image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3), np.float32)]
)
def test_an_image_of_another_form_is_refused(runtime: Runtime, image: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"allowed is \(height, width, 3\) uint8 RGB"):
        runtime.predict([image])


def test_no_images_give_no_answers(runtime: Runtime) -> None:
    assert runtime.predict([]).probabilities.shape == (0, 3)


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "samples.csv", "MODEL_CARD.md"])
def test_one_changed_byte_anywhere_is_noticed(bundle: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy.bundle"
    shutil.copytree(bundle, copy)
    data = bytearray((copy / name).read_bytes())
    middle = len(data) // 2
    data[middle] = data[middle] ^ 1 or 2
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=r"altered|unreadable"):
        Runtime.open(copy)


def test_a_missing_and_a_foreign_file_are_noticed(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.bundle"
    shutil.copytree(bundle, copy)
    (copy / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"extra\.txt does not belong"):
        bundles.load(copy)
    (copy / "extra.txt").unlink()
    (copy / "samples.csv").unlink()
    with pytest.raises(BundleError, match=r"samples\.csv is missing"):
        bundles.load(copy)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        Runtime.open(tmp_path)


def test_a_runtime_that_computes_something_else_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Weights changed and all hashes made right again: only the golden inputs can tell."""
    copy = tmp_path / "copy.bundle"
    shutil.copytree(bundle, copy)
    model = onnx.load(copy / "model.onnx")
    (weights,) = [i for i in model.graph.initializer if i.name == "loupe_weights"]
    changed = onnx.numpy_helper.to_array(weights) * 0.5
    weights.CopyFrom(onnx.numpy_helper.from_array(changed, "loupe_weights"))
    onnx.save(model, copy / "model.onnx")
    card = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").unlink()
    bundles.seal(copy, {k: v for k, v in card.items() if k not in ("files", "bundle_hash")})
    bundles.load(copy)
    with pytest.raises(BundleError, match="golden image"):
        Runtime.open(copy)


def another(bundle: Path, out: Path, name: str) -> Path:
    """The bundle with one file in which a byte more stands, sealed anew."""
    shutil.copytree(bundle, out)
    if name == bundles.MODEL:
        model = onnx.load(out / name)
        model.doc_string = "another"
        onnx.save(model, out / name)
    else:
        stored = dict(np.load(out / name))
        np.savez(out / name, **stored | {"vectors": -stored["vectors"]})
    card = json.loads((out / bundles.CARD).read_text())
    bundles.seal(out, {k: v for k, v in card.items() if k not in ("files", "bundle_hash")})
    return out


@pytest.mark.parametrize("name", [bundles.MODEL, nearest.FILE])
def test_a_bundle_whose_folder_is_taken_by_another_after_its_check_is_not_mixed_with_it(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place, other = Path(shutil.copytree(bundle, tmp_path / "m.bundle")), another(bundle, tmp_path / "other", name)
    check = bundles.load

    def swapped(path: Path) -> bundles.Bundle:
        found = check(path)
        with atomic.folder(place) as folder:
            shutil.copytree(other, folder, dirs_exist_ok=True)
        return found

    monkeypatch.setattr(bundles, "load", swapped)
    with pytest.raises(BundleError, match=f"was replaced while it was being loaded; load it again .{name} is another"):
        Runtime.open(place)
    monkeypatch.setattr(bundles, "load", check)
    assert Runtime.open(place).bundle.hash == bundles.load(other).hash


def test_a_bundle_that_is_gone_after_its_check_is_one_sentence(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, hashed = Path(shutil.copytree(bundle, tmp_path / "m.bundle")), bundles.file_hash

    def gone(path: Path) -> str:
        shutil.rmtree(place, ignore_errors=True)
        return hashed(path)

    monkeypatch.setattr(bundles, "file_hash", gone)
    with pytest.raises(BundleError, match="was replaced while it was being loaded; load it again"):
        Runtime.open(place)
