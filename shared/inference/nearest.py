"""The training images that look most like a new one: a bundle's exemplars, as short vectors and names, no pixels.

A vector is what the features of one image become after standardising and projection onto the main directions of the
training images, with unit length. The product of two of them is their similarity. On the real sets of
``benchmarks/trust.py`` the nearest of 64-dimensional half-precision vectors have the right label as often as the
nearest of all features; pictures cannot be made from them, but a path can say more than it should, so give none where
names of people stand in paths.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.errors import DataError
from shared.inference import bundle, novelty

FILE = "exemplars.npz"
COMPONENTS = 64
MOST = 10_000


@dataclass(frozen=True)
class Neighbour:
    """One training image beside a new one.

    Attributes:
        id: Id of its Sample.
        path: Where it lay in the training data; empty where paths were not kept.
        label: Its label.
        similarity: Cosine of the projected features, -1 to 1; 1 is the same picture.
    """

    id: str
    path: str
    label: str
    similarity: float


@dataclass(frozen=True)
class Exemplars:
    """Training images as unit vectors.

    Attributes:
        ids: Id of each image's Sample, ``n`` of them.
        paths: Path of each, empty strings where they were not kept.
        labels: Label of each.
        vectors: ``(n, k)`` float16, unit length.
        mean: ``(features,)`` float32, taken from features first.
        deviation: ``(features,)`` float32, above 0; features are divided by it next.
        directions: ``(features, k)`` float16; standardised features are multiplied by it last.
    """

    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    vectors: NDArray[np.float16]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    directions: NDArray[np.float16]

    def project(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Features as the model gives them, ``(n, features)``, to unit vectors ``(n, k)`` float32.

        Raises:
            DataError: Another number of features than the exemplars were made from.
        """
        if np.ndim(features) != 2 or np.shape(features)[1] != len(self.mean):
            raise DataError(
                f"features have shape {np.shape(features)}; allowed is (images, {len(self.mean)}): take them from the "
                "model of the bundle that the exemplars lie in"
            )
        standardised = (np.asarray(features, np.float32) - self.mean) / self.deviation
        return _unit(standardised @ self.directions.astype(np.float32))

    def nearest(self, features: NDArray[np.floating], k: int = 5) -> tuple[tuple[Neighbour, ...], ...]:
        """The ``k`` most similar exemplars of each image, the most similar first.

        Args:
            features: As the model gives them (``Runtime.predict(..., features=True).features``), ``(n, features)``.
            k: How many; all exemplars where there are fewer.

        Raises:
            DataError: Another number of features than the exemplars were made from.
        """
        similar = self.project(features) @ self.vectors.astype(np.float32).T
        # Stable, so that among equals the order of the exemplars decides and not the sort.
        order = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        return tuple(
            tuple(Neighbour(self.ids[j], self.paths[j], self.labels[j], float(np.clip(row[j], -1, 1))) for j in best)
            for row, best in zip(similar, order.tolist(), strict=True)
        )

    def save(self, folder: Path) -> Path:
        """Write them as one file :data:`FILE` into a folder; equal exemplars give equal bytes."""
        names = json.dumps({"ids": self.ids, "paths": self.paths, "labels": self.labels}).encode()
        with atomic.file(folder / FILE) as temporary:
            np.savez_compressed(
                temporary,
                names=np.frombuffer(names, np.uint8),
                vectors=self.vectors,
                mean=self.mean,
                deviation=self.deviation,
                directions=self.directions,
            )
        return folder / FILE


def fit(
    features: NDArray[np.floating],
    ids: Sequence[str],
    labels: Sequence[str],
    *,
    mean: NDArray[np.floating],
    deviation: NDArray[np.floating],
    paths: Sequence[str] = (),
    components: int = COMPONENTS,
    most: int = MOST,
    seed: int = 0,
) -> Exemplars:
    """Make exemplars from training images.

    Args:
        features: As the backbone gives them, ``(n, features)``.
        ids: Id of each image's Sample.
        labels: Label of each.
        mean: ``(features,)``, the head's.
        deviation: ``(features,)``, the head's, above 0.
        paths: Path of each, or none at all.
        components: Most directions to project on.
        most: Most exemplars to keep; of more, that many are drawn.
        seed: For the draw.
    """
    standardised = (np.asarray(features, np.float64) - mean) / deviation
    n, d = standardised.shape
    directions, _, _ = novelty.principal(standardised, max(1, min(components, n - 1, d)))
    # What the head calls the mean weighs labels equally; the directions are those about the plain mean.
    centre = np.asarray(mean, np.float64) + standardised.mean(0) * np.asarray(deviation, np.float64)
    kept = np.sort(np.random.default_rng(seed).permutation(n)[:most]).tolist()
    draft = Exemplars(
        ids=tuple(ids[i] for i in kept),
        paths=tuple(paths[i] if len(paths) else "" for i in kept),
        labels=tuple(labels[i] for i in kept),
        vectors=np.zeros((0, directions.shape[1]), np.float16),
        mean=centre.astype(np.float32),
        deviation=np.asarray(deviation, np.float32),
        directions=directions.astype(np.float16),
    )
    vectors = draft.project(np.asarray(features)[kept]).astype(np.float16)
    return Exemplars(draft.ids, draft.paths, draft.labels, vectors, draft.mean, draft.deviation, draft.directions)


def load(folder: Path) -> Exemplars | None:
    """Read what :meth:`Exemplars.save` wrote into a folder; None where the folder has none.

    Raises:
        BundleError: The file is damaged.
    """
    return bundle.part(folder / FILE, lambda path: _read(path.read_bytes()))


def of(opened: bundle.Bundle) -> Exemplars | None:
    """The exemplars of a bundle that was checked, these and no others; None where it has none.

    Raises:
        BundleError: The file is damaged, or another bundle has taken the folder's place.
    """
    if FILE not in opened.card["files"]:
        return None
    data = opened.content(FILE)
    return bundle.parsed(opened.path / FILE, lambda: _read(data))


def _read(data: bytes) -> Exemplars:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        names = {key: tuple(map(str, value)) for key, value in json.loads(stored["names"].tobytes()).items()}
        numbers = {key: stored[key] for key in ("vectors", "mean", "deviation", "directions")}
    found = Exemplars(names["ids"], names["paths"], names["labels"], **numbers)
    shapes = {len(found.ids), len(found.paths), len(found.labels), len(found.vectors)}
    if len(shapes) > 1 or found.directions.shape != (len(found.mean), found.vectors.shape[1]):
        raise ValueError("its parts do not fit together")
    return found


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return result
