"""Frames in, the ground each shows and the size of its pixels there, out, on flat ground."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.errors import DataError, require
from verticals.agriculture.raster.frames import Frame, Gimbal

GRAZING_DEG = 10.0
"""Least angle of a ray below the horizon: at 10 degrees a pixel is 33 times as long as at nadir, and hills matter."""


@dataclass(frozen=True)
class Footprint:
    """What a frame shows.

    Attributes:
        corners: Longitude and latitude (WGS 84) of the frame's corners on the ground: top left, top right, bottom
            right, bottom left.
        gsd_m: Side of a pixel on the ground at the principal point in metres, across and along the view.
        height_m: Height above the ground that was used.
    """

    corners: tuple[tuple[float, float], ...]
    gsd_m: tuple[float, float]
    height_m: float


def footprint(frame: Frame, *, ground_m: float | None = None) -> Footprint:
    """The ground a frame shows.

    A pinhole at height h over flat, level ground: the pixel (u, v) looks along d = R (1, (u - cx) / f, (v - cy) / f)
    in north, east, down, with R = Rz(yaw) Ry(pitch) Rx(roll) of the gimbal, and meets the ground h / d_down · d away.
    At the principal point, with a the angle of the view below the horizon, a pixel is h / (f sin a) across and
    h / (f sin² a) along the view; straight down both are h / f. Lens distortion and terrain are left out, and h is the
    height over take-off: on a slope of 10 m it is 10 m wrong, at 50 m that is a fifth of the size.

    Args:
        frame: Needs position, gimbal and focal length.
        ground_m: Elevation of the ground, in the datum of the frame's altitude; None: the ground is as high as the
            place of take-off.

    Raises:
        DataError: Something needed is not known, or a corner looks above :data:`GRAZING_DEG` below the horizon.
    """
    height_m = _height_m(frame, ground_m)
    missing = [
        name
        for name, value in (
            ("position", frame.position),
            ("gimbal angles", frame.gimbal),
            ("focal length", frame.focal_px),
        )
        if value is None
    ]
    if missing:
        raise DataError(
            f"{frame.path}: has no {', '.join(missing)}, so the ground it shows is not known; use the others"
        )
    assert frame.position and frame.gimbal and frame.focal_px
    cx, cy = frame.principal_px
    pixels = [(0, 0), (frame.width, 0), (frame.width, frame.height), (0, frame.height), (cx, cy)]
    rays = np.array([(1.0, (u - cx) / frame.focal_px, (v - cy) / frame.focal_px) for u, v in pixels])
    ned = rays @ rotation(frame.gimbal).T
    below = np.degrees(np.arcsin(ned[:, 2] / np.linalg.norm(ned, axis=1)))
    if below.min() < GRAZING_DEG:
        least = below.min()
        view = "sees the horizon" if least <= 0 else f"looks to {least:.0f} degrees below the horizon"
        raise DataError(
            f"{frame.path}: {view} (gimbal pitch {frame.gimbal.pitch:g}), where the ground it shows has no end; "
            f"needed are {GRAZING_DEG:g} degrees at every corner: point the camera down"
        )
    metres = ned[:4, :2] * (height_m / ned[:4, 2:])  # (4, north and east)
    sine = math.sin(math.radians(below[4]))
    across = height_m / (frame.focal_px * sine)
    return Footprint(_moved(frame.position, metres), (across, across / sine), height_m)


def nadir_gsd_m(frame: Frame, *, ground_m: float | None = None) -> float:
    """Side of a pixel on the ground straight below in metres, h / f: what a frame without gimbal angles still tells.

    Raises:
        DataError: Height or focal length is not known.
    """
    height_m = _height_m(frame, ground_m)
    if frame.focal_px is None:
        raise DataError(f"{frame.path}: has no focal length, so its pixels have no size on the ground; use the others")
    return height_m / frame.focal_px


def rotation(gimbal: Gimbal) -> Any:
    """Rz(yaw) Ry(pitch) Rx(roll): from (forward, right, down) of the camera to (north, east, down), ``(3, 3)``."""
    yaw, pitch, roll = (math.radians(angle) for angle in (gimbal.yaw, gimbal.pitch, gimbal.roll))
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (yaw, pitch, roll))
    about_down = np.array(((cy, -sy, 0), (sy, cy, 0), (0, 0, 1)))
    about_right = np.array(((cp, 0, sp), (0, 1, 0), (-sp, 0, cp)))
    about_forward = np.array(((1, 0, 0), (0, cr, -sr), (0, sr, cr)))
    return about_down @ about_right @ about_forward


def _height_m(frame: Frame, ground_m: float | None) -> float:
    if ground_m is None:
        height_m, fix = frame.height_m, "give the elevation of the ground"
    else:
        height_m, fix = None if frame.altitude_m is None else frame.altitude_m - ground_m, "check the elevation"
    if height_m is None:
        raise DataError(f"{frame.path}: its height above the ground is not known; {fix}")
    if height_m <= 0:
        raise DataError(f"{frame.path}: its height above the ground would be {height_m:.1f} m; {fix}")
    return height_m


def _moved(position: tuple[float, float], metres: Any) -> tuple[tuple[float, float], ...]:
    """Longitude and latitude of places so many metres north and east of a position, on the ellipsoid."""
    geod = require("pyproj", extra="agriculture").Geod(ellps="WGS84")
    azimuth = np.degrees(np.arctan2(metres[:, 1], metres[:, 0]))
    distance = np.hypot(metres[:, 0], metres[:, 1])
    n = len(metres)
    lon, lat, _ = geod.fwd(np.full(n, position[1]), np.full(n, position[0]), azimuth, distance)
    return tuple((float(x), float(y)) for x, y in zip(lon, lat, strict=True))


def table(frames: Sequence[Frame], *, ground_m: float | None = None) -> tuple[Any, tuple[str, ...]]:
    """Footprints as a GeoDataFrame in EPSG:4326, and a sentence for each frame that has none.

    Columns: ``frame`` (file name), ``capture``, ``band``, ``height_m``, ``gsd_m`` (the greater side), geometry.
    """
    geopandas = require("geopandas", extra="agriculture")
    shapely = require("shapely", extra="agriculture")
    rows, left_out = [], []
    for frame in frames:
        try:
            shown = footprint(frame, ground_m=ground_m)
        except DataError as error:
            left_out.append(str(error))
            continue
        rows.append((frame.path.name, frame.capture, frame.band, shown.height_m, max(shown.gsd_m), shown.corners))
    names = ("frame", "capture", "band", "height_m", "gsd_m")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    outlines = [shapely.orient_polygons(shapely.Polygon(row[5])) for row in rows]
    return geopandas.GeoDataFrame(columns, geometry=outlines, crs="EPSG:4326"), tuple(left_out)
