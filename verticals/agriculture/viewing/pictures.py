"""An orthomosaic or the classes of a map in, a picture in degrees as a data URI with its bounds out.

No server and no file: the browser gets the picture inside the page, and asks nobody for anything.
"""

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.errors import DataError, require
from verticals.agriculture.mapping import cogs
from verticals.agriculture.mapping.field_map import NO_CLASS, NOT_EXAMINED, FieldMap
from verticals.agriculture.raster.pixels import READ, UNREADABLE
from verticals.agriculture.raster.rasters import open_raster

SIDE = 1400
"""Longest side of a picture in pixels: a screen's worth."""
_EXTRA = "agriculture"
_WGS84 = "EPSG:4326"
_QUALITY = 88
_OK_ALPHA, _ALPHA = 70, 235
_HATCH = 7
GREY = (90, 90, 90)

Rgba = NDArray[np.uint8]


@dataclass(frozen=True)
class Overlay:
    """A picture that can be laid on a map in degrees.

    Attributes:
        uri: ``data:image/webp;base64,...``.
        bounds: West, south, east, north in degrees WGS84.
    """

    uri: str = field(repr=False)
    bounds: tuple[float, float, float, float]


def of_raster(path: Path, *, side: int = SIDE, given: Mapping[str, Any] | None = None) -> Overlay:
    """The colours of an orthomosaic; hatched where its pixels are damaged, clear where nothing was flown.

    Args:
        path: The raster.
        side: Longest side of the picture in pixels.
        given: What a person said of the raster when it was mapped: bands, CRS, nodata.

    Raises:
        DataError: It cannot be read; see :func:`verticals.agriculture.raster.rasters.open_raster`.
    """
    with open_raster(path, **(given or {})) as raster:
        seen, facts = raster.overview(side), raster.facts
    alpha = np.where(seen.validity == READ, 255, 0).astype(np.uint8)
    rgba = np.dstack([seen.rgb, alpha])
    rows, columns = alpha.shape
    affine = require("affine", extra=_EXTRA).Affine
    transform = affine(*facts.transform) @ affine.scale(facts.width / columns, facts.height / rows)
    return _overlay(rgba, seen.validity == UNREADABLE, transform, facts.crs)


def of_classes(field_map: FieldMap, *, side: int = SIDE) -> Overlay:
    """The classes of a map in their colours; what is NOT EXAMINED is hatched, what is fine nearly clear.

    Raises:
        DataError: A raster of the map cannot be read.
    """
    classes, transform = _small(field_map, field_map.class_path, side)
    validity, _ = _small(field_map, field_map.validity_path, side)
    rgba = np.zeros((*classes.shape, 4), np.uint8)
    for i, (label, colour) in enumerate(colours(field_map).items()):
        alpha = _OK_ALPHA if label == field_map.ok_label else _ALPHA
        rgba[classes == i] = (*colour, alpha)
    rgba[classes == NO_CLASS] = 0
    return _overlay(rgba, validity == NOT_EXAMINED, transform, field_map.grid.crs)


def colours(field_map: FieldMap) -> dict[str, tuple[int, int, int]]:
    """Colour of each label, as in the map's own files: red, green, blue."""
    found = cogs.palette([label == field_map.ok_label for label in field_map.labels])
    return {label: (c[0], c[1], c[2]) for label, c in zip(field_map.labels, found, strict=True)}


def _small(field_map: FieldMap, path: Path, side: int) -> tuple[NDArray[np.uint8], Any]:
    rasterio = require("rasterio", extra=_EXTRA)
    try:
        with cogs.bounded(), rasterio.open(path) as source:
            shrink = max(1.0, max(source.width, source.height) / side)
            shape = math.ceil(source.height / shrink), math.ceil(source.width / shrink)
            scale = require("affine", extra=_EXTRA).Affine.scale(source.width / shape[1], source.height / shape[0])
            return source.read(1, out_shape=shape), source.transform @ scale
    except rasterio.errors.RasterioIOError as error:
        raise DataError(f"{field_map.folder}: {path.name} cannot be read ({error}); map the field again") from error


def _overlay(rgba: Rgba, hatched: NDArray[np.bool_], transform: Any, crs: str) -> Overlay:
    """Warp to degrees, since the browser stretches a picture between two meridians and two parallels."""
    warp = require("rasterio.warp", extra=_EXTRA)
    rows, columns = hatched.shape
    corners = require("rasterio.transform", extra=_EXTRA).array_bounds(rows, columns, transform)
    to, width, height = warp.calculate_default_transform(crs, _WGS84, columns, rows, *corners)
    finer = max(1, SIDE // (2 * max(width, height)))  # a hatch of few cells would look like stripes of the field
    if finer > 1:
        to, width, height = warp.calculate_default_transform(
            crs, _WGS84, columns, rows, *corners, dst_width=width * finer, dst_height=height * finer
        )
    layers = np.moveaxis(np.dstack([rgba, hatched.astype(np.uint8)]), -1, 0)
    turned = np.zeros((5, height, width), np.uint8)
    warp.reproject(
        np.ascontiguousarray(layers), turned, src_transform=transform, src_crs=crs, dst_transform=to, dst_crs=_WGS84,
        resampling=warp.Resampling.nearest,
    )  # fmt: skip
    picture = np.moveaxis(turned[:4], 0, -1).copy()
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    dark = (across + down) // _HATCH % 2 == 0
    void = turned[4] == 1
    picture[void & dark], picture[void & ~dark] = (*GREY, 255), (235, 235, 235, 255)
    west, south, east, north = require("rasterio.transform", extra=_EXTRA).array_bounds(height, width, to)
    stream = io.BytesIO()
    Image.fromarray(picture, "RGBA").save(stream, "WEBP", quality=_QUALITY, method=2)
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    return Overlay(f"data:image/webp;base64,{encoded}", (west, south, east, north))
