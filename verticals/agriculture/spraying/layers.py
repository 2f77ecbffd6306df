"""A spray plan in, its prescription as polygons out: GeoPackage with provenance, Shapefile that a terminal accepts."""

from pathlib import Path
from typing import Any

import numpy as np

from shared import atomic
from shared.errors import DataError, require
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.spraying import terminals
from verticals.agriculture.spraying.plan import SprayPlan
from verticals.agriculture.spraying.provenance import Provenance
from verticals.agriculture.spraying.terminal_profiles import Terminal

Frame = Any
"""A geopandas GeoDataFrame; geopandas has no types of its own."""
_EXTRA = "agriculture"
_WGS84 = "EPSG:4326"
_GPKG_VERSION = "1.2"
"""Readers of 2022 and older know it; later ones write 1.4, which those only read in part."""


def prescription(plan: SprayPlan) -> Frame:
    """The plan as polygons that cover the whole field.

    Ground that is not sprayed is there with rate 0: terminals apply their normal rate where a map says nothing.

    Returns:
        In the grid's CRS, by falling area: ``zone`` (1..n), ``rate_l_ha``, ``area_ha`` (ellipsoidal), polygons with
        oriented rings.

    Raises:
        DataError: The plan has no cell in the field.
    """
    geopandas, shapely = require("geopandas", extra=_EXTRA), require("shapely", extra=_EXTRA)
    features = require("rasterio.features", extra=_EXTRA)
    grid = plan.grid
    field = grid.any_in_cell(grid.inside)
    shapes, rates = [], []
    for shape, on in features.shapes(plan.cells.astype(np.uint8), mask=field, transform=grid.cell_transform):
        for part in _polygons(shapely.geometry.shape(shape).intersection(grid.outline)):
            shapes.append(part)
            rates.append(plan.rate_l_ha if on else 0.0)
    if not shapes:
        raise DataError("prescription: no cell of the plan lies in the field; lay the grid over this field")
    oriented = shapely.orient_polygons(np.asarray(shapes, object), exterior_cw=False)
    frame = geopandas.GeoDataFrame(
        {"rate_l_ha": rates, "area_ha": hectares(oriented, grid.crs)}, geometry=list(oriented), crs=grid.crs
    )
    frame = frame.sort_values("area_ha", ascending=False, ignore_index=True)
    frame.insert(0, "zone", np.arange(1, len(frame) + 1))
    return frame


def not_examined(plan: SprayPlan) -> Frame:
    """Ground of the field that was not looked at, as polygons with ``area_ha``; empty where there is none."""
    geopandas, shapely = require("geopandas", extra=_EXTRA), require("shapely", extra=_EXTRA)
    features = require("rasterio.features", extra=_EXTRA)
    grid = plan.grid
    drawn = features.shapes(plan.unknown.astype(np.uint8), mask=plan.unknown, transform=grid.transform)
    shapes = [
        part for shape, _ in drawn for part in _polygons(shapely.geometry.shape(shape).intersection(grid.outline))
    ]
    return geopandas.GeoDataFrame({"area_ha": hectares(shapes, grid.crs)}, geometry=shapes, crs=grid.crs)


def _polygons(shape: Any) -> list[Any]:
    """Polygons of a geometry; the lines and points that a cut leaves over are no area."""
    parts = getattr(shape, "geoms", [shape])
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


def write_geopackage(plan: SprayPlan, path: Path, provenance: Provenance) -> Path:
    """Write the plan, with provenance and all hectares as metadata of the file.

    Layers: ``prescription``, ``boundary``, and ``not_examined`` where there is such ground.

    Raises:
        DataError: The plan has no cell in the field.
    """
    geopandas = require("geopandas", extra=_EXTRA)
    boundary = geopandas.GeoDataFrame({"field": [1]}, geometry=[plan.grid.outline], crs=plan.grid.crs)
    unknown = not_examined(plan)
    with atomic.file(path) as temporary:
        temporary.unlink()
        prescription(plan).to_file(
            temporary,
            layer="prescription",
            driver="GPKG",
            engine="pyogrio",
            VERSION=_GPKG_VERSION,
            dataset_metadata=_metadata(plan, provenance),
        )
        boundary.to_file(temporary, layer="boundary", driver="GPKG", engine="pyogrio")
        if len(unknown):
            unknown.to_file(temporary, layer="not_examined", driver="GPKG", engine="pyogrio")
    return path


def _metadata(plan: SprayPlan, provenance: Provenance) -> dict[str, str]:
    figures = {f"loupe_{key}_ha": f"{value:.4f}" for key, value in plan.hectares.items()}
    litres = {"loupe_litres": f"{plan.litres:.1f}", "loupe_broadcast_litres": f"{plan.broadcast_litres:.1f}"}
    policy = {"loupe_unexamined": plan.unexamined, "loupe_machine": plan.grid.machine.name}
    return {**figures, **litres, **policy, **provenance.metadata()}


def write_shapefile(plan: SprayPlan, folder: Path, terminal: Terminal, *, stem: str = "RX") -> Path:
    """Write a folder with one Shapefile as a terminal wants it, or nothing.

    Args:
        plan: The plan.
        folder: It is replaced.
        terminal: Profile for Shapefiles; its columns are written, the rate in the first, 0 in those of other products.
        stem: Name of the files without their ending.

    Raises:
        DataError: The terminal would refuse the file, with all its reasons; or ``stem`` is no name.
    """
    if terminal.format != "shp":
        raise DataError(f"{folder}: {terminal.name} takes {terminal.format}, not a Shapefile; write that instead")
    if not stem or Path(stem).name != stem:
        raise DataError(f"{folder}: {stem!r} is no name for a file; allowed is a plain name without folders")
    zones = prescription(plan).to_crs(_WGS84)
    columns = {terminal.columns[0]: zones["rate_l_ha"].to_numpy()}
    columns |= {name: np.zeros(len(zones)) for name in terminal.columns[1:]}
    frame = require("geopandas", extra=_EXTRA).GeoDataFrame(columns, geometry=zones.geometry, crs=_WGS84)
    with atomic.folder(folder) as temporary:
        frame.to_file(temporary / f"{stem}.shp", driver="ESRI Shapefile", engine="pyogrio")
        refusals = terminals.check(temporary, terminal, field=_in_degrees(plan))
        if refusals:
            raise DataError(f"{folder}: {terminal.name} would refuse it: {'; '.join(refusals)}")
    return folder


def _in_degrees(plan: SprayPlan) -> Any:
    outline = require("geopandas", extra=_EXTRA).GeoSeries([plan.grid.outline], crs=plan.grid.crs)
    return outline.to_crs(_WGS84).iloc[0]
