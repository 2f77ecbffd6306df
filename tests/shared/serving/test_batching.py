"""The queue before a model: the same answers as alone, bounds that hold, nobody forgotten."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from shared.inference import Answers, Runtime
from shared.serving.batching import Batcher, Limits, Overloaded, TooLate


def some(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*rng.choice([40, 64, 90], 2), 3), dtype=np.uint8) for _ in range(count)]


class Held:
    """A runtime whose runs wait until they are let go."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.go, self.at_once, self.most = runtime, threading.Event(), 0, 0

    def predict(self, pictures: list[np.ndarray], **wanted: bool) -> Answers:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        assert self.go.wait(60)
        self.at_once -= 1
        return self.runtime.predict(pictures, **wanted)

    def possible(self, answers: Answers) -> list[tuple[str, ...]] | None:
        return self.runtime.possible(answers)


async def taken(batcher: Batcher) -> None:
    """Wait until nothing is in the queue."""
    while batcher.waiting:
        await asyncio.sleep(0.001)


def test_answers_of_joined_requests_are_those_of_each_alone(bundle: Path) -> None:
    runtime = Runtime.open(bundle, threads=1)
    requests = [some(seed, 1 + seed % 3) for seed in range(9)]
    runs: list[int] = []

    async def all_at_once() -> list:
        batcher = Batcher(runtime, Limits(batch=8), ran=lambda images, _: runs.append(images))
        asked = [batcher.ask(r, class_map=i == 4, features=False, seconds=None) for i, r in enumerate(requests)]
        found = await asyncio.gather(*asked)
        await batcher.close()
        return found

    found = asyncio.run(all_at_once())
    for i, (pictures, answers) in enumerate(zip(requests, found, strict=True)):
        alone = [runtime.predict([p], class_map=True) for p in pictures]
        expected = np.concatenate([a.probabilities for a in alone])
        np.testing.assert_allclose(answers.probabilities, expected, atol=1e-5)
        assert (answers.class_map is not None) == (i == 4)
        assert answers.possible == [runtime.possible(a)[0] for a in alone]
    assert sum(runs) == sum(map(len, requests)) and max(runs) > 1 and max(runs) <= 8


def test_a_full_queue_refuses_and_a_passed_deadline_is_told(bundle: Path) -> None:
    runtime = Runtime.open(bundle, threads=1)

    async def crowd() -> tuple[int, int, int]:
        held = Held(runtime)
        batcher = Batcher(held, Limits(batch=1, images=5))
        first = batcher.ask(some(99, 1), class_map=False, features=False, seconds=None)
        await taken(batcher)
        asked, refused = [], 0
        for i in range(12):
            try:
                asked.append(batcher.ask(some(i, 1), class_map=False, features=False, seconds=0.0 if i == 3 else None))
            except Overloaded:
                refused += 1
        held.go.set()
        await first
        found = await asyncio.gather(*asked, return_exceptions=True)
        await batcher.close()
        return refused, sum(isinstance(f, TooLate) for f in found), sum(hasattr(f, "novelty") for f in found)

    assert asyncio.run(crowd()) == (7, 1, 4)


def test_closing_answers_all_that_waits(bundle: Path) -> None:
    runtime = Runtime.open(bundle, threads=1)

    async def close_at_once() -> int:
        batcher = Batcher(runtime, Limits(batch=2))
        asked = [batcher.ask(some(i, 1), class_map=False, features=False, seconds=None) for i in range(7)]
        await batcher.close()
        return sum(future.done() and future.exception() is None for future in asked)

    assert asyncio.run(close_at_once()) == 7


def test_a_request_larger_than_the_queue_is_taken_when_nobody_waits(bundle: Path) -> None:
    runtime = Runtime.open(bundle, threads=1)

    async def alone() -> int:
        batcher = Batcher(runtime, Limits(batch=2, images=3))
        found = await batcher.ask(some(1, 6), class_map=False, features=False, seconds=None)
        await batcher.close()
        return len(found.probabilities)

    assert asyncio.run(alone()) == 6


@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_an_idle_model_that_may_wait_joins_what_comes_within_the_delay(bundle: Path, delay: float) -> None:
    runtime = Runtime.open(bundle, threads=1)
    runs: list[int] = []

    async def two_apart() -> None:
        batcher = Batcher(runtime, Limits(batch=8, delay_s=delay), ran=lambda images, _: runs.append(images))
        first = batcher.ask(some(1, 1), class_map=False, features=False, seconds=None)
        if not delay:
            await taken(batcher)  # the model is free, and begins with the first
        second = batcher.ask(some(2, 1), class_map=False, features=False, seconds=None)
        await asyncio.gather(first, second)
        await batcher.close()

    asyncio.run(two_apart())
    assert runs == ([2] if delay else [1, 1])


def test_one_request_gets_the_whole_model_and_many_get_a_run_each(bundle: Path) -> None:
    runtime = Runtime.open(bundle, threads=1)
    wide, narrow = Held(runtime), Held(runtime)

    async def three() -> list[int]:
        batcher = Batcher(wide, Limits(batch=1), narrow=narrow, runs=2)
        asked, waiting = [], []
        for i in range(3):
            asked.append(batcher.ask(some(i, 1), class_map=False, features=False, seconds=None))
            if i < 2:
                await taken(batcher)
            waiting.append(batcher.waiting)
        assert (wide.at_once, narrow.at_once) == (1, 1)  # the third waits: both runs are taken
        wide.go.set()
        narrow.go.set()
        await asyncio.gather(*asked)
        await batcher.close()
        return waiting

    assert asyncio.run(three()) == [0, 0, 1]
    assert wide.most + narrow.most <= 3


def test_a_count_that_fails_costs_nobody_an_answer(bundle: Path) -> None:
    runtime = Runtime.open(bundle, threads=1)

    def fail(images: int, seconds: float) -> None:
        raise OSError("no space for counters")

    async def twice() -> list[Answers]:
        batcher = Batcher(runtime, Limits(), ran=fail)
        one = [await batcher.ask(some(i, 1), class_map=False, features=False, seconds=30) for i in range(2)]
        await batcher.close()
        return one

    assert [len(answers.probabilities) for answers in asyncio.run(asyncio.wait_for(twice(), 60))] == [1, 1]
