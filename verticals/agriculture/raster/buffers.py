"""Fields in, the same grown or shrunk by metres, or their headland, out."""

from dataclasses import replace
from typing import Any

from shared.errors import DataError, require
from verticals.agriculture.raster.boundaries import Boundaries


def buffered(boundaries: Boundaries, metres: float) -> Boundaries:
    """Fields grown by so many metres, or shrunk where negative; one that vanishes is left out and said.

    Raises:
        DataError: The CRS is not in metres (use :func:`place` first), or nothing is left.
    """
    shapely = require("shapely", extra="agriculture")
    if not _metric(boundaries.fields.crs):
        raise DataError(
            f"{boundaries.path}: its CRS is not in metres, so no buffer in metres can be made; place it first"
        )
    fields = boundaries.fields.copy()
    fields.geometry = shapely.orient_polygons(fields.geometry.buffer(metres, join_style="round").to_numpy())
    gone = list(fields.field[fields.is_empty])
    fields = fields[~fields.is_empty].reset_index(drop=True)
    if fields.empty:
        raise DataError(f"{boundaries.path}: nothing of it is left inside a buffer of {metres:g} m; use a smaller one")
    told = (f"inside a buffer of {metres:g} m nothing is left of {', '.join(gone)}",) if gone else ()
    return replace(boundaries, fields=fields, remarks=(*boundaries.remarks, *told))


def headland(boundaries: Boundaries, metres: float) -> Boundaries:
    """The strip along the inside of every edge, holes too, so many metres wide; a field all narrower is all headland.

    Raises:
        DataError: The CRS is not in metres, or ``metres`` is not above 0.
    """
    shapely = require("shapely", extra="agriculture")
    if metres <= 0:
        raise DataError(f"a headland is {metres:g} m wide; allowed is more than 0")
    if not _metric(boundaries.fields.crs):
        raise DataError(f"{boundaries.path}: its CRS is not in metres, so no headland can be made; place it first")
    fields = boundaries.fields.copy()
    inner = fields.geometry.buffer(-metres)
    fields.geometry = shapely.orient_polygons(fields.geometry.difference(inner).to_numpy())
    return replace(boundaries, fields=fields)


def _metric(crs: Any) -> bool:
    return bool(crs.is_projected and crs.axis_info[0].unit_conversion_factor == 1)
