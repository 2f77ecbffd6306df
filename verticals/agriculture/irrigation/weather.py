"""A weather table of a station in, checked days with reference evapotranspiration out.

The table is a CSV with one row per day and the unit in each column's name. A gap is named by its dates and refused,
unless the caller says how many days may be bridged; what was bridged or estimated is told in ``remarks``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from shared.errors import DataError
from verticals.agriculture.irrigation import evapotranspiration as et

NEEDED = ("date", "tmin_c", "tmax_c", "rain_mm")
MEASURED = {
    "tmin_c": "least air temperature, degrees Celsius",
    "tmax_c": "greatest air temperature, degrees Celsius",
    "tdew_c": "dew point, degrees Celsius",
    "vapour_kpa": "actual vapour pressure, kPa",
    "rhmin_pct": "least relative humidity, %",
    "rhmax_pct": "greatest relative humidity, %",
    "rhmean_pct": "mean relative humidity, %",
    "wind2m_m_s": "mean wind speed at 2 m, m/s",
    "wind_m_s": "mean wind speed at the anemometer's height, m/s",
    "solar_mj_m2": "solar radiation, MJ/m2",
    "sunshine_h": "sunshine, hours",
    "rain_mm": "rain, mm",
}
"""Columns that are read, and what each holds."""
_MOST_RAIN_MM = 1900.0
"""The greatest rain of 24 hours ever measured is 1825 mm (Foc-Foc, 1966; WMO archive of extremes)."""


@dataclass(frozen=True)
class Station:
    """Where the weather was measured.

    Attributes:
        latitude_deg: Degrees, south negative.
        elevation_m: Above sea level, m.
        wind_height_m: Of the anemometer above the ground, m.
        coastal: Whether air masses come from a near sea, which matters where radiation is estimated.
    """

    latitude_deg: float
    elevation_m: float
    wind_height_m: float = 2.0
    coastal: bool = False

    def __post_init__(self) -> None:
        et.within("latitude", self.latitude_deg, -90, 90, "degrees north", "give decimal degrees, south negative")
        et.pressure(elevation_m=self.elevation_m)
        et.wind_at_2m(wind_m_s=0, height_m=self.wind_height_m)


@dataclass(frozen=True)
class Weather:
    """Days without a hole, each with its reference evapotranspiration.

    Attributes:
        station: Where it was measured.
        days: Index ``date`` (one per day), columns ``eto_mm, rain_mm, tmax_c, tmin_c, rhmin_pct, wind2m_m_s``, float64.
        remarks: What was estimated or bridged, one sentence each.
        bridged: Days that nobody measured.
    """

    station: Station
    days: pd.DataFrame
    remarks: tuple[str, ...] = ()
    bridged: tuple[date, ...] = ()


def read(path: Path, station: Station, *, bridge_days: int = 0) -> Weather:
    """Read a weather table and compute ETo of every day.

    Args:
        path: CSV with a column ``date`` (ISO 8601) and columns of :data:`MEASURED`; at least :data:`NEEDED`.
        station: Where it was measured.
        bridge_days: Longest gap that is filled in: values by straight lines between its neighbours, rain as none.

    Returns:
        The days in order; rows may come in any.

    Raises:
        DataError: Not a table, a column or day missing, a day twice, or an impossible value; one sentence with the day.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: is not a readable CSV table ({error}); give one row per day") from error
    try:
        return checked(table, station, bridge_days=bridge_days)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def checked(table: pd.DataFrame, station: Station, *, bridge_days: int = 0) -> Weather:
    """The same for a table that is in memory already; see :func:`read`."""
    dated, unused = _dated(table)
    whole, bridged = _bridged(dated, bridge_days)
    estimates: dict[str, int] = {}
    rows = []
    for when, values in zip(whole.index, whole.to_numpy(float), strict=True):
        rows.append(_day(when, dict(zip(whole.columns, values.tolist(), strict=True)), station, estimates))
    days = pd.DataFrame(rows, index=pd.Index(whole.index, name="date"), dtype=float)
    remarks = [f"{what} on {count} of {len(days)} days" for what, count in estimates.items()]
    if bridged:
        spans = ", ".join(d.isoformat() for d in bridged)
        remarks.append(f"nobody measured {spans}: bridged by straight lines, rain taken as none")
    if unused:
        remarks.append(f"columns not used: {', '.join(unused)}")
    return Weather(station, days, tuple(remarks), bridged)


