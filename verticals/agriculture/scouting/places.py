"""A field map in, square places out, each with what a visit to it is worth for the decision to spray.

A cell with probability p of a target is sprayed where p reaches the threshold t = needless / (needless + missed), the
break-even of the two costs. Whatever is decided, the expected cost of being wrong is min(needless (1 - p), missed p)
per hectare; it is what knowing the truth would save (expected value of perfect information, Howard 1966,
doi:10.1109/TSSC.1966.300074), largest at p = t. It is as right as the probabilities are calibrated.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError, require
from verticals.agriculture.mapping import cogs
from verticals.agriculture.mapping.area import hectares_per_unit
from verticals.agriculture.mapping.field_map import EXAMINED, NOT_EXAMINED, FieldMap, Grid

_EXTRA = "agriculture"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """What a wrong decision costs per hectare, in any one currency.

    Attributes:
        needless: Of spraying a hectare that needs none.
        missed: Of leaving a hectare that needs it.
    """

    needless: float = 1.0
    missed: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.needless < math.inf and 0 < self.missed < math.inf):
            raise ConfigError(
                f"costs are {self.needless:g} (needless) and {self.missed:g} (missed) per hectare; allowed is above 0"
            )

    @property
    def threshold(self) -> float:
        """Probability from which spraying is the cheaper mistake, 0 to 1."""
        return self.needless / (self.needless + self.missed)

    @classmethod
    def at(cls, threshold: float) -> "Costs":
        """Costs that add up to 1 with this break-even, for who knows a threshold and no prices."""
        if not 0 < threshold < 1:
            raise ConfigError(f"the spray threshold is {threshold:g}; allowed is between 0 and 1, both left out")
        return cls(threshold, 1 - threshold)


@dataclass(frozen=True)
class Places:
    """Square places of a map; every array is ``(places,)``.

    Attributes:
        x: Easting of the middle of what is in the field, metres.
        y: Northing likewise.
        examined_ha: Hectares on the ellipsoid that were examined.
        not_examined_ha: Hectares of the field that were not.
        risk: Mean probability of any target over the examined cells, 0 to 1; NaN where none is.
        stake: Expected cost of deciding wrongly there (see the module); 0 where nothing was examined.
        target: Index of the likeliest target, -1 where nothing was examined.
        targets: Labels that are sprayed against.
        crs: Of ``x`` and ``y``.
        side_m: Side of a place in metres.
        costs: Behind ``stake``.
    """

    x: Floats
    y: Floats
    examined_ha: Floats
    not_examined_ha: Floats
    risk: Floats
    stake: Floats
    target: NDArray[np.int64]
    targets: tuple[str, ...]
    crs: str
    side_m: float
    costs: Costs

    def __len__(self) -> int:
        return len(self.x)


def survey(field_map: FieldMap, targets: Sequence[str], costs: Costs, *, side_m: float = 6.0) -> Places:
    """Divide a map into places; read strip by strip, so that memory stays bounded.

    Args:
        field_map: The map.
        targets: Labels that are sprayed against.
        costs: Of wrong decisions.
        side_m: Side of a place; about what a person sees around a point that a phone finds to 5 m.

    Raises:
        ConfigError: No target, an unknown one, or no side.
        DataError: A raster of the map cannot be read.
    """
    unknown = [label for label in targets if label not in field_map.labels or label == field_map.ok_label]
    if unknown or not targets:
        allowed = ", ".join(label for label in field_map.labels if label != field_map.ok_label)
        raise ConfigError(f"target {', '.join(unknown) or 'is missing'}: not of the map's; allowed are {allowed}")
    return summed(_strips(field_map, targets, side_m), field_map.grid, tuple(targets), costs, side_m=side_m)


def cells_per_side(grid: Grid, side_m: float) -> int:
    """Cells along one side of a place.

    Raises:
        ConfigError: The side is not above 0.
    """
    if not 0 < side_m < math.inf:
        raise ConfigError(f"the side of a place is {side_m:g} m; allowed is above 0")
    return max(1, round(side_m / grid.gsd_m))


Strip = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""``(targets, rows, columns)`` probabilities and ``(rows, columns)`` validity of one row of places."""


