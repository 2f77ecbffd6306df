"""Scores of advice, against scikit-learn and against answers that need no data."""

import numpy as np
import pytest

from shared.errors import DataError
from verticals.agriculture.irrigation.agreement import agreement, kappa_gain

metrics = pytest.importorskip("sklearn.metrics")


def drawn(n: int = 400, seed: int = 5) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    needed = rng.random(n) < 0.3
    return np.where(rng.random(n) < 0.15, ~needed, needed), needed, [f"p{i % 20}" for i in range(n)]


def test_every_figure_is_scikit_learn_s_and_lies_in_its_interval() -> None:
    advised, needed, plots = drawn()
    found = agreement(advised, needed, plots)
    theirs = {
        "accuracy": metrics.accuracy_score(needed, advised),
        "balanced_accuracy": metrics.balanced_accuracy_score(needed, advised),
        "kappa": metrics.cohen_kappa_score(needed, advised),
        "f1": metrics.f1_score(needed, advised),
        "missed": 1 - metrics.recall_score(needed, advised),
        "needless": 1 - metrics.recall_score(~needed, ~advised),
    }
    for name, value in theirs.items():
        rate = getattr(found, name)
        assert rate.value == pytest.approx(value), name
        assert rate.low < value < rate.high and rate.n == 400, name


def test_never_irrigating_scores_the_majority_s_accuracy_and_a_kappa_of_nothing() -> None:
    _, needed, plots = drawn()
    found = agreement(np.zeros(len(needed), bool), needed, plots)
    assert found.accuracy.value == found.majority.value == pytest.approx(1 - found.base_rate.value)
    assert found.majority.value > 0.6
    assert (found.kappa.value, found.balanced_accuracy.value, found.missed.value) == (0, 0.5, 1)


def test_plots_that_resemble_themselves_widen_the_interval() -> None:
    advised, needed, _ = drawn()
    order = np.argsort(advised != needed, kind="stable")
    alike = agreement(advised[order], needed[order], [f"p{i // 20}" for i in range(400)]).accuracy
    mixed = agreement(advised, needed, [f"p{i % 20}" for i in range(400)]).accuracy
    assert alike.high - alike.low > 2 * (mixed.high - mixed.low)


def test_a_better_advice_gains_kappa_with_an_interval_above_nothing_and_itself_gains_none() -> None:
    advised, needed, plots = drawn()
    gain = kappa_gain(needed, advised, needed, plots)
    assert 0 < gain.low < gain.value < gain.high
    assert kappa_gain(advised, advised, needed, plots).value == 0


def test_a_season_in_which_no_water_was_needed_has_no_kappa_rather_than_a_made_up_one() -> None:
    never = np.zeros(6, bool)
    found = agreement(never, never, list("aabbcc"))
    assert (found.kappa.value, found.accuracy.value) == (None, 1)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="2 decisions, 3 measurements"):
        agreement(np.ones(2, bool), np.ones(3, bool), ["a", "b", "c"])
