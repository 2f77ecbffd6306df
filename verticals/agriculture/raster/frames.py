"""Frames of a drone's camera in, where each was taken, how the camera looked and what is doubtful about it, out."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import DataError, LoupeError, Problem
from verticals.agriculture.raster import bands as naming
from verticals.agriculture.raster import metadata
from verticals.agriculture.raster.metadata import Metadata

ENDINGS = (".jpg", ".jpeg", ".tif", ".tiff")
FULL_FRAME_DIAGONAL_MM = math.hypot(36, 24)
"""35 mm equivalents compare diagonals (CIPA DCG-001)."""
RTK_FIXED = 50
"""DJI's RtkFlag (Mavic 3M user manual, "Photo File"): 0 failed, 16 single point, 32 to 49 float, 50 fixed."""
FIELD_OF_VIEW_DEG = (2.0, 150.0)
"""Diagonal fields of view that are believed; a focal length outside is a wrong unit."""


@dataclass(frozen=True)
class Gimbal:
    """How the camera looks, in degrees: yaw from north clockwise, pitch 0 level and -90 straight down.

    As DJI writes it: north, east, down, in the order ZYX (Mavic 3M user manual, "Photo File").
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Rtk:
    """State of the satellite positioning: DJI's flag, and standard deviations in metres (None where not said)."""

    flag: int
    std_lon_m: float | None
    std_lat_m: float | None
    std_height_m: float | None

    @property
    def fixed(self) -> bool:
        """Whether the position is good to centimetres."""
        return self.flag == RTK_FIXED


@dataclass(frozen=True)
class Frame:
    """One exposure of one camera.

    Attributes:
        path: The file.
        width: Pixels across.
        height: Pixels down.
        camera: Make and model.
        taken: Local time as in EXIF, ``YYYY:MM:DD HH:MM:SS``, empty where unknown.
        position: Latitude and longitude in degrees (WGS 84), None where there is none to be believed.
        altitude_m: Above sea level or ellipsoid, as the camera says; None where unknown.
        height_m: Above the place of take-off, None where unknown.
        gimbal: How the camera looks, None where unknown.
        rtk: State of the positioning, None where there is none.
        focal_px: Focal length in pixels, None where unknown.
        principal_px: Principal point (x, y) in pixels from the top left corner.
        capture: Id of the capture that the bands of one exposure share, empty where unknown.
        band: Name of the band, empty for a colour picture.
        wavelength_nm: Central wavelength, None where unknown.
        gain: Sensor gain, None where unknown.
        remarks: What is doubtful, one sentence each.
    """

    path: Path
    width: int
    height: int
    camera: str
    taken: str
    position: tuple[float, float] | None
    altitude_m: float | None
    height_m: float | None
    gimbal: Gimbal | None
    rtk: Rtk | None
    focal_px: float | None
    principal_px: tuple[float, float]
    capture: str
    band: str
    wavelength_nm: float | None
    gain: float | None
    remarks: tuple[str, ...]


def read_frames(source: Path) -> tuple[tuple[Frame, ...], tuple[Problem, ...]]:
    """All frames of a folder (searched deeply) in the order of their paths, and what could not be read.

    Raises:
        DataError: It does not exist or holds no frame.
    """
    if not source.exists():
        raise DataError(f"{source}: does not exist; give a folder of frames (JPEG or TIFF), or one of them")
    files: Iterable[Path] = [source] if source.is_file() else sorted(source.rglob("*"))
    frames, problems = [], []
    for path in files:
        if path.suffix.lower() not in ENDINGS or not path.is_file() or path.name.startswith("."):
            continue
        try:
            frames.append(read_frame(path))
        except LoupeError as error:
            problems.append(Problem(str(path), str(error)))
    if not frames and not problems:
        raise DataError(f"{source}: holds no frames; allowed are {', '.join(ENDINGS)}: give the folder of the card")
    return tuple(frames), tuple(problems)


