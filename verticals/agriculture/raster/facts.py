"""What is known about an orthomosaic before its pixels are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verticals.agriculture.raster.bands import Band
from verticals.agriculture.raster.georeference import Geotransform


@dataclass(frozen=True)
class RasterFacts:
    """An orthomosaic and the grid it is worked on.

    Attributes:
        path: The file.
        width: Pixels across, of the grid worked on.
        height: Pixels down, likewise.
        bands: Its bands.
        rgb: Indices (from 1) of red, green and blue, None where they are not known.
        crs: Projected CRS in metres of the grid worked on: authority code, else WKT.
        transform: Geotransform of that grid, north up: ``(a, b, c, d, e, f)`` with b and d 0 or next to it.
        gsd_m: Mean side of a pixel on the ground in metres, geodesic, at the centre.
        source_crs: Horizontal CRS of the file, or what the user gave for it.
        warped: Whether pixels are resampled from the file's own grid, bilinearly.
        mask: What tells where nothing was flown: ``alpha``, ``mask band``, ``nodata`` or ``none``.
        nodata: Value given by the user for "nothing here", None where the file's own mask is used.
        limits: Values that become 0 and 255 in the picture, None where it is 8 bit as stored.
        remarks: What was decided or looks odd, one sentence each.
        given: What a person said in place of the file, see :class:`verticals.agriculture.raster.given.Given`.
    """

    path: Path
    width: int
    height: int
    bands: tuple[Band, ...]
    rgb: tuple[int, int, int] | None
    crs: str
    transform: Geotransform
    gsd_m: float
    source_crs: str
    warped: bool
    mask: str
    nodata: float | None
    limits: tuple[float, float] | None
    remarks: tuple[str, ...]
    given: Mapping[str, Any] = field(default_factory=dict)
