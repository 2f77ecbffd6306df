"""A raster's coordinate system and geotransform in, the metric grid to work on and what is to be told about it, out."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import DataError, require

Geotransform = tuple[float, float, float, float, float, float]
"""``(a, b, c, d, e, f)`` with x = a column + b row + c and y = d column + e row + f, as in rasterio's ``Affine``."""

COARSE_M, FINE_M = 1.0, 0.001
"""Ground sample distances beyond which a remark is made: rows of a crop need at least two pixels (0.4 to 0.75 m)."""
COARSEST_M, FINEST_M = 100.0, 0.0001
"""Beyond these a raster is refused: a field of 4 ha has four pixels of 100 m; no drone resolves 0.1 mm."""
DISTORTION = 0.01
"""Largest departure of a projected metre from a metre on the ground; a buffer of 1 m is then true to 1 cm."""
ASIDE_DEG, ASTRAY_DEG = 1.0, 6.0
"""Distances from a CRS's area of use: from the first it is told, from the second (a UTM zone) it is refused."""
INTERNATIONAL_FOOT = 0.3048
"""Metres; the US survey foot of 1200/3937 m is 2 millionths longer, which is no matter for a guess."""
_SURE = 70
"""Confidence in per cent; below, what PROJ finds in its registry are other systems of the same kind."""


@dataclass(frozen=True)
class Georeference:
    """What was decided about a raster's place on the ground.

    Attributes:
        source_crs: Horizontal CRS of the file (or as given by the user): authority code, else WKT.
        crs: Projected CRS in metres to work in, likewise.
        warp: Whether pixels must be resampled to get there: other CRS, rotated, or south up.
        gsd_m: Mean side of a pixel on the ground in metres, geodesic, at the centre.
        remarks: Sentences for the person.
    """

    source_crs: str
    crs: str
    warp: bool
    gsd_m: float
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Placed:
    """A raster on its CRS."""

    path: Path
    crs: Any
    transform: Geotransform
    width: int
    height: int

    @property
    def centre(self) -> tuple[float, float]:
        a, b, c, d, e, f = self.transform
        column, row = self.width / 2, self.height / 2
        return a * column + b * row + c, d * column + e * row + f


def settle(
    path: Path, wkt: str | None, transform: Geotransform, size_wh: tuple[int, int], *, given: str | None = None
) -> Georeference:
    """Find out where a raster lies and on which metric grid it is to be worked on.

    Kept as it is: a north-up raster in a projected CRS in metres whose metres are metres on the ground to 1 %. Anything
    else (degrees, feet, Mercator, rotated) is read through a warp onto the UTM zone of its centre (WGS 84), or onto its
    own CRS where it is only rotated. Latitude and longitude swapped with both below 90 cannot be seen here; a boundary
    that misses the raster shows it (:mod:`verticals.agriculture.raster.boundaries`).

    Args:
        path: For the sentences.
        wkt: The file's CRS, None where it has none.
        transform: The file's geotransform.
        size_wh: Pixels across and down.
        given: CRS named by the user, in place of the file's.

    Raises:
        DataError: No CRS or geotransform, a position off the world or far from the CRS's area of use, or an
            implausible pixel size; the sentence says what to do.
    """
    if transform in ((1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0)):
        raise DataError(
            f"{path}: has no geotransform: it is a camera frame, or was exported without its place on the ground; "
            "make an orthomosaic of the frames, or export it with its georeference"
        )
    placed = _Placed(path, _horizontal(path, wkt, given), transform, *size_wh)
    lon, lat = _position(placed)
    remarks = _astray(placed, lon, lat)
    sides_m = _pixel_m(placed)
    side_m = math.sqrt(math.prod(sides_m))
    remarks += _implausible(path, side_m)
    target, why = _target(placed, lon, lat, sides_m)
    if not why and not _north_up(placed):
        turned = math.degrees(math.atan2(transform[3], transform[0]))
        why = f"its rows do not run from west to east, north first (turned by {turned:.1f} degrees)"
    if why:
        remarks += (f"{why}; it is resampled onto {_words(target)} ({target.name}) while it is read",)
    return Georeference(_name(placed.crs), _name(target), bool(why), side_m, remarks)


