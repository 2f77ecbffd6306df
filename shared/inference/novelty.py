"""How unlike the training images an image is: Mahalanobis distance in the features' main directions and off them.

The covariance is modelled by its ``k`` largest directions and one variance for all others (probabilistic principal
components, Tipping and Bishop 1999), so that a few hundred images are enough and the graph stays small. It finds images
of another kind. New labels among images of the same kind look too much like the known ones for it, and for the nearest
neighbours and class-wise distances that it was compared with (``benchmarks/trust.py`` measures both).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.inference import risk
from shared.wording import counted


@dataclass(frozen=True)
class Novelty:
    """The statistics behind the score, all on standardised features.

    Attributes:
        plain: ``(features, k)`` float32, main directions of unit length.
        deviations: ``(k,)`` float32, deviation of the training images along each of them, above 0.
        residual_variance: Variance along each other direction.
        scale: Score of the 99th percentile of held-out images; scores are divided by it.
    """

    plain: NDArray[np.float32]
    deviations: NDArray[np.float32]
    residual_variance: float
    scale: float

    @property
    def directions(self) -> NDArray[np.float32]:
        """``(features, k)``: main directions divided by their deviation."""
        result: NDArray[np.float32] = self.plain / self.deviations
        return result

    def score(self, standardised: NDArray[np.floating]) -> NDArray[np.float64]:
        """Novelty of standardised features ``(n, features)``; shape ``(n,)``, 0 and above."""
        z = np.asarray(standardised, np.float64)
        along = z @ self.plain.astype(np.float64)
        inside = ((along / self.deviations) ** 2).sum(1)
        outside = (z**2).sum(1) - (along**2).sum(1)
        result: NDArray[np.float64] = np.sqrt(inside + np.maximum(outside, 0) / self.residual_variance) / self.scale
        return result


@dataclass(frozen=True)
class RejectLimit:
    """From which novelty on to send images away, and how many known ones that may cost.

    Attributes:
        limit: Reject where novelty > limit; infinite without held-out images, then nothing is rejected.
        wanted_share: Share of known images that may be rejected, as asked for.
        share: Upper bound of the share of known images rejected at ``limit``, at ``confidence``.
        confidence: Probability with which the statement holds.
        images: Held-out images that it comes from.
        groups: Independent groups (parts, patients, fields) that they come from; the bound counts these.
        more_needed: Further independent groups that the wanted share would take; 0 where it is certified.
    """

    limit: float
    wanted_share: float
    share: float
    confidence: float
    images: int
    groups: int
    more_needed: int

    def __str__(self) -> str:
        if self.images == 0:
            return f"no limit for novelty can be stated without held-out images; {self.more_needed} groups are needed"
        most = 1 - risk.at_least(1 - self.share)
        said = (
            f"novelty > {self.limit:.3g} rejects at most {most:.1%} of images like the training ones, with "
            f"{self.confidence:.0%} confidence, on {counted(self.groups, 'independent group')} "
            f"({counted(self.images, 'image')})"
        )
        if self.more_needed:
            said += f"; {self.wanted_share:.1%} needs {counted(self.more_needed, 'more group')}"
        return said


def fit(
    train: NDArray[np.floating], held_out: NDArray[np.floating], *, components: int = 64, eight_bits: bool = False
) -> Novelty:
    """Fit on training images and scale on images that were held out.

    Args:
        train: Standardised features ``(n, features)``.
        held_out: Standardised features ``(m, features)`` of other images.
        components: Most main directions to keep.
        eight_bits: Whether the directions are rounded, see :func:`levels`.
    """
    plain, values, total = principal(train, max(1, min(components, len(train) // 4, np.shape(train)[1] - 1)))
    return _scaled(_rounded(plain) if eight_bits else plain, values, total, held_out)


def from_covariance(
    covariance: NDArray[np.float64],
    n: int,
    held_out: NDArray[np.floating],
    *,
    components: int = 64,
    eight_bits: bool = False,
) -> Novelty:
    """The same as :func:`fit`, where of the training images only their covariance is known.

    Args:
        covariance: ``(features, features)`` of the standardised features about their own mean.
        n: Number of training images.
        held_out: Standardised features ``(m, features)`` of other images.
        components: Most main directions to keep.
        eight_bits: Whether the directions are rounded, see :func:`levels`.
    """
    features = len(covariance)
    k = max(1, min(components, n // 4, features - 1))
    values, vectors = np.linalg.eigh(covariance)
    values, plain = np.maximum(values[::-1][:k], 1e-9), vectors[:, ::-1][:, :k]
    return _scaled(_rounded(plain) if eight_bits else plain, values, float(covariance.trace()), held_out)


def levels(plain: NDArray[np.floating]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Directions in whole numbers of 8 bits: ``(features, k)`` int8 and the scale ``(k,)`` of each direction."""
    scale = (np.abs(plain).max(0) / 127).astype(np.float32)
    return np.round(plain / scale).astype(np.int8), scale


