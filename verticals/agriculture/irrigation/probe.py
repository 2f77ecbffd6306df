"""The simulation corrected by soil-water readings: how dry the root zone is, as a mean with a spread.

The simulated depletion drifts: roots drink from deeper than assumed, water moves on after an irrigation. Two
corrections are learned from pairs of a situation and what a probe then read, by Bayesian linear regression around what
is known without learning (Bishop 2006, section 3.3):

- with a reading at most :data:`STALEST_DAYS` old, around the balance begun again from it: whatever was simulated for
  the days before it, from water that may not have been logged, is nowhere in the answer;
- without, around the simulation alone.

With no pair learned they are exactly those, and the spread says how little that is. Which pairs may be learned from is
the caller's choice: for advice, those of earlier days, and those that other places of the field read on the same day.

Places err alike on one day, for they share its weather and its probe: what readings elsewhere on the same day have in
common corrects a place that was not read (a random effect of the day on what the regression leaves, with variances
from a one-way analysis of variance; Searle, Casella and McCulloch 1992, chapter 3). On a day without readings the
spread does not know of this: learned from few days it is too narrow.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from shared.errors import DataError
from verticals.agriculture.irrigation import restart, soil
from verticals.agriculture.irrigation.evapotranspiration import within

STALEST_DAYS = 14
"""A reading older than this is not used: the correction was never measured beyond it."""
SPREAD_WITH_READING = 0.145
SPREAD_WITHOUT = 0.25
"""Standard deviations of the depletion fraction before anything is learned: root mean square errors of the balance
begun again from the last reading and of the simulation alone in 20 measured cotton plots (Maricopa 2018, odd
positions; pyfao56 test09)."""
FRESH = 0.2
"""Share of a week's error variance that a reading of the same day has: assumed, for probes err too."""
_PRIOR_WORTH = 10.0
"""How many pairs the spreads above are worth."""
_STIFFNESS = 1.0
"""Prior precision of a coefficient in units of the residual's; chosen on development plots only."""
_INTERCEPT = 0.2
"""Scale of the constant term, which holds it closer to 0 than the others."""

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """One profile of soil water.

    Attributes:
        taken: Day on which the probe was read.
        contents: Water content of each soil layer, m3/m3, from the surface down.
        morning: Whether it was read before the day's water use; it then stands for the end of the day before.
    """

    taken: date
    contents: tuple[float, ...]
    morning: bool = True

    @property
    def stands_for(self) -> date:
        """Day of the balance whose end it measured."""
        return self.taken - timedelta(days=1) if self.morning else self.taken


@dataclass(frozen=True)
class Last:
    """What the last reading says about today; fractions of today's available water.

    Attributes:
        depletion: Its depletion over its own day's root zone, of that day's available water.
        profile: Its depletion over today's root zone: roots that have grown find the water it measured there.
        carried: Depletion of the balance begun again from it, 0 to 1.
        carried_profile: The same over the greatest rooting depth, of what is available there.
        used: Evapotranspiration of that balance.
        given: Irrigation and rain since.
        age_days: Days since.
    """

    depletion: float
    profile: float
    carried: float
    carried_profile: float
    used: float
    given: float
    age_days: int


@dataclass(frozen=True)
class Situation:
    """What is known of a place on a day; fractions of its available water.

    Attributes:
        on: The day, at whose end.
        simulated: Simulated depletion of the root zone.
        simulated_profile: The same over the greatest rooting depth.
        available_mm: Available water of the root zone TAW, mm.
        last: The last reading, where there is one that is not too old.
    """

    on: date
    simulated: float
    simulated_profile: float
    available_mm: float
    last: Last | None = None


@dataclass(frozen=True)
class Depletion:
    """Depletion of the root zone as a fraction of its available water: a normal distribution.

    Attributes:
        mean: Expected fraction.
        sd: Standard deviation. Parts below 0 and above 1 are no error: probes do read above field capacity, and below
            the wilting point where the surface has dried.
    """

    mean: float
    sd: float

    def probability(self, at_least: float) -> float:
        """Probability that the depletion is at least this fraction."""
        return float(norm.sf(at_least, self.mean, self.sd))

    def interval(self, confidence: float = 0.9) -> tuple[float, float]:
        """Ends between which the fraction lies with this probability."""
        half = float(norm.ppf(0.5 + confidence / 2)) * self.sd
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Day:
    """What the pairs of one day have in common.

    Attributes:
        error: Expected error that another place has on it too, as a fraction of its available water.
        left: Share of the residual variance that remains where this error is corrected, 0 to 1.
    """

    error: float = 0.0
    left: float = 1.0


