import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import DataError
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.spraying import grid, gridding, machine

shapely = pytest.importorskip("shapely")
affine = pytest.importorskip("affine")
rasterio = pytest.importorskip("rasterio")

UTM = "EPSG:32633"
EAST, NORTH = 500_000.0, 5_500_000.0


def turned(shape: Any, heading_deg: float) -> Any:
    """A shape turned clockwise about the field's corner."""
    return shapely.affinity.rotate(shape, -heading_deg, origin=(EAST, NORTH))


def field(heading_deg: float) -> Any:
    """80 m along the heading, 50 m across, a hole inside, its long sides broken into crooked short edges."""
    along = np.linspace(0, 80, 41)
    wobble = 0.05 * np.sin(along)
    left = np.column_stack([EAST + wobble, NORTH + along])
    right = np.column_stack([EAST + 50 + wobble, NORTH + along])[::-1]
    hole = shapely.box(EAST + 20, NORTH + 30, EAST + 30, NORTH + 40)
    return turned(shapely.Polygon(np.concatenate([left, right])) - hole, heading_deg)


@pytest.mark.parametrize("heading", [0.0, 33.0, 90.0, 151.0])
def test_the_drive_follows_the_longest_edge_and_the_pixels_have_the_fields_hectares(heading: float) -> None:
    outline = field(heading)
    laid = grid.lay(outline, UTM, machine.named("nozzle_50cm"))
    assert abs((laid.heading_deg - heading + 90) % 180 - 90) < 0.2
    assert laid.passes == 3 and laid.cells == (144, 80 if laid.cells[1] == 80 else 81)
    assert laid.hectares(laid.inside) == pytest.approx(hectares([outline], UTM)[0], rel=2e-3)
    assert laid.hectares_in_cell(laid.inside).sum() == pytest.approx(laid.hectares(laid.inside))


@pytest.mark.parametrize("heading", [0.0, 33.0, 151.0])
def test_a_spot_of_a_raster_arrives_where_it_is_on_the_ground(heading: float) -> None:
    laid = grid.lay(field(heading), UTM, machine.named("nozzle_50cm"))
    size, spot = 0.1, turned(shapely.Point(EAST + 12, NORTH + 60), heading)
    transform = affine.Affine(size, 0, spot.x - 5, 0, -size, spot.y + 5)
    pixels = np.zeros((100, 100), np.float32)
    pixels[45:55, 45:55] = 0.8
    highest, mean = (gridding.onto(laid, pixels, transform, how) for how in ("max", "average"))
    rows, columns = np.nonzero(np.nan_to_num(highest) > 0.79)
    x, y = laid.transform @ (columns.mean() + 0.5, rows.mean() + 0.5)
    assert math.hypot(x - spot.x, y - spot.y) < 0.15
    assert laid.hectares(np.nan_to_num(mean)) * 10_000 == pytest.approx(0.8, rel=0.05)
    assert np.isnan(highest[laid.inside]).any()


def test_a_pass_is_centred_on_the_guidance_line() -> None:
    ab_line = ((EAST + 31.0, NORTH - 20.0), (EAST + 31.0, NORTH + 200.0))
    laid = grid.lay(field(0), UTM, machine.named("nozzle_50cm"), ab_line=ab_line)
    left_edges = [(laid.cell_transform @ (0, section))[0] for section in range(0, laid.cells[0] + 1, 48)]
    centres = [edge + 12 for edge in left_edges[:-1]]
    assert any(abs(centre - (EAST + 31.0)) < 1e-6 for centre in centres)
    assert left_edges[0] <= EAST and left_edges[-1] >= EAST + 50


@pytest.mark.parametrize(
    ("crs", "arguments", "sentence"),
    [
        ("EPSG:4326", {}, "not a projected CRS in metres"),
        ("EPSG:2263", {}, "not a projected CRS in metres"),
        ("EPSG:3857", {}, "Pseudo-Mercator is 0.6. m on the ground"),
        (UTM, {"ab_line": ((EAST, NORTH), (EAST, NORTH))}, "nearer than 1 m"),
        (UTM, {"fine_m": 0.001}, "plan the field in parts"),
    ],
)
def test_what_gives_no_grid_is_refused(crs: str, arguments: dict[str, Any], sentence: str) -> None:
    outline = field(0) if crs != "EPSG:3857" else shapely.box(1_669_792, 6_378_000, 1_669_892, 6_378_080)
    with pytest.raises(DataError, match=sentence):
        grid.lay(outline, crs, machine.named("nozzle_50cm"), **arguments)


def test_ground_beyond_the_raster_or_not_examined_is_counted_and_the_rim_of_the_field_is_not() -> None:
    outline = shapely.box(EAST, NORTH, EAST + 50, NORTH + 80)
    laid = grid.lay(outline, UTM, machine.named("nozzle_50cm"))
    transform = affine.Affine(0.3, 0, EAST - 6, 0, -0.3, NORTH + 86)
    whole = np.ones((310, 210), np.uint8)
    centres_x, centres_y = EAST - 6 + 0.3 * (np.arange(210) + 0.5), NORTH + 86 - 0.3 * (np.arange(310) + 0.5)
    in_field = (abs(centres_x - EAST - 25) < 24.9)[None, :] & (abs(centres_y - NORTH - 40) < 39.9)[:, None]
    whole[~in_field] = 0
    assert gridding.examined(laid, whole, transform)[laid.inside].all()
    refused = whole.copy()
    # 6 m x 6 m that cut fine pixels: those count whole.
    refused[101:121, 101:121] = 2
    lost = laid.hectares(laid.inside & ~gridding.examined(laid, refused, transform)) * 10_000
    assert 38 <= lost <= 6.5**2
    half = gridding.examined(laid, whole[:150], transform)
    beyond = outline & shapely.box(EAST, NORTH, EAST + 50, NORTH + 86 - 45)
    assert laid.hectares(laid.inside & ~half) == pytest.approx(hectares([beyond], UTM)[0], rel=0.02)


def test_a_band_of_a_file_arrives_as_an_array_does_and_a_damaged_file_is_refused(tmp_path: Path) -> None:
    laid = grid.lay(field(33.0), UTM, machine.named("nozzle_50cm"))
    x, y = laid.outline.representative_point().coords[0]
    transform = affine.Affine(0.25, 0, x - 10, 0, -0.25, y + 10)
    pixels = np.zeros((80, 80), np.float32)
    pixels[20:60, 30:50] = 1.0
    with rasterio.open(
        tmp_path / "p.tif", "w", driver="GTiff", width=80, height=80, count=2, dtype="float32", crs=UTM,
        transform=transform, nodata=np.nan,
    ) as target:  # fmt: skip
        target.write(pixels, 2)
    read = gridding.band_onto(laid, tmp_path / "p.tif", 2, "nearest")
    np.testing.assert_array_equal(read, gridding.onto(laid, pixels, transform, "nearest"))
    with pytest.raises(DataError, match="has no band 3; allowed are 1 to 2"):
        gridding.band_onto(laid, tmp_path / "p.tif", 3)
    data = (tmp_path / "p.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="band 2 cannot be read"):
        gridding.band_onto(laid, tmp_path / "cut.tif", 2)
