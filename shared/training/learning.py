"""The loop of a fine-tuning: steps, evaluations and checkpoints until the way is done or the time is up."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import augment, head, resume, soup, tunable
from shared.training.backbones import FieldNet, torch
from shared.training.pixels import Pixels, Reader
from shared.training.soup import Member, Score, State
from shared.training.throughput import BETWEEN_SIZES, Plan
from shared.training.tunable import Tunable
from shared.tuning import Tuning

averaging: Any = require("timm.utils", extra="train")
scheduling: Any = require("timm.scheduler", extra="train")

CHECKPOINT_SECONDS = 20.0
CLIP = 1.0
"""Largest norm of a step's gradient."""
MOST_EVALUATIONS, FEWEST_EVALUATIONS = 12, 4
EVALUATION_SHARE = 0.15
"""Of the time, for evaluations on the way."""
_POINTS = 1000
"""The scheduler's length: it is asked for a point of the way, not for a step, so that it ends when the time ends."""
_JUDGE_BATCH = 16
_MARGIN = 1.4
"""Measured times are believed with this much on top."""

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


class Judge:
    """Scores networks on the held-out images, and knows how long that takes."""

    def __init__(self, task: Task, size: int, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.pixels = Pixels(task.read, task.held, size)
        self._task = task

    def __call__(self, learner: Tunable) -> Score | None:
        """Score of a network; None when the time ran out before it was known."""
        begun = time.monotonic()
        scores = answers(learner, learner, self.pixels, self._task.until)
        if len(scores) < len(self.pixels):
            return None
        self.seconds = time.monotonic() - begun
        return soup.judge(scores, self._task.labels[self._task.held])


@dataclass
class Run:
    """A training under way; without a judge nothing is evaluated, and the last average is what comes of it."""

    task: Task
    plan: Plan
    learner: Tunable
    judge: Judge | None
    baseline: Score
    start_size: int
    progress: resume.Progress = field(default_factory=resume.Progress)
    why: str = ""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many images are drawn as there are."""
        return max(1, len(self.task.train) // self.plan.batch)


@contextmanager
def threads(recipe: Recipe) -> Iterator[None]:
    """Torch's threads as the recipe wants them, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learn(run: Run) -> None:
    """Train until the way is done; fills ``run.progress`` and ``run.why``."""
    task, tuning, progress = run.task, run.task.tuning, run.progress
    tunable.thaw(run.learner, last_half=run.plan.last_half)
    optimiser = tunable.optimiser(run.learner, tuning)
    schedule = scheduling.CosineLRScheduler(
        optimiser, t_initial=_POINTS, warmup_t=round(_POINTS * tuning.warmup), t_in_epochs=False
    )
    average = averaging.ModelEmaV3(run.learner, decay=tuning.ema, use_warmup=True)
    if progress.step:
        run.learner.load_state_dict(progress.raw)
        average.module.load_state_dict(progress.average)
    pixels = Pixels(task.read, task.train, round(BETWEEN_SIZES * run.plan.image_size))
    if run.judge and not progress.members:
        _enter_start(run, run.judge)
    way = _way(run)
    marks = _evaluations(run)
    saved = time.monotonic()
    while not run.why:
        progress.way = way(progress.step)
        schedule.step_update(round(_POINTS * progress.way))
        if not _step(run, optimiser, pixels):
            run.why = "the loss was no longer a number"
            break
        progress.step += 1
        average.update(run.learner, progress.step)
        before, progress.way = progress.way, way(progress.step)
        ended = progress.way >= 1
        if run.judge and int(before * marks) < int(progress.way * marks):
            _evaluate(run, run.judge, "average", average.module)
            if ended:
                _evaluate(run, run.judge, "raw", run.learner)
        if time.monotonic() > task.until:
            run.why = "the time was up"
        elif ended:
            run.why = "the schedule was done"
        if task.checkpoint and time.monotonic() - saved > CHECKPOINT_SECONDS:
            _save(run, average)
            saved = time.monotonic()
    progress.average = average.module.state_dict()
    if task.checkpoint:
        _save(run, average)


def _way(run: Run) -> Callable[[int], float]:
    """How far the training is after so many steps, 0 to 1: by steps or by time, whichever is further.

    So the learning rate has come down by the deadline, however the speed changes on the way.
    """
    task, done = run.task, run.progress.way
    limit = task.tuning.epochs * run.steps_per_epoch
    begun = time.monotonic()
    # Kept for the last two evaluations and for those of the soup.
    end = task.until - _MARGIN * _judging(run) * (2 + task.tuning.soup)
    span = max(end - begun, 1e-3)

    def way(step: int) -> float:
        by_time = done + (1 - done) * (time.monotonic() - begun) / span
        return min(1.0, max(step / limit, by_time))

    return way


def _judging(run: Run) -> float:
    """Seconds of one evaluation."""
    return run.judge.seconds if run.judge else 0.0


def _evaluations(run: Run) -> int:
    """How many evaluations the way has, so that they take a small share of the time."""
    left = max(run.task.until - time.monotonic(), 0.0)
    affordable = EVALUATION_SHARE * left / max(_judging(run), 1e-3)  # endless where there is no deadline
    return int(min(max(affordable, FEWEST_EVALUATIONS), MOST_EVALUATIONS))


def _step(run: Run, optimiser: Any, pixels: Pixels) -> bool:
    """One step; False where the loss is not finite, and then nothing was changed."""
    task, tuning, step = run.task, run.task.tuning, run.progress.step
    tunable.learn_mode(run.learner, tuning)
    # All that is random follows from seed and step, so that a resumed run goes on as it would have.
    torch.manual_seed(task.recipe.seed * 1_000_003 + step)
    drawn = _drawn(run, step)
    seen = augment.views(pixels.take(drawn), run.plan.image_size, tuning)
    truth = torch.from_numpy(task.labels[task.train[drawn]])
    mix = augment.mixing(tuning, task.classes) if run.progress.way < 1 - tuning.mix_off else None
    if mix is not None:
        seen, truth = mix(seen, truth)
    scores = run.learner(seen)
    further = task.further_loss(run.learner, seen, scores) if task.further_loss else 0.0
    if not tuning.balanced:
        shares = np.bincount(task.labels[task.train], minlength=task.classes) / len(task.train)
        scores = scores + torch.log(torch.tensor(np.maximum(shares, 1e-6), dtype=torch.float32))
    loss = torch.nn.functional.cross_entropy(scores, truth, label_smoothing=tuning.label_smoothing) + further
    if not torch.isfinite(loss):
        return False
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.learner.parameters(), CLIP)
    optimiser.step()
    return True


