"""A bundle whose backbone is int8, made by onnxruntime from the one that other tests use."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import packing
from shared.data import images
from shared.inference import bundle as bundles

onnx = pytest.importorskip("onnx", reason="the train extra is not installed")


class _Pixels:
    """Calibration data as onnxruntime's quantizer wants them."""

    def __init__(self, batches: Sequence[np.ndarray]) -> None:
        self._waiting = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._waiting, None)
        return None if batch is None else {"pixels": batch}


def quantised(before: Any, pictures: Sequence[np.ndarray], folder: Path) -> Any:
    """The graph from image to features with int8 convolutions in QDQ form: U8 activations, S8 weights per channel."""
    from onnxruntime import quantization

    from shared.inference import runtime

    parts = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(before))
    start = parts.extract_model(["image"], ["pixels"])
    session = runtime.session(start.SerializeToString())
    batches = [session.run(None, {"image": p[None]})[0] for p in pictures]
    onnx.save(parts.extract_model(["pixels"], ["features", "field"]), folder / "float.onnx")
    quantization.quantize_static(
        str(folder / "float.onnx"),
        str(folder / "int8.onnx"),
        _Pixels(batches),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        calibrate_method=quantization.CalibrationMethod.Percentile,
    )
    found = onnx.load(folder / "int8.onnx")
    body = list(found.graph.node)
    del found.graph.node[:], found.graph.input[:], found.graph.value_info[:]
    found.graph.node.extend([*start.graph.node, *body])
    found.graph.initializer.extend(start.graph.initializer)
    found.graph.input.extend(start.graph.input)
    return found


@pytest.fixture(scope="session")
def some_pictures(pictures: Path) -> list[np.ndarray]:
    """Twelve of the pictures that the bundle was built from."""
    return [images.read(file) for file in sorted(pictures.rglob("*.png"))[::12]]


@pytest.fixture(scope="session")
def int8_bundle(bundle: Path, some_pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with its backbone in int8."""
    from shared.export import graph

    folder = tmp_path_factory.mktemp("int8")
    whole = onnx.load(bundle / bundles.MODEL)
    before, head, novel = graph.taken_apart(whole)
    said = json.loads({p.key: p.value for p in whole.metadata_props}["loupe"])
    model, _ = packing.whole_model(quantised(before, some_pictures, folder), head, novel, said, some_pictures)
    out = folder / "int8.bundle"
    shutil.copytree(bundle, out)
    (out / bundles.MODEL).write_bytes(model)
    card = json.loads((out / bundles.CARD).read_text())
    bundles.seal(out, {k: v for k, v in card.items() if k not in ("files", "format", "bundle_hash")})
    return out
