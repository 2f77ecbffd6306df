"""Weather, crop, soil and irrigation in; every day's root-zone depletion out (FAO-56 chapters 6 to 8).

The dual crop coefficient is pyfao56's (USDA-ARS; Thorp 2022, doi:10.1016/j.softx.2022.101208): it takes any number in
any order without a word, so everything is checked before it. A day's values stand for its end; water given or fallen on
a day is in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from shared.errors import DataError, require
from verticals.agriculture.irrigation import crops, soil
from verticals.agriculture.irrigation.evapotranspiration import within
from verticals.agriculture.irrigation.weather import Weather

DAYS = {
    "eto_mm": "ETref",
    "etc_mm": "ETc",
    "eta_mm": "ETa",
    "kcb": "Kcb",
    "ke": "Ke",
    "ks": "Ks",
    "root_m": "Zr",
    "taw_mm": "TAW",
    "raw_mm": "RAW",
    "depletion_mm": "Dr",
    "depletion": "fDr",
    "profile_depletion": "fDrmax",
    "profile_taw_mm": "TAWrmax",
    "percolation_mm": "DP",
    "irrigation_mm": "Irrig",
    "irrigation_loss_mm": "IrrLoss",
    "rain_mm": "Rain",
}
"""Columns of :func:`dual`, and pyfao56's name of each; ``depletion`` is Dr / TAW, ``profile_depletion`` the same over
the greatest rooting depth, whose available water is ``profile_taw_mm``."""


@dataclass(frozen=True)
class Planting:
    """A crop on a field from a day on.

    Attributes:
        planted: First day.
        lengths: Of the four stages, days.
        kc: Single crop coefficient, initial, mid-season, end.
        kcb: Basal crop coefficient, likewise.
        height_m: At the start and at most, m.
        root_m: Rooting depth at the start and at most, m.
        p: Depletion fraction at 5 mm of evapotranspiration a day.
        for_climate: Whether coefficients are adjusted to the weather's wind and humidity (FAO-56 eqs. 62, 65, 70).
    """

    planted: date
    lengths: tuple[int, int, int, int]
    kc: tuple[float, float, float]
    kcb: tuple[float, float, float]
    height_m: tuple[float, float]
    root_m: tuple[float, float]
    p: float
    for_climate: bool = True

    def __post_init__(self) -> None:
        for days in self.lengths:
            within("length of a growth stage", days, 1, 400, "days")
        for value in (*self.kc, *self.kcb):
            within("crop coefficient", value, 0, 1.5, "")
        if self.kcb[1] <= self.kcb[0]:
            raise DataError(
                f"basal crop coefficient of mid-season, {self.kcb[1]:g}, is not above the initial, {self.kcb[0]:g}: "
                "rooting depth follows it; give initial, mid-season, end"
            )
        for name, pair in (("height", self.height_m), ("rooting depth", self.root_m)):
            within(f"greatest {name}", pair[1], 0.05, 10, "m", f"give metres: {pair[1]:g} looks like centimetres")
            within(f"initial {name}", pair[0], 0.001, pair[1], "m")
        within("depletion fraction p", self.p, 0.1, 0.8, "")


@dataclass(frozen=True)
class Event:
    """Water given on a day.

    Attributes:
        on: The day.
        depth_mm: Over the whole field, mm.
        wetted: Fraction of the surface that gets wet (FAO-56 table 20).
        efficiency: Fraction that reaches the root zone.
    """

    on: date
    depth_mm: float
    wetted: float = 1.0
    efficiency: float = 1.0

    def __post_init__(self) -> None:
        within(f"irrigation on {self.on}", self.depth_mm, 0, 500, "mm", "give mm over the field, not m3")
        within(f"irrigation on {self.on}: fraction wetted", self.wetted, 0.01, 1, "")
        within(f"irrigation on {self.on}: efficiency", self.efficiency, 0.01, 1, "", "give a fraction, not per cent")


def plant(crop: crops.Crop, *, on: date, where: int = 0, rainfed: bool = False) -> Planting:
    """A planting with the table's values.

    Args:
        crop: From :func:`verticals.agriculture.irrigation.crops.crop`.
        on: Day of planting.
        where: Which of the crop's ``lengths`` is nearest to the field.
        rainfed: Whether to take the deeper of the table's rooting depths.
    """
    return Planting(
        planted=on,
        lengths=crop.lengths[where].days,
        kc=crop.kc,
        kcb=crop.kcb,
        height_m=(min(0.05, crop.height_m), crop.height_m),
        root_m=(min(0.2, crop.root_m[0]), crop.root_m[int(rainfed)]),
        p=crop.p,
    )


def dual(
    weather: Weather, planting: Planting, ground: soil.Soil, events: Sequence[Event] = (), *, last: date | None = None
) -> pd.DataFrame:
    """Daily balance with the dual crop coefficient, from planting to ``last`` or the weather's last day.

    Returns:
        Index ``date``, columns :data:`DAYS`, float64: depths in mm, rooting depth in m, the rest fractions.

    Raises:
        DataError: The weather does not cover the days, the soil is shallower than the roots, or an event lies outside.
        MissingDependency: pyfao56 is not installed.
    """
    first, last = _span(weather, planting, ground, events, last)
    fao = require("pyfao56", extra="agriculture")
    model = fao.Model(
        f"{first:%Y-%j}",
        f"{last:%Y-%j}",
        _parameters(fao, planting, ground),
        _station_days(fao, weather),
        irr=_irrigation(fao, events),
        sol=_profile(fao, ground),
        K_adj=planting.for_climate,
    )
    model.run()
    result: pd.DataFrame = model.odata.loc[:, ~model.odata.columns.duplicated()][list(DAYS.values())].astype(float)
    result.columns = pd.Index(list(DAYS))
    result.index = pd.Index([first + timedelta(days=i) for i in range(len(result))], name="date")
    return result


def single(
    weather: Weather, planting: Planting, ground: soil.Soil, events: Sequence[Event] = (), *, last: date | None = None
) -> pd.DataFrame:
    """Daily balance with the single crop coefficient (FAO-56 eqs. 58, 82 to 88): fewer parameters, no drying surface.

    Args and errors as in :func:`dual`.

    Returns:
        As :func:`dual`, without ``kcb`` and ``ke``; below the roots the soil keeps its initial water.
    """
    first, last = _span(weather, planting, ground, events, last)
    kc = _adjusted(weather, planting)
    eto_mm, rain_mm = (weather.days[name].to_dict() for name in ("eto_mm", "rain_mm"))
    given = {event.on: (event.depth_mm, event.depth_mm * (1 - event.efficiency)) for event in events}
    contents = [layer.initial for layer in ground.layers]
    root, deepest = planting.root_m
    missing = soil.depletion(ground, contents, deepest)
    capacity = soil.available(ground, deepest)
    depleted = max(0.0, soil.depletion(ground, contents, root))
    rows = []
    for i in range((last - first).days + 1):
        day = first + timedelta(days=i)
        eto, rain = eto_mm[day], rain_mm[day]
        deeper = crops.coefficient((*planting.root_m, planting.root_m[1]), planting.lengths, i)
        grown = soil.depletion(ground, contents, deeper) - soil.depletion(ground, contents, root)
        root = deeper
        taw = soil.available(ground, root)
        etc = crops.coefficient(kc, planting.lengths, i) * eto
        p = float(np.clip(planting.p + 0.04 * (5 - etc), 0.1, 0.8))
        ks = float(np.clip((taw - depleted) / ((1 - p) * taw), 0, 1))
        water, lost = given.get(day, (0.0, 0.0))
        after = depleted + max(0.0, grown) + ks * etc - rain - (water - lost)
        depleted = float(np.clip(after, 0, taw))
        below = max(0.0, missing - soil.depletion(ground, contents, root))
        whole = (depleted + below) / capacity
        state = (eto, etc, ks * etc, ks, root, taw, p * taw, depleted, depleted / taw, whole, capacity)
        rows.append((*state, max(0.0, -after), water, lost, rain))
    names = [name for name in DAYS if name not in ("kcb", "ke")]
    index = pd.Index([first + timedelta(days=i) for i in range(len(rows))], name="date")
    return pd.DataFrame(rows, columns=names, index=index)


def _span(
    weather: Weather, planting: Planting, ground: soil.Soil, events: Sequence[Event], last: date | None
) -> tuple[date, date]:
    """First and last day, after everything that must fit together was looked at."""
    days = weather.days.index
    last = last or days[-1]
    if last < planting.planted:
        raise DataError(
            f"planted on {planting.planted}, after {last}, the day that is asked about; give the day of planting of "
            "this season (planted), or a later day"
        )
    if planting.planted < days[0] or last > days[-1]:
        raise DataError(
            f"the balance runs from {planting.planted} to {last}, the weather from {days[0]} to {days[-1]}; "
            "give weather for every day of it"
        )
    if ground.depth_m < planting.root_m[1]:
        raise DataError(
            f"the soil profile is {ground.depth_m:g} m deep, the roots reach {planting.root_m[1]:g} m; "
            "give layers down to the roots or a smaller rooting depth"
        )
    outside = [e.on for e in events if not planting.planted <= e.on <= days[-1]]
    if outside:
        raise DataError(f"irrigation on {outside[0]} is outside {planting.planted} to {days[-1]}; remove it")
    twice = sorted({e.on for e in events if sum(o.on == e.on for o in events) > 1})
    if twice:
        raise DataError(f"irrigation on {twice[0]} is there twice; allowed: one event per day; add the depths up")
    return planting.planted, last


def _adjusted(weather: Weather, planting: Planting) -> tuple[float, float, float]:
    """Single crop coefficients for the weather of mid-season and late season."""
    start, middle, end = planting.kc
    if not planting.for_climate:
        return planting.kc
    _, second, third, fourth = np.cumsum(planting.lengths)
    result = []
    for value, begin, stop in ((middle, second, third), (end, third, fourth)):
        since, until = (planting.planted + timedelta(days=int(d)) for d in (begin, stop))
        part = weather.days[(weather.days.index >= since) & (weather.days.index < until)]
        if len(part):
            wind, humidity = float(part["wind2m_m_s"].mean()), float(part["rhmin_pct"].mean())
            value = crops.for_climate(kc=value, wind_2m_m_s=wind, rhmin_pct=humidity, height_m=planting.height_m[1])
        result.append(value)
    return start, result[0], result[1]


def _parameters(fao: Any, planting: Planting, ground: soil.Soil) -> Any:
    kc, kcb, lengths = planting.kc, planting.kcb, planting.lengths
    top = ground.layers[0]
    return fao.Parameters(
        Kcmini=kc[0], Kcmmid=kc[1], Kcmend=kc[2],
        Kcbini=kcb[0], Kcbmid=kcb[1], Kcbend=kcb[2],
        Lini=lengths[0], Ldev=lengths[1], Lmid=lengths[2], Lend=lengths[3],
        hini=planting.height_m[0], hmax=planting.height_m[1],
        thetaFC=top.field_capacity, thetaWP=top.wilting_point, theta0=top.initial,
        Zrini=planting.root_m[0], Zrmax=planting.root_m[1], pbase=planting.p,
        Ze=ground.evaporation_depth_m, REW=ground.readily_evaporable_mm,
    )  # fmt: skip


def _station_days(fao: Any, weather: Weather) -> Any:
    """pyfao56's weather; only what its balance reads, since ETo is ours."""
    days, table = weather.days, fao.Weather()
    table.z, table.lat, table.wndht = weather.station.elevation_m, weather.station.latitude_deg, 2.0
    table.wdata = pd.DataFrame(
        {
            "Srad": np.nan, "Tmax": days["tmax_c"], "Tmin": days["tmin_c"], "Vapr": np.nan, "Tdew": np.nan,
            "RHmax": np.nan, "RHmin": days["rhmin_pct"], "Wndsp": days["wind2m_m_s"], "Rain": days["rain_mm"],
            "ETref": days["eto_mm"], "MorP": "M",
        }
    )  # fmt: skip
    table.wdata.index = pd.Index([f"{day:%Y-%j}" for day in days.index])
    return table


def _irrigation(fao: Any, events: Sequence[Event]) -> Any:
    table = fao.Irrigation()
    for event in events:
        table.addevent(
            event.on.year, event.on.timetuple().tm_yday, event.depth_mm, event.wetted, 100 * event.efficiency
        )
    return table


def _profile(fao: Any, ground: soil.Soil) -> Any:
    table = fao.SoilProfile()
    for layer in ground.layers:
        table.sdata.loc[int(layer.bottom_cm)] = [layer.field_capacity, layer.wilting_point, layer.initial]
    return table
