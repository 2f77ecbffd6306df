"""The network trained for a while as if its weights and what flows into its layers were rounded already.

Rounding is part of the forward pass, and the backward pass goes straight through it (Jacob et al. 2018). What is
learnt is the parent's features of the same views, by mean squared error in units of their deviation; no label is
needed, and batch normalisation keeps its statistics. Rounding a weight per channel before its normalisation is folded
in is the same as rounding it after, as both scale with the channel.
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from shared.building.candidates import Candidate
from shared.compression import head_recovery
from shared.compression.ladder import Ladder
from shared.compression.parent import Parent, until
from shared.compression.recipe import Compression
from shared.data import images
from shared.errors import BundleError, Offline
from shared.export import parity
from shared.training.backbones import FieldNet, torch
from shared.training.kept_backbone import KeptBackbone
from shared.training.pixels import Pixels

BATCH = 16
RATE = 3e-4
"""Learning rate of Adam at the start; it falls to 0 with the cosine of the time that is spent."""
MOST_EPOCHS = 40
_OBSERVED = 4
"""Batches on which the ranges of what flows are found; they stay as they are then."""


def rungs(parent: Parent, recipe: Compression) -> Iterator[Candidate]:
    """The rung of training, where the bundle has its torch network and there is time for it.

    Args:
        parent: The larger model.
        recipe: Its ``quantize.recovery`` is the share of the time that is left.
    """
    try:
        teacher, made_with = parent.network()
    except (BundleError, Offline) as error:
        parent.work.say(f"training in whole numbers: left out, as {error}")
        return
    net = trained(parent, teacher, recipe)
    model, compared = parity.export(net, parent.pictures)
    ladder = Ladder.of(parent, recipe, model)
    body = ladder.fixed(())
    known = ladder.features(body)
    head = head_recovery.taught(parent, head_recovery.standardised(parent, known), known)
    made = ladder.rung("int8, trained in whole numbers, head taught by the parent", body, known=known, head=head)
    extractor = replace(made.extractor, parity=vars(compared) | {"tried": list(compared.tried)})
    yield replace(made, extractor=extractor, kept=KeptBackbone(net, replace(made_with, image_size=net.image_size)))


def trained(parent: Parent, teacher: FieldNet, recipe: Compression) -> FieldNet:
    """A copy of the network whose rounded features are as close to the network's own as the time allows.

    Args:
        parent: Whose training images.
        teacher: Its network, in evaluation mode.
        recipe: Bits, share of the time and seed.
    """
    last = until(parent, recipe.quantize.recovery)
    began = time.monotonic()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    net = copy.deepcopy(teacher)
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    weights = _round_weights(layers, 7 if recipe.quantize.reduce_range else 8)
    flows = [_Flow(layer) for layer in layers]
    rows, manifest = parent.parts["train"].rows, parent.work.manifest
    pictures = Pixels(
        lambda i: images.read(manifest.file(rows[i].sample), window=rows[i].sample.window),
        range(len(rows)), net.image_size,
    )  # fmt: skip
    spread = torch.tensor(parent.candidate.head.deviation, dtype=torch.float32)
    for parameter in weights:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(weights, lr=RATE)
    step, steps = 0, MOST_EPOCHS * max(1, len(rows) // BATCH)
    while step < steps and (step < _OBSERVED or time.monotonic() < last):
        done = max(step / steps, (time.monotonic() - began) / max(last - began, 1e-3))
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * min(done, 1.0)))
        seen = _views(pictures.take(rng.integers(0, len(rows), BATCH)), teacher, rng)
        with torch.no_grad():
            wanted = teacher(seen)[0]
        loss = (((net(seen)[0] - wanted) / spread) ** 2).clamp(max=100.0).mean()
        if step >= _OBSERVED:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        elif step == _OBSERVED - 1:
            for flow in flows:
                flow.fix()
        step += 1
    for layer in layers:
        torch.nn.utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    for flow in flows:
        flow.remove()
    result: FieldNet = net.eval().requires_grad_(False)
    return result


def _views(pixels: Any, net: FieldNet, rng: np.random.Generator) -> Any:
    """Normalised pixels, mirrored at random: what the teacher sees is what the pupil sees."""
    mirrored = [axis for axis in (2, 3) if rng.random() < 0.5]
    shift, spread = (255 * torch.tensor(v).view(1, 3, 1, 1) for v in (net.mean, net.std))
    return (pixels.flip(mirrored).float() - shift) / spread


def _round_weights(layers: list[Any], bits: int) -> list[Any]:
    """Let layers use rounded weights; the real ones, which learn."""
    for layer in layers:
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", _Rounded(bits))
    return [layer.parametrizations.weight.original for layer in layers]


class _Rounded(torch.nn.Module):  # type: ignore[misc]
    """Weights rounded per output channel, symmetric about 0."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.most = 2 ** (bits - 1) - (bits == 8)

    def forward(self, weight: Any) -> Any:
        largest = weight.detach().flatten(1).abs().amax(1).clamp(min=1e-12)
        scale = (largest / self.most).view(-1, *[1] * (weight.ndim - 1))
        return weight + ((weight / scale).round() * scale - weight).detach()


class _Flow:
    """Rounds what flows into a layer, once its range was observed."""

    def __init__(self, layer: Any) -> None:
        self._low, self._high, self._scale = 0.0, 0.0, 0.0
        self._handle = layer.register_forward_pre_hook(self._rounded)

    def fix(self) -> None:
        """Stop observing."""
        self._scale = max(self._high - self._low, 1e-12) / 255

    def remove(self) -> None:
        """Leave the layer as it was."""
        self._handle.remove()

    def _rounded(self, _: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0]
        if not self._scale:
            self._low = min(self._low, float(x.detach().min()))
            self._high = max(self._high, float(x.detach().max()))
            return inputs
        bounded = x.clamp(self._low, self._high)
        levels = ((bounded - self._low) / self._scale).round() * self._scale + self._low
        return (bounded + (levels - bounded).detach(), *inputs[1:])
