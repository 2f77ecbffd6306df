"""What a grower keeps beside the weather, as CSV tables: soil layers, irrigation given, probe readings; zone by zone.

A column ``zone`` tells zones apart; a table without it holds for one zone, named "". Water contents are m3/m3.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pandas as pd

from shared.errors import DataError
from verticals.agriculture.irrigation.balance import Event
from verticals.agriculture.irrigation.probe import Reading
from verticals.agriculture.irrigation.soil import Layer, Soil


def read_soils(path: Path) -> Mapping[str, Soil]:
    """Soil of each zone; columns ``bottom_cm, field_capacity, wilting_point, initial``, one row per layer.

    Raises:
        DataError: Not such a table; one sentence with the file and the row's layer.
    """
    table = _read(path, ("bottom_cm", "field_capacity", "wilting_point", "initial"))
    soils = {}
    for zone, rows in table.groupby("zone", sort=True):
        ordered = rows.sort_values("bottom_cm").drop(columns="zone").to_dict("list")
        try:
            layers = [
                Layer(int(bottom), *contents)
                for bottom, *contents in zip(*(ordered[name] for name in ordered), strict=True)
            ]
            soils[str(zone)] = Soil(tuple(layers))
        except DataError as error:
            raise DataError(f"{path}: {_named(zone)}{error}") from error
    return soils


def read_irrigations(path: Path, efficiency: float) -> Mapping[str, tuple[Event, ...]]:
    """Water given to each zone; columns ``date, depth_mm``, one row per zone and day.

    Args:
        path: The table.
        efficiency: Fraction of the water given that reaches the root zone, as for the depths that are advised.

    Raises:
        DataError: As in :func:`read_soils`.
    """
    table = _read(path, ("date", "depth_mm"))
    events: dict[str, list[Event]] = {}
    for zone, on, depth in zip(table["zone"], _days(path, table), table["depth_mm"].tolist(), strict=True):
        try:
            events.setdefault(str(zone), []).append(Event(on, depth, efficiency=efficiency))
        except DataError as error:
            raise DataError(f"{path}: {_named(zone)}{error}") from error
    return {zone: tuple(sorted(found, key=lambda e: e.on)) for zone, found in events.items()}


def read_readings(path: Path, soils: Mapping[str, Soil], *, morning: bool = True) -> Mapping[str, tuple[Reading, ...]]:
    """Probe readings of each zone; columns ``date, bottom_cm, content``, one row per zone, day and soil layer.

    Args:
        path: The table.
        soils: Of the zones, whose layers are read.
        morning: Whether probes were read before the day's water use; see
            :class:`~verticals.agriculture.irrigation.probe.Reading`.

    Raises:
        DataError: As in :func:`read_soils`; also a zone without soil, or a depth that ends no layer of it.
    """
    table = _read(path, ("date", "bottom_cm", "content"))
    table["date"] = _days(path, table)
    readings: dict[str, list[Reading]] = {}
    for (zone, _), rows in table.groupby(["zone", "date"], sort=True):
        on: date = rows["date"].iloc[0]
        if str(zone) not in soils:
            raise DataError(f"{path}: {_named(zone)}has readings and no soil; allowed: {', '.join(soils)}")
        bottoms = [layer.bottom_cm for layer in soils[str(zone)].layers]
        read = dict(zip(rows["bottom_cm"].tolist(), rows["content"].tolist(), strict=True))
        strange = sorted(set(read) - set(bottoms))
        if strange or len(read) < len(rows):
            found = f"{strange[0]:g} cm" if strange else "a depth that is there twice"
            raise DataError(
                f"{path}: {_named(zone)}{on}: {found}; allowed: each layer's lower edge once, "
                f"{', '.join(map(str, bottoms))} cm"
            )
        contents = tuple(read.get(bottom, float("nan")) for bottom in bottoms)
        readings.setdefault(str(zone), []).append(Reading(on, contents, morning))
    return {zone: tuple(found) for zone, found in readings.items()}


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """``zone`` and the columns, the latter numbers but for a date."""
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: is not a readable CSV table ({error}); give {', '.join(columns)}") from error
    missing = [name for name in columns if name not in table]
    if missing or table.empty:
        lacking = f"column {', '.join(missing)} is missing" if missing else "the table has no rows"
        raise DataError(f"{path}: {lacking}; allowed: zone (where there are several), {', '.join(columns)}")
    zone = table["zone"].fillna("") if "zone" in table else ""
    numbers = {}
    for name in columns:
        values = table[name] if name == "date" else pd.to_numeric(table[name], errors="coerce")
        if values.isna().any():
            row = int(values.isna().to_numpy().argmax())
            raise DataError(f"{path}: row {row + 2}: {name} is {table[name].iloc[row]!r}; give a value in every row")
        numbers[name] = values
    return pd.DataFrame({"zone": zone, **numbers}, index=table.index)


def _days(path: Path, table: pd.DataFrame) -> list[date]:
    when = pd.to_datetime(table["date"], format="%Y-%m-%d", errors="coerce")
    if when.isna().any():
        raise DataError(f"{path}: date {table['date'][when.isna()].iloc[0]!r}; allowed: ISO 8601, 2026-05-31")
    return list(when.dt.date)


def _named(zone: object) -> str:
    return f"zone {zone}: " if str(zone) else ""
