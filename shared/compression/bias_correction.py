"""Biases re-estimated: what rounded weights add to each channel on average is measured and taken out again.

Rounding errors of weights do not average out where the inputs are all positive, as they are behind a rectifier: each
channel is shifted by a constant, and the shifts add up from layer to layer (Nagel et al. 2019, section 4.2; here with
means measured on images, layer by layer, so that each layer sees what the corrected ones before it give).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compression import qdq
from shared.compression.calibrating import Pixels, feeds
from shared.errors import require
from shared.inference import runtime

onnx: Any = require("onnx", extra="train")

_BIASED = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2}
"""Operators with a bias of their own, and which input it is."""


def corrected(parts: qdq.Apart, body: Any, given: Pixels, threads: int) -> Any:
    """The quantized body with biases by which each channel has the mean that it has in the float32 one.

    Args:
        parts: The float32 graph.
        body: From :func:`shared.compression.qdq.quantized`.
        given: ``(n, 3, size, size)`` images to measure on.
        threads: 0 means all cores.
    """
    made = onnx.ModelProto()
    made.CopyFrom(body)
    layers = [name for name in parts.layers if _own_bias(made, name)]
    wanted = channel_means(parts.body, layers, given, threads)
    for layer, mean in zip(layers, wanted, strict=True):
        shift = mean - channel_means(made, [layer], given, threads)[0]
        constant = next(i for i in made.graph.initializer if i.name == f"{layer}_bias")
        bias = onnx.numpy_helper.to_array(constant) + shift
        constant.CopyFrom(onnx.numpy_helper.from_array(bias.astype(np.float32), constant.name))
    return made


def channel_means(body: Any, layers: Sequence[str], given: Pixels, threads: int) -> list[NDArray[np.float64]]:
    """Mean of each output channel of some layers over images and places, before any activation.

    Args:
        body: From ``pixels``.
        layers: Names of nodes.
        given: ``(n, 3, size, size)``.
        threads: 0 means all cores.

    Returns:
        ``(channels,)`` for each layer.
    """
    nodes = {node.name: node for node in body.graph.node}
    tapped = onnx.ModelProto()
    tapped.CopyFrom(body)
    del tapped.graph.output[:]
    for i, layer in enumerate(layers):
        axes = onnx.numpy_helper.from_array(_axes(nodes[layer]), f"mean_{i}_axes")
        tapped.graph.initializer.append(axes)
        tapped.graph.node.append(
            onnx.helper.make_node("ReduceMean", [nodes[layer].output[0], axes.name], [f"mean_{i}"], keepdims=0)
        )
        tapped.graph.output.append(
            onnx.helper.make_tensor_value_info(f"mean_{i}", onnx.TensorProto.FLOAT, ["channels"])
        )
    session = runtime.session(tapped.SerializeToString(), threads=threads)
    return _averaged(session.run(None, feed) for feed in feeds(given))


def _averaged(runs: Iterable[Sequence[NDArray[np.float32]]]) -> list[NDArray[np.float64]]:
    return [np.mean(own, 0, dtype=np.float64) for own in zip(*runs, strict=True)]


def _axes(node: Any) -> NDArray[np.int64]:
    return np.array([0] if node.op_type == "Gemm" else [0, 2, 3], np.int64)


def _own_bias(model: Any, layer: str) -> bool:
    """Give a layer a bias constant that is nobody else's; whether it has one at all."""
    node = next(node for node in model.graph.node if node.name == layer)
    place = _BIASED.get(node.op_type)
    if place is None or len(node.input) <= place:
        return False
    constants = {i.name: i for i in model.graph.initializer}
    if (found := constants.get(node.input[place])) is None:
        return False
    own = onnx.TensorProto()
    own.CopyFrom(found)
    own.name = f"{layer}_bias"
    model.graph.initializer.append(own)
    node.input[place] = own.name
    if not any(found.name in other.input for other in model.graph.node):
        model.graph.initializer.remove(found)
    return True
