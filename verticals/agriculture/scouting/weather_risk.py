"""Hourly weather and zones in, days that favour potato late blight and what to do with each zone out.

Hutton criteria: two consecutive days, each with a least temperature of at least 10 degrees Celsius and at least 6 hours
with a relative humidity of at least 90 % (AHDB Potatoes, project 11120018, James Hutton Institute). They were derived
for potato late blight (Phytophthora infestans) in Great Britain and say nothing about another disease.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from shared.errors import ConfigError, DataError

LEAST_C, LEAST_RH_PCT, LEAST_HOURS, DAYS = 10.0, 90.0, 6, 2
BLIGHT = "potato_late_blight"
_HOURS = 24


class Risk(StrEnum):
    """Whether a day, or the time up to it, meets the criteria."""

    MET = "met"
    NOT_MET = "not met"
    UNKNOWN = "unknown"
    """Hours are missing that would decide it."""


class Action(StrEnum):
    """What is done with a zone."""

    SPRAY = "spray now"
    SCOUT = "scout"
    WAIT = "wait"
    NOT_APPLICABLE = "not applicable"
    """The criteria are not about what the zone has."""


def hutton(hourly: pd.DataFrame) -> pd.DataFrame:
    """Judge each day by the Hutton criteria.

    A day with missing hours is still judged where the others decide: an hour below 10 degrees rules it out, as do too
    few hours that are, or could have been, humid. It is never met with an hour missing, since that may have been cold.

    Args:
        hourly: Columns ``time`` (local, without daylight saving), ``temperature_c`` and ``rh_pct``, one row per hour.

    Returns:
        A row per day from the first to the last: index ``date``, columns ``tmin_c``, ``humid_hours``, ``hours``,
        ``day`` (:class:`Risk` of the day) and ``period`` (of the day and the one before it).

    Raises:
        DataError: A column is missing, an hour is there twice, or a value is impossible.
    """
    table = _checked(hourly)
    first, last = table.time.min().date(), table.time.max().date()
    rows, previous = [], Risk.UNKNOWN
    for day in [first + timedelta(days=i) for i in range((last - first).days + 1)]:
        hours = table[table.time.dt.date == day]
        known = hours.dropna(subset=["temperature_c", "rh_pct"])
        humid = int((known.rh_pct >= LEAST_RH_PCT).sum())
        lowest = float(hours.temperature_c.min()) if hours.temperature_c.notna().any() else np.nan
        risk = _day(lowest, humid, len(known))
        rows.append((day, lowest, humid, len(known), risk, _both(previous, risk)))
        previous = risk
    names = ["date", "tmin_c", "humid_hours", "hours", "day", "period"]
    # As objects: pandas would turn the members of an enumeration of texts into bare texts.
    judged = pd.DataFrame(rows, columns=names, dtype=object).set_index("date")
    return judged.astype({"tmin_c": float, "humid_hours": int, "hours": int})


def standing(days: pd.DataFrame, on: date, *, within_days: int = 7) -> tuple[Risk, str]:
    """Whether a Hutton period ended lately, and the sentence that says so.

    Args:
        days: From :func:`hutton`.
        on: Today; the day itself does not count, as it is not over.
        within_days: How many days before it count. The criteria themselves set no such limit; it is the farm's choice.

    Raises:
        ConfigError: ``within_days`` is not above 0.
    """
    if within_days < 1:
        raise ConfigError(f"within_days is {within_days}; allowed is 1 and above")
    span = [on - timedelta(days=i) for i in range(1, within_days + 1)]
    met = [d for d in span if d in days.index and days.period[d] is Risk.MET]
    if met:
        return Risk.MET, f"a Hutton period ended on {met[0]}"
    open_days = [d for d in span if d not in days.index or days.period[d] is Risk.UNKNOWN]
    if open_days:
        return Risk.UNKNOWN, f"weather of {len(open_days)} of the last {within_days} days is not enough to tell"
    return Risk.NOT_MET, f"no Hutton period in the last {within_days} days"


@dataclass(frozen=True)
class Advice:
    """What to do with a zone.

    Attributes:
        zone: Its number, 0 for the field outside of all zones.
        action: What to do.
        reason: One sentence.
        area_ha: Hectares.
    """

    zone: int
    action: Action
    reason: str
    area_ha: float


def advise(
    zones: Any,
    risk: tuple[Risk, str],
    *,
    threshold: float,
    examined_ha: float,
    not_examined_ha: float,
    label: str = BLIGHT,
) -> tuple[Advice, ...]:
    """Join what the map shows with what the weather allows.

    Sprayed is only where both speak for it: the criteria are met, and the whole interval of the zone's mean probability
    lies above the threshold. Any doubt about either sends somebody there.

    Args:
        zones: Table with ``zone``, ``label``, ``area_ha``, ``probability_low`` and ``probability_high``.
        risk: From :func:`standing`.
        threshold: Probability from which is sprayed, 0 to 1.
        examined_ha: Hectares of the field that were examined.
        not_examined_ha: And those that were not.
        label: Of late blight in the map.

    Returns:
        One advice for each zone, one for the rest of the field that was examined, and one for what was not.
    """
    found = []
    for row in zones[["zone", "label", "area_ha", "probability_low", "probability_high"]].itertuples(index=False):
        if row.label != label:
            action, why = Action.NOT_APPLICABLE, f"the Hutton criteria are not about {row.label}"
        else:
            action, why = _joined(risk, row.probability_low, row.probability_high, threshold)
        found.append(Advice(int(row.zone), action, why, float(row.area_ha)))
    rest = max(0.0, examined_ha - float(zones.area_ha.sum()))
    calm = risk[0] is Risk.NOT_MET
    found.append(Advice(0, Action.WAIT if calm else Action.SCOUT, f"{risk[1]}; nothing is seen here", rest))
    if not_examined_ha > 0:
        found.append(Advice(0, Action.SCOUT, f"{risk[1]}; NOT EXAMINED: nobody knows what is here", not_examined_ha))
    return tuple(found)


def _joined(risk: tuple[Risk, str], low: float, high: float, threshold: float) -> tuple[Action, str]:
    sure, possible = low >= threshold, not high < threshold
    seen = "blight is seen for sure" if sure else "blight may be here" if possible else "blight is unlikely here"
    said = f"{risk[1]}; {seen} (probability {low:.2f} .. {high:.2f}, sprayed from {threshold:.2f})"
    if risk[0] is Risk.MET:
        return (Action.SPRAY if sure else Action.SCOUT), said
    if risk[0] is Risk.UNKNOWN or sure:
        return Action.SCOUT, said
    return Action.WAIT, said


def _day(lowest: float, humid: int, known: int) -> Risk:
    missing = _HOURS - known
    if lowest < LEAST_C or humid + missing < LEAST_HOURS:
        return Risk.NOT_MET
    return Risk.UNKNOWN if missing else Risk.MET


def _both(before: Risk, here: Risk) -> Risk:
    if Risk.NOT_MET in (before, here):
        return Risk.NOT_MET
    return Risk.UNKNOWN if Risk.UNKNOWN in (before, here) else Risk.MET


def _checked(hourly: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in ("time", "temperature_c", "rh_pct") if name not in hourly]
    if missing or hourly.empty:
        raise DataError(
            f"the hourly weather has {len(hourly)} rows of {', '.join(map(str, hourly.columns))}; "
            "needed are time,temperature_c,rh_pct"
        )
    table = pd.DataFrame({"time": pd.to_datetime(hourly["time"], errors="coerce")})
    for name in ("temperature_c", "rh_pct"):
        table[name] = pd.to_numeric(hourly[name], errors="coerce").to_numpy()
    if table.time.isna().any():
        bad = hourly["time"][table.time.isna().to_numpy()].iloc[0]
        raise DataError(f"time {bad!r} is no time; allowed: ISO 8601, 2026-07-14T06:00")
    table["time"] = table.time.dt.floor("h")
    if table.time.duplicated().any():
        twice = table.time[table.time.duplicated()].iloc[0]
        raise DataError(f"hour {twice:%Y-%m-%d %H}:00 is there twice; give one row per hour, without daylight saving")
    for name, low, high in (("temperature_c", -60, 60), ("rh_pct", 0, 105)):
        odd = table[(table[name] < low) | (table[name] > high)]
        if len(odd):
            raise DataError(f"{odd.time.iloc[0]}: {name} is {odd[name].iloc[0]:g}; allowed is {low} to {high}")
    return table
