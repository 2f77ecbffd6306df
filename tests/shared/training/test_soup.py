import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.training import soup
from shared.training.soup import Member, Score


def member(name: str, value: float, loss: float, accuracy: float = 0.5) -> Member:
    return Member(name, Score(accuracy, loss), {"w": torch.tensor([value]), "steps": torch.tensor(7)})


def test_a_soup_is_the_mean_where_that_is_better() -> None:
    """The optimum lies between two members: their mean is better than either."""
    made = soup.greedy(
        [member("a", 0.0, 1.0), member("b", 2.0, 1.1)], lambda state: Score(0.5, abs(float(state["w"]) - 1))
    )
    assert made.name == "soup of a, b" and float(made.state["w"]) == 1.0 and int(made.state["steps"]) == 7


@given(
    losses=st.lists(st.floats(0.1, 2.0), min_size=1, max_size=5),
    found=st.lists(st.tuples(st.floats(0, 1), st.floats(0.0, 2.0)), min_size=4, max_size=4),
)
def test_a_soup_is_never_worse_than_its_best_member(losses: list[float], found: list[tuple[float, float]]) -> None:
    members = soup.ranked([member(str(i), float(i), loss) for i, loss in enumerate(losses)], keep=5)
    answers = iter(found)
    made = soup.greedy(members, lambda state: Score(*next(answers)))
    assert made.score.loss <= min(losses) and made.score.balanced_accuracy >= 0.5


def test_where_the_time_is_up_the_best_member_is_taken() -> None:
    assert soup.greedy([member("a", 0.0, 1.0), member("b", 2.0, 1.1)], lambda state: None).name == "a"


def test_broken_scores_are_never_better() -> None:
    labels = np.array([0, 1, 1])
    broken = soup.judge(np.array([[np.nan, 0.0], [0.0, 1.0], [0.0, 1.0]]), labels)
    assert not broken.better(Score(0.0, 100.0))


def test_a_score_counts_labels_equally_and_does_not_mind_the_scale_of_the_scores() -> None:
    labels = np.array([0] * 9 + [1])
    scores = np.tile([2.0, 1.0], (10, 1))
    assert soup.judge(scores, labels).balanced_accuracy == 0.5
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(10, 2))
    assert soup.judge(scores, labels).loss == pytest.approx(soup.judge(7 * scores, labels).loss, abs=1e-4)
