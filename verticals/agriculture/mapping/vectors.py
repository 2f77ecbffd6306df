"""Zones in, files for other programs out: GeoPackage, GeoJSON, Shapefile, KML; and the classes as a plain GeoTIFF."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared import atomic
from shared.errors import DataError, require
from verticals.agriculture.mapping import cogs
from verticals.agriculture.mapping.field_map import FieldMap

_EXTRA = "agriculture"
LAYER = "zones"
GPKG_VERSION = "1.3"
"""GDAL below 3.7, and with it QGIS of Debian 12, warns at 1.4, which GDAL writes by itself."""
SHAPEFILE_NAMES = MappingProxyType(
    {"probability": "prob", "probability_low": "prob_low", "probability_high": "prob_high"}
)
"""dBASE cuts names at 10 characters."""
_SHAPEFILE_STEM = re.compile(r"[A-Za-z0-9_]{1,8}")


@dataclass(frozen=True)
class _Format:
    driver: str
    degrees: bool = False
    dataset_options: tuple[tuple[str, str], ...] = ()
    layer_options: tuple[tuple[str, str], ...] = ()


_FORMATS = {
    ".gpkg": _Format("GPKG", dataset_options=(("VERSION", GPKG_VERSION),)),
    # Nine digits are 0.1 mm; RFC 7946 asks for WGS 84 and counter-clockwise rings.
    ".geojson": _Format("GeoJSON", degrees=True, layer_options=(("RFC7946", "YES"), ("COORDINATE_PRECISION", "9"))),
    ".shp": _Format("ESRI Shapefile"),
    ".kml": _Format("KML", degrees=True, dataset_options=(("NameField", "name"),)),
}


def provenance(field_map: FieldMap) -> dict[str, str]:
    """What a map was made of, as text: raster and bundle with their hashes, settings, labels, hectares."""
    card = field_map.card
    raster, bundle = card.get("raster", {}), card.get("bundle", {})
    told = {
        "raster": Path(raster.get("path", "")).name,
        "raster_sha256": raster.get("sha256", ""),
        "bundle": bundle.get("name", ""),
        "bundle_hash": bundle.get("hash", ""),
        "settings": json.dumps(card.get("settings", {})),
        "labels": json.dumps(field_map.labels),
        "hectares": json.dumps(field_map.hectares),
    }
    return {**told, "synthetic": "true"} if raster.get("synthetic") else told


def write(zones: Any, path: Path, about: Mapping[str, str]) -> tuple[Path, ...]:
    """Write zones to one file, whole or not at all; a Shapefile's parts get their names one by one, .shp last.

    GeoPackage carries ``about`` as its metadata; beside the others lies ``<name>.provenance.json``. GeoJSON and KML are
    in WGS 84, as their standards ask, the others in the zones' CRS.

    Args:
        zones: From :func:`verticals.agriculture.mapping.zones.zones`.
        path: Ending in ``.gpkg``, ``.geojson``, ``.shp`` or ``.kml``; a Shapefile has at most eight letters, digits and
            underscores before it, as older terminals ask.
        about: From :func:`provenance`.

    Returns:
        All files written.

    Raises:
        DataError: Another ending, or a name that is too long for a Shapefile.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: {path.suffix or 'no ending'} is not written; allowed are {', '.join(_FORMATS)}")
    if kind.driver == "ESRI Shapefile" and not _SHAPEFILE_STEM.fullmatch(path.stem):
        raise DataError(f"{path}: older terminals refuse this name; allowed are 1 to 8 letters, digits, _: zones.shp")
    table = _table(zones, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.folder(path.parent / f".{path.name}.parts") as parts:
        require("pyogrio", extra=_EXTRA).write_dataframe(
            table,
            parts / path.name,
            layer=path.stem if kind.driver == "ESRI Shapefile" else LAYER,
            driver=kind.driver,
            geometry_type="MultiPolygon" if kind.driver == "GPKG" else None if len(table) else "Polygon",
            promote_to_multi=kind.driver == "GPKG",
            layer_metadata=dict(about) if kind.driver == "GPKG" else None,
            dataset_options=dict(kind.dataset_options),
            layer_options=dict(kind.layer_options),
            **({"encoding": "UTF-8"} if kind.driver == "ESRI Shapefile" else {}),
        )
        if kind.driver != "GPKG":
            beside = parts / f"{path.name}.provenance.json"
            beside.write_text(json.dumps(dict(about), indent=2) + "\n", encoding="utf-8")
    return _moved(path.parent / f".{path.name}.parts", path)


def class_raster(field_map: FieldMap, path: Path) -> Path:
    """Write the classes as one plain GeoTIFF with colours, provenance in its tags and the labels beside it.

    Plain: tiles without overviews, readable by any program; the COG itself is ``class.tif`` of the map.

    Args:
        field_map: The map.
        path: Ending in ``.tif``.

    Raises:
        DataError: Another ending.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise DataError(f"{path}: {path.suffix or 'no ending'} is not written; allowed is .tif")
    rasterio = require("rasterio", extra=_EXTRA)
    path.parent.mkdir(parents=True, exist_ok=True)
    with cogs.bounded(), atomic.file(path) as temporary:
        require("rasterio.shutil", extra=_EXTRA).copy(
            field_map.class_path, temporary, driver="GTiff", compress="deflate", tiled="YES", bigtiff="if_safer"
        )
        with rasterio.open(temporary, "r+") as target:
            target.update_tags(**provenance(field_map))
        temporary.with_name(f"{temporary.name}.aux.xml").unlink(missing_ok=True)
    names = field_map.class_path.with_name(f"{field_map.class_path.name}.aux.xml")
    if names.is_file():
        atomic.write(path.with_name(f"{path.name}.aux.xml"), names.read_bytes())
    return path


def _table(zones: Any, kind: _Format) -> Any:
    table = zones.to_crs(4326) if kind.degrees else zones.copy()
    if kind.driver == "KML":
        table.insert(0, "name", [f"{zone}: {label}" for zone, label in zip(zones.zone, zones.label, strict=True)])
    return table.rename(columns=dict(SHAPEFILE_NAMES)) if kind.driver == "ESRI Shapefile" else table


def _moved(parts: Path, path: Path) -> tuple[Path, ...]:
    """Give each part its name beside ``path``, which comes last."""
    names = sorted((part.name for part in parts.iterdir()), key=lambda name: (name == path.name, name))
    for name in names:
        (parts / name).replace(path.with_name(name))
    shutil.rmtree(parts, ignore_errors=True)
    return tuple(path.with_name(name) for name in names)
