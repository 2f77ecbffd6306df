"""Places with known areas in, the map's numbers out: IoU and area error per label, treated area against broadcast."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from shared.records import Verdict
from verticals.agriculture.decide import Treatment
from verticals.agriculture.places import Place

RECALL = 0.95
"""Share of the diseased area that has to be treated for a saving to count."""
RESAMPLES = 400
TAIL = 0.025
M2_PER_HECTARE = 10_000.0

Columns = NDArray[np.float64]


def map_iou(places: Sequence[Place]) -> dict[str, dict[str, Any]]:
    """Intersection over union of each label at the resolution of the places: what was said against what is there.

    A place counts with its whole area for the one label that it was called, and for the one that it holds
    (:attr:`verticals.agriculture.places.Place.true`). What was not examined was called nothing.

    Returns:
        By label ``value``, ``low``, ``high`` (95 %, groups resampled) and ``n``, the places that hold it or were called
        it.
    """
    sized = [p for p in places if p.area_m2 and p.true]
    area = np.array([p.area_m2 for p in sized])
    said, true, groups = _said(sized), np.array([p.true for p in sized]), [p.group for p in sized]
    found = {}
    for label in sorted(set(true) | set(said) - {""}):
        both, either = (said == label) & (true == label), (said == label) | (true == label)
        table = np.stack([area * both, area * either], 1)
        found[label] = {**_spread(table, groups, lambda sums: sums[0] / sums[1]), "n": int(either.sum())}
    return found


def area_error(places: Sequence[Place]) -> dict[str, str]:
    """By how much the area that was called a label differs from that of places that hold it, as a sentence each."""
    sized = [p for p in places if p.area_m2 and p.true]
    area = np.array([p.area_m2 for p in sized])
    said, true, groups = _said(sized), np.array([p.true for p in sized]), [p.group for p in sized]
    told = {}
    for label in sorted(set(true)):
        table = np.stack([area * (said == label), area * (true == label)], 1)
        row = _spread(table, groups, lambda sums: sums[0] / sums[1] - 1, widest=(-1.0, math.inf))
        inside = f"{100 * row['low']:+.0f} .. {100 * row['high']:+.0f}"
        if math.isinf(row["high"]):
            inside = "one group alone: no interval"
        called, there = table.sum(0) / M2_PER_HECTARE
        told[label] = f"{100 * row['value']:+.1f} % [{inside}], {called:.4f} ha called so and {there:.4f} ha there"
    return told


def treated(places: Sequence[Place]) -> dict[str, dict[str, Any]]:
    """What spraying place by place treats against broadcast, and how much of the diseased area it reaches.

    Returns:
        ``diseased_area_reached`` and ``treated_area_saved`` by what was decided; ``treated_area_saved_at_95_recall``
        where places are treated by falling risk, those that nobody examined first, until 95 % of the diseased area is
        reached (the limit is set on the same truth); its ceiling with a perfect map of these places; and
        ``diseased_area``, the base rate. Each with ``value``, ``low``, ``high`` and ``n``. No machine's sections and no
        buffer are in it.
    """
    sized = [p for p in places if p.area_m2 and p.true]
    area, sick = np.array([p.area_m2 for p in sized]), np.array([p.sick_m2 for p in sized])
    groups = [p.group for p in sized]
    sprayed = np.array([p.treatment is Treatment.SPRAY for p in sized], float)
    # What nobody examined is treated first: it cannot be left out safely.
    unseen = np.array([p.verdict is Verdict.NOT_EXAMINED for p in sized])
    risk = np.where(unseen, 2.0, np.array([p.risk or 0.0 for p in sized]))
    perfect = sick / np.maximum(area, 1e-9)
    rows: dict[str, tuple[Columns, Callable[[Columns], float]]] = {
        "diseased_area": (np.stack([sick, area], 1), lambda s: s[0] / s[1]),
        "diseased_area_reached": (np.stack([sick * sprayed, sick], 1), lambda s: s[0] / s[1]),
        "treated_area_saved": (np.stack([area * sprayed, area], 1), lambda s: 1 - s[0] / s[1]),
    }
    found = {name: {**_spread(table, groups, share), "n": len(sized)} for name, (table, share) in rows.items()}
    for name, order in (("treated_area_saved_at_95_recall", risk), ("ceiling_at_95_recall", perfect)):
        found[name] = {**_saved(order, area, sick, groups), "n": len(sized)}
    return found


def _said(places: Sequence[Place]) -> NDArray[np.str_]:
    return np.array(["" if p.verdict is Verdict.NOT_EXAMINED else p.said for p in places], np.str_)


def _spread(
    table: Columns,
    groups: Sequence[str],
    statistic: Callable[[Columns], float],
    widest: tuple[float, float] = (0.0, 1.0),
) -> dict[str, float]:
    """A statistic of column sums ``(2,)`` over ``table`` ``(n, 2)``, with the 95 % interval of resampled groups."""
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, member, table)
    sums = sums[sums.any(1)]  # a group that has nothing of it is no evidence
    drawn = _draws(len(sums)) @ sums
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.array([statistic(row) for row in drawn])
        value = float(statistic(sums.sum(0)))
    return _interval(value, values, len(sums), widest)


def _saved(order: Columns, area: Columns, sick: Columns, groups: Sequence[str]) -> dict[str, float]:
    """Share of the area that stays untreated when places are treated by falling ``order`` up to :data:`RECALL`."""
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    best = np.argsort(-order, kind="stable")
    area, sick, member = area[best], sick[best], member[best]
    last = np.append(np.diff(order[best]) != 0, True)  # places of one risk are treated together

    def saved(weight: Columns) -> float:
        reached, spent = np.cumsum(weight * sick), np.cumsum(weight * area)
        enough = (reached >= RECALL * reached[-1] - 1e-12) & last
        return float(1 - spent[int(enough.argmax())] / spent[-1]) if reached[-1] > 0 else float("nan")

    values = np.array([saved(draw[member]) for draw in _draws(len(names))])
    return _interval(saved(np.ones(len(area))), values, len(names))


def _draws(groups: int) -> Columns:
    rng = np.random.default_rng(0)
    return np.asarray(rng.multinomial(groups, np.full(groups, 1 / max(groups, 1)), size=RESAMPLES), np.float64)


def _interval(value: float, values: Columns, groups: int, widest: tuple[float, float] = (0.0, 1.0)) -> dict[str, float]:
    """Percentiles, widened as Student's t is wider for few groups; one group says nothing.

    No draw shows a miss that no group has: a share of 0 or 1 reaches as far as that many groups can prove.
    """
    finite = values[np.isfinite(values)]
    if groups < 2 or not len(finite):
        return {"value": value, "low": widest[0], "high": widest[1]}
    low, high = np.quantile(finite, [TAIL, 1 - TAIL])
    wider = math.sqrt(groups / (groups - 1)) * float(stats.t.ppf(1 - TAIL, groups - 1) / stats.norm.ppf(1 - TAIL))
    low, high = value + wider * min(float(low) - value, 0.0), value + wider * max(float(high) - value, 0.0)
    if value == 1 and widest[1] == 1:
        low = min(low, TAIL ** (1 / groups))
    if value == 0 and widest[0] == 0:
        high = max(high, 1 - TAIL ** (1 / groups))
    return {"value": value, "low": max(low, widest[0]), "high": min(high, widest[1])}
