"""Every hectare of a field is a tile or a sentence, labels are those of the truth, and blocks do not touch."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from shared.errors import DataError
from shared.vertical import Ingested
from verticals.agriculture.blocks import HALO_PX, TILE_PX
from verticals.agriculture.drawing import files
from verticals.agriculture.drawing.field import draw
from verticals.agriculture.drawing.setting import Setting
from verticals.agriculture.ingest import ingest

rasterio = pytest.importorskip("rasterio", reason="the extra 'agriculture' is not installed")
FIELD = Setting(width=700, height=640, gsd_m=0.05, patch_m=6.0, weeds=0.01, infestation=0.3, uncovered=0.04)
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" drone-dji:RelativeAltitude="+20.00"
 drone-dji:GimbalYawDegree="+10.00" drone-dji:GimbalPitchDegree="-90.00" drone-dji:GimbalRollDegree="+0.00"
 drone-dji:GpsLatitude="+50.0000100" drone-dji:GpsLongitude="+9.9000100"
 drone-dji:CalibratedFocalLength="400.0"/></rdf:RDF></x:xmpmeta>"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One drawn field in a folder of its own."""
    folder = tmp_path_factory.mktemp("raw")
    files.write(draw(FIELD, seed=3), folder / "home")
    return folder


@pytest.fixture(scope="module")
def made(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ingested, Path]]:
    out = tmp_path_factory.mktemp("out")
    yield ingest(raw, out), out


def hectares_of_the_field(raw: Path) -> float:
    import geopandas
    from pyproj import Geod

    lonlat = geopandas.read_file(raw / "home" / "boundary.gpkg").to_crs("EPSG:4326")
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(lonlat.geometry.iloc[0])[0]) / 10_000


def test_every_hectare_of_the_field_is_examined_or_told(raw: Path, made: tuple[Ingested, Path]) -> None:
    found, out = made
    told = found.summary["hectares"]
    assert told["examined"] + told["not_examined"] == pytest.approx(told["field"], abs=2e-4)
    assert told["field"] == pytest.approx(hectares_of_the_field(raw), rel=0.002)
    assert told["not_examined"] / told["field"] == pytest.approx(0.04, abs=0.01), "4 % were not flown"
    assert any("ha of the field were not flown and are NOT EXAMINED" in p.what for p in found.problems)
    known_m2 = sum(t.area_mm2 or 0 for t in found.truth) / 1e6
    assert known_m2 / 10_000 == pytest.approx(told["field"], rel=0.001), "truth covers what was not flown too"
    assert all((out / s.path).is_file() for s in found.samples)
    assert all(s.provenance["synthetic"] and s.mm_per_px for s in found.samples)


def test_a_field_on_several_rasters_has_its_own_hectares_and_what_lies_on_two_of_them_is_told(
    raw: Path, tmp_path: Path
) -> None:
    from rasterio.windows import Window

    def part(name: str, left: int, right: int) -> None:
        with rasterio.open(raw / "home" / "field.tif") as whole:
            window = Window(left, 0, right - left, whole.height)
            moved = whole.transform @ rasterio.Affine.translation(left, 0)
            profile = whole.profile | {"width": window.width, "transform": moved}
            with rasterio.open(tmp_path / "raw" / name, "w", **profile) as target:
                target.write(whole.read(window=window))

    (tmp_path / "raw").mkdir()
    shutil.copy(raw / "home" / "boundary.gpkg", tmp_path / "raw")
    own = hectares_of_the_field(raw)
    part("west.tif", 0, 350)
    part("east.tif", 350, 700)
    apart = ingest(tmp_path / "raw", tmp_path / "a")
    assert apart.summary["hectares"]["field"] == pytest.approx(own, rel=0.01)
    assert not any("beyond" in p.what or "covered by the raster" in p.what for p in (*apart.problems, *apart.remarks))
    part("east.tif", 250, 700)
    over = ingest(tmp_path / "raw", tmp_path / "b")
    twice = over.summary["hectares"]["field"] - apart.summary["hectares"]["field"]
    told = next(p.what for p in over.remarks if "count twice" in p.what)
    assert twice > 0.01 and float(told.split("cover ")[1].split(" ha")[0]) == pytest.approx(twice, rel=0.02)
    (tmp_path / "raw" / "east.tif").write_bytes(b"II*\0 no raster")
    lost = ingest(tmp_path / "raw", tmp_path / "c")
    assert lost.summary["hectares"]["field"] == pytest.approx(own, rel=0.01)
    assert any("beyond all rasters that could be used" in p.what for p in lost.problems)


