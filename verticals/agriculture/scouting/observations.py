"""A table of what somebody saw in the field in, points on the map out; each that cannot be used with its sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shared.errors import DataError, LoupeError, Problem, require
from verticals.agriculture.mapping import cogs
from verticals.agriculture.mapping.field_map import EXAMINED, NOT_EXAMINED, FieldMap, Grid
from verticals.agriculture.taxonomy import terms

_EXTRA = "agriculture"
WGS84 = "EPSG:4326"
_DEGREES, _METRES = ("lon", "lat"), ("easting", "northing")


@dataclass(frozen=True)
class Observation:
    """What is true at one point.

    Attributes:
        where: File and row, for the person.
        x: Easting in metres, CRS of the map.
        y: Northing likewise.
        row: Of the map's cells.
        column: Likewise.
        label: What was seen, one of the map's labels.
        mapped: What the map says there.
        severity: Per cent of leaf area, NaN where nobody said.
        group: What a split must keep together (field), empty where nobody said.
    """

    where: str
    x: float
    y: float
    row: int
    column: int
    label: str
    mapped: str
    severity: float = math.nan
    group: str = ""


@dataclass(frozen=True)
class Observations:
    """All usable points, and the others.

    Attributes:
        points: In the order of the file.
        problems: Those left out, each with its sentence.
    """

    points: tuple[Observation, ...]
    problems: tuple[Problem, ...]


def read(path: Path, field_map: FieldMap, *, crs: str | None = None) -> Observations:
    """Read points and find them on a map.

    A point is left out, with a sentence, where a coordinate or the severity is no number, its label is not one of the
    map's (nor a word of the taxonomy for one), it lies outside the map, in a NOT EXAMINED cell or outside the field, or
    in the same cell as a point before it.

    Args:
        path: CSV with ``lat,lon,label`` (WGS 84) or ``easting,northing,label``, or GeoJSON or another vector file of
            points with ``label``; ``severity`` (0 to 100) and ``field`` may be there too.
        field_map: The map.
        crs: Of ``easting`` and ``northing``; None takes the map's.

    Raises:
        DataError: The file cannot be read, lacks a column, or none of its points can be used.
    """
    table, source = _table(path, field_map.grid.crs, crs)
    if "label" not in table:
        raise DataError(f"{path}: column label is missing, found {', '.join(map(str, table.columns))}; add it")
    table = _placed(table.reset_index(drop=True), source, field_map.grid)
    found = _mapped(field_map, table)
    points: list[Observation] = []
    problems: list[Problem] = []
    taken: dict[tuple[int, int], str] = {}
    for i, record in enumerate(table.to_dict("records")):
        where = f"{path.name} row {i + 1}"
        try:
            point = _point(record, where, field_map, found[i])
            if (point.row, point.column) in taken:
                raise DataError(f"lies in the same cell of the map as {taken[point.row, point.column]}; keep one")
            taken[point.row, point.column] = where
            points.append(point)
        except LoupeError as error:
            problems.append(Problem(where, str(error)))
    if not points:
        first = f"; the first: {problems[0]}" if problems else ""
        raise DataError(f"{path}: none of its {len(table)} points can be used{first}")
    return Observations(tuple(points), tuple(problems))


def _table(path: Path, own: str, crs: str | None) -> tuple[pd.DataFrame, str]:
    """Columns x, y and the rest, and the CRS of x and y."""
    if path.suffix.lower() in (".csv", ".txt"):
        return _csv(path, own, crs)
    geopandas, pyogrio = require("geopandas", extra=_EXTRA), require("pyogrio", extra=_EXTRA)
    try:
        frame = geopandas.read_file(path, engine="pyogrio")
    except (pyogrio.errors.DataSourceError, OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as points ({error}); give CSV (lat,lon,label), GeoJSON or GeoPackage"
        ) from error
    kinds = set(frame.geometry.geom_type)
    if not len(frame) or kinds != {"Point"}:
        raise DataError(f"{path}: holds {', '.join(map(str, kinds)) or 'nothing'}; allowed are points")
    if frame.crs is None:
        raise DataError(f"{path}: has no CRS; export it with one, or as GeoJSON in WGS 84")
    table = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    return table.assign(x=frame.geometry.x.to_numpy(), y=frame.geometry.y.to_numpy()), frame.crs.to_wkt()


def _csv(path: Path, own: str, crs: str | None) -> tuple[pd.DataFrame, str]:
    try:
        table = pd.read_csv(path, dtype="string", encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); give CSV with lat,lon,label") from error
    table.columns = pd.Index([str(name).strip().lower() for name in table.columns])
    names = next((pair for pair in (_DEGREES, _METRES) if set(pair) <= set(table.columns)), None)
    if names is None or table.empty:
        raise DataError(
            f"{path}: has {len(table)} rows of {', '.join(table.columns)}; needed are lat,lon,label (WGS 84) or "
            "easting,northing,label"
        )
    numbers = {name: pd.to_numeric(table[column], errors="coerce").astype(float) for name, column in
               zip("xy", names, strict=True)}  # fmt: skip
    return table.assign(**numbers), WGS84 if names == _DEGREES else crs or own


def _placed(table: pd.DataFrame, source: str, grid: Grid) -> pd.DataFrame:
    """With x and y in the map's CRS, row and column, and whether swapped they would lie on the map."""
    geographic = bool(require("pyproj", extra=_EXTRA).CRS.from_user_input(source).is_geographic)
    x, y, row, column = _cells(table.x, table.y, source, grid)
    # Only degrees are swapped unnoticed: eastings and northings differ by their size.
    swapped = _cells(table.y, table.x, source, grid) if geographic else (x, y, row, column)
    turned = _on(grid, swapped[2], swapped[3]) & ~_on(grid, row, column)
    return table.assign(x=x, y=y, row=row, column=column, turned=turned)


