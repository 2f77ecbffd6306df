import time

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from shared.reporting.paired import Metric, paired, per_label, surely_better


def answers(n: int, right: float, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n)
    a = np.where(rng.random(n) < right, labels, rng.integers(0, classes, n))
    b = np.where(rng.random(n) < 0.85, a, rng.integers(0, classes, n))
    return labels, a, b


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        ("balanced_accuracy", metrics.balanced_accuracy_score),
        ("accuracy", metrics.accuracy_score),
        ("macro_f1", lambda y, p: metrics.f1_score(y, p, average="macro")),
    ],
)
def test_the_difference_is_that_of_the_two_metrics(metric: Metric, oracle: object) -> None:
    labels, a, b = answers(300, 0.7, 4, 0)
    found = paired(labels, a, b, [""] * 300, metric=metric)
    assert found.value == pytest.approx(oracle(labels, b) - oracle(labels, a))  # type: ignore[operator]
    assert found.low < found.value < found.high and found.n == found.groups == 300


def test_the_interval_equals_a_plain_bootstrap_in_strata() -> None:
    labels, a, b = answers(400, 0.7, 3, 1)
    group = np.arange(400) // 2
    labels = labels[group * 2]  # one label per group
    found = paired(labels, a, b, list(group.astype(str)))
    rng, drawn = np.random.default_rng(5), []
    strata = [np.unique(group[labels == c]) for c in range(3)]
    for _ in range(2000):
        chosen = np.concatenate([rng.choice(s, len(s)) for s in strata])
        rows = np.concatenate([2 * chosen, 2 * chosen + 1])
        recalls = [np.mean([(p[rows] == c)[labels[rows] == c].mean() for c in range(3)]) for p in (a, b)]
        drawn.append(recalls[1] - recalls[0])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


def test_equal_answers_differ_by_exactly_nothing() -> None:
    labels, a, _ = answers(120, 0.7, 4, 2)
    found = paired(labels, a, a, [""] * 120)
    assert (found.value, found.low, found.high, found.p_better) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("better", "worse"), [(3, 0), (5, 0), (9, 2), (10, 1), (30, 14)])
def test_the_confidence_is_one_minus_the_p_of_the_sign_test(better: int, worse: int) -> None:
    labels = np.zeros(200, int)
    a, b = np.zeros(200, int), np.zeros(200, int)
    a[:better] = 1
    b[better : better + worse] = 1
    found = paired(labels, a, b, [""] * 200)
    exact = binomtest(better, better + worse, alternative="greater").pvalue
    assert 1 - found.p_better == pytest.approx(exact, abs=0.01 if better + worse > 12 else 1e-12)


def test_three_images_against_none_are_no_proof() -> None:
    labels = np.arange(100) % 2
    b = labels.copy()
    a = labels.copy()
    a[:3] = 1 - a[:3]
    found = paired(labels, a, b, [""] * 100)
    assert found.value > 0.02 and found.p_better < 0.9 and found.low <= 0


def test_exchanged_models_have_the_opposite_difference() -> None:
    labels, a, b = answers(300, 0.6, 3, 3)
    one, other = paired(labels, a, b, [""] * 300), paired(labels, b, a, [""] * 300)
    assert one.value == pytest.approx(-other.value)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.01)


def test_images_of_one_group_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    kind = np.repeat(rng.choice([-1, 0, 1], 30, p=[0.2, 0.5, 0.3]), 10)
    labels = np.repeat(np.arange(30) % 2, 10)
    a = np.where(kind == 1, 1 - labels, labels)
    b = np.where(kind == -1, 1 - labels, labels)
    alone = paired(labels, a, b, [""] * 300)
    grouped = paired(labels, a, b, list(np.repeat(np.arange(30), 10).astype(str)))
    assert grouped.value == alone.value and grouped.groups == 30
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    assert grouped.p_better < alone.p_better


