"""The certified threshold: which risk to flag at, and the recall this certifies on data the model has not seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Certificate:
    """What can be said about recall at a threshold.

    Attributes:
        threshold: Flag where risk >= threshold, 0 to 1.
        wanted_recall: Recall asked for.
        confidence: Probability with which the statement holds.
        certified_recall: Lower bound of the recall at ``threshold``, at ``confidence``.
        positives: Calibration images that should be flagged.
        groups: Independent groups (parts, patients, fields) that they come from.
        missed: How many of them lie below the threshold.
        more_needed: Further calibration images, all found, that the wanted recall would take; 0 where it is certified.
        flagged_ok: Share of the OK calibration images that the threshold flags; None without OK images.
    """

    threshold: float
    wanted_recall: float
    confidence: float
    certified_recall: float
    positives: int
    groups: int
    missed: int
    more_needed: int
    flagged_ok: float | None

    @property
    def met(self) -> bool:
        """Whether the wanted recall is certified."""
        return self.more_needed == 0

    def __str__(self) -> str:
        if self.positives == 0:
            return f"nothing certified: no calibration image shows anything but OK; {self.more_needed} are needed"
        said = (
            f"recall >= {self.certified_recall:.1%} with {self.confidence:.0%} confidence "
            f"at risk >= {self.threshold:.3g}, on {self.positives} images from {self.groups} independent groups"
        )
        if not self.met:
            said += f"; {self.wanted_recall:.1%} needs {self.more_needed} more, all found"
        return said


def certify(
    positive_risks: NDArray[np.floating],
    ok_risks: NDArray[np.floating],
    *,
    recall: float,
    confidence: float,
    groups: Sequence[str] = (),
) -> Certificate:
    """Choose the largest threshold whose recall is certified, or the safest one and how many images are missing.

    With the threshold at the k-th smallest of n exchangeable risks, the recall on new images follows
    Beta(n - k + 1, k) (order statistics of the uniform distribution; the same bound as Clopper and Pearson 1934 with
    k - 1 misses). The largest k with P(recall >= wanted) >= confidence is taken. k = 1 allows no miss and needs
    ln(1 - confidence) / ln(recall) images: 59 for 95 %, 149 for 98 %, 299 for 99 % at 95 % confidence.

    Args:
        positive_risks: Risks of the calibration images that should be flagged, shape ``(n,)``.
        ok_risks: Risks of the OK calibration images, shape ``(m,)``; for the forecast of overkill only.
        recall: Wanted recall, above 0 and below 1.
        confidence: Above 0 and below 1.
        groups: Group of each positive, for the count of independent groups.
    """
    from scipy.stats import beta

    risks = np.sort(np.asarray(positive_risks, np.float64))
    n = len(risks)
    needed = math.ceil(math.log(1 - confidence) / math.log(recall))
    if n == 0:
        return Certificate(0.0, recall, confidence, 0.0, 0, 0, 0, needed, 1.0 if len(ok_risks) else None)
    k = np.arange(1, n + 1)
    allowed = k[beta.sf(recall, n - k + 1, k) >= confidence]
    chosen = int(allowed.max()) if len(allowed) else 1
    threshold = float(risks[chosen - 1])
    # Ties at the threshold are flagged too, so fewer may be missed than the order statistic allows.
    missed = int((risks < threshold).sum())
    return Certificate(
        threshold=threshold,
        wanted_recall=recall,
        confidence=confidence,
        certified_recall=float(beta.ppf(1 - confidence, n - chosen + 1, chosen)),
        positives=n,
        groups=len(set(groups)) or n,
        missed=missed,
        more_needed=0 if len(allowed) else needed - n,
        flagged_ok=float((np.asarray(ok_risks) >= threshold).mean()) if len(ok_risks) else None,
    )
