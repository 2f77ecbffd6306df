"""The gradient of one step, by however many ranks and passes: the one that a single process has in a single pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.training import augment, head
from shared.training.backbones import torch
from shared.training.pixels import Pixels
from shared.training.run import Run


def backward(run: Run, pixels: Pixels, forward: Any) -> float:
    """Gradients of a step's batch, summed over the ranks; this rank's share of the loss.

    A rank goes over its share in one pass or more. Each image counts as one part of the whole batch, whichever rank
    and pass it is in, so that the gradient is that of one process with all images in one pass.
    """
    task, tuning, team = run.task, run.task.tuning, run.task.ranks
    # All that is random follows from seed and step, so that a resumed run goes on as it would have.
    torch.manual_seed(task.recipe.seed * 1_000_003 + run.progress.step)
    drawn = drawn_at(run, run.progress.step)
    draws = augment.draw(len(drawn), tuning)
    mix = augment.mixing(tuning, task.classes) if run.progress.way < 1 - tuning.mix_off else None
    mixed, loss, passes = torch.get_rng_state(), 0.0, team.passes(len(drawn))
    for i, own in enumerate(passes):
        torch.set_rng_state(mixed)
        rows = _with_neighbour(own, len(drawn), mix is not None)
        with team.passing(forward, last=i == len(passes) - 1), team.arithmetic():
            images = pixels.take(drawn[rows]).to(team.device, non_blocking=True)
            seen = augment.views(images, run.plan.image_size, tuning, draws.of(rows))
            truth = torch.from_numpy(task.labels[task.train[drawn[rows]]]).to(team.device)
            if mix is not None:
                seen, truth = mix(seen, truth)
            if len(own) < len(drawn):
                torch.manual_seed(hash((task.recipe.seed, run.progress.step, own.start)))  # for dropout in the network
            skipped = len(rows) - len(own)
            seen, truth = (seen[skipped:], truth[skipped:]) if own else (seen, truth)
            part = _loss(run, seen, forward(seen), truth) * (len(own) > 0) / len(drawn)
            # The engines average over the ranks, and what is wanted is the sum.
            (part * team.world).backward()
        loss += float(part.detach())
    return loss


def _with_neighbour(own: range, count: int, mixing: bool) -> NDArray[np.int64]:
    """Rows of a batch to look at; mixing takes each image's partner from the row before it, and of the first the last.

    A share without images looks at one all the same, because every rank must take part; it counts nothing.
    """
    if not own:
        return np.zeros(1, np.int64)
    first = [(own.start - 1) % count] if mixing and len(own) < count else []
    return np.array([*first, *own], np.int64)


def _loss(run: Run, seen: Any, scores: Any, truth: Any) -> Any:
    """Sum of the losses of views; scores ``(n, labels)``, truth ``(n,)`` or, where mixed, ``(n, labels)``."""
    task, tuning = run.task, run.task.tuning
    further = len(seen) * task.further_loss(run.learner, seen, scores) if task.further_loss else 0.0
    if not tuning.balanced:
        shares = np.bincount(task.labels[task.train], minlength=task.classes) / len(task.train)
        scores = scores + torch.log(torch.from_numpy(np.maximum(shares, 1e-6))).to(scores)
    return (
        torch.nn.functional.cross_entropy(scores, truth, label_smoothing=tuning.label_smoothing, reduction="sum")
        + further
    )


def drawn_at(run: Run, step: int) -> NDArray[np.int64]:
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
