"""What the page says in words and colours, without a browser."""

import json
from types import SimpleNamespace

import pytest

from shared.records import Verdict
from shared.review.items import Item
from verticals.agriculture.viewing import decks, prescriptions, wording

FACTS = {
    "hectares": {"sprayed": 0.041, "broadcast": 0.046, "not_examined": 0.0052, "not_examined_unsprayed": 0.0},
    "expected_recall": 0.954, "saved": 0.1, "litres": 8.44, "broadcast_litres": 9.38, "threshold": 0.637,
    "ceiling": 0.128, "mapped_not_examined_ha": 0.0046,
}  # fmt: skip
ROW = SimpleNamespace(
    probability=0.8, probability_low=0.7, probability_high=0.9, severity=77.0, area_ha=0.01
)  # fmt: skip


def item(label: str) -> Item:
    return Item("m/1", "m", "", None, label, 0.8, 0.8, verdict=Verdict.FLAG)


def test_litres_show_what_is_saved_and_unexamined_ground_is_told_as_it_is_counted() -> None:
    told = wording.sprayed(FACTS)
    assert "8.44 l of 9.38 l: <b>10 % saved</b>" in told
    assert "all that such a cell of the map touches, the map counts the cells (0.005 ha)" in told
    assert [prescriptions.litres(v) for v in (0.5, 12.34, 345.6)] == ["0.50 l", "12.3 l", "346 l"]


def test_a_zone_that_a_person_called_otherwise_has_no_severity_of_its_own() -> None:
    assert "77 %</td>" in wording.zone(ROW, item("blight"), "blight", str)
    judged = wording.zone(ROW, item("blight"), "healthy", str)
    assert "not told of healthy (for blight: 77 %)" in judged


def test_sprayed_ground_is_filled_so_that_a_hole_in_it_is_seen_to_be_none() -> None:
    geopandas, shapely = pytest.importorskip("geopandas"), pytest.importorskip("shapely")
    pytest.importorskip("pydeck")
    ring = shapely.Point(565000, 5540000).buffer(20).difference(shapely.Point(565000, 5540000).buffer(8))
    frame = geopandas.GeoDataFrame(geometry=[ring], crs="EPSG:32632")
    layers = json.loads(decks.deck(decks.Look(), outline=frame, sprayed=frame).to_json())["layers"]
    layer = {part["id"]: part for part in layers}["sprayed"]
    assert layer["filled"] and layer["getFillColor"] == [*decks.SPRAYED, round(255 * decks.SPRAYED_FILL)]
    scene = SimpleNamespace(colours={}, hectares={"not_examined": 0.0})
    assert f"rgba{(*decks.SPRAYED, decks.SPRAYED_FILL)}" in wording.legend(scene, str, {}, sprayed=True)
