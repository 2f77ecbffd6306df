"""Rasters and shapes brought onto the fine pixels of a machine's grid."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, require
from verticals.agriculture.mapping.field_map import EXAMINED, NOT_EXAMINED
from verticals.agriculture.spraying.grid import Fine, Geometry, Mask, SwathGrid, burn

if TYPE_CHECKING:
    from affine import Affine

Resampling = Literal["max", "average", "nearest"]
_EXTRA = "agriculture"


def covered(grid: SwathGrid, shapes: Sequence[Geometry]) -> Mask:
    """Fine pixels that shapes of the grid's CRS touch at all: what must not be sprayed errs towards too much."""
    return burn(shapes, grid.transform, grid.inside.shape, touched=True)


def onto(
    grid: SwathGrid,
    pixels: NDArray[Any],
    transform: "Affine",
    how: Resampling = "max",
) -> Fine:
    """Bring a raster of the grid's CRS onto its fine pixels.

    Args:
        grid: The grid.
        pixels: ``(height, width)``, float with NaN for no data, integer or bool.
        transform: Pixel (column, row) to metres of the grid's CRS.
        how: ``max`` for what must not be overlooked, ``average`` for areas, ``nearest`` for the pixel at the centre.

    Returns:
        ``(rows, columns)`` float32, NaN where the raster has nothing.
    """
    return _warp(grid, np.ascontiguousarray(pixels, np.float32), transform, how)


def band_onto(grid: SwathGrid, path: Path, band: int, how: Resampling = "max") -> Fine:
    """Bring one band of a file onto the fine pixels, a part at a time: memory does not grow with the raster.

    Args:
        grid: The grid.
        path: A raster in any CRS.
        band: From 1.
        how: See :func:`onto`.

    Returns:
        ``(rows, columns)`` float32, NaN where the raster has nothing.

    Raises:
        DataError: The file cannot be read, has no CRS, or not that band.
    """
    rasterio = require("rasterio", extra=_EXTRA)
    try:
        with rasterio.open(path) as source:
            if source.crs is None:
                raise DataError(f"{path}: has no CRS; give it the one it was made in")
            if not 1 <= band <= source.count:
                raise DataError(f"{path}: has no band {band}; allowed are 1 to {source.count}")
            return _warp(grid, rasterio.band(source, band), None, how)
    except rasterio.errors.RasterioError as error:
        raise DataError(f"{path}: band {band} cannot be read ({error}); make the map again") from error


def _warp(grid: SwathGrid, source: Any, transform: "Affine | None", how: str) -> Fine:
    warp = require("rasterio.warp", extra=_EXTRA)
    result = np.full(grid.inside.shape, np.nan, np.float32)
    given = {"src_transform": transform, "src_crs": grid.crs, "src_nodata": np.nan} if transform is not None else {}
    warp.reproject(
        source,
        result,
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        dst_nodata=np.nan,
        resampling=warp.Resampling[how],
        **given,
    )
    return result


def examined(grid: SwathGrid, validity: NDArray[np.uint8], transform: "Affine") -> Mask:
    """Fine pixels of the field that were looked at, from a map's validity raster.

    A fine pixel with any NOT EXAMINED source pixel is not examined, and neither is field beyond the raster. Only in the
    rim of the field, one source pixel wide, a missing source pixel is the outline's doing, and counts as examined
    beside an examined one.

    Args:
        grid: The grid.
        validity: ``(height, width)`` uint8: 1 examined, 2 NOT EXAMINED, 0 outside the field or the raster.
        transform: Pixel (column, row) to metres of the grid's CRS.

    Returns:
        ``(rows, columns)`` bool.
    """
    worst, centre = (onto(grid, validity, transform, how) for how in ("max", "nearest"))
    return _examined(grid, worst, centre, transform)


def examined_in(grid: SwathGrid, path: Path) -> Mask:
    """As :func:`examined`, from the file of a map in metres, a part at a time.

    Raises:
        DataError: The file cannot be read or has no CRS.
    """
    worst, centre = (band_onto(grid, path, 1, how) for how in ("max", "nearest"))
    with require("rasterio", extra=_EXTRA).open(path) as source:
        return _examined(grid, worst, centre, source.transform)


def _examined(grid: SwathGrid, worst: Fine, centre: Fine, transform: "Affine") -> Mask:
    refused, seen = worst == NOT_EXAMINED, centre == EXAMINED
    rim_m = math.hypot(transform.a, transform.d) + math.hypot(transform.b, transform.e)
    deep = burn([grid.outline.buffer(-rim_m)], grid.transform, grid.inside.shape)
    side_m = min(math.hypot(grid.transform.a, grid.transform.d), math.hypot(grid.transform.b, grid.transform.e))
    reach = math.ceil(rim_m / side_m)
    beside = cv2.dilate(seen.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    result: Mask = grid.inside & ~refused & (seen | (beside & ~deep))
    return result
