import numpy as np
import pytest

from shared.training import head, learning_curve
from shared.training.learning_curve import extra_minute, more_labels


def data(n: int, seed: int, signal: float = 0.33, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return signal * np.random.default_rng(99).normal(size=(classes, 60))[labels] + rng.normal(size=(n, 60)), labels


def test_scores_from_inner_products_are_those_of_the_closed_form_head() -> None:
    x, y = data(90, 0)
    z = (x - x.mean(0)) / x.std(0)
    inside, outside = np.arange(60), np.arange(60, 90)
    found = learning_curve._scores(learning_curve._gram(x), inside, outside, y, 4, 2.0)
    weights = head.class_weights(y[inside], 4)
    mean = weights @ z[inside]
    a = np.sqrt(weights)[:, None] * (z[inside] - mean)
    targets = np.eye(4)[y[inside]]
    b = np.sqrt(weights)[:, None] * (targets - weights @ targets)
    solution = np.linalg.solve(a.T @ a + 2.0 * 60 / 1000 * np.eye(60), a.T @ b)
    assert np.allclose(found, (z[outside] - mean) @ solution + weights @ targets)


@pytest.mark.parametrize(("a", "b", "c"), [(0.05, 0.9, 0.4), (0.0, 2.0, 0.6), (0.2, 0.0, 0.5)])
def test_a_power_law_is_found_again(a: float, b: float, c: float) -> None:
    sizes = np.array([50.0, 80.0, 126.0, 200.0])
    laws = learning_curve._power_laws(sizes, (a + b * sizes**-c)[None])
    assert laws.at(400)[0] == pytest.approx(a + b * 400**-c, abs=1e-6)


def test_a_curve_that_rises_promises_nothing() -> None:
    laws = learning_curve._power_laws(np.array([50.0, 80.0, 126.0, 200.0]), np.array([[0.1, 0.12, 0.13, 0.15]]))
    assert laws.at(200)[0] - laws.at(300)[0] == 0.0


def test_parts_are_nested_hold_whole_groups_and_every_label() -> None:
    group = np.repeat(np.arange(40), 3)
    y = np.repeat(np.arange(40) % 4, 3)
    rank = learning_curve._nested(group, y, 0)
    assert all(len(set(rank[group == g])) == 1 for g in range(40)) and rank.max() <= 1
    for share in (0.25, 0.4, 1.0):
        counts = np.bincount(y[rank <= share], minlength=4) / 30
        assert counts.min() >= share - 0.1 and counts.max() <= share + 0.1


@pytest.mark.long
def test_the_interval_holds_what_fifty_more_labels_bring_about_as_often_as_it_says() -> None:
    test_x, test_y = data(4000, 1000)
    errors = []
    for seed in range(100):  # the same images and fifty more, so that the difference is of these fifty
        x, y = data(250, 2000 + seed)
        errors.append(
            [
                [1 - head.balanced_accuracy(h.scores(test_x).argmax(1), test_y) for h in heads]
                for n in (200, 250)
                for heads in [head.ridge(x[:n], y[:n], 4, [30.0, 100.0, 300.0])]
            ]
        )
    before, after = np.mean(errors, 0).min(1)
    truth = before - after
    held = []
    for seed in range(40):
        x, y = data(200, seed)
        found = more_labels(x, y, np.arange(200), 4, strength=100.0)
        assert found is not None
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) > 0.65


def test_what_was_learnt_to_the_end_needs_no_more_labels() -> None:
    x, y = data(200, 0, signal=3.0)
    found = more_labels(x, y, np.arange(200), 4)
    assert found is not None and found.high < 0.002 and found.one_point is None
    assert str(found).endswith("one point more is not to be expected from labels alone")


def test_the_sentence_has_an_interval() -> None:
    x, y = data(200, 0)
    found = more_labels(x, y, np.arange(200), 4, strength=100.0)
    assert found is not None and 0 <= found.low < found.gain < found.high
    assert list(found.errors) == sorted(found.errors, reverse=True) and found.sizes[-1] == 160
    assert str(found).startswith("50 more labels would probably bring 0.")
    assert found.one_point is not None and 20 < found.one_point < 300


def test_too_few_groups_give_no_curve() -> None:
    x, y = data(200, 0)
    assert more_labels(x, y, np.arange(200) % 9, 4) is None


def steps(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"seconds": s, "balanced_accuracy": a} for s, a in pairs]


def test_one_more_minute_brings_at_most_what_the_last_one_did() -> None:
    found = extra_minute(steps((0, 0.5), (60, 0.7), (120, 0.8), (180, 0.84), (240, 0.85)))
    assert found is not None and found.low == 0.0
    # The last minute brought 1 point, the second half 2.5 points a minute.
    assert found.high == pytest.approx(0.025)
    assert str(found) == "one more minute would probably bring 0.0 to 2.5 points (from 5 evaluations)"


def test_a_training_that_stands_still_is_not_carried_on() -> None:
    found = extra_minute(steps((0, 0.6), (30, 0.8), (200, 0.79), (300, 0.78)))
    assert found is not None and found.high == 0.0


def test_nobody_gets_over_a_hundred_percent() -> None:
    found = extra_minute(steps((0, 0.2), (20, 0.6), (40, 0.99)))
    assert found is not None and found.high <= 0.01 + 1e-12


@pytest.mark.parametrize("tried", [steps(), steps((0, 0.5), (90, 0.6)), steps((0, 0.5), (5, 0.6), (9, 0.7))])
def test_too_little_seen_says_nothing(tried: list[dict[str, float]]) -> None:
    assert extra_minute(tried) is None
