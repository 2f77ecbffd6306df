"""Images of many requests in, answers for each out: one model, and a bounded queue before it."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.errors import LoupeError
from shared.inference import Answers, Runtime

Picture = NDArray[np.uint8]
log = logging.getLogger(__name__)


class Overloaded(LoupeError):
    """The queue is full; the client should wait and try again."""


class TooLate(LoupeError):
    """The client's deadline passed while its images waited; they were not looked at."""


@dataclass(frozen=True)
class Limits:
    """What one model takes at a time.

    Attributes:
        batch: Largest number of images of one run; a request with more goes alone.
        delay_s: How long the first image waits for company where the model is idle, in seconds.
        images: Most images that wait.
        bytes: Most bytes of decoded images that wait.
    """

    batch: int = 16
    delay_s: float = 0.0
    images: int = 256
    bytes: int = 2**29


@dataclass(eq=False)
class _Waiting:
    pictures: Sequence[Picture]
    class_map: bool
    features: bool
    until: float
    future: asyncio.Future[Answers]
    since: float = field(default_factory=time.monotonic)

    @property
    def bytes(self) -> int:
        return sum(p.nbytes for p in self.pictures)


class Batcher:
    """The queue before one model.

    A model that is asked once answers with all its cores. One that is asked by many at once answers with one core to a
    run and as many runs as it has cores, so that no core waits for another (measured: 15 to 20 % more images). Each run
    takes what waits when it begins. Asked from one event loop.
    """

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        *,
        narrow: Runtime | None = None,
        runs: int = 1,
        ran: Callable[[int, float], None] | None = None,
    ) -> None:
        """Begin.

        Args:
            runtime: Answers where nothing else waits or runs.
            limits: What is taken at a time.
            narrow: The same model with one thread to a run, for many runs at once.
            runs: How many, where ``narrow`` is given; else runs follow one another.
            ran: Called after each run with the number of images and the seconds, from a thread of its own.
        """
        self._wide, self._narrow, self._limits, self._ran = runtime, narrow or runtime, limits, ran
        self._queue: deque[_Waiting] = deque()
        self._images = self._bytes = self._running = 0
        self._loop, self._changed, self._closing = asyncio.get_running_loop(), threading.Condition(), False
        count = 1 if narrow is None else runs
        self._threads = [threading.Thread(target=self._work, name="model", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return self._images

    def ask(
        self, pictures: Sequence[Picture], *, class_map: bool, features: bool, seconds: float | None
    ) -> asyncio.Future[Answers]:
        """Queue images of one request; the future gives their answers in order.

        Args:
            pictures: Each ``(height, width, 3)`` uint8 RGB.
            class_map: Whether class maps are wanted.
            features: Whether features are wanted.
            seconds: Until the client gives up, None for never.

        Raises:
            Overloaded: The queue is full.
        """
        limit, until = self._limits, float("inf") if seconds is None else time.monotonic() + seconds
        waiting = _Waiting(pictures, class_map, features, until, self._loop.create_future())
        with self._changed:
            full = self._images + len(pictures) > limit.images or self._bytes + waiting.bytes > limit.bytes
            if full and self._queue:
                raise Overloaded(
                    f"{self._images} images wait already (at most {limit.images}); try again later, or serve on more "
                    "cores"
                )
            self._queue.append(waiting)
            self._images, self._bytes = self._images + len(pictures), self._bytes + waiting.bytes
            self._changed.notify()
        return waiting.future

    async def close(self) -> None:
        """Answer all that waits, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                if (left := self._queue[0].since + self._limits.delay_s - time.monotonic()) > 0:
                    self._changed.wait_for(lambda: self._closing or self._images >= self._limits.batch, left)
                chosen = self._take()
                alone = not self._running and not self._queue
                self._running += bool(chosen)
            if chosen:
                try:
                    self._answer(self._wide if alone else self._narrow, chosen)
                finally:
                    with self._changed:
                        self._running -= 1

    def _take(self) -> list[_Waiting]:
        """The oldest requests that fit into one run, without those nobody waits for any more."""
        chosen: list[_Waiting] = []
        count = 0
        while self._queue and (not chosen or count + len(self._queue[0].pictures) <= self._limits.batch):
            waiting = self._queue.popleft()
            self._images, self._bytes = self._images - len(waiting.pictures), self._bytes - waiting.bytes
            if waiting.future.done():
                continue
            if waiting.until < time.monotonic():
                self._tell([waiting], TooLate("the deadline passed before the model was free; allow more time"))
                continue
            chosen.append(waiting)
            count += len(waiting.pictures)
        return chosen

    def _answer(self, runtime: Runtime, chosen: list[_Waiting]) -> None:
        started = time.monotonic()
        try:
            parts = _run(runtime, chosen)
        except Exception as error:
            self._tell(chosen, error)
            return
        if self._ran is not None:
            try:
                self._ran(sum(len(w.pictures) for w in chosen), time.monotonic() - started)
            except Exception:  # whoever counts must not cost anyone an answer
                log.exception("a run could not be counted")
        self._tell(chosen, parts)

    def _tell(self, asked: Sequence[_Waiting], said: Sequence[Answers] | Exception) -> None:
        """Let the event loop hand answers, or the reason why there are none, to those who still wait."""

        def deliver() -> None:
            for i, waiting in enumerate(asked):
                if waiting.future.done():
                    continue
                if isinstance(said, Exception):
                    waiting.future.set_exception(said)
                else:
                    waiting.future.set_result(said[i])

        self._loop.call_soon_threadsafe(deliver)


def _run(runtime: Runtime, chosen: Sequence[_Waiting]) -> list[Answers]:
    """One run over all requests; images of one size stand together, so that the model gets them as one batch."""
    pictures = [p for w in chosen for p in w.pictures]
    order = sorted(range(len(pictures)), key=lambda i: pictures[i].shape)
    maps, vectors = any(w.class_map for w in chosen), any(w.features for w in chosen)
    found = runtime.predict([pictures[i] for i in order], class_map=maps, features=vectors)
    possible = runtime.possible(found)  # for all at once: by itself each costs a tenth of what a request costs
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    parts, start = [], 0
    for waiting in chosen:
        own = place[start : start + len(waiting.pictures)]
        start += len(waiting.pictures)
        parts.append(
            Answers(
                found.probabilities[own],
                found.novelty[own],
                found.class_map[own] if found.class_map is not None and waiting.class_map else None,
                found.features[own] if found.features is not None and waiting.features else None,
                None if possible is None else [possible[i] for i in own],
            )
        )
    return parts
