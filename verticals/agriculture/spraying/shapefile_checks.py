"""A Shapefile in, the sentences why a terminal would refuse it out.

Headers are read byte by byte (ESRI Shapefile Technical Description, July 1998; dBASE III for the table): a library that
repairs what it reads would hide what a terminal stumbles over.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import DataError, require
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.spraying.terminal_profiles import Terminal

PARTS = (".shp", ".shx", ".dbf", ".prj")
FILE_CODE, VERSION, POLYGON = 9994, 1000, 5
_TYPES = {0: "Null", 1: "Point", 3: "PolyLine", 5: "Polygon", 8: "MultiPoint", 13: "PolyLineZ", 15: "PolygonZ"}
_HEADER = 100
_LEAST_COVERED = 0.99
_EXTRA = "agriculture"
_WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str


def shapefile_refusals(path: Path, terminal: Terminal, field: Any = None) -> tuple[str, ...]:
    """Why a terminal would refuse a Shapefile, one sentence for each reason.

    Args:
        path: The ``.shp`` file, or a folder that holds exactly one.
        terminal: A profile of format ``shp``.
        field: The field in WGS84, or None.

    Raises:
        DataError: There is no such file.
    """
    file = _the_shapefile(path)
    missing = [ending for ending in PARTS if not file.with_suffix(ending).is_file()]
    if missing:
        return (
            f"{file.stem} lacks {', '.join(missing)}; a Shapefile is {', '.join(PARTS)} together: copy all of them",
        )
    refusals = [*_header(file), *_columns(file, terminal), *_names_and_size(file, terminal)]
    if not refusals:
        refusals += _shapes(file, terminal, field)
    return tuple(refusals)


def _the_shapefile(path: Path) -> Path:
    found = sorted(path.glob("*.shp")) if path.is_dir() else [path] if path.is_file() else []
    if len(found) != 1:
        raise DataError(f"{path}: {len(found)} Shapefiles are there; give one .shp file or a folder with one")
    return found[0]


def _header(file: Path) -> list[str]:
    with file.open("rb") as stream:
        head = stream.read(_HEADER)
    if len(head) < _HEADER:
        return [f"{file.name} has {len(head)} bytes, its header alone takes {_HEADER}; write it again"]
    code, words = struct.unpack(">i20xi", head[:28])
    version, shape = struct.unpack("<2i", head[28:36])
    refusals = []
    if code != FILE_CODE or version != VERSION:
        refusals.append(f"{file.name} is of code {code}, version {version}; a Shapefile is {FILE_CODE}, {VERSION}")
    if shape != POLYGON:
        kind = _TYPES.get(shape, "unknown")
        refusals.append(f"its shapes are of type {shape} ({kind}); the terminal reads type {POLYGON} (Polygon) only")
    if words * 2 != file.stat().st_size:
        refusals.append(f"{file.name} has {file.stat().st_size} bytes, its header says {words * 2}; it was cut off")
    return refusals


def _table(file: Path) -> list[_Column]:
    """Columns of the dBASE table: descriptors of 32 bytes from byte 32, ended by 0x0D."""
    data = file.with_suffix(".dbf").read_bytes()
    columns = []
    for at in range(32, len(data) - 31, 32):
        if data[at] == 0x0D:
            break
        columns.append(_Column(data[at : at + 11].split(b"\0")[0].decode("ascii", "replace"), chr(data[at + 11])))
    return columns


def _columns(file: Path, terminal: Terminal) -> list[str]:
    found = _table(file)
    wanted = list(terminal.columns)
    said = ", ".join(f"{column.name} ({column.kind})" for column in found) or "none"
    names = [column.name for column in found]
    if terminal.only_these_columns and len(found) != len(wanted):
        return [f"its table has {len(found)} columns: {said}; the terminal takes exactly {', '.join(wanted)}"]
    refusals = []
    if not terminal.only_these_columns and not set(wanted) <= set(names):
        refusals.append(f"its table has the columns {said}; {', '.join(wanted)} must be there")
    numbers = found if terminal.only_these_columns else [column for column in found if column.name in wanted]
    for column in numbers:
        if column.kind != "N":
            refusals.append(
                f"column {column.name} is of type {column.kind!r}; the terminal reads rates of type 'N' only"
            )
    if terminal.only_these_columns and names != wanted:
        refusals.append(f"its columns are {said}; the terminal goes by their order: {', '.join(wanted)}")
    return refusals


def _names_and_size(file: Path, terminal: Terminal) -> list[str]:
    refusals = []
    if terminal.dos_names and not (
        len(file.stem) <= 8 and file.stem.isascii() and file.stem.replace("_", "").isalnum()
    ):
        refusals.append(
            f"it is called {file.stem!r}; the terminal reads names of up to 8 letters and digits: rename it"
        )
    size = sum(file.with_suffix(ending).stat().st_size for ending in PARTS)
    if terminal.max_bytes is not None and size > terminal.max_bytes:
        refusals.append(
            f"its files have {size:,} bytes, the terminal takes {terminal.max_bytes:,}; "
            "plan with wider sections or longer steps"
        )
    return refusals


def _shapes(file: Path, terminal: Terminal, field: Any) -> list[str]:
    geopandas, pyproj = require("geopandas", extra=_EXTRA), require("pyproj", extra=_EXTRA)
    frame = geopandas.read_file(file, engine="pyogrio")
    refusals = []
    if frame.crs is None or not pyproj.CRS(frame.crs).equals(pyproj.CRS(_WGS84), ignore_axis_order=True):
        refusals.append(
            f"its coordinates are {frame.crs and frame.crs.name}; terminals steer by WGS 84 longitude, latitude"
        )
        return refusals
    parts = frame.geometry.explode(index_parts=False)
    if terminal.max_polygons is not None and len(parts) > terminal.max_polygons:
        refusals.append(
            f"it has {len(parts)} polygons, the terminal takes {terminal.max_polygons}; "
            "plan with wider sections, longer steps or a larger buffer"
        )
    rates = frame[terminal.columns[0]]
    if not (rates >= 0).all():
        refusals.append(f"column {terminal.columns[0]} has values below 0 or none; rates are 0 or more")
    area = float(hectares(parts, _WGS84).sum())
    if terminal.max_hectares is not None and area >= terminal.max_hectares:
        refusals.append(
            f"it covers {area:.1f} ha, the terminal takes less than {terminal.max_hectares:.1f}; "
            "plan the field in parts"
        )
    if terminal.covers_field and field is not None:
        share = frame.union_all().intersection(field).area / field.area
        if share < _LEAST_COVERED:
            refusals.append(
                f"it covers {share:.0%} of the field, and elsewhere the terminal applies its normal rate; "
                "write ground that is not sprayed with rate 0"
            )
    return refusals
