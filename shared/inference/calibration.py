"""Temperature: one number that makes probabilities mean what they say (Guo et al. 2017)."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def softmax(scores: Scores) -> Scores:
    """Softmax over the last axis, in the input's dtype."""
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    result: Scores = shifted / shifted.sum(-1, keepdims=True)
    return result


def negative_log_likelihood(scores: Scores, labels: NDArray[np.int64], weights: Scores) -> float:
    """Weighted mean of -log p(label); scores ``(n, labels)``, weights ``(n,)`` adding up to 1."""
    probabilities = softmax(scores)[np.arange(len(labels)), labels]
    return float(-(weights * np.log(np.maximum(probabilities, 1e-12))).sum())


def fit_temperature(scores: Scores, labels: NDArray[np.int64], weights: Scores) -> float:
    """The temperature with the least negative log likelihood.

    Golden-section search over the logarithm: the objective has one minimum in it.

    Args:
        scores: ``(n, labels)``, from a head that has not seen these images.
        labels: ``(n,)`` indices.
        weights: ``(n,)``, e.g. the inverse class counts; any positive scale.

    Returns:
        Temperature between 0.001 and 100; probabilities are ``softmax(scores / temperature)``.
    """
    weights = weights / weights.sum()
    low, high = np.log(1e-3), np.log(1e2)
    ratio = (np.sqrt(5) - 1) / 2

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(scores / np.exp(log_temperature), labels, weights)

    a, b = high - ratio * (high - low), low + ratio * (high - low)
    loss_a, loss_b = loss(a), loss(b)
    while high - low > 1e-4:
        if loss_a < loss_b:
            high, b, loss_b = b, a, loss_a
            a = high - ratio * (high - low)
            loss_a = loss(a)
        else:
            low, a, loss_a = a, b, loss_b
            b = low + ratio * (high - low)
            loss_b = loss(b)
    return float(np.exp((low + high) / 2))


def expected_calibration_error(probabilities: Scores, labels: NDArray[np.int64], bins: int = 15) -> float:
    """ECE with equally filled bins (Nixon et al. 2019): mean gap between confidence and accuracy, 0 to 1."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    order = np.argsort(confidence)
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(len(p) * abs(confidence[p].mean() - right[p].mean()) for p in parts if len(p)) / len(order))
