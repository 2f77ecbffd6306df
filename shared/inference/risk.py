"""The certified threshold: which risk to flag at, and the recall this certifies on data the model has not seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.wording import counted


@dataclass(frozen=True)
class Certificate:
    """What can be said about recall at a threshold.

    Attributes:
        threshold: Flag where risk >= threshold, 0 to 1.
        wanted_recall: Recall asked for.
        confidence: Probability with which the statement holds.
        certified_recall: Lower bound of the recall at ``threshold``, at ``confidence``.
        positives: Calibration images that should be flagged.
        groups: Independent groups (parts, patients, fields) that they come from; the bound counts these.
        missed: Positives below the threshold.
        more_needed: Further independent groups, all found, that the wanted recall would take; 0 where it is certified.
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
            f"recall >= {at_least(self.certified_recall):.1%} with {self.confidence:.0%} confidence at risk >= "
            f"{_three_digits(self.threshold):.3g}, on {counted(self.groups, 'independent group')} "
            f"({counted(self.positives, 'image')}, {self.missed} missed)"
        )
        if not self.met:
            said += f"; {self.wanted_recall:.1%} needs {counted(self.more_needed, 'more group')}, all found"
        return said


def at_least(bound: float) -> float:
    """A lower bound in whole thousandths, rounded down: what is read is never more than what is proven."""
    return math.floor(1000 * bound + 1e-9) / 1000


def _three_digits(threshold: float) -> float:
    """Rounded down: whoever types the threshold that was read flags no less than the certified one."""
    if threshold <= 0:
        return threshold
    step = 10.0 ** (math.floor(math.log10(threshold)) - 2)
    return math.floor(threshold / step + 1e-9) * step


def certify(
    positive_risks: NDArray[np.floating],
    ok_risks: NDArray[np.floating],
    *,
    recall: float,
    confidence: float,
    groups: Sequence[str] = (),
    seed: int = 0,
    candidates: int = 1,
) -> Certificate:
    """Choose the largest threshold whose recall is certified, or the safest one and how many groups are missing.

    Images of one part (patient, field) are alike, so a hundred of them prove little more than one. Therefore one image
    is drawn from each group, and the bound counts groups. With the threshold at the k-th smallest of n such risks, the
    recall on an image of a new group follows Beta(n - k + 1, k) (order statistics of the uniform distribution; the
    same bound as Clopper and Pearson 1934 with k - 1 misses). The largest k with P(recall >= wanted) >= confidence is
    taken. k = 1 allows no miss and needs ln(1 - confidence) / ln(recall) groups: 59 for 95 %, 149 for 98 %, 299 for
    99 % at 95 % confidence. With fewer groups than that, everything is flagged that is as risky as the least risky
    positive, and what this certifies is stated.

    Args:
        positive_risks: Risks of the calibration images that should be flagged, shape ``(n,)``.
        ok_risks: Risks of the OK calibration images, shape ``(m,)``; for the forecast of overkill only.
        recall: Wanted recall, above 0 and below 1.
        confidence: Above 0 and below 1.
        groups: Group of each positive; without, each image is a group of its own.
        seed: For the draw of one image per group.
        candidates: Models among which these very images were used to choose. The allowed error is divided among them
            (Bonferroni), so that the statement holds for whichever was chosen.
    """
    from scipy.stats import beta

    risks = np.asarray(positive_risks, np.float64)
    error = (1 - confidence) / candidates
    needed = math.ceil(math.log(error) / math.log(recall))
    if len(risks) == 0:
        return Certificate(0.0, recall, confidence, 0.0, 0, 0, 0, needed, 1.0 if len(ok_risks) else None)
    drawn = np.sort(_one_per_group(risks, groups, seed))
    n = len(drawn)
    k = np.arange(1, n + 1)
    allowed = k[beta.sf(recall, n - k + 1, k) >= 1 - error]
    chosen = int(allowed.max()) if len(allowed) else 1
    threshold = float(drawn[chosen - 1]) if len(allowed) else float(risks.min())
    return Certificate(
        threshold=threshold,
        wanted_recall=recall,
        confidence=confidence,
        certified_recall=float(beta.ppf(error, n - chosen + 1, chosen)),
        positives=len(risks),
        groups=n,
        missed=int((risks < threshold).sum()),
        more_needed=0 if len(allowed) else needed - n,
        flagged_ok=float((np.asarray(ok_risks) >= threshold).mean()) if len(ok_risks) else None,
    )


def _one_per_group(risks: NDArray[np.float64], groups: Sequence[str], seed: int) -> NDArray[np.float64]:
    if len(groups) == 0:
        return risks
    order = np.random.default_rng(seed).permutation(len(risks))
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    return risks[order][first]
