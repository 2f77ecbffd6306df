"""A file of field boundaries in, valid polygons with the names of the fields out."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import DataError, require

NAME_COLUMNS = ("field", "field_name", "fieldname", "name", "parcel", "label", "id")
"""Columns that name a field, in any case; the first that is there is taken."""


@dataclass(frozen=True)
class Boundaries:
    """Fields.

    Attributes:
        path: The file.
        fields: GeoDataFrame with the columns ``field`` (text, unique) and geometry (Polygon or MultiPolygon, valid,
            outer rings counter-clockwise).
        remarks: What was repaired or left out, one sentence each.
    """

    path: Path
    fields: Any
    remarks: tuple[str, ...]


def read(path: Path, *, crs: str | None = None, layer: str | None = None) -> Boundaries:
    """Read field boundaries: GeoPackage, GeoJSON, Shapefile, KML, FlatGeobuf and what else GDAL reads.

    Polygons are kept with their holes, closed lines become polygons, rings that cross themselves are repaired; points
    and open lines are left out. All of that is said.

    Args:
        path: The file.
        crs: CRS in place of the file's (``--boundary-crs``).
        layer: Layer of the file; None takes the only one that has polygons, of KML all.

    Raises:
        DataError: It cannot be read, has no CRS, no polygon, several layers, or lies off the world.
    """
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        frame = features(path, crs=crs, layer=layer)
    remarks = [f"while reading it GDAL says: {text}" for text in sorted({str(c.message) for c in complaints})]
    shapes = [_polygons(shape) for shape in frame.geometry]
    left_out = sum(shape is None for shape in shapes)
    if left_out:
        remarks.append(f"{left_out} of {len(shapes)} features are no areas (points, open lines, nothing): left out")
    kept = [i for i, shape in enumerate(shapes) if shape is not None]
    if not kept:
        raise DataError(f"{path}: has no polygon; give the outline of the field as one")
    names = _names(frame, kept, path)
    whole = [_repaired(shapes[i], name, remarks) for i, name in zip(kept, names, strict=True)]
    geopandas = require("geopandas", extra="agriculture")
    fields = geopandas.GeoDataFrame({"field": names}, geometry=whole, crs=frame.crs)
    fields = fields[~fields.is_empty].reset_index(drop=True)
    if fields.empty:
        raise DataError(f"{path}: none of its polygons encloses anything; draw the outline again")
    _on_the_world(path, fields)
    return Boundaries(path, fields, (*remarks, *_overlaps(fields)))


def features(path: Path, *, crs: str | None = None, layer: str | None = None) -> Any:
    """All features of a vector file as a GeoDataFrame, in its CRS.

    Args:
        path: The file.
        crs: CRS in place of the file's.
        layer: Layer of the file.

    Raises:
        DataError: It cannot be read or has no CRS.
    """
    frame = _frame(path, layer)
    if crs is not None:
        frame = frame.set_crs(_user_crs(path, crs), allow_override=True)
    if frame.crs is None:
        raise DataError(
            f"{path}: has no coordinate reference system (a Shapefile needs its .prj); "
            "name it with --boundary-crs, e.g. --boundary-crs EPSG:4326"
        )
    return frame


def _user_crs(path: Path, crs: str) -> Any:
    pyproj = require("pyproj", extra="agriculture")
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise DataError(f"{path}: the CRS {crs!r} given cannot be understood; write it as EPSG:4326") from error


def _frame(path: Path, layer: str | None) -> Any:
    """The features, in the file's CRS."""
    pyogrio = require("pyogrio", extra="agriculture")
    geopandas = require("geopandas", extra="agriculture")
    if not path.exists():
        raise DataError(f"{path}: does not exist; give a file of field boundaries")
    try:
        layers = {str(name): str(kind) for name, kind in pyogrio.list_layers(path)}
        if layer is not None and layer not in layers:
            raise DataError(f"{path}: has no layer {layer!r}; it has {', '.join(layers)}")
        areas = [name for name, kind in layers.items() if not kind.endswith(("Point", "Point Z", "None"))]
        chosen = [layer] if layer else areas or list(layers)
        if len(chosen) > 1:
            # GPX has all its layers always.
            chosen = [name for name in chosen if pyogrio.read_info(path, layer=name)["features"]] or chosen
        if len(chosen) > 1 and path.suffix.lower() not in (".kml", ".kmz"):
            raise DataError(f"{path}: has the layers {', '.join(chosen)}; save the right one to a file of its own")
        frames = [pyogrio.read_dataframe(path, layer=name, force_2d=True) for name in chosen]
    except pyogrio.errors.DataSourceError as error:
        raise DataError(
            f"{path}: cannot be read as a file of vectors ({error}); allowed are GeoPackage, GeoJSON, Shapefile, KML "
            "and FlatGeobuf: export it as one of them"
        ) from error
    frames = [frame for frame in frames if isinstance(frame, geopandas.GeoDataFrame)]
    if not frames:
        raise DataError(f"{path}: is a table without geometry; give the outline of the field as a polygon")
    if len(frames) == 1:
        return frames[0]
    pandas = require("pandas", extra="agriculture")
    return geopandas.GeoDataFrame(pandas.concat(frames, ignore_index=True), crs=frames[0].crs)