def read_frame(path: Path) -> Frame:
    """One frame.

    The position comes from DJI's XMP, which has more digits, else from EXIF. As in OpenDroneMap a position of (0, 0)
    and a missing N/S or E/W reference are told; here a (0, 0) is not used either.

    Raises:
        DataError: It is no image that can be read.
    """
    said = metadata.read(path)
    position, doubts = _position(said)
    focal_px, where = _focal_px(said)
    band = _first(said, "drone-dji:BandName", "Camera:BandName")
    wavelength = said.number("drone-dji:CentralWavelength") or said.number("Camera:CentralWavelength")
    rtk = _rtk(said)
    if rtk and not rtk.fixed:
        doubts.append(
            f"its RTK is not fixed (flag {rtk.flag}, fixed is {RTK_FIXED}): good to decimetres or metres only"
        )
    exif = said.exif
    return Frame(
        path=path,
        width=said.width,
        height=said.height,
        camera=" ".join(str(exif.get(tag) or "").strip("\0 ") for tag in ("Make", "Model")).strip(),
        taken=str(exif.get("DateTimeOriginal") or "").strip("\0 "),
        position=position,
        altitude_m=_altitude_m(said),
        height_m=said.number("drone-dji:RelativeAltitude"),
        gimbal=_gimbal(said),
        rtk=rtk,
        focal_px=focal_px,
        principal_px=_principal_px(said),
        capture=_first(
            said, "drone-dji:CaptureUUID", "MicaSense:CaptureId", "Camera:CaptureUUID", "Camera:ImageUniqueID"
        ),
        band=naming.spelled(band) or band or (naming.by_wavelength(wavelength) if wavelength else ""),
        wavelength_nm=wavelength,
        gain=said.number("drone-dji:SensorGain"),
        remarks=(*said.remarks, *doubts, *where),
    )


def _first(said: Metadata, *names: str) -> str:
    return next((said.xmp[name] for name in names if said.xmp.get(name)), "")


def _position(said: Metadata) -> tuple[tuple[float, float] | None, list[str]]:
    """Latitude and longitude in degrees, and what is doubtful."""
    doubts: list[str] = []
    lat, lon = said.number("drone-dji:GpsLatitude"), said.number("drone-dji:GpsLongitude")
    if lon is None:
        lon = said.number("drone-dji:GpsLongtitude")  # as older firmware spells it
    if lat is None or lon is None:
        lat, lon = _exif_degrees(said, "Latitude", "N", doubts), _exif_degrees(said, "Longitude", "E", doubts)
    if lat is None or lon is None:
        return None, [*doubts, "has no GPS position"]
    if lat == 0 and lon == 0:
        return None, [*doubts, "has GPS position (0, 0), which no field has: the position is not used"]
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        return None, [*doubts, f"has GPS position ({lat:g}, {lon:g}), which is off the world: the position is not used"]
    return (lat, lon), doubts


def _exif_degrees(said: Metadata, name: str, positive: str, doubts: list[str]) -> float | None:
    """A GPS coordinate in degrees, None where there is none."""
    parts = said.gps.get(f"GPS{name}")
    if parts is None:
        return None
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError):
        doubts.append(f"its GPS{name} cannot be understood ({parts})")
        return None
    value = degrees + minutes / 60 + seconds / 3600
    reference = str(said.gps.get(f"GPS{name}Ref") or "").strip("\0 ").upper()
    if not reference:
        doubts.append(
            f"its GPS{name}Ref is missing, {positive} is assumed: the position may be on the wrong hemisphere"
        )
    if not math.isfinite(value):
        doubts.append(f"its GPS{name} cannot be understood ({parts})")
        return None
    return -value if reference[:1] in ("S", "W") else value


def _altitude_m(said: Metadata) -> float | None:
    absolute = said.number("drone-dji:AbsoluteAltitude")
    if absolute is not None:
        return absolute
    below = said.gps.get("GPSAltitudeRef") in (1, b"\x01")
    value = _number(said.gps.get("GPSAltitude"))
    return None if value is None else -value if below else value


