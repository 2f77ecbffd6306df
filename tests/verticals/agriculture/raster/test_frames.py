"""What a drone's camera wrote into its frames is read as another reader reads it, and what is doubtful is said."""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.errors import DataError
from verticals.agriculture.raster.frames import Gimbal, read_frame, read_frames

DJI = {
    "AbsoluteAltitude": "+145.23",
    "RelativeAltitude": "+39.80",
    "GpsLatitude": "+52.356123456",
    "GpsLongitude": "-17.038987654",
    "GimbalRollDegree": "+0.00",
    "GimbalYawDegree": "+57.20",
    "GimbalPitchDegree": "-89.90",
    "RtkFlag": "50",
    "RtkStdLon": "0.01100",
    "RtkStdLat": "0.01200",
    "RtkStdHgt": "0.02300",
    "CaptureUUID": "123e4567e89b42d3a456426614174000",
    "BandName": "RedEdge",
    "CentralWavelength": "730",
    "SensorGain": "1.5",
    "CalibratedFocalLength": "300.5",
    "CalibratedOpticalCenterX": "161.5",
    "CalibratedOpticalCenterY": "118.25",
}


def packet(values: dict[str, str]) -> bytes:
    said = " ".join(f'drone-dji:{name}="{value}"' for name, value in values.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="DJI Meta Data" '
        f'xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" {said}/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def photograph(
    path: Path, xmp: bytes = b"", gps: dict[int, Any] | None = None, lens: dict[int, Any] | None = None
) -> Path:
    """A JPEG of 320 × 240 with these blocks; ``gps`` and ``lens`` by the numbers of their tags."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "DJI", "M3M"
    exif.get_ifd(0x8825).update(gps or {})
    exif.get_ifd(0x8769).update({0x9003: "2024:06:01 10:11:12"} | (lens or {}))
    Image.fromarray(np.full((240, 320, 3), 90, np.uint8)).save(path, exif=exif, **({"xmp": xmp} if xmp else {}))
    return path


def by_exiftool(path: Path) -> dict[str, Any]:
    done = subprocess.run(["exiftool", "-json", "-n", "-G1", path], capture_output=True, check=True)
    return json.loads(done.stdout)[0]


NORTH_WEST = {1: "N", 2: (52.0, 21.0, 22.05), 3: "W", 4: (17.0, 2.0, 19.4), 5: b"\x00", 6: 145.0}


def test_a_frame_of_dji_says_what_exiftool_reads_in_it(tmp_path: Path) -> None:
    path = photograph(tmp_path / "DJI_0001.JPG", packet(DJI), NORTH_WEST)
    frame = read_frame(path)
    assert frame.camera == "DJI M3M" and frame.taken == "2024:06:01 10:11:12" and not frame.remarks
    assert (frame.width, frame.height, frame.band, frame.wavelength_nm) == (320, 240, "rededge", 730)
    assert frame.gimbal == Gimbal(57.2, -89.9, 0) and frame.focal_px == 300.5 and frame.principal_px == (161.5, 118.25)
    assert frame.rtk and frame.rtk.fixed and frame.rtk.std_height_m == 0.023
    assert frame.capture == DJI["CaptureUUID"] and frame.gain == 1.5
    if not shutil.which("exiftool"):
        pytest.skip("no exiftool: Debian's libimage-exiftool-perl is not installed")
    told = by_exiftool(path)
    place = tuple(float(told[f"XMP-drone-dji:GPS{name}"]) for name in ("Latitude", "Longitude"))
    assert frame.position == place == (52.356123456, -17.038987654)
    heights = tuple(float(told[f"XMP-drone-dji:{name}Altitude"]) for name in ("Absolute", "Relative"))
    assert (frame.altitude_m, frame.height_m) == heights == (145.23, 39.8)
    plain = read_frame(photograph(tmp_path / "plain.jpg", gps=NORTH_WEST | {5: b"\x01"}))
    told = by_exiftool(tmp_path / "plain.jpg")
    assert plain.position == pytest.approx((told["Composite:GPSLatitude"], told["Composite:GPSLongitude"]), abs=1e-9)
    assert plain.altitude_m == told["Composite:GPSAltitude"] == -145


NULL = {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}
DOUBTS = {
    "null island": (b"", NULL, None, r"has GPS position \(0, 0\)"),
    "null island in XMP": (packet(DJI | {"GpsLatitude": "0.0", "GpsLongitude": "0.0"}), {}, None, r"position \(0, 0\)"),
    "no reference": (
        b"",
        {k: v for k, v in NORTH_WEST.items() if k != 3},
        (52.35613, 17.03872),
        "GPSLongitudeRef is missing",
    ),
    "no position": (b"", {}, None, "has no GPS position"),
    "off the world": (packet(DJI | {"GpsLatitude": "190"}), {}, None, "off the world"),
    "float RTK": (packet(DJI | {"RtkFlag": "34"}), {}, (52.35612, -17.03899), r"RTK is not fixed \(flag 34"),
    "old spelling": (
        packet({("GpsLongtitude" if k == "GpsLongitude" else k): v for k, v in DJI.items()}),
        {},
        (52.35612, -17.03899),
        None,
    ),
    "broken XMP": (packet(DJI)[:-80], NORTH_WEST, (52.35613, -17.03872), "its XMP cannot be understood"),
    "a bomb": (
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        NORTH_WEST,
        (52.35613, -17.03872),
        "its XMP cannot be understood",
    ),
    "wrong unit": (packet(DJI | {"CalibratedFocalLength": "12.3"}), {}, (52.35612, -17.03899), "would see 173 degrees"),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_a_doubtful_frame_is_read_with_its_remark(tmp_path: Path, case: str) -> None:
    xmp, gps, position, sentence = DOUBTS[case]
    frame = read_frame(photograph(tmp_path / "a.jpg", xmp, gps, {0xA405: 24}))
    assert frame.position == (pytest.approx(position, abs=1e-5) if position else None)
    if sentence is None:
        assert not frame.remarks
    else:
        with pytest.raises(AssertionError, match=sentence):
            raise AssertionError(" | ".join(frame.remarks))


@pytest.mark.parametrize(
    ("xmp", "lens", "focal_px"),
    [
        # 24 mm on a diagonal of 43.3 mm; the frame's diagonal is 400 px.
        (b"", {0xA405: 24}, 24 * 400 / np.hypot(36, 24)),
        # 8.8 mm at 2400 px per inch and at 100 px per mm.
        (b"", {0x920A: 8.8, 0xA20E: 2540.0, 0xA210: 2, 0xA405: 24}, 880),
        (b"", {0x920A: 8.8, 0xA20E: 100.0, 0xA210: 4}, 880),
        (
            packet({"DewarpData": "2022-06-08;310.0,312.0,4.0,-3.0,-0.1,0,0,0,0", "CalibratedFocalLength": "300"}),
            {},
            311,
        ),
        (b"", {}, None),
    ],
)
def test_the_focal_length_comes_from_the_best_source_there_is(
    tmp_path: Path, xmp: bytes, lens: dict[int, Any], focal_px: float | None
) -> None:
    frame = read_frame(photograph(tmp_path / "a.jpg", xmp, NORTH_WEST, lens))
    assert frame.focal_px == (pytest.approx(focal_px, rel=1e-6) if focal_px else None)
    assert frame.principal_px == ((164, 117) if b"Dewarp" in xmp else (160, 120))
    assert ("has no focal length" in " ".join(frame.remarks)) == (focal_px is None)


def test_what_is_no_frame_is_a_problem_and_the_rest_is_read(tmp_path: Path) -> None:
    photograph(tmp_path / "DJI_0002.JPG", packet(DJI))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "DJI_0001.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken off")
    (tmp_path / "flight.txt").write_text("notes")
    # An orthomosaic that lies beside them: 30000 pixels across and down, in no bytes at all.
    head = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", 4)
    tags = ((256, 4, 1, 30_000), (257, 4, 1, 30_000), (258, 3, 1, 8), (262, 3, 1, 1))
    (tmp_path / "mosaic.tif").write_bytes(head + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4))
    frames, problems = read_frames(tmp_path)
    assert [frame.path.name for frame in frames] == ["DJI_0002.JPG"]
    assert [Path(problem.where).name for problem in problems] == ["DJI_0001.jpg", "mosaic.tif"]
    assert all("is no JPEG or TIFF that can be read" in problem.what for problem in problems)
    for wrong, sentence in ((tmp_path / "none", "does not exist"), (tmp_path / "flight.txt", "holds no frames")):
        with pytest.raises(DataError, match=sentence):
            read_frames(wrong)


def test_the_bands_of_a_real_micasense_capture_say_where_and_what_they_are(real_data: Path) -> None:
    folder = real_data / "agriculture" / "geotiff" / "micasense_rededge_field"
    if not folder.is_dir():
        pytest.skip("no MicaSense capture beside the checkout")
    frames, problems = read_frames(folder)
    assert not problems and {frame.capture for frame in frames} == {"g2R43Qr5m7EeTFGbkh1W"}
    assert [frame.band for frame in frames] == ["blue", "green", "red", "nir", "rededge"]
    assert all(frame.position == pytest.approx((36.576081, -119.435260), abs=1e-6) for frame in frames)
    # 5.5 mm at 3.75 µm are 1467 px; the calibration of each lens lies within 2 %.
    assert all(frame.focal_px == pytest.approx(1467, rel=0.02) for frame in frames)
    assert frames[3].principal_px == pytest.approx((648.8, 487.2), abs=0.1) and frames[3].height_m is None
