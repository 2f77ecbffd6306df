import itertools

import numpy as np
import pytest

from shared.errors import ConfigError, DataError
from verticals.agriculture.mapping.field_map import Grid
from verticals.agriculture.scouting import route, tour, walking
from verticals.agriculture.scouting.choosing import Choice, Stratum, strata
from verticals.agriculture.scouting.places import Costs, Places, summed

shapely = pytest.importorskip("shapely")
pytest.importorskip("pyproj")

WEST, NORTH = 400_000.0, 5_600_000.0
GRID = Grid("EPSG:32633", (1.0, 0, WEST, 0, -1.0, NORTH), 240, 180)


def box(x0: float, y0: float, x1: float, y1: float) -> object:
    """Metres from the north-west corner, y down."""
    return shapely.box(WEST + x0, NORTH - y1, WEST + x1, NORTH - y0)


FIELD = box(0, 0, 240, 180)
POND = box(100, 40, 140, 150)


def field(costs: Costs | None = None) -> Places:
    """Healthy (0.02) but for a certain patch (0.97), one near the threshold (0.45), and an unseen corner."""
    p = np.full((1, 180, 240), 0.02, np.float32)
    p[0, 20:60, 20:60] = 0.97
    p[0, 100:160, 180:230] = 0.45
    validity = np.ones((180, 240), np.uint8)
    validity[150:, :60] = 2
    strips = ((p[:, top : top + 6], validity[top : top + 6]) for top in range(0, 180, 6))
    return summed(strips, GRID, ("blight",), costs or Costs(), side_m=6)


def test_what_is_at_stake_is_the_cheaper_mistake_times_the_hectares_and_nothing_is_known_where_nobody_looked() -> None:
    places = field(Costs(needless=60, missed=40))
    assert len(places) == 30 * 40
    near = (np.abs(places.x - (WEST + 201)) < 1) & (np.abs(places.y - (NORTH - 129)) < 1)
    assert near.sum() == 1
    assert places.stake[near][0] == pytest.approx(min(60 * 0.55, 40 * 0.45) * places.examined_ha[near][0], rel=1e-5)
    assert places.examined_ha.sum() + places.not_examined_ha.sum() == pytest.approx(240 * 180 / 1e4, rel=2e-3)
    blind = places.examined_ha == 0
    assert places.not_examined_ha.sum() == pytest.approx(0.18, rel=2e-3)
    assert (
        np.isnan(places.risk[blind]).all() and (places.stake[blind] == 0).all() and (places.target[blind] == -1).all()
    )
    assert sum(int(m.sum()) for m in strata(places).values()) == 1200, "each place has one stratum"
    stop = route.planned(places, FIELD, Choice(1, 0, 0, 0)).stops[0]
    # 40 m2 lost 0.45 times cost 0.3 of 60 m2 in vain: hectares of needless spraying do not depend on the currency.
    assert stop.stake == pytest.approx(40 * 0.45 / 60 * stop.area_ha, rel=1e-4)
    assert f"at stake: as much as {1e4 * stop.stake:.1f} m2 of needless spraying" in stop.why


def test_the_walk_has_the_stated_places_of_each_stratum_far_enough_apart_and_off_the_headland() -> None:
    how = Choice(uncertain=5, high=3, control=4, unseen=2, apart_m=12, headland_m=8)
    found = route.planned(field(), FIELD, how)
    assert {s: c["found"] for s, c in found.counts.items()} == {"uncertain": 5, "high": 3, "control": 4, "unseen": 2}
    xy = np.array([(s.x, s.y) for s in found.stops])
    apart = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    assert apart[np.triu_indices(len(xy), 1)].min() >= 12
    assert all(FIELD.buffer(-8).covers(shapely.Point(p)) for p in xy)
    risks = {s: [stop.risk for stop in found.stops if stop.stratum is s] for s in Stratum}
    assert np.allclose(risks[Stratum.UNCERTAIN], 0.45, atol=0.05) and min(risks[Stratum.HIGH]) > 0.9
    assert max(risks[Stratum.CONTROL]) < 0.1 and np.isnan(risks[Stratum.UNSEEN]).all()
    assert all("NOT EXAMINED" in s.why for s in found.stops if s.stratum is Stratum.UNSEEN)
    assert found.stake["stops"] < found.stake["map"] and found.hectares["not_examined"] == pytest.approx(0.18, rel=2e-3)
    assert all(13.58 < s.lon < 13.60 and 50.54 < s.lat < 50.56 for s in found.stops)


def test_the_most_valuable_places_move_with_the_costs_and_not_with_the_highest_probability() -> None:
    only = Choice(uncertain=4, high=0, control=0, unseen=0)
    even = route.planned(field(Costs(1, 1)), FIELD, only)
    assert len(even.stops) == 4 and all(0.44 < stop.risk < 0.46 for stop in even.stops), "near 0.5, not the surest"
    dear = route.planned(field(Costs(1, 49)), FIELD, only)
    assert len(dear.stops) == 4 and all(stop.risk < 0.03 for stop in dear.stops), "now a miss costs 49 times as much"


def test_the_walk_goes_around_a_pond_and_never_leaves_the_field() -> None:
    ground = FIELD.difference(POND)
    found = route.planned(field(), ground, Choice(apart_m=15), start=(WEST + 1, NORTH - 90))
    walk = shapely.LineString(found.line)
    assert ground.buffer(0.01).covers(walk) and walk.length == pytest.approx(found.length_m)
    assert found.line[0] == found.line[-1]
    across = walking.ways(ground, np.array([[WEST + 95, NORTH - 95], [WEST + 145, NORTH - 95]]))
    assert 50 < across.distances[0, 1] < 50 + 2 * 60, "around the nearer end, at most a few metres off"
    assert across.distances[0, 1] == pytest.approx(shapely.LineString(across.way(0, 1)).length)


def test_parts_that_cannot_be_walked_to_and_too_large_a_headland_are_said() -> None:
    parts = box(0, 0, 110, 180).union(box(130, 0, 240, 180))
    found = route.planned(field(), parts, Choice(), start=(WEST, NORTH - 90))
    assert all(stop.x < WEST + 110 for stop in found.stops)
    assert any("several parts" in remark for remark in found.remarks)
    assert any("of 6 uncertain places" in remark for remark in found.remarks)
    with pytest.raises(DataError, match=r"none of 1200 places .* smaller headland_m"):
        route.planned(field(), FIELD, Choice(headland_m=500))
    with pytest.raises(ConfigError, match="1 to 200"):
        Choice(uncertain=0, high=0, control=0, unseen=0)
    with pytest.raises(ConfigError, match="above 0"):
        Costs(needless=0)


def test_a_tour_is_within_two_per_cent_of_the_shortest_of_all_orders_on_average() -> None:
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(10):
        xy = rng.uniform(0, 100, (7, 2))
        d = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
        best = min(tour.length([0, *rest], d) for rest in itertools.permutations(range(1, 7)))
        mine = tour.order(d)
        assert sorted(mine) == list(range(7)) and mine[0] == 0
        ratios.append(tour.length(mine, d) / best)
    assert np.mean(ratios) < 1.02 and max(ratios) < 1.15
