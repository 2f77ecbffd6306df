"""Prediction sets: from calibrated probabilities to all labels that an image may have, with a promise about coverage.

Split conformal prediction (Vovk, Gammerman and Shafer 2005): a threshold on a score is taken from calibration images
that no training has seen. Whatever the model, the set of a new image then holds its true label with probability
1 - alpha or more, as long as new images come from where the calibration images came from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import BundleError, ConfigError
from shared.wording import counted

LAC, APS = "lac", "aps"
"""Kinds of score: smallest sets on average, or sets that grow with the image's difficulty."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ConformalSets:
    """Thresholds that turn probabilities into sets of labels.

    Attributes:
        alpha: Share of new groups whose set may miss the true label, above 0 and below 1.
        kind: ``lac`` or ``aps``, see :func:`scores`.
        per_label: True where the promise holds for each label by itself (Mondrian), False where it holds over all
            labels in the proportion in which they were calibrated.
        labels: In the order of the probabilities.
        thresholds: Per label: it belongs to the set where its score is at most this; 1.0 where not certifiable.
        certifiable: Per label: whether enough groups were there. A label that is not certifiable is in every set.
        groups: Per label: independent calibration groups, each of which gave one image.
    """

    alpha: float
    kind: str
    per_label: bool
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    certifiable: tuple[bool, ...]
    groups: tuple[int, ...]

    def sets(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which labels each image may have.

        A ``lac`` set can be empty: no label would be usual with such probabilities. That is a reason to look, never to
        pass; where the model is right more often than promised, it happens about as often as is allowed to be missed.

        Args:
            probabilities: ``(n, labels)``, calibrated, rows add up to 1.

        Returns:
            ``(n, labels)``, True where the label belongs to the set.
        """
        inside = scores(probabilities, self.kind) <= np.array(self.thresholds) + _ROUNDING
        result: NDArray[np.bool_] = inside | ~np.array(self.certifiable, bool)
        return result

    def as_json(self) -> dict[str, Any]:
        """As plain lists and numbers, with the sentence; the inverse is :func:`from_json`."""
        return {**asdict(self), "sentence": str(self)}

    def __str__(self) -> str:
        needed = groups_needed(self.alpha)
        total = sum(self.groups)
        if not self.per_label and not all(self.certifiable):
            return (
                f"sets promise nothing and hold every label: {counted(total, 'independent group')}, {needed} are needed"
            )
        if not self.per_label:
            return (
                f"a set holds the true label with probability >= {1 - self.alpha:.1%}, over all labels together in "
                f"the proportion calibrated, on {counted(total, 'independent group')}"
            )
        known = [f"{name} ({n})" for name, n, c in zip(self.labels, self.groups, self.certifiable, strict=True) if c]
        short = [
            f"{name} ({n})" for name, n, c in zip(self.labels, self.groups, self.certifiable, strict=True) if not c
        ]
        said = []
        if known:
            said.append(
                f"a set holds the true label with probability >= {1 - self.alpha:.1%} for each of: {', '.join(known)}"
            )
        if short:
            said.append(
                f"not certifiable, therefore in every set, for want of {counted(needed, 'independent group')}: "
                f"{', '.join(short)}"
            )
        return "; ".join(said)


def groups_needed(alpha: float) -> int:
    """Fewest independent groups from which ``alpha`` can be promised: ceil(1 / alpha) - 1, e.g. 9 for 10 %, 19 for 5 %.

    With fewer, the rank of :func:`rank` lies beyond the largest score.
    """
    return math.ceil(1 / _exact(alpha)) - 1


def rank(n: int, alpha: float) -> int:
    """Which of ``n`` scores in rising order is the threshold, counted from 1: ceil((n + 1) (1 - alpha)).

    Computed in exact fractions: in floating point, 0.1 of 10 groups can become one rank too many.
    """
    return math.ceil((n + 1) * (1 - _exact(alpha)))


def scores(probabilities: NDArray[np.floating], kind: str = LAC) -> NDArray[np.float64]:
    """How unusual each label would be, 0 (expected) to 1.

    ``lac``: 1 - probability (Sadinle, Lei and Wasserman 2019). ``aps``: probability of all labels more probable than
    this one (Romano, Sesia and Candes 2020 with their random number u fixed at 1, so that the same image always gets
    the same set). The likeliest label scores 0, so that such a set is never empty. Labels of equal probability get
    equal scores.

    Args:
        probabilities: ``(n, labels)``.
        kind: ``lac`` or ``aps``.

    Returns:
        ``(n, labels)`` float64.

    Raises:
        ConfigError: Another kind.
    """
    p = np.asarray(probabilities, np.float64)
    if kind == LAC:
        return 1.0 - p
    if kind == APS:
        ascending = np.sort(p, 1)
        # Sum of all that are larger = the total less the sum of all that are not.
        sums = np.cumsum(ascending, 1)
        not_larger = (p[:, :, None] >= p[:, None, :]).sum(2)
        result: NDArray[np.float64] = sums[:, -1:] - np.take_along_axis(sums, not_larger - 1, 1)
        return result
    raise ConfigError(f"conformal score {kind!r} is not known; allowed are {LAC!r} and {APS!r}")


def fit(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.int64],
    labels: Sequence[str],
    *,
    alpha: float,
    kind: str = LAC,
    per_label: bool = True,
    groups: Sequence[str] = (),
    seed: int = 0,
    tolerance: float = 0.0,
) -> ConformalSets:
    """Take the thresholds from calibration images.

    Images of one group are alike, so one image is drawn from each group (per label, one from each group of the label),
    as in :func:`shared.inference.risk.certify`; what is promised is promised for an image of a new group.

    Args:
        probabilities: ``(n, labels)`` of images that no training has seen.
        truth: ``(n,)`` indices of the true labels.
        labels: Names in the order of the probabilities.
        alpha: Share of new groups whose set may miss the true label, above 0 and below 1.
        kind: ``lac`` or ``aps``.
        per_label: Whether the promise is to hold for each label by itself.
        groups: Group of each image; without, each image is a group of its own.
        seed: For the draw of one image per group.
        tolerance: Added to the thresholds: how far the probabilities of the runtime may lie from these. Sets can only
            grow by it.

    Raises:
        ConfigError: ``alpha`` is not between 0 and 1, or an unknown kind.
    """
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha of the prediction sets is {alpha}; allowed is above 0 and below 1")
    y = np.asarray(truth, np.int64)
    own = scores(probabilities, kind)[np.arange(len(y)), y]
    parts = [np.flatnonzero(y == c) for c in range(len(labels))] if per_label else [np.arange(len(y))]
    drawn = [part[one_per_group([groups[i] for i in part.tolist()], seed)] for part in parts] if len(groups) else parts
    found = [_threshold(own[part], alpha) for part in drawn] * (1 if per_label else len(labels))
    everything = np.concatenate(drawn)
    return ConformalSets(
        alpha=alpha,
        kind=kind,
        per_label=per_label,
        labels=tuple(labels),
        thresholds=tuple(1.0 if t is None else min(t + tolerance, 1.0) for t in found),
        certifiable=tuple(t is not None for t in found),
        groups=tuple(int(n) for n in np.bincount(y[everything], minlength=len(labels))),
    )


def from_json(record: Mapping[str, Any]) -> ConformalSets:
    """The inverse of :meth:`ConformalSets.as_json`.

    Raises:
        BundleError: A part is missing or of another type.
    """
    try:
        return ConformalSets(
            alpha=float(record["alpha"]),
            kind=str(record["kind"]),
            per_label=bool(record["per_label"]),
            labels=tuple(map(str, record["labels"])),
            thresholds=tuple(map(float, record["thresholds"])),
            certifiable=tuple(map(bool, record["certifiable"])),
            groups=tuple(map(int, record["groups"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"the prediction sets cannot be read ({error!r}); build the bundle again") from error


def one_per_group(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Indices of one image drawn at random from each group, ordered by group; shape ``(groups,)``."""
    order = np.random.default_rng(seed).permutation(len(groups))
    _, first = np.unique(np.asarray(groups, dtype=str)[order], return_index=True)
    result: NDArray[np.int64] = order[first]
    return result


def _threshold(own: NDArray[np.float64], alpha: float) -> float | None:
    """The threshold, None where there are too few scores for one."""
    k = rank(len(own), alpha)
    return None if k > len(own) else float(np.sort(own)[k - 1])


def _exact(alpha: float) -> Fraction:
    """0.1 as one tenth, and 0.1 / 3 as one thirtieth, rather than as the nearest binary number."""
    return Fraction(float(alpha)).limit_denominator(10**9) or Fraction(float(alpha))
