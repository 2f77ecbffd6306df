"""A field on a raster's grid: its pixels count once, window by window, and one that misses is told where it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.errors import DataError
from shared.records import Box
from tests.verticals.agriculture.raster.conftest import Draw, ground
from verticals.agriculture.raster.boundaries import Boundaries
from verticals.agriculture.raster.buffers import buffered, headland
from verticals.agriculture.raster.facts import RasterFacts
from verticals.agriculture.raster.placing import mask, place
from verticals.agriculture.raster.rasters import open_raster

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")


@pytest.fixture
def facts(draw: Draw) -> RasterFacts:
    """120 m by 100 m at 50 cm, its north-west corner at 500000, 5800000 in UTM 33 N."""
    with open_raster(draw(ground(200, 240), transform=(0.5, 0, 5e5, 0, -0.5, 5.8e6))) as raster:
        return raster.facts


def fields(*shapes: object, crs: str = "EPSG:32633") -> Boundaries:
    frame = geopandas.GeoDataFrame({"field": [f"f{i}" for i in range(len(shapes))]}, geometry=list(shapes), crs=crs)
    return Boundaries(Path("fields.gpkg"), frame, ())


def metres(x0: float, y0: float, x1: float, y1: float) -> object:
    """A rectangle, x east and y south of the raster's corner."""
    return shapely.box(5e5 + x0, 5.8e6 - y1, 5e5 + x1, 5.8e6 - y0)


def test_a_mask_holds_the_pixels_whose_centres_lie_inside_in_whatever_windows(facts: RasterFacts) -> None:
    rng = np.random.default_rng(3)
    angles, radii = np.linspace(0, 6.2, 40), rng.uniform(20, 45, 40)
    ring = np.column_stack([60 + radii * np.cos(angles), 50 + radii * np.sin(angles)])
    star = shapely.Polygon([(5e5 + x, 5.8e6 - y) for x, y in ring], [metres(55, 45, 65, 52).exterior.coords])
    placed = place(fields(star, metres(100, 0, 120, 100)), facts)
    whole = mask(placed, facts.transform, Box(0, 0, 240, 200))
    pieces = np.zeros_like(whole)
    for y in range(0, 200, 37):
        for x in range(0, 240, 53):
            box = Box(x, y, min(x + 53, 240), min(y + 37, 200))
            pieces[box.y0 : box.y1, box.x0 : box.x1] = mask(placed, facts.transform, box)
    assert np.array_equal(whole, pieces)
    rows, columns = np.mgrid[:200, :240] + 0.5
    inside = shapely.contains_xy(star, 5e5 + 0.5 * columns, 5.8e6 - 0.5 * rows)
    assert (whole == 1)[:, :200].sum() == inside[:, :200].sum() and np.array_equal(
        (whole == 1)[:, :200], inside[:, :200]
    )
    assert (whole[:, 200:] == 2).all()
    assert not mask(placed, facts.transform, Box(500, 500, 510, 510)).any()


def test_a_boundary_in_degrees_lands_on_the_raster_and_what_it_does_not_cover_is_told(facts: RasterFacts) -> None:
    shapes = geopandas.GeoSeries([metres(-60, 0, 60, 100), metres(10, 10, 20, 20), metres(200, 0, 210, 9)], crs=32633)
    placed = place(fields(*shapes.to_crs(4326), crs="EPSG:4326"), facts)
    assert placed.fields.crs == "EPSG:32633" and placed.fields.area[1] == pytest.approx(100, abs=0.01)
    assert placed.remarks == (
        "field f0 is covered by the raster to 50% only; the rest of it is NOT EXAMINED",
        "field f2 misses the raster; the rest of it is NOT EXAMINED",
    )


def test_a_boundary_that_misses_the_raster_is_one_sentence(facts: RasterFacts) -> None:
    with pytest.raises(DataError, match=r"misses the raster field.tif: it lies 42.4 km to the north-west; check"):
        place(fields(metres(-30_000, -30_000, -29_900, -29_900)), facts)
    lonlat = geopandas.GeoSeries([metres(10, 10, 90, 90)], crs=32633).to_crs(4326)
    swapped = shapely.transform(lonlat.to_numpy(), lambda xy: xy[:, ::-1])
    with pytest.raises(DataError, match="latitude and longitude are the wrong way round"):
        place(fields(*swapped, crs="EPSG:4326"), facts)


def test_buffers_and_headlands_are_in_metres_and_a_field_that_vanishes_is_told() -> None:
    pond = metres(0, 0, 100, 80).difference(metres(40, 30, 60, 50))
    both = fields(pond, metres(200, 0, 204, 80))
    inner = buffered(both, -3)
    assert list(inner.fields.field) == ["f0"] and inner.remarks == ("inside a buffer of -3 m nothing is left of f1",)
    # 94 m by 74 m less the pond grown by 3 m with round corners.
    pond_m2 = 20 * 20 + 4 * 20 * 3 + np.pi * 9
    assert inner.fields.area[0] == pytest.approx(94 * 74 - pond_m2, rel=1e-3)
    strip = headland(both, 3)
    assert strip.fields.area[0] + inner.fields.area[0] == pytest.approx(pond.area)
    assert strip.fields.area[1] == pytest.approx(4 * 80)
    assert buffered(both, 2).fields.area[1] == pytest.approx(4 * 80 + 2 * 2 * 84 + np.pi * 4, rel=1e-3)
    for shape in shapely.get_parts([inner.fields.geometry[0], strip.fields.geometry[0]]):
        assert shape.exterior.is_ccw and not any(ring.is_ccw for ring in shape.interiors)
    for act, sentence in (
        (lambda: buffered(both, -50), "nothing of it is left inside a buffer of -50 m"),
        (lambda: headland(both, 0), "a headland is 0 m wide; allowed is more than 0"),
        (lambda: buffered(replace(both, fields=both.fields.to_crs(4326)), 1), "its CRS is not in metres"),
    ):
        with pytest.raises(DataError, match=sentence):
            act()
