"""What stays the same during one build, and the rows of its manifest by what they are used for."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data import images
from shared.data.manifest import SPLITS, Manifest, Row
from shared.deadline import Deadline
from shared.errors import DataError
from shared.recipe import Recipe
from shared.training import features

_BLOCK = 32

Say = Callable[[str], None]
Vectors = Mapping[str, NDArray[np.float32]]
"""Features by image id."""


@dataclass(frozen=True)
class Clock:
    """Seconds spent by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Book the time of a ``with`` block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - started

    def stages(self) -> list[dict[str, Any]]:
        """As a list of name and seconds, in the order of first use."""
        return [{"name": name, "seconds": round(seconds, 2)} for name, seconds in self.seconds.items()]


@dataclass(frozen=True)
class Work:
    """What stays the same between the first bundle and the last.

    Attributes:
        manifest: The split images.
        components: Component of each image id; images of one component never help to judge each other.
        recipe: What the training depends on.
        labels: In the order of the probabilities.
        ok_label: The label that means "nothing wrong", None where there is none.
        deadline: When the bundle must be there.
        cache: Folder of features and of interrupted fine-tunings.
        clock: Where the time went.
        say: Told what was decided and why.
        facts: What is known about the data before anything is trained.
        unsought: Labels whose recall is not certified: OK, and what the taxonomy marks so; empty means OK alone.
    """

    manifest: Manifest
    components: Mapping[str, int]
    recipe: Recipe
    labels: tuple[str, ...]
    ok_label: str | None
    deadline: Deadline
    cache: Path
    clock: Clock
    say: Say
    facts: Mapping[str, Any]
    unsought: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One split's usable images.

    Attributes:
        rows: Rows of the manifest, n of them.
        x: ``(n, d)`` features.
        y: ``(n,)`` indices of the labels.
        components: ``(n,)``.
    """

    rows: tuple[Row, ...]
    x: NDArray[np.float64]
    y: NDArray[np.int64]
    components: NDArray[np.int64]

    @property
    def groups(self) -> list[str]:
        """Component of each image as text, for intervals that count what is independent."""
        return [str(c) for c in self.components.tolist()]


def parts(work: Work, rows: Sequence[Row], known: Vectors) -> dict[str, Part]:
    """The rows whose features are known, by split."""
    made = {}
    for split in SPLITS:
        own = tuple(row for row in rows if row.split == split and row.sample.id in known)
        vectors = [known[row.sample.id] for row in own]
        made[split] = Part(
            own,
            np.stack(vectors).astype(np.float64) if vectors else np.zeros((0, 0)),
            np.array([work.labels.index(row.label) for row in own], np.int64),
            np.array([work.components[row.sample.id] for row in own], np.int64),
        )
    return made


def by_need(rows: Sequence[Row]) -> list[Row]:
    """Rows so that every beginning of the list holds every split and label, in proportion."""
    members = defaultdict(list)
    for row in rows:
        members[row.split, row.label].append(row)
    ranked = [(i / len(m), i, row) for m in members.values() for i, row in enumerate(m)]
    ordered = [row for _, _, row in sorted(ranked, key=lambda r: r[:2])]
    # Windows of one frame stand together within each block, so that the frame is decoded once a block.
    blocks = [ordered[i : i + _BLOCK] for i in range(0, len(ordered), _BLOCK)]
    return [row for block in blocks for row in sorted(block, key=lambda r: r.sample.frame if r.sample.window else "")]


def some_pictures(manifest: Manifest, rows: Sequence[Row]) -> list[NDArray[np.uint8]]:
    """A few readable images spread over the rows, to compare runtimes on.

    Raises:
        DataError: None can be decoded.
    """
    found: list[NDArray[np.uint8]] = []
    step = max(1, len(rows) // features.PARITY_IMAGES)
    for row in [*rows[::step], *rows]:
        if len(found) == features.PARITY_IMAGES:
            break
        try:
            found.append(images.read(manifest.file(row.sample), window=row.sample.window))
        except DataError:
            continue  # listed when its features are computed
    if not found:
        raise DataError(f"{manifest.folder}: not one training image can be decoded; check the files")
    return found