def _horizontal(path: Path, wkt: str | None, given: str | None) -> Any:
    """The horizontal part of the CRS, as pyproj's."""
    pyproj = require("pyproj", extra="agriculture")
    fix = "name the right one with --crs, e.g. --crs EPSG:32633"
    if not wkt and not given:
        raise DataError(f"{path}: has no coordinate reference system, so neither place nor hectares are known; {fix}")
    try:
        crs = pyproj.CRS.from_user_input(given or wkt)
    except pyproj.exceptions.CRSError as error:
        what = f"the CRS {given!r} given" if given else "its CRS"
        raise DataError(f"{path}: {what} cannot be understood; {fix}") from error
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if crs.is_bound:
        crs = crs.source_crs
    # The WKT in a TIFF says nothing about the area of use, the registry does.
    authority = crs.to_2d().to_authority(min_confidence=_SURE)
    crs = pyproj.CRS.from_authority(*authority) if authority else crs.to_2d()
    if not crs.is_projected and not crs.is_geographic:
        raise DataError(f"{path}: its CRS {crs.name!r} is local and tied to no place on the ground; {fix}")
    return crs


def _position(placed: _Placed) -> tuple[float, float]:
    """Longitude and latitude of the centre in degrees."""
    x, y = placed.centre
    if placed.crs.is_geographic:
        if abs(x) <= 360 and abs(y) <= 90:
            return (x + 180) % 360 - 180, y
        found = f"{placed.path}: its centre is at longitude {x:.6g}, latitude {y:.6g}, which is off the world"
        if abs(y) <= 180 and abs(x) <= 90:
            raise DataError(
                f"{found}; the other way round it is possible: latitude and longitude are swapped, export it again"
            )
        raise DataError(
            f"{found}: these are metres or feet, and {_words(placed.crs)} is in degrees; name the right CRS with --crs"
        )
    lon, lat = lonlat(placed.crs, x, y)
    if math.isfinite(lon) and math.isfinite(lat):
        return lon, lat
    raise DataError(
        f"{placed.path}: its centre {x:.0f}, {y:.0f} is off the world in {_words(placed.crs)}{_guess(placed)}; "
        "name the right CRS with --crs, or export it again"
    )


