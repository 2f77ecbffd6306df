import base64
import importlib.util
import json
import re
import shutil
import struct
import subprocess
import zipfile
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml import ElementTree
from numpy.typing import NDArray

from shared.errors import DataError
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.spraying import grid, isoxml_files, machine, plan
from verticals.agriculture.spraying.isoxml_files import TaskNames, raw_value, task_grid, write_task
from verticals.agriculture.spraying.provenance import Provenance

shapely = pytest.importorskip("shapely")
pytest.importorskip("isoxml", reason="isoxml is not installed")

UTM = "EPSG:32633"
MADE_FROM = Provenance("0a1b2c3d" * 8, "1b2c3d4e" * 8, "2c3d4e5f" * 8, threshold=0.35, recall_target=0.95)
KINDS = [("3.3", 1), ("3.3", 2), ("4.3", 1), ("4.3", 2)]


def spot_plan(outline: Any = None, no_spray: tuple[Any, ...] = ()) -> plan.SprayPlan:
    """One spot in the north-west of a field of 60 m x 40 m with a hole: no flip or turn of the grid looks like it."""
    if outline is None:
        outline = shapely.box(500000, 5500000, 500060, 5500040) - shapely.box(500040, 5500010, 500050, 5500020)
    swaths = grid.lay(outline, UTM, machine.named("nozzle_50cm"), heading_deg=90)
    target = grid.burn([shapely.box(500004, 5500028, 500012, 5500034)], swaths.transform, swaths.inside.shape)
    return plan.spray_plan(swaths, target, swaths.inside, no_spray=no_spray)


def read_by_the_standard(folder: Path) -> tuple[NDArray[np.int64], dict[str, float]]:
    """Rates of a TASKDATA as ISO 11783-10 describes them, first row in the south, and where they lie."""
    root = ElementTree.parse(folder / "TASKDATA.XML").getroot()
    task, described = root.find("TSK"), root.find("TSK/GRD")
    rows, columns = int(described.get("F")), int(described.get("E"))
    data = (folder / f"{described.get('G')}.bin").read_bytes()
    assert int(described.get("H")) == len(data)
    zones = {int(z.get("A")): int(z.find("PDV").get("B")) for z in task.findall("TZN")}
    if described.get("I") == "1":
        cells = [zones[code] for code in data]
    else:
        cells = list(struct.unpack(f"<{rows * columns}i", data))
    place = {
        k: float(described.get(a)) for k, a in {"south": "A", "west": "B", "north_size": "C", "east_size": "D"}.items()
    }
    return np.array(cells).reshape(rows, columns), place


@pytest.mark.parametrize(("version", "grid_type"), KINDS)
def test_a_reader_written_by_the_standard_finds_the_spot_in_the_north_west_at_its_rate(
    tmp_path: Path, version: Any, grid_type: Any
) -> None:
    write_task(spot_plan(), tmp_path / "out", MADE_FROM, version=version, grid_type=grid_type)
    rates, place = read_by_the_standard(tmp_path / "out" / "TASKDATA")
    assert set(np.unique(rates)) == {0, 2_000_000}
    rows, columns = np.nonzero(rates)
    longitude = place["west"] + (columns + 0.5) * place["east_size"]
    latitude = place["south"] + (rows + 0.5) * place["north_size"]
    pyproj = pytest.importorskip("pyproj")
    x, y = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(longitude, latitude)
    # The spot with its safety zone of 1 m, and at most a section, a step and a cell more.
    assert 500001.4 <= x.min() <= 500003.5 and 500012.5 <= x.max() <= 500014.6
    assert 5500026 <= y.min() <= 5500027.5 and 5500034.5 <= y.max() <= 5500036


def test_hectares_of_the_written_grid_are_those_of_the_plan(tmp_path: Path) -> None:
    written = spot_plan()
    write_task(written, tmp_path / "out", MADE_FROM)
    rates, place = read_by_the_standard(tmp_path / "out" / "TASKDATA")
    cell = shapely.box(
        place["west"], place["south"], place["west"] + place["east_size"], place["south"] + place["north_size"]
    )
    area = np.count_nonzero(rates) * hectares([cell], "EPSG:4326")[0]
    assert area == pytest.approx(written.hectares["sprayed"], rel=0.03)


