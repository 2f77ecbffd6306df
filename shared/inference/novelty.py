"""How unlike the training images an image is: Mahalanobis distance in the features' main directions and off them.

The covariance is modelled by its ``k`` largest directions and one variance for all others (probabilistic principal
components, Tipping and Bishop 1999), so that a few hundred images are enough and the graph stays small.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Novelty:
    """The statistics behind the score, all on standardised features.

    Attributes:
        directions: ``(features, k)`` float32, main directions divided by their deviation.
        plain: ``(features, k)`` float32, the same directions with unit length.
        residual_variance: Variance along each other direction.
        scale: Score of the 99th percentile of held-out images; scores are divided by it.
    """

    directions: NDArray[np.float32]
    plain: NDArray[np.float32]
    residual_variance: float
    scale: float

    def score(self, standardised: NDArray[np.floating]) -> NDArray[np.float64]:
        """Novelty of standardised features ``(n, features)``; shape ``(n,)``, 0 and above."""
        z = np.asarray(standardised, np.float64)
        inside = ((z @ self.directions.astype(np.float64)) ** 2).sum(1)
        outside = (z**2).sum(1) - ((z @ self.plain.astype(np.float64)) ** 2).sum(1)
        result: NDArray[np.float64] = np.sqrt(inside + np.maximum(outside, 0) / self.residual_variance) / self.scale
        return result


def fit(train: NDArray[np.floating], held_out: NDArray[np.floating], *, components: int = 64) -> Novelty:
    """Fit on training images and scale on images that were held out.

    Args:
        train: Standardised features ``(n, features)``.
        held_out: Standardised features ``(m, features)`` of other images.
        components: Most main directions to keep.
    """
    z = np.asarray(train, np.float64)
    z = z - z.mean(0)
    n, features = z.shape
    k = max(1, min(components, n // 4, features - 1))
    # The small side of the matrix: n images, or the features.
    gram = z @ z.T / n if n < features else z.T @ z / n
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1][:k], 1e-9), vectors[:, ::-1][:, :k]
    plain = (z.T @ vectors / np.sqrt(values * n)) if n < features else vectors
    total = float((z**2).sum() / n)
    residual = max((total - float(values.sum())) / (features - k), 1e-6)
    draft = Novelty((plain / np.sqrt(values)).astype(np.float32), plain.astype(np.float32), residual, 1.0)
    scale = float(np.quantile(draft.score(held_out), 0.99)) if len(held_out) else float(np.sqrt(features))
    return Novelty(draft.directions, draft.plain, residual, max(scale, 1e-6))
