"""A few pixels of a raster in, the values that become 0 and 255 and the share of blank pixels out: once per raster."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from verticals.agriculture.raster import damage

PERCENTILES = (1.0, 99.0)
"""Share of values that become 0 or 255; one pair for the three bands together, which keeps hues and band ratios."""
SIDE_PX, WHOLE_PX = 1024, 16_000_000
"""Longer side of the overview looked at, and size up to which a raster without overviews is read whole for it."""
GRID, PATCH_PX = 8, 256
"""Otherwise patches are looked at, so many down and across and so large, spread evenly."""


def sample(source: Any, indexes: Sequence[int], nodata: float | None) -> tuple[NDArray[Any], str]:
    """Values of some pixels, ``(bands, pixels)``, without those that are nodata, and where they were taken.

    Args:
        source: Open data set of rasterio.
        indexes: Bands, from 1.
        nodata: Value given by the user for "nothing here", None for what the file says.
    """
    overviews = source.overviews(indexes[0])
    small = source.width * source.height <= WHOLE_PX
    windows, where = (None,), "an overview"
    if not (overviews or small):
        windows, where = tuple(_patches(source.width, source.height)), f"{GRID * GRID} patches spread evenly"
    found = [_values(source, list(indexes), window, nodata) for window in windows]
    if windows == (None,) and not found[0].size:
        # The overview is damaged or empty: look at the pixels themselves.
        patches = _patches(source.width, source.height)
        found = [_values(source, list(indexes), window, nodata) for window in patches]
        where = f"{GRID * GRID} patches spread evenly"
    return np.concatenate(found, axis=1), where


def _patches(width: int, height: int) -> Iterator[Any]:
    window = require("rasterio.windows", extra="agriculture").Window
    for y in np.linspace(0, max(height - PATCH_PX, 0), GRID).astype(int):
        for x in np.linspace(0, max(width - PATCH_PX, 0), GRID).astype(int):
            yield window(int(x), int(y), min(PATCH_PX, width), min(PATCH_PX, height))


def _values(source: Any, indexes: list[int], window: Any, nodata: float | None) -> NDArray[Any]:
    """Valid values of a window, ``(bands, pixels)``; none where it is damaged."""
    width, height = (window.width, window.height) if window else (source.width, source.height)
    shrink = max(1.0, max(width, height) / SIDE_PX)
    shape = max(1, round(height / shrink)), max(1, round(width / shrink))
    dtype = source.dtypes[indexes[0] - 1]
    try:
        with damage.watched():
            values = source.read(indexes, window=window, out_shape=(len(indexes), *shape))
            flown = source.dataset_mask(window=window, out_shape=shape) > 0
    except require("rasterio.errors", extra="agriculture").RasterioIOError:
        return np.empty((len(indexes), 0), dtype)
    flown &= np.isfinite(values).all(axis=0)
    if nodata is not None:
        flown &= (values != np.asarray(nodata)).any(axis=0)
    return np.asarray(values[:, flown])


def limits(values: NDArray[Any]) -> tuple[float, float] | None:
    """The :data:`PERCENTILES` of ``(bands, pixels)`` values; None where there are none."""
    if not values.size:
        return None
    low, high = (float(v) for v in np.percentile(values.astype(np.float64), PERCENTILES))
    return low, high


def to_uint8(values: NDArray[Any], bounds: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Values of any shape as uint8: ``bounds`` become 0 and 255, what lies beyond is clipped; None: they are 8 bit."""
    if bounds is None:
        return np.asarray(values, np.uint8)
    low, high = bounds
    span = high - low or 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / span)
    return np.asarray(np.rint(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0).clip(0, 255)), np.uint8)


def share(values: NDArray[Any], value: int) -> float:
    """Share of pixels that have this value in all bands of ``(bands, pixels)``, 0 to 1."""
    return float((values == value).all(axis=0).mean()) if values.size else 0.0
