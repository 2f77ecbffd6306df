import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import ConfigError, DataError
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.spraying import grid, layers, machine, plan, terminals
from verticals.agriculture.spraying.isoxml_files import write_task
from verticals.agriculture.spraying.provenance import Provenance
from verticals.agriculture.spraying.terminal_profiles import Terminal, named, profiles

shapely = pytest.importorskip("shapely")
geopandas = pytest.importorskip("geopandas")

UTM = "EPSG:32633"
MADE_FROM = Provenance("0a1b2c3d" * 8, "1b2c3d4e" * 8, "2c3d4e5f" * 8, 0.35, 0.95, synthetic=True)
SHAPEFILES = [key for key, terminal in profiles().items() if terminal.format == "shp"]


def spots(count: int = 3) -> plan.SprayPlan:
    """A field of 1 ha with some spots to spray."""
    outline = shapely.affinity.rotate(shapely.box(500000, 5500000, 500100, 5500100), 25)
    on = grid.lay(outline, UTM, machine.named("nozzle_50cm"))
    rng = np.random.default_rng(2)
    shapes = [shapely.Point(x, y).buffer(0.4) for x, y in rng.uniform([500000, 5500000], [500100, 5500100], (count, 2))]
    return plan.spray_plan(on, grid.burn(shapes, on.transform, on.inside.shape), on.inside)


