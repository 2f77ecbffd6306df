"""A graph with its convolutions and products in whole numbers of 8 bits, in the QDQ form that every runtime reads.

Each layer's weights lie in the file as int8, one scale per channel; what flows between layers is rounded to 8 bits by
a pair of QuantizeLinear and DequantizeLinear. Preprocessing, the statistics that features are made of, and everything
behind them stay float32: a mean over hundreds of places or a squared deviation has more digits than 8 bits can hold.
"""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import ExportError, require
from shared.export.graph import in_whole_numbers

onnx: Any = require("onnx", extra="train")

PIXELS = "pixels"
"""Where the preprocessing ends, see :func:`shared.export.graph.with_preprocessing`."""
LAYERS = ("Conv", "Gemm", "MatMul", "ConvTranspose")
"""Operators that have weights: nearly all of the bytes and of the time."""
_REMOVABLE = ("Relu", "Clip")
"""Activations that a range of 8 bits already expresses; the quantizer takes them into the layer before."""
_OUTPUTS = ("features", "field")


@dataclass(frozen=True)
class Apart:
    """A graph in two parts.

    Attributes:
        before: ``image`` to ``pixels``.
        body: ``pixels`` to ``features`` and ``field``, with constants folded and batch normalisations inside the
            convolutions.
    """

    before: Any
    body: Any

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the nodes with weights, in the order in which they are computed."""
        constants = {i.name for i in self.body.graph.initializer}
        return tuple(n.name for n in self.body.graph.node if n.op_type in LAYERS and n.input[1] in constants)

    @property
    def additions(self) -> tuple[str, ...]:
        """Names of the additions of two branches; they cost no further rounding, as both sides are rounded anyway."""
        rounded = _behind_layers(self.body, set(self.layers))
        return tuple(n.name for n in self.body.graph.node if n.op_type == "Add" and set(n.input) <= rounded)


def partner(parts: Apart, layer: str) -> str | None:
    """The layer whose output is nothing but another layer's input, an activation in between or not; None for none.

    As one pair of QuantizeLinear and DequantizeLinear serves both, what flows between them is spared only where both
    stay float32.
    """
    nodes = {node.name: node for node in parts.body.graph.node}
    made_by = {output: node for node in parts.body.graph.node for output in node.output}
    node = made_by.get(nodes[layer].input[0])
    if node is not None and node.op_type in _REMOVABLE:
        node = made_by.get(node.input[0])
    return node.name if node is not None and node.name in parts.layers else None


def apart(model: Any) -> Apart:
    """Split a graph from image to features behind its preprocessing, and prepare the larger part.

    Args:
        model: ModelProto with input ``image`` and outputs ``features`` and ``field``.

    Raises:
        ExportError: It is in whole numbers already, or has no layer that could be.
    """
    if in_whole_numbers(model):
        raise ExportError("the model is in whole numbers already; quantize the bundle that it was made from")
    prepare = require("onnxruntime.quantization.shape_inference", extra="train").quant_pre_process
    known = onnx.shape_inference.infer_shapes(model)
    cut = onnx.utils.Extractor(known)
    body = cut.extract_model([PIXELS], list(_OUTPUTS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.onnx"
        prepare(body, str(path), skip_symbolic_shape=True)
        body = onnx.load(path)
    for i, node in enumerate(body.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    made = Apart(_resize_first(cut.extract_model(["image"], [PIXELS])), body)
    if not made.layers:
        raise ExportError("the model has no layer with weights that could be put into whole numbers")
    return made


def quantized(
    parts: Apart, ranges: Any, without: Collection[str] = (), *, reduce_range: bool, everything: bool = False
) -> Any:
    """The body with its layers in whole numbers.

    Args:
        parts: The graph.
        ranges: Smallest and largest value of each tensor, as :func:`shared.compression.calibrating.ranges` gives them.
        without: Names of layers that stay float32.
        reduce_range: Weights of 7 bits: without VNNI, processors add products of 8-bit numbers in pairs in 16 bits,
            and two large ones overflow.
        everything: Whether all operators that the quantizer knows are rounded, statistics included; what a first
            attempt would do, for comparison.

    Returns:
        ModelProto from ``pixels`` to ``features`` and ``field``.
    """
    quantization = require("onnxruntime.quantization", extra="train")
    quantizer = require("onnxruntime.quantization.qdq_quantizer", extra="train").QDQQuantizer
    registry = require("onnxruntime.quantization.registry", extra="train").QDQRegistry
    model = onnx.ModelProto()
    model.CopyFrom(parts.body)
    named = [n.name for n in model.graph.node if n.op_type in _REMOVABLE]
    wanted = [*parts.layers, *parts.additions, *named]
    made = quantizer(
        model,
        True,
        reduce_range,
        quantization.QuantType.QInt8,
        quantization.QuantType.QUInt8,
        ranges,
        None if everything else wanted,
        list(without),
        list(registry) if everything else [*LAYERS, *_REMOVABLE, "Add"],
        # Runtimes round a float bias to the right scale by themselves; stored rounded it takes three times the bytes.
        {"WeightSymmetric": True, "ActivationSymmetric": False, "QuantizeBias": False},
    )
    made.quantize_model()
    made.model.topological_sort()
    return made.model.model


def joined(parts: Apart, body: Any) -> Any:
    """The preprocessing and a body, as one graph from image to features and field, with short names.

    Args:
        parts: Where the preprocessing comes from.
        body: From :func:`quantized`.
    """
    before, after = (_bare(part, body) for part in (parts.before, body))
    model = onnx.compose.merge_models(before, after, io_map=[(PIXELS, PIXELS)], outputs=list(_OUTPUTS))
    kept = {"", "image", PIXELS, *_OUTPUTS}
    short: dict[str, str] = {}

    def renamed(name: str) -> str:
        if name in kept or name.startswith("loupe_"):
            return name
        return short.setdefault(name, f"t{len(short)}")

    for node in model.graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        if node.op_type not in LAYERS:
            node.name = ""
    for constant in model.graph.initializer:
        constant.name = renamed(constant.name)
    return model


def _resize_first(before: Any) -> Any:
    """The preprocessing as it is written today: bundles of earlier versions have the transpose before the resize.

    In that order onnxruntime 1.32 moves the transposes of an int8 network through the resize and cannot load it.
    """
    resize = next(node for node in before.graph.node if node.op_type == "Resize")
    transpose = next(node for node in before.graph.node if node.op_type == "Transpose")
    if resize.input[0] == transpose.output[0]:
        resize.input[0], resize.output[0], transpose.input[0], transpose.output[0] = (
            transpose.input[0], transpose.output[0], transpose.output[0], resize.output[0],
        )  # fmt: skip
        next(a for a in resize.attribute if a.name == "axes").ints[:] = [1, 2]
        order = list(before.graph.node)
        i, j = order.index(transpose), order.index(resize)
        order[i], order[j] = order[j], order[i]
        del before.graph.node[:]
        before.graph.node.extend(order)
    return before


def _bare(model: Any, versions: Any) -> Any:
    """A copy without remarks, stating those operator sets of another graph that this one uses."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.value_info[:], made.metadata_props[:], made.opset_import[:]
    used = {""} | {node.domain for node in versions.graph.node}
    made.ir_version = versions.ir_version
    stated = {opset.domain: opset.version for opset in versions.opset_import if opset.domain in used}
    made.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in stated.items())
    return made


def said(layer: str) -> str:
    """The name of a layer as a person would say it, e.g. ``blocks.1.0.conv_dw`` for an exporter's long name."""
    parts = [part for part in layer.split("/") if part]
    if len(parts) > 1 and parts[-1].split("_")[0] in LAYERS:
        parts = parts[:-1]
    return ".".join(p for p, following in zip(parts, [*parts[1:], ""], strict=True) if not following.startswith(p))


def _behind_layers(body: Any, layers: Collection[str]) -> set[str]:
    """Tensors that come out of a layer, or of an addition of such."""
    found: set[str] = set()
    for node in body.graph.node:
        adds = node.op_type == "Add" and set(node.input) <= found
        if node.name in layers or (node.op_type in _REMOVABLE and node.input[0] in found) or adds:
            found.update(node.output)
    return found
