import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from shared.errors import BundleError, ConfigError
from shared.inference import conformal

NAMES = ("a", "b", "c")


def simulated(n: int, seed: int, labels: int = 3, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    honest = np.exp(rng.normal(0, sharpness, (n, labels)))
    honest /= honest.sum(1, keepdims=True)
    y = (honest.cumsum(1) > rng.uniform(size=(n, 1))).argmax(1)
    return honest, y


class Given(ClassifierMixin, BaseEstimator):
    """Its input is the probabilities."""

    def __init__(self, labels: int) -> None:
        self.classes_ = np.arange(labels)

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Given":
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("n", [37, 99, 500])
def test_thresholds_and_sets_are_those_of_mapie(n: int, alpha: float) -> None:
    p, y = simulated(n, seed=n, labels=4)
    new, _ = simulated(300, seed=1, labels=4)
    oracle = SplitConformalClassifier(Given(4), confidence_level=1 - alpha, conformity_score="lac", prefit=True)
    oracle.conformalize(p, y)
    _, expected = oracle.predict_set(new)
    ours = conformal.fit(p, y, list("abcd"), alpha=alpha, per_label=False)
    (quantile,) = np.ravel(oracle._mapie_classifier.quantiles_)
    assert ours.thresholds == pytest.approx((quantile,) * 4, abs=1e-12)
    assert np.array_equal(ours.sets(new), expected[:, :, 0])


@pytest.mark.filterwarnings("ignore:WARNING. your conformalization dataset has less labels")
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_thresholds_for_each_label_are_those_of_mapie_on_the_images_of_that_label(alpha: float) -> None:
    p, y = simulated(400, seed=3)
    ours = conformal.fit(p, y, NAMES, alpha=alpha)
    for c in range(3):
        oracle = SplitConformalClassifier(Given(3), confidence_level=1 - alpha, conformity_score="lac", prefit=True)
        oracle.conformalize(p[y == c], y[y == c])
        oracle.predict_set(p)
        assert ours.thresholds[c] == pytest.approx(float(np.ravel(oracle._mapie_classifier.quantiles_)[0]), abs=1e-12)


@given(n=st.integers(1, 3000), per_thousand=st.integers(1, 999))
def test_the_rank_is_the_smallest_that_covers_enough_of_n_and_one(n: int, per_thousand: int) -> None:
    alpha = per_thousand / 1000
    k = conformal.rank(n, alpha)
    promised = 1 - Fraction(per_thousand, 1000)
    assert Fraction(k, n + 1) >= promised > Fraction(k - 1, n + 1)
    assert (k <= n) == (n >= conformal.groups_needed(alpha))


@pytest.mark.parametrize(("alpha", "needed"), [(0.1, 9), (0.05, 19), (0.02, 49), (0.01, 99), (0.3, 3), (0.1 / 3, 29)])
def test_a_label_is_certifiable_from_the_well_known_number_of_groups(alpha: float, needed: int) -> None:
    p, _ = simulated(2 * needed - 1, seed=0, labels=2)
    y = np.repeat([0, 1], [needed, needed - 1])
    found = conformal.fit(p, y, ["enough", "few"], alpha=alpha)
    assert found.certifiable == (True, False) and found.groups == (needed, needed - 1)
    assert found.sets(np.array([[1.0, 0.0], [0.0, 1.0]]))[:, 1].all()
    assert f"not certifiable, therefore in every set, for want of {needed} independent groups: few" in str(found)


def test_images_of_one_group_do_not_make_a_label_certifiable() -> None:
    p, y = simulated(300, seed=0)
    found = conformal.fit(p, y, NAMES, alpha=0.1, groups=[f"part {i % 5}" for i in range(300)])
    assert found.groups == (5, 5, 5) and not any(found.certifiable)
    overall = conformal.fit(p, y, NAMES, alpha=0.1, groups=[f"part {i % 5}" for i in range(300)], per_label=False)
    assert sum(overall.groups) == 5 and overall.sets(p).all() and "hold every label" in str(overall)


def test_a_label_without_any_calibration_image_is_in_every_set() -> None:
    p, y = simulated(100, seed=0)
    found = conformal.fit(p[y < 2], y[y < 2], NAMES, alpha=0.1)
    assert found.certifiable == (True, True, False) and found.sets(p)[:, 2].all()


@pytest.mark.parametrize("kind", [conformal.LAC, conformal.APS])
@pytest.mark.parametrize("decimals", [1, 12], ids=["with ties", "without ties"])
@pytest.mark.parametrize(("n", "alpha"), [(9, 0.1), (50, 0.1), (19, 0.05), (4, 0.2)])
def test_the_promise_is_kept_over_many_calibrations(n: int, alpha: float, decimals: int, kind: str) -> None:
    """Mean coverage of one label over 300 draws of n calibration images; 1 - alpha less three standard errors."""
    p, y = simulated(20_000, seed=5)
    p = np.round(p, decimals)
    own, others = np.flatnonzero(y == 0), np.flatnonzero(y != 0)[:50]
    rng = np.random.default_rng(6)
    covered = []
    for _ in range(300):
        drawn = rng.permutation(own)
        rows = np.concatenate([drawn[:n], others])
        found = conformal.fit(p[rows], y[rows], NAMES, alpha=alpha, kind=kind)
        assert found.certifiable[0]
        covered.append(found.sets(p[drawn[n : n + 1000]])[:, 0].mean())
    assert np.mean(covered) >= 1 - alpha - 3 * np.std(covered) / np.sqrt(300)
    if decimals == 12 and kind == conformal.LAC:
        # Without ties the coverage of the k-th of n scores is exactly k / (n + 1).
        exact = conformal.rank(n, alpha) / (n + 1)
        assert np.mean(covered) == pytest.approx(exact, abs=4 * np.std(covered) / np.sqrt(300))


def test_the_promise_holds_for_new_groups_when_images_of_one_group_are_alike() -> None:
    """Counting images instead would break it: a group of 40 images pulls the threshold to itself."""
    rng = np.random.default_rng(0)
    kept, naive = [], []
    for _ in range(100):
        sizes = rng.choice([1, 40], 60, p=[0.5, 0.5])
        part = np.where(sizes == 40, rng.uniform(0.8, 1, 60), rng.uniform(0, 1, 60))
        right = np.repeat(part, sizes)
        p = np.stack([right, 1 - right], 1)
        new_size = rng.choice([1, 40], 2000, p=[0.5, 0.5])
        new = np.where(new_size == 40, rng.uniform(0.8, 1, 2000), rng.uniform(0, 1, 2000))
        asked = np.stack([new, 1 - new], 1)
        truth = np.zeros(len(p), np.int64)
        names = np.repeat(np.arange(60), sizes).astype(str).tolist()
        kept.append(conformal.fit(p, truth, ["a", "b"], alpha=0.1, groups=names).sets(asked)[:, 0].mean())
        naive.append(conformal.fit(p, truth, ["a", "b"], alpha=0.1).sets(asked)[:, 0].mean())
    assert np.mean(kept) >= 0.9 - 3 * np.std(kept) / 10
    assert np.mean(naive) < 0.8


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["lac", "aps"]), st.sampled_from([0.02, 0.1, 0.3]))
def test_smaller_alpha_never_gives_a_smaller_set(seed: int, kind: str, alpha: float) -> None:
    p, y = simulated(80, seed)
    wide = conformal.fit(p, y, NAMES, alpha=alpha / 2, kind=kind).sets(p)
    assert (wide | ~conformal.fit(p, y, NAMES, alpha=alpha, kind=kind).sets(p)).all()


