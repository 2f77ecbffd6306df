import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shared.data import manifest as manifests
from shared.errors import DataError
from verticals.agriculture.mapping import field_map
from verticals.agriculture.mapping.field_map import FieldMap, Grid
from verticals.agriculture.scouting import labelled, observations, truth
from verticals.agriculture.scouting.area_estimate import Design

geopandas = pytest.importorskip("geopandas")
pyproj = pytest.importorskip("pyproj")
rasterio = pytest.importorskip("rasterio")

LABELS = ("healthy", "potato_late_blight", "weed")
WEST, NORTH, SIDE, CELLS = 400_000.0, 5_600_000.0, 0.5, 200


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FieldMap:
    """Left half healthy, right half blight; the uppermost rows NOT EXAMINED, a strip at the left outside."""
    classes = np.zeros((CELLS, CELLS), int)
    classes[:, 100:] = 1
    p = np.full((3, CELLS, CELLS), 0.1, np.float32)
    np.put_along_axis(p, classes[None], np.float32(0.8), 0)
    validity = np.ones((CELLS, CELLS), np.uint8)
    validity[:20], validity[:, :10] = 2, 0
    grid = Grid("EPSG:32633", (SIDE, 0, WEST, 0, -SIDE, NORTH), CELLS, CELLS)
    severity = np.where(classes == 1, 40, 0).astype(np.float32)
    rows = [field_map.Rows(0, p, validity, severity)]
    folder = tmp_path_factory.mktemp("truth") / "map"
    return field_map.write(folder, rows, grid, LABELS, ok_label="healthy", severity=True)


def degrees(columns: list[float], rows: list[float]) -> tuple[list[float], list[float]]:
    x, y = WEST + SIDE * np.array(columns), NORTH - SIDE * np.array(rows)
    lon, lat = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(x, y)
    return list(lon), list(lat)


def walked(seed: int = 0, n: int = 60) -> pd.DataFrame:
    """Points at random over the examined part; the truth has blight 20 columns further to the left than the map."""
    rng = np.random.default_rng(seed)
    columns, rows = rng.integers(10, CELLS, n) + 0.5, rng.integers(20, CELLS, n) + 0.5
    lon, lat = degrees(list(columns), list(rows))
    label = np.where(columns > 80, "potato_late_blight", "healthy")
    return pd.DataFrame({"lat": lat, "lon": lon, "label": label, "severity": np.where(columns > 80, 30, 0)})


def test_points_in_degrees_metres_and_geojson_find_the_same_cells(made: FieldMap, tmp_path: Path) -> None:
    table = walked(n=12)
    table.to_csv(tmp_path / "p.csv", index=False)
    points = geopandas.GeoDataFrame(
        table[["label"]], geometry=geopandas.points_from_xy(table.lon, table.lat), crs="EPSG:4326"
    )
    points.to_file(tmp_path / "p.geojson", driver="GeoJSON")
    metres = points.to_crs("EPSG:25833")
    flat = pd.DataFrame({"easting": metres.geometry.x, "northing": metres.geometry.y, "label": table.label})
    flat.to_csv(tmp_path / "m.csv", index=False)
    found = [observations.read(tmp_path / name, made, crs=crs) for name, crs in
             [("p.csv", None), ("p.geojson", None), ("m.csv", "EPSG:25833")]]  # fmt: skip
    cells = [[(p.row, p.column, p.label, p.mapped) for p in one.points] for one in found]
    assert cells[0] == cells[1] == cells[2] and len(cells[0]) == 12
    assert all(mapped == LABELS[int(column >= 100)] for _, column, _, mapped in cells[0])


def test_every_point_that_cannot_be_used_has_its_own_sentence(made: FieldMap, tmp_path: Path) -> None:
    lon, lat = degrees(
        [50.5, 50.6, 150.5, 60.5, 5.5, 70.5, 900.0, 80.5, 90.5], [50.5, 50.6, 5.5, 60, 50, 70, 50, 80, 90]
    )
    table = pd.DataFrame({"lat": lat, "lon": lon, "label": ["healthy"] * 9, "severity": ""}).astype(object)
    table.loc[3, "label"] = "dragon"
    table.loc[5, ["lat", "lon"]] = [lon[5], lat[5]]
    table.loc[7, "severity"] = "140"
    table.loc[8, "lat"] = "50,5"
    table.to_csv(tmp_path / "p.csv", index=False)
    found = observations.read(tmp_path / "p.csv", made)
    assert [p.where for p in found.points] == ["p.csv row 1"]
    said = {problem.where: problem.what for problem in found.problems}
    parts = {
        2: "same cell of the map as p.csv row 1", 3: "NOT EXAMINED", 4: "allowed are healthy, potato_late_blight, weed",
        5: "outside the field", 6: "only with latitude and longitude swapped", 7: "outside the map", 8: "0 to 100",
        9: "no numbers",
    }  # fmt: skip
    for row, part in parts.items():
        assert part in said[f"p.csv row {row}"], row
    table.iloc[[5]].to_csv(tmp_path / "swapped.csv", index=False)
    with pytest.raises(DataError, match=r"none of its 1 points can be used; the first: .*swapped"):
        observations.read(tmp_path / "swapped.csv", made)
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(DataError, match="needed are lat,lon,label"):
        observations.read(tmp_path / "none.csv", made)


