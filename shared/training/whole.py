"""The fine-tuning once more on all training images, after a first one on a part of them has said that it is worth it.

The first one sets images aside, which say whether learning helps, how long, and at what temperature the answers are
honest. What it learned from the rest is then thrown away: the same schedule is run on all images, its end as often as
the time allows with another order and other views, and the mean of the runs' weights is the model (model soup, Wortsman
et al. 2022). On few images a single run is partly luck, and the mean is less so.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import learning, resume, soup, tunable
from shared.training.backbones import FieldNet, torch
from shared.training.finetune import Say, Tuned, labels_in_turn
from shared.training.pixels import Picture, Pixels, Reader
from shared.training.ranks import ALONE, Ranks
from shared.training.run import FurtherLoss, Run, Task, answers
from shared.training.soup import Score
from shared.training.throughput import Plan
from shared.training.tunable import Tunable
from shared.tuning import Tuning
from shared.wording import counted

MARGIN = 1.15
"""A run is begun where this many times its likely length is left."""
PROBED = 192
"""Training images on which the mean of the runs is compared with them."""
FORGOTTEN = 0.4
"""Nats by which the mean may know them less well than the worst run."""
LEAST_WAY = 0.5
"""A run that the clock ended before so much of its schedule had been done says too little."""
BRANCH = 0.6
"""Of the first run's way, where the others leave it: a common beginning ends in one valley (Frankle et al. 2020)."""


def learn(
    net: FieldNet,
    start: Head,
    first: Tuned,
    pictures: Sequence[Picture] | Reader,
    labels: NDArray[np.int64],
    recipe: Recipe,
    tuning: Tuning,
    *,
    until: float,
    checkpoint: Path | None = None,
    say: Say,
    team: Ranks = ALONE,
) -> Tuned:
    """Learn from all images as the first fine-tuning learned from some; that one itself where no run fits the time.

    Args:
        net: The backbone, frozen, as the first fine-tuning was given it.
        start: The closed-form head on the features of all these images.
        first: The first fine-tuning, which found something better than its start.
        pictures: As in :func:`shared.training.finetune.finetune`.
        labels: ``(n,)``; all are trained on.
        recipe: Seed and threads.
        tuning: As in the first; ``soup`` is the greatest number of runs.
        until: ``time.monotonic()`` at which it has returned.
        checkpoint: Folder for the state of each run, as in :func:`shared.training.finetune.finetune`.
        say: Told what was done.
        team: The processes that do it together.

    Returns:
        Network and head with the mean weights, with the temperature of the first.
    """
    labels = np.asarray(labels, np.int64)
    again = plan(first.facts)
    if again.image_size != net.image_size:
        return first  # time was too short for the size of the start, and so it is for a second learning
    epochs = max(1, round(again.epochs))
    likely = epochs * len(labels) / _speed(first)
    begun = team.now()
    how = replace(tuning, epochs=epochs)

    def one(number: int, branch_at: float | None, middle: resume.Progress | None) -> Run:
        given = (net, start, again, pictures, labels, recipe, how, number, until, checkpoint)
        return once(*given, team=team, branch_at=branch_at, middle=middle)

    with learning.threads(recipe), torch.random.fork_rng(devices=[]):
        runs = _runs(one, tuning.soup, likely, until, team)
        if not runs:
            say("no run on all images was finished in time; the model that learned from some of them stays")
            return first
        used, made = _mean(runs)
    chosen = f"mean of {used} runs on all training images" if used > 1 else "one run on all training images"
    say(f"fine-tuning on all {len(labels)} training images, {epochs} epochs with {counted(len(runs), 'end')}: {chosen}")
    seconds = round(team.now() - begun, 1)
    took = round(runs[0].progress.seconds, 1)
    facts = {**first.facts, "chosen": chosen, "runs": len(runs), "seconds_with_all": seconds, "seconds_of_a_run": took}
    return Tuned(made.net, made.head(first.head.temperature), first.tried, facts)