def _rounded(plain: NDArray[np.float64]) -> NDArray[np.float64]:
    whole, scale = levels(plain)
    return whole.astype(np.float64) * scale


def _scaled(
    plain: NDArray[np.float64], values: NDArray[np.float64], total: float, held_out: NDArray[np.floating]
) -> Novelty:
    features, k = plain.shape
    residual = max((total - float(values.sum())) / (features - k), 1e-6)
    draft = Novelty(plain.astype(np.float32), np.sqrt(values).astype(np.float32), residual, 1.0)
    scale = float(np.quantile(draft.score(held_out), 0.99)) if len(held_out) else float(np.sqrt(features))
    return Novelty(draft.plain, draft.deviations, residual, max(scale, 1e-6))


def principal(vectors: NDArray[np.floating], k: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Main directions of vectors about their mean.

    Args:
        vectors: ``(n, features)``.
        k: How many, 1 to the smaller of ``n`` and ``features``.

    Returns:
        Directions ``(features, k)`` of unit length, the variance along each ``(k,)`` in falling order, and the variance
        along all directions together.
    """
    z = np.asarray(vectors, np.float64)
    z = z - z.mean(0)
    n, features = z.shape
    # The small side of the matrix: n images, or the features.
    gram = z @ z.T / n if n < features else z.T @ z / n
    values, vectors_of = np.linalg.eigh(gram)
    values, vectors_of = np.maximum(values[::-1][:k], 1e-9), vectors_of[:, ::-1][:, :k]
    directions = z.T @ vectors_of / np.sqrt(values * n) if n < features else vectors_of
    return directions, values, float((z**2).sum() / n)


def reject_limit(
    held_out: NDArray[np.floating],
    *,
    share: float = 0.05,
    confidence: float = 0.95,
    groups: Sequence[str] = (),
    seed: int = 0,
) -> RejectLimit:
    """The smallest limit that rejects at most ``share`` of the known images, as far as the held-out ones can tell.

    The exact bound of :func:`shared.inference.risk.certify`, read from the other side: one image is drawn from each
    group, and "found" means "kept". 5 % needs 59 groups at 95 % confidence, 2 % needs 149, 1 % needs 299. With fewer,
    the limit is the largest novelty seen, and what this certifies is stated.

    Args:
        held_out: Novelty of images that neither training nor :func:`fit`'s directions have seen, ``(n,)``.
        share: Share of known images that may be rejected, above 0 and below 1.
        confidence: Above 0 and below 1.
        groups: Group of each image; without, each image is a group of its own.
        seed: For the draw of one image per group.
    """
    kept = risk.certify(
        -np.asarray(held_out, np.float64),
        np.zeros(0),
        recall=1 - share,
        confidence=confidence,
        groups=groups,
        seed=seed,
    )
    return RejectLimit(
        limit=-kept.threshold if kept.positives else float("inf"),
        wanted_share=share,
        share=1 - kept.certified_recall,
        confidence=confidence,
        images=kept.positives,
        groups=kept.groups,
        more_needed=kept.more_needed,
    )