def test_a_map_is_told_with_confusion_rates_and_the_area_that_the_points_not_the_pixels_say(
    made: FieldMap, tmp_path: Path
) -> None:
    walked(n=150).to_csv(tmp_path / "p.csv", index=False)
    seen = observations.read(tmp_path / "p.csv", made)
    with pytest.raises(ValueError, match="not a valid"):
        Design("whatever")
    stated = [label for label in LABELS if made.hectares[label] > 0]
    assert stated == ["healthy", "potato_late_blight"]
    found = truth.compare(made, seen, Design.RANDOM, mapped_severity=truth.severity_at(made, seen))
    i, j = LABELS.index("potato_late_blight"), LABELS.index("healthy")
    assert found.confusion[i, j] > 5 and found.confusion[j, i] == 0, "true blight that the map calls healthy"
    assert found.recall["potato_late_blight"].value < 1 and found.precision["potato_late_blight"].value == 1
    assert found.area is not None and found.no_area == ""
    sick, true = found.area.hectares["potato_late_blight"], 120 * 180 * SIDE**2 / 1e4
    assert found.area.mapped_hectares["potato_late_blight"] == pytest.approx(0.45, rel=2e-3)
    assert sick.low <= true <= sick.high and sick.low > 0.45, "pixels say 0.45 ha, truth is 0.54 ha"
    assert found.not_examined_ha == pytest.approx(made.hectares["not_examined"])
    assert found.severity_error is not None and found.severity_error["n"] == found.confusion.sum()
    json.dumps(truth.facts(found), allow_nan=True)
    picked = truth.compare(made, seen, Design.PURPOSIVE)
    assert picked.area is None and "no random sample" in picked.no_area
    assert picked.recall["potato_late_blight"].value == found.confusion[i, i] / found.confusion[i].sum()
    assert truth.facts(picked)["recall_of"] == "points" and truth.facts(found)["recall_of"] == "area"


def test_recall_is_that_of_the_area_however_many_points_went_where_the_map_found_something(
    made: FieldMap, tmp_path: Path
) -> None:
    columns, rows = np.meshgrid([102.5, 130.5, 160.5, 190.5], np.arange(25.5, 195, 9))
    sick = list(zip(columns.ravel(), rows.ravel(), strict=True))
    # 10 points in the healthy half, of which one is sick: a tenth of 0.405 ha is missed, whatever was walked elsewhere.
    sound = [(20.5 + 7 * k, 60.5) for k in range(10)]
    lon, lat = degrees(*map(list, zip(*sick, *sound, strict=True)))
    label = ["potato_late_blight"] * len(sick) + ["healthy"] * 9 + ["potato_late_blight"]
    pd.DataFrame({"lat": lat, "lon": lon, "label": label}).to_csv(tmp_path / "p.csv", index=False)
    found = truth.compare(made, observations.read(tmp_path / "p.csv", made), Design.STRATIFIED)
    hit, missed = made.hectares["potato_late_blight"], made.hectares["healthy"] / 10
    recall = found.recall["potato_late_blight"]
    assert len(sick) == 76 and recall.value == pytest.approx(hit / (hit + missed), abs=1e-6), "not 76 of 77 points"
    assert recall.low < 0.75 and recall.n == 77
    label[-1] = "healthy"
    pd.DataFrame({"lat": lat, "lon": lon, "label": label}).to_csv(tmp_path / "q.csv", index=False)
    none = truth.compare(made, observations.read(tmp_path / "q.csv", made), Design.STRATIFIED)
    assert none.recall["potato_late_blight"].value == 1 and none.recall["potato_late_blight"].low < 0.8
    assert none.recall["weed"].value is None


def test_points_become_tiles_with_label_and_block_that_a_manifest_reads_back(made: FieldMap, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 255, (3, 400, 400), np.uint8)
    with rasterio.open(
        tmp_path / "field.tif", "w", driver="GTiff", width=400, height=400, count=3, dtype="uint8", crs="EPSG:32633",
        transform=rasterio.Affine(0.25, 0, WEST, 0, -0.25, NORTH), photometric="RGB",
    ) as out:  # fmt: skip
        out.write(picture)
    lon, lat = degrees([50.5, 120.5, 198.5], [60.5, 150.5, 100.5])
    pd.DataFrame({"lat": lat, "lon": lon, "label": ["healthy", "weed", "healthy"]}).to_csv(
        tmp_path / "p.csv", index=False
    )
    seen = observations.read(tmp_path / "p.csv", made)
    written, problems = labelled.write(
        seen, made.grid.crs, tmp_path / "field.tif", tmp_path / "out", labelled.Cut(tile_px=32), design=Design.RANDOM
    )
    assert [str(p) for p in problems] == ["p.csv row 3: a tile of 32 px around it reaches beyond the orthomosaic"]
    table = manifests.read_table(tmp_path / "out" / labelled.MANIFEST)
    back = manifests.from_table(table, tmp_path / "out", tmp_path / "out" / labelled.MANIFEST)
    assert back.hash == written.hash and [row.label for row in back.rows] == ["healthy", "weed"]
    assert {row.split for row in back.rows} == {""}, "points at random may judge"
    for design in (Design.STRATIFIED, Design.PURPOSIVE):
        walk = labelled.write(
            seen, made.grid.crs, tmp_path / "field.tif", tmp_path / "w", labelled.Cut(tile_px=32), design=design
        )
        assert {row.split for row in walk[0].rows} == {"train"}, "a walk to what the model found judges no model"
    assert len({row.sample.group for row in back.rows}) == 2 and "block" in back.rows[0].sample.group
    from shared.data import images

    tile = images.read(back.file(back.rows[0].sample))
    middle = picture[:, 121, 101]
    assert (tile[16, 16] == middle).all(), "the pixel under the point is in the middle"
