"""Points chosen at random within the classes of a map in, unbiased hectares and accuracies with 95 % intervals out.

Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change", Remote Sensing of
Environment 148:42-57, doi:10.1016/j.rse.2014.02.015. With W_i the share of the map's area in class i, n_ij the points
of map class i whose truth is j, and n_i all points of map class i:

    share of truth j          p_j = sum_i W_i n_ij / n_i                                                      (eq. 9)
    its standard error        S(p_j) = sqrt(sum_i W_i^2 (n_ij / n_i) (1 - n_ij / n_i) / (n_i - 1))            (eq. 10)
    hectares                  A p_j +- 1.96 A S(p_j)                                                          (eq. 11)
    user's accuracy           U_i = n_ii / n_i, variance U_i (1 - U_i) / (n_i - 1)                            (eq. 2, 6)
    producer's accuracy       P_j = W_j U_j / p_j, variance by                                                (eq. 3, 7)
    overall accuracy          O = sum_i W_i U_i, variance sum_i W_i^2 U_i (1 - U_i) / (n_i - 1)               (eq. 1, 5)

A count of pixels is biased by the model's mistakes; this is not, if the points are a probability sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from shared.reporting import rates
from shared.reporting.rates import Rate

Z = 1.959964
"""Of a 95 % interval."""
LEAST_POINTS = 2
FEW_POINTS = 20
"""Below this many points in a class the normal interval is rough."""


class Design(StrEnum):
    """How the points were chosen."""

    STRATIFIED = "stratified"
    """At random within each class of the map, with any number of points for each."""
    RANDOM = "random"
    """At random over the whole map, whatever its classes."""
    PURPOSIVE = "purposive"
    """Anything else: along a way, where it looked sick, where a route led."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: NaN where there is nothing to tell.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class AreaEstimate:
    """What the points say about the examined part of a map.

    Attributes:
        hectares: Label -> area that truly has it.
        mapped_hectares: Label -> area that the map gives it (count of cells on the ellipsoid).
        users: Label -> share of the mapped area that truly has the label.
        producers: Label -> share of the true area that the map found.
        overall: Share of the area that the map has right.
        points: Points used.
        remarks: Where the intervals are rough, one sentence each.
    """

    hectares: dict[str, Estimate]
    mapped_hectares: dict[str, float]
    users: dict[str, Estimate]
    producers: dict[str, Estimate]
    overall: Estimate
    points: int
    remarks: tuple[str, ...]


def estimate(
    counts: NDArray[np.int64], hectares: Sequence[float], labels: Sequence[str], design: Design
) -> AreaEstimate:
    """Estimate areas and accuracies; formulas and source at the top of the module.

    Points chosen at random over the whole map are stratified by its classes afterwards, with the same formulas.

    Args:
        counts: ``(map labels, true labels)``, points by what the map says (rows) and what is true (columns), both in
            the order of ``labels``.
        hectares: Area of each map class.
        labels: Names.
        design: How the points were chosen.

    Raises:
        DataError: The points are no probability sample, or a class of the map with area has fewer than 2 of them.
    """
    n, area = counts.sum(1).astype(float), np.asarray(hectares, float)
    _check(n, area, labels, design)
    use, weights = area > 0, area / area.sum()
    share = np.divide(counts, n[:, None], out=np.zeros(counts.shape), where=use[:, None])
    variances = np.where(use[:, None], share * (1 - share) / np.maximum(n - 1, 1)[:, None], 0)
    cover = weights @ share
    users, user_variance = share.diagonal(), variances.diagonal()
    hectares_se = area.sum() * np.sqrt(weights**2 @ variances)
    found, found_variance = _producers(weights, share, variances)
    overall = float(weights @ users)
    return AreaEstimate(
        hectares={
            k: _within(v, s, area.sum()) for k, v, s in zip(labels, area.sum() * cover, hectares_se, strict=True)
        },
        mapped_hectares=dict(zip(labels, area.tolist(), strict=True)),
        users={
            k: _within(v if u else np.nan, s, 1)
            for k, v, s, u in zip(labels, users, np.sqrt(user_variance), use, strict=True)
        },
        producers={k: _within(v, s, 1) for k, v, s in zip(labels, found, np.sqrt(found_variance), strict=True)},
        overall=_within(overall, float(np.sqrt(weights**2 @ user_variance)), 1),
        points=int(n[use].sum()),
        remarks=_remarks(counts, use, labels),
    )