def _drawn(run: Run, step: int) -> NDArray[np.int64]:
    """Positions in ``task.train`` of the images of a step."""
    epoch, place = divmod(step, run.steps_per_epoch)
    count = len(run.task.train)
    rng = np.random.default_rng([run.task.recipe.seed, epoch])
    if run.task.tuning.balanced:
        weights = head.class_weights(run.task.labels[run.task.train], run.task.classes)
        order = rng.choice(count, count, p=weights)
    else:
        order = rng.permutation(count)
    return np.asarray(order[place * run.plan.batch : (place + 1) * run.plan.batch], np.int64)


def _evaluate(run: Run, judge: Judge, kind: str, learner: Tunable) -> None:
    progress, task = run.progress, run.task
    score = judge(learner)
    if score is None:
        return
    name = f"{kind} {progress.step}"
    progress.tried.append(
        {
            "name": name,
            "step": progress.step,
            "epoch": round(progress.step / run.steps_per_epoch, 2),
            "seconds_left": round(task.until - time.monotonic(), 1),
            **asdict(score),
        }
    )
    if not np.isfinite(score.loss):
        return
    first, *others = progress.members
    made = Member(name, score, _copied(learner.state_dict()))
    known = [member.score.loss for member in others if member.score.better(run.baseline)]
    progress.members = [first, *soup.ranked([*others, made], task.tuning.soup)]
    if score.better(run.baseline) and score.loss < min(known, default=np.inf):
        tell(run, made)


def _enter_start(run: Run, judge: Judge) -> None:
    """The weights of step 0 are a member too: half of the way back to them is often better than either end."""
    same = run.plan.image_size == run.start_size
    score = run.baseline if same else judge(run.learner) or Score(0.0, float("inf"))
    run.progress.members = [Member("step 0", score, _copied(run.learner.state_dict()))]


def _copied(state: State) -> dict[str, Any]:
    return {key: value.detach().clone() for key, value in state.items()}


def tell(run: Run, best: Member) -> None:
    """Give a copy of the best to whoever waits for better models."""
    if run.task.on_best:
        made = finished(run, best.state)
        run.task.on_best(made.net, made.head(best.score.temperature))


def finished(run: Run, state: State) -> Tunable:
    """A network of its own with these weights, in evaluation mode, for export."""
    net = tunable.copied(run.learner.net, run.task.recipe, run.plan.image_size)
    made = Tunable(net, run.learner.head())
    made.load_state_dict(state)
    made.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    return made


def _save(run: Run, average: Any) -> None:
    assert run.task.checkpoint is not None
    run.progress.raw, run.progress.average = run.learner.state_dict(), average.module.state_dict()
    run.progress.plan = asdict(run.plan)
    resume.save(run.task.checkpoint, run.task.key, run.progress)


def answers(learner: Tunable, asked: Callable[[Any], Any], pixels: Pixels, until: float) -> NDArray[np.float64]:
    """What ``asked`` (the learner, or its features) gives for the images, in evaluation mode.

    Returns:
        ``(n, outputs)``; fewer rows where the time ran out.
    """
    learner.eval()
    parts: list[NDArray[np.float64]] = []
    with torch.inference_mode():
        for start in range(0, len(pixels), _JUDGE_BATCH):
            if parts and time.monotonic() > until:
                break
            batch = pixels.take(range(start, min(start + _JUDGE_BATCH, len(pixels))))
            parts.append(asked(batch).double().numpy())
    return np.concatenate(parts)