def _runs(
    one: Callable[[int, float | None, resume.Progress | None], Run], most: int, likely: float, until: float, team: Ranks
) -> list[Run]:
    """A whole run, and as many others from its middle on as the time allows, at most ``most`` in all.

    Args:
        one: Makes a run from its number, where to keep its middle, and the middle from which it goes on.
        most: Greatest number of runs.
        likely: Seconds that the first will take.
        until: ``time.monotonic()`` at which all are done.
        team: The processes that do it together.
    """
    runs: list[Run] = []
    while len(runs) < most and until - team.now() > MARGIN * likely:
        run = one(len(runs), BRANCH if not runs and most > 1 else None, runs[0].middle if runs else None)
        if run.why == learning.BROKEN or run.progress.way < LEAST_WAY or not _finite(run.progress.average):
            break
        runs.append(run)
        if runs[0].middle is None:
            break
        likely = (1 - BRANCH) * runs[0].progress.seconds
    return runs


def plan(facts: Mapping[str, Any]) -> Plan:
    """Sizes and length of the fine-tuning whose facts these are."""
    names = ("image_size", "batch", "images_per_second", "epochs", "last_half", "rate_factor")
    return Plan(**{name: facts[name] for name in names})


def _mean(runs: Sequence[Run]) -> tuple[int, Tunable]:
    """How many runs are in the mean, and it; the first run alone where weights between the runs' have forgotten.

    Runs from one start usually end in one valley of the loss, but nothing warrants it: the mean must know the training
    images about as well as the worst of the runs does.
    """
    task = runs[0].task
    seen = labels_in_turn(task.labels, np.random.default_rng(task.recipe.seed))[:PROBED]
    pixels = Pixels(task.read, seen, runs[0].plan.image_size)

    def loss(made: Tunable) -> float:
        made.to(task.ranks.device)
        scores = answers(made, made, pixels, np.inf, task.ranks)
        made.cpu()
        return soup.judge(scores, task.labels[seen]).loss

    states = [run.progress.average for run in runs]
    alone = learning.finished(runs[0], states[0])
    if len(runs) == 1:
        return 1, alone
    joined = learning.finished(runs[0], soup.mean(states))
    worst = max(loss(learning.finished(runs[0], state)) for state in states)
    return (len(runs), joined) if loss(joined) <= worst + FORGOTTEN else (1, alone)


def _speed(first: Tuned) -> float:
    """Images per second of the first one as it was in truth, evaluations included; as probed where it did no step."""
    facts = first.facts
    images = facts["steps"] * facts["batch"]
    return max(float(images / max(facts["seconds"], 1e-3) if images else facts["images_per_second"]), 1e-3)


def once(
    net: FieldNet,
    start: Head,
    plan: Plan,
    pictures: Sequence[Picture] | Reader,
    labels: NDArray[np.int64],
    recipe: Recipe,
    tuning: Tuning,
    number: int,
    until: float,
    checkpoint: Path | None,
    further_loss: FurtherLoss | None = None,
    team: Ranks = ALONE,
    branch_at: float | None = None,
    middle: resume.Progress | None = None,
) -> Run:
    """One run to the end of its schedule; each number is another order and other views.

    It begins at the start, or where another run of the same schedule was in its middle; ``branch_at`` is where its own
    middle is kept, None for nowhere.
    """
    recipe = replace(recipe, seed=recipe.seed + 1 + number)
    folder = checkpoint.with_name(f"{checkpoint.name}-all-{number}") if checkpoint else None
    none = np.zeros(len(labels), bool)
    task = Task(
        read=pictures if callable(pictures) else pictures.__getitem__,
        labels=labels,
        train=np.arange(len(labels)),
        held=np.zeros(0, np.int64),
        classes=len(start.bias),
        recipe=recipe,
        tuning=tuning,
        until=until,
        checkpoint=folder,
        key=resume.key(net, start, labels, none, recipe, tuning) if folder else "",
        on_best=None,
        say=lambda text: None,
        further_loss=further_loss,
        ranks=team,
    )
    learner = Tunable(tunable.copied(net, recipe, plan.image_size), start).to(team.device)
    learner.to(memory_format=learner.format)
    run = Run(task, plan, learner, None, Score(0.0, float("inf")), net, start, branch_at=branch_at)
    if known := learning.known(task):
        run.progress = known
        if branch_at is not None and folder:
            run.middle = learning.known(replace(task, checkpoint=learning.middle_of(folder)))
    elif middle:
        run.progress = copy.deepcopy(middle)
    if run.progress.way < 1:
        learning.learn(run)
    return run


def _finite(state: Any) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point())
