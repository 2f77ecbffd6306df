"""A field map in, zones out: polygons of one class each, without gaps between them, with area and probability."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError, require
from verticals.agriculture.mapping import cogs
from verticals.agriculture.mapping.area import M2_PER_HECTARE, hectares
from verticals.agriculture.mapping.correlation import Spread, mean_interval, spread
from verticals.agriculture.mapping.field_map import EXAMINED, NO_CLASS, NOT_EXAMINED, FieldMap

_EXTRA = "agriculture"
COLUMNS = ("zone", "label", "area_ha", "probability", "probability_low", "probability_high", "severity")
MOST_CELLS = 30_000_000
"""A larger map is read in coarser cells (most frequent class, mean probability): the sieve needs all of it at once."""


@dataclass(frozen=True)
class Drawing:
    """How zones are drawn.

    Attributes:
        min_area_m2: Smaller patches become part of their largest neighbour, or no zone where they have none.
        simplify_cells: Tolerance of the simplification in cells of the map (Visvalingam and Whyatt 1993: the root of
            the area that a vertex may cut off); 0 keeps the cells' corners.
        ok: Whether the label that means "nothing wrong" is drawn too.
    """

    min_area_m2: float = 1.0
    simplify_cells: float = 1.0
    ok: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.min_area_m2 < math.inf and 0 <= self.simplify_cells < math.inf):
            raise ConfigError(
                f"min_area_m2 is {self.min_area_m2} and simplify_cells {self.simplify_cells}; allowed are 0 and above"
            )


def zones(field_map: FieldMap, drawing: Drawing | None = None) -> Any:
    """Draw the zones of a map.

    Neighbouring zones are simplified together (:func:`shapely.coverage_simplify`), so that neither gaps nor overlaps
    arise; all labels take part, also those that are not drawn. Probability and severity are means over the cells of a
    zone before that. The interval of the mean probability takes the cells as correlated, see
    :mod:`verticals.agriculture.mapping.correlation`; it says how well the mean is known if the model's probabilities
    are right, and nothing about whether they are.

    Args:
        field_map: The map.
        drawing: How, None for the defaults.

    Returns:
        GeoDataFrame in the map's CRS with the columns :data:`COLUMNS` and Polygons, exterior rings counter-clockwise;
        zone 1 is the largest. Severity is NaN where the map has none.

    Raises:
        DataError: The rasters cannot be read or do not fit together.
    """
    geopandas, shapely = require("geopandas", extra=_EXTRA), require("shapely", extra=_EXTRA)
    how = drawing or Drawing()
    cells = _read(field_map)
    exact, classes = _polygons(cells, how)
    shapes = _simplified(shapely, exact, how.simplify_cells * math.sqrt(cells.cell_m2))
    spreads = [_spread(cells, label) for label in range(len(field_map.labels))]
    areas = hectares(shapes, field_map.grid.crs) if len(shapes) else np.zeros(0)
    drawn = areas * M2_PER_HECTARE >= how.min_area_m2
    if not how.ok and field_map.ok_label is not None:
        drawn &= classes != field_map.labels.index(field_map.ok_label)
    order = np.argsort(-areas, kind="stable")
    order = order[drawn[order]]
    table = _measured(cells, exact[order], classes[order], spreads)
    return geopandas.GeoDataFrame(
        {
            "zone": np.arange(1, len(order) + 1),
            "label": [field_map.labels[k] for k in classes[order]],
            "area_ha": areas[order],
            **{name: table[:, i] for i, name in enumerate(COLUMNS[3:])},
        },
        geometry=list(shapely.orient_polygons(shapes[order], exterior_cw=False)),
        crs=field_map.grid.crs,
    )


def not_examined(field_map: FieldMap) -> Any:
    """The parts of the field on the map that are NOT EXAMINED: ``area_ha`` and Polygons, largest first.

    What lies beyond the raster is not on the map; ``hectares`` of the map counts it.
    """
    geopandas, features = require("geopandas", extra=_EXTRA), require("rasterio.features", extra=_EXTRA)
    shapely = require("shapely", extra=_EXTRA)
    with cogs.bounded(), require("rasterio", extra=_EXTRA).open(field_map.validity_path) as source:
        (validity,), transform = _coarse(source, "mode")
    found = features.shapes(validity, validity == NOT_EXAMINED, connectivity=4, transform=transform)
    shapes = np.array([shapely.geometry.shape(shape) for shape, _ in found], object)
    areas = hectares(shapes, field_map.grid.crs)
    order = np.argsort(-areas, kind="stable")
    return geopandas.GeoDataFrame({"area_ha": areas[order]}, geometry=list(shapes[order]), crs=field_map.grid.crs)


@dataclass(frozen=True)
class _Cells:
    """A map in memory: ``(rows, columns)`` each, probability per label is read when it is needed."""

    field_map: FieldMap
    classes: NDArray[np.uint8]
    examined: NDArray[np.bool_]
    severity: NDArray[np.float32] | None
    transform: Any

    @property
    def cell_m2(self) -> float:
        return abs(float(self.transform.determinant))

    def probability(self, label: int) -> NDArray[np.float32]:
        with cogs.bounded(), require("rasterio", extra=_EXTRA).open(self.field_map.probability_path) as source:
            (values,), _ = _coarse(source, "average", [label + 1])
        return np.asarray(values, np.float32)


def _coarse(source: Any, resampling: str, bands: list[int] | None = None) -> tuple[NDArray[Any], Any]:
    """Bands of a raster ``(bands, rows, columns)`` in at most :data:`MOST_CELLS` cells, and their transform."""
    shrink = max(1, math.ceil(math.sqrt(source.width * source.height / MOST_CELLS)))
    shape = math.ceil(source.height / shrink), math.ceil(source.width / shrink)
    method = getattr(require("rasterio.enums", extra=_EXTRA).Resampling, resampling)
    indexes = bands or [1]
    values = source.read(indexes, out_shape=(len(indexes), *shape), resampling=method)
    scale = require("affine", extra=_EXTRA).Affine.scale(source.width / shape[1], source.height / shape[0])
    return values, source.transform @ scale


def _read(field_map: FieldMap) -> _Cells:
    rasterio = require("rasterio", extra=_EXTRA)
    try:
        with cogs.bounded(), rasterio.open(field_map.class_path) as source:
            (classes,), transform = _coarse(source, "mode")
        severity = None
        if field_map.severity_path is not None:
            with cogs.bounded(), rasterio.open(field_map.severity_path) as source:
                (severity,), _ = _coarse(source, "average")
        with cogs.bounded(), rasterio.open(field_map.validity_path) as source:
            (validity,), _ = _coarse(source, "mode")
    except rasterio.errors.RasterioIOError as error:
        raise DataError(
            f"{field_map.folder}: a raster of the map cannot be read ({error}); map the field again"
        ) from error
    examined = (validity == EXAMINED) & (classes != NO_CLASS)
    return _Cells(field_map, classes, examined, severity, transform)


def _polygons(cells: _Cells, how: Drawing) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Connected cells of one class after the sieve: shapely Polygons ``(n,)`` and the index of their label."""
    features, shapely = require("rasterio.features", extra=_EXTRA), require("shapely", extra=_EXTRA)
    # GDAL takes no sieve as large as the map.
    least = min(math.ceil(how.min_area_m2 / cells.cell_m2), cells.classes.size - 1)
    classes = cells.classes
    if least > 1 and cells.examined.any():
        classes = features.sieve(classes, least, mask=cells.examined, connectivity=4)
    found = list(features.shapes(classes, cells.examined, connectivity=4, transform=cells.transform))
    shapes = np.array([shapely.geometry.shape(shape) for shape, _ in found], object)
    return shapes, np.array([int(value) for _, value in found], np.int64)


