import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.training.halving import halving


class Clock:
    """Time that passes only when a candidate runs."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_better_half_goes_on_and_gets_more_time() -> None:
    clock, spent = Clock(), dict.fromkeys("abcd", 0.0)

    def run(name: str, seconds: float) -> float:
        clock.now += seconds
        spent[name] += seconds
        return "dbca".index(name) + spent[name] / 1000

    found = halving("abcd", run, 120.0, clock=clock)
    assert found.best == "a" and clock.now == pytest.approx(120)
    assert [(t.candidate, t.round) for t in found.turns] == [
        ("a", 0), ("b", 0), ("c", 0), ("d", 0), ("a", 1), ("c", 1), ("a", 2),
    ]  # fmt: skip
    assert spent == pytest.approx({"a": 10 + 20 + 40, "b": 10, "c": 10 + 20, "d": 10})


def test_one_that_improves_late_is_kept_while_it_is_among_the_better_ones() -> None:
    clock, spent = Clock(), {"fast": 0.0, "slow": 0.0, "bad": 0.0}

    def run(name: str, seconds: float) -> float:
        clock.now += seconds
        spent[name] += seconds
        return {"fast": 0.8, "slow": min(0.7 + spent[name] / 100, 0.95), "bad": 0.1}[name]

    assert halving(list(spent), run, 90.0, clock=clock).best == "slow"


def test_time_that_a_run_leaves_goes_to_the_others() -> None:
    clock, given_seconds = Clock(), []

    def run(name: str, seconds: float) -> float:
        clock.now += 1.0
        given_seconds.append(seconds)
        return 0.5

    halving("ab", run, 100.0, clock=clock)
    assert given_seconds == pytest.approx([25.0, 49.0, 98.0])


def test_a_run_that_takes_everything_leaves_the_others_out() -> None:
    clock = Clock()

    def run(name: str, seconds: float) -> float:
        clock.now += 500.0
        return 0.3

    found = halving("abc", run, 100.0, clock=clock)
    assert found.best == "a" and len(found.turns) == 1


def test_a_failed_run_loses() -> None:
    found = halving(["broken", "fine"], lambda name, _: math.nan if name == "broken" else 0.1, 10.0, clock=Clock())
    assert found.best == "fine" and found.score == 0.1


def test_among_equals_the_preferred_one_wins() -> None:
    assert halving("zyx", lambda name, seconds: 0.5, 10.0, clock=Clock()).best == "z"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(2, 4))
def test_where_scores_do_not_change_the_best_wins(scores: list[float], eta: int) -> None:
    found = halving(range(len(scores)), lambda i, _: scores[i], 60.0, eta, Clock())
    assert found.score == max(scores) and found.best == scores.index(max(scores))


@pytest.mark.parametrize(("candidates", "eta"), [([], 2), (["a"], 1)])
def test_nothing_to_halve_is_said(candidates: list[str], eta: int) -> None:
    with pytest.raises(ValueError, match="a candidate or more"):
        halving(candidates, lambda name, seconds: 0.0, 1.0, eta)
