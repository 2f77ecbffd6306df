import numpy as np
import pytest

from shared.errors import DataError
from verticals.agriculture.scouting.area_estimate import Design, estimate

LABELS = ("deforestation", "gain", "forest", "other")
PRINTED = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09


def test_the_worked_example_of_olofsson_comes_out_to_its_printed_digits() -> None:
    found = estimate(PRINTED, MAPPED.tolist(), LABELS, Design.STRATIFIED)
    printed = {"deforestation": (21_158, 6_158), "gain": (11_686, 3_756), "forest": (285_770, 15_510)}
    printed["other"] = (581_386, 16_282)
    for label, (hectares, half) in printed.items():
        mine = found.hectares[label]
        assert mine.value == pytest.approx(hectares, abs=1) and mine.high - mine.value == pytest.approx(half, abs=2)
    users = [(round(e.value, 2), round(e.high - e.value, 2)) for e in found.users.values()]
    assert users == [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    assert [round(e.value, 2) for e in found.producers.values()] == [0.75, 0.85, 0.93, 0.96]
    assert round(found.overall.value, 2) == 0.95 and round(found.overall.high - found.overall.value, 2) == 0.02


def test_producers_intervals_are_those_of_the_ratio_estimator_over_the_points_of_the_worked_example() -> None:
    """Another derivation (Stehman 2014, doi:10.1080/01431161.2014.930207, eq. 26 to 28): y / x over single points.

    y is 1 for a point that is j on the map and in truth, x for one that is j in truth. Printed for table 8 of Olofsson
    et al. 2014 (page 54): 0.75 +- 0.21 for deforestation.
    """
    found = estimate(PRINTED, MAPPED.tolist(), LABELS, Design.STRATIFIED).producers
    weights = MAPPED / MAPPED.sum()
    points = [np.repeat(np.arange(4), row) for row in PRINTED]
    for j, label in enumerate(LABELS):
        x = [(truth == j).astype(float) for truth in points]
        y = [values if stratum == j else np.zeros_like(values) for stratum, values in enumerate(x)]
        total = sum(w * values.mean() for w, values in zip(weights, x, strict=True))
        ratio = sum(w * values.mean() for w, values in zip(weights, y, strict=True)) / total
        spread = [np.var(a - ratio * b, ddof=1) / len(b) for a, b in zip(y, x, strict=True)]
        half = 1.959964 * np.sqrt(weights**2 @ spread) / total
        mine = found[label]
        assert mine.value == pytest.approx(ratio, rel=1e-12)
        assert mine.value - mine.low == pytest.approx(half, rel=1e-12), label
        assert mine.high == pytest.approx(min(1.0, ratio + half), rel=1e-12)
    assert (
        round(found["deforestation"].value, 2),
        round(found["deforestation"].high - found["deforestation"].value, 2),
    ) == (0.75, 0.21)


def test_the_error_of_producers_accuracy_is_that_of_the_sample_drawn_again_and_again() -> None:
    rng, share = np.random.default_rng(2), MAPPED / MAPPED.sum()
    drawn = np.stack([rng.multinomial(row.sum(), row / row.sum(), 20_000) / row.sum() for row in PRINTED], axis=1)
    found = share * np.diagonal(drawn, axis1=1, axis2=2) / np.einsum("i,kij->kj", share, drawn)
    mine = estimate(PRINTED, MAPPED.tolist(), LABELS, Design.STRATIFIED).producers
    for label, sampled in zip(LABELS, found.std(0), strict=True):
        one = (mine[label].value - mine[label].low) / 1.96
        assert one == pytest.approx(sampled, rel=0.12 if label == "gain" else 0.06), label


@pytest.mark.parametrize("design", [Design.STRATIFIED, Design.RANDOM])
def test_the_interval_holds_the_true_area_about_as_often_as_it_says_where_the_count_of_pixels_is_wrong(
    design: Design,
) -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(40_000, int)
    truth[:8_000] = 1
    mapped = truth ^ (rng.random(len(truth)) < np.where(truth == 1, 0.3, 0.1))
    hectares = [float((mapped == k).sum()) / 100 for k in (0, 1)]
    held, means = 0, []
    for _ in range(300):
        if design is Design.RANDOM:
            points = rng.choice(len(truth), 150, replace=False)
        else:
            points = np.concatenate([rng.choice(np.flatnonzero(mapped == k), 75, replace=False) for k in (0, 1)])
        counts = np.zeros((2, 2), int)
        np.add.at(counts, (mapped[points], truth[points]), 1)
        sick = estimate(counts, hectares, ("healthy", "sick"), design).hectares["sick"]
        held += sick.low <= 80 <= sick.high
        means.append(sick.value)
    assert abs(hectares[1] - 80) > 5, "a count of pixels is far off"
    assert np.mean(means) == pytest.approx(80, abs=2), "without bias"
    assert 0.90 <= held / 300 <= 0.99


def test_no_area_comes_from_points_that_were_picked_or_from_a_class_with_a_single_one() -> None:
    with pytest.raises(DataError, match="no random sample"):
        estimate(PRINTED, MAPPED.tolist(), LABELS, Design.PURPOSIVE)
    thin = PRINTED.copy()
    thin[1] = [0, 1, 0, 0]
    with pytest.raises(DataError, match=r"gain has 1; needed are at least 2 points"):
        estimate(thin, MAPPED.tolist(), LABELS, Design.RANDOM)
    without = estimate(thin, [*MAPPED[:1], 0.0, *MAPPED[2:]], LABELS, Design.RANDOM)
    assert np.isnan(without.users["gain"].value) and without.points == 565
    agreed = estimate(np.diag([30, 9]), [1.0, 2.0], ("a", "b"), Design.STRATIFIED)
    assert len(agreed.remarks) == 2 and agreed.remarks[0].startswith("b: fewer than 20")
