"""Fine-tuning: the closed-form model goes on learning, backbone and head together, and stops in time with the best."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.export.graph import Head
from shared.inference import calibration
from shared.recipe import Recipe
from shared.training import head, learning, ranks, resume, soup, throughput, tunable
from shared.training.backbones import FieldNet, torch
from shared.training.pixels import Picture, Pixels, Reader
from shared.training.ranks import ALONE, Ranks
from shared.training.run import Judge, Run, Task, answers
from shared.training.soup import Member, Score
from shared.training.throughput import Plan
from shared.training.tunable import Tunable
from shared.tuning import Tuning

REFIT_SHARE = 0.1
"""Of the time, for fitting the closed-form head again where a smaller size was chosen."""

TRAINING_COST = 4.0
"""A training step on an image takes about this many times as long as an answer (measured 3 to 4, plus the views)."""
_FEW_BATCHES = 8

Labels = NDArray[np.int64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Tuned:
    """The outcome of a fine-tuning.

    Attributes:
        net: The backbone with the best weights, in evaluation mode; its ``image_size`` may be smaller than the
            recipe's.
        head: The linear head on its features, its temperature fitted on the tuning part.
        tried: Per evaluation: name, step, epoch, seconds, and balanced accuracy and loss on the tuning part.
        facts: Chosen sizes, images per second, steps, what was chosen, and why it stopped.
    """

    net: FieldNet
    head: Head
    tried: list[dict[str, Any]]
    facts: dict[str, Any]


def finetune(
    net: FieldNet,
    start: Head,
    pictures: Sequence[Picture] | Reader,
    labels: Labels,
    tuning_part: NDArray[np.bool_],
    recipe: Recipe,
    tuning: Tuning,
    *,
    until: float,
    checkpoint: Path | None = None,
    on_best: Callable[[FieldNet, Head], None] | None = None,
    say: Say,
    team: Ranks = ALONE,
) -> Tuned:
    """Fine-tune a backbone and its head.

    It starts from the closed-form head (probe, then tune; Kumar et al. 2022) and gives that model back, unchanged,
    unless something better on the tuning part was found. The network given is not changed. Steps are a function of
    their number and the seed alone, so that equal runs of equal length are equal; where time is short, the machine's
    speed decides the length.

    Args:
        net: The backbone, in evaluation mode.
        start: The closed-form head on its features.
        pictures: ``(height, width, 3)`` uint8 RGB each, or a function that reads image ``i``.
        labels: ``(n,)`` indices below the number of the head's labels.
        tuning_part: ``(n,)``; these images choose between checkpoints and are never trained on.
        recipe: Says seed and threads.
        tuning: Says how.
        until: ``time.monotonic()`` at which it has returned.
        checkpoint: Folder in which an interrupted run leaves its weights and the optimiser's moments every 20 seconds
            and a run with the same inputs goes on, on any number of ranks. A folder of other inputs is emptied.
        on_best: Told each time something better is found, with a copy of the network and its head.
        say: Told what was decided and why.
        team: The processes that do it together, each of which calls this with the same arguments.
    """
    part = np.asarray(tuning_part, bool)
    task = Task(
        read=pictures if callable(pictures) else pictures.__getitem__,
        labels=np.asarray(labels, np.int64),
        train=np.flatnonzero(~part),
        held=np.flatnonzero(part),
        classes=len(start.bias),
        recipe=recipe,
        tuning=tuning,
        until=until,
        checkpoint=checkpoint,
        key=resume.key(net, start, labels, part, recipe, tuning) if checkpoint else "",
        on_best=on_best,
        say=say,
        ranks=team,
    )
    with learning.threads(recipe), torch.random.fork_rng(devices=[]):
        return _finetune(task, net, start)


def _finetune(task: Task, net: FieldNet, start: Head) -> Tuned:
    known = learning.known(task)
    began = task.ranks.now() - (known.seconds if known else 0.0)
    judge = Judge(task, net.image_size)
    baseline = judge(_learner(task, net, start)) if len(task.held) and len(task.train) else None
    facts: dict[str, Any] = {"start": asdict(baseline) if baseline else None, "resumed_at_step": 0}
    if baseline is None or _too_late(task, judge):
        task.say("fine-tuning was left out: too little time, or no images to choose on")
        return Tuned(net, start, [], {**facts, "chosen": "start", "steps": 0, "why": "too little time or images"})
    plan = Plan(**known.plan) if known else _plan(task, net, start)
    task.say(_planned(plan, net, len(task.train)))
    run = _begin(task, net, start, plan, baseline, judge, refit=known is None)
    if known:
        run.progress = known
        facts["resumed_at_step"] = known.step
        task.say(f"fine-tuning goes on at step {known.step}, {known.way:.0%} of the way")
    if run.progress.way < 1:
        learning.learn(run)
    best = _best(run)
    facts |= {
        **asdict(plan),
        "steps": run.progress.step,
        "epochs": round(run.progress.step / run.steps_per_epoch, 2),
        "seconds": round(task.ranks.now() - began, 1),
        "why": run.why or "it was finished before",
        "chosen": best.name if best else "start",
        "score": asdict(best.score if best else baseline),
    }
    if task.ranks.agent:
        facts["launch"] = {"ranks": task.ranks.world, "device": task.ranks.device.type, "probe": run.probe}
    task.say(_told(facts))
    if best is None:
        return Tuned(net, start, run.progress.tried, facts)
    made = learning.finished(run, best.state)
    return Tuned(made.net, made.head(best.score.temperature), run.progress.tried, facts)


def _too_late(task: Task, judge: Judge) -> bool:
    """Whether not even a few batches fit the time, at the speed at which the start was judged."""
    images = (task.until - task.ranks.now()) * len(task.held) / (TRAINING_COST * max(judge.seconds, 1e-6))
    return images < _FEW_BATCHES * throughput.BATCH


def _plan(task: Task, net: FieldNet, start: Head) -> Plan:
    seconds = max(task.until - task.ranks.now(), 0.0)
    return throughput.choose(
        net, start, task.recipe, task.tuning, images=len(task.train), seconds=seconds, team=task.ranks
    )


def _learner(task: Task, net: FieldNet, start: Head) -> Tunable:
    """To be judged on the device; the network given stays where it is."""
    at_home = task.ranks.device.type == "cpu"
    return Tunable(net if at_home else tunable.copied(net, task.recipe, net.image_size), start).to(task.ranks.device)  # type: ignore[no-any-return]


def _begin(task: Task, net: FieldNet, start: Head, plan: Plan, baseline: Score, judge: Judge, *, refit: bool) -> Run:
    """The network at its size; at another size than the head was fitted at, the head is fitted again."""
    copied = tunable.copied(net, task.recipe, plan.image_size)
    if plan.image_size != net.image_size:
        seconds = judge.seconds * (plan.image_size / net.image_size) ** 2
        judge = Judge(task, plan.image_size, seconds)
        start = _head_at_size(task, _learner(task, copied, start), judge) if refit else start
    learner = Tunable(copied, start).to(task.ranks.device)
    learner.to(memory_format=learner.format)
    return Run(task, plan, learner, judge, baseline, net, start)


def _head_at_size(task: Task, learner: Tunable, judge: Judge) -> Head:
    """Ridge on the features at the learner's size; strength and temperature are chosen on the held-out images."""
    rng = np.random.default_rng(task.recipe.seed)
    now = task.ranks.now()
    until = now + REFIT_SHARE * max(task.until - now, 0.0)
    order = labels_in_turn(task.labels[task.train], rng)
    seen = Pixels(task.read, task.train[order], learner.net.image_size)
    features = answers(learner, learner.features, seen, until, task.ranks)
    held = answers(learner, learner.features, judge.pixels, task.until, task.ranks)
    rows = task.train[order][: len(features)]
    truth = task.labels[task.held][: len(held)]
    fitted = list(head.ridge(features, task.labels[rows], task.classes, task.recipe.lambdas))
    best = max(fitted, key=lambda h: head.balanced_accuracy(h.scores(held).argmax(1), truth))
    weights = head.class_weights(truth, task.classes)
    return replace(best, temperature=calibration.fit_temperature(best.scores(held), truth, weights))


