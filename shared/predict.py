"""Images in, what the model sees in each out: decoding runs ahead of the model, problems are passed on, not dropped."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared.data import blank, images
from shared.errors import DataError, Problem
from shared.inference import Bundle
from shared.inference.runtime import Runtime
from shared.records import Sample
from shared.vertical import Case, Seen

_CHUNK = 16
_DECODERS = 2
NEAREST = 3
"""Training images that are named beside each answer."""

Picture = NDArray[np.uint8]
Blind = Callable[[Picture], str | None]
"""Why a whole picture shows nothing, one sentence; None where it shows something."""
Built = Callable[[Sample, Picture], bool]
"""Whether the bundle was built on what is seen in a Sample."""


def _unasked(sample: Sample, picture: Picture) -> bool:
    return False


def predict(
    runtime: Runtime,
    samples: Sequence[Sample],
    folder: Path,
    *,
    maps: bool = True,
    blind: Blind = blank.why,
    built: Built = _unasked,
) -> Iterator[Seen | Problem]:
    """Look at every Sample.

    Args:
        runtime: A loaded bundle.
        samples: What to look at; windows of one file should stand together, so that it is decoded once.
        folder: Where the Samples' paths start.
        maps: Whether to compute class maps (needed to say where a finding is).
        blind: What is asked of every whole picture before the model is.
        built: What tells :attr:`shared.vertical.Seen.in_build`.

    Yields:
        For each Sample in its order what was seen, or a Problem whose ``where`` is the Sample's id: it cannot be read,
        or nothing is seen in it, or it is a window of a file that is one value all over.
    """
    chunks = [samples[i : i + _CHUNK] for i in range(0, len(samples), _CHUNK)]
    with (
        ThreadPoolExecutor(_DECODERS) as pool,
        tqdm(total=len(samples), desc="looking", unit="image", disable=None, leave=False) as bar,
    ):
        waiting = iter(chunks)
        queue = [(chunk, _decode(pool, chunk, folder, blind, built)) for chunk in islice(waiting, 2)]
        while queue:
            chunk, futures = queue.pop(0)
            queue += [(later, _decode(pool, later, folder, blind, built)) for later in islice(waiting, 1)]
            pictures, known = zip(*(future.result() for future in futures), strict=True)
            for answer, taught in zip(answers(runtime, chunk, pictures, maps=maps), known, strict=True):
                yield replace(answer, in_build=True) if taught and isinstance(answer, Seen) else answer
            bar.update(len(chunk))


def _decode(
    pool: ThreadPoolExecutor, chunk: Sequence[Sample], folder: Path, blind: Blind, built: Built
) -> list[Future[tuple[Picture | Problem, bool]]]:
    return [pool.submit(_looked_up, sample, folder, blind, built) for sample in chunk]


def _looked_up(sample: Sample, folder: Path, blind: Blind, built: Built) -> tuple[Picture | Problem, bool]:
    picture = _read(sample, folder, blind)
    return picture, not isinstance(picture, Problem) and built(sample, picture)


def _read(sample: Sample, folder: Path, blind: Blind) -> Picture | Problem:
    path = folder / sample.path
    try:
        picture = images.read(path, window=sample.window)
        # A window of clipped background is a picture like any other, unless there is nothing else in its file.
        empty = sample.window is not None and blank.why(picture) is not None
        reason = blind(picture) if sample.window is None else blank.why(images.read(path)) if empty else None
    except DataError as error:
        return Problem(sample.id, str(error))
    return Problem(sample.id, f"{path}: {reason}") if reason else picture


def answers(
    runtime: Runtime, chunk: Sequence[Sample], pictures: Sequence[Picture | Problem], *, maps: bool
) -> Iterator[Seen | Problem]:
    """What the model sees in pictures that are decoded already; Problems in their place are passed on."""
    found = runtime.predict([p for p in pictures if not isinstance(p, Problem)], class_map=maps, features=True)
    possible = runtime.possible(found)
    nearest = runtime.nearest(found, NEAREST)
    i = 0
    for sample, picture in zip(chunk, pictures, strict=True):
        if isinstance(picture, Problem):
            yield picture
            continue
        probabilities = dict(zip(runtime.labels, map(float, found.probabilities[i]), strict=True))
        yield Seen(
            sample,
            probabilities,
            float(found.novelty[i]),
            None if found.class_map is None else found.class_map[i],
            None if possible is None else possible[i],
            nearest[i],
        )
        i += 1


def cases(
    runtime: Runtime,
    samples: Sequence[Sample],
    folder: Path,
    *,
    skipped: Mapping[str, float],
    problems: Sequence[Problem],
    blind: Blind = blank.why,
    built: Built = _unasked,
    groups: Mapping[str, str] | None = None,
) -> Iterator[Case]:
    """Look at every Sample and put together what belongs to one frame.

    Args:
        runtime: A loaded bundle.
        samples: In any order.
        folder: Where the Samples' paths start.
        skipped: Fraction of a frame's area that no Sample covers, by frame.
        problems: What could not be read before, ``where`` being the frame; one about a frame without Samples becomes
            a case of its own, so that nothing is silently missing from the answers.
        blind: What is asked of every whole picture before the model is.
        built: What tells :attr:`shared.vertical.Seen.in_build`.
        groups: What a frame shows, by frame, where it is not one of its own.
    """
    known = groups or {}
    reasons = defaultdict(list)
    for problem in problems:
        reasons[problem.where].append(problem)
    # All Samples of a frame together, wherever they stand, in the order in which frames begin.
    frames: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        frames[sample.frame].append(sample)
    ordered = [sample for members in frames.values() for sample in members]
    answers = predict(runtime, ordered, folder, blind=blind, built=built)
    bundle = runtime.bundle
    limit = (bundle.card.get("novelty") or {}).get("limit")
    stated = (bundle.ok_label, bundle.threshold, bundle.unsought, uncertified(bundle), limit)
    for frame, members in frames.items():
        pairs = list(zip(members, islice(answers, len(members)), strict=True))
        seen = tuple(a for _, a in pairs if isinstance(a, Seen))
        failed = [a for _, a in pairs if isinstance(a, Problem)]
        area = sum(s.area for s, _ in pairs)
        looked = sum(s.area for s, a in pairs if isinstance(a, Seen)) / area * (1 - skipped.get(frame, 0.0))
        why = (*reasons.pop(frame, ()), *failed)
        yield Case(frame, seen, looked, why, *stated, group=known.get(frame, ""))
    for frame, why_not in reasons.items():
        yield Case(frame, (), 0.0, tuple(why_not), *stated, group=known.get(frame, ""))


def uncertified(bundle: Bundle) -> tuple[str, ...]:
    """Labels that are in every prediction set for want of independent groups; empty where the bundle has no sets."""
    sets = (bundle.card.get("conformal") or {}).get("sets") or {"labels": (), "certifiable": ()}
    return tuple(label for label, known in zip(sets["labels"], sets["certifiable"], strict=True) if not known)
