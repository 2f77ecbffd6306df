"""Distillation: a smaller network, begun as close to its parent as it can be, learns what the parent answers."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from shared.building.candidates import Candidate
from shared.compression import teaching
from shared.compression.parent import Parent, seconds_left
from shared.compression.recipe import CHOSEN_OVER, Compression, Distil
from shared.errors import BundleError, ConfigError, Offline
from shared.pretraining import inherit
from shared.recipe import DEFAULT_BACKBONE, Recipe
from shared.reporting.paired import paired
from shared.training import backbones, embedded
from shared.training.backbones import FieldNet

ALONE = "trained alone"
"""Name of the student that learnt from the labels and nothing else."""
NARROWER = str(embedded.EXPANSION // 2)
"""Hidden channels per input channel of the default student, where the parent is the embedded backbone."""


def rungs(parent: Parent, recipe: Compression) -> Iterator[Candidate]:
    """The student that learnt from the parent, and the same one that learnt alone for the same time; the better first.

    Args:
        parent: The teacher.
        recipe: ``distil`` names the student.

    Raises:
        ConfigError: There is no such student, or it is not smaller.
    """
    own = recipe.distil
    net, of = student(parent, own)
    parent.work.say(f"student: {of.backbone or DEFAULT_BACKBONE}, {parameters(net):,} parameters, {net.image_size} px")

    def learnt(name: str, loss: str, seconds: float) -> Candidate:
        return teaching.taught(
            parent, name, net, of, loss=loss, epochs=own.epochs, seconds=seconds, changed=name, seed=recipe.seed
        )

    if not own.baseline or own.loss == "none":
        yield learnt("distilled" if own.loss != "none" else ALONE, own.loss, seconds_left(parent))
        return
    distilled = learnt("distilled", own.loss, seconds_left(parent) / 2)
    yield from _ranked(parent, distilled, learnt(ALONE, "none", seconds_left(parent)))


def _ranked(parent: Parent, distilled: Candidate, alone: Candidate) -> tuple[Candidate, Candidate]:
    """Both, with what the teacher was worth on the validation images, which choose."""
    part = parent.parts["validation"]
    without, taught = (c.probabilities(parent.of(c.known)["validation"]).argmax(1) for c in (alone, distilled))
    worth = paired(part.y, without, taught, part.groups)
    parent.work.say(f"what the teacher was worth, same student, same time: {worth}")
    distilled, alone = (
        replace(c, details={**c.details, "teacher_was_worth": asdict(worth)}) for c in (distilled, alone)
    )
    first, second = (distilled, alone) if worth.value >= 0 else (alone, distilled)
    return replace(first, details={**first.details, CHOSEN_OVER: 1}), second


def student(parent: Parent, own: Distil) -> tuple[FieldNet, Recipe]:
    """The network that will learn, with all that it can inherit, and the recipe that names its architecture."""
    before = parent.work.recipe
    size = own.image_size or parent.candidate.image_size
    if own.student or own.weights or own.backbone_args:
        wanted = replace(
            before,
            backbone=own.student,
            weights=own.weights,
            backbone_args=own.backbone_args,
            mean=(),
            std=(),
            image_size=size,
        )
        return backbones.create(wanted)[0], wanted
    full = replace(Recipe(), image_size=size, seed=before.seed, threads=before.threads, tuning=before.tuning)
    if parent.candidate.extractor.origin["name"] != DEFAULT_BACKBONE:
        return backbones.create(full)[0], full
    narrow = replace(full, backbone_args={"expansion": NARROWER})
    return _narrower(parent, full, narrow), narrow


def _narrower(parent: Parent, full: Recipe, narrow: Recipe) -> FieldNet:
    """The embedded backbone with narrower blocks, each solved to give what the wide one gives on the images."""
    try:
        wide = parent.network()[0].model
    except (BundleError, ConfigError, Offline):
        wide = backbones.create(full)[0].model
    made = backbones.bare(narrow)
    if _widths(made) != _widths(wide) or _hidden(made) >= _hidden(wide):
        raise ConfigError(
            f"distil: the network of {parent.bundle.path} is no wider than the default student; name a smaller one, "
            "e.g. --set distil.student=lcnet_050 --set distil.weights=random, or prune instead"
        )
    net = FieldNet(made, narrow, embedded.MEAN, embedded.STD)
    inherit.narrowed(made, wide, teaching.batches(parent, net))
    made.requires_grad_(False)
    net.eval()
    return net


def parameters(net: FieldNet) -> int:
    """Number of weights."""
    return sum(p.numel() for p in net.model.parameters())


def _widths(model: Any) -> list[int]:
    return [int(block[-1].conv_pwl.out_channels) for block in list(model.blocks)[1:]]


def _hidden(model: Any) -> int:
    return sum(
        int(block.conv_pw.out_channels) for stage in model.blocks for block in stage if hasattr(block, "conv_pw")
    )
