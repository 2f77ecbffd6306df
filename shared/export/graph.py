"""The ONNX graph of a bundle: uint8 RGB in; preprocessing, backbone, head, temperature, novelty, class map inside."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from shared.inference.novelty import Novelty, levels

onnx: Any = require("onnx", extra="train")

OPSET = 18
"""The first opset whose Resize has antialiasing, and one that every runtime of the last years reads."""
VERSION = 3
"""Raise it when other nodes are put around a backbone."""


@dataclass(frozen=True)
class Head:
    """A linear head on features, as numbers: scores = ((features - mean) / deviation) @ weights + bias.

    Attributes:
        mean: ``(features,)`` float64.
        deviation: ``(features,)`` float64, above 0.
        weights: ``(features, labels)`` float64.
        bias: ``(labels,)`` float64.
        temperature: Scores are divided by it before softmax.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    temperature: float

    def standardise(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features ``(n, features)`` with mean 0 and deviation 1 on the training images."""
        result: NDArray[np.float64] = (np.asarray(features, np.float64) - self.mean) / self.deviation
        return result

    def scores(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores ``(n, labels)``, already divided by the temperature."""
        result: NDArray[np.float64] = (self.standardise(features) @ self.weights + self.bias) / self.temperature
        return result


def with_preprocessing(backbone: Any, *, image_size: int, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Put resize and normalisation in front of a graph that takes normalised pixels.

    The resize is bilinear with antialiasing (as Pillow's), to ``image_size`` squared: nothing is cropped away, because
    what is cropped is not looked at.

    Args:
        backbone: ModelProto with input ``pixels`` ``(n, 3, size, size)`` and outputs ``features`` and ``field``.
        image_size: Side in pixels.
        mean: Per channel, 0 to 1.
        std: Per channel, 0 to 1.

    Returns:
        A new ModelProto with input ``image`` ``(n, height, width, 3)`` uint8.
    """
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    graph = model.graph
    deviation: NDArray[np.float32] = np.asarray(std, np.float32)
    scale = np.asarray(1.0 / (255.0 * deviation), np.float32)
    shift = np.asarray(-np.asarray(mean, np.float32) / deviation, np.float32)
    constants = {
        "loupe_sizes": np.array([image_size, image_size], np.int64),
        "loupe_scale": _per_channel(scale),
        "loupe_shift": _per_channel(shift),
    }
    resize = onnx.helper.make_node(
        "Resize",
        ["loupe_float", "", "", "loupe_sizes"],
        ["loupe_resized"],
        axes=[1, 2],
        mode="linear",
        antialias=1,
        exclude_outside=1,  # torch and Pillow renormalise the filter at the border; without this, border rows differ
        coordinate_transformation_mode="half_pixel",
    )
    nodes = [
        _node("Cast", ["image"], "loupe_float", to=onnx.TensorProto.FLOAT),
        # Before the transpose: large pictures cost a third, and onnxruntime 1.32 moves the transposes of an int8
        # network through a Resize behind it in a way that it then cannot load.
        resize,
        _node("Transpose", ["loupe_resized"], "loupe_chw", perm=[0, 3, 1, 2]),
        _node("Mul", ["loupe_chw", "loupe_scale"], "loupe_scaled"),
        _node("Add", ["loupe_scaled", "loupe_shift"], graph.input[0].name),
    ]
    body = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *body])
    graph.input.append(_value("image", onnx.TensorProto.UINT8, ["batch", "height", "width", 3]))
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    del graph.value_info[:]
    return model


def with_head(features: Any, head: Head, novelty: Novelty, metadata: Mapping[str, Any]) -> Any:
    """Put the head, the novelty score and the class map behind a graph that gives features and field.

    Args:
        features: ModelProto from :func:`with_preprocessing`.
        head: The linear head.
        novelty: The novelty statistics.
        metadata: Written into ``metadata_props["loupe"]`` as JSON.

    Behind a network in whole numbers the directions of the novelty are stored in 8 bits too: they would weigh a fifth
    of the file, and it is for the caller to fit them so (``eight_bits``).

    Returns:
        A new ModelProto with outputs ``probabilities``, ``scores`` (before softmax), ``novelty``, ``class_map`` and
        ``features``.
    """
    model = onnx.ModelProto()
    model.CopyFrom(features)
    whole = in_whole_numbers(features)
    weights = head.weights / head.temperature
    per_feature = weights / head.deviation[:, None]
    constant = head.bias / head.temperature - (head.mean / head.deviation) @ weights
    constants = {
        "loupe_mean": head.mean,
        "loupe_inverse": 1.0 / head.deviation,
        "loupe_weights": weights,
        "loupe_bias": head.bias / head.temperature,
        "loupe_map_weights": per_feature.T[:, :, None, None],
        "loupe_map_bias": constant,
        "loupe_inverse_deviations": 1.0 / novelty.deviations,
        "loupe_residual": np.array(1.0 / novelty.residual_variance),
        "loupe_novelty_scale": np.array(1.0 / novelty.scale),
    }
    directions = _directions(model, novelty, whole=whole)
    model.graph.node.extend(
        [
            _node("Sub", ["features", "loupe_mean"], "loupe_centred"),
            _node("Mul", ["loupe_centred", "loupe_inverse"], "loupe_z"),
            _node("MatMul", ["loupe_z", "loupe_weights"], "loupe_raw"),
            _node("Add", ["loupe_raw", "loupe_bias"], "scores"),
            _node("Softmax", ["scores"], "probabilities", axis=1),
            _node("Conv", ["field", "loupe_map_weights", "loupe_map_bias"], "class_map"),
            *_novelty_nodes(directions),
        ]
    )
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name) for name, value in constants.items()
    )
    axis = onnx.numpy_helper.from_array(np.array([1], np.int64), "loupe_axis")
    model.graph.initializer.append(axis)
    labels = len(head.bias)
    del model.graph.output[:]
    real = onnx.TensorProto.FLOAT
    model.graph.output.extend(
        [
            _value("probabilities", real, ["batch", labels]),
            _value("scores", real, ["batch", labels]),
            _value("novelty", real, ["batch"]),
            _value("class_map", real, ["batch", labels, "rows", "columns"]),
            _value("features", real, ["batch", len(head.mean)]),
        ]
    )
    onnx.helper.set_model_props(model, {"loupe": json.dumps(dict(metadata))})
    onnx.checker.check_model(model, full_check=True)
    return model


def taken_apart(model: Any) -> tuple[Any, Head, Novelty]:
    """The inverse of :func:`with_head`: the graph before the head, the head (temperature put into it), the novelty.

    Args:
        model: ModelProto of a bundle.
    """
    numbers = {
        i.name: onnx.numpy_helper.to_array(i).astype(np.float64)
        for i in model.graph.initializer
        if i.name.startswith("loupe_") and i.data_type == onnx.TensorProto.FLOAT
    }
    head = Head(
        numbers["loupe_mean"],
        1.0 / numbers["loupe_inverse"],
        numbers["loupe_weights"],
        numbers["loupe_bias"],
        1.0,
    )
    plain = numbers.get("loupe_plain")
    if plain is None:
        directions = next(i for i in model.graph.initializer if i.name == "loupe_plain")
        plain = onnx.numpy_helper.to_array(directions) * numbers["loupe_plain_scale"]
    novel = Novelty(
        plain.astype(np.float32),
        (1.0 / numbers["loupe_inverse_deviations"]).astype(np.float32),
        1.0 / numbers["loupe_residual"].item(),
        1.0 / numbers["loupe_novelty_scale"].item(),
    )
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    # The extractor wants to know the type of what it ends at.
    whole.graph.value_info.append(_value("field", onnx.TensorProto.FLOAT, ["batch", len(head.mean), "rows", "columns"]))
    before = onnx.utils.Extractor(whole).extract_model(["image"], ["features", "field"])
    return before, head, novel


def _per_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(1, 3, 1, 1)``, or one number where all channels share it.

    Int8 networks move the transpose behind this, where a product with three numbers on the last axis costs as much as
    the resize.
    """
    return values.reshape(1, 3, 1, 1) if len(set(values.tolist())) > 1 else values[:1].reshape(1, 1, 1, 1)


def _directions(model: Any, novelty: Novelty, *, whole: bool) -> str:
    """Store the main directions, in 8 bits where asked for; the name of the tensor that holds them as real numbers."""
    if not whole:
        plain = novelty.plain.astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(plain, "loupe_plain"))
        return "loupe_plain"
    stored = dict(zip(("loupe_plain", "loupe_plain_scale"), levels(novelty.plain), strict=True))
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in stored.items())
    # Not DequantizeLinear: runtimes fuse that with the product behind it, and round the features too.
    model.graph.node.extend(
        [
            _node("Cast", ["loupe_plain"], "loupe_plain_levels", to=onnx.TensorProto.FLOAT),
            _node("Mul", ["loupe_plain_levels", "loupe_plain_scale"], "loupe_plain_real"),
        ]
    )
    return "loupe_plain_real"


def in_whole_numbers(model: Any) -> bool:
    """Whether a graph rounds to 8 bits anywhere, as :mod:`shared.compression.qdq` makes it."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def _novelty_nodes(directions: str) -> list[Any]:
    return [
        _node("MatMul", ["loupe_z", directions], "loupe_along"),
        _node("Mul", ["loupe_along", "loupe_inverse_deviations"], "loupe_inside"),
        _node("ReduceSumSquare", ["loupe_inside", "loupe_axis"], "loupe_inside2", keepdims=0),
        _node("ReduceSumSquare", ["loupe_z", "loupe_axis"], "loupe_z2", keepdims=0),
        _node("ReduceSumSquare", ["loupe_along", "loupe_axis"], "loupe_along2", keepdims=0),
        _node("Sub", ["loupe_z2", "loupe_along2"], "loupe_outside"),
        _node("Relu", ["loupe_outside"], "loupe_outside_positive"),
        _node("Mul", ["loupe_outside_positive", "loupe_residual"], "loupe_outside2"),
        _node("Add", ["loupe_inside2", "loupe_outside2"], "loupe_distance2"),
        _node("Sqrt", ["loupe_distance2"], "loupe_distance"),
        _node("Mul", ["loupe_distance", "loupe_novelty_scale"], "novelty"),
    ]


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, inputs, [output], **attributes)


def _value(name: str, kind: int, shape: Sequence[str | int]) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, shape)
