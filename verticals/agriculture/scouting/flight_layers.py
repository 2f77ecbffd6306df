"""A field map and its orthomosaic in, a flight's layers on a grid shared with other flights out."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError, require
from verticals.agriculture.mapping import cogs
from verticals.agriculture.mapping.field_map import FieldMap, Grid
from verticals.agriculture.scouting.flights import Flight

MOST_CELLS = 4_000_000


def common_grid(field_map: FieldMap) -> Grid:
    """The grid of a map, in coarser cells where it has more than :data:`MOST_CELLS`."""
    grid = field_map.grid
    shrink = max(1.0, float(np.sqrt(grid.width * grid.height / MOST_CELLS)))
    width, height = max(1, round(grid.width / shrink)), max(1, round(grid.height / shrink))
    a, b, c, d, e, f = grid.transform
    across, down = grid.width / width, grid.height / height
    return Grid(grid.crs, (a * across, b * down, c, d * across, e * down, f), width, height)


def read(
    field_map: FieldMap, targets: Sequence[str], on: date, grid: Grid, *, orthomosaic: Path | None = None
) -> Flight:
    """One flight on a common grid (means of the cells that fall into one).

    Args:
        field_map: Of the flight.
        targets: Labels whose probabilities are added up.
        on: The day.
        grid: From :func:`common_grid` of one of the flights.
        orthomosaic: For the brightness, the mean of its first three bands; None leaves it out.

    Raises:
        ConfigError: An unknown target.
        DataError: A raster cannot be read.
    """
    unknown = [label for label in targets if label not in field_map.labels]
    if unknown or not targets:
        raise ConfigError(
            f"target {', '.join(unknown) or 'is missing'}: allowed are {', '.join(field_map.labels)}"
        )  # fmt: skip
    bands = [field_map.labels.index(label) + 1 for label in targets]
    severity = field_map.severity_path
    return Flight(
        on,
        _warped(field_map.probability_path, grid, bands).sum(0),
        None if orthomosaic is None else _warped(orthomosaic, grid, [1, 2, 3]).mean(0),
        None if severity is None else _warped(severity, grid, [1])[0],
    )


def _warped(path: Path, grid: Grid, bands: list[int]) -> NDArray[np.float32]:
    """Bands on the grid ``(bands, rows, columns)``, NaN where the raster's mask says that there is nothing."""
    rasterio = require("rasterio", extra="agriculture")
    vrt = require("rasterio.vrt", extra="agriculture").WarpedVRT
    average: Any = require("rasterio.enums", extra="agriculture").Resampling.average
    try:
        with cogs.bounded(), rasterio.open(path) as source:
            present = [band for band in bands if band <= source.count]
            alpha = source.nodata is None
            with vrt(
                source, crs=grid.crs, transform=rasterio.Affine(*grid.transform), width=grid.width,
                height=grid.height, resampling=average, add_alpha=alpha and source.count < 4,
            ) as warped:  # fmt: skip
                values = warped.read(present, masked=True).astype(np.float32)
                return np.asarray(values.filled(np.nan), np.float32)
    except rasterio.errors.RasterioError as error:
        raise DataError(f"{path}: cannot be brought onto the common grid ({error}); export it again") from error
