"""Pruning: whole channels are taken out of a network, wherever they are used, until it is as fast as was asked for."""

import copy
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shared.building.candidates import Candidate
from shared.compression import latency, reconstruction, teaching
from shared.compression.parent import Parent, seconds_left
from shared.compression.recipe import Compression
from shared.errors import BundleError, ConfigError, ExportError, MissingDependency, Offline, require
from shared.export import parity
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.training import backbones, kept_backbone
from shared.training.backbones import FieldNet, torch

ROUND_TO = 8
"""Channels are kept in multiples of it; kernels of runtimes work on so many at a time."""
MOST = 0.9
"""No layer loses more than this share of its channels."""
HALVINGS = 6
TIMED_SECONDS = 3.0
FIRST_SHARE = 0.65
"""Of the time that is left, for the speed-up that was asked for; the rest is for gentler ones."""


@dataclass(frozen=True)
class Cut:
    """A network without some of its channels.

    Attributes:
        net: In evaluation mode.
        kept: For each convolution the output channels that it still has, by their old numbers, ``(channels,)`` int64.
        ratio: Share of channels that was asked to be taken out.
        speedup: Measured, before over after; nan where it was not.
    """

    net: FieldNet
    kept: Mapping[str, Any]
    ratio: float
    speedup: float = float("nan")


def rungs(parent: Parent, recipe: Compression) -> Iterator[Candidate]:
    """The speed-up asked for, then gentler ones; each recovers by learning from the parent.

    Args:
        parent: The network to prune.
        recipe: ``prune`` says how much.

    Raises:
        ConfigError: The parent has no torch network, or one in which channels cannot be followed.
    """
    own = recipe.prune
    net, of = _network(parent)
    batches = teaching.batches(parent, net)
    need = needs(parent, net, batches)
    for step in range(own.steps):
        wanted = own.speedup ** (1 - step / own.steps)
        cut = as_fast(parent, net, of, need, wanted)
        if cut is None:
            parent.work.say(f"{wanted:.2f} times as fast: cannot be reached by taking channels out")
            continue
        solved = reconstruction.solve(cut.net, net, cut.kept, batches)
        parent.work.say(
            f"{cut.speedup:.2f} times as fast without {cut.ratio:.0%} of the channels; {solved} layers solved anew"
        )
        last = step == own.steps - 1
        made = teaching.taught(
            parent,
            f"pruned, {wanted:.2f} times as fast",
            cut.net,
            of,
            loss=own.loss,
            epochs=own.epochs,
            seconds=(1.0 if last else FIRST_SHARE) * seconds_left(parent),
            changed="pruned",
            seed=recipe.seed,
        )
        pruned = {"ratio": round(cut.ratio, 4), "speedup": round(cut.speedup, 3), "wanted": round(wanted, 3)}
        yield replace(made, details={**made.details, "pruning": pruned})


def _network(parent: Parent) -> tuple[FieldNet, Recipe]:
    try:
        return parent.network()
    except (BundleError, Offline) as error:
        raise ConfigError(
            f"prune: needs the torch network of the bundle, and {error}; prune before quantize"
        ) from error


def needs(parent: Parent, net: FieldNet, batches: list[Any]) -> dict[str, Any]:
    """How strongly the parent's scores depend on each weight: the mean squared gradient, by name of the parameter.

    Of a random sum of the scores, whose squared gradient is in expectation that of all scores: the diagonal of
    Gauss and Newton's matrix. Times the squared weight it says what the answers lose without it (LeCun et al.,
    "Optimal brain damage", 1990).

    Args:
        parent: Gives the head.
        net: Its network.
        batches: Normalised pixels.
    """
    judge = copy.deepcopy(net).requires_grad_(True)
    says = teaching.answer(parent)
    generator = torch.Generator().manual_seed(0)
    total: dict[str, Any] = {}
    for image in (image for batch in batches for image in batch):
        judge.zero_grad(set_to_none=True)
        scores = says(judge(image[None])[0])
        signs = 2.0 * torch.randint(2, scores.shape, generator=generator) - 1
        (scores * signs).sum().backward()
        for name, parameter in judge.named_parameters():
            if parameter.grad is not None:
                squared = parameter.grad.square()
                total[name] = total[name] + squared if name in total else squared
    return {name: value / sum(len(batch) for batch in batches) for name, value in total.items()}


