"""How well scores tell what must not be missed from the rest: AUC, partial AUC, operating points, calibration."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.reporting.rates import Rate, grouped

MIN_SENSITIVITY = 0.8
"""Of the partial AUC: ISIC 2024 scored only what lies above 80 % sensitivity."""
BINS = 15
_Z = 1.959963984540054
"""97.5th percentile of the normal distribution."""

Truth = NDArray[np.bool_]
Scores = NDArray[np.float64]


def auc(truth: Truth, scores: Scores, patients: Sequence[str] = ()) -> Rate:
    """Area under the ROC curve with DeLong's interval, which counts patients where they are named.

    DeLong, DeLong and Clarke-Pearson 1988 in the midrank form of Sun and Xu 2014; with several pictures per patient
    the components are summed per patient (Obuchowski 1997), which is the same where every patient has one. Where the
    variance is 0 (all positives above all negatives) the interval reaches down to the least share that as many
    faultless patients prove, 0.025 ** (1 / n); with fewer than two patients of one kind it says nothing, 0 to 1.

    Args:
        truth: ``(n,)`` True for what must not be missed.
        scores: ``(n,)``, greater for riskier.
        patients: Patient of each ``(n,)``; without, each is a patient of its own.

    Returns:
        ``n`` is the number of cases; the value is None where one of both kinds is missing.
    """
    positive, negative = scores[truth], scores[~truth]
    m, n = len(positive), len(negative)
    if not m or not n:
        return Rate(None, 0.0, 1.0, len(scores))
    parts = np.zeros(len(scores))
    parts[truth], parts[~truth] = _placements(positive, negative)
    value = float(parts[truth].mean())
    names = [p or f"#{i}" for i, p in enumerate(patients)] if len(patients) else list(map(str, range(len(scores))))
    member = np.unique(names, return_inverse=True)[1]
    fewest = min(len(set(member[truth].tolist())), len(set(member[~truth].tolist())))
    if fewest < 2:
        return Rate(value, 0.0, 1.0, len(scores))
    variance = _variance(parts - value, truth, member)
    if variance <= 0:
        edge = 0.025 ** (1 / fewest)
        return Rate(value, min(value, edge), max(value, 1 - edge), len(scores))
    half = _Z * math.sqrt(variance)
    return Rate(value, max(0.0, value - half), min(1.0, value + half), len(scores))


def _placements(positive: Scores, negative: Scores) -> tuple[Scores, Scores]:
    """Share of negatives below each positive, and of positives above each negative; ties count half."""
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n
    below = 1 - (ranks[m:] - rankdata(negative)) / m
    return above, below


def _variance(residual: Scores, truth: Truth, member: NDArray[np.int64]) -> float:
    """Obuchowski's variance of the AUC from the components less the AUC."""
    m, n = int(truth.sum()), int((~truth).sum())
    count = int(member.max()) + 1
    of_positive = np.bincount(member, weights=np.where(truth, residual, 0.0), minlength=count)
    of_negative = np.bincount(member, weights=np.where(truth, 0.0, residual), minlength=count)
    with_positive, with_negative = len(set(member[truth].tolist())), len(set(member[~truth].tolist()))
    s10 = _unbiased(with_positive) / m * float(of_positive @ of_positive)
    s01 = _unbiased(with_negative) / n * float(of_negative @ of_negative)
    s11 = _unbiased(count) * float(of_positive @ of_negative)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def _unbiased(clusters: int) -> float:
    return clusters / (clusters - 1) if clusters > 1 else 0.0


def partial_auc(truth: Truth, scores: Scores, *, min_sensitivity: float = MIN_SENSITIVITY) -> float:
    """Area between the ROC curve and the line of ``min_sensitivity``, as ISIC 2024 scored it.

    0 to ``1 - min_sensitivity`` (0.2), 0.02 by chance for 0.8.

    Args:
        truth: ``(n,)``.
        scores: ``(n,)``.
        min_sensitivity: 0 to below 1.

    Returns:
        The area; not a number where one of both kinds is missing.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # ties make one step of the curve
    hits = np.append(0.0, np.cumsum(truth[order])[last])
    alarms = np.append(0.0, np.cumsum(~truth[order])[last])
    if hits[-1] <= 0 or alarms[-1] <= 0:
        return math.nan
    sensitivity, false = hits / hits[-1], alarms / alarms[-1]
    above = np.maximum(sensitivity - min_sensitivity, 0.0)
    rise, run = np.diff(sensitivity), np.diff(false)
    # A step that crosses the line counts from where it crosses: a triangle in place of a trapezium.
    crosses = (sensitivity[:-1] < min_sensitivity) & (sensitivity[1:] > min_sensitivity)
    share = np.where(crosses, above[1:] / np.where(rise > 0, rise, 1.0), 1.0)
    return float((run * share * (above[:-1] + above[1:]) / 2).sum())


def threshold_at_specificity(truth: Truth, scores: Scores, specificity: float) -> float:
    """The lowest threshold at which at least this share of the negatives is not flagged (flagged is score >= it)."""
    negative = np.sort(scores[~truth])
    spared = _at_least(specificity, len(negative))
    return float(np.nextafter(negative[spared - 1], np.inf)) if spared else -math.inf


def threshold_at_sensitivity(truth: Truth, scores: Scores, sensitivity: float) -> float:
    """The highest threshold at which at least this share of the positives is flagged."""
    positive = np.sort(scores[truth])
    found = _at_least(sensitivity, len(positive))
    return float(positive[len(positive) - found]) if found else math.inf


def _at_least(share: float, n: int) -> int:
    return math.ceil(share * n - 1e-9)


def at_threshold(truth: Truth, scores: Scores, patients: Sequence[str], threshold: float) -> dict[str, Any]:
    """Sensitivity and specificity of one threshold, with intervals that count patients."""
    flagged, names = scores >= threshold, np.array(patients, dtype=object)
    return {
        "threshold": threshold,
        "sensitivity": asdict(grouped(flagged[truth], names[truth].tolist())),
        "specificity": asdict(grouped(~flagged[~truth], names[~truth].tolist())),
    }


def top_k(probabilities: Scores, labels: NDArray[np.int64], k: int, patients: Sequence[str]) -> Rate:
    """How often the true label is among the ``k`` likeliest; ties count against the model.

    Args:
        probabilities: ``(n, labels)``.
        labels: True indices ``(n,)``.
        k: How many labels a clinician would read.
        patients: Patient of each ``(n,)``.
    """
    own = probabilities[np.arange(len(labels)), labels]
    return grouped((probabilities >= own[:, None]).sum(1) <= k, patients)


def risk_brier(truth: Truth, risk: Scores) -> float:
    """Brier score of the risk: mean squared difference from 0 or 1; 0 to 1, less is better."""
    return float(((risk - truth) ** 2).mean()) if len(risk) else math.nan


def risk_calibration_error(truth: Truth, risk: Scores, bins: int = BINS) -> float:
    """ECE of the risk: mean gap between stated risk and observed share, over bins of equal size; 0 to 1."""
    order = np.argsort(risk, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(len(order), 1))) if len(part)]
    gaps = [len(part) * abs(float(risk[part].mean() - truth[part].mean())) for part in parts]
    return sum(gaps) / len(order) if len(order) else math.nan