def test_a_tiles_label_is_what_the_truth_says_about_its_ground(raw: Path, made: tuple[Ingested, Path]) -> None:
    found, _ = made
    facts = json.loads((raw / "home" / "field.json").read_text())
    sick = [facts["labels"].index(d) for d in ("potato_late_blight", "potato_early_blight", "weed")]
    with rasterio.open(raw / "home" / "truth.tif") as truth:
        classes, inverse = truth.read(1), ~truth.transform
    assert {"healthy", "potato_late_blight", "potato_early_blight"} <= set(found.labels.values())
    for sample in found.samples:
        word = found.labels.get(sample.id)
        if word is None:
            continue
        assert sample.core is not None
        x, y = inverse @ (sample.provenance["x_m"], sample.provenance["y_m"])
        half_x, half_y = sample.core.width / 2, sample.core.height / 2
        core = classes[round(y - half_y) : round(y + half_y), round(x - half_x) : round(x + half_x)]
        plants = core[(core != facts["labels"].index("bare_soil")) & (core != 255)]
        if word == "healthy":
            assert np.isin(core, sick).mean() < 0.02
        elif word != "bare_soil":
            assert (plants == facts["labels"].index(word)).mean() >= 0.29


def test_labelled_tiles_of_two_blocks_never_touch(made: tuple[Ingested, Path]) -> None:
    found, _ = made
    tiles = [s for s in found.samples if s.id in found.labels]
    xy = np.array([[float(s.provenance["x_m"]), float(s.provenance["y_m"])] for s in tiles])
    blocks = np.array([s.group for s in tiles])
    apart = np.abs(xy[:, None] - xy[None]).max(-1)[blocks[:, None] != blocks[None]]
    assert len(set(blocks)) >= 4 and len(apart)
    window_m = (TILE_PX + 2 * HALO_PX) * FIELD.gsd_m
    assert apart.min() >= window_m, "not even their windows share a pixel"


def test_a_damaged_block_in_the_middle_is_not_examined_and_its_hectares_are_counted(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw / "home", tmp_path / "raw" / "home")
    path = tmp_path / "raw" / "home" / "field.tif"
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        size = int(source.get_tag_item("BLOCK_SIZE_1_1", "TIFF", bidx=1))
    data = bytearray(path.read_bytes())
    data[offset + 10 : offset + size - 10] = bytes(size - 20)
    path.write_bytes(bytes(data))
    found = ingest(tmp_path / "raw", tmp_path / "out")
    hurt = [p for p in found.problems if "damaged in the file" in p.what]
    assert len(hurt) == 1 and found.skipped[hurt[0].where] == 1.0
    told = found.summary["hectares"]
    assert told["field"] == pytest.approx(hectares_of_the_field(raw), rel=0.002), "no hectare is lost"
    assert told["not_examined"] > 0.04 * told["field"] + 0.8 * 256 * 256 * FIELD.gsd_m**2 / 10_000


