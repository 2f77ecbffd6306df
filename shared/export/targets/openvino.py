"""OpenVINO: the graph as IR (model.xml, model.bin), in float or, for an int8 bundle, in int8."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ExportError, require
from shared.export import certificate
from shared.export.targets import AS_IT_IS, Written
from shared.inference import Bundle, runtime
from shared.inference import bundle as bundles

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}
"""Without it, processors with bfloat16 compute float layers in that, and answers move."""


def write(bundle: Bundle, folder: Path) -> Written:
    """Convert, save, read again, and compile for this processor.

    Raises:
        MissingDependency: OpenVINO is not installed.
        ExportError: OpenVINO cannot convert or compile the model.
    """
    ov = require("openvino", extra="openvino")
    try:
        model = ov.convert_model(str(bundle.path / bundles.MODEL))
        _resize_as_pillow(model, ov)
        model.set_rt_info(bundle.hash, ["loupe", "bundle_hash"])
        ov.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)
        compiled = ov.Core().compile_model(str(folder / "model.xml"), "CPU", SETTINGS)
    except RuntimeError as error:
        raise ExportError(f"{bundle.path}: OpenVINO cannot convert it ({error}); nothing was written") from error
    inside, convolutions = _in_int8(compiled)
    notes = ["compile with INFERENCE_PRECISION_HINT=f32, or a processor with bfloat16 gives other numbers"]
    if inside:
        notes.append(f"{inside} of {convolutions} convolutions are computed in int8 on this processor")
    return Written(
        ("model.xml", "model.bin"),
        f"OpenVINO {ov.__version__.split('-')[0]} on this CPU",
        True,
        AS_IT_IS,
        tuple(notes),
        _answer(compiled),
        (("convolutions", convolutions), ("convolutions_in_int8", inside)),
    )


def _resize_as_pillow(model: Any, ov: Any) -> None:
    """Put the resize right: OpenVINO 2026 reads ONNX's antialiased one as a resize without antialiasing.

    Its mode "bilinear_pillow" computes what ONNX means (probabilities within 2e-6, instead of 0.09 apart).
    """
    operations = require("openvino.opset11", extra="openvino")
    for node in model.get_ops():
        if node.get_type_name() != "Interpolate" or not node.get_attributes()["antialias"]:
            continue
        exact = operations.interpolate(
            node.input_value(0),
            node.input_value(1),
            "bilinear_pillow",
            node.get_attributes()["shape_calculation_mode"],
            [0, 0],
            [0, 0],
            antialias=True,
            axes=node.input_value(2),
        )
        ov.utils.replace_node(node, exact)
    model.validate_nodes_and_infer_types()


def _in_int8(compiled: Any) -> tuple[int, int]:
    """How many convolutions the compiled model computes in 8 bits, and how many there are."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [str(f["runtimePrecision"].value) for f in facts if str(f["layerType"].value) == "Convolution"]
    return sum(kind in ("u8", "i8") for kind in kinds), len(kinds)


def _answer(compiled: Any) -> certificate.Answer:
    def answer(images: Sequence[NDArray[np.uint8]]) -> certificate.Outputs:
        found = [compiled({"image": batch}) for batch in runtime.batches(images)]
        return certificate.Outputs(*(np.concatenate([f[name] for f in found]) for name in certificate.OUTPUTS))

    return answer
