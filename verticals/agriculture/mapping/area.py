"""Geometries and their CRS in, hectares on the ellipsoid out.

Areas are geodesic (Karney 2013, doi:10.1007/s00190-012-0578-z, as in PROJ), never planar: a UTM square at the central
meridian is 0.08 % too small, a Web Mercator one at 50 degrees more than twice too large.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, require

if TYPE_CHECKING:
    from affine import Affine

M2_PER_HECTARE = 10_000.0
_LATITUDE_LIMIT = 89.0
_EDGE_M = 200.0
"""Longest edge that is taken for a geodesic; straight lines of a map bend on the ellipsoid (below 1e-6 of the area)."""
_METRES_PER_DEGREE = 111_320.0
_PATCH_M = 500.0
_NODES = 9
_EXTRA = "agriculture"


def hectares(geometries: Iterable[Any], crs: Any) -> NDArray[np.float64]:
    """Area of each geometry on the ellipsoid of its CRS.

    The orientation of rings does not matter: holes are always taken away.

    Args:
        geometries: Polygons or MultiPolygons of shapely; empty ones have 0 ha.
        crs: What pyproj reads as a CRS, geographic or projected, in any unit.

    Returns:
        ``(geometries,)`` float64, hectares.

    Raises:
        DataError: No CRS; a geometry that is no polygon, crosses itself, or comes nearer than a degree to a pole.
    """
    pyproj, shapely = require("pyproj", extra=_EXTRA), require("shapely", extra=_EXTRA)
    if crs is None:
        raise DataError("geometries without a CRS have no area in hectares; set the CRS they were drawn in")
    system = pyproj.CRS.from_user_input(crs)
    shapes = np.asarray(list(geometries), object)
    if not len(shapes):
        return np.zeros(0)
    _check(shapely, shapes)
    unit = float(system.axis_info[0].unit_conversion_factor or 1.0) if system.axis_info else 1.0
    edge = _EDGE_M / _METRES_PER_DEGREE if system.is_geographic else _EDGE_M / unit
    to_degrees = pyproj.Transformer.from_crs(system, system.geodetic_crs, always_xy=True)
    on_ellipsoid = shapely.transform(shapely.segmentize(shapes, edge), to_degrees.transform, interleaved=False)
    _check_latitudes(shapely, on_ellipsoid)
    oriented = shapely.orient_polygons(on_ellipsoid, exterior_cw=False)
    geod = system.get_geod()
    m2 = [geod.geometry_area_perimeter(shape)[0] if not shape.is_empty else 0.0 for shape in oriented]
    return np.asarray(m2, np.float64) / M2_PER_HECTARE


def hectares_per_unit(crs: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hectares on the ellipsoid per square unit of a projected CRS, at places.

    It is measured on squares of 500 m around them, so that it holds for every projection, Web Mercator included.

    Args:
        crs: A projected CRS.
        x: ``(places,)``, easting in units of the CRS.
        y: ``(places,)``, northing likewise.

    Returns:
        ``(places,)`` float64; 1e-4 where the projection keeps areas and its unit is the metre.
    """
    shapely = require("shapely", extra=_EXTRA)
    half = _PATCH_M / 2
    squares = shapely.box(x - half, y - half, x + half, y + half)
    return hectares(squares, crs) / (_PATCH_M * _PATCH_M)


@dataclass(frozen=True)
class CellAreas:
    """Area of a raster's cells; made by :func:`cell_areas`.

    Attributes:
        rows: Nodes between which it is interpolated, in cells from the top.
        columns: Likewise from the left.
        nodes: ``(rows, columns)`` float64, hectares of a cell there.
        width: Cells across.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    nodes: NDArray[np.float64]
    width: int

    def at(self, row: float) -> NDArray[np.float64]:
        """Hectares of a cell, column by column, ``(width,)`` float64, at a row counted from the top."""
        line = np.array([np.interp(row, self.rows, column) for column in self.nodes.T])
        result: NDArray[np.float64] = np.interp(np.arange(self.width) + 0.5, self.columns, line)
        return result


def cell_areas(transform: "Affine", crs: Any, width: int, height: int) -> CellAreas:
    """Measure the area of a raster's cells at 9 x 9 nodes; the scale of a projection is smooth between them.

    Args:
        transform: Cell (column, row) to units of the CRS.
        crs: A projected CRS.
        width: Cells across.
        height: Cells down.
    """
    rows, columns = np.linspace(0, height, _NODES), np.linspace(0, width, _NODES)
    down, across = np.meshgrid(rows, columns, indexing="ij")
    x = transform.a * across + transform.b * down + transform.c
    y = transform.d * across + transform.e * down + transform.f
    scale = hectares_per_unit(crs, x.ravel(), y.ravel()).reshape(down.shape)
    return CellAreas(rows, columns, abs(transform.determinant) * scale, width)


def _check(shapely: Any, shapes: NDArray[Any]) -> None:
    polygonal = np.isin(shapely.get_type_id(shapes), (3, 6)) | shapely.is_empty(shapes)
    if not polygonal.all():
        first = int(np.argmin(polygonal))
        raise DataError(
            f"geometry {first} is a {getattr(shapes[first], 'geom_type', None)}, which has no area; "
            "allowed are Polygon and MultiPolygon"
        )
    valid = shapely.is_valid(shapes)
    if not valid.all():
        first = int(np.argmin(valid))
        raise DataError(
            f"geometry {first} has no certain area ({shapely.is_valid_reason(shapes[first])}); repair its rings"
        )


def _check_latitudes(shapely: Any, shapes: NDArray[Any]) -> None:
    bounds = shapely.bounds(shapes[~shapely.is_empty(shapes)])
    if not len(bounds):
        return
    if not np.isfinite(bounds).all():
        raise DataError("geometries lie outside the area in which their CRS is defined; look whether the CRS is theirs")
    furthest = float(np.abs(bounds[:, [1, 3]]).max())
    if furthest > _LATITUDE_LIMIT:
        raise DataError(
            f"latitude {furthest:.2f} is too near a pole for an area; allowed is up to {_LATITUDE_LIMIT:.0f} degrees "
            "(swapped coordinates look like this too)"
        )
