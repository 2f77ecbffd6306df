"""Probabilities of neighbouring cells in, how far they hang together, and the interval of a zone's mean, out.

Cells are not independent: neighbours share tiles, plants and light. The variance of the mean of n cells is then

    var(mean) = variance * (1 / n + (1 - 1 / n) * r),   r = mean correlation of two different cells of the zone,

as if there were variance / var(mean) independent ones (effective sample size, Griffith 2005). The correlation is taken
as exp(-distance / range); the range is fitted to the correlogram of the map along its rows and columns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_LAGS = np.unique(np.rint(np.geomspace(1, 512, 22)).astype(int))
_RANGES = np.geomspace(0.3, 2000, 120)
_LEAST_PAIRS = 50
_PAIRS = 4_000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """How the probabilities of one label vary over its cells.

    Attributes:
        variance: Of a cell.
        range_cells: Distance in cells over which the correlation falls to 1 / e.
    """

    variance: float
    range_cells: float


def spread(values: NDArray[np.float32], where: NDArray[np.bool_]) -> Spread:
    """Variance and range of the correlation of values.

    Args:
        values: ``(rows, columns)`` float32.
        where: ``(rows, columns)`` bool, cells that count; at least one.
    """
    chosen = values[where].astype(np.float64)
    variance = float(chosen.var())
    if variance <= 1e-12:
        return Spread(max(variance, 0.0), float(_RANGES[0]))
    centred = np.where(where, values - np.float32(chosen.mean()), np.float32(0))
    lags, found, pairs = [], [], []
    for lag in [k for k in _LAGS if k < max(values.shape)]:
        n = products = 0.0
        for a, b in ((np.s_[:, :-lag], np.s_[:, lag:]), (np.s_[:-lag], np.s_[lag:])):
            both = where[a] & where[b]
            n += both.sum()
            products += float(np.einsum("ij,ij->", centred[a], centred[b], dtype=np.float64))
        if n >= _LEAST_PAIRS:
            lags.append(lag)
            found.append(products / n / variance)
            pairs.append(n)
    if not lags:
        return Spread(variance, float(max(values.shape)))
    # Where the correlogram has fallen to nothing it only adds noise.
    end = next((i + 1 for i, r in enumerate(found) if r < 0.05), len(found))
    r = np.exp(-np.array(lags[:end]) / _RANGES[:, None])
    misfit = (np.sqrt(pairs[:end]) * (r - np.array(found[:end])) ** 2).sum(1)
    return Spread(variance, float(_RANGES[int(misfit.argmin())]))


def mean_interval(
    values: NDArray[np.float32], places: NDArray[np.int64], columns: int, known: Spread, *, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of a zone's cells with its 95 % interval, cut off at 0 and 1.

    Args:
        values: All cells of the map, flat.
        places: Flat indices of the zone's cells, at least one.
        columns: Cells of the map across.
        known: Of the zone's label.
        seed: For the pairs that stand for all.
    """
    mean = float(np.nanmean(values[places]))
    n = len(places)
    rng = np.random.default_rng(seed)
    a, b = (places[rng.integers(0, n, _PAIRS)] for _ in range(2))
    apart = np.hypot(a // columns - b // columns, a % columns - b % columns)
    # Pairs of a cell with itself are among them as often as in the double sum over all pairs.
    effective = np.exp(-apart / known.range_cells).mean()
    half = float(stats.norm.ppf(0.5 + _CONFIDENCE / 2)) * np.sqrt(known.variance * max(effective, 1 / n))
    return mean, max(0.0, mean - half), min(1.0, mean + half)
