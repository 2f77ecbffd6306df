import numpy as np
import pytest

from shared.training import head, out_of_fold
from shared.training.out_of_fold import Labelled


def siblings(seed: int = 0) -> tuple[Labelled, np.ndarray]:
    """40 objects of 4 images each whose features name the object and not the label."""
    rng = np.random.default_rng(seed)
    component = np.repeat(np.arange(40), 4)
    features = rng.normal(0, 1, (40, 60))[component] + rng.normal(0, 0.05, (160, 60))
    return Labelled(features, component % 2, 2, (0.1, 1.0, 10.0), 5), component


def test_an_image_is_not_recognised_by_its_sibling_unless_every_image_stands_alone() -> None:
    data, component = siblings()
    clean = out_of_fold.probabilities(data, component, 0).argmax(1)
    leaky = out_of_fold.probabilities(data, np.arange(160), 0).argmax(1)
    assert head.balanced_accuracy(leaky, data.labels) > 0.95 > 0.7 > head.balanced_accuracy(clean, data.labels)


def test_probabilities_add_up_to_one_and_every_image_gets_some() -> None:
    data, component = siblings()
    found = out_of_fold.probabilities(data, component, 1)
    assert found.shape == (160, 2) and found.sum(1) == pytest.approx(1.0)


def test_in_a_large_set_every_image_is_judged_too() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4200)
    features = rng.normal(0, 1, (4200, 5)) + labels[:, None]
    found = out_of_fold.probabilities(Labelled(features, labels, 2, (1.0,), 5), np.arange(4200), 0)
    assert np.isfinite(found).all() and head.balanced_accuracy(found.argmax(1), labels) > 0.8


def test_a_given_split_is_recognised_by_siblings_and_not_without_them() -> None:
    data, component = siblings()
    train, test = np.nonzero(np.arange(160) % 4 > 0)[0], np.nonzero(np.arange(160) % 4 == 0)[0]
    leaky = out_of_fold.of_split(data, np.arange(160), train, test, 0)
    clean = out_of_fold.of_split(data, component, train, test, 0)
    assert leaky.shape == clean.shape == (40,)
    assert head.balanced_accuracy(leaky, data.labels[test]) > 0.95
    assert head.balanced_accuracy(clean, data.labels[test]) < 0.75


def test_where_nothing_leaks_both_sides_say_the_same_on_average() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    data = Labelled(rng.normal(0, 1, (600, 8)) + 1.2 * np.eye(8)[labels], labels, 3, (0.1, 1.0, 10.0), 5)
    members = rng.permutation(600)
    answers = [out_of_fold.of_split(data, m, np.arange(400), np.arange(400, 600), 0) for m in (np.arange(600), members)]
    a, b = (head.balanced_accuracy(answer, labels[400:]) for answer in answers)
    assert abs(a - b) < 0.04 and min(a, b) > 0.6
