"""What a fine-tuning is given and the stages it goes through, alone or on many ranks."""

from dataclasses import dataclass
from pathlib import Path

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
    recipe = job.recipe
    made = finetune.finetune(
        job.net,
        job.start,
        job.read,
        job.labels,
        job.tuning_part,
        recipe,
        recipe.tuning,
        until=job.until if job.first_until is None else job.first_until,
        checkpoint=job.checkpoint,
        say=say,
        team=team,
    )
    if made.facts["chosen"] == "start" or job.first_until is None:
        return made
    return whole.learn(
        job.net,
        job.start_of_all,
        made,
        job.read,
        job.labels,
        recipe,
        recipe.tuning,
        until=job.until,
        checkpoint=job.checkpoint,
        say=say,
        team=team,
    )
