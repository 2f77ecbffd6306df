"""What TensorRT asks of an ONNX graph: each node that breaks a rule by name, and a graph that keeps the rules.

The rules (TensorRT documentation, "Explicit quantization"; NVIDIA/TensorRT issue 3560): quantised tensors are signed 8
bits with zero point 0 and a constant positive scale; a bias is float; a resize has no antialiasing (8.6 passes over it
in silence and gives wrong answers, 10 refuses the graph).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from shared.export import plain, resizing

onnx: Any = require("onnx", extra="train")

_QUANTISED = ("QuantizeLinear", "DequantizeLinear")
LARGEST = 127


def violations(model: Any) -> list[str]:
    """One sentence per node that TensorRT refuses or computes differently; empty for a graph that keeps the rules."""
    stored = _stored(model)
    found = []
    for node in model.graph.node:
        name = f"{node.op_type} {node.name or node.output[0]}"
        if node.op_type in _QUANTISED:
            found += [f"{name}: {fault}" for fault in _faults(node, stored)]
        elif node.op_type == "Resize" and any(a.name == "antialias" and a.i for a in node.attribute):
            found.append(f"{name}: antialiasing is not supported; write it as matrix products")
        elif node.domain not in ("", "ai.onnx"):
            found.append(f"{name}: operation of {node.domain}, allowed is the ONNX standard")
    return found


def _stored(model: Any) -> dict[str, NDArray[Any]]:
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            stored[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    return stored


def _faults(node: Any, stored: dict[str, NDArray[Any]]) -> list[str]:
    scale = stored.get(node.input[1])
    if scale is None:
        return ["its scale is computed, allowed is a constant"]
    faults = [] if (scale > 0).all() else [f"a scale of {float(scale.min()):g}, allowed is above 0"]
    if len(node.input) < 3 or not node.input[2]:
        return [*faults, "no zero point, which means unsigned 8 bits; give int8 zeros"]
    zero = stored.get(node.input[2])
    if zero is None:
        return [*faults, "its zero point is computed, allowed is a constant 0"]
    if zero.dtype != np.int8:
        faults.append(f"type {zero.dtype}, allowed is int8")
    if zero.any():
        faults.append(f"zero point {int(zero.ravel()[np.abs(zero.ravel().astype(int)).argmax()])}, allowed is 0")
    return faults


def symmetric(model: Any) -> tuple[Any, int]:
    """The same graph as TensorRT wants it.

    Activations: the range that a scale and zero point span is widened to be symmetric, with scale = largest magnitude
    / 127. No picture is needed for it, and after a ReLU one of eight bits is lost. What the old range cut off is cut
    off before, as it often is all that is left of an activation function: by a ReLU where the range begins at 0, which
    TensorRT joins to the layer, else by a Clip. Weights are rounded anew from the numbers they stand for where they
    were not symmetric; int32 biases become float. The antialiased resize becomes matrix products.

    Args:
        model: ModelProto of a bundle, in float or QDQ form.

    Returns:
        A new ModelProto, and how many activations were given another scale.
    """
    new = resizing.as_matrices(model)
    stored = _stored(new)
    nodes, changed = [], set()
    for node in new.graph.node:
        constant = node.op_type == "DequantizeLinear" and node.input[0] in stored
        if constant and stored[node.input[0]].dtype == np.int32:
            new.graph.initializer.append(onnx.numpy_helper.from_array(plain.dequantised(node, stored), node.output[0]))
            continue
        if node.op_type in _QUANTISED and _faults(node, stored):
            if constant:
                _requantise(new.graph, node, stored)
            else:
                changed.add(node.input[1])
                if node.op_type == "QuantizeLinear":
                    nodes.append(_cut(new.graph, node, stored))
                _widen(new.graph, node, stored)
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del new.graph.node[:], new.graph.value_info[:]
    new.graph.node.extend(nodes)
    _drop_unused(new)
    onnx.checker.check_model(new, full_check=True)
    return new, len(changed)


def _cut(graph: Any, node: Any, stored: dict[str, NDArray[Any]]) -> Any:
    """The node that keeps an activation inside the range of its bits; it feeds the given QuantizeLinear from now on."""
    ends = plain.span(node, stored)
    given, cut = node.input[0], f"{node.output[0]}_cut"
    node.input[0] = cut
    if ends[0] == 0:
        return onnx.helper.make_node("Relu", [given], [cut], name=cut)
    return plain.clip(graph, given, cut, ends)


def _widen(graph: Any, node: Any, stored: dict[str, NDArray[Any]]) -> None:
    """Give an activation's node a scale whose symmetric range holds the old one."""
    scale = stored[node.input[1]]
    zero = stored[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros_like(scale, np.uint8)
    limits = np.iinfo(zero.dtype)
    reach = np.maximum(zero.astype(np.float64) - limits.min, limits.max - zero.astype(np.float64))
    names = [f"{node.input[1]}_symmetric", f"{node.input[1]}_zero"]
    _give(graph, node, stored, names, np.asarray(scale * reach / LARGEST, np.float32))


def _requantise(graph: Any, node: Any, stored: dict[str, NDArray[Any]]) -> None:
    """Round a constant anew, per channel of the axis that it had."""
    value = plain.dequantised(node, stored)
    old = stored[node.input[1]]
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1) % max(value.ndim, 1)
    others = tuple(i for i in range(value.ndim) if i != axis) if old.size > 1 else tuple(range(value.ndim))
    scale = np.maximum(np.abs(value).max(others, keepdims=True) / LARGEST, np.finfo(np.float32).tiny)
    rounded = np.clip(np.rint(value / scale), -LARGEST, LARGEST).astype(np.int8)
    name = f"{node.input[0]}_symmetric"
    graph.initializer.append(onnx.numpy_helper.from_array(rounded, name))
    node.input[0] = name
    _give(graph, node, stored, [f"{name}_scale", f"{name}_zero"], scale.reshape(old.shape).astype(np.float32))


def _give(graph: Any, node: Any, stored: dict[str, NDArray[Any]], names: list[str], scale: NDArray[np.float32]) -> None:
    values: tuple[NDArray[Any], ...] = (scale, np.zeros(scale.shape, np.int8))
    for name, value in zip(names, values, strict=True):
        if name not in stored:
            stored[name] = value
            graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    node.input[:] = [node.input[0], *names]


def _drop_unused(model: Any) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [onnx.TensorProto.FromString(i.SerializeToString()) for i in model.graph.initializer if i.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
