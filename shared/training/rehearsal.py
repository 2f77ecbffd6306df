"""Learning new images with a few old ones beside them, while a copy of the network as it was holds on to the rest.

Exemplars are chosen by herding and the loss is cross-entropy plus distillation (iCaRL, Rebuffi et al. 2017), the latter
as in learning without forgetting (Li and Hoiem 2017): the parent's answers over the labels that it knows, softened by
:data:`TEMPERATURE`, for every view that is learnt from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import learning, tunable, whole
from shared.training.backbones import FieldNet, torch
from shared.training.pixels import Picture, Reader
from shared.training.run import FurtherLoss
from shared.training.throughput import BATCH, Plan
from shared.training.tunable import Tunable

TEMPERATURE = 2.0
"""As in Li and Hoiem 2017, who took it from Hinton et al. 2015."""


@dataclass(frozen=True)
class Teacher:
    """The parent as it answered before.

    Attributes:
        net: Its backbone.
        head: Its head; its temperature has been divided into the weights.
        columns: Where its labels stand among those that are learnt.
    """

    net: FieldNet
    head: Head
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Rehearsed:
    """What came of it.

    Attributes:
        net: The backbone, in evaluation mode.
        steps: Steps that were made.
        why: Why it ended.
        finite: Whether the weights are numbers.
    """

    net: FieldNet
    steps: int
    why: str
    finite: bool


def herded(features: NDArray[np.floating], count: int) -> list[int]:
    """The images whose mean comes closest to the mean of all, the most important first (Rebuffi et al. 2017, Alg. 4).

    Args:
        features: ``(n, d)`` of one label.
        count: How many; all where there are fewer.

    Returns:
        Indices, each once; the first ``k`` of them are what a smaller count gives.
    """
    x = np.asarray(features, np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    mean, total = x.mean(0), np.zeros(x.shape[1])
    chosen: list[int] = []
    left = np.ones(len(x), bool)
    while len(chosen) < min(count, len(x)):
        distance = np.linalg.norm(mean - (total + x) / (len(chosen) + 1), axis=1)
        best = int(np.where(left, distance, np.inf).argmin())
        chosen.append(best)
        left[best] = False
        total += x[best]
    return chosen


def learn(
    net: FieldNet,
    start: Head,
    teacher: Teacher,
    pictures: Sequence[Picture] | Reader,
    labels: NDArray[np.int64],
    recipe: Recipe,
    *,
    until: float,
) -> Rehearsed:
    """Fine-tune a backbone on exemplars and new images; every label is drawn equally often.

    Args:
        net: The backbone to start from; it is not changed.
        start: The closed-form head on its features, over old and new labels.
        teacher: What the parent answers is to be kept.
        pictures: As in :func:`shared.training.finetune.finetune`.
        labels: ``(n,)`` indices into the columns of ``start``.
        recipe: Seed, threads and tuning.
        until: ``time.monotonic()`` at which it has returned; the schedule is shortened to fit.
    """
    tuning = replace(recipe.tuning, balanced=True)
    plan = Plan(net.image_size, min(BATCH, len(labels)), 0.0, tuning.epochs, False)
    with learning.threads(recipe), torch.random.fork_rng(devices=[]):
        kept = distillation(teacher, recipe)
        run = whole.once(net, start, plan, pictures, labels, recipe, tuning, 0, until, None, kept)
        made = learning.finished(run, run.progress.average)
    finite = all(bool(torch.isfinite(value).all()) for value in made.state_dict().values())
    return Rehearsed(made.net, run.progress.step, run.why, finite)


def distillation(teacher: Teacher, recipe: Recipe) -> FurtherLoss:
    """Divergence of a learner's answers over the old labels from the teacher's, a further loss of a learning."""
    # What Tunable divides scores by is multiplied in before, so that they stay the teacher's.
    scale = tunable.LEAST_SURE
    head = replace(
        teacher.head, weights=scale * teacher.head.weights, bias=scale * teacher.head.bias, temperature=scale
    )
    knows = Tunable(tunable.copied(teacher.net, recipe, teacher.net.image_size), head).eval().requires_grad_(False)
    knows.to(memory_format=knows.format)
    columns = torch.tensor(teacher.columns)

    def loss(_: Tunable, views: Any, scores: Any) -> Any:
        with torch.no_grad():
            wanted = torch.log_softmax(knows(views) / TEMPERATURE, 1)
        said = torch.log_softmax(scores[:, columns] / TEMPERATURE, 1)
        divergence = torch.nn.functional.kl_div(said, wanted, reduction="batchmean", log_target=True)
        return TEMPERATURE**2 * divergence

    return loss
