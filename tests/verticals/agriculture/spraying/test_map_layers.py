from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import DataError
from verticals.agriculture.mapping import field_map
from verticals.agriculture.mapping.field_map import FieldMap
from verticals.agriculture.spraying import grid, layers, machine, plan, savings, terminals
from verticals.agriculture.spraying.isoxml_files import write_task
from verticals.agriculture.spraying.map_layers import map_layers
from verticals.agriculture.spraying.terminal_profiles import named

shapely = pytest.importorskip("shapely")
pytest.importorskip("rasterio")
geopandas = pytest.importorskip("geopandas")

UTM = "EPSG:32633"
LABELS = ("healthy", "late_blight", "weeds")
OUTLINE = shapely.box(500000, 5500000, 500060, 5500040)


def drawn_map(folder: Path) -> FieldMap:
    """60 m x 40 m in cells of 0.2 m: blight in the north-west, weeds in the south-east, the last 6 m NOT EXAMINED."""
    blight, weeds = np.full((200, 300), 0.001, np.float32), np.full((200, 300), 0.03, np.float32)
    blight[20:50, 30:70], weeds[150:170, 200:240] = 0.9, 0.6
    validity = np.full((200, 300), field_map.EXAMINED, np.uint8)
    validity[:, 270:] = field_map.NOT_EXAMINED
    rows = field_map.Rows(0, np.stack([1 - blight - weeds, blight, weeds]), validity)
    cells = field_map.Grid(UTM, (0.2, 0.0, 500000.0, 0.0, -0.2, 5500040.0), 300, 200)
    facts = {"raster": {"path": "field.tif", "sha256": "a1" * 32}, "bundle": {"name": "b", "hash": "b2" * 32}}
    return field_map.write(folder, [rows], cells, LABELS, ok_label="healthy", facts=facts)


def laid() -> grid.SwathGrid:
    return grid.lay(OUTLINE, UTM, machine.named("nozzle_50cm"))


def at(on: grid.SwathGrid, raster: Any, x: float, y: float) -> float:
    column, row = ~on.transform @ (500000 + x, 5500000 + y)
    return float(raster[int(row), int(column)])


def test_all_labels_but_the_healthy_one_are_targets_and_each_can_be_chosen_alone(tmp_path: Path) -> None:
    on = laid()
    both = map_layers(drawn_map(tmp_path / "map"), on)
    assert both.targets == ("late_blight", "weeds")
    assert at(on, both.score, 10, 33) == pytest.approx(0.9) and at(on, both.score, 44, 8) == pytest.approx(0.6)
    assert at(on, both.expected, 10, 33) == pytest.approx(0.93) and at(on, both.expected, 25, 20) == pytest.approx(
        0.031
    )
    weeds = map_layers(FieldMap.open(tmp_path / "map"), on, ["weeds"])
    assert at(on, weeds.score, 10, 33) == pytest.approx(0.03) and at(on, weeds.score, 44, 8) == pytest.approx(0.6)
    assert on.hectares(on.inside & ~both.examined) == pytest.approx(0.024, rel=0.06)
    assert np.isnan(at(on, both.score, 58, 20))
    with pytest.raises(DataError, match="'weed' is no label of the map; did you mean 'weeds'"):
        map_layers(FieldMap.open(tmp_path / "map"), on, ["weed"])


def test_a_map_becomes_a_prescription_with_its_provenance_and_its_not_examined_ground_as_a_layer(
    tmp_path: Path,
) -> None:
    on = laid()
    read = map_layers(drawn_map(tmp_path / "map"), on, ["late_blight"])
    curve = savings.savings_curve(on, read.score, read.examined, expected=read.expected, recall_target=0.9)
    assert curve.basis == "expected" and curve.operating is not None
    assert curve.operating.threshold == pytest.approx(0.9)
    made = plan.spray_plan(on, read.score >= np.float32(curve.operating.threshold), read.examined)
    assert made.hectares["target"] == pytest.approx(8 * 6 / 10_000, rel=0.05)
    assert made.hectares["sprayed_not_examined"] == pytest.approx(0.024, rel=0.06)
    source = read.provenance(threshold=curve.operating.threshold, recall_target=0.9, made_at="2026-05-01T08:00:00Z")
    assert source.designator() == f"ra1a1a1 bb2b2b2 m{read.map[:6]} t.90R90"
    write_task(made, tmp_path / "task", source)
    assert terminals.check(tmp_path / "task", named("isoxml_v3")) == ()
    layers.write_geopackage(made, tmp_path / "rx.gpkg", source)
    unseen = geopandas.read_file(tmp_path / "rx.gpkg", layer="not_examined")
    assert unseen["area_ha"].sum() == pytest.approx(made.hectares["not_examined"], rel=1e-3)


def test_a_map_that_does_not_say_what_it_was_made_from_gives_no_provenance(tmp_path: Path) -> None:
    mute = drawn_map(tmp_path / "map")
    read = map_layers(FieldMap(mute.folder, {**mute.card, "bundle": {}}), laid())
    with pytest.raises(DataError, match="bundle is ''; allowed is a hash"):
        read.provenance(threshold=None, recall_target=None, made_at="")
