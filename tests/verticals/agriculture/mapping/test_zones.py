from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from shared.errors import ConfigError
from verticals.agriculture.mapping import correlation, field_map, zones
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.mapping.field_map import FieldMap, Grid
from verticals.agriculture.mapping.zones import COLUMNS, Drawing

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")
rasterio = pytest.importorskip("rasterio")

LABELS = ("healthy", "blight", "weed")
CELL = 0.25


def scene() -> NDArray[np.uint8]:
    """Two discs of blight, one with a hole, a field of weed specks of one to four cells; (240, 300)."""
    y, x = np.mgrid[:240, :300]
    classes = np.zeros(y.shape, np.uint8)
    classes[np.hypot(y - 90, x - 100) < 60] = 1
    classes[np.hypot(y - 90, x - 100) < 20] = 0
    classes[np.hypot(y - 190, x - 240) < 25] = 1
    rng = np.random.default_rng(4)
    for row, column in zip(rng.integers(160, 236, 30), rng.integers(0, 180, 30), strict=True):
        classes[row : row + rng.integers(1, 3), column : column + 2] = 2
    return classes


def a_map(out: Path, classes: NDArray[np.uint8], *, sure: float = 0.8, severity: bool = True) -> FieldMap:
    height, width = classes.shape
    p = np.full((len(LABELS), height, width), (1 - sure) / 2, np.float32)
    np.put_along_axis(p, classes[None].astype(int), np.float32(sure), 0)
    validity = np.ones(classes.shape, np.uint8)
    validity[:12] = 2
    validity[:, 290:] = 0
    grid = Grid("EPSG:32633", (CELL, 0, 400_000, 0, -CELL, 5_600_000), width, height)
    pct = np.where(classes == 1, 42, 0).astype(np.float32) if severity else None
    rows = [field_map.Rows(0, p, validity, pct)]
    return field_map.write(out, rows, grid, LABELS, ok_label="healthy", severity=severity)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FieldMap:
    return a_map(tmp_path_factory.mktemp("zones") / "map", scene())


def test_zones_are_a_coverage_without_gaps_and_keep_the_area_with_few_vertices(made: FieldMap) -> None:
    rough = zones.zones(made, Drawing(min_area_m2=1, simplify_cells=0, ok=True))
    smooth = zones.zones(made, Drawing(min_area_m2=1, ok=True))
    assert list(smooth.columns) == [*COLUMNS, "geometry"] and smooth.crs.to_epsg() == 32633
    assert shapely.coverage_is_valid(smooth.geometry.to_numpy())
    count = [shapely.get_num_coordinates(t.geometry.to_numpy()).sum() for t in (rough, smooth)]
    assert count[1] < count[0] / 2
    for label, part in smooth.groupby("label"):
        before = rough[rough.label == label].area_ha.sum()
        assert part.area_ha.sum() == pytest.approx(before, rel=1e-3), label
    assert smooth.area_ha.sum() == pytest.approx(made.hectares["examined"], rel=1e-4)
    np.testing.assert_allclose(smooth.area_ha, hectares(smooth.geometry, smooth.crs))


def test_only_what_is_wrong_and_large_enough_is_a_zone_the_largest_first(made: FieldMap) -> None:
    found = zones.zones(made, Drawing(min_area_m2=4.0))
    assert found.zone.tolist() == [1, 2] and set(found.label) == {"blight"}
    ring = (60**2 - 20**2) * np.pi * CELL**2 / 1e4
    assert found.area_ha[0] == pytest.approx(ring, rel=0.01), "the hole of the larger one is no part of it"
    assert all(g.exterior.is_ccw and not any(i.is_ccw for i in g.interiors) for g in found.geometry)
    assert found.severity.round(3).tolist() == [42, 42]
    specks = zones.zones(made, Drawing(min_area_m2=0.1))
    assert (specks.label == "weed").sum() > 10 and specks.area_ha.is_monotonic_decreasing


def test_what_is_not_examined_is_drawn_with_its_hectares(made: FieldMap) -> None:
    found = zones.not_examined(made)
    assert len(found) == 1 and found.area_ha[0] == pytest.approx(made.hectares["not_examined"], rel=1e-4)


def test_a_map_with_nothing_wrong_and_one_without_severity_have_tables_too(tmp_path: Path) -> None:
    clean = zones.zones(a_map(tmp_path / "clean", np.zeros((40, 40), np.uint8)))
    assert len(clean) == 0 and list(clean.columns) == [*COLUMNS, "geometry"] and clean.crs is not None
    plain = zones.zones(a_map(tmp_path / "plain", scene(), severity=False))
    assert plain.severity.isna().all() and (plain.probability.round(6) == 0.8).all()
    assert len(zones.not_examined(a_map(tmp_path / "clean", np.zeros((12, 12), np.uint8)))) == 1
    with pytest.raises(ConfigError, match="0 and above"):
        Drawing(min_area_m2=-1)


def test_a_map_of_too_many_cells_is_drawn_in_coarser_ones(made: FieldMap, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = zones.zones(made, Drawing(min_area_m2=4.0))
    monkeypatch.setattr(zones, "MOST_CELLS", 20_000)
    coarse = zones.zones(made, Drawing(min_area_m2=4.0))
    assert len(coarse) == len(fine)
    np.testing.assert_allclose(coarse.area_ha, fine.area_ha, rtol=0.03)
    np.testing.assert_allclose(coarse.total_bounds, fine.total_bounds, atol=2 * CELL)


@pytest.mark.parametrize("range_cells", [2.0, 8.0])
def test_the_interval_of_a_mean_holds_the_true_one_where_an_independent_one_would_not(range_cells: float) -> None:
    """Random fields around a known mean: 150 zones of 30 x 30 cells, the correlation estimated on each map."""
    rng = np.random.default_rng(8)
    held = naive = 0
    for _ in range(150):
        noise = ndimage.gaussian_filter(rng.normal(size=(120, 120)), range_cells, mode="wrap")
        values = (0.6 + 0.1 * noise / noise.std()).astype(np.float32)
        known = correlation.spread(values, np.ones(values.shape, bool))
        places = (np.arange(30)[:, None] * 120 + np.arange(30)).ravel()
        mean, low, high = correlation.mean_interval(values.ravel(), places, 120, known)
        held += low <= 0.6 <= high
        half = 1.96 * values.ravel()[places].std() / 30
        naive += abs(mean - 0.6) <= half
        assert 0 <= low <= mean <= high <= 1
    assert held / 150 >= 0.90, held
    assert naive / 150 < 0.5, naive


def test_a_single_cell_is_as_uncertain_as_one_cell_and_a_large_zone_is_not() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, (200, 200)).astype(np.float32)
    known = correlation.spread(values, np.ones(values.shape, bool))
    assert known.range_cells < 0.6 and known.variance == pytest.approx(0.01, rel=0.05)
    _, low, high = correlation.mean_interval(values.ravel(), np.array([777]), 200, known)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.1, rel=0.05)
    _, low, high = correlation.mean_interval(values.ravel(), np.arange(10_000), 200, known)
    assert (high - low) / 2 < 0.02
