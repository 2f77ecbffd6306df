"""The best checkpoints of a training, and the mean of their weights where it is better still (Wortsman et al. 2022)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from shared.inference import calibration
from shared.training import head

torch: Any = require("torch", extra="train")

State = Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """How well images were recognised that were not trained on.

    Attributes:
        balanced_accuracy: Mean of the labels' recalls, 0 to 1.
        loss: Negative log likelihood at the best temperature, every label with the same weight; inf for a broken
            network.
        temperature: That temperature.
    """

    balanced_accuracy: float
    loss: float
    temperature: float = 1.0

    def better(self, other: "Score") -> bool:
        """Whether this one has less loss and no less balanced accuracy.

        The loss leads: on a hundred images the balanced accuracy moves by whole images, and its best of a dozen
        evaluations is mostly luck.
        """
        return self.loss < other.loss and self.balanced_accuracy >= other.balanced_accuracy


def judge(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> Score:
    """Score of ``(n, labels)`` scores before softmax against labels ``(n,)``."""
    if not np.isfinite(scores).all():
        return Score(0.0, float("inf"))
    weights = head.class_weights(labels, scores.shape[1])
    temperature = calibration.fit_temperature(scores, labels, weights)
    loss = calibration.negative_log_likelihood(scores / temperature, labels, weights)
    return Score(head.balanced_accuracy(scores.argmax(1), labels), loss, temperature)


@dataclass(frozen=True)
class Member:
    """A checkpoint that may go into the soup: its name, its score, and its weights."""

    name: str
    score: Score
    state: State


def ranked(members: Sequence[Member], keep: int) -> list[Member]:
    """The ``keep`` members of the least loss, best first."""
    return sorted(members, key=lambda m: m.score.loss)[:keep]


def mean(states: Sequence[State]) -> dict[str, Any]:
    """Mean of weights; counters are taken from the first."""
    first = states[0]
    return {
        key: torch.stack([state[key] for state in states]).mean(0) if value.is_floating_point() else value
        for key, value in first.items()
    }


def greedy(members: Sequence[Member], judge_state: Callable[[State], Score | None]) -> Member:
    """Add members to the mean, best first, and keep each only where the mean becomes better by it.

    Args:
        members: Best first, at least one.
        judge_state: Score of weights; None when the time is up.

    Returns:
        The best member, or a soup named after its members; never worse than the best member.
    """
    chosen = [members[0]]
    best = members[0]
    for candidate in members[1:]:
        state = mean([member.state for member in [*chosen, candidate]])
        score = judge_state(state)
        if score is None:
            break
        if score.better(best.score):
            chosen.append(candidate)
            best = Member("soup of " + ", ".join(member.name for member in chosen), score, state)
    return best
