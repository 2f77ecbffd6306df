"""The closed-form head: ridge regression onto the labels, every label with the same weight, in float64.

It depends on the data through sums alone (G = sum w h h^T, Q = sum w h y^T), which makes it exact to add, to take away
and to merge. Standardisation, centring and the class weights are part of the sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from shared.export.graph import Head
from shared.inference import calibration

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """A head, and how its strength was chosen.

    Attributes:
        head: The head for all training images, with its temperature.
        strength: The chosen ridge strength, relative to the features' total variance divided by 1000.
        tried: Balanced accuracy over the folds for each strength.
        held_out_scores: ``(n, labels)`` scores of the training images by heads that had not seen them, before the
            temperature.
    """

    head: Head
    strength: float
    tried: dict[float, float]
    held_out_scores: Matrix


def class_weights(labels: Indices, classes: int) -> Matrix:
    """Weights ``(n,)`` adding up to 1, equal in sum over each label that is there."""
    counts = np.bincount(labels, minlength=classes)
    weights: Matrix = 1.0 / (counts[labels] * np.count_nonzero(counts))
    return weights


def ridge(features: Matrix, labels: Indices, classes: int, strengths: Sequence[float]) -> Iterator[Head]:
    """One head per strength, all from the same sums.

    Where there are fewer images than features the equal dual problem of size n is solved instead.

    Args:
        features: ``(n, d)`` float64.
        labels: ``(n,)`` indices below ``classes``.
        classes: Number of labels.
        strengths: Ridge strengths relative to the total variance (= d after standardising) divided by 1000.
    """
    n, d = features.shape
    weights = class_weights(labels, classes)
    mean = weights @ features
    centred = features - mean
    deviation = np.sqrt(weights @ centred**2)
    # A channel that hardly moves carries rounding noise; dividing by it would make noise the loudest feature.
    deviation = np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-12))
    targets = np.eye(classes)[labels]
    prior = weights @ targets
    root = np.sqrt(weights)[:, None]
    a = root * (centred / deviation)
    b = root * (targets - prior)
    dual = n < d
    gram, right = (a @ a.T, b) if dual else (a.T @ a, a.T @ b)
    for strength in strengths:
        damped = gram + strength * d / 1000 * np.eye(len(gram))
        solution = cho_solve(cho_factor(damped, overwrite_a=True), right)
        yield Head(mean, deviation, a.T @ solution if dual else solution, prior, 1.0)


def folds(components: Indices, labels: Indices, count: int, seed: int) -> Indices:
    """Number of the fold of each image ``(n,)``; a component lies in one fold, labels are spread evenly."""
    rng = np.random.default_rng(seed)
    unique, inverse = np.unique(components, return_inverse=True)
    counts = np.zeros((len(unique), labels.max() + 1))
    np.add.at(counts, (inverse, labels), 1)
    share = counts / counts.sum(0).clip(1)
    filled = np.zeros((count, counts.shape[1]))
    place = np.zeros(len(unique), np.int64)
    for c in np.lexsort((rng.random(len(unique)), -share.max(1))):
        place[c] = int(np.argmin(((filled + share[c]) ** 2).sum(1) - (filled**2).sum(1)))
        filled[place[c]] += share[c]
    result: Indices = place[inverse]
    return result


def balanced_accuracy(predicted: Indices, labels: Indices) -> float:
    """Mean over the labels that are there of the share of their images that was recognised."""
    return float(np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)]))


def fit(
    features: Matrix,
    labels: Indices,
    components: Indices,
    classes: int,
    *,
    strengths: Sequence[float],
    count: int,
    seed: int,
) -> Fitted:
    """Choose strength and temperature on folds of the training images, then fit on all of them.

    The validation images stay unseen, so that the certificate computed on them is exact.

    Args:
        features: ``(n, d)``.
        labels: ``(n,)`` indices below ``classes``.
        components: ``(n,)``; images of one component never help to judge each other.
        classes: Number of labels.
        strengths: Ridge strengths to choose from.
        count: Number of folds; with more than 4,000 images one fold is judged, which is enough and saves the time.
        seed: For the folds.
    """
    fold = folds(components, labels, count, seed)
    judged = range(count if len(labels) <= 4000 else 1)
    scores = np.full((len(strengths), len(labels), classes), np.nan)
    for f in judged:
        inside, outside = fold != f, fold == f
        if outside.any() and inside.any():
            for s, head in enumerate(ridge(features[inside], labels[inside], classes, strengths)):
                scores[s, outside] = head.scores(features[outside])
    seen = ~np.isnan(scores[0, :, 0])
    if not seen.any():
        seen = np.ones(len(labels), bool)
        scores[:] = 0.0
    tried = {s: balanced_accuracy(scores[i, seen].argmax(1), labels[seen]) for i, s in enumerate(strengths)}
    # Among equals the strongest: it generalises best.
    best = max(tried, key=lambda s: (tried[s], s))
    held_out = scores[list(strengths).index(best)]
    weights = class_weights(labels[seen], classes)
    temperature = calibration.fit_temperature(held_out[seen], labels[seen], weights)
    head = next(ridge(features, labels, classes, [best]))
    return Fitted(Head(head.mean, head.deviation, head.weights, head.bias, temperature), best, tried, held_out)
