"""Field boundaries and a raster in, the fields on its grid and masks of them window by window, out."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, require
from shared.records import Box
from verticals.agriculture.raster.boundaries import Boundaries
from verticals.agriculture.raster.facts import RasterFacts
from verticals.agriculture.raster.georeference import Geotransform


def place(boundaries: Boundaries, raster: RasterFacts) -> Boundaries:
    """Bring boundaries onto a raster's CRS.

    Raises:
        DataError: No field touches the raster; the sentence says how far away they are, or that swapped they would.
    """
    shapely = require("shapely", extra="agriculture")
    fields = boundaries.fields.to_crs(raster.crs)
    extent = shapely.box(*_bounds(raster))
    inside = fields.geometry.intersection(extent).area
    if not inside.gt(0).any():
        raise DataError(f"{boundaries.path}: {_miss(boundaries, raster, fields, extent)}")
    remarks = []
    for name, part, area in zip(fields.field, inside, fields.area, strict=True):
        if part < 0.999 * area:
            told = "misses the raster" if part == 0 else f"is covered by the raster to {part / area:.0%} only"
            remarks.append(f"field {name} {told}; the rest of it is NOT EXAMINED")
    return replace(boundaries, fields=fields, remarks=(*boundaries.remarks, *remarks))


def _bounds(raster: RasterFacts) -> tuple[float, float, float, float]:
    corners = _corners(raster.transform, Box(0, 0, raster.width, raster.height))
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _corners(transform: Geotransform, box: Box) -> list[tuple[float, float]]:
    a, b, c, d, e, f = transform
    pixels = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]


def _miss(boundaries: Boundaries, raster: RasterFacts, fields: Any, extent: Any) -> str:
    """Why no field touches the raster."""
    shapely = require("shapely", extra="agriculture")
    swapped = shapely.transform(boundaries.fields.geometry.to_numpy(), lambda xy: xy[:, ::-1])
    geopandas = require("geopandas", extra="agriculture")
    turned = geopandas.GeoSeries(swapped, crs=boundaries.fields.crs).to_crs(raster.crs)
    if np.isfinite(turned.total_bounds).all() and turned.intersects(extent).any():
        return (
            f"misses the raster {raster.path.name}, and with its coordinates swapped it does not: "
            "latitude and longitude are the wrong way round; export it again"
        )
    here, there = extent.centroid, shapely.union_all(fields.geometry.to_numpy()).centroid
    east, north = there.x - here.x, there.y - here.y
    if not math.isfinite(east + north):
        return f"lies where {raster.crs} does not reach; check that boundary and raster belong together"
    names = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
    direction = names[round(math.atan2(east, north) / math.radians(45)) % 8]
    return (
        f"misses the raster {raster.path.name}: it lies {math.hypot(east, north) / 1000:.3g} km to the {direction}; "
        "check that boundary and raster belong together and that both have their right CRS"
    )


def mask(boundaries: Boundaries, transform: Geotransform, box: Box) -> NDArray[np.uint16]:
    """Which field each pixel of a window belongs to, ``(rows, columns)`` uint16: 0 none, else row of ``fields`` + 1.

    A pixel belongs where its centre lies, so windows side by side make the same mask as one window over both, and no
    pixel counts twice; where fields overlap the later one has it.

    Args:
        boundaries: In the CRS of the grid (:func:`place`).
        transform: Geotransform of the grid.
        box: Window in its pixels.
    """
    rasterio = require("rasterio", extra="agriculture")
    rasterize = require("rasterio.features", extra="agriculture").rasterize
    shapely = require("shapely", extra="agriculture")
    corners = _corners(transform, box)
    a, b, _, d, e, _ = transform
    window = rasterio.Affine(a, b, corners[0][0], d, e, corners[0][1])
    near = boundaries.fields.geometry.intersects(shapely.Polygon(corners))
    shapes = [(shape, i + 1) for i, shape in enumerate(boundaries.fields.geometry) if near.iloc[i]]
    if not shapes:
        return np.zeros((box.height, box.width), np.uint16)
    burned = rasterize(shapes, (box.height, box.width), transform=window, fill=0, dtype="uint16")
    return np.asarray(burned, np.uint16)
