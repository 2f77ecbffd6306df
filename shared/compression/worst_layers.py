"""Which layers lose most by 8 bits: rounding noise of their weights, of what goes in and of what comes out.

Each is measured on its own, against the float32 values, as a share of the signal; so a layer is not blamed for what the
ones before it did. What flows is compared channel by channel: beside one loud channel all others may be rounded to
nothing, and the noise of them together would hardly show.
"""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compression import qdq
from shared.compression.calibrating import Pixels, feeds
from shared.errors import require

onnx: Any = require("onnx", extra="train")


def noise(parts: qdq.Apart, body: Any, given: Pixels) -> dict[str, float]:
    """Noise of each layer relative to its signal, as powers; the worst layer first.

    Args:
        parts: The float32 graph.
        body: The same with all layers in whole numbers, see :func:`shared.compression.qdq.quantized`.
        given: ``(n, 3, size, size)`` a few images; all that flows between layers is in memory for them.
    """
    debug = require("onnxruntime.quantization.qdq_loss_debug", extra="train")
    with tempfile.TemporaryDirectory() as folder:
        real, whole, saving = (str(Path(folder) / name) for name in ("real.onnx", "whole.onnx", "saving.onnx"))
        onnx.save(parts.body, real)
        onnx.save(body, whole)
        weights = debug.compute_weight_error(debug.create_weight_matching(real, whole))
        debug.modify_model_output_intermediate_tensors(real, saving)
        flowing = debug.collect_activations(saving, feeds(given))
    before = {node.name: node for node in parts.body.graph.node}
    after = {node.name: node for node in body.graph.node}
    made_by = {node.output[0]: node for node in body.graph.node}
    reals = {i.name: i.dims for i in parts.body.graph.initializer}
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in body.graph.initializer}

    def rounded(real: str, whole: Any, channels: int) -> float:
        """Noise of a tensor by the rounding behind a DequantizeLinear; 0 where it is not rounded."""
        if whole is None or whole.op_type != "DequantizeLinear" or real not in flowing:
            return 0.0
        scale, zero = constants[whole.input[1]], constants[whole.input[2]]
        return _by_channel(np.stack([values.reshape(channels, -1) for values in flowing[real]]), scale, zero)

    found = {}
    for layer in parts.layers:
        own, new = before[layer], after[layer]
        follow = next((n for n in parts.body.graph.node if own.output[0] in n.input), None)
        inside = follow is not None and follow.op_type in ("Relu", "Clip")  # its range is part of the rounding
        leaving = None if inside else made_by.get(own.output[0])
        out, entering = _channels(own, reals[own.input[1]])
        found[layer] = (
            _power(weights.get(own.input[1], math.inf))
            + rounded(own.input[0], made_by.get(new.input[0]), entering)
            + rounded(own.output[0], leaving, out)
        )
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _channels(layer: Any, weights: Sequence[int]) -> tuple[int, int]:
    """Channels that leave and enter a convolution; products mix them with places, and count as one."""
    if layer.op_type != "Conv":
        return 1, 1
    groups = next((a.i for a in layer.attribute if a.name == "group"), 1)
    return weights[0], weights[1] * groups


def _by_channel(values: NDArray[np.float32], scale: NDArray[np.float32], zero: NDArray[np.uint8]) -> float:
    """Noise by rounding relative to the signal, of values ``(n, channels, places)``: mean over the channels."""
    error = ((_through(values, scale, zero) - values) ** 2).sum((0, 2), dtype=np.float64)
    signal = (values**2).sum((0, 2), dtype=np.float64)
    speaking = signal > 0
    return float((error[speaking] / signal[speaking]).mean()) if speaking.any() else 0.0


def _through(values: NDArray[np.float32], scale: NDArray[np.float32], zero: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Values after a QuantizeLinear to uint8 and back."""
    levels = np.clip(np.round(values / scale) + zero, 0, 255)
    result: NDArray[np.float32] = ((levels - zero) * scale).astype(np.float32)
    return result


def _power(decibels: float) -> float:
    """Noise relative to signal of a ratio in decibels."""
    return float(10 ** (-decibels / 10))
