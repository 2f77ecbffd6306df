"""Two or more flights on one grid in, what changed in each zone and how sure that is, and the zones' histories out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from shared.errors import ConfigError, DataError, require
from verticals.agriculture.mapping.area import hectares, hectares_per_unit
from verticals.agriculture.mapping.correlation import spread
from verticals.agriculture.mapping.field_map import Grid

Layer = NDArray[np.float32]
HISTORY = ("zone", "date", "area_ha", "sick_ha", "severity", "change", "low", "high", "p", "verdict", "reason")

RANGES = 5.0
"""On drawn flights without any change 7 % of the fields had a zone called changed at five ranges (stated are 5 %), 13 %
at three: blocks side by side still touch."""


class Change(StrEnum):
    """What can be said about a zone."""

    MORE = "more"
    LESS = "less"
    NOT_SHOWN = "no change shown"
    """Not: no change."""
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Flight:
    """One flight; every layer is ``(rows, columns)`` float32 on the common grid.

    Attributes:
        on: The day.
        risk: Probability of a target, 0 to 1; NaN where NOT EXAMINED.
        light: Brightness of the picture in any unit, NaN where nothing was flown; None where it is not known.
        severity: Per cent of leaf area, NaN where unknown; None where the model says none.
    """

    on: date
    risk: Layer = field(repr=False)
    light: Layer | None = field(default=None, repr=False)
    severity: Layer | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Test:
    """When zones are compared, and how.

    Attributes:
        block_m: Least side of the blocks whose means are the pairs of the test. They are five correlation ranges of
            the difference where that is more, as neighbouring cells are no independent evidence.
        least_blocks: Below it nothing is said.
        least_common: Share of a zone that must have been examined in both flights.
        light_factor: Factor by which the zone's brightness may differ between flights, either way.
        level: Of the false discovery rate over all zones.
        threshold: Probability from which a cell counts as sick, 0 to 1.
    """

    block_m: float = 5.0
    least_blocks: int = 6
    least_common: float = 0.8
    light_factor: float = 1.5
    level: float = 0.05
    threshold: float = 0.5

    __test__ = False

    def __post_init__(self) -> None:
        if not (self.block_m > 0 and self.least_blocks >= 2 and self.light_factor > 1 and 0 < self.level < 1):
            raise ConfigError(
                f"block_m is {self.block_m:g}, least_blocks {self.least_blocks}, light_factor {self.light_factor:g}, "
                f"level {self.level:g}; allowed are above 0, from 2, above 1, between 0 and 1"
            )


def changes(before: Flight, after: Flight, zones: Any, grid: Grid, how: Test | None = None) -> pd.DataFrame:
    """What changed in each zone.

    The change is the mean difference of the probability over the cells examined in both flights. Its significance is
    that of a t-test over the block means of the difference, weighted by nothing, corrected for the number of zones by
    Benjamini and Hochberg (1995). Zones drawn on one of the flights are chosen for being sick there, which makes a
    later decrease likelier by itself (regression to the mean); zones drawn before both flights have no such leaning.

    Args:
        before: Earlier flight.
        after: Later flight, on the same grid and shifted back where needed.
        zones: GeoDataFrame with ``zone`` in the CRS of the grid.
        grid: Of both.
        how: None for the defaults.

    Returns:
        Columns :data:`HISTORY` of the later flight, a row per zone: ``area_ha`` of the zone and ``sick_ha`` of its
        sick cells, ellipsoidal; ``change`` of the mean probability, -1 to 1, with its 95 % interval; ``p`` corrected,
        NaN where nothing was tested.

    Raises:
        DataError: The flights are not on the grid, or not one after the other.
    """
    how = how or Test()
    _check(before, after, zones, grid)
    burnt = _burnt(zones, grid)
    how = replace(how, block_m=max(how.block_m, _independent_m(before, after, burnt, grid)))
    blocks = _block_numbers(grid, how.block_m)
    rows = [_zone(before, after, burnt == i + 1, blocks, how) for i in range(len(zones))]
    table = pd.DataFrame(rows, columns=["change", "low", "high", "p", "reason"])
    tested = table.p.notna().to_numpy()
    if tested.any():
        table.loc[tested, "p"] = stats.false_discovery_control(table.p[tested].to_numpy(), method="bh")
    columns = (table.change.to_numpy(float), table.p.to_numpy(float))
    table["verdict"] = [_verdict(float(c), float(p), how.level) for c, p in zip(*columns, strict=True)]
    return _state(after, zones, burnt, grid, how.threshold).join(table)[list(HISTORY)]


def history(flights: Sequence[Flight], zones: Any, grid: Grid, how: Test | None = None) -> pd.DataFrame:
    """The state of each zone on each flight, with its change since the flight before.

    Args:
        flights: In any order, at least one.
        zones: As for :func:`changes`.
        grid: Of all.
        how: None for the defaults.

    Returns:
        Columns :data:`HISTORY`, by zone and date; the first flight has no change.
    """
    how = how or Test()
    ordered = sorted(flights, key=lambda flight: flight.on)
    if not ordered:
        raise DataError("there is no flight; give at least one")
    _check(ordered[0], None, zones, grid)
    first = _state(ordered[0], zones, _burnt(zones, grid), grid, how.threshold)
    first[["change", "low", "high", "p"]] = np.nan
    first[["verdict", "reason"]] = "", "first flight"
    later = [changes(a, b, zones, grid, how) for a, b in pairwise(ordered)]
    whole = pd.concat([first[list(HISTORY)], *later], ignore_index=True)
    return whole.sort_values(["zone", "date"], kind="stable", ignore_index=True)


def _check(before: Flight, after: Flight | None, zones: Any, grid: Grid) -> None:
    shape = grid.height, grid.width
    for flight in (before, *((after,) if after else ())):
        for name in ("risk", "light", "severity"):
            layer = getattr(flight, name)
            if layer is not None and layer.shape != shape:
                raise DataError(f"{name} of {flight.on} has {layer.shape} cells; the grid has {shape}: warp it first")
    if after is not None and after.on <= before.on:
        raise DataError(f"the later flight is of {after.on} and the earlier of {before.on}; swap them")
    crs = require("pyproj", extra="agriculture").CRS.from_user_input(grid.crs)
    if zones.crs is not None and not crs.equals(zones.crs, ignore_axis_order=True):
        raise DataError(f"the zones are in {zones.crs.name} and the flights in {crs.name}; bring the zones there first")


def _burnt(zones: Any, grid: Grid) -> NDArray[np.int32]:
    """Number of the zone in each cell from 1, 0 none."""
    features, affine = (
        require("rasterio.features", extra="agriculture"), require("affine", extra="agriculture"),
    )  # fmt: skip
    shapes = list(zip(zones.geometry, range(1, len(zones) + 1), strict=True))
    if not shapes:
        return np.zeros((grid.height, grid.width), np.int32)
    shape = grid.height, grid.width
    return np.asarray(features.rasterize(shapes, shape, transform=affine.Affine(*grid.transform), dtype="int32"))


def _independent_m(before: Flight, after: Flight, burnt: NDArray[np.int32], grid: Grid) -> float:
    """Side of blocks whose means have little to do with each other: five ranges of the difference within zones."""
    both = (burnt > 0) & np.isfinite(before.risk) & np.isfinite(after.risk)
    if not both.any():
        return 0.0
    difference, number = (after.risk - before.risk)[both].astype(np.float64), burnt[both]
    means = np.bincount(number, difference) / np.maximum(np.bincount(number), 1)
    rest = np.zeros(burnt.shape, np.float32)
    rest[both] = difference - means[number]
    return RANGES * spread(rest, both).range_cells * grid.gsd_m


def _block_numbers(grid: Grid, block_m: float) -> NDArray[np.int64]:
    side = max(1, round(block_m / grid.gsd_m))
    down, across = np.arange(grid.height) // side, np.arange(grid.width) // side
    return np.asarray(down[:, None] * (across[-1] + 1) + across[None], np.int64)


Row = tuple[float, float, float, float, str]


def _zone(before: Flight, after: Flight, mine: NDArray[np.bool_], blocks: NDArray[np.int64], how: Test) -> Row:
    """Mean change, its interval, p (not corrected) and why nothing is said."""
    nan = float("nan")
    both = mine & np.isfinite(before.risk) & np.isfinite(after.risk)
    share = both.sum() / max(int(mine.sum()), 1)
    if share < how.least_common:
        return (
            nan,
            nan,
            nan,
            nan,
            f"{share:.0%} of it were examined in both flights, needed are {how.least_common:.0%}",
        )
    dark = _light(before.light, after.light, both, how.light_factor)
    if dark:
        return (nan, nan, nan, nan, dark)
    difference = (after.risk - before.risk)[both].astype(np.float64)
    _, member, size = np.unique(blocks[both], return_inverse=True, return_counts=True)
    means = (np.bincount(member, difference) / size)[size >= size.max() / 2]
    change = float(difference.mean())
    if len(means) < how.least_blocks:
        return (change, np.nan, np.nan, np.nan, f"{len(means)} blocks of {how.block_m:g} m are too few for a test")
    if np.ptp(means) == 0:
        return (change, change, change, 1.0 if change == 0 else 0.0, "")
    test = stats.ttest_1samp(means, 0.0)
    low, high = test.confidence_interval(0.95)
    return (change, float(low), float(high), float(test.pvalue), "")


def _light(before: Layer | None, after: Layer | None, both: NDArray[np.bool_], factor: float) -> str:
    if before is None or after is None:
        return ""
    first, second = (float(np.nanmedian(layer[both])) for layer in (before, after))
    if not (first > 0 and second > 0):
        return "the brightness of one flight is not known there"
    if max(first / second, second / first) > factor:
        return f"it is {second / first:.2f} times as bright as before, allowed is a factor of {factor:g} either way"
    return ""


def _verdict(change: float, p: float, level: float) -> str:
    if np.isnan(p):
        return Change.NOT_COMPARABLE.value if np.isnan(change) else Change.NOT_SHOWN.value
    if p > level:
        return Change.NOT_SHOWN.value
    return (Change.MORE if change > 0 else Change.LESS).value


def _state(flight: Flight, zones: Any, burnt: NDArray[np.int32], grid: Grid, threshold: float) -> pd.DataFrame:
    """Area, sick area and severity of each zone; NaN where less than all of it is known of the latter."""
    areas = hectares(zones.geometry, grid.crs)
    middle = zones.geometry.representative_point()
    per_cell = (
        hectares_per_unit(grid.crs, middle.x.to_numpy(), middle.y.to_numpy()) * grid.cell_m2
        if len(zones) else np.zeros(0)
    )  # fmt: skip
    sick, severities = [], []
    for i, cell in enumerate(per_cell):
        mine = burnt == i + 1
        known = mine & np.isfinite(flight.risk)
        sick.append(float((flight.risk[known] >= threshold).sum() * cell) if known.any() else np.nan)
        seen = flight.severity[mine] if flight.severity is not None else np.full(1, np.nan)
        severities.append(float(np.nanmean(seen)) if np.isfinite(seen).any() else np.nan)
    return pd.DataFrame(
        {"zone": zones.zone.to_numpy(), "date": flight.on, "area_ha": areas, "sick_ha": sick, "severity": severities}
    )