def _cells(first: Any, second: Any, source: str, grid: Grid) -> tuple[Any, Any, Any, Any]:
    pyproj, affine = require("pyproj", extra=_EXTRA), require("affine", extra=_EXTRA)
    change = pyproj.Transformer.from_crs(source, grid.crs, always_xy=True)
    x, y = change.transform(np.asarray(first, float), np.asarray(second, float))
    back, x, y = ~affine.Affine(*grid.transform), np.asarray(x), np.asarray(y)
    column, row = back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f
    return x, y, np.floor(row), np.floor(column)


def _on(grid: Grid, row: Any, column: Any) -> Any:
    return (row >= 0) & (row < grid.height) & (column >= 0) & (column < grid.width)


def _mapped(field_map: FieldMap, table: pd.DataFrame) -> list[tuple[int, int]]:
    """Class and validity of the map under each row of the table; validity -1 beside the map."""
    rasterio = require("rasterio", extra=_EXTRA)
    windows = require("rasterio.windows", extra=_EXTRA)
    found = []
    try:
        with (
            cogs.bounded(),
            rasterio.open(field_map.class_path) as classes,
            rasterio.open(field_map.validity_path) as validity,
        ):
            for row, column, on in zip(
                table.row, table.column, _on(field_map.grid, table.row, table.column), strict=True
            ):
                window = windows.Window(int(column), int(row), 1, 1) if on else None
                both = [int(r.read(1, window=window)[0, 0]) for r in (classes, validity)] if on else [0, -1]
                found.append((both[0], both[1]))
    except rasterio.errors.RasterioIOError as error:
        raise DataError(
            f"{field_map.folder}: a raster of the map cannot be read ({error}); map the field again"
        ) from error
    return found


def _point(record: Any, where: str, field_map: FieldMap, found: tuple[int, int]) -> Observation:
    value, validity = found
    if not math.isfinite(record["x"] + record["y"]):
        raise DataError("its coordinates are no numbers on the ground; write them as 48.1234567, with a point")
    if validity < 0:
        raise DataError(
            "lies on the map only with latitude and longitude swapped; swap the columns"
            if record["turned"]
            else f"lies outside the map (easting {record['x']:.0f}, northing {record['y']:.0f}); check its coordinates"
        )
    if validity != EXAMINED:
        raise DataError(
            "lies in a part of the field that is NOT EXAMINED, so that there is nothing to compare with"
            if validity == NOT_EXAMINED
            else "lies outside the field; check its coordinates"
        )
    return Observation(
        where, float(record["x"]), float(record["y"]), int(record["row"]), int(record["column"]),
        _label(record["label"], field_map.labels), field_map.labels[value], _severity(record.get("severity")),
        "" if pd.isna(record.get("field")) else str(record["field"]),
    )  # fmt: skip


def _label(word: Any, labels: Sequence[str]) -> str:
    """The label of the map that a word means."""
    text = "" if pd.isna(word) else str(word).strip()
    if text in labels:
        return text
    term = terms.find(text) if text else None
    same = [label for label in labels if term is not None and (known := terms.find(label)) and known.code == term.code]
    if not same:
        raise DataError(f"label {text!r} is not one of the map's; allowed are {', '.join(labels)}")
    return same[0]


def _severity(value: Any) -> float:
    if value is None or pd.isna(value) or str(value).strip() == "":
        return math.nan
    number = float(pd.to_numeric(value, errors="coerce"))
    if not 0 <= number <= 100:
        raise DataError(f"severity {value!r} is not allowed; allowed are per cent of leaf area, 0 to 100")
    return number
