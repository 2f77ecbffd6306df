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
        value: The share, NaN where n is 0.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Number of cases behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.n == 0:
            return "no cases"
        return f"{self.value:.1%} [{self.low:.1%} .. {self.high:.1%}] n={self.n}"


def proportion(successes: int, n: int) -> Rate:
    """A share of independent cases with the exact interval of Clopper and Pearson (1934)."""
    from scipy.stats import binomtest

    if n == 0:
        return Rate(float("nan"), 0.0, 1.0, 0)
    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="exact")
    return Rate(successes / n, float(interval.low), float(interval.high), n)


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

    Images of one group (part, patient, field) are alike, so the intervals of the three summaries come from resampling
    groups, not images (percentile bootstrap). Recall per label has the exact binomial interval.

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
    keys = [g or f"#{i}" for i, g in enumerate(groups)]
    unique, member = np.unique(keys, return_inverse=True)
    per_group = np.zeros((len(unique), classes * classes))
    np.add.at(per_group, (member, labels * classes + predicted), 1)
    total = per_group.sum(0).reshape(classes, classes)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=RESAMPLES)
    resampled = (times @ per_group).reshape(-1, classes, classes)
    summaries = {
        name: _summary(statistic(total), statistic(resampled))
        for name, statistic in (
            ("accuracy", accuracy),
            ("balanced_accuracy", balanced_accuracy),
            ("macro_f1", macro_f1),
        )
    }
    per_label = {}
    for i, name in enumerate(names):
        recall = proportion(int(total[i, i]), int(total[i].sum()))
        said = int(total[:, i].sum())
        per_label[name] = {
            "n": recall.n,
            "recall": None if recall.n == 0 else recall.value,
            "low": recall.low,
            "high": recall.high,
            "precision": float(total[i, i] / said) if said else None,
        }
    return {
        "n": len(labels),
        "groups": len(unique),
        **summaries,
        "per_label": per_label,
        "confusion": total.astype(int).tolist(),
    }


def _summary(value: NDArray[np.float64], resampled: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"value": float(value), "low": float(low), "high": float(high)}