@dataclass(frozen=True)
class Correction:
    """One learned correction.

    Attributes:
        mean: Coefficient of each term ``(k,)``.
        covariance: Of the coefficients, in units of the residual variance ``(k, k)``.
        sd: Standard deviation of what remains.
        pairs: How many pairs it was learned from; 0 means nothing was.
        days: What was learned of each of their days.
    """

    mean: Real
    covariance: Real
    sd: float
    pairs: int
    days: Mapping[date, Day] = field(default_factory=dict)


@dataclass(frozen=True)
class Corrections:
    """Both corrections: for places with a reading, and for places without."""

    with_reading: Correction
    without: Correction


def situation(daily: pd.DataFrame, ground: soil.Soil, on: date, readings: Sequence[Reading] = ()) -> Situation:
    """What is known at the end of a day, from the simulation and the readings up to it.

    Args:
        daily: Of :func:`verticals.agriculture.irrigation.balance.dual` or ``single``.
        ground: The soil of the place.
        on: The day; a reading that stands for a later day is not looked at.
        readings: Of the place, in any order.

    Raises:
        DataError: The day was not simulated, or a reading does not fit the soil.
    """
    today = _day(daily, on)
    earlier = [r for r in readings if daily.index[0] <= r.stands_for <= on]
    newest = max(earlier, key=lambda r: r.stands_for, default=None)
    last = None
    if newest is not None and (on - newest.stands_for).days <= STALEST_DAYS:
        last = _last(daily, ground, on, newest)
    return Situation(on, today["depletion"], today["profile_depletion"], today["taw_mm"], last)


def measured(daily: pd.DataFrame, ground: soil.Soil, reading: Reading) -> float:
    """Depletion fraction that a reading measured over the simulated root zone of its day.

    Raises:
        DataError: Its day was not simulated, or it does not fit the soil.
    """
    then = _day(daily, reading.stands_for)
    return soil.depletion(ground, reading.contents, then["root_m"]) / then["taw_mm"]


def pairs(daily: pd.DataFrame, ground: soil.Soil, readings: Sequence[Reading]) -> tuple[list[Situation], list[float]]:
    """What was known before each reading but the first, and what it then measured: what :func:`learn` learns from.

    Args:
        daily: As in :func:`situation`.
        ground: The soil of the place.
        readings: Of the place, in any order.
    """
    ordered = sorted(readings, key=lambda r: r.stands_for)
    known = [situation(daily, ground, now.stands_for, ordered[:i]) for i, now in enumerate(ordered) if i]
    return known, [measured(daily, ground, now) for now in ordered[1:]]


def learn(situations: Sequence[Situation], depletions: Sequence[float]) -> Corrections:
    """Learn both corrections from situations and what probes then read.

    Args:
        situations: Of any places and days.
        depletions: Measured depletion fraction of each.

    Returns:
        With no situation: the uncorrected rules with their wide spreads.
    """
    for value in depletions:
        within("measured depletion fraction", value, -1.5, 2, "")
    known = list(zip(situations, depletions, strict=True))
    probed = [(_probed(s.last), y, s.on) for s, y in known if s.last is not None]
    return Corrections(
        with_reading=_fit(probed, terms=6, spread=SPREAD_WITH_READING),
        without=_fit([(_unprobed(s), y, s.on) for s, y in known], terms=3, spread=SPREAD_WITHOUT),
    )


def estimate(where: Situation, corrections: Corrections) -> Depletion:
    """Depletion at the end of the day, corrected by what was learned."""
    if where.last is None:
        (start, terms), correction, weight = _unprobed(where), corrections.without, 1.0
    else:
        (start, terms), correction, weight = _probed(where.last), corrections.with_reading, _week(where.last)
    day = correction.days.get(where.on, Day())
    share = max(FRESH, weight) * day.left
    spread = correction.sd * math.sqrt(share + float(terms @ correction.covariance @ terms))
    return Depletion(start + float(terms @ correction.mean) + weight * day.error, spread)


def _day(daily: pd.DataFrame, on: date) -> dict[str, float]:
    if on not in daily.index:
        raise DataError(f"{on} was not simulated; the balance runs from {daily.index[0]} to {daily.index[-1]}")
    return {str(name): float(value) for name, value in daily.loc[[on]].iloc[0].items()}