def recalls(
    counts: NDArray[np.int64], hectares: Sequence[float], labels: Sequence[str], design: Design
) -> dict[str, Rate]:
    """Share of the true area of each label that the map has right, with an interval that holds for few points.

    The share of the points would be another number: points are walked to where the map found something, and what it
    missed lies in the large class where few of them are. The interval takes every class of the map at the worse end
    of its exact interval (Clopper and Pearson); the normal one of the producer's accuracy has no width where no point
    shows a miss.

    Args:
        counts: As for :func:`estimate`.
        hectares: Likewise.
        labels: Likewise.
        design: Likewise.

    Returns:
        By label, ``n`` the points that truly have it.

    Raises:
        DataError: As :func:`estimate`.
    """
    n, area = counts.sum(1), np.asarray(hectares, float)
    _check(n.astype(float), area, labels, design)
    # Only classes of the map that have an area; hectares of each truth in each of them, at both ends and between.
    table = [[rates.proportion(int(k), int(m)) for k in row] for row, m in zip(counts, n, strict=True)]
    value, low, high = (
        np.array([[area[i] * (getattr(rate, end) or 0.0) for rate in row] for i, row in enumerate(table)])
        for end in ("value", "low", "high")
    )
    found = {}
    for j, label in enumerate(labels):
        missed = np.arange(len(labels)) != j

        def share(hit: float, lost: float) -> float:
            return hit / (hit + lost) if hit + lost > 0 else 0.0

        true = int(counts[area > 0, j].sum())
        found[label] = Rate(
            share(value[j, j], value[missed, j].sum()) if true else None,
            share(low[j, j], high[missed, j].sum()) if true else 0.0,
            share(high[j, j], low[missed, j].sum()) if true else 1.0,
            true,
        )
    return found


def _check(n: NDArray[np.float64], area: NDArray[np.float64], labels: Sequence[str], design: Design) -> None:
    if design is Design.PURPOSIVE:
        raise DataError(
            "the points are no random sample, so that no area follows from them; allowed are points chosen at random "
            "over the map (random) or within each of its classes (stratified)"
        )
    thin = [f"{k} has {int(m)}" for k, m, a in zip(labels, n, area, strict=True) if a > 0 and m < LEAST_POINTS]
    if thin or not area.sum() > 0:
        raise DataError(
            f"no area can be estimated: of the map's classes {', '.join(thin) or 'none has an area'}; needed are at "
            f"least {LEAST_POINTS} points in each (better 50): walk to more, chosen at random within the class"
        )


def _producers(
    weights: NDArray[np.float64], share: NDArray[np.float64], variances: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Producer's accuracies and their variances (eq. 3 and 7), NaN for a label that no point has."""
    cover = weights @ share
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(cover > 0, weights * share.diagonal() / cover, np.nan)
        own = weights**2 * variances.diagonal()
        others = weights**2 @ variances - own
        return found, ((1 - found) ** 2 * own + found**2 * others) / cover**2


def _within(value: float, error: float, most: float) -> Estimate:
    """The normal interval, cut off at 0 and ``most``."""
    return Estimate(float(value), float(np.maximum(0, value - Z * error)), float(np.minimum(most, value + Z * error)))


def _remarks(counts: NDArray[np.int64], use: NDArray[np.bool_], labels: Sequence[str]) -> tuple[str, ...]:
    told = []
    few = [k for k, row, used in zip(labels, counts, use, strict=True) if used and row.sum() < FEW_POINTS]
    if few:
        told.append(f"{', '.join(few)}: fewer than {FEW_POINTS} points, so that the intervals are rough and too narrow")
    agreed = [k for k, row, used in zip(labels, counts, use, strict=True) if used and row.max() == row.sum()]
    if agreed:
        told.append(f"{', '.join(agreed)}: all points agree, which adds no width to the intervals, though it should")
    return tuple(told)
