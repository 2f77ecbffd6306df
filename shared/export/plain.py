"""A bundle's graph as the fixed float network behind its resize: for converters that know neither sizes nor int8."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from shared.export.certificate import OUTPUTS

onnx: Any = require("onnx", extra="train")

INPUT = "picture"


def fixed(model: Any) -> Any:
    """The graph from the resized picture to the answers, one picture at a time, with all that is constant computed.

    Args:
        model: ModelProto of a bundle.

    Returns:
        A new ModelProto with input ``picture`` ``(1, size, size, 3)`` float32, 0 to 255, and the outputs
        ``probabilities``, ``scores`` and ``novelty``.
    """
    import onnxruntime

    behind = _without_resize(in_float(model))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        onnxruntime.InferenceSession(behind.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def in_float(model: Any) -> Any:
    """The same network with its quantised weights as float numbers, and without the rounding between layers.

    What 8 bits cannot hold is still cut off: an activation function such as ReLU often stands in a graph as nothing but
    the range of the bits behind it.
    """
    new = onnx.ModelProto()
    new.CopyFrom(model)
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in new.graph.initializer}
    renamed: dict[str, str] = {}
    nodes = []
    for node in new.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            value = dequantised(node, stored)
            new.graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
        elif node.op_type == "QuantizeLinear":
            given = renamed.get(node.input[0], node.input[0])
            nodes.append(clip(new.graph, given, f"{node.output[0]}_cut", span(node, stored)))
            renamed[node.output[0]] = f"{node.output[0]}_cut"
        elif node.op_type == "DequantizeLinear":
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        else:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    for output in new.graph.output:
        if output.name in renamed:
            kept.append(onnx.helper.make_node("Identity", [renamed[output.name]], [output.name]))
    del new.graph.node[:], new.graph.value_info[:]
    new.graph.node.extend(kept)
    return new


def clip(graph: Any, given: str, cut: str, ends: tuple[float, float]) -> Any:
    """A node that keeps ``given`` between two ends and calls the outcome ``cut``; the ends go into the graph."""
    names = [f"{cut}_low", f"{cut}_high"]
    for name, end in zip(names, ends, strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(end), name))
    return onnx.helper.make_node("Clip", [given, *names], [cut], name=cut)


def span(node: Any, stored: dict[str, NDArray[Any]]) -> tuple[float, float]:
    """Smallest and largest number that the bits of an activation's QuantizeLinear hold; it has one scale."""
    scale = stored[node.input[1]]
    zero = stored[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros_like(scale, np.uint8)
    limits = np.iinfo(zero.dtype)
    ends = [(limit - float(zero.ravel()[0])) * float(scale.ravel()[0]) for limit in (limits.min, limits.max)]
    return ends[0], ends[1]


def dequantised(node: Any, stored: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The float32 numbers of a constant behind a DequantizeLinear (ONNX: (x - zero point) * scale along an axis)."""
    value, scale = stored[node.input[0]], stored[node.input[1]]
    zero = stored[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros_like(scale, value.dtype)
    if scale.ndim:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1) % value.ndim
        shape = [-1 if i == axis else 1 for i in range(value.ndim)] if scale.size > 1 else [1] * value.ndim
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return np.asarray((value.astype(np.float64) - zero.astype(np.float64)) * scale, np.float32)


def _without_resize(model: Any) -> Any:
    (resize,) = (n for n in model.graph.node if any(a.name == "antialias" and a.i for a in n.attribute))
    size = next(int(onnx.numpy_helper.to_array(i)[0]) for i in model.graph.initializer if i.name == resize.input[3])
    channels_last = next(list(a.ints) for a in resize.attribute if a.name == "axes") == [1, 2]
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    kept = [n for n in whole.graph.node if resize.output[0] not in n.output]
    start = resize.output[0]
    nodes = [] if channels_last else [onnx.helper.make_node("Transpose", [INPUT], [start], perm=[0, 3, 1, 2])]
    for node in kept:
        if channels_last:
            node.input[:] = [INPUT if name == start else name for name in node.input]
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del whole.graph.node[:], whole.graph.input[:], whole.graph.value_info[:]
    whole.graph.node.extend(nodes)
    whole.graph.input.append(onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [1, size, size, 3]))
    outputs = {o.name: o for o in model.graph.output}
    del whole.graph.output[:]
    for name in OUTPUTS:
        shape = [1, *outputs[name].type.tensor_type.shape.dim][1:]
        sides = [1, *(d.dim_value for d in shape[1:])] if name != "novelty" else [1]
        whole.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sides))
    return _reached(whole)


def _reached(model: Any) -> Any:
    """Without the nodes and numbers that no output needs."""
    wanted = {o.name for o in model.graph.output}
    kept = []
    for node in reversed(list(model.graph.node)):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
    constants = [i for i in model.graph.initializer if i.name in wanted]
    numbers = [onnx.TensorProto.FromString(i.SerializeToString()) for i in constants]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(numbers)
    return model
