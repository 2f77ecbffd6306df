import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError
from verticals.agriculture.mapping import blend, field_map
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.mapping.field_map import FieldMap, Grid
from verticals.agriculture.mapping.painting import Settings, paint
from verticals.agriculture.raster.rasters import open_raster

rasterio = pytest.importorskip("rasterio")
geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")
affine = pytest.importorskip("affine")

LABELS = ("healthy", "blight", "soil")
COLOURS = np.array([(40, 160, 40), (200, 60, 40), (120, 100, 80)], np.uint8)
WEST, NORTH, GSD = 400_000.0, 5_600_000.0, 0.1
SIDE = 240


def truth() -> NDArray[np.uint8]:
    """Healthy above, soil in a band, blight in a disc; (SIDE, SIDE + 41), index into LABELS."""
    y, x = np.mgrid[:SIDE, : SIDE + 41]
    classes = np.zeros(y.shape, np.uint8)
    classes[180:] = 2
    classes[np.hypot(y - 90, x - 120) < 45] = 1
    return classes


def orthomosaic(path: Path, *, nodata: bool = False, damage: bool = False) -> Path:
    rgb = COLOURS[truth()] + np.random.default_rng(2).integers(-15, 16, (SIDE, SIDE + 41, 3)).astype(np.uint8)
    if nodata:
        rgb[20:60, 20:50] = 0
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE + 41, height=SIDE, count=3, dtype="uint8", crs="EPSG:32633", nodata=0,
        tiled=True, blockxsize=64, blockysize=64, compress="deflate", photometric="RGB",
        transform=affine.Affine(GSD, 0, WEST, 0, -GSD, NORTH),
    ) as target:  # fmt: skip
        target.write(np.moveaxis(rgb, -1, 0))
    if damage:
        with rasterio.open(path) as source:
            offset = int(source.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"\xff" * 200)
    return path


