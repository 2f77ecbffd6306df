import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data import suspects


def test_a_planted_error_is_found_ranked_first_and_given_its_likely_label() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 100)
    probabilities = np.full((300, 3), 0.1) + rng.uniform(0, 0.02, (300, 3))
    probabilities[np.arange(300), truth] = rng.uniform(0.6, 1.0, 300)
    probabilities /= probabilities.sum(1, keepdims=True)
    labels = truth.copy()
    wrong = [3, 120, 250]
    labels[wrong] = (labels[wrong] + 1) % 3
    probabilities[wrong] = 0.02
    probabilities[wrong, truth[wrong]] = 0.96
    found = suspects.find(probabilities, labels)
    assert set(found.order[:3].tolist()) == set(wrong) and np.nonzero(found.suspect)[0].tolist() == wrong
    assert found.likely.tolist() == truth.tolist()


def test_a_label_that_models_find_hard_is_judged_by_its_own_threshold() -> None:
    """Label 1 never gets more than 0.4, so that 0.45 for it is confident, although 0.55 for label 0 is not."""
    probabilities = np.array([[0.9, 0.1]] * 20 + [[0.6, 0.4]] * 19 + [[0.65, 0.35]] + [[0.55, 0.45]])
    labels = np.array([0] * 20 + [1] * 20 + [0])
    found = suspects.find(probabilities, labels)
    assert found.suspect[-1] and found.likely[-1] == 1 and found.suspect.sum() == 1


def test_an_image_that_no_label_is_sure_of_is_doubted_and_no_suspect() -> None:
    probabilities = np.array([[0.9, 0.05, 0.05]] * 5 + [[0.05, 0.9, 0.05]] * 5 + [[0.3, 0.3, 0.4]])
    found = suspects.find(probabilities, np.array([0] * 5 + [1] * 5 + [0]))
    assert not found.suspect.any() and found.order[0] == 10
    assert np.nonzero(found.doubted)[0].tolist() == [10] and found.likely[10] == 2


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(5, 60))
def test_whatever_the_numbers_every_image_is_ranked_once_and_a_suspect_has_another_label(
    seed: int, classes: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), n)
    labels = rng.integers(0, classes, n)
    found = suspects.find(probabilities, labels)
    assert sorted(found.order.tolist()) == list(range(n))
    assert (found.doubted == (found.likely != labels)).all() and not (found.suspect & ~found.doubted).any()
    sure = probabilities[np.arange(n), found.likely] >= found.thresholds[found.likely]
    assert sure[found.suspect].all() and (found.doubted | (probabilities.argmax(1) == labels)).all()
