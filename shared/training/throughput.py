"""How fast this machine trains, measured in seconds, and what size and batch fit the time because of it."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import augment, tunable
from shared.training.backbones import FieldNet, torch
from shared.training.ranks import ALONE, Ranks
from shared.tuning import Tuning

PROBE_SECONDS = 8.0
SMALLEST = 128
"""Sides below it are never chosen: details of a few pixels are gone."""
ENOUGH_EPOCHS = 8
FEW_EPOCHS = 2
BATCH = 16
_PROBED = 8
"""Images in the step that is timed; even a large network ends it within seconds."""
BETWEEN_SIZES = 1.15
"""Images are kept this much larger than they are trained at, so that turning them does not blur them."""


@dataclass(frozen=True)
class Plan:
    """What was chosen for the time there is.

    Attributes:
        image_size: Side in pixels that is trained, and answered at.
        batch: Images per step.
        images_per_second: Measured, forward and backward, on random pixels.
        epochs: Passes over the training images that fit the time at that speed.
        last_half: True where only the later half of the backbone learns, because the time is too short for all.
        rate_factor: What the tuning's learning rate is multiplied by: the root of how many times larger the batch was
            made because there are many ranks (Malladi et al. 2022); 1 for a batch that was asked for.
    """

    image_size: int
    batch: int
    images_per_second: float
    epochs: float
    last_half: bool
    rate_factor: float = 1.0


def choose(
    net: FieldNet, head: Head, recipe: Recipe, tuning: Tuning, *, images: int, seconds: float, team: Ranks = ALONE
) -> Plan:
    """Pick the largest size at which enough epochs fit the time.

    Args:
        net: The backbone at its size.
        head: Its head.
        recipe: Says the largest size.
        tuning: May say size and batch; then only the speed is measured.
        images: Number of training images.
        seconds: Time for the training.
        team: All measure at the same time, and rank 0's plan counts.
    """
    batch = min(tuning.batch or BATCH * team.world, images)
    begun = time.monotonic()

    def speed(size: int, last_half: bool = False) -> float:
        def make() -> Any:
            return tunable.Tunable(tunable.copied(net, recipe, size), head).to(team.device)

        return team.world * measured(make, size, batch, tuning, last_half, team)

    sizes = _sizes(net, recipe, tuning)
    rates = {sizes[0]: speed(sizes[0])}
    size = sizes[0]
    for smaller in sizes[1:]:
        if rates[size] * seconds >= ENOUGH_EPOCHS * images:
            break
        nearest = min(rates)
        rates[smaller] = rates[nearest] * (nearest / smaller) ** 2
        size = smaller
        likely = rates[smaller] * seconds >= ENOUGH_EPOCHS * images or smaller == sizes[-1]
        if likely and time.monotonic() - begun < PROBE_SECONDS / 2:
            rates[smaller] = speed(smaller)
    rate = rates[size]
    last_half = rate * seconds < FEW_EPOCHS * images
    if last_half:
        rate = speed(size, last_half=True)
    factor = 1.0 if tuning.batch else max(1.0, math.sqrt(batch / BATCH))
    plan = Plan(size, batch, rate, rate * seconds / images, last_half, factor)
    return Plan(**team.agreed(asdict(plan)))


def measured(
    make: Callable[[], Any], size: int, batch: int, tuning: Tuning, last_half: bool, team: Ranks = ALONE
) -> float:
    """Images per second of a training step of a fresh network on random pixels; the first step only warms up."""
    learner = make()
    tunable.thaw(learner, last_half=last_half)
    tunable.learn_mode(learner, tuning)
    learner.to(memory_format=learner.format)
    side = round(BETWEEN_SIZES * size)
    rate = 0.0
    count = min(batch, _PROBED)
    for _ in range(2):
        pixels = torch.randint(256, (count, 3, side, side), dtype=torch.uint8).to(team.device)
        begun = time.monotonic()
        with team.arithmetic():
            learner(augment.views(pixels, size, tuning)).logsumexp(1).sum().backward()
        team.settle()
        rate = count / (time.monotonic() - begun)
    return rate


def _sizes(net: FieldNet, recipe: Recipe, tuning: Tuning) -> list[int]:
    """The sizes to choose from, falling; those that the network takes."""
    if tuning.image_size:
        return [tuning.image_size]
    sizes = [net.image_size]
    for size in range(net.image_size - 32, SMALLEST - 1, -32):
        try:
            tunable.copied(net, recipe, size)
        except (AssertionError, RuntimeError, ValueError):  # transformers are made for one size
            break
        sizes.append(size)
    return sizes
