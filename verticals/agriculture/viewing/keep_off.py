"""Water, neighbours and what else must not be sprayed in, kept in a map's folder for every order on it, out."""

from pathlib import Path
from typing import Any

from shared import atomic
from shared.errors import ConfigError, DataError, require
from verticals.agriculture.mapping.field_map import FieldMap
from verticals.agriculture.raster import boundaries

FILE = "keep_off.gpkg"
_EXTRA = "agriculture"
_GPKG_VERSION = "1.3"
_MOST_M = 200.0


def keep(field_map: FieldMap, path: Path, metres: float) -> None:
    """Keep shapes with their distance in a map's folder, in place of what was kept there before.

    Args:
        field_map: The map.
        path: Vector file of polygons, lines or points: ditches, hedges, wells, houses.
        metres: Width of the strip around them, 0 to 200.

    Raises:
        ConfigError: The distance is out of range.
        DataError: The file cannot be read, has no CRS, or nothing of it comes within 1 km of the map.
    """
    if not 0 <= metres <= _MOST_M:
        raise ConfigError(f"--keep-off-m is {metres:g}; allowed are 0 to {_MOST_M:g} m")
    frame = boundaries.features(path).to_crs(field_map.grid.crs)
    frame = frame[~frame.geometry.is_empty & frame.geometry.notna()]
    shapely = require("shapely", extra=_EXTRA)
    near = shapely.box(*_bounds(field_map)).buffer(1000)
    if not frame.geometry.intersects(near).any():
        raise DataError(f"{path}: nothing of it comes within 1 km of the map; look whether its CRS is right")
    kept = require("geopandas", extra=_EXTRA).GeoDataFrame(
        {"metres": [metres] * len(frame)}, geometry=list(frame.geometry), crs=frame.crs
    )
    with atomic.file(field_map.folder / FILE) as temporary:
        temporary.unlink()
        kept.to_file(temporary, layer="keep_off", driver="GPKG", engine="pyogrio", VERSION=_GPKG_VERSION)


def kept(field_map: FieldMap) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Ground that must not be sprayed on a map, in its CRS with the distance added, and the remark what it is.

    Raises:
        DataError: What is kept in the folder cannot be read: an order without it would be sprayed over water.
    """
    path = field_map.folder / FILE
    if not path.is_file():
        return (), ()
    frame = boundaries.features(path).to_crs(field_map.grid.crs)
    metres = [float(value) for value in frame["metres"]]
    # A line or a point without a strip has no area of its own; a finger's width is touched by every section over it.
    shapes = tuple(g.buffer(max(m, 0.01)) for g, m in zip(frame.geometry, metres, strict=True))
    told = f"kept off: {len(shapes)} shapes and {max(metres):g} m around them, as kept in {path}"
    return shapes, (told,)


def _bounds(field_map: FieldMap) -> tuple[float, float, float, float]:
    grid = field_map.grid
    a, b, c, d, e, f = grid.transform
    xs = [a * x + b * y + c for x in (0, grid.width) for y in (0, grid.height)]
    ys = [d * x + e * y + f for x in (0, grid.width) for y in (0, grid.height)]
    return min(xs), min(ys), max(xs), max(ys)
