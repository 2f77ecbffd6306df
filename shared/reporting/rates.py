"""Rates with their counts and intervals: nothing is shown as a bare number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
CONFIDENCE = 0.95
RESAMPLES = 2000


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
    like these groups do (linearised variance of a ratio, Kish's design effect). Where nothing varies it is the number
    of groups.

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
    low, high = _interval(share, variance, n, count)
    return Rate(share, low, high, n)


def _members(groups: Sequence[str]) -> NDArray[np.int64]:
    keys = [g or f"#{i}" for i, g in enumerate(groups)]
    member: NDArray[np.int64] = np.unique(keys, return_inverse=True)[1]
    return member


def _interval(share: float, variance: float, n: int, groups: int) -> tuple[float, float]:
    """Clopper and Pearson's interval for the number of independent cases that would have this variance."""
    from scipy.stats import beta

    if groups < 2:
        return 0.0, 1.0
    effective = share * (1 - share) / variance if variance > 1e-12 else float(groups)
    effective = float(np.clip(effective, 1.0, n))
    right, wrong, tail = share * effective, (1 - share) * effective, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, right, wrong + 1)) if right > 0 else 0.0
    high = float(beta.ppf(1 - tail, right + 1, wrong)) if wrong > 0 else 1.0
    return low, high


def confusion(labels: Indices, predicted: Indices, classes: int) -> NDArray[np.int64]:
    """Counts ``(true, predicted)``."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


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
    variance of the three summaries comes from resampling groups.

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
    classes = len(names)
    member = _members(groups)
    count = int(member.max()) + 1
    per_group = np.zeros((count, classes * classes))
    np.add.at(per_group, (member, labels * classes + predicted), 1)
    total = per_group.sum(0).reshape(classes, classes)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    resampled = (times @ per_group).reshape(-1, classes, classes)
    summaries = {
        name: _summary(statistic(total), statistic(resampled), len(labels), count)
        for name, statistic in (
            ("accuracy", accuracy),
            ("balanced_accuracy", balanced_accuracy),
            ("macro_f1", macro_f1),
        )
    }
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


def _summary(value: NDArray[np.float64], resampled: NDArray[np.float64], n: int, groups: int) -> dict[str, float]:
    # The bootstrap of G groups underestimates a variance by (G - 1) / G.
    variance = float(resampled.var()) * groups / max(groups - 1, 1)
    low, high = _interval(float(value), variance, n, groups)
    return {"value": float(value), "low": low, "high": high}