def test_the_cumulative_score_counts_all_labels_that_are_more_probable() -> None:
    p = np.array([[0.5, 0.2, 0.3], [0.4, 0.4, 0.2], [0.0, 0.0, 1.0]])
    assert conformal.scores(p, "aps") == pytest.approx(np.array([[0.0, 0.8, 0.5], [0.0, 0.0, 0.8], [1.0, 1.0, 0.0]]))
    assert conformal.scores(p, "lac") == pytest.approx(1 - p)


def test_cumulative_sets_hold_the_likeliest_labels_and_are_never_empty() -> None:
    p, y = simulated(300, seed=2, labels=5)
    inside = conformal.fit(p, y, list("abcde"), alpha=0.2, kind="aps", per_label=False).sets(p)
    for row, chosen in zip(p, inside, strict=True):
        assert chosen.any() and row[chosen].min() > row[~chosen].max(initial=-1)
    assert 1 < inside.sum(1).mean() < 5


def test_the_tolerance_lets_sets_grow_and_never_shrink() -> None:
    p, y = simulated(200, seed=8)
    plain = conformal.fit(p, y, NAMES, alpha=0.1)
    loose = conformal.fit(p, y, NAMES, alpha=0.1, tolerance=1e-4)
    assert np.array(loose.thresholds) == pytest.approx(np.array(plain.thresholds) + 1e-4)
    shifted = p - 9e-5  # as a runtime in half the precision might answer
    assert (loose.sets(shifted) | ~plain.sets(p)).all() and not (plain.sets(shifted) | ~plain.sets(p)).all()


def test_the_record_survives_strict_json() -> None:
    p, y = simulated(60, seed=0)
    y[y == 2] = 0
    found = conformal.fit(p, y, NAMES, alpha=0.1, kind="aps")
    record = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert conformal.from_json(record) == found and record["sentence"] == str(found)


@pytest.mark.parametrize("broken", [{}, {"alpha": 0.1}, {"alpha": "much"}])
def test_a_damaged_record_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="build the bundle again"):
        conformal.from_json(broken)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_an_impossible_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="allowed is above 0 and below 1"):
        conformal.fit(np.eye(2), np.array([0, 1]), ["a", "b"], alpha=alpha)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed are 'lac' and 'aps'"):
        conformal.scores(np.eye(2), "raps")


def test_the_sentence_says_for_whom_the_promise_holds() -> None:
    p, y = simulated(300, seed=0)
    each, together = conformal.fit(p, y, NAMES, alpha=0.1), conformal.fit(p, y, NAMES, alpha=0.1, per_label=False)
    assert f"probability >= 90.0% for each of: a ({(y == 0).sum()})" in str(each)
    assert "over all labels together in the proportion calibrated, on 300 independent groups" in str(together)
