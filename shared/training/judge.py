"""Heads judged on images that they have not seen: folds inside the training images, with the costly part kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.inference import calibration
from shared.training import heads
from shared.training.head import balanced_accuracy, class_weights, folds
from shared.training.heads import Choice

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

TIE_BREAK = 0.02
"""Weight of the negative log likelihood beside balanced accuracy: a tenth of a nat counts as much as one image of 500,
so that among equals the head with the better probabilities wins."""
LARGE = 1200
"""With more training images, whole groups adding up to about so many are judged: enough to tell heads apart."""
_KEPT_PROJECTIONS = 80


@dataclass(frozen=True)
class Source:
    """Features of the same training images from one backbone at one resolution.

    Attributes:
        features: ``(n, d)``.
        widths: Columns of each stage, adding up to d; see ``shared.training.features.Extractor.stages``.
    """

    features: NDArray[np.floating]
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Config:
    """A head on a source.

    Attributes:
        source: Name of the source.
        choice: The head.
    """

    source: str
    choice: Choice

    def __str__(self) -> str:
        return f"{self.source}: {self.choice}"


@dataclass(frozen=True)
class Judged:
    """How good a head is on images that it has not seen.

    Attributes:
        score: What is compared: balanced accuracy, less :data:`TIE_BREAK` times the negative log likelihood.
        accuracy: Balanced accuracy.
        scores: ``(n, classes)``; NaN for images that were not judged.
    """

    score: float
    accuracy: float
    scores: Matrix


class Judge:
    """Scores of held-out images by any head, with the costly part, the projection of a fold, kept for the next one."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        labels: Indices,
        components: Indices,
        classes: int,
        count: int,
        seed: int,
    ) -> None:
        self.sources, self.labels, self.classes, self.count = sources, labels, classes, count
        parts = -(-len(labels) // LARGE)
        self.searched = np.flatnonzero(folds(components, labels, parts, seed) == 0)
        self._components = components
        self.project = lru_cache(_KEPT_PROJECTIONS)(self._project)

    @lru_cache(16)  # noqa: B019  (lives as long as one search)
    def fold(self, seed: int) -> Indices:
        """Fold of each image ``(n,)``, -1 where it is not searched on."""
        result = np.full(len(self.labels), -1)
        result[self.searched] = folds(self._components[self.searched], self.labels[self.searched], self.count, seed)
        return result

    def _project(
        self, source: str, stages: tuple[int, ...], seed: int, f: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """All principal coordinates of the images inside and outside of a fold, the strongest first."""
        fold = self.fold(seed)
        inside, outside = (fold != f) & (fold >= 0), fold == f
        used = heads.columns(self.sources[source].widths, stages)
        features = self.sources[source].features
        weights = heads.image_weights(self.labels[inside], self.classes, 0.0)
        x = np.asarray(features[inside], np.float64)
        mean, deviation = heads.moments(x, weights)
        x = (x[:, used] - mean[used]) / deviation[used]
        basis = heads.directions(np.sqrt(weights)[:, None] * x, 0) / np.sqrt(len(used))
        held_out = (features[outside][:, used] - mean[used]) / deviation[used]
        # Half the memory; what is lost is far below what a fold can tell.
        return (x @ basis).astype(np.float32), (held_out @ basis).astype(np.float32)

    def outside_scores(self, config: Config, seed: int, f: int) -> Matrix:
        """Scores ``(held out, classes)`` of one fold."""
        fold, choice = self.fold(seed), config.choice
        z, held_out = self.project(config.source, choice.stages, seed, f)
        k = choice.dims or z.shape[1]
        inside = self.labels[(fold != f) & (fold >= 0)]
        weights, bias = heads.solve(choice, z[:, :k].astype(np.float64), inside, self.classes)
        result: Matrix = held_out[:, :k] @ weights + bias
        return result

    def usable(self, seed: int) -> list[int]:
        """Folds that leave two labels or more to learn from, and something to judge."""
        fold = self.fold(seed)
        return [
            f
            for f in range(self.count)
            if (fold == f).any() and len(np.unique(self.labels[(fold != f) & (fold >= 0)])) > 1
        ]

    def rate(self, scores: Matrix) -> Judged:
        """Held-out scores ``(n, classes)`` as numbers, over the images that have any."""
        seen = ~np.isnan(scores[:, 0])
        part, labels = scores[seen], self.labels[seen]
        weights = class_weights(labels, self.classes)
        temperature = calibration.fit_temperature(part, labels, weights)
        accuracy = balanced_accuracy(part.argmax(1), labels)
        likelihood = calibration.negative_log_likelihood(part / temperature, labels, weights)
        return Judged(accuracy - TIE_BREAK * likelihood, accuracy, scores)

    def judge(self, config: Config, seed: int) -> Judged:
        """A head on all folds of a seed."""
        scores = np.full((len(self.labels), self.classes), np.nan)
        for f in self.usable(seed):
            scores[self.fold(seed) == f] = self.outside_scores(config, seed, f)
        if np.isnan(scores[:, 0]).all():  # too few groups for a single fold
            scores = np.zeros_like(scores)
        return self.rate(scores)

    def lead(self, mine: Matrix, other: Matrix) -> tuple[float, float]:
        """How much more balanced accuracy, and the standard error of that, which counts components and not images.

        Args:
            mine: Held-out scores ``(times, n, classes)`` of one head.
            other: Those of another on the same folds.
        """
        seen = ~np.isnan(mine[0, :, 0])
        labels = self.labels[seen]
        right, others = (s[:, seen].argmax(2) == labels for s in (mine, other))
        gained = class_weights(labels, self.classes) * (right.mean(0) - others.mean(0))
        members = np.unique(self._components[seen], return_inverse=True)[1]
        of_component = np.bincount(members, weights=gained)
        return float(of_component.sum()), float(np.sqrt((of_component**2).sum()))
