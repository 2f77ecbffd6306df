"""Features of the images that a build set aside, kept in the bundle so that a later update meets the same judges."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.errors import require
from shared.inference import bundle

FILE = "held_out.safetensors"


@dataclass(frozen=True)
class HeldOut:
    """Validation and test images as vectors; no picture is among them.

    Attributes:
        features: ``(n, d)`` float32 as the backbone gives them.
        ids: Id of each image's Sample.
        labels: Label of each.
        splits: ``validation`` or ``test``.
        components: Component of each, for intervals that count what is independent.
    """

    features: NDArray[np.float32]
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    components: tuple[str, ...]

    def add(self, other: "HeldOut") -> "HeldOut":
        """Both together; an image that is in both counts once, as the first has it."""
        new = [i for i, identity in enumerate(other.ids) if identity not in set(self.ids)]
        return HeldOut(
            np.concatenate([self.features, other.features[new]]),
            (*self.ids, *(other.ids[i] for i in new)),
            (*self.labels, *(other.labels[i] for i in new)),
            (*self.splits, *(other.splits[i] for i in new)),
            (*self.components, *(other.components[i] for i in new)),
        )

    def where(self, wanted: Sequence[bool]) -> "HeldOut":
        """Only these images."""
        kept = [i for i, w in enumerate(wanted) if w]
        return HeldOut(
            self.features[kept],
            tuple(self.ids[i] for i in kept),
            tuple(self.labels[i] for i in kept),
            tuple(self.splits[i] for i in kept),
            tuple(self.components[i] for i in kept),
        )

    def save(self, folder: Path) -> Path:
        """Write them as :data:`FILE` into a folder; equal ones give equal bytes."""
        pack = require("safetensors.numpy", extra="train").save
        names = [self.ids, self.labels, self.splits, self.components]
        about = {"loupe": json.dumps(names)}
        atomic.write(folder / FILE, pack({"features": np.ascontiguousarray(self.features, np.float32)}, about))
        return folder / FILE


def load(folder: Path) -> HeldOut | None:
    """Read what :meth:`HeldOut.save` wrote into a folder; None where the folder has none.

    Raises:
        BundleError: The file is damaged.
    """
    return bundle.part(folder / FILE, _read)


def _read(path: Path) -> HeldOut:
    opened = require("safetensors", extra="train").safe_open
    with opened(path, "np") as stored:
        names = [tuple(map(str, part)) for part in json.loads(stored.metadata()["loupe"])]
        found = HeldOut(stored.get_tensor("features"), *names)
    if {len(found.features)} != {len(part) for part in names}:
        raise ValueError("its parts do not fit together")
    return found