def _last(daily: pd.DataFrame, ground: soil.Soil, on: date, reading: Reading) -> Last:
    then, today = _day(daily, reading.stands_for), _day(daily, on)
    since = daily.loc[reading.stands_for + timedelta(days=1) : on].sum().to_dict()
    available = today["taw_mm"]
    before = soil.depletion(ground, reading.contents, then["root_m"])
    now = restart.carry(daily, reading.stands_for, on, before, _profile(ground, reading.contents, then))
    return Last(
        depletion=before / then["taw_mm"],
        profile=soil.depletion(ground, reading.contents, today["root_m"]) / available,
        carried=now.depletion_mm / available,
        carried_profile=now.profile_mm / today["profile_taw_mm"],
        used=now.eta_mm / available,
        given=(since["irrigation_mm"] - since["irrigation_loss_mm"] + since["rain_mm"]) / available,
        age_days=(on - reading.stands_for).days,
    )


def _profile(ground: soil.Soil, contents: Sequence[float], then: Mapping[str, float]) -> float:
    """Depletion in mm over the greatest rooting depth; where nobody measured below the roots, as simulated there."""
    missing = then["profile_depletion"] * then["profile_taw_mm"] - then["depletion_mm"]
    share = min(max(missing / max(then["profile_taw_mm"] - then["taw_mm"], 1e-9), 0.0), 1.0)
    read = [*contents, *[math.nan] * len(ground.layers)]
    filled = [
        layer.field_capacity - share * (layer.field_capacity - layer.wilting_point) if math.isnan(value) else value
        for layer, value in zip(ground.layers, read, strict=False)
    ]
    return soil.depletion(ground, filled, soil.depth_of(ground, then["profile_taw_mm"]))


def _week(last: Last) -> float:
    """How much of a week's drift a reading's age has seen, at most 1: a fresh one needs no correction."""
    return min(1.0, last.age_days / 7)


def _unprobed(where: Situation) -> tuple[float, Real]:
    """The rule without learning, and the terms ``(3,)`` that correct it: half depleted is their origin."""
    terms = [_INTERCEPT, where.simulated - 0.5, where.simulated_profile - 0.5]
    return where.simulated, np.array(terms)


def _probed(last: Last) -> tuple[float, Real]:
    """Likewise with a reading, ``(6,)``: they fade in over the week after it."""
    shares = [last.carried, last.profile, last.carried_profile]
    terms = np.array([_INTERCEPT, *(share - 0.5 for share in shares), last.used, last.given])
    return last.carried, _week(last) * terms


def _fit(known: Sequence[tuple[tuple[float, Real], float, date]], *, terms: int, spread: float) -> Correction:
    """Posterior of the coefficients around 0, the spread of what remains around its prior, and what days share."""
    rows = np.array([row for (_, row), _, _ in known]).reshape(-1, terms)
    off = np.array([value - start for (start, _), value, _ in known])
    covariance = np.linalg.inv(rows.T @ rows + _STIFFNESS * np.eye(terms))
    mean = covariance @ (rows.T @ off)
    left = off - rows @ mean
    remaining = float((left**2).sum()) + _PRIOR_WORTH * spread**2
    days = _days(left, [on for _, _, on in known])
    return Correction(mean, covariance, math.sqrt(remaining / (len(off) + _PRIOR_WORTH)), len(off), days)


def _days(left: Real, on: Sequence[date]) -> dict[date, Day]:
    """What residuals ``(n,)`` of one day have in common; nothing where days cannot be told from places."""
    days, member = np.unique(np.array(on, "datetime64[D]"), return_inverse=True)
    count = np.bincount(member, minlength=len(days))
    if not 1 < len(days) < len(left):
        return {}
    means = np.bincount(member, left) / count
    between = float((count * means**2).sum() - left.sum() ** 2 / len(left)) / (len(days) - 1)
    within_days = float(((left - means[member]) ** 2).sum()) / (len(left) - len(days))
    size = (len(left) - float((count**2).sum()) / len(left)) / (len(days) - 1)
    common = max(0.0, (between - within_days) / size)
    if common == 0:
        return {}
    shared = common / (common + within_days)
    weights = shared * count / (1 - shared + shared * count)
    return {
        when: Day(float(weight * mean), float(1 - shared * weight))
        for when, weight, mean in zip(days.tolist(), weights, means, strict=True)
    }
