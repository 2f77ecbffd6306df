"""The resize of a bundle as two matrices: for runtimes that have no antialiased one, and for numpy alone.

The formula is Pillow's bilinear filter (Pillow, src/libImaging/Resample.c), which is also ONNX's Resize with
``antialias=1, exclude_outside=1``: a triangle as wide as the pixels that fall into one, its weights adding up to 1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require

onnx: Any = require("onnx", extra="train")


def weights(before: int, after: int) -> NDArray[np.float32]:
    """``(after, before)`` float32: row i holds the share of each old pixel in the new pixel i.

    Args:
        before: Side in pixels.
        after: Side in pixels.
    """
    scale = before / after
    distance = np.arange(before) + 0.5 - (np.arange(after)[:, None] + 0.5) * scale
    triangle = np.maximum(0.0, 1.0 - np.abs(distance) / max(scale, 1.0))
    return np.asarray(triangle / triangle.sum(1, keepdims=True), np.float32)


def resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """``(side, side, 3)`` float32 from 0 to 255 of a picture ``(height, width, 3)`` uint8, as the bundle does it."""
    height, width = picture.shape[:2]
    rows = np.tensordot(weights(height, side), picture.astype(np.float32), axes=(1, 0))
    columns = np.tensordot(rows, weights(width, side), axes=(1, 1))
    return np.ascontiguousarray(columns.transpose(0, 2, 1))


def as_matrices(model: Any) -> Any:
    """The same model with each antialiased Resize written as matrix products whose weights the graph computes.

    Any size of picture still goes in.

    Args:
        model: ModelProto of a bundle.

    Returns:
        A new ModelProto.
    """
    new = onnx.ModelProto()
    new.CopyFrom(model)
    nodes = []
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Resize" and attributes.get("antialias"):
            nodes += _products(new.graph, node, [int(a) for a in attributes["axes"]])
        else:
            nodes.append(node)
    del new.graph.node[:]
    new.graph.node.extend(nodes)
    del new.graph.value_info[:]
    onnx.checker.check_model(new, full_check=True)
    return new


def _products(graph: Any, node: Any, axes: list[int]) -> list[Any]:
    """Nodes for ``rows @ picture @ columns`` in place of a Resize over two axes."""
    sizes = next(onnx.numpy_helper.to_array(i) for i in graph.initializer if i.name == node.input[3])
    name, start, end = node.output[0], node.input[0], node.output[0]
    nodes, after = [], []
    if axes == [1, 2]:  # channels last: the products work on the last two axes
        start, end = f"{name}_first", f"{name}_small"
        nodes.append(onnx.helper.make_node("Transpose", [node.input[0]], [start], perm=[0, 3, 1, 2]))
        after.append(onnx.helper.make_node("Transpose", [end], [name], perm=[0, 2, 3, 1]))
    shape = f"{name}_shape"
    nodes.append(onnx.helper.make_node("Shape", [node.input[0]], [shape]))
    rows, columns = (
        _weights_of(graph, nodes, f"{name}_{axis}", shape, axis, int(size))
        for axis, size in zip(axes, sizes, strict=True)
    )
    nodes += [
        onnx.helper.make_node("MatMul", [rows, start], [f"{name}_flat"]),
        onnx.helper.make_node("Transpose", [columns], [f"{columns}_turned"], perm=[1, 0]),
        onnx.helper.make_node("MatMul", [f"{name}_flat", f"{columns}_turned"], [end]),
    ]
    return [*nodes, *after]


def _weights_of(graph: Any, nodes: list[Any], name: str, shape: str, axis: int, after: int) -> str:
    """Append the nodes that compute :func:`weights` for one axis; gives the name of the matrix."""
    centres = ((np.arange(after) + 0.5) / after).astype(np.float32)[:, None]
    constants = {
        "axis": np.array(axis, np.int64),
        "centres": centres,
        "after": np.array(after, np.float32),
        "zero": np.array(0.0, np.float32),
        "half": np.array(0.5, np.float32),
        "one": np.array(1.0, np.float32),
        "rows": np.array([1], np.int64),
    }
    graph.initializer.extend(onnx.numpy_helper.from_array(v, f"{name}_{k}") for k, v in constants.items())

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        named = [i if i == shape else f"{name}_{i}" for i in inputs]
        nodes.append(onnx.helper.make_node(kind, named, [f"{name}_{output}"], **attributes))

    node("Gather", [shape, "axis"], "count")
    node("Cast", ["count"], "before", to=onnx.TensorProto.FLOAT)
    node("Div", ["before", "after"], "scale")
    node("Max", ["scale", "one"], "support")
    node("Range", ["zero", "before", "one"], "numbers")
    node("Add", ["numbers", "half"], "places")
    node("Mul", ["centres", "before"], "wanted")
    node("Sub", ["places", "wanted"], "away")
    node("Abs", ["away"], "distance")
    node("Div", ["distance", "support"], "relative")
    node("Sub", ["one", "relative"], "inside")
    node("Relu", ["inside"], "triangle")
    node("ReduceSum", ["triangle", "rows"], "total", keepdims=1)
    node("Div", ["triangle", "total"], "weights")
    return f"{name}_weights"
