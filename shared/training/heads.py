"""Linear heads beside the closed form: logistic, shrunk discriminant and support vectors, on all features or on fewer.

Whatever is chosen ends as one :class:`shared.export.graph.Head`: columns left out have weight 0, a projection is
multiplied into the weights. So the graph stays as it is and the class map stays exact. Anything that is not linear in
the features, such as bringing each image to the same length, has no place here.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh

from shared.errors import ConfigError, require
from shared.export.graph import Head

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

NEVER = -20.0
"""Score of a label without a single training image: e^-20 is as good as never."""
_RANK = 1e-10
"""Directions with less than this share of the greatest variance are rounding noise."""


@dataclass(frozen=True)
class Choice:
    """What kind of head, on what.

    Attributes:
        kind: One of :data:`KINDS`.
        strength: Above 0. ``ridge``: as in :func:`shared.training.head.ridge`. ``logistic`` and ``svm``: weight of half
            the squared norm beside the mean loss, times 1000, for features whose squared norm is 1 on average.
            ``lda``: share of the round covariance, up to 1.
        stages: Numbers of the backbone's stages that are used, in rising order; empty means all.
        dims: Number of principal directions that are used, 0 means all.
        prior: Exponent of the label frequency: 0 gives every label the same weight, 1 every image.
    """

    kind: str = "ridge"
    strength: float = 1.0
    stages: tuple[int, ...] = ()
    dims: int = 0
    prior: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"head {self.kind!r} is not known; allowed are {', '.join(KINDS)}")
        if not self.strength > 0 or (self.kind == "lda" and self.strength > 1):
            raise ConfigError(f"strength of {self.kind} is {self.strength}; allowed is above 0, for lda up to 1")
        if not 0 <= self.prior <= 1 or self.dims < 0:
            raise ConfigError(f"prior is {self.prior} and dims {self.dims}; allowed are 0 to 1, and 0 or more")

    def __str__(self) -> str:
        parts = [self.kind, f"strength {self.strength:.3g}"]
        parts += [f"stages {', '.join(str(s + 1) for s in self.stages)}"] if self.stages else []
        parts += [f"{self.dims} directions"] if self.dims else []
        parts += [f"label frequencies to the power of {self.prior:.2g}"] if self.prior else []
        return ", ".join(parts)


def columns(widths: Sequence[int], stages: Sequence[int]) -> Indices:
    """Indices of the feature columns of some stages, all of them where ``stages`` is empty.

    Args:
        widths: Columns per stage, in the order of the columns.
        stages: Stage numbers from 0.

    Raises:
        ConfigError: A stage that is not there.
    """
    if any(not 0 <= s < len(widths) for s in stages):
        raise ConfigError(f"stages {tuple(stages)} were asked for, and the backbone has 0 to {len(widths) - 1}")
    ends = np.cumsum([0, *widths])
    parts = [np.arange(ends[s], ends[s + 1]) for s in (stages or range(len(widths)))]
    return np.concatenate(parts).astype(np.int64)


def image_weights(labels: Indices, classes: int, prior: float) -> Matrix:
    """Weights ``(n,)`` adding up to 1; all images of a label together weigh as its count to the power of ``prior``."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights: Matrix = counts[labels] ** (prior - 1)
    weights /= weights.sum()
    return weights


def moments(features: Matrix, weights: Matrix) -> tuple[Matrix, Matrix]:
    """Weighted mean and deviation ``(d,)`` as the closed form has them: a dead channel does not speak."""
    mean = weights @ features
    deviation = np.sqrt(weights @ (features - mean) ** 2)
    return mean, np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-12))


def directions(a: Matrix, dims: int) -> Matrix:
    """Principal directions ``(d, k)`` of ``a.T @ a``, the strongest first, all of them where ``dims`` is 0.

    Args:
        a: ``(n, d)`` centred features times the root of the image weights.
        dims: Greatest k.
    """
    dual = a.shape[0] < a.shape[1]
    values, vectors = eigh(a @ a.T if dual else a.T @ a, overwrite_a=True)
    kept = strongest(values, dims)
    found: Matrix = vectors[:, kept]
    return a.T @ found / np.sqrt(values[kept]) if dual else found


def strongest(values: Matrix, dims: int) -> Indices:
    """Indices of the ``dims`` greatest eigenvalues (all where 0), falling, without rounding noise."""
    order = np.argsort(values)[::-1]
    order = order[values[order] > _RANK * max(float(values.max()), 1e-300)]
    result: Indices = order[:dims] if dims else order
    return result


