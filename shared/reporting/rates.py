"""Rates with their counts and intervals: nothing is shown as a bare number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Indices = NDArray[np.int64]
CONFIDENCE = 0.95
RESAMPLES = 2000
LEAST_IN_BIN = 5
_BLOCK = 2_000_000
"""Cells of resampled confusion matrices that are held at once: 16 MB."""


@dataclass(frozen=True)
class Rate:
    """A share with its interval.

    Attributes:
        value: The share, None where n is 0.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Number of cases behind it.
    """

    value: float | None
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.value is None:
            return "no cases"
        return f"{self.value:.1%} [{self.low:.1%} .. {self.high:.1%}] n={self.n}"


def percent(value: float | None, none: str = "no cases", *, digits: int = 1) -> str:
    """A share from 0 to 1 as a person reads it; ``none`` where it is None or not a number.

    0 and 100 % are said of no case and of all alone: two escapes among 5,000 parts are not none.
    """
    if value is None or value != value:
        return none
    least = 10.0**-digits
    if 0 < 100 * value < least / 2:
        return f"< {least:.{digits}f} %"
    return f"> {100 - least:.{digits}f} %" if 100 - least / 2 <= 100 * value < 100 else f"{100 * value:.{digits}f} %"


def proportion(successes: int, n: int) -> Rate:
    """A share of independent cases with the exact interval of Clopper and Pearson (1934)."""
    from scipy.stats import binomtest

    if n == 0:
        return Rate(None, 0.0, 1.0, 0)
    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="exact")
    return Rate(successes / n, float(interval.low), float(interval.high), n)


def grouped(successes: NDArray[np.bool_], groups: Sequence[str]) -> Rate:
    """A share of cases that come in groups (parts, patients, fields), with an interval that knows it.

    The interval is Clopper and Pearson's for the effective number of cases: as many independent cases as would vary
    like these groups do (linearised variance of a ratio, Kish's design effect), fewer where the groups are too few to
    tell how much they vary. Where nothing varies it is the number of groups. Simulated, 95 % intervals hold the truth
    in 87 to 100 % of the cases from 3 groups on, least where ten or fewer large groups differ much from each other.

    Args:
        successes: ``(n,)``.
        groups: Group of each case ``(n,)``; empty text means a group of its own.
    """
    n = len(successes)
    if n == 0:
        return Rate(None, 0.0, 1.0, 0)
    member = _members(groups)
    count = int(member.max()) + 1
    share = float(np.mean(successes))
    residual = np.bincount(member, weights=np.asarray(successes, float) - share)
    variance = float((residual**2).sum()) / n**2 * count / max(count - 1, 1)
    low, high = _interval(share, variance * _uncertain(member), n, float(count))
    return Rate(share, low, high, n)


def _members(groups: Sequence[str]) -> NDArray[np.int64]:
    keys = [g or f"#{i}" for i, g in enumerate(groups)]
    member: NDArray[np.int64] = np.unique(keys, return_inverse=True)[1]
    return member


def _uncertain(member: NDArray[np.int64]) -> float:
    """By how much a variance seen among these groups is to be raised, 1 where each case is a group of its own.

    The variance of few groups is itself a guess: Student's t over the normal, squared, as Korn and Graubard (1998) do
    it. Degrees of freedom are those of as many equal groups as unequal ones are worth (Kish).
    """
    from scipy.stats import norm, t

    sizes = np.bincount(member).astype(float)
    if sizes.max() == 1:
        return 1.0
    freedom = max(sizes.sum() ** 2 / (sizes**2).sum() - 1, 1.0)
    upper = (1 + CONFIDENCE) / 2
    return float(t.ppf(upper, freedom) / norm.ppf(upper)) ** 2


def _interval(share: float, variance: float, most: float, groups: float) -> tuple[float, float]:
    """Clopper and Pearson's interval for the number of independent cases that would have this variance.

    Args:
        share: 0 to 1.
        variance: Of the share.
        most: Cases that it can be worth at most.
        groups: Cases that it is worth where nothing varies.
    """
    from scipy.stats import beta

    if groups < 2:
        return 0.0, 1.0
    effective = share * (1 - share) / variance if variance > 1e-12 else groups
    effective = float(np.clip(effective, 1.0, most))
    right, wrong, tail = share * effective, (1 - share) * effective, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, right, wrong + 1)) if right > 0 else 0.0
    high = float(beta.ppf(1 - tail, right + 1, wrong)) if wrong > 0 else 1.0
    return low, high


def confusion(labels: Indices, predicted: Indices, names: Sequence[str]) -> dict[str, Any]:
    """Confusion matrix by name.

    Args:
        labels: True indices into ``names`` ``(n,)``.
        predicted: Predicted indices ``(n,)``.
        names: Label names.

    Returns:
        ``labels`` (the names) and ``counts``: one list per true label, one count per predicted label.
    """
    matrix = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return {"labels": list(names), "counts": matrix.tolist()}


def brier(probabilities: NDArray[np.floating], labels: Indices) -> float:
    """Brier score: mean over images of the summed squared difference from the truth; 0 (right and sure) to 2.

    The original form for several labels (Brier 1950); with two labels it is twice what is often given.

    Args:
        probabilities: ``(n, labels)``, rows add up to 1.
        labels: True indices ``(n,)``.

    Raises:
        ValueError: No image.
    """
    if not len(labels):
        raise ValueError("the Brier score of no image is not defined")
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((np.asarray(probabilities, np.float64) - truth) ** 2).sum(1).mean())


def reliability(
    probabilities: NDArray[np.floating], labels: Indices, bins: int = 10, *, groups: Sequence[str] = ()
) -> list[dict[str, float]]:
    """How often the most probable label is right, by how probable it is said to be.

    The bins are equally filled (Nixon et al. 2019), and hold five images or more wherever there are that many.

    Args:
        probabilities: ``(n, labels)``, rows add up to 1.
        labels: True indices ``(n,)``.
        bins: Most bins.
        groups: Group of each image ``(n,)``, so that intervals count groups, see :func:`grouped`; without, each image
            is a group of its own.

    Returns:
        From the least to the most confident bin: ``confidence`` (mean), ``accuracy`` with ``low`` and ``high``, and
        ``n``; empty where there is no image.
    """
    if not len(labels):
        return []
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    order = np.argsort(confidence, kind="stable")
    result = []
    for part in np.array_split(order, max(1, min(bins, len(order) // LEAST_IN_BIN))):
        rate = grouped(right[part], [groups[i] for i in part] if len(groups) else [""] * len(part))
        spread = {"accuracy": float(right[part].mean()), "low": rate.low, "high": rate.high}
        result.append({"confidence": float(confidence[part].mean()), **spread, "n": rate.n})
    return result


def gap_by_chance(bins: Sequence[Mapping[str, float]], *, seed: int = 0) -> float:
    """The gap between confidence and accuracy that a perfectly calibrated model stays below in 95 of 100 cases.

    Consistency resampling (Broecker and Smith 2007): right answers are drawn with the stated confidence of each bin.
    With few images the gap is never 0, also where every probability is true.

    Args:
        bins: See :func:`reliability`; images count as independent.
        seed: For the draws.
    """
    n = np.array([b["n"] for b in bins], np.int64)
    confidence = np.clip([b["confidence"] for b in bins], 0.0, 1.0)
    drawn = np.random.default_rng(seed).binomial(n, confidence, size=(RESAMPLES, len(n))) / n
    gaps = np.abs(drawn - confidence) @ n / n.sum()
    return float(np.quantile(gaps, CONFIDENCE))


def gap(bins: Sequence[Mapping[str, float]]) -> float:
    """Mean gap between confidence and accuracy over the bins of :func:`reliability`, 0 to 1."""
    n = np.array([b["n"] for b in bins], np.float64)
    return float(np.abs([b["confidence"] - b["accuracy"] for b in bins]) @ n / n.sum())


def accuracy(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share of right answers of confusion matrices ``(..., true, predicted)``; shape ``(...)``."""
    right = np.trace(matrix, axis1=-2, axis2=-1)
    result: NDArray[np.float64] = right / matrix.sum((-2, -1))
    return result


def balanced_accuracy(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean recall over the labels that are there; shape ``(...)``."""
    n = matrix.sum(-1)
    recall = np.diagonal(matrix, axis1=-2, axis2=-1) / np.maximum(n, 1e-12)
    result: NDArray[np.float64] = (recall * (n > 0)).sum(-1) / (n > 0).sum(-1)
    return result


def macro_f1(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean F1 over the labels that are there or were predicted; shape ``(...)``."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    n = matrix.sum(-1) + matrix.sum(-2)
    result: NDArray[np.float64] = (2 * hits / np.maximum(n, 1e-12)).sum(-1) / (n > 0).sum(-1)
    return result


def classification(
    labels: Indices, predicted: Indices, names: Sequence[str], *, groups: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """Accuracy, balanced accuracy and macro-F1 with intervals, and recall per label.

    Images of one group (part, patient, field) are alike, so every interval counts groups, see :func:`grouped`; the
    variance of the three summaries comes from resampling groups. A mean over labels is as sure as its rarest label
    allows: two images that are both right do not prove the recall of their label.

    Args:
        labels: True labels ``(n,)``.
        predicted: Predicted labels ``(n,)``.
        names: Label names.
        groups: Group of each image ``(n,)``; empty text means a group of its own.
        seed: For the resampling.

    Returns:
        ``n``, ``groups``, ``accuracy``, ``balanced_accuracy``, ``macro_f1`` (each value, low, high), ``per_label`` (n,
        recall, low, high, precision) and ``confusion``.
    """
    from scipy.sparse import csr_array

    classes = len(names)
    member = _members(groups)
    count = int(member.max()) + 1
    # Sparse, and a block at a time: with 128 labels all resampled matrices at once would take 260 MB.
    cells = (member, labels * classes + predicted)
    per_group = csr_array((np.ones(len(labels)), cells), shape=(count, classes * classes))
    total: NDArray[np.float64] = np.asarray(per_group.sum(0)).reshape(classes, classes)
    worth = {"accuracy": (float(len(labels)), float(count))}
    worth |= dict.fromkeys(("balanced_accuracy", "macro_f1"), _per_label_worth(labels, predicted, member))
    summaries = _summaries(per_group, total, worth, _uncertain(member), seed)
    per_label = {}
    for i, name in enumerate(names):
        mine = labels == i
        recall = grouped(predicted[mine] == i, [g for g, m in zip(groups, mine, strict=True) if m])
        said = int(total[:, i].sum())
        per_label[name] = {
            "n": recall.n,
            "recall": recall.value,
            "low": recall.low,
            "high": recall.high,
            "precision": float(total[i, i] / said) if said else None,
        }
    return {
        "n": len(labels),
        "groups": count,
        **summaries,
        "per_label": per_label,
        "confusion": total.astype(int).tolist(),
    }


def _per_label_worth(labels: Indices, predicted: Indices, member: NDArray[np.int64]) -> tuple[float, float]:
    """Cases that a mean over labels is worth at most, and where nothing varies: the rarest label decides.

    A mean of L shares of n_l cases each varies like a share of L^2 / sum(1 / n_l) cases. A label that is always right,
    or never, shows no variance of its own: it counts its groups.
    """
    there, column = np.unique(labels, return_inverse=True)
    images = np.bincount(column).astype(float)
    groups = np.bincount(np.unique(np.stack([member, column], 1), axis=0)[:, 1]).astype(float)
    right = np.bincount(column, weights=predicted == labels)
    most, still = (
        len(there) ** 2 / float((1 / n).sum())
        for n in (np.where((right > 0) & (right < images), images, groups), groups)
    )
    return most, still if int(member.max()) else 1.0


def _summaries(
    per_group: "csr_array",
    total: NDArray[np.float64],
    worth: Mapping[str, tuple[float, float]],
    uncertain: float,
    seed: int,
) -> dict[str, dict[str, float]]:
    """The three summaries of ``total``, with the variance over resampled groups (rows of ``per_group``)."""
    count, classes = per_group.shape[0], len(total)
    statistics = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}
    rng, even = np.random.default_rng(seed), np.full(count, 1 / count)
    resampled: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for block in np.array_split(np.arange(RESAMPLES), -(-RESAMPLES * classes**2 // _BLOCK)):
        matrices = (rng.multinomial(count, even, size=len(block)) @ per_group).reshape(-1, classes, classes)
        for name, statistic in statistics.items():
            resampled[name].append(statistic(matrices))
    # The bootstrap of G groups underestimates a variance by (G - 1) / G.
    raised = uncertain * count / max(count - 1, 1)
    summaries = {}
    for name, statistic in statistics.items():
        value, variance = float(statistic(total)), float(np.concatenate(resampled[name]).var())
        low, high = _interval(value, variance * raised, *worth[name])
        summaries[name] = {"value": value, "low": low, "high": high}
    return summaries
