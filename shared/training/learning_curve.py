"""What more labels, and more minutes, would probably bring: from the training images and the time already spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from shared.training.head import class_weights, folds

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

SHARES = (0.25, 0.4, 0.63, 1.0)
"""Evenly spaced on the logarithmic scale on which a power law is straight."""
PROBABLY = 0.8
"""Probability meant by "probably": a tenth lies below the interval, a tenth above."""
LARGE = 800
"""With more training images, whole groups adding up to about so many are used."""
_STRENGTHS = (0.3, 1.0, 3.0)
_REPEATS = 3
_FOLDS = 5
_DRAWS = 400
_EXPONENTS = np.linspace(0.1, 2.0, 20)
"""Learning curves of classifiers fall with n^-0.1 to n^-1 (Hestness et al. 2017; Viering and Loog 2021), and near their
end faster; without those above 1 the gain is promised too high there."""
_FARTHEST = 100
_MINUTE = 60.0


@dataclass(frozen=True)
class MoreLabels:
    """What more labelled images of the same kind would probably bring.

    Attributes:
        images: Training images that the curve ends at.
        sizes: Images that heads of the curve learnt from, mean over the folds.
        errors: Balanced error (1 - balanced accuracy) at these sizes.
        more: Number of further images that ``gain`` is about.
        gain: What they would bring in balanced accuracy: middle of what is plausible.
        low: Lower end of the 80 % interval, 0 or more.
        high: Upper end.
        one_point: Further images for one point more of balanced accuracy; None where a hundred times as many
            images would not bring it.
    """

    images: int
    sizes: tuple[int, ...]
    errors: tuple[float, ...]
    more: int
    gain: float
    low: float
    high: float
    one_point: int | None

    def __str__(self) -> str:
        said = f"{self.more} more labels would probably bring {100 * self.low:.1f} to {100 * self.high:.1f} points"
        if self.one_point is None:
            return f"{said}; one point more is not to be expected from labels alone"
        return f"{said}; one point more takes about {self.one_point} labels"


def more_labels(
    features: NDArray[np.floating],
    labels: Indices,
    components: Indices,
    classes: int,
    *,
    strength: float = 1.0,
    more: int = 50,
    seed: int = 0,
) -> MoreLabels | None:
    """Learn from growing parts of the training images, and carry the curve on.

    The closed-form head learns from nested parts of the groups inside of each fold and is judged on the fold. Through
    the balanced errors goes an inverse power law a + b n^-c; the interval comes from resampling the judged groups,
    which says how far the curve is known, not which images will come next: the new ones are taken to be like those
    that are there, frequencies of the labels included.

    Args:
        features: ``(n, d)`` of the training images.
        labels: ``(n,)`` indices below ``classes``.
        components: ``(n,)``; images of one component never help to judge each other.
        classes: Number of labels.
        strength: Ridge strength around which each size looks for its own, see :func:`shared.training.head.ridge`.
        more: Number of further images.
        seed: For parts, folds and resampling.

    Returns:
        None where there are too few groups for a curve.
    """
    kept = np.flatnonzero(folds(components, labels, -(-len(labels) // LARGE), seed) == 0)
    y, group = labels[kept], np.unique(components[kept], return_inverse=True)[1]
    if group.max() + 1 < 2 * _FOLDS or len(np.unique(y)) < 2:
        return None
    gram = _gram(features[kept])
    strengths = [strength * factor for factor in _STRENGTHS]
    right, sizes = _right(gram, y, group, classes, strengths, seed)
    errors = _errors(right, y, group, np.random.default_rng(seed))
    n = len(labels)
    predicted = _power_laws(sizes, errors)
    now = predicted.at(n)
    gains = now - predicted.at(n + more)
    low, middle, high = np.quantile(gains[1:], [(1 - PROBABLY) / 2, 0.5, (1 + PROBABLY) / 2])
    needed = _one_point(predicted, n)
    return MoreLabels(
        n,
        tuple(int(s) for s in sizes.round()),
        tuple(errors[0].tolist()),
        more,
        float(middle),
        float(low),
        float(high),
        needed,
    )


def _gram(features: NDArray[np.floating]) -> Matrix:
    """Inner products of the standardised images. No label plays a part in it, so no fold is given away."""
    x = np.asarray(features, np.float64)
    x = x - x.mean(0)
    deviation = x.std(0)
    x /= np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-12))
    product: Matrix = x @ x.T / x.shape[1]
    return product


def _scores(gram: Matrix, inside: Indices, outside: Indices, y: Indices, classes: int, strength: float) -> Matrix:
    """The closed-form head of :func:`shared.training.head.ridge`, from inner products alone."""
    weights = class_weights(y[inside], classes)
    root = np.sqrt(weights)[:, None]
    targets = np.eye(classes)[y[inside]]
    prior = weights @ targets
    part = gram[np.ix_(inside, inside)]
    mean = part @ weights
    centred = part - mean[:, None] - mean[None] + weights @ mean
    damped = root * centred * root.T + strength / 1000 * np.eye(len(inside))
    solution = root * cho_solve(cho_factor(damped, overwrite_a=True), root * (targets - prior))
    # The other half of the centring adds nothing, because the solutions of a label add up to 0.
    result: Matrix = (gram[np.ix_(outside, inside)] - mean) @ solution + prior
    return result


def _right(
    gram: Matrix, y: Indices, group: Indices, classes: int, strengths: Sequence[float], seed: int
) -> tuple[Matrix, Matrix]:
    """Whether each image was recognised ``(repeats, sizes, n)`` by heads of each size; and the sizes.

    Each size has the strength that is best for it over all folds, as a build with that many images would have.
    """
    hits = np.zeros((len(strengths), _REPEATS, len(SHARES), len(y)))
    sizes = np.zeros(len(SHARES))
    for repeat in range(_REPEATS):
        fold, rank = folds(group, y, _FOLDS, seed + repeat), _nested(group, y, seed + repeat)
        for f in np.unique(fold):
            outside = np.flatnonzero(fold == f)
            for i, share in enumerate(SHARES):
                inside = np.flatnonzero((fold != f) & (rank <= share))
                sizes[i] += len(inside) * len(outside) / (_REPEATS * len(y))
                if len(np.unique(y[inside])) < 2:
                    continue
                for j, strength in enumerate(strengths):
                    said = _scores(gram, inside, outside, y, classes, strength).argmax(1)
                    hits[j, repeat, i, outside] = said == y[outside]
    best = (hits.mean(1) @ class_weights(y, classes)).argmax(0)
    return hits[best, :, np.arange(len(SHARES))].swapaxes(0, 1), sizes


def _nested(group: Indices, y: Indices, seed: int) -> Matrix:
    """Number between 0 and 1 of each image ``(n,)``, one per group, even within each label: up to x is a part of x."""
    rng = np.random.default_rng(seed)
    first = np.unique(group, return_index=True)[1]
    order = rng.permutation(len(first))
    rank = np.zeros(len(first))
    for label in np.unique(y[first]):
        members = order[y[first][order] == label]
        rank[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return rank[group]


def _errors(right: Matrix, y: Indices, group: Indices, rng: np.random.Generator) -> Matrix:
    """Balanced errors ``(1 + draws, sizes)``: as observed, then of resampled groups judged in resampled repeats."""
    present, column = np.unique(y, return_inverse=True)
    groups, (repeats, sizes, _) = int(group.max()) + 1, right.shape
    counts = np.zeros((groups, len(present)))
    np.add.at(counts, (group, column), 1)
    hits = np.zeros((groups, len(present), repeats, sizes))
    np.add.at(hits, (group, column), right.transpose(2, 0, 1))
    times = rng.multinomial(groups, np.full(groups, 1 / groups), size=_DRAWS)
    times = np.concatenate([np.ones((1, groups)), times.astype(float)])
    share = rng.multinomial(repeats, np.full(repeats, 1 / repeats), size=_DRAWS) / repeats
    share = np.concatenate([np.full((1, repeats), 1 / repeats), share])
    total = times @ counts
    found = (times @ hits.reshape(groups, -1)).reshape(len(times), len(present), repeats, sizes)
    recall = np.einsum("dprs,dr->dps", found, share) / np.maximum(total, 1e-12)[..., None]
    result: Matrix = 1 - recall.sum(1) / (total > 0).sum(1)[:, None]
    return result


@dataclass(frozen=True)
class _Laws:
    """Curves a + b n^-c, one per draw; all ``(draws,)``."""

    a: Matrix
    b: Matrix
    c: Matrix

    def at(self, n: float) -> Matrix:
        result: Matrix = self.a + self.b * n**-self.c
        return result


def _power_laws(sizes: Matrix, errors: Matrix) -> _Laws:
    """Least squares for each row of errors ``(draws, sizes)``, with a and b at least 0, over a grid of c."""
    found = _Laws(errors.mean(1), np.zeros(len(errors)), np.full(len(errors), _EXPONENTS[0]))
    least = ((errors - found.a[:, None]) ** 2).sum(1)
    for c in _EXPONENTS:
        x = sizes**-c
        centred = x - x.mean()
        b = np.maximum((errors - errors.mean(1, keepdims=True)) @ centred / (centred @ centred), 0)
        a = errors.mean(1) - b * x.mean()
        through_zero = np.maximum(errors @ x / (x @ x), 0)
        a, b = np.where(a < 0, 0.0, a), np.where(a < 0, through_zero, b)
        loss = ((errors - a[:, None] - b[:, None] * x) ** 2).sum(1)
        better = loss < least - 1e-15
        least = np.where(better, loss, least)
        found = _Laws(*(np.where(better, new, old) for new, old in ((a, found.a), (b, found.b), (c, found.c))))
    return found


def _one_point(laws: _Laws, n: int) -> int | None:
    """Further images until half of the curves have fallen by one point."""
    extra = np.unique(np.geomspace(1, _FARTHEST * n, 200).round()).astype(int)
    now = laws.at(n)[1:]
    gains = np.array([np.median(now - laws.at(n + int(m))[1:]) for m in extra])
    enough = np.flatnonzero(gains >= 0.01)
    return _rounded(int(extra[enough[0]])) if len(enough) else None


def _rounded(count: int) -> int:
    """To two digits: the rest would be a show of exactness."""
    return int(float(f"{count:.2g}"))


@dataclass(frozen=True)
class ExtraMinute:
    """What one more minute of the same training would probably bring.

    Attributes:
        low: Lower end, in balanced accuracy: always 0, as the best model so far is kept.
        high: Upper end.
        evaluations: Number of evaluations behind it.
    """

    low: float
    high: float
    evaluations: int

    def __str__(self) -> str:
        return (
            f"one more minute would probably bring {100 * self.low:.1f} to {100 * self.high:.1f} points "
            f"(from {self.evaluations} evaluations)"
        )


def extra_minute(tried: Sequence[Mapping[str, float]]) -> ExtraMinute | None:
    """Carry the best value so far on by one minute, on the side of caution.

    Training brings less the longer it goes on, so the next minute is taken to bring at most what the last one did, or
    what a minute of the second half did on average, whichever is more. Evaluations on few images go up and down, and
    the best of them creeps up by that alone: the upper end says what can be hoped for, not what is to be expected.

    Args:
        tried: ``seconds`` since the start and ``balanced_accuracy`` (0 to 1) of each evaluation.

    Returns:
        None with fewer than three evaluations, or when they cover less than half a minute.
    """
    ordered = sorted(tried, key=lambda t: t["seconds"])
    if len(ordered) < 3:
        return None
    seconds = np.array([t["seconds"] for t in ordered])
    best = np.maximum.accumulate([t["balanced_accuracy"] for t in ordered])
    span = float(seconds[-1] - seconds[0])
    if span < _MINUTE / 2:
        return None
    windows = {min(_MINUTE, span), max(span / 2, _MINUTE / 2)}
    rates = [(best[-1] - np.interp(seconds[-1] - w, seconds, best)) / w for w in windows]
    return ExtraMinute(0.0, float(min(max(rates) * _MINUTE, 1 - best[-1])), len(ordered))
