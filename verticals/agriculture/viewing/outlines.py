"""A field map in, the outline of its field out: the boundary kept beside its rasters, else its own cells."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shared import atomic
from shared.errors import DataError, require
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.mapping.field_map import OUTSIDE, FieldMap
from verticals.agriculture.raster import boundaries

BOUNDARY = "boundary.gpkg"
_EXTRA = "agriculture"
_GPKG_VERSION = "1.3"
_MOST_CELLS = 4_000_000
_SAME = 0.01
"""Share by which the outline's hectares may differ from the map's without a remark."""


@dataclass(frozen=True)
class Outline:
    """The field of a map.

    Attributes:
        shape: Polygon or MultiPolygon in the map's CRS.
        hectares: On the ellipsoid.
        source: Where it is from, for the person.
        name: What the boundary calls the field; the map's folder where there is no boundary.
        remarks: Sentences for the person.
    """

    shape: Any = field(repr=False)
    hectares: float
    source: str
    name: str
    remarks: tuple[str, ...] = ()


def keep(field_map: FieldMap, fields: Any) -> Path:
    """Put the boundary that a map was made with into its folder, in the map's CRS.

    Args:
        field_map: The map.
        fields: GeoDataFrame with a column ``field``.
    """
    path = field_map.folder / BOUNDARY
    with atomic.file(path) as temporary:
        temporary.unlink()
        fields.to_crs(field_map.grid.crs).to_file(
            temporary, layer="boundary", driver="GPKG", engine="pyogrio", VERSION=_GPKG_VERSION
        )
    return path


def outline(field_map: FieldMap, boundary: Path | None = None) -> Outline:
    """The field of a map.

    Args:
        field_map: The map.
        boundary: Vector file to take instead of the boundary that the map was made with.

    Raises:
        DataError: The boundary cannot be read or does not touch the map, or the map has no cell of a field.
    """
    path = boundary or field_map.folder / BOUNDARY
    if boundary is None and not path.is_file():
        return _of_cells(field_map)
    found = boundaries.read(path)
    shape = found.fields.to_crs(field_map.grid.crs).geometry.union_all()
    shapely = require("shapely", extra=_EXTRA)
    if not shape.intersects(shapely.box(*_bounds(field_map))):
        raise DataError(f"{path}: this field does not touch the map {field_map.folder}; give the boundary of its field")
    area = float(hectares([shape], field_map.grid.crs)[0])
    remarks = list(found.remarks)
    mapped = field_map.hectares["field"]
    if abs(area - mapped) > _SAME * mapped:
        remarks.append(f"the boundary {path.name} encloses {area:.3f} ha, the map was made of {mapped:.3f} ha")
    return Outline(shape, area, path.name, ", ".join(found.fields.field), tuple(remarks))


def _of_cells(field_map: FieldMap) -> Outline:
    features, shapely = require("rasterio.features", extra=_EXTRA), require("shapely", extra=_EXTRA)
    with require("rasterio", extra=_EXTRA).open(field_map.validity_path) as source:
        shrink = max(1, math.ceil(math.sqrt(source.width * source.height / _MOST_CELLS)))
        shape = math.ceil(source.height / shrink), math.ceil(source.width / shrink)
        inside = source.read(1, out_shape=shape) != OUTSIDE
        scale = require("affine", extra=_EXTRA).Affine.scale(source.width / shape[1], source.height / shape[0])
        transform = source.transform @ scale
    drawn = features.shapes(inside.astype(np.uint8), inside, connectivity=4, transform=transform)
    parts = [shapely.geometry.shape(part) for part, _ in drawn]
    if not parts:
        raise DataError(f"{field_map.folder}: no cell of it lies in a field; map the field again with its boundary")
    whole = shapely.unary_union(parts)
    area = float(hectares([whole], field_map.grid.crs)[0])
    said = "the map has no boundary of its field: its outline is that of its cells, holes where nothing was flown"
    name = field_map.folder.resolve().name
    return Outline(whole, area, "cells of the map", name, (f"{said}; give one with --boundary",))


def _bounds(field_map: FieldMap) -> tuple[float, float, float, float]:
    a, b, c, d, e, f = field_map.grid.transform
    width, height = field_map.grid.width, field_map.grid.height
    xs = [a * x + b * y + c for x in (0, width) for y in (0, height)]
    ys = [d * x + e * y + f for x in (0, width) for y in (0, height)]
    return min(xs), min(ys), max(xs), max(ys)