def labels_in_turn(labels: Labels, rng: np.random.Generator) -> NDArray[np.int64]:
    """An order in which every beginning holds all labels as equally as can be."""
    order = rng.permutation(len(labels))
    rank = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    return np.argsort(rank, kind="stable")


def _best(run: Run) -> Member | None:
    """The best checkpoint or soup, None where nothing was better than the start."""
    progress, judge = run.progress, run.judge
    if not progress.members or judge is None:
        return None

    def judge_state(state: soup.State) -> Score | None:
        if run.task.ranks.now() + 1.2 * judge.seconds > run.task.until:
            return None
        ranks.put(run.learner, state)
        return judge(run.learner)

    ranked = soup.ranked(progress.members, len(progress.members))
    best = soup.greedy(ranked, judge_state)
    better = [member for member in (best, *ranked) if member.score.better(run.baseline)]
    if best.name not in {member.name for member in ranked}:
        progress.tried.append({"name": best.name, "step": progress.step, **asdict(best.score)})
        if best.score.better(run.baseline):
            learning.tell(run, best)
    return better[0] if better else None


def _planned(plan: Plan, net: FieldNet, images: int) -> str:
    said = (
        f"fine-tuning at {plan.image_size} px: {plan.images_per_second:.1f} images per second, about {plan.epochs:.1f} "
        f"passes over {images} images fit the time"
    )
    if plan.image_size < net.image_size:
        said += f"; {net.image_size} px would be too slow for {throughput.ENOUGH_EPOCHS} passes"
    return said + ("; only the later half of the backbone learns" if plan.last_half else "")


def _told(facts: dict[str, Any]) -> str:
    before, after = facts["start"]["balanced_accuracy"], facts["score"]["balanced_accuracy"]
    outcome = "nothing was better than the start, which is kept" if facts["chosen"] == "start" else facts["chosen"]
    return (
        f"fine-tuning ended after {facts['steps']} steps ({facts['epochs']} epochs) because {facts['why']}: {outcome}; "
        f"balanced accuracy on the tuning part {before:.1%} before, {after:.1%} now"
    )