def test_the_zip_holds_what_the_folder_holds(tmp_path: Path) -> None:
    write_task(spot_plan(), tmp_path / "out", MADE_FROM)
    write_task(spot_plan(), tmp_path / "out.zip", MADE_FROM)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sorted(archive.namelist()) == ["TASKDATA/GRD00000.bin", "TASKDATA/TASKDATA.XML"]
        for name in archive.namelist():
            assert archive.read(name) == (tmp_path / "out" / name).read_bytes()


@pytest.mark.parametrize("version", ["3.3", "4.3"])
def test_the_task_says_who_where_and_from_what_and_is_off_where_nothing_is_known(tmp_path: Path, version: Any) -> None:
    write_task(spot_plan(), tmp_path / "out", MADE_FROM, names=TaskNames("Long Acre", "Hill", "Home"), version=version)
    root = ElementTree.parse(tmp_path / "out" / "TASKDATA" / "TASKDATA.XML").getroot()
    task = root.find("TSK")
    assert task.get("B") == "r0a1b2c b1b2c3d m2c3d4e t.35R95"
    assert [task.get(a) for a in "ACDEHIJ"] == ["TSK1", "CTR1", "FRM1", "PFD1", "0", "0", "0"]
    assert (root.find("CTR").get("B"), root.find("FRM").get("B"), root.find("PFD").get("C")) == (
        "Hill",
        "Home",
        "Long Acre",
    )
    assert int(root.find("PFD").get("D")) == pytest.approx(2301, abs=8)
    assert [line.get("A") for line in root.iter("LSG")] == ["1", "2"]
    assert all("E" not in value and "e" not in value for value in root.find("TSK/GRD").attrib.values())


def test_raw_values_are_those_of_the_data_dictionary() -> None:
    assert raw_value(200) == 2_000_000
    assert raw_value(100, mass=True) == 10_000
    from isoxml.models.ddi_entities import DDEntity

    liquid = DDEntity.from_id(isoxml_files.VOLUME_PER_AREA_DDI)
    assert raw_value(200) * liquid.bit_resolution == pytest.approx(20_000) and "mm³/m²" in liquid.unit
    solid = DDEntity.from_id(isoxml_files.MASS_PER_AREA_DDI)
    assert raw_value(100, mass=True) * solid.bit_resolution == pytest.approx(10_000) and "mg/m²" in solid.unit
    with pytest.raises(DataError, match="as a process value"):
        raw_value(300_000)


def test_no_cell_that_touches_no_spray_ground_is_on() -> None:
    ditch = shapely.LineString([(500002, 5500026), (500016, 5500033)]).buffer(0.5)
    # Cells wider than the sections that are off: a centre beside the ditch is no leave to spray into it.
    cells = task_grid(spot_plan(no_spray=(ditch,)), cell_m=1.5)
    assert cells.on.any()
    geopandas = pytest.importorskip("geopandas")
    in_degrees = geopandas.GeoSeries([ditch], crs=UTM).to_crs(4326).iloc[0]
    for row, column in np.argwhere(cells.on):
        south, west = float(cells.south + row * cells.cell_north), float(cells.west + column * cells.cell_east)
        cell = shapely.box(west, south, west + float(cells.cell_east), south + float(cells.cell_north))
        assert not cell.buffer(-1e-9).intersects(in_degrees)


def test_a_field_in_two_parts_is_one_task_in_v4_and_refused_in_v3(tmp_path: Path) -> None:
    parts = shapely.union(shapely.box(500000, 5500000, 500030, 5500040), shapely.box(500040, 5500000, 500060, 5500040))
    with pytest.raises(DataError, match="2 parts"):
        write_task(spot_plan(parts), tmp_path / "v3", MADE_FROM)
    assert not (tmp_path / "v3").exists()
    write_task(spot_plan(parts), tmp_path / "v4", MADE_FROM, version="4.3")
    assert len(list(ElementTree.parse(tmp_path / "v4" / "TASKDATA" / "TASKDATA.XML").getroot().iter("PLN"))) == 2


@pytest.mark.parametrize("grid_type", [1, 2])
def test_v4_is_valid_by_the_official_schema(tmp_path: Path, grid_type: Any) -> None:
    found = importlib.util.find_spec("isoxml_writer")
    if found is None or not found.origin:
        pytest.skip("isoxml-writer is not installed; its wheel carries the official V4.3 schemas")
    xmlschema = pytest.importorskip("xmlschema")
    schemas = Path(found.origin).parent / "ISOXML_schema"
    write_task(spot_plan(), tmp_path / "out", MADE_FROM, version="4.3", grid_type=grid_type)
    schema = xmlschema.XMLSchema(schemas / "ISO11783_TaskFile_V4-3.xsd")
    assert not list(map(str, schema.iter_errors(tmp_path / "out" / "TASKDATA" / "TASKDATA.XML")))


