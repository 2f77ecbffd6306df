"""Narrower layers solved anew, so that each gives what the wide network's gave, on what now reaches it.

One layer after the other in closed form (He, Zhang and Sun, "Channel pruning for accelerating very deep neural
networks", ICCV 2017): most of what pruning costs is back before any gradient.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import require
from shared.training.backbones import torch

layers: Any = require("timm.layers", extra="train")

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e6)
"""About the inherited weights, relative to the mean variance of a layer's inputs; the last one leaves them alone."""
JUDGES = 4
"""One in so many images is set aside to choose the ridge on."""
ROWS = 6000
"""Places over all images from which a layer is solved."""
MOST_INPUTS = 1200
"""A layer with more inputs, kernel counted in, is left as it is inherited: it would take minutes."""


class _Reached(Exception):
    """Ends a forward pass at the layer of interest."""


def solve(small: Any, wide: Any, kept: Mapping[str, Any], batches: Sequence[Any]) -> int:
    """Solve every ungrouped convolution of ``small`` for the outputs of ``wide``.

    Args:
        small: The narrower network, in evaluation mode; changed in place.
        wide: The one it was cut from, whose layers have the same names.
        kept: For each convolution of ``small`` the output channels of ``wide`` that it still has, ``(channels,)``.
        batches: Normalised pixels ``(n, 3, side, side)``.

    Returns:
        How many layers were solved.
    """
    with torch.no_grad():
        solvable = _in_order(small, batches[0][:1])
        names = {layer: name for name, layer in small.named_modules()}
        wanted = _outputs(wide, [names[layer] for layer, _ in solvable], kept, batches)
        for layer, norm in solvable:
            _solve(small, layer, norm, wanted[names[layer]], batches)
    return len(solvable)


def _in_order(net: Any, example: Any) -> list[tuple[Any, Any]]:
    """Ungrouped convolutions in the order of their use, each with the batch normalisation right behind it or None."""
    used: list[Any] = []
    kinds = (torch.nn.Conv2d, torch.nn.modules.batchnorm._BatchNorm)
    hooks = [
        module.register_forward_hook(lambda module, given, made: used.append(module))
        for module in net.modules()
        if isinstance(module, kinds)
    ]
    net(example)
    for hook in hooks:
        hook.remove()
    found = []
    for module, after in zip(used, [*used[1:], None], strict=True):
        if not isinstance(module, torch.nn.Conv2d) or module.groups > 1 or used.count(module) > 1:
            continue
        norm = after if isinstance(after, kinds[1]) and after.num_features == module.out_channels else None
        inputs = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
        if inputs <= MOST_INPUTS and module.in_channels > 3 and (norm is not None or module.bias is not None):
            found.append((module, norm))
    return found


def _outputs(wide: Any, names: Sequence[str], kept: Mapping[str, Any], batches: Sequence[Any]) -> dict[str, Any]:
    """What the wide network's layers give at the places that are looked at, the kept channels alone: ``(rows, c)``."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    modules = dict(wide.named_modules())

    def keep(name: str) -> Any:
        return lambda module, given, made: found[name].append(_at_places(made[:, kept[name]], len(batches)))

    hooks = [modules[name].register_forward_hook(keep(name)) for name in names]
    for batch in batches:
        wide(batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def _solve(net: Any, layer: Any, norm: Any, wanted: Any, batches: Sequence[Any]) -> None:
    """Ridge about the inherited weights; what is constant goes into the bias or the normalisation's mean."""
    x, y = _inputs(net, layer, batches).double(), wanted.double()
    inherited = layer.weight.flatten(1).double()
    judge = len(x) - len(x) // JUDGES  # whole images: those of the last batches
    errors = [
        float((x[judge:] @ weight.T + constant - y[judge:]).square().mean())
        for weight, constant in (_ridge(x[:judge], y[:judge], inherited, strength) for strength in RIDGES)
    ]
    weight, constant = _ridge(x, y, inherited, RIDGES[min(range(len(errors)), key=errors.__getitem__)])
    layer.weight.copy_(weight.view_as(layer.weight))
    if layer.bias is not None:
        layer.bias.copy_(constant)
    else:
        norm.running_mean.sub_(constant.float())


def _ridge(x: Any, y: Any, inherited: Any, strength: float) -> tuple[Any, Any]:
    """Weights ``(outputs, inputs)`` and constant ``(outputs,)`` from rows ``(n, inputs)`` to ``(n, outputs)``."""
    middle, goal = x.mean(0), y.mean(0)
    a = x - middle
    gram = a.T @ a
    left = a.T @ (y - goal - a @ inherited.T)
    gram.diagonal().add_(strength * gram.diagonal().mean() + 1e-12)
    weight = inherited + torch.linalg.solve(gram, left).T
    return weight, goal - weight @ middle


def _inputs(net: Any, layer: Any, batches: Sequence[Any]) -> Any:
    """What reaches a layer at the places that are looked at: ``(rows, inputs)``."""
    found: list[Any] = []

    def keep(module: Any, given: Any) -> None:
        found.append(_patches(module, given[0], len(batches)))
        raise _Reached

    hook = layer.register_forward_pre_hook(keep)
    for batch in batches:
        try:
            net(batch)
        except _Reached:
            continue
    hook.remove()
    return torch.cat(found)


def _patches(layer: Any, maps: Any, count: int) -> Any:
    if max(layer.kernel_size) == 1 and max(layer.stride) == 1:
        return _at_places(maps, count)
    unfolded = torch.nn.functional.unfold(_padded(layer, maps), layer.kernel_size, layer.dilation, 0, layer.stride)
    return _at_places(unfolded[..., None], count)


def _padded(layer: Any, maps: Any) -> Any:
    """As the layer itself does it: timm's layers that pad as TensorFlow does, and plain ones."""
    if isinstance(layer, layers.Conv2dSame):
        return layers.pad_same(maps, layer.kernel_size, layer.stride, layer.dilation)
    high, wide = layer.padding
    return torch.nn.functional.pad(maps, (wide, wide, high, high))


def _at_places(maps: Any, batches: int) -> Any:
    """Values at the same scattered places of every image: ``(n, c, ...)`` to ``(n * places, c)``."""
    flat = maps.flatten(2)
    places = flat.shape[2]
    count = min(places, max(1, ROWS // (batches * len(maps))))
    # A stride without a common factor with the row length would do, too; a seeded draw is the same for every layer.
    chosen = torch.randperm(places, generator=torch.Generator().manual_seed(0))[:count]
    return flat[:, :, chosen].permute(0, 2, 1).flatten(0, 1)
