"""One zone, one day: give water or wait, how many millimetres, how sure, and why; or NOT ASSESSED and why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import pandas as pd

from shared.errors import DataError
from verticals.agriculture.irrigation import probe, soil
from verticals.agriculture.irrigation.evapotranspiration import within

NOT_CLAIMED = (
    "Not claimed: a gain in yield. The +14 % told of elsewhere cannot be measured from images, weather and soil water; "
    "it needs trials with harvested plots."
)
"""For the page and the report."""
AT_THE_ENDS = (
    "what the interval has beyond 0% or 100% is counted there: above field capacity water drains away, at the wilting "
    "point roots take no more"
)
NO_PROBE = "no soil-water reading of the last 14 days: the simulation alone decides, which is much less sure"


class Answer(StrEnum):
    """What to do with a zone; NOT_ASSESSED is never "no water needed"."""

    IRRIGATE = "irrigate"
    WAIT = "wait"
    NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True)
class System:
    """What the irrigation can do.

    Attributes:
        efficiency: Fraction of the water given that reaches the root zone.
        least_mm: Smallest depth that it can give, mm.
        most_mm: Greatest depth of one day, mm.
    """

    efficiency: float = 0.85
    least_mm: float = 5.0
    most_mm: float = 40.0

    def __post_init__(self) -> None:
        within("efficiency", self.efficiency, 0.1, 1, "", "give a fraction, not per cent")
        within("greatest depth of one day", self.most_mm, 0.1, 500, "mm")
        within("smallest depth", self.least_mm, 0, self.most_mm, "mm")


@dataclass(frozen=True)
class Rule:
    """When to irrigate; the site's to decide.

    Attributes:
        depletion_limit: Management allowed depletion MAD, as a fraction of the available water.
        cost_missed: Cost of waiting where the limit is reached, in any unit.
        cost_needless: Cost of irrigating where it is not, in the same unit.
        refill_to: Depletion fraction after irrigation; above 0 it leaves room for rain.
    """

    depletion_limit: float = 0.5
    cost_missed: float = 1.5
    cost_needless: float = 1.0
    refill_to: float = 0.0

    def __post_init__(self) -> None:
        within("management allowed depletion", self.depletion_limit, 0.05, 0.95, "", "give a fraction, not per cent")
        within("depletion after irrigation", self.refill_to, 0, self.depletion_limit, "")
        within("cost of a missed irrigation", self.cost_missed, 1e-6, 1e9, "")
        within("cost of a needless irrigation", self.cost_needless, 1e-6, 1e9, "")

    @property
    def threshold(self) -> float:
        """Probability of being past the limit from which irrigating is the cheaper mistake."""
        return self.cost_needless / (self.cost_needless + self.cost_missed)


@dataclass(frozen=True)
class Advice:
    """For one zone and day.

    Attributes:
        zone: Its name or number.
        on: The day, at whose end.
        answer: irrigate, wait or NOT ASSESSED.
        depth_mm: To be given by the system, mm; 0 unless irrigating.
        confidence: Probability that the limit is reached where water is called for, that it is not where the zone can
            wait, None where not assessed; rain or the system may then still spare the water.
        probability: Probability that the depletion has reached the limit, likewise.
        depletion: Ends of its 90 % interval as fractions of the available water, 0 to 1, likewise.
        reason: One or more sentences a person can check.
    """

    zone: str
    on: date
    answer: Answer
    depth_mm: float
    confidence: float | None
    probability: float | None
    depletion: tuple[float, float] | None
    reason: str


def advise(
    zone: str,
    where: probe.Situation,
    corrections: probe.Corrections,
    *,
    system: System,
    rule: Rule,
    forecast_rain_mm: float = 0.0,
) -> Advice:
    """Advise from what is known of a zone at the end of a day.

    Args:
        zone: Its name or number.
        where: From :func:`verticals.agriculture.irrigation.probe.situation`.
        corrections: What was learned; of no pairs where nothing was.
        system: What the irrigation can do.
        rule: When to irrigate.
        forecast_rain_mm: Rain that can be counted on before the next decision, mm; lessens the depth, not the need.

    Raises:
        DataError: The forecast is not a depth of rain.
    """
    within("forecast rain", forecast_rain_mm, 0, 500, "mm")
    state = probe.estimate(where, corrections)
    chance = state.probability(rule.depletion_limit)
    mean, low, high = (min(max(share, 0.0), 1.0) for share in (state.mean, *state.interval()))
    found = (
        f"depletion {mean:.0%} of {where.available_mm:.0f} mm (90% interval {low:.0%} to {high:.0%}), "
        f"probability {chance:.0%} of at least {rule.depletion_limit:.0%}; water is given from {rule.threshold:.0%}"
    )
    answer, depth, why = _decide(mean, where.available_mm, chance, system, rule, forecast_rain_mm)
    bounded = [AT_THE_ENDS] if (low, high) != state.interval() else []
    sources = [] if where.last is not None else [NO_PROBE]
    confidence = chance if chance >= rule.threshold else 1 - chance
    reason = "; ".join([found, *why, *bounded, *sources]) + "."
    return Advice(zone, where.on, answer, depth, confidence, chance, (low, high), reason)


def not_assessed(zone: str, on: date, reason: str) -> Advice:
    """No advice, and why: nothing about the zone's water is said."""
    return Advice(zone, on, Answer.NOT_ASSESSED, 0.0, None, None, None, f"NOT ASSESSED: {reason}")


def advise_zone(
    zone: str,
    on: date,
    simulate: Callable[[], pd.DataFrame],
    ground: soil.Soil,
    readings: Sequence[probe.Reading],
    corrections: probe.Corrections,
    *,
    system: System,
    rule: Rule,
    forecast_rain_mm: float = 0.0,
) -> Advice:
    """Advise for a zone, or say why it could not be assessed; one zone's bad data stop no other zone.

    Args:
        zone: Its name or number.
        on: The day, at whose end.
        simulate: Makes the zone's daily balance; its DataError becomes the reason.
        ground: The zone's soil.
        readings: Of the zone's probe.
        corrections: What was learned.
        system: What the irrigation can do.
        rule: When to irrigate.
        forecast_rain_mm: As in :func:`advise`.
    """
    try:
        where = probe.situation(simulate(), ground, on, readings)
    except DataError as error:
        return not_assessed(zone, on, str(error))
    return advise(zone, where, corrections, system=system, rule=rule, forecast_rain_mm=forecast_rain_mm)


def _decide(
    depletion: float, available_mm: float, chance: float, system: System, rule: Rule, rain_mm: float
) -> tuple[Answer, float, list[str]]:
    """Answer, depth in mm, and what bounded them."""
    if chance < rule.threshold:
        return Answer.WAIT, 0.0, []
    lacking = max(0.0, depletion - rule.refill_to) * available_mm
    wanted = max(0.0, lacking - rain_mm) / system.efficiency
    why = [f"{lacking:.0f} mm are lacking"]
    if rain_mm:
        why.append(f"{rain_mm:.0f} mm of rain are forecast")
    if wanted < system.least_mm:
        why.append(f"the {wanted:.0f} mm left to give are under the system's least depth, {system.least_mm:g} mm")
        return Answer.WAIT, 0.0, why
    if wanted > system.most_mm:
        why.append(f"the system gives at most {system.most_mm:g} mm of {wanted:.0f} mm: go on the next day")
    return Answer.IRRIGATE, min(wanted, system.most_mm), why
