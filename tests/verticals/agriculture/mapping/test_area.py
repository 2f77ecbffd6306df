import numpy as np
import pytest

from shared.errors import DataError
from verticals.agriculture.mapping import area

pyproj = pytest.importorskip("pyproj")
shapely = pytest.importorskip("shapely")
affine = pytest.importorskip("affine")


def in_degrees(shape: object, crs: object) -> object:
    utm = pyproj.Proj(crs)
    return shapely.transform(shapely.segmentize(shape, 25.0), lambda x, y: utm(x, y, inverse=True), interleaved=False)


def equal_area_hectares(degrees: object) -> list[float]:
    """Planar area of a finely densified polygon in two equal-area projections of the same ellipsoid."""
    lon, lat = degrees.centroid.coords[0]  # type: ignore[attr-defined]
    lambert = pyproj.Proj(f"+proj=laea +lat_0={lat} +lon_0={lon} +ellps=WGS84 +units=m")
    # EPSG:6933, but centred on the field's meridian, so that no field lies across the map's edge at 180 degrees.
    cylindrical = pyproj.Proj(f"+proj=cea +lat_ts=30 +lon_0={lon} +ellps=WGS84 +units=m")
    return [shapely.transform(degrees, p, interleaved=False).area / 1e4 for p in (lambert, cylindrical)]


def test_in_all_utm_zones_a_field_with_a_hole_has_its_equal_area_hectares() -> None:
    rng = np.random.default_rng(6)
    worst, planar = 0.0, 0.0
    for zone in range(1, 61):
        north = bool(rng.integers(2))
        crs = pyproj.CRS.from_epsg((32600 if north else 32700) + zone)
        lat = rng.uniform(0.5, 83.5) if north else -rng.uniform(0.5, 79.5)
        x, y = pyproj.Proj(crs)(-183 + 6 * zone + rng.choice((-2.95, 0, 2.95)), lat)
        corner = np.array([x, y])
        ring = corner + np.array([(0, 0), (1100, 40), (1180, 560), (470, 700), (-60, 500)])
        hole = corner + np.array([(300, 200), (500, 220), (480, 400), (310, 380)])
        shape = shapely.Polygon(ring[:: rng.choice((-1, 1))], [hole[:: rng.choice((-1, 1))]])
        measured = float(area.hectares([shape], crs)[0])
        for reference in equal_area_hectares(in_degrees(shape, crs)):
            worst = max(worst, abs(measured / reference - 1))
        planar = max(planar, abs(shape.area / 1e4 / measured - 1))
    assert worst < 1e-6, "aim of the map is 1e-4"
    assert planar > 5e-4, "the planar area must be visibly worse, or this test shows nothing"


def test_ring_orientation_and_holes_do_not_change_the_area() -> None:
    ring = [(500000, 5600000), (500200, 5600000), (500200, 5600200), (500000, 5600200)]
    hole = [(500050, 5600050), (500050, 5600080), (500100, 5600080), (500100, 5600050)]
    shapes = [shapely.Polygon(r, [h]) for r in (ring, ring[::-1]) for h in (hole, hole[::-1])]
    both = shapely.MultiPolygon([shapes[0], shapely.affinity.translate(shapes[1], 300, 0)])
    *single, double, empty = area.hectares([*shapes, both, shapely.Polygon()], "EPSG:32633")
    np.testing.assert_allclose(single, (4.0 - 0.15) * 1.0008, rtol=1e-4)  # scale 0.9996 at the central meridian
    assert double == pytest.approx(2 * single[0], rel=1e-6) and empty == 0
    assert np.ptp(single) < 1e-9


def test_feet_web_mercator_degrees_and_the_far_side_of_180_give_the_same_field() -> None:
    metres = shapely.box(500000, 5600000, 500300, 5600200)
    expected = area.hectares([metres], "EPSG:32633")[0]
    for crs in ("EPSG:3857", "EPSG:4326", "EPSG:3395", "+proj=utm +zone=33 +datum=WGS84 +units=us-ft"):
        to = pyproj.Transformer.from_crs("EPSG:32633", crs, always_xy=True)
        moved = shapely.transform(shapely.segmentize(metres, 10), to.transform, interleaved=False)
        assert area.hectares([moved], crs)[0] == pytest.approx(expected, rel=1e-6), crs
    across = shapely.Polygon([(179.999, 10), (180.001, 10), (180.001, 10.002), (179.999, 10.002)])
    beside = shapely.affinity.translate(across, -30, 0)
    assert area.hectares([across], 4326)[0] == pytest.approx(area.hectares([beside], 4326)[0], rel=1e-9)


def test_the_cells_of_a_raster_add_up_to_the_area_of_its_outline() -> None:
    for crs, transform in (
        ("EPSG:32653", affine.Affine(2.5, 0, 700000, 0, -2.5, 5600000)),
        ("EPSG:3857", affine.Affine(3, 0, 1500000, 0, -3, 6600000)),
        ("EPSG:32653", affine.Affine.translation(300000, 100000) @ affine.Affine.rotation(25) @ affine.Affine.scale(2)),
    ):
        width, height = 1501, 1000
        areas = area.cell_areas(transform, crs, width, height)
        cells = sum(100 * areas.at(r + 50).sum() for r in range(0, height, 100))
        outline = shapely.Polygon([transform @ p for p in ((0, 0), (width, 0), (width, height), (0, height))])
        assert cells == pytest.approx(area.hectares([outline], crs)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "crs", "said"),
    [
        (shapely.Point(1, 2), 4326, "geometry 0 is a Point"),
        (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), 4326, "Self-intersection"),
        (shapely.box(10, 89.5, 11, 89.9), 4326, "too near a pole"),
        (shapely.box(0, 0, 1, 1), None, "without a CRS"),
    ],
)
def test_what_has_no_certain_area_is_refused_with_the_reason(shape: object, crs: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        area.hectares([shape], crs)  # type: ignore[list-item]
