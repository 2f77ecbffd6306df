"""A few costly candidates under one budget: all get a little time, the better half goes on (successive halving)."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Turn(Generic[T]):
    """One turn of one candidate.

    Attributes:
        candidate: What was run.
        round: Number of the round, from 0.
        seconds: Time that it was given.
        score: What it reached, the greater the better; NaN where it failed.
    """

    candidate: T
    round: int
    seconds: float
    score: float


@dataclass(frozen=True)
class Halved(Generic[T]):
    """What came out.

    Attributes:
        best: The candidate with the best last score among those that went the whole way.
        score: Its last score.
        turns: Every turn, in order.
    """

    best: T
    score: float
    turns: tuple[Turn[T], ...]


def halving(
    candidates: Sequence[T],
    run: Callable[[T, float], float],
    budget: float,
    eta: int = 2,
    clock: Callable[[], float] = time.monotonic,
) -> Halved[T]:
    """Successive halving (Jamieson and Talwalkar 2016) over runs that go on where they stopped.

    Every round has the same share of the time that is left, divided among the candidates still in it; the best
    1 / ``eta`` of them, rounded up, go on. A run may stop before its time, which the others inherit; one that goes over
    it shortens theirs, and when nothing is left those that did not get their turn keep their last score.

    Args:
        candidates: At least one, the preferred first: among equals the earlier goes on.
        run: Runs a candidate for so many seconds more and says how good it is now; NaN means that it failed.
        budget: Seconds for all.
        eta: At least 2.
        clock: Seconds on any scale that only rises.

    Raises:
        ValueError: No candidate, or ``eta`` below 2.
    """
    if not candidates or eta < 2:
        raise ValueError("halving needs a candidate or more, and eta of 2 or more")
    end = clock() + budget
    rounds = math.ceil(math.log(len(candidates), eta) - 1e-9) + 1
    alive = list(range(len(candidates)))
    scores = [-math.inf] * len(candidates)
    turns: list[Turn[T]] = []
    for number in range(rounds):
        share_end = clock() + max(end - clock(), 0.0) / (rounds - number)
        for place, i in enumerate(alive):
            seconds = (share_end - clock()) / (len(alive) - place)
            if seconds <= 0 and turns:
                continue
            score = run(candidates[i], max(seconds, 0.0))
            turns.append(Turn(candidates[i], number, seconds, score))
            scores[i] = -math.inf if math.isnan(score) else score
        if number < rounds - 1:
            alive = sorted(sorted(alive, key=lambda i: (-scores[i], i))[: -(-len(alive) // eta)])
    best = max(alive, key=lambda i: (scores[i], -i))
    return Halved(candidates[best], scores[best], tuple(turns))