def by_colour(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Nearest of the three colours, softly; one pixel decides alone."""
    apart = np.linalg.norm(images[..., None, :].astype(np.float32) - COLOURS, axis=-1)
    odds = np.exp(-apart / 12)
    return np.moveaxis(odds / odds.sum(-1, keepdims=True), -1, 1).astype(np.float32)


def boundary(x0: float, y0: float, x1: float, y1: float) -> "geopandas.GeoDataFrame":
    """A rectangle in metres from the raster's upper left corner, with a hole of 2 m x 2 m, stored in degrees."""
    box = shapely.box(WEST + x0, NORTH - y1, WEST + x1, NORTH - y0)
    hole = shapely.box(WEST + x0 + 15, NORTH - y0 - 4, WEST + x0 + 17, NORTH - y0 - 2)
    return geopandas.GeoDataFrame({"field": ["a"]}, geometry=[box - hole], crs="EPSG:32633").to_crs(4326)


SEVERITY = {"healthy": 0.0, "blight": 100.0}


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> FieldMap:
    folder = tmp_path_factory.mktemp("map")
    with open_raster(orthomosaic(folder / "a.tif", nodata=True, damage=True)) as raster:
        return paint(
            raster, by_colour, folder / "out", labels=LABELS, ok_label="healthy",
            settings=Settings(32, severity_pct=SEVERITY), boundary=boundary(1, 1, 40, 20),
            bundle={"name": "by colour", "hash": "0" * 64},
        )  # fmt: skip


def read(path: Path | None) -> NDArray[np.float32]:
    assert path is not None
    with rasterio.open(path) as source:
        return source.read() if source.count > 1 else source.read(1)


def test_the_map_has_the_classes_of_the_field_and_adds_its_hectares_up(painted: FieldMap) -> None:
    validity, classes = read(painted.validity_path), read(painted.class_path)
    inside = np.zeros((SIDE, SIDE + 41), bool)
    inside[10:200, 10:] = True
    inside[30:50, 160:180] = False
    void = np.zeros_like(inside)
    void[20:60, 20:50] = True
    void[64:128, 64:128] = True
    np.testing.assert_array_equal(validity, np.where(~inside, 0, np.where(void, 2, 1)))
    examined = validity == 1
    assert (classes[examined] == truth()[examined]).mean() > 0.999
    assert (classes[~examined] == 255).all()
    areas = painted.hectares
    field = float(hectares(boundary(1, 1, 40, 20).geometry, 4326)[0])
    assert areas["field"] == pytest.approx(field, rel=1e-6)
    assert areas["examined"] + areas["not_examined"] == pytest.approx(areas["field"], rel=1e-9)
    assert sum(areas[label] for label in LABELS) == pytest.approx(areas["examined"], rel=1e-9)
    assert areas["examined"] == pytest.approx(examined.sum() * GSD**2 / 1e4, rel=2e-3)
    because = painted.card["not_examined_because"]
    assert set(because) == {"no data", "damaged", "beyond the raster"}
    assert because["damaged"] == pytest.approx(64 * 64 * GSD**2 / 1e4, rel=2e-3)
    assert because["beyond the raster"] == pytest.approx((40 - 28.1) * 19 / 1e4, rel=2e-3)
    assert sum(because.values()) == pytest.approx(areas["not_examined"], rel=1e-2)


def test_probability_uncertainty_and_severity_belong_together(painted: FieldMap) -> None:
    p, u, s = read(painted.probability_path), read(painted.uncertainty_path), read(painted.severity_path)
    examined = read(painted.validity_path) == 1
    for values in (p[0], u, s):
        assert np.isnan(values[~examined]).all()
    np.testing.assert_allclose(p[:, examined].sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(u[examined], -(p * np.log(p)).sum(0)[examined] / math.log(3), atol=1e-5)
    canopy = p[0] + p[1]
    expected = np.where(canopy >= 0.1, 100 * p[1] / canopy, np.nan)[examined]
    np.testing.assert_allclose(s[examined], expected, atol=1e-3)
    healthy, sick = (examined & (truth() == k) for k in (0, 1))
    assert np.nanmean(s[healthy]) < 2 and np.nanmean(s[sick]) > 98


@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="Debian's gdal-bin is absent")
def test_gdalinfo_reads_labels_colours_nodata_and_layout(painted: FieldMap) -> None:
    def told(path: Path) -> str:
        done = subprocess.run(["gdalinfo", str(path)], capture_output=True, text=True, check=True)
        assert not done.stderr, done.stderr
        return done.stdout

    classes, probability = told(painted.class_path), told(painted.probability_path)
    for i, label in enumerate(LABELS):
        assert f"{i:3}: {label}" in classes and f"Description = {label}" in probability
    assert "NoData Value=255" in classes and "Color Table" in classes and "0: 0,158,115,255" in classes
    assert probability.count("NoData Value=nan") == 3 and 'ID["EPSG",32633]' in probability
    for path in painted.rasters:
        assert "LAYOUT=COG" in told(path)


def test_all_rasters_are_strictly_valid_cogs(painted: FieldMap) -> None:
    cogeo = pytest.importorskip("rio_cogeo")
    for path in painted.rasters:
        assert cogeo.cog_validate(path, strict=True) == (True, [], []), path.name
    command = [str(Path(sys.executable).with_name("rio")), "cogeo", "validate", "--strict", str(painted.class_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "is a valid cloud optimized GeoTIFF" in done.stdout, done.stdout + done.stderr


def test_the_card_says_what_the_map_was_made_of(painted: FieldMap) -> None:
    card = json.loads((painted.folder / "map.json").read_text())
    assert card["raster"]["sha256"] and card["bundle"]["name"] == "by colour"
    assert card["settings"]["side"] == 32 and card["seam"]["steps"] > 0
    assert 0 < card["seam"]["ratio"] < 1.1
    beside = {"map.json", "class.tif.aux.xml", "validity.tif.aux.xml"}
    assert {p.name for p in painted.folder.iterdir()} == beside | {p.name for p in painted.rasters}
    assert FieldMap.open(painted.folder).labels == LABELS and painted.grid.gsd_m == pytest.approx(GSD)


@pytest.mark.parametrize("strange", [3.0, math.nan])
def test_places_unlike_the_training_images_are_not_examined(strange: float, tmp_path: Path) -> None:
    def novel(images: NDArray[np.uint8]) -> blend.Painted:
        red = images[..., 0].mean((1, 2))
        return blend.Painted(by_colour(images), np.where(red > 150, strange, 0.5).astype(np.float32))

    with open_raster(orthomosaic(tmp_path / "a.tif")) as raster:
        done = paint(raster, novel, tmp_path / "out", labels=LABELS, settings=Settings(16, novelty_limit=1.5))
    validity = read(done.validity_path)
    assert validity[90, 120] == 2 and read(done.class_path)[90, 120] == 255
    assert (validity[truth() != 1] == 1).mean() > 0.9
    unlike = done.card["not_examined_because"]["unlike the training images"]
    assert done.hectares["not_examined"] == pytest.approx(unlike) and unlike > 0
    assert done.severity_path is None


def test_without_a_boundary_what_was_never_flown_is_outside_and_what_is_damaged_is_not(tmp_path: Path) -> None:
    with open_raster(orthomosaic(tmp_path / "a.tif", nodata=True, damage=True)) as raster:
        done = paint(raster, by_colour, tmp_path / "out", labels=LABELS, settings=Settings(32))
    validity = read(done.validity_path)
    assert (validity[20:60, 20:50] == 0).all() and (validity[64:128, 64:128] == 2).all()


def test_a_map_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    calls = 0

    def failing(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise RuntimeError("no more")
        return by_colour(images)

    with open_raster(orthomosaic(tmp_path / "a.tif")) as raster:
        old = paint(raster, by_colour, tmp_path / "out", labels=LABELS, settings=Settings(32))
        before = old.class_path.read_bytes()
        with pytest.raises(RuntimeError):
            paint(raster, failing, tmp_path / "out", labels=LABELS, settings=Settings(32))
    assert old.class_path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "out"]


def test_wrong_inputs_are_one_sentence_each(tmp_path: Path) -> None:
    swapped = geopandas.GeoDataFrame(geometry=[shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 9)])], crs=4326)
    away = boundary(1, 1, 20, 20).translate(0.01, 0).to_frame("geometry").set_crs(4326)
    with open_raster(orthomosaic(tmp_path / "a.tif")) as raster:
        for words, change in (
            ("m beside the raster", {"boundary": away}),
            ("swapped", {"boundary": swapped}),
            ("has no CRS", {"boundary": away.set_crs(None, allow_override=True)}),
            ("no label of the map", {"settings": Settings(32, severity_pct={"rust": 5.0})}),
            ("not one of the map's", {"ok_label": "fine"}),
            ("name of an area", {"labels": ("healthy", "field", "soil")}),
        ):
            given = {"labels": LABELS, "settings": Settings(32), **change}
            with pytest.raises(DataError, match=words):
                paint(raster, by_colour, tmp_path / "out", **given)
    with pytest.raises(ConfigError, match="allowed is 0 to 100"):
        Settings(32, severity_pct={"blight": 1000})
    with pytest.raises(DataError, match="is not a field map"):
        FieldMap.open(tmp_path)
    grid = Grid("EPSG:32633", (1, 0, 4e5, 0, -1, 5.6e6), 4, 4)
    rows = field_map.Rows(0, np.full((3, 2, 4), 1 / 3, np.float32), np.ones((2, 4), np.uint8))
    with pytest.raises(DataError, match="2 rows of cells were painted; the map has 4"):
        field_map.write(tmp_path / "short", [rows], grid, LABELS)
    assert not (tmp_path / "short").exists()