def _simplified(shapely: Any, shapes: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """The same coverage with fewer vertices; unchanged where that would not be a coverage any more."""
    if not len(shapes) or tolerance == 0:
        return shapes
    simple = np.asarray(shapely.coverage_simplify(shapes, tolerance), object)
    polygonal = (shapely.get_type_id(simple) == 3) & ~shapely.is_empty(simple) & shapely.is_valid(simple)
    return simple if polygonal.all() and shapely.coverage_is_valid(simple) else shapes


def _spread(cells: _Cells, label: int) -> Spread | None:
    mine = cells.examined & (cells.classes == label)
    return spread(cells.probability(label), mine) if mine.any() else None


def _measured(
    cells: _Cells, shapes: NDArray[Any], classes: NDArray[np.int64], spreads: list[Spread | None]
) -> NDArray[np.float64]:
    """Mean probability, its interval and the mean severity of each zone, ``(zones, 4)``."""
    features = require("rasterio.features", extra=_EXTRA)
    result = np.full((len(shapes), 4), np.nan)
    if not len(shapes):
        return result
    burnt = features.rasterize(
        zip(shapes, range(1, len(shapes) + 1), strict=True),
        cells.classes.shape,
        transform=cells.transform,
        dtype="int32",
    )
    places = _places(np.where(cells.examined, burnt, 0), len(shapes))
    for label in np.unique(classes):
        values, known = cells.probability(int(label)).ravel(), spreads[label]
        for i in np.nonzero(classes == label)[0]:
            if known is not None and len(places[i]):
                result[i, :3] = mean_interval(values, places[i], cells.classes.shape[1], known)
            if cells.severity is not None and len(places[i]):
                severity = cells.severity.ravel()[places[i]]
                result[i, 3] = np.nanmean(severity) if np.isfinite(severity).any() else np.nan
    return result


def _places(burnt: NDArray[np.int32], zones: int) -> list[NDArray[np.int64]]:
    """Flat indices of the cells of each zone."""
    flat = burnt.ravel()
    cells = np.flatnonzero(flat)
    order = cells[np.argsort(flat[cells], kind="stable")]
    return np.split(order, np.cumsum(np.bincount(flat[cells], minlength=zones + 1)[1:])[:-1])
