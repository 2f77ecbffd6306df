"""The loop of a fine-tuning: steps, evaluations and checkpoints until the way is done or the time is up."""

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import require
from shared.recipe import Recipe
from shared.training import bottleneck, gradients, ranks, resume, soup, tunable
from shared.training.backbones import torch
from shared.training.pixels import Pixels
from shared.training.run import Judge, Run, Task
from shared.training.soup import Member, Score, State
from shared.training.throughput import BETWEEN_SIZES
from shared.training.tunable import Tunable

averaging: Any = require("timm.utils", extra="train")
scheduling: Any = require("timm.scheduler", extra="train")

CLIP = 1.0
"""Largest norm of a step's gradient."""
MOST_EVALUATIONS, FEWEST_EVALUATIONS = 12, 4
EVALUATION_SHARE = 0.15
"""Of the time, for evaluations on the way."""
BROKEN = "the loss was no longer a number"
_POINTS = 1000
"""The scheduler's length: it is asked for a point of the way, not for a step, so that it ends when the time ends."""
_MARGIN = 1.4
"""Measured times are believed with this much on top."""


@contextmanager
def threads(recipe: Recipe) -> Iterator[None]:
    """Torch's threads as the recipe wants them, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def known(task: Task) -> resume.Progress | None:
    """What an interrupted training with the same inputs has left; the folder of another one is emptied.

    Raises:
        LaunchError: Ranks see different folders.
    """
    if task.checkpoint is None:
        return None
    found = resume.load(task.checkpoint, task.key)
    task.ranks.check_same(str(task.checkpoint), found.step if found else -1)
    if found is None and task.ranks.rank == 0:
        resume.clear(task.checkpoint)
    return found


def learn(run: Run) -> None:
    """Train until the way is done; fills ``run.progress`` and ``run.why``."""
    task, progress = run.task, run.progress
    average, forward, optimiser = _spread(run)
    schedule = scheduling.CosineLRScheduler(
        optimiser, t_initial=_POINTS, warmup_t=round(_POINTS * task.tuning.warmup), t_in_epochs=False
    )
    pixels = Pixels(task.read, task.train, round(BETWEEN_SIZES * run.plan.image_size))
    if task.ranks.agent and run.judge and not progress.step:
        run.probe = bottleneck.probe(run, pixels, forward)
    if run.judge and not progress.members:
        _enter_start(run, run.judge)
    way = _way(run)
    marks = _evaluations(run)
    saved = task.ranks.now()
    begun = saved - progress.seconds
    while not run.why:
        progress.way = way(progress.step)
        schedule.step_update(round(_POINTS * progress.way))
        if not _step(run, optimiser, pixels, forward):
            run.why = BROKEN
            break
        progress.step += 1
        average.update(run.learner, progress.step)
        before, progress.way = progress.way, way(progress.step)
        ended = progress.way >= 1
        if run.judge and int(before * marks) < int(progress.way * marks):
            _evaluate(run, run.judge, "average", average.module)
            if ended:
                _evaluate(run, run.judge, "raw", run.learner)
        now = task.ranks.now()
        if now > task.until:
            run.why = "the time was up"
        elif ended:
            run.why = "the schedule was done"
        progress.seconds = now - begun
        if run.branch_at is not None and run.middle is None and run.branch_at <= progress.way < 1:
            _keep_middle(run, average, optimiser)
        if task.checkpoint and now - saved > task.ranks.how.checkpoint_seconds:
            _save(run, average, optimiser)
            saved = now
    progress.average = _copied(average.module)
    if task.checkpoint:
        _save(run, average, optimiser)


def _spread(run: Run) -> tuple[Any, Any, Any]:
    """The moving average of the learner, what to call for its scores, and the optimiser, all as they were left."""
    task, progress = run.task, run.progress
    tunable.thaw(run.learner, last_half=run.plan.last_half)
    if progress.step:
        run.learner.load_state_dict(progress.raw)
    average = averaging.ModelEmaV3(run.learner, decay=task.tuning.ema, use_warmup=True, foreach=not task.ranks.sharded)
    if progress.step:
        average.module.load_state_dict(progress.average)
    forward = task.ranks.spread(run.learner, average.module, task.tuning, run.plan.image_size)
    optimiser = tunable.optimiser(run.learner, task.tuning, run.plan.rate_factor)
    ranks.put_moments(run.learner, optimiser, progress.moments)
    return average, forward, optimiser


def _way(run: Run) -> Callable[[int], float]:
    """How far the training is after so many steps, 0 to 1: by steps or by time, whichever is further.

    So the learning rate has come down by the deadline, however the speed changes on the way.
    """
    task, done = run.task, run.progress.way
    limit = task.tuning.epochs * run.steps_per_epoch
    begun = task.ranks.now()
    # Kept for the last two evaluations and for those of the soup.
    end = task.until - _MARGIN * _judging(run) * (2 + task.tuning.soup)
    span = max(end - begun, 1e-3)

    def way(step: int) -> float:
        by_time = done + (1 - done) * (task.ranks.now() - begun) / span
        return min(1.0, max(step / limit, by_time))

    return way


def _judging(run: Run) -> float:
    """Seconds of one evaluation."""
    return run.judge.seconds if run.judge else 0.0


def _evaluations(run: Run) -> int:
    """How many evaluations the way has, so that they take a small share of the time."""
    left = max(run.task.until - run.task.ranks.now(), 0.0)
    affordable = EVALUATION_SHARE * left / max(_judging(run), 1e-3)  # endless where there is no deadline
    return int(min(max(affordable, FEWEST_EVALUATIONS), MOST_EVALUATIONS))


def _step(run: Run, optimiser: Any, pixels: Pixels, forward: Any) -> bool:
    """One step; False where the loss is not finite, and then nothing was changed."""
    tunable.learn_mode(run.learner, run.task.tuning)
    optimiser.zero_grad(set_to_none=True)
    if not np.isfinite(run.task.ranks.total(gradients.backward(run, pixels, forward))):
        return False
    torch.nn.utils.clip_grad_norm_(run.learner.parameters(), CLIP)
    optimiser.step()
    return True


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
            "seconds_left": round(task.until - task.ranks.now(), 1),
            **asdict(score),
        }
    )
    if not np.isfinite(score.loss):
        return
    first, *others = progress.members
    made = Member(name, score, _copied(learner))
    known = [member.score.loss for member in others if member.score.better(run.baseline)]
    progress.members = [first, *soup.ranked([*others, made], task.tuning.soup)]
    if score.better(run.baseline) and score.loss < min(known, default=np.inf):
        tell(run, made)


def _enter_start(run: Run, judge: Judge) -> None:
    """The weights of step 0 are a member too: half of the way back to them is often better than either end."""
    same = run.plan.image_size == run.net.image_size
    score = run.baseline if same else judge(run.learner) or Score(0.0, float("inf"))
    run.progress.members = [Member("step 0", score, _copied(run.learner))]


def _copied(module: Any) -> dict[str, Any]:
    return {name: ranks.whole(tensor) for name, tensor in module.state_dict().items()}


def tell(run: Run, best: Member) -> None:
    """Give a copy of the best to whoever waits for better models."""
    if run.task.on_best:
        made = finished(run, best.state)
        run.task.on_best(made.net, made.head(best.score.temperature))


def finished(run: Run, state: State) -> Tunable:
    """A network of its own with these weights, in evaluation mode, for export."""
    net = tunable.copied(run.net, run.task.recipe, run.plan.image_size)
    made = Tunable(net, run.start)
    made.load_state_dict(state)
    made.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    return made


def middle_of(checkpoint: Path) -> Path:
    """Folder of the copy from which other runs can go on."""
    return checkpoint.with_name(f"{checkpoint.name}-middle")


def _keep_middle(run: Run, average: Any, optimiser: Any) -> None:
    _note(run, average, optimiser)
    run.middle = copy.deepcopy(run.progress)
    if run.task.checkpoint and run.task.ranks.rank == 0:
        resume.save(middle_of(run.task.checkpoint), run.task.key, run.middle)


def _save(run: Run, average: Any, optimiser: Any) -> None:
    _note(run, average, optimiser)
    if run.task.checkpoint and run.task.ranks.rank == 0:
        resume.save(run.task.checkpoint, run.task.key, run.progress)


def _note(run: Run, average: Any, optimiser: Any) -> None:
    """Everything that a run needs to go on."""
    progress = run.progress
    progress.raw, progress.average = _copied(run.learner), _copied(average.module)
    progress.moments = ranks.moments(run.learner, optimiser)
    progress.plan = asdict(run.plan)