def lonlat(crs: Any, x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude in degrees of a place in a CRS (anything pyproj takes); not finite where it has none."""
    pyproj = require("pyproj", extra="agriculture")
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return float(lon), float(lat)


def _outside_deg(crs: Any, lon: float, lat: float) -> float:
    """How far a place lies outside the CRS's area of use, in degrees of the greater direction; 0 inside or unknown."""
    area = crs.area_of_use
    if area is None:
        return 0.0
    span = (area.east - area.west) % 360 or 360
    along = (lon - area.west) % 360
    across = 0.0 if along <= span else min(along - span, 360 - along)
    return float(max(across, lat - area.north, area.south - lat, 0))


def _guess(placed: _Placed) -> str:
    """What would bring a stray raster into its CRS's area of use: swapped axes, or feet and metres mistaken."""
    x, y = placed.centre
    if placed.crs.axis_info[0].unit_conversion_factor == 1:
        words, factor = "taken as feet it would lie inside, so feet were taken for metres", INTERNATIONAL_FOOT
    else:
        words, factor = "taken as metres it would lie inside, so metres were taken for feet", 1 / INTERNATIONAL_FOOT
    tries = {
        "with easting and northing swapped it would lie inside": (y, x),
        words: (x * factor, y * factor),
    }
    for words, (east, north) in tries.items():
        lon, lat = lonlat(placed.crs, east, north)
        if placed.crs.area_of_use and math.isfinite(lon) and _outside_deg(placed.crs, lon, lat) == 0:
            return f" ({words})"
    return ""


def _astray(placed: _Placed, lon: float, lat: float) -> tuple[str, ...]:
    """A remark where the raster lies beside its CRS's area of use; refused where it lies far from it."""
    outside = _outside_deg(placed.crs, lon, lat)
    if outside < ASIDE_DEG:
        return ()
    # Nearer to it the guess would only be another place that is possible.
    guess = _guess(placed) if outside >= ASTRAY_DEG else ""
    place = f"lies at {lon:.4f} E, {lat:.4f} N"
    found = f"{place}, {outside:.1f} degrees outside the area {_words(placed.crs)} is made for{guess}"
    if outside >= ASTRAY_DEG:
        raise DataError(f"{placed.path}: {found}; name the right CRS with --crs, or export it again")
    return (f"{found}: check its CRS",)


def _pixel_m(placed: _Placed) -> tuple[float, float]:
    """Geodesic length of one step along a row and down a column at the centre, in metres."""
    geod = require("pyproj", extra="agriculture").Geod(ellps="WGS84")
    a, b, _, d, e, _ = placed.transform
    x, y = placed.centre
    here = lonlat(placed.crs, x, y)
    across = lonlat(placed.crs, x + a, y + d)
    down = lonlat(placed.crs, x + b, y + e)
    return float(geod.inv(*here, *across)[2]), float(geod.inv(*here, *down)[2])


def gsd_m(crs: str, transform: Geotransform, size_wh: tuple[int, int]) -> float:
    """Mean side of a pixel on the ground, geodesic, at the centre of a grid, in metres."""
    crs_of = require("pyproj", extra="agriculture").CRS.from_user_input
    return math.sqrt(math.prod(_pixel_m(_Placed(Path(), crs_of(crs), transform, *size_wh))))


def _implausible(path: Path, side_m: float) -> tuple[str, ...]:
    if not FINEST_M <= side_m <= COARSEST_M:
        raise DataError(
            f"{path}: a pixel is {side_m:.3g} m on the ground; allowed are {FINEST_M:g} to {COARSEST_M:g} m: "
            "if the unit or CRS is wrong name the right one with --crs, else give imagery from a drone"
        )
    if side_m > COARSE_M:
        return (f"a pixel is {side_m:.3g} m on the ground: plants and crop rows cannot be told apart",)
    if side_m < FINE_M:
        return (f"a pixel is {side_m:.3g} m on the ground, finer than drones fly: check the unit of its CRS",)
    return ()


def _target(placed: _Placed, lon: float, lat: float, sides_m: tuple[float, float]) -> tuple[Any, str]:
    """The CRS to work in, and why it is not the file's own (empty where it is)."""
    crs = placed.crs
    if crs.is_geographic:
        return utm(lon, lat, placed.path), f"{_words(crs)} is in degrees"
    unit_m = float(crs.axis_info[0].unit_conversion_factor)
    if unit_m != 1:
        words = f"{_words(crs)} is in {crs.axis_info[0].unit_name} ({unit_m:.9f} m)"
        return utm(lon, lat, placed.path), words
    a, b, _, d, e, _ = placed.transform
    scales = (sides_m[0] / math.hypot(a, d), sides_m[1] / math.hypot(b, e))
    worst = max(scales, key=lambda s: abs(s - 1))
    if abs(worst - 1) > DISTORTION:
        return utm(lon, lat, placed.path), f"a metre of {_words(crs)} is {worst:.3f} m on the ground here"
    return crs, ""


def utm(lon: float, lat: float, path: Path) -> Any:
    """The UTM zone (WGS 84) of a place in degrees, as pyproj's CRS.

    Raises:
        DataError: The place is nearer to a pole than UTM goes (84 N, 80 S).
    """
    pyproj = require("pyproj", extra="agriculture")
    if not -80 <= lat <= 84:
        raise DataError(f"{path}: lies at latitude {lat:.1f}; UTM goes from 80 S to 84 N: project it to metres first")
    zone = int((lon + 180) // 6) % 60 + 1
    return pyproj.CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


def _north_up(placed: _Placed) -> bool:
    """Whether rows run from west to east and columns from north to south, to a hundredth of a pixel over the raster."""
    a, b, _, d, e, _ = placed.transform
    return a > 0 > e and max(abs(d / e) * placed.width, abs(b / a) * placed.height) < 0.01


def _name(crs: Any) -> str:
    """Authority code, else WKT."""
    authority = crs.to_authority(min_confidence=_SURE)
    return ":".join(authority) if authority else str(crs.to_wkt())


def _words(crs: Any) -> str:
    """For a sentence."""
    name = _name(crs)
    return str(crs.name) if len(name) > 40 else name
