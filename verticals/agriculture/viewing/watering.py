"""A farm's TOML (weather, soil, crop, probes) in, irrigation advice for each zone out."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from shared import config
from shared.errors import ConfigError, DataError
from verticals.agriculture.irrigation import balance, crops, probe, tables, weather
from verticals.agriculture.irrigation.advice import NOT_CLAIMED, Advice, Answer, Rule, System, advise_zone
from verticals.agriculture.irrigation.balance import Event, Planting
from verticals.agriculture.irrigation.soil import Soil
from verticals.agriculture.irrigation.weather import Station, Weather

WORDS = {Answer.IRRIGATE: "irrigate", Answer.WAIT: "wait", Answer.NOT_ASSESSED: "NOT ASSESSED"}


@dataclass(frozen=True)
class Farm:
    """What the advice is reckoned from; files are relative to the TOML file.

    Attributes:
        weather: CSV of daily weather, see :func:`verticals.agriculture.irrigation.weather.read`.
        soil: CSV of soil layers by zone, see :func:`verticals.agriculture.irrigation.tables.read_soils`.
        crop: Name in the crop table.
        planted: Day of planting.
        station: Where the weather was measured.
        readings: CSV of probe readings; empty where there are none.
        irrigations: CSV of water given; empty where there was none.
        edition: Of FAO-56.
        region: Which of the crop's stage lengths, 0 is the first that the table has.
        bridge_days: Longest gap in the weather that is filled in.
        system: What the irrigation can do.
        rule: When to irrigate.
    """

    weather: str
    soil: str
    crop: str
    planted: date
    station: Station
    readings: str = ""
    irrigations: str = ""
    edition: int = 1998
    region: int = 0
    bridge_days: int = 0
    system: System = field(default_factory=System)
    rule: Rule = field(default_factory=Rule)


@dataclass(frozen=True)
class Advised:
    """Advice for a day.

    Attributes:
        on: The day, at whose end.
        advice: One for each zone, NOT ASSESSED among them.
        crop: The crop and the edition of its coefficients.
        pairs: Earlier readings that the correction was learned from.
        remarks: What of the weather was estimated or bridged, and what else a person should know.
    """

    on: date
    advice: tuple[Advice, ...]
    crop: str
    pairs: int
    remarks: tuple[str, ...]


def load(path: Path, overrides: tuple[str, ...] = ()) -> Farm:
    """Read a farm from TOML.

    Raises:
        ConfigError: The file cannot be read, or says something that is not allowed.
    """
    return config.load(Farm, path, overrides=overrides)


def advised(farm: Farm, folder: Path, *, on: date | None = None, rain_mm: float = 0.0) -> Advised:
    """Advise every zone that has a soil.

    Args:
        farm: What is known.
        folder: Its files are relative to it.
        on: The day, at whose end; None takes the last day with weather.
        rain_mm: Rain that can be counted on before the next decision.

    Raises:
        DataError: A table cannot be used; one zone's bad numbers make that zone NOT ASSESSED and no other.
        ConfigError: The region is not one of the crop's.
    """
    sky = weather.read(folder / farm.weather, farm.station, bridge_days=farm.bridge_days)
    soils = tables.read_soils(folder / farm.soil)
    given = tables.read_irrigations(folder / farm.irrigations, farm.system.efficiency) if farm.irrigations else {}
    read = tables.read_readings(folder / farm.readings, soils) if farm.readings else {}
    day = on or sky.days.index[-1]
    planting = _planting(farm)
    simulated: dict[str, Callable[[], pd.DataFrame]] = {}
    situations, depletions = [], []
    for zone, ground in soils.items():
        simulated[zone] = _once(sky, planting, ground, given.get(zone, ()), day)
        earlier = [r for r in read.get(zone, ()) if r.stands_for <= day]
        try:
            known, measured = probe.pairs(simulated[zone](), ground, earlier)
        except DataError:
            continue  # the same sentence becomes the zone's reason below
        situations += known
        depletions += measured
    learned = probe.learn(situations, depletions)
    found = tuple(
        advise_zone(
            zone, day, simulated[zone], ground, read.get(zone, ()), learned,
            system=farm.system, rule=farm.rule, forecast_rain_mm=rain_mm,
        )
        for zone, ground in soils.items()
    )  # fmt: skip
    without = sorted((set(read) | set(given)) - set(soils))
    remarks = [*sky.remarks, *(f"zone {zone} has water or readings and no soil: NOT ASSESSED" for zone in without)]
    return Advised(day, found, f"{farm.crop}, FAO-56 of {farm.edition}", len(situations), tuple(remarks))


def facts(found: Advised) -> dict[str, Any]:
    """The advice, ready for ``json.dumps``."""
    rows = [{**asdict(a), "on": a.on.isoformat(), "answer": a.answer.value} for a in found.advice]
    head = {"on": found.on.isoformat(), "crop": found.crop, "pairs": found.pairs}
    return {**head, "zones": rows, "remarks": list(found.remarks), "not_claimed": NOT_CLAIMED}


def lines(found: Advised) -> list[str]:
    """The advice for a person at the terminal, one line and its reason for each zone."""
    told = []
    for a in found.advice:
        # 0 mm would be read as "no water needed".
        depth = "" if a.answer is Answer.NOT_ASSESSED else f"{a.depth_mm:5.1f} mm"
        sure = "" if a.confidence is None else f"  confidence {100 * a.confidence:.0f} %"
        told.append(f"{a.zone or 'field':12} {WORDS[a.answer]:13} {depth}{sure}")
        told.append(f"             {a.reason}")
    return told


def table(found: Advised) -> pd.DataFrame:
    """The advice as a table for the page: one row for each zone, texts and numbers as shown."""
    rows = [
        {
            "zone": a.zone or "field",
            "advice": WORDS[a.answer],
            "mm": "" if a.answer is Answer.NOT_ASSESSED else f"{a.depth_mm:.0f}",
            "confidence": "" if a.confidence is None else f"{100 * a.confidence:.0f} %",
            "depletion, 90 %": "" if a.depletion is None else f"{a.depletion[0]:.0%} to {a.depletion[1]:.0%}",
        }
        for a in found.advice
    ]
    return pd.DataFrame(rows)


def _planting(farm: Farm) -> Planting:
    crop = crops.crop(farm.crop, edition=farm.edition)
    if not 0 <= farm.region < len(crop.lengths):
        named = ", ".join(f"{i} {row.where} ({row.planted})" for i, row in enumerate(crop.lengths))
        raise ConfigError(f"region is {farm.region}; the stage lengths of {farm.crop} are: {named}")
    return balance.plant(crop, on=farm.planted, where=farm.region)


def _once(
    sky: Weather, planting: Planting, ground: Soil, events: tuple[Event, ...], last: date
) -> Callable[[], pd.DataFrame]:
    """The balance of a zone, reckoned when it is first asked for; a DataError is raised each time."""
    reckoned: list[pd.DataFrame] = []
    until = tuple(event for event in events if event.on <= last)
    run = partial(balance.dual, sky, planting, ground, until, last=last)

    def simulate() -> pd.DataFrame:
        if not reckoned:
            reckoned.append(run())
        return reckoned[0]

    return simulate
