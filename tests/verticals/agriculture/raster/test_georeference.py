"""Where a raster lies: kept, brought to metres and said, or refused with the sentence that mends it."""

import math

import numpy as np
import pytest

from shared.errors import DataError
from shared.records import Box
from tests.verticals.agriculture.raster.conftest import Draw, ground
from verticals.agriculture.raster.pixels import READ
from verticals.agriculture.raster.rasters import open_raster

pyproj = pytest.importorskip("pyproj")

FOOT, SURVEY_FOOT = 0.3048, 1200 / 3937
TEXAS, TEXAS_METRES = "EPSG:2277", "EPSG:32139"
"""State plane of central Texas in US survey feet, and in metres."""


def marked() -> np.ndarray:
    """Dark ground with one bright square of 6 px around (70, 40) in a picture 100 px wide and 80 high."""
    pixels = np.full((3, 80, 100), 40, np.uint8)
    pixels[:, 37:43, 67:73] = 250
    return pixels


def to_lonlat(crs: str, x: float, y: float) -> tuple[float, float]:
    return pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)


# Half a millidegree is 0.5 nm here; 1e-6 degrees are 0.11 m.
GROUND = {
    "degrees north": ("EPSG:4326", (1e-6, 0, 17.04, 0, -1e-6, 52.3), "EPSG:32633", "is in degrees"),
    "degrees south": ("EPSG:4326", (1e-6, 0, -51.6, 0, -1e-6, -15.6), "EPSG:32722", "is in degrees"),
    "survey feet": (TEXAS, (0.2, 0, 3_100_000, 0, -0.2, 10_100_000), "EPSG:32614", "US survey foot (0.304800610 m)"),
    "international feet": (
        "EPSG:2223",
        (0.2, 0, 700_000, 0, -0.2, 900_000),
        "EPSG:32612",
        "is in foot (0.304800000 m)",
    ),
    "Web Mercator": ("EPSG:3857", (0.2, 0, 1_900_000, 0, -0.2, 6_850_000), "EPSG:32633", "is 0.612 m on the ground"),
    "rotated": ("EPSG:32633", (0.087, 0.05, 5e5, 0.05, -0.087, 5.8e6), "EPSG:32633", "(turned by 29.9 degrees)"),
    "south up": ("EPSG:32633", (0.1, 0, 5e5, 0, 0.1, 5.8e6), "EPSG:32633", "do not run from west to east, north first"),
}


@pytest.mark.parametrize("case", GROUND)
def test_a_place_keeps_its_place_on_a_metric_grid_and_what_was_done_is_said(draw: Draw, case: str) -> None:
    crs, (a, b, c, d, e, f), target, said = GROUND[case]
    with open_raster(draw(marked(), crs=crs, transform=(a, b, c, d, e, f), photometric="rgb")) as raster:
        facts = raster.facts
        seen = raster.read(Box(0, 0, facts.width, facts.height))
    assert facts.warped and facts.crs == target and said in " ".join(facts.remarks)
    rows, columns = np.nonzero(seen.rgb[..., 0] > 145)
    column, row = columns.mean() + 0.5, rows.mean() + 0.5
    x = facts.transform[0] * column + facts.transform[2]
    y = facts.transform[4] * row + facts.transform[5]
    true = to_lonlat(crs, a * 70 + b * 40 + c, d * 70 + e * 40 + f)
    metres = pyproj.Geod(ellps="WGS84").inv(*to_lonlat(target, x, y), *true)[2]
    assert metres < 0.5 * facts.gsd_m
    # The ground that was flown is as large as the file's own pixels on the ellipsoid.
    corners = [(0, 0), (100, 0), (100, 80), (0, 80)]
    ring = [to_lonlat(crs, a * u + b * v + c, d * u + e * v + f) for u, v in corners]
    true_m2 = abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*zip(*ring, strict=True))[0])
    assert (seen.validity == READ).sum() * facts.gsd_m**2 == pytest.approx(true_m2, rel=0.03)
    assert seen.rgb[seen.validity == READ].min() >= 39


