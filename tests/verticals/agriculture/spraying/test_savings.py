import argparse
import importlib.util
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from shared.errors import DataError
from verticals.agriculture.spraying import grid, machine, plan, savings

shapely = pytest.importorskip("shapely")
pytest.importorskip("rasterio")

UTM = "EPSG:32633"
OUTLINE = shapely.box(500_000, 5_500_000, 500_120, 5_500_120)


@cache
def simulated(key: str = "nozzle_50cm", **changes: Any) -> tuple[grid.SwathGrid, Any, Any]:
    """A field with 10 % of it diseased in patches (synthetic), its truth, and calibrated probabilities for it."""
    on = grid.lay(OUTLINE, UTM, replace(machine.named(key), **changes), heading_deg=0)
    rng = np.random.default_rng(5)
    seen = ndimage.gaussian_filter(rng.standard_normal(on.inside.shape), 16)
    hidden = ndimage.gaussian_filter(rng.standard_normal(on.inside.shape), 16)
    latent = 0.9 * seen / seen.std() + np.sqrt(1 - 0.81) * hidden / hidden.std()
    cut = np.quantile(latent, 0.9)
    # The probability that latent exceeds the cut, given what is seen of it.
    from scipy.stats import norm

    probability = norm.sf((cut - 0.9 * seen / seen.std()) / np.sqrt(1 - 0.81))
    return on, (latent > cut).astype(np.float32), probability.astype(np.float32)


@pytest.mark.parametrize("key", ["nozzle_50cm", "sections_3m", "boom_24m"])
def test_a_perfect_map_reaches_all_of_the_disease_at_exactly_the_ceiling(key: str) -> None:
    on, truth, _ = simulated(key)
    curve = savings.savings_curve(on, truth, on.inside, truth=truth, recall_target=1.0, synthetic=True)
    assert curve.operating is not None and curve.operating.recall == pytest.approx(1)
    assert curve.operating.saved == pytest.approx(curve.ceiling)
    made = plan.spray_plan(on, truth > 0, on.inside)
    assert made.saved == pytest.approx(curve.ceiling)
    assert "synthetic" in curve.remarks[0]


def test_wider_sections_have_a_lower_ceiling() -> None:
    keys = ("nozzle_50cm", "sections_3m", "sections_12m", "boom_24m")
    ceilings = []
    for key in keys:
        on, truth, probability = simulated(key)
        ceilings.append(savings.savings_curve(on, probability, on.inside, truth=truth, resamples=10).ceiling)
    assert ceilings == sorted(ceilings, reverse=True) and ceilings[0] > ceilings[-1] + 0.1


def test_a_lower_threshold_finds_more_and_saves_less_and_the_points_chosen_are_the_highest_that_do() -> None:
    on, truth, probability = simulated()
    curve = savings.savings_curve(on, probability, on.inside, truth=truth)
    recalls = [p.recall for p in curve.points]
    assert recalls == sorted(recalls) and curve.points[-1].recall == pytest.approx(1)
    assert [p.saved for p in curve.points] == sorted((p.saved for p in curve.points), reverse=True)
    assert curve.operating is not None and curve.assured is not None and curve.ceiling is not None
    at = curve.points.index(curve.operating)
    assert curve.operating.recall >= 0.95 and curve.points[at - 1].recall < 0.95
    assert curve.assured.recall_low is not None and curve.assured.recall_low >= 0.95
    assert curve.assured.threshold < curve.operating.threshold and curve.assured.saved < curve.operating.saved
    assert all(p.recall_low <= p.recall <= p.recall_high for p in curve.points if p.recall_low and p.recall_high)
    on, truth, probability = simulated()
    same = savings.savings_curve(on, probability, on.inside, truth=truth, thresholds=[curve.operating.threshold])
    assert same.points == (curve.operating,)
    assert not any("very field" in remark for remark in same.remarks)


