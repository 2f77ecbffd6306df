"""What was found per lesion and per patient: detection rate, early lesions, and how many referrals a finding takes."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from shared.reporting.rates import Rate, grouped, proportion
from verticals.medical.evidence.readings import Lesion
from verticals.medical.evidence.resampling import Real, patient_weights, percentiles
from verticals.medical.taxonomy import Malignancy

LEAST_EARLY = 20
"""With fewer lesions a stratum of early ones is refused: even a faultless result would reach down to 83 %."""
THIN_MM, SMALL_MM = 0.8, 6.0
"""Breslow thickness of stage T1a (AJCC, 8th edition) and the diameter of the ABCD rule."""
MELANOMAS = ("MEL", "MEL-ACRAL", "MELANOMA-IS")

EARLY: Mapping[str, Callable[[Lesion], bool]] = {
    "melanoma in situ": lambda lesion: lesion.truth.code == "MELANOMA-IS",
    "melanoma up to 0.8 mm thick": lambda lesion: (
        lesion.truth.code in MELANOMAS and lesion.thickness_mm is not None and lesion.thickness_mm <= THIN_MM
    ),
    "malignant lesion below 6 mm in diameter": lambda lesion: (
        lesion.truth.malignancy is Malignancy.MALIGNANT
        and lesion.diameter_mm is not None
        and lesion.diameter_mm < SMALL_MM
    ),
}
"""Strata of early lesions, by the fields ``mel_thick_mm`` and ``clin_size_long_diam_mm`` of isic-metadata."""


def per_patient(hits: Sequence[bool], patients: Sequence[str]) -> Rate:
    """A share with an interval that counts patients: Clopper and Pearson's where each has one case.

    Args:
        hits: ``(n,)``.
        patients: Patient of each case ``(n,)``; empty text means a patient of its own.
    """
    named = [patient for patient in patients if patient]
    if len(set(named)) == len(named):
        return proportion(sum(hits), len(hits))
    return grouped(np.array(hits, bool), patients)


def detection_rate(lesions: Sequence[Lesion], *, seed: int = 0) -> dict[str, Any]:
    """Share of lesions that were flagged: a lesion is found where one of its pictures is flagged.

    Args:
        lesions: Those that must not be missed.
        seed: For the bootstrap.

    Returns:
        A rate with an interval that counts patients, see :func:`per_patient`; ``bootstrap_low`` and ``bootstrap_high``
        over resampled patients (None where they cannot be told: a faultless result varies in no draw), ``patients``,
        ``passed`` (the misses: all pictures passed) and ``not_examined``.
    """
    found = np.array([lesion.flagged for lesion in lesions], np.float64)
    names = [lesion.patient for lesion in lesions]
    drawn = [float(w @ found / w.sum()) for w in patient_weights(names, seed=seed)]
    ends = percentiles(drawn) if 0 < found.sum() < len(found) else None
    verdicts = [lesion.verdict.value for lesion in lesions]
    return {
        **asdict(per_patient([lesion.flagged for lesion in lesions], names)),
        "bootstrap_low": ends[0] if ends else None,
        "bootstrap_high": ends[1] if ends else None,
        "patients": len(set(names)),
        "passed": verdicts.count("pass"),
        "not_examined": verdicts.count("not_examined"),
    }


def patient_rate(lesions: Sequence[Lesion]) -> Rate:
    """Share of patients with such a lesion of whom at least one of those lesions was flagged."""
    found: dict[str, bool] = defaultdict(bool)
    for lesion in lesions:
        found[lesion.patient] |= lesion.flagged
    return proportion(sum(found.values()), len(found))


def early_sensitivity(lesions: Sequence[Lesion]) -> dict[str, dict[str, Any]]:
    """Detection rate of each stratum of :data:`EARLY`; refused with the reason under :data:`LEAST_EARLY` lesions."""
    result = {}
    for name, belongs in EARLY.items():
        mine = [lesion for lesion in lesions if belongs(lesion)]
        rate = asdict(per_patient([lesion.flagged for lesion in mine], [lesion.patient for lesion in mine]))
        if len(mine) < LEAST_EARLY:
            why = f"n = {len(mine)}, at least {LEAST_EARLY} lesions are needed to state a sensitivity"
            rate = {"value": None, "low": 0.0, "high": 1.0, "n": len(mine), "refused": why}
        result[name] = rate
    return result


def number_needed_to_refer(
    lesions: Sequence[Lesion], *, prevalence: float | None = None, seed: int = 0
) -> dict[str, float | int | None]:
    """How many flagged lesions a clinician sees for one that must not be missed: 1 / PPV.

    Args:
        lesions: All with a known truth.
        prevalence: Share of such lesions where it will be used, above 0 and below 1; None for that of these lesions.
            Sensitivity and specificity are taken to stay the same there.
        seed: For the bootstrap over patients.

    Returns:
        ``referrals``, ``low``, ``high`` (None where no true finding was flagged), ``prevalence`` and ``n`` lesions.
    """
    truth = np.array([lesion.truth.sought for lesion in lesions], bool)
    flagged = np.array([lesion.flagged for lesion in lesions], bool)

    def needed(weights: Real) -> float:
        hits, alarms = float(weights @ (flagged & truth)), float(weights @ (flagged & ~truth))
        positives, negatives = float(weights @ truth), float(weights @ ~truth)
        if prevalence is not None:
            if not positives or not negatives:
                return float("nan")
            hits, alarms = prevalence * hits / positives, (1 - prevalence) * alarms / negatives
        return (hits + alarms) / hits if hits else float("inf" if alarms else "nan")

    value = needed(np.ones(len(lesions)))
    ends = percentiles([needed(w) for w in patient_weights([lesion.patient for lesion in lesions], seed=seed)])
    known = np.isfinite(value)
    return {
        "referrals": value if known else None,
        "low": ends[0] if known and ends else None,
        "high": ends[1] if known and ends else None,
        "prevalence": prevalence if prevalence is not None else float(truth.mean()) if len(truth) else None,
        "n": len(lesions),
    }
