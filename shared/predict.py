"""Images in, what the model sees in each out: decoding runs ahead of the model, problems are passed on, not dropped."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared.data import images
from shared.errors import DataError, Problem
from shared.inference.runtime import Runtime
from shared.records import Sample
from shared.vertical import Seen

_CHUNK = 16
_DECODERS = 2

Picture = NDArray[np.uint8]


def predict(
    runtime: Runtime, samples: Sequence[Sample], folder: Path, *, maps: bool = True
) -> Iterator[Seen | Problem]:
    """Look at every Sample.

    Args:
        runtime: A loaded bundle.
        samples: What to look at; windows of one file should stand together, so that it is decoded once.
        folder: Where the Samples' paths start.
        maps: Whether to compute class maps (needed to say where a finding is).

    Yields:
        For each Sample in its order what was seen, or a Problem whose ``where`` is the Sample's id.
    """
    chunks = [samples[i : i + _CHUNK] for i in range(0, len(samples), _CHUNK)]
    with (
        ThreadPoolExecutor(_DECODERS) as pool,
        tqdm(total=len(samples), desc="looking", unit="image", disable=None, leave=False) as bar,
    ):
        waiting = iter(chunks)
        queue = [(chunk, _decode(pool, chunk, folder)) for chunk in islice(waiting, 2)]
        while queue:
            chunk, futures = queue.pop(0)
            queue += [(later, _decode(pool, later, folder)) for later in islice(waiting, 1)]
            yield from _answer(runtime, chunk, [future.result() for future in futures], maps=maps)
            bar.update(len(chunk))


def _decode(pool: ThreadPoolExecutor, chunk: Sequence[Sample], folder: Path) -> list[Future[Picture | Problem]]:
    return [pool.submit(_read, sample, folder) for sample in chunk]


def _read(sample: Sample, folder: Path) -> Picture | Problem:
    try:
        return images.read(folder / sample.path, window=sample.window)
    except DataError as error:
        return Problem(sample.id, str(error))


def _answer(
    runtime: Runtime, chunk: Sequence[Sample], pictures: Sequence[Picture | Problem], *, maps: bool
) -> Iterator[Seen | Problem]:
    answers = runtime.predict([p for p in pictures if not isinstance(p, Problem)], class_map=maps)
    i = 0
    for sample, picture in zip(chunk, pictures, strict=True):
        if isinstance(picture, Problem):
            yield picture
            continue
        probabilities = dict(zip(runtime.labels, map(float, answers.probabilities[i]), strict=True))
        yield Seen(
            sample,
            probabilities,
            float(answers.novelty[i]),
            None if answers.class_map is None else answers.class_map[i],
        )
        i += 1
