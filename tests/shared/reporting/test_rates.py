import tracemalloc

import numpy as np
import pytest
from scipy.stats import beta
from sklearn import metrics

from shared.reporting import rates


def test_a_share_has_the_exact_interval() -> None:
    rate = rates.proportion(8, 10)
    assert rate.value == 0.8 and rate.n == 10
    assert rate.low == pytest.approx(beta.ppf(0.025, 8, 3)) and rate.high == pytest.approx(beta.ppf(0.975, 9, 2))


def test_no_cases_say_nothing_rather_than_zero() -> None:
    rate = rates.proportion(0, 0)
    assert rate.value is None and (rate.low, rate.high) == (0.0, 1.0) and str(rate) == "no cases"


def test_summaries_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    predicted = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 4, 300))
    result = rates.classification(labels, predicted, list("abcd"), groups=[""] * 300)
    assert result["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert result["balanced_accuracy"]["value"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert result["macro_f1"]["value"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    expected = metrics.precision_score(labels, predicted, average=None)
    assert [result["per_label"][c]["precision"] for c in "abcd"] == pytest.approx(list(expected))
    assert result["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()


def test_images_of_one_group_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    right = np.repeat(rng.random(20) < 0.7, 20)
    labels = np.zeros(400, int)
    labels[::2] = 1
    predicted = np.where(right, labels, 1 - labels)
    alone = rates.classification(labels, predicted, ["a", "b"], groups=[""] * 400)["accuracy"]
    grouped = rates.classification(labels, predicted, ["a", "b"], groups=list(np.repeat(np.arange(20), 20).astype(str)))
    assert grouped["groups"] == 20
    assert grouped["accuracy"]["high"] - grouped["accuracy"]["low"] > 2 * (alone["high"] - alone["low"])


def test_all_right_is_not_certainty() -> None:
    result = rates.classification(
        np.zeros(24, int) + np.arange(24) % 2, np.arange(24) % 2, ["a", "b"], groups=[""] * 24
    )
    assert result["accuracy"]["value"] == 1.0 and result["accuracy"]["low"] == pytest.approx(0.025 ** (1 / 24))


def test_independent_cases_have_clopper_and_pearsons_interval() -> None:
    successes = np.arange(40) < 30
    rate = rates.grouped(successes, [""] * 40)
    exact = rates.proportion(30, 40)
    assert (rate.low, rate.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_one_group_says_nothing() -> None:
    assert rates.grouped(np.ones(50, bool), ["part"] * 50) == rates.Rate(1.0, 0.0, 1.0, 50)


@pytest.mark.parametrize(("share", "size"), [(0.97, 1), (0.8, 10), (0.9, 4)])
def test_the_interval_covers_as_often_as_it_says(share: float, size: int) -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(600):
        part = np.clip(rng.normal(share, 0.1 if size > 1 else 0.0, 24), 0, 1)
        truth = part.mean() if size == 1 else share
        successes = (rng.random((24, size)) < part[:, None]).ravel()
        rate = rates.grouped(successes, [str(i) for i in range(24) for _ in range(size)])
        covered += rate.low <= truth <= rate.high + 0.02
    assert covered / 600 > 0.92


def test_few_groups_of_unequal_size_are_covered_as_often() -> None:
    """Ten parts of 1 to many images that are alike; the variance of ten parts is itself a guess."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        sizes, part = rng.geometric(1 / 40, 10), rng.beta(0.7 * 7 / 3, 0.3 * 7 / 3, 10)
        successes = np.concatenate([rng.random(n) < p for n, p in zip(sizes, part, strict=True)])
        rate = rates.grouped(successes, np.repeat(np.arange(10), sizes).astype(str).tolist())
        covered += rate.low <= 0.7 <= rate.high
    assert covered / 400 > 0.92


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
@pytest.mark.parametrize("wrong", [0, 2])
def test_a_mean_over_labels_is_no_surer_than_its_rarest_label(metric: str, wrong: int) -> None:
    """Two images that are both right leave the recall of their label open, whatever a hundred others say."""
    labels = np.repeat([0, 1], [100, 2])
    predicted = np.where(np.arange(102) < wrong, 1, labels)
    rare = rates.classification(labels, predicted, ["a", "b"], groups=[""] * 102)
    assert rare[metric]["low"] < 0.65 and rare["accuracy"]["low"] > 0.9
    many = rates.classification(np.tile(labels, 20), np.tile(predicted, 20), ["a", "b"], groups=[""] * 2040)
    assert many[metric]["low"] > rare[metric]["low"] + 0.2


def test_the_interval_of_balanced_accuracy_covers_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "RESAMPLES", 200)
    rng = np.random.default_rng(6)
    labels = np.repeat([0, 1], [100, 5])
    covered = 0
    for _ in range(300):
        predicted = np.where(rng.random(105) < np.array([0.98, 0.8])[labels], labels, 1 - labels)
        found = rates.classification(labels, predicted, ["a", "b"], groups=[""] * 105)["balanced_accuracy"]
        covered += found["low"] <= 0.89 <= found["high"]
    assert covered / 300 > 0.91


def test_a_label_without_cases_has_no_recall() -> None:
    result = rates.classification(np.array([0, 0]), np.array([0, 1]), ["a", "b"], groups=["", ""])
    assert result["per_label"]["b"] == {"n": 0, "recall": None, "low": 0.0, "high": 1.0, "precision": 0.0}
    assert result["balanced_accuracy"]["value"] == 0.5


def test_a_confusion_matrix_carries_its_names() -> None:
    found = rates.confusion(np.array([0, 0, 2]), np.array([0, 1, 2]), ["a", "b", "c"])
    assert found == {"labels": ["a", "b", "c"], "counts": [[1, 1, 0], [0, 0, 0], [0, 0, 1]]}


def drawn(n: int, sharper: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels drawn from them; then the probabilities are made ``sharper`` than the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([0.6] * 3, n)
    labels = (truth.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, 2)
    stated = truth**sharper
    return stated / stated.sum(1, keepdims=True), labels


def test_the_brier_score_is_scikit_learns() -> None:
    probabilities, labels = drawn(200, 1.0)
    assert rates.brier(probabilities, labels) == pytest.approx(
        metrics.brier_score_loss(labels, probabilities, labels=[0, 1, 2], scale_by_half=False)
    )
    assert rates.brier(np.eye(3), np.array([0, 1, 2])) == 0.0 and rates.brier(np.eye(2), np.array([1, 0])) == 2.0
    with pytest.raises(ValueError, match="no image"):
        rates.brier(np.zeros((0, 3)), np.zeros(0, int))


def test_bins_are_filled_equally_from_the_least_to_the_most_confident() -> None:
    probabilities, labels = drawn(205, 1.0)
    bins = rates.reliability(probabilities, labels)
    assert [b["n"] for b in bins] == [21] * 5 + [20] * 5
    assert [b["confidence"] for b in bins] == sorted(b["confidence"] for b in bins)
    right = (probabilities.argmax(1) == labels).mean()
    assert sum(b["n"] * b["accuracy"] for b in bins) / 205 == pytest.approx(right)
    assert all(b["low"] <= b["accuracy"] <= b["high"] for b in bins)


def test_few_images_share_a_bin() -> None:
    probabilities, labels = drawn(12, 1.0)
    assert [b["n"] for b in rates.reliability(probabilities, labels)] == [6, 6]
    assert [b["n"] for b in rates.reliability(probabilities[:2], labels[:2])] == [2]
    assert rates.reliability(probabilities[:0], labels[:0]) == []


def test_bins_of_one_group_say_nothing() -> None:
    probabilities, labels = drawn(40, 1.0)
    assert all((b["low"], b["high"]) == (0, 1) for b in rates.reliability(probabilities, labels, groups=["part"] * 40))


def test_chance_alone_stays_below_its_gap_as_often_as_it_says_and_overconfidence_does_not() -> None:
    def above(sharper: float) -> float:
        seen = [rates.reliability(*drawn(150, sharper, seed)) for seed in range(120)]
        return float(np.mean([rates.gap(bins) > rates.gap_by_chance(bins) for bins in seen]))

    assert above(1.0) < 0.12 and above(4.0) > 0.9


def test_shares_are_told_with_one_decimal_or_as_missing() -> None:
    assert rates.percent(0.12345) == "12.3 %" and rates.percent(None) == "no cases"
    assert rates.percent(float("nan"), "not measured") == "not measured"
    assert (rates.percent(2 / 5000), rates.percent(4999 / 5000)) == ("< 0.1 %", "> 99.9 %")
    assert (rates.percent(0.0), rates.percent(1.0), rates.percent(0.0006)) == ("0.0 %", "100.0 %", "0.1 %")
    assert (rates.percent(0.004, digits=0), rates.percent(0.997, digits=0)) == ("< 1 %", "> 99 %")


def test_many_labels_and_groups_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 300, (2, 3000))
    tracemalloc.start()
    result = rates.classification(labels, predicted, [str(i) for i in range(300)], groups=[str(i) for i in range(3000)])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 200e6 and result["groups"] == 3000
