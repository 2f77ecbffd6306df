"""What a fine-tuning is given and the stages it goes through, alone or on many ranks."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data import images
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.records import Box
from shared.training import finetune, whole
from shared.training.backbones import FieldNet
from shared.training.finetune import Say, Tuned
from shared.training.pixels import Picture
from shared.training.ranks import ALONE, Ranks
from shared.tuning import Tuning

LONGER = 2
"""Times the passes, for the bolder try: it goes on winning where the first has learnt what it can."""


@dataclass(frozen=True)
class Job:
    """All that a fine-tuning is given.

    Attributes:
        net: The frozen backbone, in evaluation mode.
        start: The closed-form head that knows nothing of the tuning part.
        start_of_all: The one that was fitted on all images.
        pictures: File of each image, and the window of it that is looked at.
        labels: ``(n,)``.
        tuning_part: ``(n,)``; these images choose between checkpoints.
        recipe: Seed, threads, and how.
        first_until: ``time.monotonic()`` of the end of the first stage where another one follows, which learns from
            all images; None for one stage.
        until: The end of all.
        checkpoint: Folder for what an interrupted run leaves.
    """

    net: FieldNet
    start: Head
    start_of_all: Head
    pictures: tuple[tuple[Path, Box | None], ...]
    labels: NDArray[np.int64]
    tuning_part: NDArray[np.bool_]
    recipe: Recipe
    first_until: float | None
    until: float
    checkpoint: Path

    def read(self, i: int) -> Picture:
        """Image ``i``."""
        path, window = self.pictures[i]
        return images.read(path, window=window)


def tune(job: Job, *, say: Say, team: Ranks = ALONE) -> Tuned:
    """Fine-tune: on a part of the images, and where that found something better and time is left, on all of them.

    Args:
        job: What it is given.
        say: Told what was decided.
        team: The processes that do it together, each of which calls this with the same job.
    """
    made, tuning = _tried(job, say, team)
    if made.facts["chosen"] == "start" or job.first_until is None:
        return made
    return whole.learn(
        job.net,
        job.start_of_all,
        made,
        job.read,
        job.labels,
        job.recipe,
        tuning,
        until=job.until,
        checkpoint=job.checkpoint,
        say=say,
        team=team,
    )


def _tried(job: Job, say: Say, team: Ranks) -> tuple[Tuned, Tuning]:
    """What the images that were set aside find better: the recipe's tuning, or a bolder one where there is time.

    How far features have to go differs from set to set (``benchmarks/rates.py``: on photographs of skin three times the
    rate is better by 0.1 to 0.2 nats, on magnetic tiles it forgets), so that none of both is right for all.
    The second try may take time from the runs on all images as long as one of them still fits: on a slow machine the
    right rate is worth more than a mean of runs (test images of isic_7class on such a machine: 59.7 and 61.1 % by the
    mean of two and three default runs, 73.6 % by one bold run).
    """
    tuning, end = job.recipe.tuning, job.until if job.first_until is None else job.first_until
    made = _first(job, tuning, end, job.checkpoint, say, team)
    now, took = team.now(), made.facts.get("seconds", np.inf)
    room = max(end - now, 0.0 if job.first_until is None else _room(job, now))
    if not tuning.bolder or room < took:
        return _with_facts(made, tuning), tuning
    rate = min(1.0, tuning.bolder * tuning.learning_rate)
    bolder = replace(tuning, learning_rate=rate, layer_decay=1.0, epochs=LONGER * tuning.epochs)
    other = _first(job, bolder, now + room, job.checkpoint.with_name(f"{job.checkpoint.name}-bolder"), say, team)
    both = [(made, tuning), (other, bolder)]
    losses = [_loss(found) for found, _ in both]
    best = int(losses[1] < losses[0])
    told = [f"{loss:.3f} at rate {how.learning_rate:g}" for loss, (_, how) in zip(losses, both, strict=True)]
    say(f"fine-tuning, loss on the tuning part: {told[0]}, {told[1]}; the {('first', 'second')[best]} is kept")
    found, how = both[best]
    facts = [
        {
            "epochs": how.epochs,
            "learning_rate": how.learning_rate,
            "layer_decay": how.layer_decay,
            **tried.facts.get("score", {}),
        }
        for tried, how in both
    ]
    return _with_facts(found, how, tries=facts), how


def _with_facts(made: Tuned, how: Tuning, **more: Any) -> Tuned:
    """With how it was learnt."""
    facts = {**made.facts, "learning_rate": how.learning_rate, "layer_decay": how.layer_decay, **more}
    return replace(made, facts=facts)


def _room(job: Job, now: float) -> float:
    """Seconds of a try after which a run on all images, as long in passes, is still done in time."""
    longer = len(job.labels) / max(int((~job.tuning_part).sum()), 1)
    # Once because a run is begun only with this much to spare, once because the try's last judgements come after it.
    return (job.until - now) / (1 + whole.MARGIN**2 * longer)


def _first(job: Job, tuning: Tuning, until: float, checkpoint: Path, say: Say, team: Ranks) -> Tuned:
    return finetune.finetune(
        job.net,
        job.start,
        job.read,
        job.labels,
        job.tuning_part,
        job.recipe,
        tuning,
        until=until,
        checkpoint=checkpoint,
        say=say,
        team=team,
    )


def _loss(found: Tuned) -> float:
    """On the tuning part; endless where it could not be judged."""
    return float(found.facts.get("score", {}).get("loss", np.inf))