def test_the_operating_point_is_what_a_plan_at_its_threshold_sprays() -> None:
    on, truth, probability = simulated("sections_3m")
    point = savings.savings_curve(on, probability, on.inside, truth=truth).operating
    assert point is not None
    made = plan.spray_plan(on, probability >= np.float32(point.threshold), on.inside)
    assert made.hectares["sprayed"] == pytest.approx(point.treated_ha)
    sprayed = on.hectares(truth * on.fine(made.cells)) / on.hectares(truth)
    assert sprayed == pytest.approx(point.recall)


def test_without_truth_the_curve_is_called_expected_has_no_interval_and_agrees_where_calibrated() -> None:
    on, truth, probability = simulated()
    expected = savings.savings_curve(on, probability, on.inside)
    assert expected.basis == "expected" and expected.ceiling is None and expected.assured is None
    assert expected.operating is not None and expected.operating.recall_low is None
    assert "as good as their calibration" in expected.remarks[0]
    measured = savings.savings_curve(
        on, probability, on.inside, truth=truth, thresholds=[p.threshold for p in expected.points]
    )
    gaps = [e.recall - m.recall for e, m in zip(expected.points, measured.points, strict=True)]
    assert np.abs(gaps).max() < 0.1


def test_recall_without_a_miss_is_bounded_by_the_number_of_diseased_blocks() -> None:
    on, truth, _ = simulated()
    curve = savings.savings_curve(on, truth, on.inside, truth=truth, block_m=30)
    best = curve.points[-1]
    assert 5 <= curve.blocks <= 16
    assert any("too narrow" in remark for remark in curve.remarks)
    assert best.recall_low == pytest.approx(0.025 ** (1 / curve.blocks)) and best.recall_high == 1


def test_few_diseased_blocks_give_no_interval_and_say_so() -> None:
    on, truth, _ = simulated()
    one = np.zeros_like(truth)
    one[200:220, 200:220] = 1
    curve = savings.savings_curve(on, one, on.inside, truth=one)
    assert curve.points[-1].recall_low is None and any("no interval" in remark for remark in curve.remarks)


def test_ground_that_was_not_examined_is_paid_for_and_in_no_recall() -> None:
    on, truth, probability = simulated()
    seen = on.inside.copy()
    seen[:, : seen.shape[1] // 4] = False
    sprayed = savings.savings_curve(on, probability, seen, truth=truth)
    skipped = savings.savings_curve(on, probability, seen, truth=truth, unexamined="skip")
    assert sprayed.not_examined_ha == pytest.approx(on.hectares(on.inside) / 4, rel=0.01)
    assert sprayed.diseased_ha == pytest.approx(on.hectares(truth * seen))
    least = min(p.treated_ha for p in sprayed.points)
    assert least >= sprayed.not_examined_ha > min(p.treated_ha for p in skipped.points)
    assert any("NOT EXAMINED: sprayed, and in no recall" in remark for remark in sprayed.remarks)


def test_a_field_without_disease_has_no_curve() -> None:
    on, truth, probability = simulated()
    with pytest.raises(DataError, match="recall has no meaning"):
        savings.savings_curve(on, probability, on.inside, truth=np.zeros_like(truth))
    with pytest.raises(DataError, match="bring it onto it"):
        savings.savings_curve(on, probability[1:], on.inside)


def test_the_benchmarks_ceilings_are_those_published_for_gaussian_patches() -> None:
    path = Path(__file__).resolve().parents[4] / "benchmarks" / "agriculture_savings.py"
    spec = importlib.util.spec_from_file_location("agriculture_savings", path)
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    options = argparse.Namespace(side=200.0, step=1.0)
    for column, (section, buffer) in enumerate(benchmark.MACHINES.values()):
        saved = benchmark.ceiling(section, buffer, 0.20, 2.0, 0, options)
        assert 100 * saved == pytest.approx(benchmark.REFERENCE[0.20, 2.0][column], abs=5)