def test_points_tell_what_is_there_and_not_how_much(raw: Path, made: tuple[Ingested, Path], tmp_path: Path) -> None:
    for name in ("field.tif", "boundary.gpkg"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        shutil.copy(raw / "home" / name, tmp_path / "raw" / name)
    chosen = [s for s in made[0].samples if s.id in made[0].labels][:6]
    rows = [(s.provenance["lon"], s.provenance["lat"], "Potato leaf late blight") for s in chosen]
    pd.DataFrame(rows, columns=["lon", "lat", "label"]).to_csv(tmp_path / "raw" / "points.csv", index=False)
    found = ingest(tmp_path / "raw", tmp_path / "out")
    assert list(found.labels.values()) == ["potato_late_blight"] * len(chosen)
    assert all(t.area_mm2 is None and t.label == "potato_late_blight" for t in found.truth)


def test_what_cannot_be_placed_or_read_is_one_sentence_each_and_the_rest_goes_on(raw: Path, tmp_path: Path) -> None:
    source = tmp_path / "raw"
    shutil.copytree(raw / "home", source / "good")
    shutil.copytree(raw / "home", source / "far")
    far = files.write(draw(replace(FIELD, width=64, height=64, west=500_000.0), seed=1), tmp_path / "far")
    shutil.copy(far / "boundary.gpkg", source / "far" / "boundary.gpkg")
    picture = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    (source / "bean_rust").mkdir()
    Image.fromarray(picture).save(source / "bean_rust" / "leaf.jpg")
    Image.fromarray(picture).save(source / "bean_rust" / "copy.jpg")
    Image.fromarray(picture).save(source / "nowhere.tif")
    (source / "cut.jpg").write_bytes((source / "bean_rust" / "leaf.jpg").read_bytes()[:900])
    (source / "sheet.xlsx").write_bytes(b"no picture")
    (source / "lost.tif").symlink_to(tmp_path / "gone.tif")
    found = ingest(source, tmp_path / "out")
    said = {p.where: p.what for p in found.problems}
    assert "misses the raster" in said["far"] and "ha of the field are NOT EXAMINED" in said["far"]
    assert "has no geotransform" in said["nowhere"]
    told = found.summary["hectares"]
    assert told["not_examined"] > 0.04 * told["field"], "the field that was not found counts too"
    assert "damaged or cut off" in said["cut"] and ".xlsx" in said["sheet.xlsx"]
    assert "same pixels" in said["bean_rust/leaf"]
    assert all(found.skipped[where] == 1.0 for where in ("far", "nowhere", "cut", "sheet.xlsx", "lost.tif"))
    assert found.summary["orthomosaics"] == 1 and found.summary["photographs"] == 1
    assert [found.labels[s.id] for s in found.samples if s.window is None] == ["bean_rust"]


def test_frames_of_a_drone_become_tiles_of_one_flight(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(2):
        picture = Image.fromarray(rng.integers(0, 255, (300, 400, 3), np.uint8))
        (tmp_path / "flight").mkdir(exist_ok=True)
        picture.save(tmp_path / "flight" / f"DJI_{number:04}.jpg", xmp=XMP.encode())
    found = ingest(tmp_path / "flight", tmp_path / "out")
    assert found.summary["drone_frames"] == 2 and len({s.frame for s in found.samples}) == 2
    assert len({s.group for s in found.samples}) == 1, "frames of a flight overlap"
    for frame in ("DJI_0000", "DJI_0001"):
        tiles = [s for s in found.samples if s.frame == frame]
        assert sum(s.core.width * s.core.height for s in tiles if s.core) == 300 * 400, "each pixel is answered once"
    first = found.samples[0]
    assert first.mm_per_px == pytest.approx((50.0, 50.0)), "20 m over 400 px of focal length"
    assert first.provenance["lat"] == pytest.approx(50.00001) and first.provenance["height_m"] == 20


@pytest.mark.long
def test_every_real_raster_is_cut_into_tiles_or_refused_with_its_sentence(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "agriculture" / "geotiff"
    found = ingest(folder, tmp_path / "out", tile=256)
    refused = {p.where: p.what for p in found.problems}
    cut = {str(s.provenance["raster"]) for s in found.samples}
    for path in folder.rglob("*.tif"):
        name = path.relative_to(folder).with_suffix("").as_posix()
        assert path.name in cut or any(where == name or where.startswith(f"{name}/") for where in refused), name
    assert {"corn_field_rgba_2cm.tif", "drone_rgb_1p8cm_utm53s.tif"} <= cut
    assert "nothing was flown" in refused["all_nodata_4band_uint16"]


def test_a_folder_of_somebody_elses_frames_is_never_replaced(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "mine.png").write_bytes(b"x")
    with pytest.raises(DataError, match="no ingest wrote"):
        ingest(raw, tmp_path)
    assert (tmp_path / "frames" / "mine.png").read_bytes() == b"x"


def test_importing_the_vertical_loads_no_heavy_package() -> None:
    heavy = ("torch", "rasterio", "geopandas", "pyproj", "shapely", "pyogrio")
    code = f"import sys, verticals.agriculture; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