def fit(features: Matrix, labels: Indices, classes: int, choice: Choice, widths: Sequence[int]) -> Head:
    """The chosen head on all given images, with temperature 1.

    Args:
        features: ``(n, d)`` float64.
        labels: ``(n,)`` indices below ``classes``; at least two labels are there.
        classes: Number of labels.
        choice: What to fit.
        widths: Columns of each stage, adding up to d.

    Raises:
        ConfigError: A stage is asked for that is not there.
    """
    balanced = image_weights(labels, classes, 0.0)
    mean, deviation = moments(features, balanced)
    used = columns(widths, choice.stages)
    part = (features[:, used] - mean[used]) / deviation[used]
    basis = directions(np.sqrt(balanced)[:, None] * part, choice.dims) / np.sqrt(len(used))
    inside, bias = solve(choice, part @ basis, labels, classes)
    weights = np.zeros((features.shape[1], classes))
    weights[used] = basis @ inside
    return Head(mean, deviation, weights, bias, 1.0)


def solve(choice: Choice, z: Matrix, labels: Indices, classes: int) -> tuple[Matrix, Matrix]:
    """Weights ``(k, classes)`` and bias ``(classes,)`` in projected features.

    Args:
        choice: Kind, strength and prior; stages and dims were applied before.
        z: ``(n, k)`` projected features, whose squared norm is about 1 on average.
        labels: ``(n,)``.
        classes: Number of labels; those that are not there get :data:`NEVER`, but in ridge, which needs no exception.
    """
    return KINDS[choice.kind](choice, z, labels, classes)


def _ridge(choice: Choice, z: Matrix, labels: Indices, classes: int) -> tuple[Matrix, Matrix]:
    w = image_weights(labels, classes, choice.prior)
    targets = np.eye(classes)[labels]
    mean, prior = w @ z, w @ targets
    centred = z - mean
    weighted = w[:, None] * centred
    gram = centred.T @ weighted + choice.strength / 1000 * np.eye(z.shape[1])
    weights = cho_solve(cho_factor(gram, overwrite_a=True), weighted.T @ (targets - prior))
    return weights, prior - mean @ weights


def _lda(choice: Choice, z: Matrix, labels: Indices, classes: int) -> tuple[Matrix, Matrix]:
    """Fisher's discriminant with the covariance shrunk towards a round one (Friedman 1989; Ledoit and Wolf 2004)."""
    w = image_weights(labels, classes, choice.prior)
    targets = np.eye(classes)[labels]
    counts = targets.sum(0)
    means = targets.T @ z / np.maximum(counts, 1)[:, None]
    inside = z - means[labels]
    covariance = inside.T @ (w[:, None] * inside)
    round_part = max(np.trace(covariance) / z.shape[1], 1e-12)
    shrunk = (1 - choice.strength) * covariance + choice.strength * round_part * np.eye(z.shape[1])
    weights = cho_solve(cho_factor(shrunk, overwrite_a=True), means.T)
    there = counts > 0
    bias = np.log(np.maximum(w @ targets, 1e-300)) - 0.5 * (means * weights.T).sum(1)
    return weights * there, np.where(there, bias, bias[there].min() + NEVER)


def _logistic(choice: Choice, z: Matrix, labels: Indices, classes: int) -> tuple[Matrix, Matrix]:
    linear_model: Any = require("sklearn.linear_model", extra="train")
    return _sklearn(linear_model.LogisticRegression(C=1000 / choice.strength, max_iter=200), choice, z, labels, classes)


def _svm(choice: Choice, z: Matrix, labels: Indices, classes: int) -> tuple[Matrix, Matrix]:
    svm: Any = require("sklearn.svm", extra="train")
    # liblinear punishes the bias too; a large scale makes that punishment small.
    model = svm.LinearSVC(C=1000 / choice.strength, dual=False, intercept_scaling=10.0, max_iter=200, random_state=0)
    return _sklearn(model, choice, z, labels, classes)


def _sklearn(model: Any, choice: Choice, z: Matrix, labels: Indices, classes: int) -> tuple[Matrix, Matrix]:
    exceptions: Any = require("sklearn.exceptions", extra="train")
    with warnings.catch_warnings():
        # Held-out images judge the head, whether or not the last digit of its weights has settled.
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        model.fit(z, labels, sample_weight=image_weights(labels, classes, choice.prior))
    coefficients, intercept = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:
        coefficients = np.concatenate([-coefficients, coefficients], 1) / 2
        intercept = np.array([-intercept[0], intercept[0]]) / 2
    weights = np.zeros((z.shape[1], classes))
    bias = np.full(classes, float(intercept.min()) + NEVER)
    weights[:, model.classes_], bias[model.classes_] = coefficients, intercept
    return weights, bias


KINDS: dict[str, Callable[[Choice, Matrix, Indices, int], tuple[Matrix, Matrix]]] = {
    "ridge": _ridge,
    "logistic": _logistic,
    "lda": _lda,
    "svm": _svm,
}