def ogrinfo(path: Path) -> str:
    program = shutil.which("ogrinfo")
    if program is None:
        pytest.skip("ogrinfo (gdal-bin) is not installed")
    done = subprocess.run([program, "-al", "-so", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "ERROR" not in done.stderr + done.stdout and "may only be part" not in done.stderr
    return done.stdout


def test_polygons_cover_the_field_once_with_the_hectares_and_litres_of_the_plan() -> None:
    made = spots()
    zones = layers.prescription(made)
    assert zones.crs.to_epsg() == 32633 and list(zones["zone"]) == list(range(1, len(zones) + 1))
    assert zones["area_ha"].sum() == pytest.approx(hectares([made.grid.outline], UTM)[0], rel=1e-6)
    sprayed = zones[zones["rate_l_ha"] > 0]
    assert set(sprayed["rate_l_ha"]) == {200.0}
    assert sprayed["area_ha"].sum() == pytest.approx(made.hectares["sprayed"], rel=0.02)
    assert all(polygon.exterior.is_ccw for polygon in zones.geometry)


def test_debians_gdal_reads_the_geopackage_with_its_provenance(tmp_path: Path) -> None:
    made = spots()
    said = ogrinfo(layers.write_geopackage(made, tmp_path / "rx.gpkg", MADE_FROM))
    for wanted in (
        f"loupe_raster={MADE_FROM.raster}",
        f"loupe_bundle={MADE_FROM.bundle}",
        f"loupe_map={MADE_FROM.map}",
        "loupe_threshold=0.35",
        "loupe_recall_target=0.95",
        "loupe_synthetic=True",
        f"loupe_sprayed_ha={made.hectares['sprayed']:.4f}",
        "Layer name: prescription",
        "Layer name: boundary",
    ):
        assert wanted in said


@pytest.mark.parametrize("key", SHAPEFILES)
def test_a_shapefile_passes_the_terminal_it_was_written_for_and_gdal_reads_it(tmp_path: Path, key: str) -> None:
    made, terminal = spots(), named(key)
    folder = layers.write_shapefile(made, tmp_path / "out", terminal)
    assert terminals.check(folder, terminal) == ()
    said = ogrinfo(folder / "RX.shp")
    assert "Geometry: Polygon" in said and "WGS 84" in said
    positions = [said.index(f"{column}: Real") for column in terminal.columns]
    assert positions == sorted(positions)
    read = geopandas.read_file(folder / "RX.shp")
    assert set(read[terminal.columns[0]]) == {0.0, 200.0}
    assert all((read[column] == 0).all() for column in terminal.columns[1:])


def test_a_plan_of_too_many_areas_is_refused_for_a_small_terminal_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"Agrotax AGFusion would refuse it: it has \d+ polygons, the terminal takes 100"
    ):
        layers.write_shapefile(spots(200), tmp_path / "out", named("agrotax_agfusion"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="'LONGER_NAME'; the terminal reads names of up to 8"):
        layers.write_shapefile(spots(), tmp_path / "out", named("agrotax_agfusion"), stem="LONGER_NAME")
    with pytest.raises(DataError, match="a plain name without folders"):
        layers.write_shapefile(spots(), tmp_path / "out", named("shapefile"), stem="../RX")
    with pytest.raises(DataError, match="takes isoxml, not a Shapefile"):
        layers.write_shapefile(spots(), tmp_path / "out", named("isoxml_v3"))


def square(side: float = 0.001) -> Any:
    return shapely.box(15.0, 49.6, 15.0 + side, 49.6 + side)


@pytest.mark.parametrize(
    ("columns", "shape", "crs", "key", "sentence"),
    [
        (
            {"RATE": [1.0]},
            shapely.Point(15, 49.6),
            4326,
            "shapefile",
            r"of type 1 \(Point\); the terminal reads type 5",
        ),
        ({"RATE": ["much"]}, square(), 4326, "shapefile", "column RATE is of type 'C'"),
        ({"DOSE": [1.0]}, square(), 4326, "shapefile", r"columns DOSE \(N\); RATE must be there"),
        ({"RATE": [-1.0]}, square(), 4326, "shapefile", "values below 0"),
        ({"RATE": [1.0]}, shapely.box(5e5, 5.5e6, 5.001e5, 5.5001e6), UTM, "shapefile", "steer by WGS 84"),
        ({"RATE": [1.0]}, square(0.05), 4326, "vaderstad_seedhawk", "ha, the terminal takes less than 485.6"),
        ({"RATE": [1.0]}, square(), 4326, "agrotax_agfusion", "takes exactly FERT_L, FERT_A, SEEDS"),
        (
            {"SEEDS": [1.0], "FERT_A": [1.0], "FERT_L": [1.0]},
            square(),
            4326,
            "agrotax_agfusion",
            "goes by their order: FERT_L, FERT_A, SEEDS",
        ),
    ],
)
def test_every_reason_to_refuse_a_shapefile_is_told(
    tmp_path: Path, columns: dict[str, Any], shape: Any, crs: Any, key: str, sentence: str
) -> None:
    geopandas.GeoDataFrame(columns, geometry=[shape], crs=crs).to_file(tmp_path / "RX.shp")
    refusals = terminals.check(tmp_path, named(key))
    assert len(refusals) == 1
    assert re.search(sentence, refusals[0])


def test_missing_parts_cut_files_large_files_and_bare_ground_are_told(tmp_path: Path) -> None:
    folder = layers.write_shapefile(spots(), tmp_path / "out", named("shapefile"))
    data = (folder / "RX.shp").read_bytes()
    small = Terminal("tiny", "shp", "a test", "2026-01-01", columns=("RATE",), max_bytes=1000)
    assert "bytes, the terminal takes 1,000" in terminals.check(folder, small)[0]
    seedhawk = named("vaderstad_seedhawk")
    far = geopandas.GeoSeries([spots().grid.outline.buffer(20)], crs=UTM).to_crs(4326).iloc[0]
    assert "applies its normal rate" in terminals.check(folder, seedhawk, field=far)[0]
    (folder / "RX.shp").write_bytes(data[:-40])
    assert "it was cut off" in terminals.check(folder, seedhawk)[0]
    (folder / "RX.dbf").unlink()
    assert "lacks .dbf" in terminals.check(folder / "RX.shp", seedhawk)[0]
    with pytest.raises(DataError, match="0 Shapefiles are there"):
        terminals.check(tmp_path, seedhawk)


@pytest.mark.parametrize(
    ("found", "put", "sentence"),
    [
        ('VersionMinor="3"', 'VersionMinor="0"', "of version 3.0; the terminal reads 3.3"),
        ("TSK1", "TSK-1", "TSK has the id 'TSK-1'; allowed are TSK1"),
        ('<CTR A="CTR1" B="customer"/>', "", r"no Customer \(CTR\); some terminals hide"),
        (' J="0"', "", "no out of field treatment zone"),
        ('G="GRD00000"', 'G="GRD00001"', "GRD00001.bin is not in the folder"),
        (' D="FRM1" E="PFD1"', ' D="FRM9" E="PFD1"', "names Farm FRM9, which is not there"),
        (' I="1"/>', ' I="2"/>', "bytes, .* cells of grid type 2 need"),
        ('<TZN A="1"', '<TZN A="5"', r"uses the treatment zones \[1\]"),
        ("</PLN>", "</PLN><PLN/>", "2 polygons; the terminal takes one"),
        ("</TSK>", '<GRD E="0" F="0" G="GRD00000" I="1"/></TSK>', "2 grids; the terminal takes one map"),
    ],
)
def test_every_reason_to_refuse_a_task_is_told(tmp_path: Path, found: str, put: str, sentence: str) -> None:
    write_task(spots(), tmp_path, MADE_FROM)
    file = tmp_path / "TASKDATA" / "TASKDATA.XML"
    text = file.read_text()
    assert found in text
    file.write_text(text.replace(found, put))
    refusals = terminals.check(tmp_path, named("mueller_touch"))
    assert any(re.search(sentence, refusal) for refusal in refusals), refusals


def test_a_task_passes_as_a_folder_and_as_a_zip_and_a_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("task", "task.zip"):
        for version, key in (("3.3", "mueller_touch"), ("3.3", "isoxml_v3"), ("4.3", "isoxml_v4")):
            write_task(spots(), tmp_path / name, MADE_FROM, version=version)
            assert terminals.check(tmp_path / name, named(key)) == ()
    (tmp_path / "task.zip").write_bytes(b"PK no")
    with pytest.raises(DataError, match="no zip that can be read"):
        terminals.check(tmp_path / "task.zip", named("isoxml_v3"))


def test_xml_that_is_a_trap_and_folders_without_a_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no TASKDATA.XML"):
        terminals.check(tmp_path, named("isoxml_v3"))
    (tmp_path / "TASKDATA.XML").write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(DataError, match="safe to read"):
        terminals.check(tmp_path, named("isoxml_v3"))


def test_every_terminal_names_its_source_and_an_unknown_one_is_told() -> None:
    assert all(terminal.source and terminal.checked_on for terminal in profiles().values())
    with pytest.raises(ConfigError, match="did you mean 'isoxml_v3'"):
        named("isoxml_v33")


def test_the_designator_keeps_to_the_standards_32_characters_at_its_longest() -> None:
    longest = replace(MADE_FROM, threshold=1.0, recall_target=1.0)
    assert longest.designator() == "r0a1b2c b1b2c3d m2c3d4e t1R100"
    assert len(replace(MADE_FROM, threshold=0.999, recall_target=0.999).designator()) <= 32
    assert replace(MADE_FROM, threshold=None, recall_target=None).designator() == "r0a1b2c b1b2c3d m2c3d4e"
    with pytest.raises(DataError, match="at least 6 hexadecimal digits"):
        Provenance("unknown", "1b2c3d", "2c3d4e")
