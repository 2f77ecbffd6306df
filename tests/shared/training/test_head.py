import numpy as np
import pytest
from sklearn.linear_model import Ridge

from shared.training import head


def data(n: int, d: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=[0.7, 0.2, 0.1])
    centres = np.random.default_rng(99).normal(size=(classes, d))
    return centres[labels] + 2 * rng.normal(size=(n, d)), labels


@pytest.mark.parametrize(("n", "d"), [(200, 20), (60, 150)], ids=["more images", "more features"])
def test_the_head_equals_scikit_learns_weighted_ridge(n: int, d: int) -> None:
    features, labels = data(n, d)
    (fitted,) = head.ridge(features, labels, 3, [2.0])
    weights = head.class_weights(labels, 3)
    oracle = Ridge(alpha=2.0 * d / 1000, solver="cholesky").fit(
        fitted.standardise(features), np.eye(3)[labels], sample_weight=weights
    )
    new = data(50, d, seed=9)[0]
    assert np.allclose(fitted.scores(new), oracle.predict(fitted.standardise(new)), atol=1e-8)


def test_every_label_has_the_same_weight() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2])
    weights = head.class_weights(labels, 3)
    assert weights.sum() == pytest.approx(1) and weights[labels == 2].sum() == pytest.approx(1 / 3)


def test_a_rare_label_is_recognised_as_well_as_a_frequent_one() -> None:
    features, labels = data(600, 20)
    (fitted,) = head.ridge(features, labels, 3, [1.0])
    new, truth = data(3000, 20)
    recalls = [(fitted.scores(new).argmax(1) == truth)[truth == c].mean() for c in range(3)]
    assert min(recalls) > 0.75


def test_a_dead_channel_does_not_speak() -> None:
    features, labels = data(100, 10)
    features[:, 3] = 7.0
    (fitted,) = head.ridge(features, labels, 3, [1.0])
    moved = features.copy()
    moved[:, 3] += 1e-7  # rounding noise of another runtime
    assert np.abs(fitted.scores(moved) - fitted.scores(features)).max() < 1e-3


def test_folds_keep_components_together_and_spread_labels() -> None:
    rng = np.random.default_rng(0)
    components = rng.integers(0, 60, 400)
    labels = (components % 4 == 0).astype(int)
    fold = head.folds(components, labels, 5, seed=0)
    assert all(len(set(fold[components == c])) == 1 for c in set(components))
    shares = [labels[fold == f].sum() / labels.sum() for f in range(5)]
    assert max(shares) < 0.35 and min(shares) > 0.08


def test_strength_and_temperature_are_chosen_on_images_the_head_has_not_seen() -> None:
    """With labels that are pure chance, an honest choice sees chance and ends in small confidence."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(240, 400)), rng.integers(0, 3, 240)
    fitted = head.fit(features, labels, np.arange(240), 3, strengths=[0.01, 1.0, 30.0], count=5, seed=0)
    assert max(fitted.tried.values()) < 0.45
    new = rng.normal(size=(200, 400))
    scores = fitted.head.scores(new)
    confidence = np.exp(scores).max(1) / np.exp(scores).sum(1)
    assert confidence.mean() < 0.5
