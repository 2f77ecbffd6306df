"""ONNX for other runtimes: the model file alone, checked to need nothing beside it and nothing that only one has."""

from pathlib import Path
from typing import Any

from shared.errors import ExportError, require
from shared.export import certificate
from shared.export.targets import AS_IT_IS, Written
from shared.inference import Bundle
from shared.inference import bundle as bundles

INPUT = "image"


def faults(model: Any) -> list[str]:
    """What would keep another runtime from reading a ModelProto; empty for a portable one."""
    onnx = require("onnx", extra="train")
    found = []
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        found.append(f"it is not valid ONNX ({str(error).splitlines()[0][:200]})")
    foreign = sorted({n.op_type for n in model.graph.node if n.domain not in ("", "ai.onnx")})
    if foreign or model.functions:
        found.append(f"operations outside of the standard: {', '.join(foreign) or 'functions of its own'}")
    if any(i.data_location == onnx.TensorProto.EXTERNAL for i in model.graph.initializer):
        found.append("weights lie in another file")
    inputs = [i.name for i in model.graph.input]
    if inputs != [INPUT]:
        found.append(f"its inputs are {', '.join(inputs)}, expected is {INPUT}")
    missing = set(certificate.OUTPUTS) - {o.name for o in model.graph.output}
    if missing:
        found.append(f"it has no output {', '.join(sorted(missing))}")
    return found


def write(bundle: Bundle, folder: Path) -> Written:
    """Copy the model where it is portable, and let it be computed node by node, as a runtime without fusions would.

    Raises:
        ExportError: It is not portable.
    """
    onnx = require("onnx", extra="train")
    data = (bundle.path / bundles.MODEL).read_bytes()
    model = onnx.load_from_string(data)
    found = faults(model)
    if found:
        raise ExportError(f"{bundle.path}: {'; '.join(found)}; nothing was written")
    (folder / bundles.MODEL).write_bytes(data)
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return Written(
        (bundles.MODEL,),
        f"onnxruntime {_version()}, node by node",
        True,
        AS_IT_IS,
        (f"opset {opset}; a runtime must know Resize with antialiasing (since opset 18), or its answers are wrong",),
        certificate.by_onnxruntime(unfused(data)),
    )


def unfused(model: bytes) -> Any:
    """An onnxruntime session that computes each node as the standard says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
