"""A drawn field in, the folder that a grower would send out: raster, boundary, weather, and the truth beside them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.errors import require
from verticals.agriculture.drawing.field import SimulatedField

if TYPE_CHECKING:
    from affine import Affine

FIELD, TRUTH, SEVERITY, BOUNDARY, WEATHER, FACTS = (
    "field.tif", "truth.tif", "severity.tif", "boundary.gpkg", "weather.csv", "field.json",
)  # fmt: skip
_GPKG_VERSION = "1.2"
"""Of GeoPackage: read without a warning by GDAL from 3.0 on; the writer's default 1.4 is not."""
COLOURS = (
    (60, 150, 60),
    (150, 110, 80),
    (235, 200, 60),
    (120, 30, 110),
    (220, 110, 40),
    (70, 90, 200),
    (160, 160, 160),
)
"""Of the classes in ``truth.tif``, RGB, in turn."""


def write(drawn: SimulatedField, folder: Path) -> Path:
    """Write ``field.tif``, ``truth.tif``, ``severity.tif``, ``boundary.gpkg``, ``weather.csv`` and ``field.json``.

    The folder takes its name when all of them are there. ``truth.tif`` holds the index into the labels that its tags
    and ``field.json`` name, 255 outside of the field; ``severity.tif`` per cent of leaf area, NaN where no leaf of the
    crop is seen. ``field.tif`` has the georeference with the flight's error, the truth the true one.

    Args:
        drawn: The field.
        folder: Made, or replaced.

    Returns:
        ``folder``.

    Raises:
        MissingDependency: rasterio or geopandas is not installed.
    """
    with atomic.folder(folder) as out:
        labels = {"labels": ",".join(drawn.labels), "synthetic": "true"}
        nan = float("nan")
        bands = np.moveaxis(drawn.bands, -1, 0)
        _raster(out / FIELD, bands, drawn.epsg, drawn.transform, nodata=0, tags={"synthetic": "true"})
        _raster(out / TRUTH, drawn.truth[None], drawn.epsg, drawn.true_transform, nodata=255, tags=labels)
        _raster(out / SEVERITY, drawn.severity[None], drawn.epsg, drawn.true_transform, nodata=nan, tags=labels)
        _boundary(out / BOUNDARY, drawn)
        drawn.weather.to_csv(out / WEATHER, index=False, lineterminator="\n")
        (out / FACTS).write_text(json.dumps(_facts(drawn), indent=2), encoding="utf-8")
    return folder


def _raster(
    path: Path, bands: NDArray[Any], epsg: int, transform: "Affine", *, nodata: float, tags: dict[str, str]
) -> None:
    rasterio = require("rasterio", extra="agriculture")
    count, height, width = bands.shape
    names = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "nir")}.get(count, (path.stem,))
    profile = {
        "driver": "GTiff", "dtype": bands.dtype.name, "count": count, "width": width, "height": height,
        "crs": f"EPSG:{epsg}", "transform": transform, "nodata": nodata, "tiled": True, "blockxsize": 256,
        "blockysize": 256, "compress": "deflate", "zlevel": 1, "predictor": 1 if bands.dtype.kind == "f" else 2,
    }  # fmt: skip
    if count >= 3:
        profile["photometric"] = "RGB"
    with rasterio.open(path, "w", **profile) as target:
        target.write(bands)
        target.update_tags(**tags)
        for i, name in enumerate(names, start=1):
            target.set_band_description(i, name)
        if path.name == TRUTH:
            words = tags["labels"].split(",")
            table = {i: COLOURS[i % len(COLOURS)] for i in range(len(words))}
            target.write_colormap(1, table)


def _boundary(path: Path, drawn: SimulatedField) -> None:
    geopandas = require("geopandas", extra="agriculture")
    table = geopandas.GeoDataFrame(
        {"field": [f"drawn field {drawn.seed}"]}, geometry=[drawn.boundary], crs=f"EPSG:{drawn.epsg}"
    )
    table.to_file(path, driver="GPKG", layer="boundary", engine="pyogrio", VERSION=_GPKG_VERSION)


def _facts(drawn: SimulatedField) -> dict[str, Any]:
    covered = drawn.truth[drawn.valid]
    unit = drawn.setting.gsd_m**2
    return {
        "synthetic": True,
        "note": "drawn, not photographed: numbers measured on it are no accuracy in fields",
        "seed": drawn.seed,
        "setting": asdict(drawn.setting),
        "labels": list(drawn.labels),
        "crs": f"EPSG:{drawn.epsg}",
        "shift_m": list(drawn.shift_m),
        "square_metres": drawn.square_metres(),
        "square_metres_covered": {label: float((covered == i).sum() * unit) for i, label in enumerate(drawn.labels)},
        "mean_severity_pct": float(np.nanmean(drawn.severity)) if drawn.canopy.any() else 0.0,
    }