def summed(strips: Iterator[Strip], grid: Grid, targets: tuple[str, ...], costs: Costs, *, side_m: float) -> Places:
    """Add up rows of places.

    Args:
        strips: From the top, each :func:`cells_per_side` rows high, the last one perhaps less.
        grid: The cells of the map.
        targets: In the order of the strips' first axis.
        costs: Of wrong decisions.
        side_m: Side of a place in metres.
    """
    side = cells_per_side(grid, side_m)
    parts = [_sums(strip, row * side, side, costs) for row, strip in enumerate(strips)]
    table = np.concatenate(parts) if parts else np.zeros((0, 6 + len(targets)))
    table = table[table[:, 0] + table[:, 1] > 0]
    examined, blind, risk, stake, column, row = table[:, :6].T
    cells = np.maximum(examined + blind, 1)
    a, b, c, d, e, f = grid.transform
    x, y = (a * column + b * row) / cells + c, (d * column + e * row) / cells + f
    ha = hectares_per_unit(grid.crs, x, y) * grid.cell_m2 if len(table) else np.zeros(0)
    seen = examined > 0
    return Places(
        x=x, y=y, examined_ha=examined * ha, not_examined_ha=blind * ha,
        risk=np.divide(risk, examined, out=np.full(len(table), np.nan), where=seen), stake=stake * ha,
        target=np.where(seen, table[:, 6:].argmax(1), -1), targets=targets, crs=grid.crs, side_m=side_m, costs=costs,
    )  # fmt: skip


def chosen(places: Places, which: NDArray[Any]) -> Places:
    """Those of an index or a mask."""
    names = ("x", "y", "examined_ha", "not_examined_ha", "risk", "stake", "target")
    return replace(places, **{name: getattr(places, name)[which] for name in names})


def _sums(strip: Strip, top: int, side: int, costs: Costs) -> Floats:
    """``(places, 6 + targets)``: cells examined and not, sums of risk, stake, columns, rows, and of each target."""
    probabilities, validity = strip
    examined, blind = validity == EXAMINED, validity == NOT_EXAMINED
    each = np.where(examined, np.nan_to_num(probabilities), 0).astype(np.float64)
    risk = each.sum(0).clip(0, 1)
    stake = np.where(examined, np.minimum(costs.needless * (1 - risk), costs.missed * risk), 0)
    inside = (examined | blind).astype(np.float64)
    rows, columns = np.arange(validity.shape[0]) + top + 0.5, np.arange(validity.shape[1]) + 0.5
    layers = [examined, blind, risk, stake, inside * columns, inside * rows[:, None], *each]
    starts = np.arange(0, validity.shape[1], side)
    return np.stack([np.add.reduceat(layer.sum(0, dtype=np.float64), starts) for layer in layers], axis=1)


def _strips(field_map: FieldMap, targets: Sequence[str], side_m: float) -> Iterator[Strip]:
    rasterio, windows = require("rasterio", extra=_EXTRA), require("rasterio.windows", extra=_EXTRA)
    grid, bands = field_map.grid, [field_map.labels.index(label) + 1 for label in targets]
    side = cells_per_side(grid, side_m)
    try:
        with (
            cogs.bounded(),
            rasterio.open(field_map.probability_path) as probability,
            rasterio.open(field_map.validity_path) as validity,
        ):
            for top in range(0, grid.height, side):
                window = windows.Window(0, top, grid.width, min(side, grid.height - top))
                yield probability.read(bands, window=window), validity.read(1, window=window)
    except rasterio.errors.RasterioIOError as error:
        raise DataError(
            f"{field_map.folder}: a raster of the map cannot be read ({error}); map the field again"
        ) from error
