from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shared.errors import DataError
from verticals.agriculture.spraying import grid, machine, plan, switching

shapely = pytest.importorskip("shapely")
pytest.importorskip("rasterio")

UTM = "EPSG:32633"
EAST, NORTH = 500_000.0, 5_500_000.0
OUTLINE = shapely.affinity.rotate(shapely.box(EAST, NORTH, EAST + 96, NORTH + 60), 20, origin="centroid")
SPOTS = [shapely.Point(EAST + 30, NORTH + 30).buffer(2.0), shapely.Point(EAST + 60, NORTH + 35).buffer(0.6)]


def laid(key: str = "nozzle_50cm", **changes: Any) -> grid.SwathGrid:
    return grid.lay(OUTLINE, UTM, replace(machine.named(key), **changes))


def burned(on: grid.SwathGrid, shapes: list[Any]) -> grid.Mask:
    return grid.burn(shapes, on.transform, on.inside.shape)


def footprint(made: plan.SprayPlan) -> Any:
    """Ground of the cells that are on, drawn cell by cell from the grid's transform."""
    to_crs = made.grid.cell_transform
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    return shapely.union_all(
        [shapely.Polygon([to_crs @ (u + du, v + dv) for du, dv in corners]) for v, u in np.argwhere(made.cells)]
    )


@pytest.mark.parametrize("key", ["nozzle_50cm", "sections_3m", "boom_24m"])
def test_every_target_is_sprayed_with_its_safety_zone_and_hardly_more_than_the_machine_must(key: str) -> None:
    on = laid(key)
    made = plan.spray_plan(on, burned(on, SPOTS), on.inside)
    sprayed = footprint(made)
    # Fine pixels stand for their centres: half a diagonal (0.18 m) may be short at the zone's edge, never the target.
    assert all(sprayed.contains(spot.buffer(1.0 - 0.36)) for spot in SPOTS)
    reach = np.hypot(on.machine.section_m, on.machine.step_m) + 1.0 + 0.36
    assert shapely.union_all(SPOTS).buffer(reach).contains(sprayed)
    assert made.hectares["target_unsprayed"] == 0
    assert made.hectares["sprayed"] * 10_000 == pytest.approx(sprayed.intersection(OUTLINE).area, rel=0.02)


def test_hectares_add_up_and_litres_are_rate_times_ground() -> None:
    on = laid("sections_3m", rate_l_ha=300.0)
    unseen = burned(on, [shapely.box(EAST + 70, NORTH, EAST + 80, NORTH + 60)])
    made = plan.spray_plan(on, burned(on, SPOTS), on.inside & ~unseen)
    ha = made.hectares
    assert ha["examined"] + ha["not_examined"] == pytest.approx(ha["field"])
    assert ha["sprayed_examined"] + ha["sprayed_not_examined"] == pytest.approx(ha["sprayed"])
    assert made.litres == pytest.approx(300 * (ha["sprayed"] + ha["beyond_field"]))
    assert made.broadcast_litres > made.litres and 0 < made.saved < 1
    assert made.tanks == pytest.approx(made.litres / 3000)


def test_ground_that_was_not_examined_is_sprayed_unless_the_policy_says_no_and_is_counted_both_times() -> None:
    on = laid()
    unseen = burned(on, [shapely.box(EAST + 70, NORTH, EAST + 80, NORTH + 60)])
    target = burned(on, SPOTS)
    sprayed = plan.spray_plan(on, target, on.inside & ~unseen)
    assert sprayed.hectares["not_examined_unsprayed"] == 0
    assert sprayed.hectares["sprayed_not_examined"] == sprayed.hectares["not_examined"] > 0.05
    assert "NOT EXAMINED; that ground is sprayed as in broadcast" in sprayed.remarks[0]
    skipped = plan.spray_plan(on, target, on.inside & ~unseen, unexamined="skip")
    assert skipped.hectares["not_examined_unsprayed"] > 0.05
    assert skipped.hectares["not_examined"] == sprayed.hectares["not_examined"]
    assert skipped.litres < sprayed.litres and "left unsprayed" in skipped.remarks[0]


