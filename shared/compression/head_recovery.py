"""The parent's head on features that were rounded: their means and deviations, and the answers, as they were before."""

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from shared.building.work import Vectors
from shared.compression.parent import Parent
from shared.export.graph import Head
from shared.training.head import Matrix, class_weights


def standardised(parent: Parent, known: Vectors) -> Head:
    """The parent's head with mean and deviation moved as far as those of the training images' features moved.

    Args:
        parent: With its head and its features.
        known: The rounded features.
    """
    old, new = parent.parts["train"], parent.of(known)["train"]
    weights = class_weights(old.y, len(parent.work.labels))
    head = parent.candidate.head
    (before, spread), (after, wide) = (_moments(x, weights) for x in (old.x, new.x))
    still = spread < 1e-6 * float(spread.max())
    ratio = np.where(still, 1.0, wide / np.where(still, 1.0, spread))
    # A feature that rounding silenced must not be made loud again.
    return replace(head, mean=head.mean + (after - before), deviation=head.deviation * np.maximum(ratio, 0.5))


def taught(parent: Parent, head: Head, known: Vectors) -> Head:
    """A head moved as little as it takes to give the parent's scores: ridge regression of what is missing.

    Args:
        parent: With its head and its features.
        head: From :func:`standardised`.
        known: The rounded features.
    """
    old, new = parent.parts["train"], parent.of(known)["train"]
    plain = replace(parent.candidate.head, temperature=1.0)
    weights = class_weights(old.y, len(parent.work.labels))[:, None]
    z = head.standardise(new.x)
    missing = plain.scores(old.x) - (z @ head.weights + head.bias)
    shift = (weights * missing).sum(0)
    root = np.sqrt(weights)
    a, b = root * (z - (weights * z).sum(0)), root * (missing - shift)
    strength = float(parent.candidate.details.get("strength", 1.0)) * z.shape[1] / 1000
    moved = a.T @ cho_solve(cho_factor(a @ a.T + strength * np.eye(len(a))), b)
    bias = head.bias + shift - (weights * z).sum(0) @ moved
    return replace(head, weights=head.weights + moved, bias=bias)


def _moments(x: Matrix, weights: Matrix) -> tuple[Matrix, Matrix]:
    mean: Matrix = weights @ x
    deviation: Matrix = np.sqrt(weights @ (x - mean) ** 2)
    return mean, deviation
