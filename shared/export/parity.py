"""A torch backbone in, an ONNX graph out that was seen to give the same numbers on real images, or nothing."""

import copy
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ExportError, require
from shared.export import graph
from shared.inference import runtime

torch: Any = require("torch", extra="train")
onnx: Any = require("onnx", extra="train")

TOLERANCE = 1e-2
"""Largest difference of a feature in units of its deviation over the images (at least 1 % of the largest one)."""


@dataclass(frozen=True)
class Parity:
    """What was compared, and how close it was.

    Attributes:
        exporter: ``dynamo`` or ``torchscript``.
        images: Number of real images compared.
        max_difference: Largest difference of a feature in units of its deviation over the images.
        tried: What failed before, in words.
    """

    exporter: str
    images: int
    max_difference: float
    tried: tuple[str, ...] = ()


def export(net: Any, images: Sequence[NDArray[np.uint8]], *, first: str = "torchscript") -> tuple[Any, Parity]:
    """Export a :class:`shared.training.backbones.FieldNet` with its preprocessing, and prove it equal.

    The older exporter is tried first, as it is ten times faster, and torch's new one second; both have produced wrong
    results on ordinary networks (pytorch issues 166797 and 169178), so neither is believed without the comparison.

    Args:
        net: The network, in evaluation mode.
        images: Real images to compare on, each ``(height, width, 3)`` uint8.
        first: ``torchscript`` or ``dynamo``.

    Returns:
        ModelProto with input ``image`` and outputs ``features`` and ``field``, and the comparison.

    Raises:
        ExportError: No exporter gives the same numbers as torch.
    """
    expected = torch_features(net, images)
    net = with_fixed_padding(net)
    tried: list[str] = []
    exporters: dict[str, Callable[[Any], Any]] = {"dynamo": _dynamo, "torchscript": _torchscript}
    for name, exporter in sorted(exporters.items(), key=lambda e: e[0] != first):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                backbone = exporter(net)
            model = graph.with_preprocessing(backbone, image_size=net.image_size, mean=net.mean, std=net.std)
            actual = onnx_features(model, images)
        except Exception as error:  # exporters fail in many ways; each is a reason to try the next
            tried.append(f"{name}: {str(error).splitlines()[0][:200]}")
            continue
        difference = relative_difference(expected, actual)
        if difference <= TOLERANCE:
            return model, Parity(name, len(images), difference, tuple(tried))
        tried.append(f"{name}: features differ by {difference:.2g} deviations")
    raise ExportError(f"the exported backbone does not agree with torch ({'; '.join(tried)}); choose another backbone")


def with_fixed_padding(net: Any) -> Any:
    """A copy in which convolutions that compute their padding from the size of their input have it as a constant.

    The input has one size, and as a computation of sizes the padding takes half of an exported graph's nodes.
    """
    same = require("timm.layers", extra="train").Conv2dSame
    made = copy.deepcopy(net)
    sizes: dict[str, tuple[int, int]] = {}
    named = {name: module for name, module in made.named_modules() if isinstance(module, same)}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: sizes.update({name: inputs[0].shape[-2:]}))
        for name, module in named.items()
    ]
    with torch.inference_mode():
        made(_example(made))
    for hook in hooks:
        hook.remove()
    for name in sizes:
        parent = made.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], _padded(named[name], sizes[name]))
    return made.eval()


def _padded(conv: Any, size: tuple[int, int]) -> Any:
    """The convolution behind constant padding as TensorFlow's SAME pads: the odd pixel below and to the right."""
    padding = []
    for side, kernel, stride, dilation in zip(
        reversed(size), reversed(conv.kernel_size), reversed(conv.stride), reversed(conv.dilation), strict=True
    ):
        needed = max((-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 - side, 0)
        padding += [needed // 2, needed - needed // 2]
    plain = torch.nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, 0, conv.dilation, conv.groups,
        conv.bias is not None,
    )  # fmt: skip
    plain.load_state_dict(conv.state_dict())
    if padding[::2] == padding[1::2]:
        plain.padding = (padding[2], padding[0])
        return plain
    return torch.nn.Sequential(torch.nn.ZeroPad2d(tuple(padding)), plain)


def relative_difference(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Largest difference between features ``(n, d)`` in units of each feature's deviation; inf for NaN."""
    if expected.shape != actual.shape or not np.isfinite(actual).all():
        return float("inf")
    deviation = expected.std(0)
    floor = 0.01 * float(deviation.max()) if len(expected) > 1 else float(np.abs(expected).max())
    return float((np.abs(expected - actual) / np.maximum(deviation, max(floor, 1e-6))).max())


def torch_features(net: Any, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Features by torch alone, preprocessing included; ``(n, d)``."""
    mean = 255 * torch.tensor(net.mean).view(1, 3, 1, 1)
    std = 255 * torch.tensor(net.std).view(1, 3, 1, 1)
    out = []
    with torch.inference_mode():
        for image in images:
            pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
            size = (net.image_size, net.image_size)
            pixels = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
            out.append(net((pixels - mean) / std)[0].numpy())
    return np.concatenate(out)


def onnx_features(model: Any, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The same by onnxruntime; ``(n, d)``."""
    session = runtime.session(model.SerializeToString())
    return np.concatenate([session.run(["features"], {"image": batch})[0] for batch in runtime.batches(images)])


def _example(net: Any) -> Any:
    # A batch of one would be baked into the graph as a constant.
    return torch.zeros(2, 3, net.image_size, net.image_size)


def _dynamo(net: Any) -> Any:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        batch = torch.export.Dim("batch", min=1, max=4096)
        program = torch.onnx.export(
            net,
            (_example(net),),
            dynamo=True,
            dynamic_shapes=({0: batch},),
            input_names=["pixels"],
            output_names=["features", "field"],
            opset_version=graph.OPSET,
            verbose=False,
        )
        return program.model_proto
    finally:
        logger.setLevel(level)


def _torchscript(net: Any) -> Any:
    buffer = io.BytesIO()
    torch.onnx.export(
        net,
        (_example(net),),
        buffer,
        dynamo=False,
        dynamic_axes={name: {0: "batch"} for name in ("pixels", "features", "field")},
        input_names=["pixels"],
        output_names=["features", "field"],
        opset_version=graph.OPSET,
    )
    return onnx.load_from_string(buffer.getvalue())