def _dated(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    missing = [name for name in NEEDED if name not in table]
    if missing:
        allowed = ", ".join(MEASURED)
        raise DataError(
            f"column {', '.join(missing)} is missing, found {', '.join(map(str, table.columns))}; "
            f"allowed: date, {allowed}; convert other units and name the columns so"
        )
    if table.empty:
        raise DataError("the table has no rows; give one row per day")
    when = pd.to_datetime(table["date"], format="%Y-%m-%d", errors="coerce")
    if when.isna().any():
        raise DataError(f"date {table['date'][when.isna()].iloc[0]!r} is not a day; allowed: ISO 8601, 2026-05-31")
    known = [name for name in MEASURED if name in table]
    values = table[known].apply(pd.to_numeric, errors="coerce")
    text = table[known].notna() & values.isna()
    if text.to_numpy().any():
        row, column = map(int, np.argwhere(text.to_numpy())[0])
        raise DataError(f"{when.iloc[row].date()}: {known[column]} is {table[known[column]].iloc[row]!r}, not a number")
    dated = values.set_axis(pd.Index(when.dt.date)).sort_index()
    twice = dated.index[dated.index.duplicated()]
    if len(twice):
        raise DataError(f"{twice[0]} is there twice; allowed: one row per day; remove one of them")
    return dated, [str(name) for name in table.columns if name != "date" and name not in MEASURED]


def _bridged(dated: pd.DataFrame, bridge_days: int) -> tuple[pd.DataFrame, tuple[date, ...]]:
    """Every day from the first to the last; gaps up to ``bridge_days`` filled in."""
    first, last = dated.index[0], dated.index[-1]
    every = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    whole = dated.reindex(every)
    absent = whole[["tmin_c", "tmax_c", "rain_mm"]].isna().any(axis=1).to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], absent.astype(int), [0]])))
    for start, end in edges.reshape(-1, 2):
        inside = start > 0 and end < len(every)
        if end - start > bridge_days or not inside:
            way_out = f"set bridge_days = {end - start} in the farm's file" if inside else "leave those rows out"
            raise DataError(
                f"no temperature or rain from {every[start]} to {every[end - 1]} ({end - start} days); allowed: "
                f"gaps of at most {bridge_days} days inside the table; add them, or {way_out}"
            )
    filled = whole.interpolate(limit_area="inside")
    filled["rain_mm"] = whole["rain_mm"].fillna(0.0)
    kept = filled.where(pd.Series(absent, index=whole.index), whole, axis=0)
    return kept, tuple(day for day, gone in zip(every, absent, strict=True) if gone)


def _day(when: date, row: Mapping[str, float], station: Station, estimates: dict[str, int]) -> dict[str, float]:
    """One day's ETo and what the water balance needs beside it; counts what had to be estimated."""
    try:
        return _measured(when, row, station, estimates)
    except DataError as error:
        raise DataError(f"{when}: {error}") from error


def _measured(when: date, row: Mapping[str, float], station: Station, estimates: dict[str, int]) -> dict[str, float]:
    low, high = row["tmin_c"], row["tmax_c"]
    et.temperatures(tmax_c=high, tmin_c=low)
    rain = et.within("rain", row["rain_mm"], 0, _MOST_RAIN_MM, "mm")
    vapour = _vapour(row, estimates)
    wind = _wind(row, station, estimates)
    day = when.timetuple().tm_yday
    eto = et.reference(
        tmax_c=high,
        tmin_c=low,
        vapour_kpa=vapour,
        radiation_mj=_radiation(row, station, day, estimates),
        wind_2m_m_s=wind,
        elevation_m=station.elevation_m,
        latitude_deg=station.latitude_deg,
        day=day,
    )
    driest = row.get("rhmin_pct", np.nan)
    if np.isnan(driest):
        driest = min(100.0, 100 * vapour / et.saturation(temperature_c=high))
    return {"eto_mm": eto, "rain_mm": rain, "tmax_c": high, "tmin_c": low, "rhmin_pct": driest, "wind2m_m_s": wind}


def _has(row: Mapping[str, float], *names: str) -> bool:
    return all(name in row and not np.isnan(row[name]) for name in names)


def _estimated(estimates: dict[str, int], what: str) -> None:
    estimates[what] = estimates.get(what, 0) + 1


def _vapour(row: Mapping[str, float], estimates: dict[str, int]) -> float:
    """Actual vapour pressure in kPa, in FAO-56's order of preference."""
    high, low = row["tmax_c"], row["tmin_c"]
    if _has(row, "vapour_kpa"):
        return row["vapour_kpa"]
    if _has(row, "tdew_c"):
        return et.vapour_from_dew_point(tdew_c=row["tdew_c"], tmax_c=high)
    if _has(row, "rhmax_pct", "rhmin_pct"):
        return et.vapour_from_humidity(tmax_c=high, tmin_c=low, rhmax_pct=row["rhmax_pct"], rhmin_pct=row["rhmin_pct"])
    if _has(row, "rhmean_pct"):
        return et.vapour_from_mean_humidity(tmax_c=high, tmin_c=low, rhmean_pct=row["rhmean_pct"])
    _estimated(
        estimates,
        "humidity estimated: dew point taken as the least temperature, too moist for dry climates (FAO-56 eq. 48),",
    )
    return et.vapour_from_dew_point(tdew_c=low, tmax_c=high)


def _wind(row: Mapping[str, float], station: Station, estimates: dict[str, int]) -> float:
    """Wind speed at 2 m in m/s."""
    if _has(row, "wind2m_m_s"):
        return et.wind_at_2m(wind_m_s=row["wind2m_m_s"], height_m=2.0)
    if _has(row, "wind_m_s"):
        return et.wind_at_2m(wind_m_s=row["wind_m_s"], height_m=station.wind_height_m)
    _estimated(estimates, f"wind estimated: {et.WIND_WHERE_UNKNOWN_M_S:g} m/s (FAO-56 chapter 3)")
    return et.WIND_WHERE_UNKNOWN_M_S


def _radiation(row: Mapping[str, float], station: Station, day: int, estimates: dict[str, int]) -> float:
    """Solar radiation in MJ per m2 and day."""
    if _has(row, "solar_mj_m2"):
        return row["solar_mj_m2"]
    if _has(row, "sunshine_h"):
        return et.radiation_from_sunshine(sunshine_h=row["sunshine_h"], latitude_deg=station.latitude_deg, day=day)
    _estimated(estimates, "radiation estimated from the swing of temperature (FAO-56 eq. 50)")
    return et.radiation_from_temperature(
        tmax_c=row["tmax_c"],
        tmin_c=row["tmin_c"],
        latitude_deg=station.latitude_deg,
        day=day,
        coastal=station.coastal,
    )
