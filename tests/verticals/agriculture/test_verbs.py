"""The field's verbs as a person types them, in processes of their own."""

import json
import re
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from shared.records import Action, Review
from shared.review.log import now
from shared.review.store import Store
from verticals.agriculture.mapping import field_map
from verticals.agriculture.viewing import scenes

pytest.importorskip("rasterio")
pytest.importorskip("geopandas")
LOUPE = Path(sys.executable).parent / "loupe"
LABELS = ("healthy", "bare_soil", "potato_late_blight", "weed")
FARM = """
weather = "weather.csv"
soil = "soil.csv"
readings = "probes.csv"
crop = "potato"
planted = 2026-05-01
[station]
latitude_deg = 50.0
elevation_m = 200.0
"""


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([LOUPE, *map(str, arguments)], capture_output=True, text=True)


def facts(*arguments: object) -> Any:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of 60 m x 40 m: blight 18 m x 12 m in the north-west, weeds 12 m x 8 m, the last 6 m NOT EXAMINED."""
    folder = tmp_path_factory.mktemp("field") / "map"
    soil, blight, weeds = (np.full((100, 150), p, np.float32) for p in (0.02, 0.01, 0.03))
    blight[10:40, 15:60], weeds[70:90, 95:125] = 0.9, 0.8
    validity = np.full((100, 150), field_map.EXAMINED, np.uint8)
    validity[:, 135:] = field_map.NOT_EXAMINED
    rows = field_map.Rows(0, np.stack([1 - soil - blight - weeds, soil, blight, weeds]), validity)
    grid = field_map.Grid("EPSG:32632", (0.4, 0.0, 565000.0, 0.0, -0.4, 5540040.0), 150, 100)
    made_of = {"raster": {"path": "field.tif", "sha256": "a1" * 32}, "bundle": {"name": "b", "hash": "b2" * 32}}
    field_map.write(folder, [rows], grid, LABELS, ok_label="healthy", facts=made_of)
    return folder


def test_zones_are_written_by_their_ending_queued_once_and_their_unexamined_hectares_told(
    drawn: Path, tmp_path: Path
) -> None:
    line = ("zones", drawn, "-o", tmp_path / "z.gpkg", "-o", tmp_path / "z.kml", "--store", tmp_path / "r.sqlite")
    found = facts(*line)
    assert found["zones"] == 2 and found["queued"] == 2 and facts(*line)["queued"] == 0
    assert found["labels"]["potato_late_blight"]["hectares"] == pytest.approx(18 * 12 / 1e4, rel=2e-3)
    assert found["not_examined_ha"] == pytest.approx(6 * 40 / 1e4, rel=2e-3)
    if shutil.which("ogrinfo"):
        told = subprocess.run(["ogrinfo", "-so", tmp_path / "z.gpkg", "zones"], capture_output=True, text=True).stdout
        assert "Feature Count: 2" in told


def test_a_prescription_saves_what_a_narrow_section_can_and_a_persons_word_takes_ground_out_of_it(
    drawn: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "r.sqlite")
    facts("zones", drawn, "--store", store)
    line = ("prescribe", drawn, "--not-examined", "skip", "--threshold", "0.5", "--store", store)
    narrow = facts(*line, "--machine", "spot_50cm_1m_zone", "-o", tmp_path / "narrow")
    wide = facts(*line, "--machine", "boom_24m", "-o", tmp_path / "wide")
    assert narrow["targets"] == ["potato_late_blight", "weed"], "bare ground is not sprayed"
    # Two patches with 1 m around them, in steps of 0.5 m.
    assert narrow["hectares"]["sprayed"] == pytest.approx((20 * 14 + 14 * 10) / 1e4, rel=0.12)
    assert narrow["saved"] > wide["saved"] and narrow["litres"] < narrow["broadcast_litres"]
    assert narrow["hectares"]["not_examined_unsprayed"] > 0 and (tmp_path / "narrow/TASKDATA/TASKDATA.XML").is_file()
    assert json.loads((tmp_path / "narrow.json").read_text())["provenance"]["loupe_raster"] == "a1" * 32
    opened = Store.open(store)
    weeds = next(item for item in opened.items() if item.label == "weed")
    opened.record(Review(weeds.id, Action.REJECT, "healthy", "Dr. Feld", now(), 2.0))
    less = facts(*line, "--machine", "spot_50cm_1m_zone", "-o", tmp_path / "less")
    assert less["hectares"]["sprayed"] == pytest.approx(20 * 14 / 1e4, rel=0.12)
    assert "zones as a person judged them: 1, for certain" in less["remarks"]


def test_an_order_says_what_is_sprayed_whose_field_it_is_and_when_it_does_not(drawn: Path, tmp_path: Path) -> None:
    line = ("prescribe", drawn, "--machine", "spot_50cm_1m_zone", "--threshold", "0.5", "-o", tmp_path / "rx")
    plain = facts(*line)
    assert "product" not in plain and any("names no product" in remark for remark in plain["remarks"])
    facts(*line, "--product", "Mandipropamid 250 SC", "--farm", "Hof Süd", "--customer", "Moor eG")
    kept = json.loads((tmp_path / "rx.json").read_text())
    assert (kept["product"], kept["farm"], kept["customer"]) == ("Mandipropamid 250 SC", "Hof Süd", "Moor eG")
    assert not any("names no product" in remark for remark in kept["remarks"])
    root = ElementTree.parse(tmp_path / "rx/TASKDATA/TASKDATA.XML").getroot()
    assert {tag: root.find(tag).get("B") for tag in ("PDT", "FRM", "CTR")} == {
        "PDT": "Mandipropamid 250 SC", "FRM": "Hof Süd", "CTR": "Moor eG",
    }  # fmt: skip
    done = run(*line, "--product", "x" * 33)
    assert done.returncode == 2 and "product has 33 characters; allowed are 1 to 32" in done.stderr


def test_no_section_opens_within_the_strip_along_water_in_this_order_and_in_later_ones(
    drawn: Path, tmp_path: Path
) -> None:
    import geopandas
    import shapely

    mapped, ditch = tmp_path / "map", tmp_path / "ditch.geojson"
    shutil.copytree(drawn, mapped)
    water = shapely.LineString([(565010, 5539990), (565010, 5540050)])  # through the blight
    geopandas.GeoSeries([water], crs="EPSG:32632").to_crs(4326).to_file(ditch)
    line = ("prescribe", mapped, "--machine", "sections_3m", "--threshold", "0.5", "--format", "gpkg")
    meadow, ground = "Lower Meadow by the long old ditch of 1820", shapely.box(565000, 5540000, 565060, 5540040)
    home = geopandas.GeoDataFrame({"field": [meadow]}, geometry=[ground], crs="EPSG:32632")
    home.to_file(mapped / "boundary.gpkg", layer="boundary")
    task = facts(*line[:-1], "isoxml3", "-o", tmp_path / "task")
    assert task["field"] == meadow
    assert f'C="{meadow[:32]}"' in (tmp_path / "task/TASKDATA/TASKDATA.XML").read_text(), "not all fields alike"
    free = facts(*line, "-o", tmp_path / "free")
    assert free["hectares"]["no_spray"] == 0
    told = facts(*line, "-o", tmp_path / "kept", "--keep-off", ditch, "--keep-off-m", 5)
    later = facts(*line, "-o", tmp_path / "later")
    assert told["hectares"] == later["hectares"] and told["litres"] < free["litres"]
    assert told["hectares"]["no_spray"] == pytest.approx(10 * 40 / 1e4, rel=0.1)
    assert any("1 shapes and 5 m around them" in remark for remark in later["remarks"])
    for name in ("kept", "later"):
        zones = geopandas.read_file(tmp_path / name / "prescription.gpkg", layer="prescription")
        assert zones[zones.rate_l_ha > 0].distance(water).min() >= 5 - 0.05
    far = tmp_path / "far.geojson"
    geopandas.GeoSeries([shapely.Point(10, 48)], crs=4326).to_file(far)
    for more, sentence in ((("--keep-off", far), "within 1 km"), (("--keep-off-m", 3), "name it with --keep-off")):
        done = run(*line, "-o", tmp_path / "x", *more)
        assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_no_spray_reaches_is_left_out_by_word_and_two_kinds_of_product_are_told(tmp_path: Path) -> None:
    labels = ("healthy", "bare_soil", "potato_late_blight", "weed", "tomato_mosaic", "abiotic")
    place = np.zeros((50, 90), int)
    for i in range(2, 6):
        place[10:40, 15 * (i - 1) : 15 * i] = i
    planes = np.where(place == np.arange(6)[:, None, None], np.float32(0.9), np.float32(0.02))
    rows = field_map.Rows(0, planes, np.full(place.shape, field_map.EXAMINED, np.uint8))
    grid = field_map.Grid("EPSG:32632", (0.4, 0.0, 565000.0, 0.0, -0.4, 5540040.0), 90, 50)
    made_of = {"raster": {"path": "field.tif", "sha256": "a1" * 32}, "bundle": {"name": "b", "hash": "b2" * 32}}
    mapped = field_map.write(tmp_path / "map", [rows], grid, labels, ok_label="healthy", facts=made_of).folder
    line = ("prescribe", mapped, "--machine", "spot_50cm_1m_zone", "--threshold", "0.5", "-o", tmp_path / "rx")
    found = facts(*line)
    assert found["targets"] == ["potato_late_blight", "weed"]
    # Two patches side by side of 6 m x 12 m each, with 1 m around them.
    assert found["hectares"]["sprayed"] == pytest.approx(14 * 14 / 1e4, rel=0.1)
    ha = 30 * 15 * 0.4**2 / 1e4
    for label, why in (("tomato_mosaic", "(virus)"), ("abiotic", "(no agent is known)")):
        told = next(r for r in found["remarks"] if r.startswith(f"not sprayed against: {label}, {ha:.4f} ha"))
        assert why in told
    assert any("oomycete: potato late blight; weed: weed" in remark for remark in found["remarks"])
    site = tmp_path / "site.toml"
    site.write_text('spray_kinds = ["weed"]')
    only = facts(*line, "--policy", site)
    assert only["targets"] == ["weed"] and not any("several kinds" in remark for remark in only["remarks"])
    site.write_text('spray_kinds = ["mite"]')
    none = run(*line, "--policy", site)
    assert none.returncode == 2 and "name what is to be sprayed as target" in none.stderr
    assert facts(*line, "--policy", site, "--target", "abiotic")["targets"] == ["abiotic"]


def test_a_walk_asks_about_the_threshold_and_the_targets_that_were_prescribed_on_the_map(
    drawn: Path, tmp_path: Path
) -> None:
    mapped, sheet = tmp_path / "map", tmp_path / "walk.html"
    shutil.copytree(drawn, mapped, ignore=shutil.ignore_patterns("prescribed.json"))
    before = facts("scout", mapped, "-o", sheet)
    assert before["threshold"] == 0.5 and "assumed" in before["remarks"][0] and "0.50: assumed" in sheet.read_text()
    line = ("prescribe", mapped, "--machine", "spot_50cm_1m_zone", "--target", "weed", "-o", tmp_path / "rx")
    ordered = facts(*line, "--threshold", "0.7")
    after = facts("scout", mapped, "-o", sheet)
    assert after["threshold"] == ordered["threshold"] == 0.7 and after["targets"] == ordered["targets"] == ["weed"]
    assert "as prescribed for" in after["remarks"][0] and "sprayed from 0.70" in sheet.read_text()
    assert facts("scout", mapped, "-o", sheet, "--threshold", "0.4")["threshold"] == 0.4
    (mapped / "prescribed.json").write_text("{")
    assert facts("scout", mapped, "-o", sheet)["threshold"] == 0.5


def test_numbers_that_count_differently_say_what_they_count(drawn: Path, tmp_path: Path) -> None:
    told = run("zones", drawn).stdout
    assert re.search(r"potato_late_blight +1 zones +[\d.]+ ha, on the map +[\d.]+ ha", told)
    assert "takes in patches below 1 m2 of other classes" in told
    ha = json.loads((drawn / "map.json").read_text())["hectares"]
    assert facts("zones", drawn)["labels"]["weed"]["hectares_of_cells"] == ha["weed"]
    told = run("prescribe", drawn, "--machine", "spot_50cm_1m_zone", "-o", tmp_path / "rx").stdout
    assert f"the map counts its cells, {ha['not_examined']:.4f} ha" in told
    assert re.search(r"\d\.\d\d? l against \d+\.\d\d? l broadcast", told), "a saving of 10 % is seen in the litres"


def test_what_a_terminal_would_refuse_is_one_sentence_and_not_written(drawn: Path, tmp_path: Path) -> None:
    line = ("prescribe", drawn, "--machine", "sections_3m", "-o", tmp_path / "out")
    for more, sentence in (
        (("--terminal", "isoxml_v4"), "would refuse it: .*3.3"),
        (("--format", "shp", "--terminal", "isoxml_v3"), "takes isoxml, not shp"),
        (("--machine", "section_3m"), "did you mean 'sections_3m'"),
        (("--target", "wheat"), "is no label of the map"),
        (("--threshold", "30"), "allowed is above 0 and up to 1"),
    ):
        done = run(*line, *more)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert re.search(sentence, done.stderr), done.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_zone_gets_water_a_wet_one_waits_and_a_broken_one_is_not_assessed(tmp_path: Path) -> None:
    pytest.importorskip("pyfao56")
    days = [(date(2026, 5, 1) + timedelta(days=i)).isoformat() for i in range(75)]
    (tmp_path / "farm.toml").write_text(FARM)
    rows = "\n".join(f"{day},12,26,9,2,20,{3.5 if i % 2 else 0}" for i, day in enumerate(days))
    (tmp_path / "weather.csv").write_text(f"date,tmin_c,tmax_c,tdew_c,wind2m_m_s,solar_mj_m2,rain_mm\n{rows}\n")
    layers = "".join(f"{zone},{end},0.28,0.10,0.26\n" for zone in ("dry", "wet") for end in (30, 80))
    shallow = "stony,20,0.28,0.10,0.26\n"
    (tmp_path / "soil.csv").write_text(f"zone,bottom_cm,field_capacity,wilting_point,initial\n{layers}{shallow}")
    read = "".join(f"{zone},{days[-3]},{end},{v}\n" for zone, v in (("dry", 0.14), ("wet", 0.27)) for end in (30, 80))
    (tmp_path / "probes.csv").write_text(f"zone,date,bottom_cm,content\n{read}")
    found = facts("irrigate", tmp_path / "farm.toml")
    zones = {zone["zone"]: zone for zone in found["zones"]}
    assert zones["dry"]["answer"] == "irrigate" and zones["dry"]["depth_mm"] > 10 and zones["dry"]["confidence"] > 0.5
    assert zones["wet"]["answer"] == "wait" and zones["wet"]["depth_mm"] == 0
    assert zones["stony"]["answer"] == "not_assessed" and zones["stony"]["confidence"] is None
    assert "yield" in found["not_claimed"]
    told = run("irrigate", tmp_path / "farm.toml", "--on", "yesterday")
    assert told.returncode == 2 and "write it as 2026-07-14" in told.stderr


def test_a_folder_that_is_no_map_and_a_bundle_that_is_none_are_one_sentence(tmp_path: Path) -> None:
    for line in (
        ("zones", tmp_path), ("prescribe", tmp_path, "--machine", "boom_24m", "-o", tmp_path / "x"),
        ("map", tmp_path, tmp_path / "none.tif", "-o", tmp_path / "x"), ("irrigate", tmp_path / "farm.toml"),
    ):  # fmt: skip
        done = run(*line)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr


def test_on_a_map_the_sites_limit_of_novelty_holds_and_the_bundles_where_it_is_lower(
    bundle: Path, real_data: Path, tmp_path: Path
) -> None:
    corn, strict = real_data / "agriculture/geotiff/corn_field_rgba_2cm.tif", tmp_path / "strict.toml"
    strict.write_text("novelty_limit = 0.01")
    told = facts("map", bundle, corn, "--tile", 96, "--policy", strict, "-o", tmp_path / "map")
    assert told["hectares"]["examined"] == 0 and "unlike the training images" in told["not_examined_because"]
    assert any("above 0.01 is NOT EXAMINED: the policy's limit" in remark for remark in told["remarks"])
    usual = facts("map", bundle, corn, "--tile", 96, "-o", tmp_path / "map")
    own = json.loads((bundle / "bundle.json").read_text())["novelty"]["limit"]
    assert any(f"above {min(own, 1.5):.2f} is NOT EXAMINED" in remark for remark in usual["remarks"])


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_a_raster_whose_bands_have_no_names_is_read_once_they_are_named_as_the_sentence_says(
    bundle: Path, real_data: Path, tmp_path: Path
) -> None:
    landsat = real_data / "agriculture/geotiff/landsat7_6band_utm25s.tif"
    line = ("map", bundle, landsat, "--tile", 64, "-o", tmp_path / "map")
    unnamed = run(*line)
    assert unnamed.returncode == 2 and "--bands red=3,green=2,blue=1" in unnamed.stderr
    named = facts(*line, "--bands", "red=3,green=2,blue=1")
    assert named["hectares"]["field"] == pytest.approx(352 * 200 * 28.5**2 / 1e4, rel=0.05)
    scene = scenes.read(tmp_path / "map")
    assert scene.raster is not None, "the page shows the picture by the same bands"
    fields = tmp_path / "fields"
    fields.mkdir()
    shutil.copy(landsat, fields)
    assert facts("ingest", "agriculture", fields, "-o", tmp_path / "a")["samples"] == 0
    (fields / "landsat7_6band_utm25s.raster.toml").write_text('bands = "red=3,green=2,blue=1"')
    read = facts("ingest", "agriculture", fields, "-o", tmp_path / "b")
    assert read["samples"] == 24 and not any("raster.toml" in problem for problem in read["problems"])


def test_a_walk_is_planned_for_gps_and_paper_and_what_was_seen_there_gives_hectares(
    drawn: Path, tmp_path: Path
) -> None:
    gpx, paper = tmp_path / "walk.gpx", tmp_path / "walk.html"
    counts = ("--threshold", 0.5, "--uncertain", 1, "--high", 2, "--control", 2, "--unseen", 0)
    told = facts("scout", drawn, "-o", gpx, "-o", paper, *counts)
    assert told["stops"] >= 3 and gpx.read_text().count("<wpt ") >= told["stops"] and "://" not in paper.read_text()
    rows = ["easting,northing,label"]
    # Four points in the blight of the map, of which one is healthy in truth, and six in what it calls healthy.
    rows += [f"{565008 + 4 * i},5540030,{'healthy' if i == 3 else 'potato_late_blight'}" for i in range(4)]
    rows += [f"{565030 + 3 * i},5540025,healthy" for i in range(6)]
    points = tmp_path / "seen.csv"
    points.write_text("\n".join([*rows, "565030,5540005,weed", "565040,5540006,weed", "7,9,weed"]) + "\n")
    found = facts("truth", drawn, points, "--design", "purposive")
    assert found["points"] == 12 and len(found["left_out"]) == 1 and found["area"] is None
    assert found["precision"]["potato_late_blight"]["value"] == 0.75
    assert found["recall"]["healthy"]["n"] == 7
    refused = run("truth", drawn, points, "--design", "random", "--tiles", tmp_path / "tiles")
    assert refused.returncode == 2 and "--raster" in refused.stderr


def test_two_flights_are_compared_zone_by_zone_and_swapped_days_are_one_sentence(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "history.csv"
    told = facts("flights", drawn, drawn, "--on", "2026-07-01", "2026-07-14", "-o", out)
    assert told["zones"] == 2 and sum(told["verdicts"].values()) == 2 and "more" not in told["verdicts"]
    assert out.read_text().startswith("zone,date,") and "--rasters" in told["remarks"][0]
    swapped = run("flights", drawn, drawn, "--on", "2026-07-14", "2026-07-01")
    assert swapped.returncode == 2 and "swap them" in swapped.stderr
