"""A training under way: what it is given, how it is judged, and where it stands."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import resume, soup
from shared.training.backbones import FieldNet, torch
from shared.training.pixels import Pixels, Reader
from shared.training.ranks import ALONE, Ranks
from shared.training.soup import Score
from shared.training.throughput import Plan
from shared.training.tunable import Tunable
from shared.tuning import Tuning

_JUDGE_BATCH = 16

Labels = NDArray[np.int64]
FurtherLoss = Callable[[Tunable, Any, Any], Any]


@dataclass(frozen=True)
class Task:
    """What stays the same during a fine-tuning.

    Attributes:
        read: Gives image ``i``.
        labels: ``(n,)``.
        train: Numbers of the images to learn from.
        held: Numbers of the images that choose.
        classes: Number of labels.
        recipe: Seed and threads.
        tuning: How.
        until: ``time.monotonic()`` of the end.
        checkpoint: Folder, or None.
        key: Names the inputs.
        on_best: Told of each better model.
        say: Told what was decided.
        further_loss: Gives a number to be added to the loss of a step, of the learner, the views ``(n, 3, size, size)``
            and the scores ``(n, labels)`` that it gave them.
        ranks: The processes that do it together.
    """

    read: Reader
    labels: Labels
    train: NDArray[np.int64]
    held: NDArray[np.int64]
    classes: int
    recipe: Recipe
    tuning: Tuning
    until: float
    checkpoint: Path | None
    key: str
    on_best: Callable[[FieldNet, Head], None] | None
    say: Callable[[str], None]
    further_loss: FurtherLoss | None = None
    ranks: Ranks = ALONE


class Judge:
    """Scores networks on the held-out images, and knows how long that takes."""

    def __init__(self, task: Task, size: int, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.pixels = Pixels(task.read, task.held, size)
        self._task = task

    def __call__(self, learner: Tunable) -> Score | None:
        """Score of a network; None when the time ran out before it was known."""
        now = self._task.ranks.now
        begun = now()
        scores = answers(learner, learner, self.pixels, self._task.until, self._task.ranks)
        if len(scores) < len(self.pixels):
            return None
        self.seconds = now() - begun
        return soup.judge(scores, self._task.labels[self._task.held])


@dataclass
class Run:
    """A training under way; without a judge nothing is evaluated, and the last average is what comes of it.

    ``net`` and ``start`` are what the learner was made from, ``probe`` says what holds its ranks back. At the way
    ``branch_at`` it is copied to ``middle``, from where other runs can go on; None keeps nothing.
    """

    task: Task
    plan: Plan
    learner: Tunable
    judge: Judge | None
    baseline: Score
    net: FieldNet
    start: Head
    progress: resume.Progress = field(default_factory=resume.Progress)
    why: str = ""
    probe: dict[str, Any] = field(default_factory=dict)
    branch_at: float | None = None
    middle: resume.Progress | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many images are drawn as there are."""
        return max(1, len(self.task.train) // self.plan.batch)


def answers(
    learner: Tunable, asked: Callable[[Any], Any], pixels: Pixels, until: float, team: Ranks = ALONE
) -> NDArray[np.float64]:
    """What ``asked`` (the learner, or its features) gives for the images, in evaluation mode.

    Returns:
        ``(n, outputs)``, the same on every rank; fewer rows where the time ran out.
    """
    learner.eval()
    parts: list[NDArray[np.float64]] = []
    done, block = 0, _JUDGE_BATCH * team.world
    with torch.no_grad():
        while done < len(pixels) and not (done and team.now() > until):
            count = min(block, len(pixels) - done)
            own = team.own(count)
            # A rank that has no image left looks at one all the same, because every rank must take part.
            batch = pixels.take([done + i for i in own or [0]]).to(learner.shift.device)
            parts.append(asked(batch).double().cpu().numpy()[: len(own)])
            done += count
    return team.joined(np.concatenate(parts), done, block)