def test_a_north_up_grid_in_metres_is_kept_pixel_for_pixel_with_height_or_without(draw: Draw) -> None:
    for crs in ("EPSG:32633", "EPSG:32633+5773", "EPSG:25833"):
        with open_raster(draw(ground(30, 40), crs=crs)) as raster:
            facts = raster.facts
            assert not facts.warped and facts.crs == crs.partition("+")[0] and not facts.remarks
            assert facts.gsd_m == pytest.approx(0.05, rel=1e-3)
            assert np.array_equal(raster.read(Box(0, 0, 40, 30)).rgb, ground(30, 40).transpose(1, 2, 0))


def test_with_the_crs_given_a_raster_without_one_is_read(draw: Draw) -> None:
    path = draw(ground(30, 40), crs=None)
    with pytest.raises(DataError, match=r"has no coordinate reference system.*--crs EPSG:32633"), open_raster(path):
        pass
    with open_raster(path, crs="EPSG:32633") as raster:
        assert raster.facts.crs == "EPSG:32633" and not raster.facts.warped
    with pytest.raises(DataError, match=r"the CRS 'utm33' given cannot be understood"), open_raster(path, crs="utm33"):
        pass


x, y = 3_100_000.0, 10_100_000.0
WRONG = {
    "a frame": (None, None, "has no geotransform: it is a camera frame"),
    "swapped degrees": ("EPSG:4326", (1e-6, 0, -33.0, 0, -1e-6, 151.0), "latitude and longitude are swapped"),
    "metres as degrees": ("EPSG:4326", (0.05, 0, 638_838, 0, -0.05, 5_802_604), "these are metres or feet"),
    "swapped metres": ("EPSG:32633", (0.05, 0, 5_802_604, 0, -0.05, 438_838), "easting and northing swapped"),
    "feet as metres": (TEXAS_METRES, (0.2, 0, x, 0, -0.2, y), "so feet were taken for metres"),
    "metres as feet": (TEXAS, (0.05, 0, x * FOOT, 0, -0.05, y * FOOT), "so metres were taken for feet"),
    "elsewhere": ("EPSG:32633", (0.05, 0, 5e5, 0, -0.05, -5e6), "degrees outside the area EPSG:32633 is made for"),
    "off the world": ("EPSG:3035", (0.05, 0, 9e9, 0, -0.05, 9e9), "is off the world in EPSG:3035"),
    "coarse": ("EPSG:32633", (500.0, 0, 5e5, 0, -500.0, 5.8e6), "a pixel is 500 m on the ground"),
    "fine": ("EPSG:32633", (5e-5, 0, 5e5, 0, -5e-5, 5.8e6), "a pixel is 5e-05 m on the ground"),
    "at the pole": ("EPSG:4326", (1e-6, 0, 17.0, 0, -1e-6, 88.0), "UTM goes from 80 S to 84 N"),
    "local": ('LOCAL_CS["site grid",UNIT["metre",1]]', (0.05, 0, 100, 0, -0.05, 100), "is local and tied to no place"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_place_is_refused_in_one_sentence_that_says_what_to_do(draw: Draw, case: str) -> None:
    crs, transform, sentence = WRONG[case]
    path = draw(ground(20, 30), crs=crs, transform=transform)
    with pytest.raises(DataError, match=sentence) as refused, open_raster(path):
        pass
    assert (
        str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value) and len(str(refused.value)) < 420
    )


def test_a_raster_beside_its_zone_and_a_coarse_one_are_read_with_a_remark(draw: Draw) -> None:
    east = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(19.5, 52.0)
    with open_raster(draw(ground(20, 30), transform=(3.0, 0, east[0], 0, -3.0, east[1]))) as raster:
        told = " ".join(raster.facts.remarks)
    assert "1.5 degrees outside the area EPSG:32633 is made for: check its CRS" in told
    assert "plants and crop rows cannot be told apart" in told


def test_the_ground_sample_distance_is_geodesic(draw: Draw) -> None:
    # At the edge of a zone a metre of the grid is shorter than on the ground: k = 0.9996 (1 + (dx / R)^2 / 2).
    with open_raster(draw(ground(20, 30), transform=(0.1, 0, 5e5 + 3e5, 0, -0.1, 1e5))) as raster:
        k = 0.9996 * (1 + (3e5 / 6_378_137) ** 2 / 2)
        assert raster.facts.gsd_m == pytest.approx(0.1 / k, rel=2e-5) and math.isfinite(k)
