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
    assert np.isnan(rate.value) and (rate.low, rate.high) == (0.0, 1.0) and str(rate) == "no cases"


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


def test_a_label_without_cases_has_no_recall() -> None:
    result = rates.classification(np.array([0, 0]), np.array([0, 1]), ["a", "b"], groups=["", ""])
    assert result["per_label"]["b"] == {"n": 0, "recall": None, "low": 0.0, "high": 1.0, "precision": 0.0}
    assert result["balanced_accuracy"]["value"] == 0.5