def as_fast(parent: Parent, net: FieldNet, of: Recipe, need: Mapping[str, Any], wanted: float) -> Cut | None:
    """The fewest channels without which the whole model is so many times as fast, by bisection; None where none are.

    What stands around the network in the graph stays as slow as it was, so the network itself has to gain more.
    """
    whole_file = (parent.bundle.path / bundles.MODEL).read_bytes()
    files = [whole_file, parent.candidate.extractor.model.SerializeToString()]
    low, high, best = 0.0, MOST, None
    for _ in range(HALVINGS):
        ratio = (low + high) / 2
        cut = taken_out(net, of, need, ratio)
        try:
            model, _ = parity.export(cut.net, parent.pictures)
        except ExportError:  # so little is left that rounding is all that its features show
            high = ratio
            continue
        times = latency.compared([*files, model.SerializeToString()], parent.pictures, seconds=TIMED_SECONDS)
        whole, bare, new = (t.p50 for t in times)
        speedup = whole / (new + max(whole - bare, 0.0))
        if speedup >= wanted:
            high, best = ratio, replace(cut, speedup=speedup)
        else:
            low = ratio
    return best


def _take(made: FieldNet, kept: dict[str, Any], ratio: float) -> None:
    """Take channels out in place, their need in the gradients; ``kept`` follows."""
    tp = require("torch_pruning", extra="compress")
    names = {module: name for name, module in made.named_modules()}
    outputs = (tp.prune_conv_out_channels, tp.prune_depthwise_conv_out_channels)
    pruner = _by_need(tp)(
        made,
        torch.zeros(1, 3, made.image_size, made.image_size),
        tp.importance.GroupHessianImportance(group_reduction="sum"),
        global_pruning=True,
        pruning_ratio=ratio,
        max_pruning_ratio=MOST,
        round_to=ROUND_TO,
    )
    for group in pruner.step(interactive=True):
        for dependency, channels in group:
            name = names.get(dependency.target.module, "")
            if dependency.handler in outputs and name in kept:
                kept[name] = torch.from_numpy(np.delete(kept[name].numpy(), channels))
        group.prune()


def _by_need(tp: Any) -> Any:
    """torch-pruning's pruner, but layers that are needed least become the narrowest.

    By itself it rounds to no channel at all where few should stay, and then leaves that layer as wide as it was; and a
    layer that the answers do not need, such as one of a stage that the head does not read, gives it 0 / 0 for a need,
    which counts as the greatest.
    """

    class Pruner(tp.pruner.BasePruner):  # type: ignore[misc]
        def estimate_importance(self, group: Any) -> Any:
            need = super().estimate_importance(group)
            return None if need is None else torch.nan_to_num(need)

        def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
            least = round_to * math.ceil((1 - MOST) * current_channels / round_to)
            staying = max(least, (current_channels - n_pruned) // round_to * round_to)
            return max(current_channels - staying, 0)

    return Pruner


def _check_comes_back(net: FieldNet, of: Recipe) -> None:
    """Whether the shapes of its tensors are enough to build a network again, as a bundle does.

    Raises:
        ValueError: It comes back as another one; torch raises its own where it does not come back at all.
    """
    state = net.model.state_dict()
    model = backbones.bare(replace(of, image_size=net.image_size))
    kept_backbone.fit_shapes(model, state)
    model.num_features = net.model.num_features
    model.load_state_dict(state)
    again = FieldNet(model.eval(), replace(of, image_size=net.image_size), net.mean, net.std).eval()
    pixels = torch.linspace(-1, 1, 3 * net.image_size**2).view(1, 3, net.image_size, net.image_size)
    with torch.inference_mode():
        if not torch.equal(net(pixels)[0], again(pixels)[0]):
            raise ValueError("rebuilt by its shapes it gives other features")


def taken_out(net: FieldNet, of: Recipe, need: Mapping[str, Any], ratio: float) -> Cut:
    """A copy of a network without the channels that are needed least, wherever they are used.

    Args:
        net: In evaluation mode; it is not changed.
        of: Names its architecture.
        need: See :func:`needs`.
        ratio: Share of the channels to take out, 0 to :data:`MOST`.

    Raises:
        ConfigError: torch-pruning cannot follow its channels.
    """
    made = copy.deepcopy(net).requires_grad_(True)
    for name, parameter in made.named_parameters():
        parameter.grad = need[name].clone() if name in need else None
    kept = {n: torch.arange(m.out_channels) for n, m in made.named_modules() if isinstance(m, torch.nn.Conv2d)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parameters that no layer owns: what cannot be followed fails below
            _take(made, kept, ratio)
        model = made.model.eval().requires_grad_(False)
        if net.use_final:
            model.num_features = made._maps(torch.zeros(1, 3, net.image_size, net.image_size))[0].shape[1]
        narrower = FieldNet(model, replace(of, image_size=net.image_size), net.mean, net.std).eval()
        _check_comes_back(narrower, of)
    except MissingDependency:
        raise
    except Exception as error:  # the tracer and the cut network fail in many ways
        raise ConfigError(
            f"prune: the channels of {of.backbone or 'the backbone'} cannot be taken out ({type(error).__name__}); "
            "convolutional networks can be pruned, others can be distilled"
        ) from error
    for parameter in narrower.parameters():
        parameter.grad = None
    return Cut(narrower, kept, ratio)