def breaches(element: Any, model: Any, ids: set[str]) -> list[str]:
    """What breaks the facets that xsdata took over into its classes from the official V3.3 schema."""
    known = {f.metadata["name"]: f for f in fields(model) if "name" in f.metadata}
    found = [f"{element.tag}@{name} unknown" for name in element.attrib if known.get(name) is None]
    for name, f in known.items():
        if f.metadata["type"] != "Attribute":
            continue
        value, facets = element.get(name), f.metadata
        if value is None:
            found += [f"{element.tag}@{name} missing"] if facets.get("required") else []
            continue
        bad = "pattern" in facets and not re.fullmatch(facets["pattern"], value)
        bad |= not facets.get("min_length", 0) <= len(value) <= facets.get("max_length", 10**6)
        if "min_inclusive" in facets:
            bad |= not Decimal(str(facets["min_inclusive"])) <= Decimal(value) <= Decimal(str(facets["max_inclusive"]))
        bad |= facets.get("full_name", "").endswith("IdRef") and value not in ids
        found += [f"{element.tag}@{name}={value}"] * bool(bad)
    for child in element:
        f = known.get(child.tag)
        found += breaches(child, f.type.__args__[0], ids) if f is not None else [f"{child.tag} in {element.tag}"]
    return found


@pytest.mark.parametrize("grid_type", [1, 2])
def test_v3_keeps_every_facet_of_the_official_schema(tmp_path: Path, grid_type: Any) -> None:
    from isoxml.models.base.v3 import Iso11783TaskData

    write_task(spot_plan(), tmp_path / "out", MADE_FROM, grid_type=grid_type)
    root = ElementTree.parse(tmp_path / "out" / "TASKDATA" / "TASKDATA.XML").getroot()
    ids = {e.get("A") for e in root.iter() if re.fullmatch(r"[A-Z]{3}\d+", e.get("A", ""))}
    assert breaches(root, Iso11783TaskData, ids) == []
    root.find("TSK").set("B", "x" * 33)
    root.find("TSK").set("E", "PFD7")
    del root.find("TSK/GRD").attrib["F"]
    assert len(breaches(root, Iso11783TaskData, ids)) == 3


READER = """
const { ISOXMLManager } = require('isoxml');
const fs = require('fs');
(async () => {
  const answers = [];
  for (const path of process.argv.slice(2)) {
    const manager = new ISOXMLManager();
    await manager.parseISOXMLFile(new Uint8Array(fs.readFileSync(path)), 'application/zip');
    const task = manager.getEntitiesOfTag('TSK')[0];
    const grid = task.attributes.Grid[0];
    answers.push({
      warnings: manager.getWarnings(),
      designator: task.attributes.TaskDesignator,
      rows: grid.attributes.GridMaximumRow, columns: grid.attributes.GridMaximumColumn,
      south: grid.attributes.GridMinimumNorthPosition, west: grid.attributes.GridMinimumEastPosition,
      data: Buffer.from(grid.binaryData).toString('base64'),
    });
  }
  console.log(JSON.stringify(answers));
})();
"""


@pytest.mark.long
def test_the_javascript_reader_gives_equal_grids_without_a_warning(tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "isoxml@1.11.2"]
    if subprocess.run(install, capture_output=True, timeout=300).returncode:
        pytest.skip("npm cannot install isoxml 1.11.2 here")
    (tmp_path / "read.js").write_text(READER)
    files = [write_task(spot_plan(), tmp_path / f"{v}-{t}.zip", MADE_FROM, version=v, grid_type=t) for v, t in KINDS]
    done = subprocess.run(
        [node, "read.js", *map(str, files)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    wanted = task_grid(spot_plan())
    for answer, (_, grid_type) in zip(json.loads(done.stdout), KINDS, strict=True):
        assert answer["warnings"] == [] and answer["designator"] == MADE_FROM.designator()
        assert (answer["south"], answer["west"]) == (float(wanted.south), float(wanted.west))
        values = np.frombuffer(base64.b64decode(answer["data"]), np.uint8 if grid_type == 1 else "<i4")
        on = values.reshape(answer["rows"], answer["columns"]) > 0
        np.testing.assert_array_equal(on, wanted.on)