def _number(value: Any) -> float | None:
    """A finite number, None for anything else (EXIF writes unknown rationals as 0/0)."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _gimbal(said: Metadata) -> Gimbal | None:
    yaw, pitch, roll = (said.number(f"drone-dji:Gimbal{name}Degree") for name in ("Yaw", "Pitch", "Roll"))
    return None if yaw is None or pitch is None else Gimbal(yaw, pitch, roll or 0.0)


def _rtk(said: Metadata) -> Rtk | None:
    flag = said.number("drone-dji:RtkFlag")
    if flag is None:
        return None
    lon, lat, height = (said.number(f"drone-dji:RtkStd{name}") for name in ("Lon", "Lat", "Hgt"))
    return Rtk(int(flag), lon, lat, height)


def _dewarp(said: Metadata) -> tuple[float, float, float] | None:
    """Focal length and principal point in pixels of DJI's own calibration, None where there is none.

    ``date;fx,fy,cx,cy,...`` with cx and cy from the middle of the frame (Mavic 3M user manual, "Photo File").
    """
    values = said.xmp.get("drone-dji:DewarpData", "").rpartition(";")[2].split(",")
    try:
        fx, fy, cx, cy = (float(value) for value in values[:4])
    except ValueError:
        return None
    return (fx + fy) / 2, said.width / 2 + cx, said.height / 2 + cy


def _principal_px(said: Metadata) -> tuple[float, float]:
    """The calibrated optical centre, else the designed one, else the middle of the frame."""
    per_mm, pair_mm = _pixels_per_mm(said), said.xmp.get("Camera:PrincipalPoint", "").split(",")
    calibrated = _dewarp(said)
    x, y = (said.number(f"drone-dji:CalibratedOpticalCenter{axis}") for axis in "XY")
    if calibrated:
        _, x, y = calibrated
    elif per_mm and len(pair_mm) == 2:
        x, y = (per_mm * (_number(value) or 0) for value in pair_mm)
    inside = x is not None and y is not None and 0 < x < said.width and 0 < y < said.height
    return (x, y) if inside and x and y else (said.width / 2, said.height / 2)


def _focal_px(said: Metadata) -> tuple[float | None, list[str]]:
    """Focal length in pixels, from the best source there is: calibrated, designed, pixel pitch, 35 mm equivalent."""
    diagonal_px = math.hypot(said.width, said.height)
    for name, value in _focal_candidates(said, diagonal_px):
        if value:
            view = 2 * math.degrees(math.atan(diagonal_px / 2 / value))
            if FIELD_OF_VIEW_DEG[0] <= view <= FIELD_OF_VIEW_DEG[1]:
                return value, []
            return None, [f"its {name} of {value:.4g} px would see {view:.3g} degrees, which no drone's camera does"]
    return None, ["has no focal length: its pixels have no size on the ground"]


def _focal_candidates(said: Metadata, diagonal_px: float) -> Iterable[tuple[str, float | None]]:
    calibrated = _dewarp(said)
    yield "DewarpData", calibrated[0] if calibrated else None
    yield "CalibratedFocalLength", said.number("drone-dji:CalibratedFocalLength")
    per_mm = _pixels_per_mm(said)
    perspective = said.number("Camera:PerspectiveFocalLength")
    if perspective:
        # Older firmware writes pixels without saying so; no lens of a drone has 200 mm or 200 px.
        unit = said.xmp.get("Camera:PerspectiveFocalLengthUnits", "mm" if perspective < 200 else "pixel")
        yield "PerspectiveFocalLength", perspective * per_mm if unit == "mm" and per_mm else None
        yield "PerspectiveFocalLength", perspective if unit != "mm" else None
    length_mm = _number(said.exif.get("FocalLength"))
    yield "FocalLength", length_mm * per_mm if length_mm and per_mm else None
    equivalent_mm = _number(said.exif.get("FocalLengthIn35mmFilm"))
    yield "FocalLengthIn35mmFilm", equivalent_mm * diagonal_px / FULL_FRAME_DIAGONAL_MM if equivalent_mm else None


def _pixels_per_mm(said: Metadata) -> float | None:
    """From EXIF's focal plane resolution, None where unknown."""
    resolution = _number(said.exif.get("FocalPlaneXResolution"))
    unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}.get(said.exif.get("FocalPlaneResolutionUnit", 2))
    return resolution / unit_mm if resolution and unit_mm else None
