"""How long two models take for one image on this machine, measured in turns so that both meet the same disturbances."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.inference import runtime

WARM_UP = 5
LEAST, MOST_SECONDS = 40, 8.0
_ANSWERS = {"probabilities", "novelty"}


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one image, one thread, pixels to answer, decoding excluded.

    Attributes:
        p50: Median.
        p95: 95th percentile.
        n: Number of images timed.
    """

    p50: float
    p95: float
    n: int


def compared(
    models: Sequence[bytes], pictures: Sequence[NDArray[np.uint8]], *, seconds: float = MOST_SECONDS
) -> list[Latency]:
    """Latency of each model over the same pictures, one after the other within each round.

    Args:
        models: Content of each ``model.onnx``, or of its graph up to the features.
        pictures: ``(height, width, 3)`` uint8 RGB each.
        seconds: Enough; at least :data:`LEAST` rounds are made.
    """
    sessions = [runtime.session(model, threads=1) for model in models]
    asked = [_ANSWERS if {o.name for o in s.get_outputs()} >= _ANSWERS else {"features"} for s in sessions]
    taken: list[list[float]] = [[] for _ in sessions]
    began = time.monotonic()
    for round_number in range(WARM_UP + 100 * LEAST):
        picture = pictures[round_number % len(pictures)][None]
        for session, outputs, times in zip(sessions, asked, taken, strict=True):
            started = time.perf_counter()
            session.run(sorted(outputs), {"image": picture})
            times.append(1000 * (time.perf_counter() - started))
        if round_number >= WARM_UP + LEAST and time.monotonic() - began > seconds:
            break
    kept = [np.array(times[WARM_UP:]) for times in taken]
    return [Latency(float(np.median(t)), float(np.quantile(t, 0.95)), len(t)) for t in kept]