@pytest.mark.parametrize(("groups", "size", "gain"), [(90, 1, 0.0), (120, 1, 0.06), (40, 4, 0.0), (24, 5, 0.05)])
def test_interval_and_test_hold_as_often_as_they_say(groups: int, size: int, gain: float) -> None:
    rng = np.random.default_rng(groups)
    covered, claimed, times = 0, 0, 300
    labels = np.repeat(np.arange(groups) % 3, size)
    names = list(np.repeat(np.arange(groups), size).astype(str))
    for _ in range(times):
        chance = np.repeat(rng.random(groups), size)  # whole groups change
        up, down = chance < 0.06 + gain, chance > 0.94
        a = np.where(up, (labels + 1) % 3, labels)
        b = np.where(down, (labels + 1) % 3, labels)
        found = paired(labels, a, b, names)
        covered += found.low <= gain <= found.high
        claimed += found.p_better >= 0.95
    assert covered / times > 0.9
    if gain == 0:
        assert claimed / times < 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)


def test_a_label_that_is_rare_in_every_group_never_vanishes() -> None:
    labels = np.array([0, 1] * 3 + [0, 2] * 3)
    groups = ["x", "x", "y", "y", "z", "z", "u", "u", "v", "v", "w", "w"]
    a, b = np.zeros(12, int), labels.copy()
    b[1] = 0
    found = paired(labels, a, b, groups)
    assert np.isfinite([found.low, found.high]).all() and -1 <= found.low <= found.value <= found.high <= 1


def test_each_label_has_its_own_difference_and_one_group_says_nothing() -> None:
    labels = np.array([0] * 40 + [2] * 4)
    a, b = labels.copy(), labels.copy()
    a[:10] = 2
    b[40:42] = 0
    found = per_label(labels, a, b, [""] * 40 + ["part"] * 4)
    assert set(found) == {0, 2} and found[0].value == pytest.approx(0.25) and found[0].p_better > 0.99
    assert (found[2].value, found[2].low, found[2].high) == (-0.5, -1.0, 1.0)


def test_two_thousand_images_take_less_than_a_second() -> None:
    labels, a, b = answers(2000, 0.8, 7, 0)
    groups = [str(i // 3) for i in range(2000)]
    paired(labels, a, b, groups)
    started = time.process_time()
    paired(labels, a, b, groups, seed=1)
    assert time.process_time() - started < 1


def test_the_sentence_has_value_interval_counts_and_confidence() -> None:
    labels, a, b = answers(300, 0.6, 3, 3)
    said = str(paired(labels, a, b, [""] * 300))
    assert said.startswith("balanced accuracy ") and "300 images in 300 groups" in said and "95% interval" in said


def probabilities(n: int, sharpness: float, noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
    scores = noise.copy()
    scores[np.arange(n), labels] += sharpness
    raised = np.exp(scores)
    return raised / raised.sum(1, keepdims=True)


def test_better_probabilities_are_seen_where_the_labels_say_little() -> None:
    rng = np.random.default_rng(0)
    labels, noise = rng.integers(0, 3, 120), rng.normal(0, 1, (120, 3))
    a, b = (probabilities(120, s, noise, labels) for s in (1.0, 1.2))
    gained, sure = surely_better(labels, a, b, [""] * 120)
    assert gained > 0 and sure > 0.99
    assert paired(labels, a.argmax(1), b.argmax(1), [""] * 120).p_better < sure
    assert surely_better(labels, b, a, [""] * 120)[1] < 0.01
    assert surely_better(labels, a, a, [""] * 120) == (0.0, 0.0)


def test_of_two_equally_good_models_the_second_is_seldom_called_better_also_in_groups() -> None:
    called = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        group = np.arange(90) // 3
        labels = (group % 3).astype(np.int64)
        # Images of one group err together; counting them one by one would call far more.
        a, b = (probabilities(90, 1.0, rng.normal(0, 1, (30, 3))[group], labels) for _ in range(2))
        called += surely_better(labels, a, b, list(group.astype(str)), seed=seed)[1] >= 0.95
    assert called <= 20
