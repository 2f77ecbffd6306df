"""Further images on which a fine-tuning is judged, where those set aside for validation are too few to tell.

The time that is left asks parts of the training images: what was done with all of them, the closed-form head and the
fine-tuning, is done again without a part of them, which then judges both. So the way is judged, not the weights that
are adopted by it. It is asked only where the validation images lean towards the fine-tuning, so that one that is just
as good as the head is adopted somewhat more often than the recipe's confidence alone would let through.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.building.candidates import Candidate, checkpoint, judges_checkpoints
from shared.building.work import Part, Work, parts
from shared.data import images
from shared.data.manifest import Row
from shared.inference import calibration
from shared.training import head

PARTS = 4
"""Into which the training images are divided, those that chose between checkpoints left out: they chose the rate."""
_NUMBER = 100
"""Of the first run, apart from those of which the candidate is made."""


@dataclass(frozen=True)
class Opinion:
    """Images that neither model had seen, judged by both.

    Attributes:
        y: ``(n,)`` indices of the labels.
        groups: Component of each image.
        old: Probabilities ``(n, labels)`` of closed-form heads.
        new: Those of the fine-tuned ones.
    """

    y: NDArray[np.int64]
    groups: list[str]
    old: NDArray[np.float64]
    new: NDArray[np.float64]


def ask(work: Work, closed: Candidate, tuned: Candidate, rows: Sequence[Row], until: float) -> Opinion | None:
    """Learn without one part after the other, as many as fit the time; None where not even one does.

    Args:
        work: The build.
        closed: The closed-form candidate.
        tuned: The fine-tuned one, learnt from all training images.
        rows: All usable rows.
        until: ``time.monotonic()`` at which it has returned.
    """
    from shared.training import whole

    about = tuned.details
    if not about.get("runs") or work.recipe.launch is not None:
        return None
    train = parts(work, rows, closed.known)["train"]
    core = np.flatnonzero(~judges_checkpoints(train, work.recipe))
    fold = head.folds(train.components[core], train.y[core], PARTS, work.recipe.seed)
    likely = about["seconds_of_a_run"]
    opinions: list[Opinion] = []
    for part in range(PARTS):
        asked, others = core[fold == part], np.setdiff1d(np.arange(len(train.y)), core[fold == part])
        if time.monotonic() + whole.MARGIN * likely > until:
            break
        if not len(asked) or len(np.unique(train.y[others])) < len(np.unique(train.y)):
            continue
        begun = time.monotonic()
        work.say(f"fine-tuning once more without {len(asked)} training images, which then judge it")
        found = _asked(work, closed, tuned, train, asked, others, _NUMBER + part, until)
        if found is None:
            break
        opinions.append(found)
        likely = max(likely, time.monotonic() - begun)
    return _joined(opinions) if opinions else None


def _asked(
    work: Work,
    closed: Candidate,
    tuned: Candidate,
    train: Part,
    asked: NDArray[np.int64],
    others: NDArray[np.int64],
    number: int,
    until: float,
) -> Opinion | None:
    """What both ways say of the images asked, after learning from the others; None where the clock ended it."""
    from shared.training import backbones, learning, whole
    from shared.training.pixels import Pixels
    from shared.training.run import answers

    def read(i: int) -> NDArray[np.uint8]:
        row = train.rows[i]
        return images.read(work.manifest.file(row.sample), window=row.sample.window)

    strength = closed.details["strength"]
    start = next(head.ridge(train.x[others], train.y[others], len(work.labels), [strength]))
    start = replace(start, temperature=closed.head.temperature)
    net, _ = backbones.create(work.recipe)
    plan = whole.plan(tuned.details)
    tuning = replace(work.recipe.tuning, epochs=max(1, round(plan.epochs)), **_how(tuned.details))
    with learning.threads(work.recipe):
        run = whole.once(
            net,
            start,
            plan,
            lambda i: read(int(others[i])),
            train.y[others],
            work.recipe,
            tuning,
            number,
            until,
            checkpoint(work, closed),
        )
        if run.progress.way < 1:
            return None
        made = learning.finished(run, run.progress.average)
        scores = answers(made, made, Pixels(read, asked, plan.image_size), np.inf)
    return Opinion(
        train.y[asked],
        [str(c) for c in train.components[asked].tolist()],
        calibration.softmax(start.scores(train.x[asked])),
        calibration.softmax(scores / tuned.head.temperature),
    )


def _how(about: Mapping[str, Any]) -> dict[str, Any]:
    """How the candidate was learnt, where that is not as the recipe says."""
    return {name: about[name] for name in ("learning_rate", "layer_decay")}


def _joined(opinions: Sequence[Opinion]) -> Opinion:
    return Opinion(
        np.concatenate([o.y for o in opinions]),
        [group for o in opinions for group in o.groups],
        np.concatenate([o.old for o in opinions]),
        np.concatenate([o.new for o in opinions]),
    )
