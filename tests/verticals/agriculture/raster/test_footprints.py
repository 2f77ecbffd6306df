"""The ground a frame shows is where its rays meet the ground."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from shared.errors import DataError
from verticals.agriculture.raster.footprints import footprint, nadir_gsd_m, table
from verticals.agriculture.raster.frames import Frame, Gimbal

pyproj = pytest.importorskip("pyproj")
GEOD = pyproj.Geod(ellps="WGS84")

DOWN = Frame(
    path=Path("DJI_0001.JPG"),
    width=4000,
    height=3000,
    camera="DJI",
    taken="",
    position=(52.0, 17.0),
    altitude_m=140.0,
    height_m=40.0,
    gimbal=Gimbal(0, -90, 0),
    rtk=None,
    focal_px=2800.0,
    principal_px=(2000.0, 1500.0),
    capture="",
    band="",
    wavelength_nm=None,
    gain=None,
    remarks=(),
)


def on_the_ground(frame: Frame, **how: float) -> np.ndarray:
    """(east, north) of the corners from the drone in metres, by the geodesic."""
    assert frame.position
    corners = footprint(frame, **how).corners
    azimuth, _, metres = GEOD.inv([frame.position[1]] * 4, [frame.position[0]] * 4, *zip(*corners, strict=True))
    return np.stack([metres * np.sin(np.radians(azimuth)), metres * np.cos(np.radians(azimuth))], axis=1)


def test_straight_down_the_ground_is_the_frame_times_height_over_focal_length() -> None:
    half = np.array((2000, 1500)) * 40 / 2800
    assert on_the_ground(DOWN) == pytest.approx(half * ((-1, 1), (1, 1), (1, -1), (-1, -1)), abs=1e-6)
    assert footprint(DOWN).gsd_m == pytest.approx((40 / 2800,) * 2) and nadir_gsd_m(DOWN) == 40 / 2800
    # Turned to the east the top of the picture is in the east; 30 m over a hill of 10 m everything is 3/4 as large.
    east = replace(DOWN, gimbal=Gimbal(90, -90, 0))
    assert on_the_ground(east, ground_m=110) == pytest.approx(
        0.75 * np.array(((1, 1), (1, -1), (-1, -1), (-1, 1))) * half[::-1], abs=1e-6
    )


@settings(max_examples=50, deadline=None)
@given(st.floats(-180, 180), st.floats(-90, -50), st.floats(-10, 10), st.floats(10, 300))
def test_the_corners_seen_from_the_drone_are_the_corners_of_the_frame(
    yaw: float, pitch: float, roll: float, h: float
) -> None:
    frame = replace(DOWN, gimbal=Gimbal(yaw, pitch, roll), height_m=h, principal_px=(2010.0, 1480.0))
    east_north = on_the_ground(frame)
    to_ground = np.column_stack([east_north[:, 1], east_north[:, 0], np.full(4, h)])
    seen = Rotation.from_euler("ZYX", (yaw, pitch, roll), degrees=True).inv().apply(to_ground)
    pixels = 2800 * seen[:, 1:] / seen[:, :1] + (2010, 1480)
    assert pixels == pytest.approx(np.array(((0, 0), (4000, 0), (4000, 3000), (0, 3000))), abs=0.05)


def test_the_ground_sample_distance_of_an_oblique_view_is_the_step_of_one_pixel() -> None:
    oblique = replace(DOWN, gimbal=Gimbal(30, -60, 0))
    one = replace(oblique, width=1, height=1, principal_px=(0.5, 0.5))
    (left_top, right_top, _, left_bottom) = on_the_ground(one)
    across, along = footprint(oblique).gsd_m
    assert np.linalg.norm(right_top - left_top) == pytest.approx(across, rel=2e-3)
    assert np.linalg.norm(left_bottom - left_top) == pytest.approx(along, rel=2e-3)
    assert along / across == pytest.approx(1 / np.sin(np.radians(60)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gimbal": Gimbal(0, -20, 0)}, r"sees the horizon \(gimbal pitch -20\)"),
        ({"gimbal": None, "focal_px": None}, "has no gimbal angles, focal length"),
        ({"height_m": None}, "its height above the ground is not known; give the elevation"),
        ({"height_m": -2.0}, r"its height above the ground would be -2.0 m"),
    ],
)
def test_without_a_footprint_a_frame_is_told_and_the_others_are_in_the_table(change: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        footprint(replace(DOWN, **change))
    found, left_out = table([DOWN, replace(DOWN, **change)])
    assert len(found) == len(left_out) == 1 and found.crs == "EPSG:4326"
    area_m2, _ = GEOD.geometry_area_perimeter(found.geometry[0])
    assert area_m2 == pytest.approx(4000 * 3000 * (40 / 2800) ** 2, rel=1e-5)
