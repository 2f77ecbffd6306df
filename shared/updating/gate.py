"""Whether a candidate may take its parent's place: each check is a sentence with its numbers, kept with the bundle."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from shared.errors import LoupeError
from shared.reporting.paired import paired, per_label, surely_better
from shared.training import head

MOST_APART = 0.9
"""AUROC above which new images are another kind of picture; a batch of the same kind gives about 0.5."""
LEAST_COMPONENTS = 10
"""With fewer independent images on either side nothing is said."""
FOLDS = 5

Judges = tuple[NDArray[np.floating], Sequence[str]]


class Refused(LoupeError):
    """The gate does not let a candidate through; nothing was changed."""


@dataclass(frozen=True)
class Limits:
    """What an update may cost.

    Attributes:
        drop: Balanced accuracy over all old labels, 0 to 1.
        label_drop: Recall of any old label, 0 to 1.
        brier: Brier score, 0 to 2.
        novel: Further share of known held-out images that count as novel, 0 to 1.
        size: Growth of the file beyond what new labels take, relative.
        changed: Share of recent images whose likeliest label changes.
        sure: Confidence from which a loss counts as real, 0.5 to 1.
    """

    drop: float = 0.01
    label_drop: float = 0.03
    brier: float = 0.01
    novel: float = 0.05
    size: float = 0.05
    changed: float = 0.2
    sure: float = 0.9


@dataclass(frozen=True)
class Check:
    """One question of the gate.

    Attributes:
        name: What was asked.
        passed: Whether it holds.
        said: The answer with its numbers.
    """

    name: str
    passed: bool
    said: str


@dataclass(frozen=True)
class Gate:
    """All answers.

    Attributes:
        checks: In the order they were asked.
    """

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the candidate may be promoted."""
        return all(check.passed for check in self.checks)

    @property
    def id(self) -> str:
        """First 12 digits of the SHA-256 over all answers."""
        return hashlib.sha256(json.dumps([asdict(c) for c in self.checks]).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        failed = [check.said for check in self.checks if not check.passed]
        return "; ".join(failed) if failed else f"passed {len(self.checks)} checks"


@dataclass(frozen=True)
class Judged:
    """One model's answers to held-out images.

    Attributes:
        probabilities: ``(n, labels)``.
        novelty: ``(n,)``.
        size: Bytes of the model file.
        nodes: Nodes of its graph: what it takes to compute.
    """

    probabilities: NDArray[np.float64]
    novelty: NDArray[np.float64]
    size: int
    nodes: int

    def over(self, labels: Sequence[str], wanted: Sequence[str]) -> "Judged":
        """The same with the columns in another order, or fewer."""
        return replace(self, probabilities=self.probabilities[:, [labels.index(label) for label in wanted]])


def labels_stay(old: Sequence[str], new: Sequence[str], forgotten: Sequence[str]) -> Check:
    """No label vanishes unless its last image was forgotten on purpose."""
    gone = sorted(set(old) - set(new) - set(forgotten))
    return Check("labels", not gone, f"label {', '.join(gone)} would be gone" if gone else "every old label is there")


def old_and_new(
    parent: Judged,
    candidate: Judged,
    truth: NDArray[np.int64],
    groups: Sequence[str],
    labels: Sequence[str],
    limits: Limits,
) -> list[Check]:
    """The candidate against its parent on the same held-out images of labels that both know.

    Args:
        parent: Answers over ``labels``.
        candidate: Answers over ``labels`` first; further columns are labels that the parent does not know.
        truth: ``(n,)`` indices into ``labels``.
        groups: Component of each image.
        labels: The parent's.
        limits: What may be lost.
    """
    if not len(truth):
        return [Check("held-out images", False, "no held-out image of an old label is there to judge on")]
    a, b = parent.probabilities.argmax(1), candidate.probabilities.argmax(1)
    over = paired(truth, a, b, groups)
    worse = paired(truth, b, a, groups).p_better
    bad = over.value < -limits.drop and worse >= limits.sure
    checks = [Check("old labels together", not bad, f"{over}, {_allowed(over.value, limits.drop, bad)}")]
    back = per_label(truth, b, a, groups)
    for label, found in per_label(truth, a, b, groups).items():
        lost = found.value < -limits.label_drop and back[label].p_better >= limits.sure
        name, low, high = f"recall of {labels[label]}", 100 * found.low, 100 * found.high
        said = f"{name} {100 * found.value:+.1f} points [{low:+.1f} .. {high:+.1f}] on {found.n} images"
        checks.append(Check(name, not lost, f"{said}, {_allowed(found.value, limits.label_drop, lost)}"))
    own = candidate.probabilities[:, : len(labels)]
    gain, sure = surely_better(truth, own, parent.probabilities, groups)
    bad = gain > limits.brier and sure >= limits.sure
    checks.append(Check("probabilities", not bad, f"Brier score {gain:+.3f}, allowed {limits.brier:+.3f}"))
    share = [float((judged.novelty > 1).mean()) for judged in (parent, candidate)]
    bad = share[1] > share[0] + limits.novel
    said = f"{100 * share[1]:.1f} % of known held-out images count as novel, before {100 * share[0]:.1f} %"
    return [*checks, Check("novelty", not bad, said)]


def _allowed(value: float, limit: float, failed: bool) -> str:
    """The limit of a loss; a loss beyond it that passes has to be explained, or nobody believes the gate."""
    said = f"allowed {-100 * limit:+.1f}"
    return said if failed or value >= -limit else f"{said}: beyond it, and too few images to tell from chance"


def cost(parent: Judged, candidate: Judged, new_labels: int, limits: Limits) -> Check:
    """Size and work stay what they were; a further label may add its share."""
    allowed = (1 + limits.size) * parent.size * (1 + 0.01 * new_labels)
    fits = candidate.size <= allowed and candidate.nodes <= parent.nodes
    said = f"{candidate.size:,} bytes and {candidate.nodes} nodes, before {parent.size:,} and {parent.nodes}"
    return Check("size and work", fits, said)


def contradicted(
    probabilities: NDArray[np.float64],
    truth: NDArray[np.int64],
    usual: float,
    names: Sequence[str],
    *,
    sure: float = 0.01,
) -> Check:
    """Whether more of the new labels are contradicted by the parent than it errs anyway.

    Contradicted is a label to which the parent gives less than a twentieth while it gives another more than a half.

    Args:
        probabilities: ``(n, labels)`` of the parent for new images of labels that it knows.
        truth: ``(n,)`` their given labels.
        usual: Share of its own held-out images for which the parent does the same.
        names: Path of each image.
        sure: Largest probability of chance.
    """
    against = doubted(probabilities, truth)
    n, k = len(truth), int(against.sum())
    chance = float(stats.binom.sf(k - 1, n, max(usual, 1 / (len(truth) + 20)))) if k else 1.0
    shown = ", ".join(names[i] for i in np.flatnonzero(against)[:3])
    said = f"{k} of {n} new labels are contradicted by what the bundle knows (usual: {100 * usual:.1f} %)"
    return Check("labels of the new images", chance >= sure, said + (f", e.g. {shown}: correct them" if k else ""))


def doubted(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """``(n,)`` whether a label has less than a twentieth and another more than a half."""
    own = probabilities[np.arange(len(truth)), truth]
    result: NDArray[np.bool_] = (own < 0.05) & (probabilities.max(1) > 0.5)
    return result


def alike(novelty: NDArray[np.float64], usual: NDArray[np.float64], apart: float, *, sure: float = 0.001) -> Check:
    """Whether new images of known labels look like those the bundle was made for: washed out, blurred, another camera.

    Args:
        novelty: ``(n,)`` of new images of labels that the bundle knows.
        usual: ``(m,)`` of its own held-out images.
        apart: How well the two can be told apart, see :func:`told_apart`.
        sure: Largest probability of chance, by the Mann-Whitney test, for a shift that matters.
    """
    if not len(novelty) or not len(usual):
        return Check("new images", True, "no new image of an old label")
    chance = float(stats.mannwhitneyu(novelty, usual, alternative="greater").pvalue)
    far = float((novelty > 1).mean())
    bad = (chance < sure and far > 0.25) or apart > MOST_APART
    said = f"{100 * far:.0f} % of the new images of old labels are unlike the bundle's (novelty above 1)"
    said += f", told apart from its held-out images with an AUROC of {apart:.2f}, allowed {MOST_APART:.2f}"
    return Check("new images", not bad, said + (": look at light, focus and camera" if bad else ""))


def told_apart(new: Judges, old: Judges) -> float:
    """How well a classifier tells new images from held-out ones, both unseen, as AUROC; 0.5 where there are few.

    A classifier two-sample test (Lopez-Paz and Oquab 2017), on what is left of the features when the mean of their
    label is taken away, so that another mix of labels is no difference. Images of one component are in one fold.

    Args:
        new: ``(n, d)`` such features of new images, and the component of each.
        old: ``(m, d)`` of held-out images, likewise.
    """
    x = np.concatenate([new[0], old[0]]).astype(np.float64)
    y = np.repeat([1, 0], [len(new[0]), len(old[0])])
    components = np.unique([*new[1], *old[1]], return_inverse=True)[1]
    if min(len(np.unique(components[y == k])) for k in (0, 1)) < LEAST_COMPONENTS:
        return 0.5
    fold = head.folds(components, y, FOLDS, 0)
    scores = np.zeros(len(y))
    for f in np.unique(fold):
        inside = fold != f
        fitted = next(head.ridge(x[inside], y[inside], 2, [1.0]))
        scores[~inside] = fitted.scores(x[~inside])[:, 1]
    found = stats.mannwhitneyu(scores[y == 1], scores[y == 0])
    return float(found.statistic / ((y == 1).sum() * (y == 0).sum()))


def shadow(parent: Sequence[str], candidate: Sequence[str], limits: Limits) -> Check:
    """How many recent images would get another likeliest label."""
    share = float(np.mean([a != b for a, b in zip(parent, candidate, strict=True)]))
    said = (
        f"{100 * share:.1f} % of {len(parent)} recent images change their label, allowed {100 * limits.changed:.0f} %"
    )
    return Check("recent images", share <= limits.changed, said)


def record(gate: Gate, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The gate with everything that tells where it stood, as plain data."""
    return {"id": gate.id, "passed": gate.passed, "checks": [asdict(c) for c in gate.checks], **facts}
