"""Images of many requests in, answers for each out: one model, one run at a time, a bounded queue before it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.errors import LoupeError
from shared.inference import Answers, Runtime

Picture = NDArray[np.uint8]


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

    A run takes what waits as soon as the run before is done: an idle model answers at once, a busy one fills its
    batches by itself. Belongs to one event loop.
    """

    def __init__(self, runtime: Runtime, limits: Limits, *, ran: Callable[[int, float], None] | None = None) -> None:
        self._runtime, self._limits, self._ran = runtime, limits, ran
        self._queue: deque[_Waiting] = deque()
        self._images = self._bytes = 0
        self._something, self._closing = asyncio.Event(), False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._task = asyncio.create_task(self._work())

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
        waiting = _Waiting(pictures, class_map, features, until, asyncio.get_running_loop().create_future())
        full = self._images + len(pictures) > limit.images or self._bytes + waiting.bytes > limit.bytes
        if full and self._queue:
            raise Overloaded(
                f"{self._images} images wait already (at most {limit.images}); try again later, or serve on more cores"
            )
        self._queue.append(waiting)
        self._images, self._bytes = self._images + len(pictures), self._bytes + waiting.bytes
        self._something.set()
        return waiting.future

    async def close(self) -> None:
        """Answer all that waits, then end."""
        self._closing = True
        self._something.set()
        await self._task
        self._thread.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue or not self._closing:
            await self._something.wait()
            if self._queue and self._limits.delay_s and not self._closing:
                left = self._queue[0].since + self._limits.delay_s - time.monotonic()
                if left > 0 and self._images < self._limits.batch:
                    await asyncio.sleep(left)
            chosen = self._take()
            if chosen:
                await self._answer(loop, chosen)
            if not self._queue and not self._closing:
                self._something.clear()

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
                waiting.future.set_exception(TooLate("the deadline passed before the model was free; allow more time"))
                continue
            chosen.append(waiting)
            count += len(waiting.pictures)
        return chosen

    async def _answer(self, loop: asyncio.AbstractEventLoop, chosen: list[_Waiting]) -> None:
        started = time.monotonic()
        try:
            parts = await loop.run_in_executor(self._thread, _run, self._runtime, chosen)
        except Exception as error:
            for waiting in chosen:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
            return
        if self._ran is not None:
            self._ran(sum(len(w.pictures) for w in chosen), time.monotonic() - started)
        for waiting, part in zip(chosen, parts, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(part)


def _run(runtime: Runtime, chosen: Sequence[_Waiting]) -> list[Answers]:
    """One run over all requests; images of one size stand together, so that the model gets them as one batch."""
    pictures = [p for w in chosen for p in w.pictures]
    order = sorted(range(len(pictures)), key=lambda i: pictures[i].shape)
    maps, vectors = any(w.class_map for w in chosen), any(w.features for w in chosen)
    found = runtime.predict([pictures[i] for i in order], class_map=maps, features=vectors)
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
            )
        )
    return parts
