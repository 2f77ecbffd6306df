from datetime import date

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from shared.errors import DataError
from verticals.agriculture.mapping.field_map import Grid
from verticals.agriculture.scouting import flights
from verticals.agriculture.scouting.flights import Flight, Test, changes, history
from verticals.agriculture.scouting.registration import shift

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")
pytest.importorskip("rasterio")

GRID = Grid("EPSG:32633", (0.5, 0, 400_000.0, 0, -0.5, 5_600_000.0), 480, 400)
SHAPE = (400, 480)
DAYS = (date(2026, 7, 1), date(2026, 7, 8), date(2026, 7, 15))


def ground(seed: int, smooth: float = 1.5) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), smooth)
    return (100 + 20 * noise / noise.std()).astype(np.float32)


def correlated(seed: int, size: float = 4.0) -> NDArray[np.float32]:
    """Noise that hangs together over some cells, deviation 1."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), size)
    return (noise / noise.std()).astype(np.float32)


def squares(many: int) -> object:
    """Zones of 60 x 60 m side by side, 120 cells each, from cell 10 on in steps of 130."""
    boxes = [
        shapely.box(x, y - 60, x + 60, y)
        for y in (5_599_995, 5_599_930, 5_599_865)
        for x in (400_005, 400_070, 400_135)
    ]
    boxes = boxes[:many]
    return geopandas.GeoDataFrame({"zone": range(1, many + 1)}, geometry=boxes, crs="EPSG:32633")


def test_a_known_shift_is_found_within_a_tenth_of_a_cell_and_told_in_metres_east_and_north() -> None:
    before = ground(1)
    after = ndimage.shift(before, (3.4, -5.6), order=3, mode="reflect") * 1.4 + correlated(2) * 2
    found = shift(before, after.astype(np.float32), GRID.transform, allowed_px=10)
    assert found.right_px == pytest.approx(-5.6, abs=0.1) and found.down_px == pytest.approx(3.4, abs=0.1)
    assert found.east_m == pytest.approx(-2.8, abs=0.05) and found.north_m == pytest.approx(-1.7, abs=0.05)
    assert found.used == found.blocks == 9 and found.spread_px < 0.1 and found.warning == ""
    assert "move it back" in shift(before, after.astype(np.float32), GRID.transform).warning


def test_a_bent_mosaic_is_warned_about_and_different_ground_is_refused() -> None:
    before = ground(3)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    bent = ndimage.map_coordinates(before, [y, x - 12 * (x / SHAPE[1])], order=1, mode="reflect").astype(np.float32)
    assert "blocks disagree" in shift(before, bent, GRID.transform, allowed_px=1).warning
    with pytest.raises(DataError, match=r"9 blocks of 128 cells in common, and \d of them match; needed are 4"):
        shift(before, ground(99), GRID.transform)
    half = before.copy()
    half[:, 100:] = np.nan
    with pytest.raises(DataError, match="0 blocks"):
        shift(before, half, GRID.transform)


def test_a_real_change_is_told_with_its_direction_and_one_without_is_not() -> None:
    zones = squares(4)
    rise = np.zeros(SHAPE, np.float32)
    rise[:, 10:130] = 0.15
    rise[:, 140:260] = -0.15
    before = Flight(DAYS[0], 0.5 + 0.08 * correlated(4))
    after = Flight(DAYS[1], 0.5 + 0.08 * correlated(5) + rise, severity=np.full(SHAPE, 12, np.float32))
    found = changes(before, after, zones, GRID)
    assert found.verdict.tolist()[:2] == ["more", "less"]
    assert found.low[0] <= 0.16 and found.high[0] >= 0.14 and found.change[1] == pytest.approx(-0.15, abs=0.05)
    assert found.area_ha.tolist() == pytest.approx([0.36] * 4, rel=2e-3) and found.severity.tolist() == [12] * 4
    assert found.sick_ha[0] > found.sick_ha[1]


def test_zones_without_any_change_are_called_changed_no_more_often_than_stated_and_cells_alone_would_be() -> None:
    zones, falsely, cells = squares(9), 0, 0
    for seed in range(20):
        pair = [Flight(d, 0.5 + 0.1 * correlated(100 + 2 * seed + i, 2.5)) for i, d in enumerate(DAYS[:2])]
        falsely += changes(*pair, zones, GRID).verdict.isin(["more", "less"]).any()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flights, "RANGES", 0.0)
            single = changes(*pair, zones, GRID, Test(block_m=0.5))
        cells += single.verdict.isin(["more", "less"]).any()
    assert falsely <= 4, "5 % of 20 fields would be 1"
    assert cells >= 18, "cells taken as independent find change everywhere"


def test_what_was_not_seen_twice_or_in_other_light_is_not_comparable_and_few_blocks_say_nothing() -> None:
    zones, light = squares(3), np.full(SHAPE, 100, np.float32)
    first, second, dim = 0.5 + 0.1 * correlated(8), 0.6 + 0.1 * correlated(9), light.copy()
    second[:, :80] = np.nan
    dim[:, 140:260] = 40
    found = changes(Flight(DAYS[0], first, light), Flight(DAYS[1], second, dim), zones, GRID)
    assert found.verdict[:2].tolist() == ["not comparable"] * 2 and found.p[:2].isna().all()
    assert "examined in both" in found.reason[0] and "0.40 times as bright" in found.reason[1]
    assert found.p.notna()[2]
    few = changes(Flight(DAYS[0], first), Flight(DAYS[1], second), zones, GRID, Test(block_m=40))
    assert few.verdict[2] == "no change shown" and "too few" in few.reason[2]


def test_a_history_has_a_row_for_each_zone_and_flight_in_the_order_of_days() -> None:
    zones = squares(2)
    flown = [Flight(d, np.full(SHAPE, v, np.float32) + 0.02 * correlated(i)) for i, (d, v) in
               enumerate(zip(DAYS, (0.2, 0.4, 0.7), strict=True))]  # fmt: skip
    found = history(flown[::-1], zones, GRID)
    assert found.zone.tolist() == [1, 1, 1, 2, 2, 2] and found.date.tolist() == [*DAYS, *DAYS]
    assert found.verdict.tolist() == ["", "more", "more"] * 2 and found.change[2] == pytest.approx(0.3, abs=0.02)
    assert found.sick_ha.tolist()[:3] == pytest.approx([0, 0, 0.36], abs=1e-3)
    assert len(history(flown, zones.iloc[:0], GRID)) == 0
    with pytest.raises(DataError, match="swap them"):
        changes(flown[1], flown[0], zones, GRID)
    with pytest.raises(DataError, match="bring the zones there first"):
        changes(*flown[:2], zones.to_crs("EPSG:4326"), GRID)