def _polygons(shape: Any) -> Any:
    """The areas of a geometry as Polygon or MultiPolygon, None where it has none; closed lines are areas."""
    shapely = require("shapely", extra="agriculture")
    if shape is None or shape.is_empty:
        return None
    parts = []
    waiting = [shape]
    while waiting:
        part = waiting.pop(0)
        if part.geom_type == "Polygon":
            parts.append(part)
        elif part.geom_type in ("LineString", "LinearRing"):
            if part.is_closed and len(part.coords) > 3:
                parts.append(shapely.Polygon(part.coords))
        elif part.geom_type != "Point":
            waiting += list(part.geoms)
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _names(frame: Any, kept: Sequence[int], path: Path) -> list[str]:
    """A name for each kept feature, each once."""
    columns = {str(column).lower(): column for column in frame.columns if column != frame.geometry.name}
    column = next((columns[name] for name in NAME_COLUMNS if name in columns), None)
    values = [None] * len(frame) if column is None else frame[column].tolist()
    names: list[str] = []
    for number, i in enumerate(kept, 1):
        value = values[i]
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a column of numbers with a gap
        text = "" if value is None or value != value else str(value).strip()
        name = text or (path.stem if len(kept) == 1 else str(number))
        stem, again = name, 2
        while name in names:
            name, again = f"{stem} ({again})", again + 1
        names.append(name)
    return names


def _repaired(shape: Any, name: str, remarks: list[str]) -> Any:
    """A valid shape with oriented rings; a repair is said with what it did to the area."""
    shapely = require("shapely", extra="agriculture")
    if not shape.is_valid:
        why = shapely.is_valid_reason(shape).partition("[")[0].strip().lower()
        mended = _polygons(shapely.make_valid(shape, method="structure")) or shapely.Polygon()
        before = shape.area
        change = f", its area changed by {(mended.area - before) / before:+.1%}" if before else ""
        remarks.append(f"the outline of {name} was not valid ({why}) and was repaired{change}: look at it")
        shape = mended
    return shapely.orient_polygons(shape)


def _on_the_world(path: Path, fields: Any) -> None:
    if not fields.crs.is_geographic:
        return
    west, south, east, north = fields.total_bounds
    if max(abs(west), abs(east)) <= 360 and max(abs(south), abs(north)) <= 90:
        return
    if max(abs(west), abs(east)) <= 90 and max(abs(south), abs(north)) <= 180:
        raise DataError(f"{path}: reaches latitude {north:g}: latitude and longitude are swapped; export it again")
    raise DataError(
        f"{path}: reaches {east:g}, {north:g}, which is off the world in degrees: these are metres or feet; "
        "name the right CRS with --boundary-crs"
    )


def _overlaps(fields: Any) -> tuple[str, ...]:
    """Pairs of fields of which one covers more than a hundredth of the other: hectares would count twice."""
    found = []
    for i, j in fields.sindex.query(fields.geometry, predicate="intersects").T:
        if i < j:
            a, b = fields.geometry.iloc[i], fields.geometry.iloc[j]
            shared = a.intersection(b).area / min(a.area, b.area)
            if shared > 0.01:
                found.append(f"{fields.field.iloc[i]} and {fields.field.iloc[j]} ({shared:.0%} of the smaller)")
    return (f"fields overlap, so ground is counted twice: {'; '.join(found)}",) if found else ()
