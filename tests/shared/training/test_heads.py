import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from shared.errors import ConfigError
from shared.training import head, heads
from shared.training.heads import Choice

WIDTHS = (4, 6, 10)


def data(n: int, d: int = 20, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    share = np.array([0.6, 0.3, 0.1][:classes])
    labels = np.concatenate([np.arange(classes), rng.choice(classes, n - classes, p=share / share.sum())])
    centres = np.random.default_rng(99).normal(size=(classes, d))
    return 3 + centres[labels] + 2 * rng.normal(size=(n, d)) * np.linspace(0.5, 5, d), labels


def scaled(x: np.ndarray, y: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights = heads.image_weights(y, classes, 0.0)
    mean, deviation = heads.moments(x, weights)
    return (x - mean) / deviation / np.sqrt(x.shape[1]), mean, deviation


@pytest.mark.parametrize(("n", "d"), [(120, 20), (30, 60)], ids=["more images", "more features"])
def test_ridge_on_everything_is_the_closed_form_head(n: int, d: int) -> None:
    x, y = data(n, d)
    (expected,) = head.ridge(x, y, 3, [2.0])
    found = heads.fit(x, y, 3, Choice("ridge", 2.0), (d,))
    new = data(40, d, seed=5)[0]
    assert np.allclose(found.scores(new), expected.scores(new), atol=1e-7)
    assert np.allclose(found.mean, expected.mean) and np.allclose(found.deviation, expected.deviation)


def test_logistic_equals_scikit_learn_without_the_projection() -> None:
    x, y = data(150)
    found = heads.fit(x, y, 3, Choice("logistic", 10.0, prior=0.5), WIDTHS)
    z, mean, deviation = scaled(x, y, 3)
    weights = heads.image_weights(y, 3, 0.5)
    oracle = LogisticRegression(C=100.0, max_iter=5000, tol=1e-8).fit(z, y, sample_weight=weights)
    new = data(50, seed=5)[0]
    expected = oracle.decision_function((new - mean) / deviation / np.sqrt(20))
    shifted = found.scores(new)
    assert np.allclose(shifted - shifted.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=0.01)


def test_support_vectors_equal_scikit_learn_without_the_projection() -> None:
    x, y = data(150)
    found = heads.fit(x, y, 3, Choice("svm", 20.0), WIDTHS)
    z, mean, deviation = scaled(x, y, 3)
    oracle = LinearSVC(C=50.0, dual=False, intercept_scaling=10.0, tol=1e-8, max_iter=5000)
    oracle.fit(z, y, sample_weight=heads.image_weights(y, 3, 0.0))
    new = data(50, seed=5)[0]
    assert np.allclose(found.scores(new), oracle.decision_function((new - mean) / deviation / np.sqrt(20)), atol=0.01)


def test_the_discriminant_equals_scikit_learn() -> None:
    x, y = data(200)
    found = heads.fit(x, y, 3, Choice("lda", 0.3, prior=1.0), WIDTHS)
    z, mean, deviation = scaled(x, y, 3)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(z, y)
    new = data(50, seed=5)[0]
    expected = oracle.decision_function((new - mean) / deviation / np.sqrt(20))
    difference = found.scores(new) - expected
    assert np.allclose(difference - difference.mean(1, keepdims=True), 0, atol=1e-6)


@given(
    kind=st.sampled_from(sorted(heads.KINDS)),
    stages=st.sampled_from([(), (0,), (1, 2), (2,)]),
    dims=st.sampled_from([0, 2, 5]),
    prior=st.sampled_from([0.0, 0.5, 1.0]),
    classes=st.sampled_from([2, 3]),
)
@settings(max_examples=60, deadline=None)
def test_every_head_folds_into_one_linear_map_of_the_features(
    kind: str, stages: tuple[int, ...], dims: int, prior: float, classes: int
) -> None:
    """Step by step, without folding: choose columns, standardise, project, then the head."""
    x, y = data(40, classes=classes)
    choice = Choice(kind, 0.5, stages, dims, prior)
    found = heads.fit(x, y, classes, choice, WIDTHS)
    used = heads.columns(WIDTHS, stages)
    weights = heads.image_weights(y, classes, 0.0)
    z = ((x - found.mean) / found.deviation)[:, used]
    basis = heads.directions(np.sqrt(weights)[:, None] * z, dims) / np.sqrt(len(used))
    inside, bias = heads.solve(choice, z @ basis, y, classes)
    assert np.allclose(found.scores(x), z @ basis @ inside + bias)
    left_out = np.setdiff1d(np.arange(20), used)
    assert not found.weights[left_out].any() and found.weights.shape == (20, classes)
    assert np.linalg.matrix_rank(found.weights) <= (dims or 20)


@pytest.mark.parametrize("kind", sorted(heads.KINDS))
def test_a_label_without_images_is_never_said(kind: str) -> None:
    x, y = data(80, classes=2)
    found = heads.fit(x, np.where(y == 1, 2, 0), 4, Choice(kind, 0.5), WIDTHS)
    said = found.scores(data(200, classes=2, seed=8)[0]).argmax(1)
    assert set(said) == {0, 2}


@pytest.mark.parametrize("kind", sorted(heads.KINDS))
def test_a_greater_prior_favours_the_frequent_label(kind: str) -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(200) < 20).astype(int)
    x = rng.normal(size=(200, 20)) + y[:, None] * 0.2
    said = [
        (heads.fit(x, y, 2, Choice(kind, 0.9, prior=p), WIDTHS).scores(x).argmax(1) == 1).sum() for p in (0.0, 0.5, 1.0)
    ]
    assert said[0] > said[1] > said[2]


def test_principal_directions_are_those_of_the_weighted_covariance() -> None:
    rng = np.random.default_rng(1)
    for shape in ((50, 8), (8, 50)):
        a = rng.normal(size=shape) @ np.diag(np.linspace(1, 4, shape[1]))
        found = heads.directions(a, 3)
        expected = np.linalg.svd(a)[2][:3].T
        assert np.allclose(np.abs((found * expected).sum(0)), 1) and np.allclose(found.T @ found, np.eye(3))


@pytest.mark.parametrize(
    "wrong", [{"kind": "forest"}, {"strength": 0.0}, {"kind": "lda", "strength": 2.0}, {"prior": 1.5}, {"dims": -1}]
)
def test_what_is_not_allowed_is_said(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        Choice(**wrong)  # type: ignore[arg-type]


def test_a_stage_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match="the backbone has 0 to 2"):
        heads.columns(WIDTHS, (1, 3))
