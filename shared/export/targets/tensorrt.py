"""TensorRT: ONNX that keeps its rules, the command that builds the engine, and the engine where TensorRT is installed.

An engine is made for one kind of GPU, so that it is usually built on the target; here the same graph is computed by
onnxruntime, which the certificate says.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.errors import ExportError, require
from shared.export import certificate, tensorrt_rules
from shared.export.targets import AS_IT_IS, Written
from shared.export.targets.onnx_file import unfused
from shared.inference import Bundle
from shared.inference import bundle as bundles

ENGINE = "model.plan"
SMALLEST, LARGEST, MOST = 32, 2048, 16
"""Sides in pixels of the pictures that an engine takes, and pictures of one run."""


def write(bundle: Bundle, folder: Path) -> Written:
    """Re-express the graph, check it, and build an engine where TensorRT is installed.

    Raises:
        ExportError: The graph still breaks a rule, or TensorRT refuses it.
    """
    onnx = require("onnx", extra="train")
    model, changed = tensorrt_rules.symmetric(onnx.load(str(bundle.path / bundles.MODEL)))
    broken = tensorrt_rules.violations(model)
    if broken:
        raise ExportError(f"{bundle.path}: TensorRT would refuse {len(broken)} nodes, first {broken[0]}")
    data = model.SerializeToString()
    (folder / bundles.MODEL).write_bytes(data)
    int8 = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    size = int(bundle.card["backbone"]["image_size"])
    line = command(size, int8=int8)
    notes = [f"build the engine on the target: {line}"]
    if changed:
        notes.append(
            f"{changed} activations were given the symmetric range that holds their old one; without pictures they "
            "could not be calibrated anew, and where values are never negative one of eight bits is lost"
        )
    files = [bundles.MODEL]
    if find_spec("tensorrt"):
        (folder / ENGINE).write_bytes(engine(data, size, int8=int8))
        files.append(ENGINE)
        notes.append(f"{ENGINE} was built for the GPU of this machine; it is not what the comparison ran")
    return Written(
        tuple(files),
        "onnxruntime on the graph for TensorRT, node by node",
        False,
        AS_IT_IS,
        tuple(notes),
        certificate.by_onnxruntime(unfused(data)),
        (("trtexec", line), ("activations_widened", changed)),
    )


def command(size: int, *, int8: bool) -> str:
    """The line that builds the engine: int8 as the graph says it, float with half precision allowed."""
    shapes = " ".join(
        f"--{which}Shapes=image:{n}x{side}x{side}x3"
        for which, n, side in (("min", 1, SMALLEST), ("opt", 1, size), ("max", MOST, LARGEST))
    )
    precision = "--stronglyTyped" if int8 else "--fp16"
    return f"trtexec --onnx={bundles.MODEL} --saveEngine={ENGINE} {shapes} {precision}"


def engine(data: bytes, size: int, *, int8: bool) -> bytes:
    """The engine for this machine's GPU, in float32 or in the int8 that the graph says.

    Raises:
        ExportError: TensorRT refuses the graph, or there is no GPU.
    """
    trt: Any = import_module("tensorrt")
    logger = trt.Logger(trt.Logger.ERROR)
    try:
        builder = trt.Builder(logger)
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if int8 else 0
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(data):
            raise ExportError(f"TensorRT {trt.__version__} refuses the graph: {parser.get_error(0)}")
        settings, profile = builder.create_builder_config(), builder.create_optimization_profile()
        sides = ((1, SMALLEST), (1, size), (MOST, LARGEST))
        profile.set_shape("image", *((n, side, side, 3) for n, side in sides))
        settings.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, settings)
    except (RuntimeError, TypeError) as error:  # without a GPU the builder cannot be made
        raise ExportError(f"TensorRT {trt.__version__} cannot build an engine here ({error})") from error
    if plan is None:
        raise ExportError(f"TensorRT {trt.__version__} cannot build an engine here; build it with trtexec")
    return bytes(plan)
