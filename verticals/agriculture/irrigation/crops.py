"""Crop coefficients, stage lengths, rooting depth and depletion fraction, with the edition of FAO-56 they are from."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shared.errors import DataError
from verticals.agriculture.irrigation.evapotranspiration import within

EDITIONS = {1998: Path(__file__).with_name("crops_1998.toml")}
"""Editions that are here, and the data file of each."""
NOT_SOURCED = {2025: "FAO-56 Revision 1 (doi:10.4060/cd6621en): its changed coefficients have not been checked here"}
"""Editions that exist and are missing, and why."""


@dataclass(frozen=True)
class Lengths:
    """How long the growth stages last somewhere.

    Attributes:
        days: Initial, development, mid-season and late season, days.
        planted: Months of planting.
        where: Climate or region, in the book's words.
    """

    days: tuple[int, int, int, int]
    planted: str
    where: str


@dataclass(frozen=True)
class Crop:
    """One crop of one edition.

    Attributes:
        name: Key in the data file.
        edition: Year of FAO-56.
        rows: Names of the rows in tables 11, 12, 17 and 22 of the book.
        kc: Single crop coefficient, initial, mid-season, end (table 12).
        kcb: Basal crop coefficient, likewise (table 17).
        height_m: Greatest height, m (table 12).
        root_m: Smaller and larger greatest rooting depth, m (table 22): the smaller for irrigation, the larger for
            crops that live on rain.
        p: Fraction of the available water that is used without stress at 5 mm of evapotranspiration a day (table 22).
        lengths: Of the stages, one per region that the book has (table 11).
    """

    name: str
    edition: int
    rows: tuple[str, ...]
    kc: tuple[float, float, float]
    kcb: tuple[float, float, float]
    height_m: float
    root_m: tuple[float, float]
    p: float
    lengths: tuple[Lengths, ...]


def names(*, edition: int = 1998) -> tuple[str, ...]:
    """Crops of an edition, sorted."""
    return tuple(sorted(_table(edition)["crops"]))


def source(*, edition: int = 1998) -> Mapping[str, Any]:
    """Title, authors, tables, transcription and day of the check of an edition."""
    found: Mapping[str, Any] = _table(edition)["edition"]
    return found


def crop(name: str, *, edition: int = 1998) -> Crop:
    """One crop's parameters.

    Raises:
        DataError: The edition or the crop is not here; the sentence lists what is.
    """
    crops = _table(edition)["crops"]
    if name not in crops:
        raise DataError(f"no crop {name!r} in FAO-56 of {edition}; allowed: {', '.join(sorted(crops))}")
    row = crops[name]
    lengths = tuple(Lengths(_four(r["days"]), r["planted"], r["where"]) for r in row["lengths"])
    low, high = row["root_m"]
    return Crop(
        name, edition, tuple(row["rows"]), _three(row["kc"]), _three(row["kcb"]), row["height_m"], (low, high),
        row["p"], lengths,
    )  # fmt: skip


def coefficient(values: tuple[float, float, float], lengths: tuple[int, int, int, int], day: int) -> float:
    """Crop coefficient on a day after planting (0 is the first): constant, rising, constant, falling (FAO-56 eq. 66).

    Args:
        values: Initial, mid-season, end.
        lengths: Of the four stages, days.
        day: Days since planting; after the last stage the end value stays.
    """
    start, middle, end = values
    first, second, third, fourth = lengths
    if day <= first:
        return start
    if day <= first + second:
        return start + (middle - start) * (day - first) / second
    if day <= first + second + third:
        return middle
    return middle + (end - middle) * min(1.0, (day - first - second - third) / fourth)


def for_climate(*, kc: float, wind_2m_m_s: float, rhmin_pct: float, height_m: float) -> float:
    """A mid-season or end coefficient for another climate than 45 % humidity and 2 m/s (FAO-56 eqs. 62, 65 and 70).

    Coefficients under 0.45 stay as they are; wind, humidity and height are held to the limits of the equations.
    """
    within("crop coefficient", kc, 0, 2, "")
    if kc < 0.45:
        return kc
    wind, humidity = min(6.0, max(1.0, wind_2m_m_s)), min(80.0, max(20.0, rhmin_pct))
    tall = min(10.0, max(0.1, height_m))
    return kc + (0.04 * (wind - 2) - 0.004 * (humidity - 45)) * math.pow(tall / 3, 0.3)


@cache
def _table(edition: int) -> dict[str, Any]:
    if edition in NOT_SOURCED:
        raise DataError(
            f"crop coefficients of {edition} are missing: {NOT_SOURCED[edition]}; "
            f"allowed: {', '.join(map(str, EDITIONS))}, or give your own coefficients with their source"
        )
    if edition not in EDITIONS:
        raise DataError(f"no edition {edition} of FAO-56; allowed: {', '.join(map(str, EDITIONS))}")
    return tomllib.loads(EDITIONS[edition].read_text(encoding="utf-8"))


def _three(values: list[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def _four(values: list[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = values
    return first, second, third, fourth
