"""An orthomosaic is read whole, window by window and honestly: what is damaged or was never flown is never ground."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared.errors import DataError
from shared.records import Box
from tests.verticals.agriculture.raster.conftest import Draw, ground
from verticals.agriculture.raster.pixels import NO_DATA, READ, UNREADABLE, Pixels, Raster
from verticals.agriculture.raster.rasters import open_raster

rasterio = pytest.importorskip("rasterio")
files = pytest.importorskip("rasterio.shutil")

ROOT = Path(__file__).resolve().parents[4]
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}


def whole(raster: Raster) -> Pixels:
    return raster.read(Box(0, 0, raster.facts.width, raster.facts.height))


@pytest.mark.parametrize("driver", ["GTiff", "COG", "VRT"])
def test_a_window_is_the_part_of_the_whole_and_black_beyond_it(draw: Draw, tmp_path: Path, driver: str) -> None:
    pixels = ground(150, 200)
    path = draw(pixels, **TILED)
    if driver != "GTiff":
        files.copy(path, tmp_path / f"other.{driver.lower()}", driver=driver)
        path = tmp_path / f"other.{driver.lower()}"
    with open_raster(path) as raster:
        full, part = whole(raster), raster.read(Box(-10, 100, 250, 170))
    assert np.array_equal(full.rgb, pixels.transpose(1, 2, 0)) and (full.validity == READ).all()
    assert np.array_equal(part.rgb[:50, 10:210], full.rgb[100:])
    assert not part.rgb[50:].any() and (part.validity[50:] == NO_DATA).all()
    assert (part.validity[:, :10] == NO_DATA).all() and (part.validity[:50, 10:210] == READ).all()


def corrupted(path: Path, column: int, row: int) -> None:
    """Overwrite the second half of a block's bytes."""
    with rasterio.open(path) as source:
        offset, size = (
            int(source.get_tag_item(f"BLOCK_{w}_{column}_{row}", "TIFF", bidx=1)) for w in ("OFFSET", "SIZE")
        )
    data = bytearray(path.read_bytes())
    data[offset + size // 2 : offset + size] = b"\x5a" * (size - size // 2)
    path.write_bytes(data)


@pytest.mark.parametrize("codec", [{"compress": "deflate"}, {"compress": "jpeg", "photometric": "ycbcr"}])
def test_a_corrupt_tile_in_the_middle_is_unreadable_and_the_rest_is_as_before(
    draw: Draw, codec: dict[str, str]
) -> None:
    path = draw(ground(200, 200), interleave="pixel", **TILED, **codec)
    with open_raster(path) as raster:
        before = whole(raster)
    corrupted(path, 1, 1)
    with open_raster(path) as raster:
        thumb, after, across = raster.overview(100), whole(raster), raster.read(Box(60, 60, 70, 140))
    hurt = np.zeros((200, 200), bool)
    hurt[64:128, 64:128] = True
    assert np.array_equal(after.validity == UNREADABLE, hurt) and (after.validity[~hurt] == READ).all()
    assert np.array_equal(after.rgb[~hurt], before.rgb[~hurt]) and not after.rgb[hurt].any()
    assert np.array_equal(thumb.validity, after.validity[1::2, 1::2])
    assert np.array_equal(across.validity, after.validity[60:140, 60:70])


@pytest.mark.parametrize("quality", [50, 90])
def test_zeros_in_the_middle_of_a_jpeg_block_are_not_filled_up_to_ground(draw: Draw, quality: int) -> None:
    path = draw(
        ground(128, 128), interleave="pixel", compress="jpeg", photometric="ycbcr", jpeg_quality=quality, **TILED
    )
    with rasterio.open(path) as source:
        offset, size = (int(source.get_tag_item(f"BLOCK_{w}_1_1", "TIFF", bidx=1)) for w in ("OFFSET", "SIZE"))
    data = path.read_bytes()
    path.write_bytes(data[: offset + size // 2] + bytes(64) + data[offset + size // 2 + 64 :])
    with open_raster(path) as raster:
        validity = whole(raster).validity
    assert (validity[64:, 64:] == UNREADABLE).all() and (validity == UNREADABLE).mean() == 0.25


def test_a_copy_that_broke_off_is_read_as_far_as_it_goes(draw: Draw) -> None:
    path = draw(ground(256, 256), interleave="pixel", compress="deflate", **TILED)
    with rasterio.open(path) as source:
        end = int(source.get_tag_item("BLOCK_OFFSET_0_3", "TIFF", bidx=1))
    path.write_bytes(path.read_bytes()[:end])
    with open_raster(path) as raster:
        seen = whole(raster)
    assert (seen.validity[:192] == READ).all() and (seen.validity[192:] == UNREADABLE).all()


def test_blocks_that_were_never_written_are_not_black_ground(draw: Draw) -> None:
    path = draw(ground(64, 64), "first.tif")
    with rasterio.open(path) as source:
        profile = source.profile | TILED | {"height": 128, "width": 128, "SPARSE_OK": True}
    with rasterio.open(path.with_name("broken_off.tif"), "w", **profile) as target:
        target.write(ground(64, 128), window=rasterio.windows.Window(0, 0, 128, 64))
    with open_raster(path.with_name("broken_off.tif")) as raster:
        seen = whole(raster)
        assert "2 of its 4 blocks were never written" in " ".join(raster.facts.remarks)
    assert (seen.validity[:64] == READ).all() and (seen.validity[64:] == UNREADABLE).all()


@pytest.mark.parametrize("how", ["nodata", "alpha", "mask band", "given"])
def test_what_was_not_flown_has_no_data(draw: Draw, how: str) -> None:
    pixels = ground(80, 90, 4 if how == "alpha" else 3)
    flown = np.ones((80, 90), bool)
    flown[:30, 50:] = False
    pixels[:3, ~flown] = 0
    if how == "alpha":
        pixels[3] = np.where(flown, 255, 0)
        path = draw(pixels, alpha=True)
    else:
        path = draw(pixels, mask=flown if how == "mask band" else None, **({"nodata": 0} if how == "nodata" else {}))
    with open_raster(path, nodata=0 if how == "given" else None) as raster:
        seen = whole(raster)
        assert raster.facts.mask == ("nodata" if how == "given" else how)
        assert np.array_equal(raster.overview(45).validity, seen.validity[1::2, 1::2])
    assert np.array_equal(seen.validity, np.where(flown, READ, NO_DATA))


def test_corners_without_any_mask_are_told(draw: Draw) -> None:
    pixels = ground(80, 80).clip(1, 254)
    pixels[:, :20], pixels[:, 60:] = 0, 255
    with open_raster(draw(pixels)) as raster:
        black, white = raster.facts.remarks
    assert "25% of an overview is pure black" in black and "--nodata 0" in black
    assert "25% of an overview is pure white" in white and "--nodata 255" in white


def test_the_ground_of_a_missing_part_of_a_vrt_is_unreadable(draw: Draw, tmp_path: Path) -> None:
    files.copy(draw(ground(30, 40), "part.tif"), tmp_path / "whole.vrt", driver="VRT")
    (tmp_path / "part.tif").unlink()
    with open_raster(tmp_path / "whole.vrt") as raster:
        assert "1 of the 1 files it is made of are missing" in raster.facts.remarks[-1]
        assert (whole(raster).validity == UNREADABLE).all()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_deep_pixels_are_stretched_alike_in_every_window_by_percentiles_of_the_whole(draw: Draw, dtype: str) -> None:
    rng = np.random.default_rng(1)
    deep = rng.uniform(0.02, 0.6, (3, 120, 130)) * np.array([1, 1.3, 0.7])[:, None, None]
    deep = (deep * (30_000 if dtype == "uint16" else 1)).astype(dtype)
    if dtype == "float32":
        deep[:, 5, 7] = np.nan
    with open_raster(draw(deep)) as raster:
        full, part, limits = whole(raster), raster.read(Box(40, 50, 60, 70)), raster.facts.limits
    low, high = np.nanpercentile(deep, (1, 99))
    assert limits == pytest.approx((low, high), rel=1e-6)
    wanted = np.nan_to_num((deep.astype(float) - low) / (high - low) * 255).clip(0, 255).transpose(1, 2, 0)
    assert np.abs(full.rgb - wanted).max() <= 0.51
    assert np.array_equal(part.rgb, full.rgb[50:70, 40:60])
    assert (full.validity[5, 7] == NO_DATA) == (dtype == "float32")
    with open_raster(draw(deep, "again.tif"), limits=(0.0, 2 * high)) as raster:
        assert raster.facts.limits == (0.0, 2 * high)


def test_bands_come_by_name_as_physical_values_with_gaps_as_nan(draw: Draw) -> None:
    stored = np.arange(1, 4 * 20 * 20 + 1, dtype=np.uint16).reshape(4, 20, 20)
    stored[3, 2, 3] = 65535
    path = draw(stored, descriptions=("Blue-475", "Green", "Red", "NIR"), nodata=65535)
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (1e-4,) * 4, (0.1,) * 4
    with open_raster(path) as raster:
        nir, blue = raster.bands(Box(1, 2, 11, 12), ("nir", "blue"))
        with pytest.raises(DataError, match="has no band rededge; it has blue, green, red, nir"):
            raster.bands(Box(0, 0, 5, 5), ("nir", "rededge"))
    wanted = stored[:, 2:12, 1:11] * 1e-4 + 0.1
    assert np.isnan(nir[0, 2]) and np.isnan(nir).sum() == 1 and not np.isnan(blue).any()
    assert np.allclose(np.nan_to_num(nir, nan=wanted[3, 0, 2]), wanted[3]) and np.allclose(blue, wanted[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_bounded_on_forty_thousand_by_forty_thousand_pixels(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 40_000, "height": 40_000, "count": 3, "dtype": "uint8", "nodata": 0}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "interleave": "pixel"}
    profile |= {"crs": "EPSG:32633", "transform": rasterio.Affine(0.02, 0, 5e5, 0, -0.02, 5.8e6)}
    strip = np.full((3, 512, 40_000), 90, np.uint8)
    with rasterio.open(tmp_path / "large.tif", "w", photometric="rgb", SPARSE_OK=True, zlevel=1, **profile) as target:
        for y in range(0, 3072, 512):
            target.write(strip, window=rasterio.windows.Window(0, y, 40_000, 512))
    program = (
        "import sys; from pathlib import Path; from shared.records import Box\n"
        "from verticals.agriculture.raster.rasters import open_raster\n"
        "with open_raster(Path(sys.argv[1])) as raster:\n"
        "    for y in range(0, 3072, 512):\n"
        "        for x in range(0, 40000, 1000):\n"
        "            assert raster.read(Box(x, y, x + 1000, y + 512)).validity.all()\n"
        "    assert not raster.read(Box(39000, 39000, 40100, 40100)).validity.any()\n"
        "status = Path('/proc/self/status').read_text().split('VmHWM:')[1]\n"
        "print(int(status.split()[0]) // 1024)\n"
    )
    large = tmp_path / "large.tif"
    done = subprocess.run([sys.executable, "-c", program, large], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 600, f"peak memory is {done.stdout.strip()} MiB after 369 MB of pixels"


def test_facts_are_those_of_gdalinfo(draw: Draw) -> None:
    if not shutil.which("gdalinfo"):
        pytest.skip("no gdalinfo: Debian's gdal-bin is not installed")
    path = draw(ground(70, 90), photometric="rgb", nodata=7)
    told = json.loads(subprocess.run(["gdalinfo", "-json", path], capture_output=True, check=True).stdout)
    with open_raster(path) as raster:
        facts = raster.facts
    c, a, b, f, d, e = told["geoTransform"]
    assert facts.transform == (a, b, c, d, e, f) and [facts.width, facts.height] == told["size"]
    assert [band.interpretation for band in facts.bands] == [
        band["colorInterpretation"].lower() for band in told["bands"]
    ]
    assert [band.nodata for band in facts.bands] == [band["noDataValue"] for band in told["bands"]]
    assert f'ID["EPSG",{facts.crs.removeprefix("EPSG:")}]' in told["coordinateSystem"]["wkt"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist or is no file; give an orthomosaic"),
        (lambda path: path.write_bytes(b"II*\0 no raster"), "cannot be opened as GeoTIFF, COG or VRT"),
        (
            lambda path: path.write_text(
                '<VRTDataset rasterXSize="9" rasterYSize="9"><GeoTransform>5,1,0,5,0,-1</GeoTransform><VRTRasterBand '
                'dataType="Byte" band="1"><SimpleSource><SourceFilename>/vsicurl/http://localhost/a.tif</SourceFilename>'
                '<SourceProperties RasterXSize="9" RasterYSize="9" DataType="Byte" BlockXSize="9" BlockYSize="9"/>'
                "</SimpleSource></VRTRasterBand></VRTDataset>"
            ),
            "refers to /vsicurl/http://localhost/a.tif on the network",
        ),
    ],
)
def test_what_is_no_local_raster_is_refused(tmp_path: Path, make: Callable[[Path], None], sentence: str) -> None:
    make(tmp_path / "field.vrt")
    with pytest.raises(DataError, match=sentence), open_raster(tmp_path / "field.vrt"):
        pass


REAL = {
    "all_nodata_4band_uint16.tif": (1, 0, 0),
    "cog_jpeg_ycbcr_mask_overviews.tif": (0.008, 0.992, 0),
    "corn_field_rgba_2cm.tif": (0, 1, 0),
    "corrupt_cog.tif": (0.006, 0.68, 0.314),
    "drone_rgb_1p8cm_utm53s.tif": (0, 1, 0),
    "float32_nodata_laea.tif": "a pixel is 500 m on the ground",
    "grassland_rgb_10cm_epsg3395.tif": (0.005, 0.995, 0),
    "landsat7_6band_utm25s.tif": "has no band with a name and 6 without one; a picture needs red, green and blue",
    "landsat_rgb_300m_utm18n.tif": "a pixel is 300 m on the ground",
    "neon_rgb_10cm_utm17n.tif": (0.003, 0.997, 0),
    "rgba_uint16_utm12n.tif": (0.511, 0.489, 0),
    "rotated_transform_no_crs.tif": "has no coordinate reference system",
}


def test_every_real_file_is_read_or_refused_with_its_sentence(real_data: Path) -> None:
    folder = real_data / "agriculture" / "geotiff"
    if not folder.is_dir():
        pytest.skip("no real rasters beside the checkout")
    for path in sorted(folder.rglob("*.tif")):
        wanted = REAL.get(path.name, "has no geotransform: it is a camera frame")
        if isinstance(wanted, str):
            with pytest.raises(DataError, match=wanted), open_raster(path) as raster:
                whole(raster)
            continue
        with open_raster(path) as raster:
            validity = whole(raster).validity
        shares = np.bincount(validity.ravel(), minlength=3) / validity.size
        assert shares == pytest.approx(wanted, abs=0.002), path.name


def test_importing_the_room_loads_neither_torch_nor_rasterio_nor_geopandas() -> None:
    folder = ROOT / "verticals" / "agriculture" / "raster"
    names = [f"verticals.agriculture.raster.{p.stem}" for p in folder.glob("*.py") if p.stem != "__init__"]
    heavy = "{'torch', 'rasterio', 'geopandas', 'pyogrio', 'shapely', 'pyproj'}"
    program = f"import sys, {', '.join(names)}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
