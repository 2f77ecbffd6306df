"""Patients drawn with replacement: how often each picture counts in each draw, and the interval over the draws."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.reporting.rates import Rate

RESAMPLES = 1000
CONFIDENCE = 0.95

Real = NDArray[np.float64]


def patient_weights(patients: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Real]:
    """Cluster bootstrap: whole patients are drawn, so that alike pictures of one patient are not taken for evidence.

    Args:
        patients: Patient of each case ``(n,)``; empty text means a patient of its own.
        resamples: How many draws.
        seed: For the draws.

    Yields:
        Weights ``(n,)`` float64: how often the case's patient was drawn; nothing for one patient, who always is.
    """
    names = [name or f"#{i}" for i, name in enumerate(patients)]
    member = np.unique(names, return_inverse=True)[1]
    count = int(member.max()) + 1 if len(member) else 0
    rng = np.random.default_rng(seed)
    for _ in range(resamples if count > 1 else 0):
        yield np.bincount(rng.integers(0, count, count), minlength=count)[member].astype(np.float64)


def percentiles(values: Sequence[float]) -> tuple[float, float] | None:
    """Ends of the 95 % percentile interval over draws; None where fewer than half of the draws gave a number."""
    drawn = np.asarray(values, np.float64)
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < max(1, len(drawn) / 2):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def resampled(
    statistic: Callable[[NDArray[np.int64]], float], patients: Sequence[str], *, centred: bool = False, seed: int = 0
) -> Rate:
    """A statistic with its percentile interval over resampled patients; ``n`` is the number of cases.

    Args:
        statistic: Of the row numbers that count, ``(m,)``; a row may stand there several times.
        patients: Patient of each row ``(n,)``.
        centred: Whether the draws are moved so that their mean is the statistic: a calibration error of draws lies
            above that of the data, since fewer different cases leave more noise in each bin.
        seed: For the draws.
    """
    every = np.arange(len(patients))
    value = statistic(every)
    drawn = np.array([statistic(np.repeat(every, w.astype(np.int64))) for w in patient_weights(patients, seed=seed)])
    if centred and np.isfinite(drawn).any():
        drawn = np.maximum(drawn - np.nanmean(drawn) + value, 0.0)
    low, high = percentiles(drawn.tolist()) or (0.0, 1.0)
    return Rate(value if math.isfinite(value) else None, low, high, len(every))
