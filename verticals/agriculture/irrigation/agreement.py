"""Advice against what a probe measured: every figure with its interval, and beside what no advice at all would score.

Plots are drawn with replacement, not days: the readings of one plot resemble each other. Accuracy alone flatters, since
"never irrigate" is right on most days of a season; ``base_rate`` and ``majority`` say how often.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from shared.reporting.rates import Rate

RESAMPLES = 2000
CONFIDENCE = 0.95

Real = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Decisions beside what was needed; each figure from 0 to 1, kappa from -1.

    Attributes:
        n: Plot-days.
        base_rate: Share of plot-days that needed water.
        majority: Accuracy of always giving the commoner answer.
        accuracy: Share of plot-days decided right.
        balanced_accuracy: Mean of the shares decided right among days that needed water and among those that did not.
        kappa: Agreement beyond chance (Cohen 1960, doi:10.1177/001316446002000104).
        f1: Of "irrigate".
        missed: Share of plot-days needing water on which none was advised.
        needless: Share of plot-days needing none on which water was advised.
    """

    n: int
    base_rate: Rate
    majority: Rate
    accuracy: Rate
    balanced_accuracy: Rate
    kappa: Rate
    f1: Rate
    missed: Rate
    needless: Rate


def agreement(advised: Flags, needed: Flags, plots: Sequence[str], *, seed: int = 0) -> Agreement:
    """Score decisions against measured need.

    Args:
        advised: Whether water was advised ``(n,)``.
        needed: Whether the measured depletion had reached the limit ``(n,)``.
        plots: Plot of each row ``(n,)``.
        seed: For the draws.

    Raises:
        DataError: No rows, or columns of different lengths.
    """
    counts = _counts(advised, needed, plots)
    value = _figures(counts.sum(axis=0))
    drawn = _figures(_draws(len(counts), seed) @ counts)
    rates = {name: _rate(value[name], drawn[name], len(needed)) for name in value}
    return Agreement(n=len(needed), **rates)


def kappa_gain(ours: Flags, theirs: Flags, needed: Flags, plots: Sequence[str], *, seed: int = 0) -> Rate:
    """Kappa of one kind of advice minus that of another, on the same plot-days, with its interval."""
    one, other = _counts(ours, needed, plots), _counts(theirs, needed, plots)
    weights = _draws(len(one), seed)
    value = float(_figures(one.sum(axis=0))["kappa"] - _figures(other.sum(axis=0))["kappa"])
    drawn = _figures(weights @ one)["kappa"] - _figures(weights @ other)["kappa"]
    return _rate(np.asarray(value), drawn, len(needed))


def _counts(advised: Flags, needed: Flags, plots: Sequence[str]) -> Real:
    """Right irrigations, needless ones, missed ones and right waits of each plot ``(plots, 4)``."""
    if not len(advised) == len(needed) == len(plots) > 0:
        raise DataError(
            f"{len(advised)} decisions, {len(needed)} measurements and {len(plots)} plot names; "
            "allowed: the same number of each, at least one"
        )
    member = np.unique(plots, return_inverse=True)[1]
    yes, wet = np.asarray(advised, bool), ~np.asarray(needed, bool)
    kinds = (yes & ~wet, yes & wet, ~yes & ~wet, ~yes & wet)
    return np.stack([np.bincount(member, weights=kind) for kind in kinds], axis=1)


def _draws(plots: int, seed: int) -> Real:
    """How often each plot is drawn ``(draws, plots)``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(plots, np.full(plots, 1 / plots), RESAMPLES).astype(np.float64)


def _figures(counts: Real) -> dict[str, Real]:
    """Every figure from counts ``(..., 4)``; not a number where there is nothing to divide by."""
    hit, needless, missed, wait = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    n, dry, wet = hit + needless + missed + wait, hit + missed, needless + wait
    with np.errstate(divide="ignore", invalid="ignore"):
        right = (hit + wait) / n
        chance = ((hit + needless) * dry + (missed + wait) * wet) / n**2
        return {
            "base_rate": dry / n,
            "majority": np.maximum(dry, wet) / n,
            "accuracy": right,
            "balanced_accuracy": (hit / dry + wait / wet) / 2,
            "kappa": (right - chance) / (1 - chance),
            "f1": 2 * hit / (2 * hit + needless + missed),
            "missed": missed / dry,
            "needless": needless / wet,
        }


def _rate(value: Real, drawn: Real, n: int) -> Rate:
    finite = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(finite) < RESAMPLES / 2:
        return Rate(None, 0.0, 1.0, n)
    low, high = np.quantile(finite, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Rate(float(value), float(low), float(high), n)