@pytest.mark.parametrize("key", ["nozzle_50cm", "sections_12m"])
def test_no_section_opens_over_ground_that_must_not_be_sprayed_and_the_loss_is_told(key: str) -> None:
    on = laid(key, min_on_s=2.0, latency_s=0.5)
    water = shapely.LineString([(EAST + 31, NORTH - 10), (EAST + 34, NORTH + 80)]).buffer(1.5)
    made = plan.spray_plan(on, burned(on, [*SPOTS, OUTLINE]) & on.inside, on.inside, no_spray=[water])
    assert made.cells.any() and not footprint(made).buffer(-1e-6).intersects(water)
    assert made.hectares["no_spray"] > 0 and made.hectares["target_unsprayed"] >= made.hectares["no_spray"] * 0.9
    assert "no-spray" in " ".join(made.remarks)


def test_a_pond_in_the_field_that_sections_reach_over_is_told_and_ground_kept_off_is_not_called_sprayed() -> None:
    pond = shapely.Point(EAST + 40, NORTH + 30).buffer(5)
    outline = shapely.box(EAST, NORTH, EAST + 80, NORTH + 60) - pond
    on = grid.lay(outline, UTM, machine.named("boom_24m"), heading_deg=0)
    nothing = np.zeros_like(on.inside)
    made = plan.spray_plan(on, on.inside, on.inside)
    assert made.hectares["beyond_field"] > 0.9 * pond.area / 1e4
    assert made.litres == pytest.approx(200 * (made.hectares["sprayed"] + made.hectares["beyond_field"]))
    assert f"{made.hectares['beyond_field']:.3f} ha beyond the field's outline" in " ".join(made.remarks)
    kept = plan.spray_plan(on, nothing, nothing, no_spray=[pond])
    left = kept.hectares["not_examined_unsprayed"]
    assert left > 0 and f"but for {left:.3f} ha in no-spray ground" in " ".join(kept.remarks)


def test_broadcast_is_the_plan_where_everything_is_a_target() -> None:
    on = laid("sections_3m")
    made = plan.spray_plan(on, on.inside, on.inside)
    assert made.hectares["sprayed"] == pytest.approx(made.hectares["field"]) and made.saved == pytest.approx(0)
    assert made.litres == pytest.approx(made.broadcast_litres)


def test_masks_of_another_grid_and_unknown_policies_are_refused() -> None:
    on = laid()
    with pytest.raises(DataError, match="bring it onto the grid"):
        plan.spray_plan(on, on.inside[1:], on.inside)
    with pytest.raises(DataError, match="'spray' and 'skip'"):
        plan.spray_plan(on, on.inside, on.inside, unexamined="ignore")  # type: ignore[arg-type]


def runs(row: Any) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff([0, *row.astype(int), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(
    wanted=arrays.arrays(bool, (4, 30)),
    blocked=arrays.arrays(bool, (4, 30), elements=st.sampled_from([False] * 6 + [True])),
    least=st.integers(1, 6),
    lead=st.integers(0, 3),
)
def test_runs_are_long_enough_stay_off_blocked_ground_and_leave_no_target_that_could_be_sprayed(
    wanted: Any, blocked: Any, least: int, lead: int
) -> None:
    speed = 3.6
    sprayer = machine.Machine(
        "m", boom_m=2, section_m=0.5, step_m=1, speed_km_h=speed, min_on_s=float(least), latency_s=float(lead)
    )
    swaths = grid.lay(shapely.box(EAST, NORTH, EAST + 2, NORTH + 30), UTM, sprayer, heading_deg=0, fine_m=0.5)
    assert swaths.cells == (4, 30)
    on = switching.switch(swaths, wanted, blocked)
    assert not (on & blocked).any()
    for section in range(4):
        free = runs(~blocked[section])
        for start, end in runs(on[section]):
            assert end - start >= least or (start, end) == (0, 30)
        for at in np.flatnonzero(wanted[section] & ~blocked[section] & ~on[section]):
            start, end = next(r for r in free if r[0] <= at < r[1])
            assert end - start < least
        for at in np.flatnonzero(wanted[section] & on[section]):
            start, end = next(r for r in free if r[0] <= at < r[1])
            assert on[section, max(start, at - lead) : min(end, at + lead + 1)].all()
