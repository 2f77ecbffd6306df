"""Readings in, every number of the vertical out, each with its count and interval, or with the reason why it is not."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.inference.calibration import expected_calibration_error
from shared.records import Verdict
from shared.reporting import rates
from verticals.medical.evidence import detection, discrimination, usefulness
from verticals.medical.evidence.readings import CALIBRATION, TEST, Lesion, Reading, lesions
from verticals.medical.evidence.resampling import resampled
from verticals.medical.evidence.strata import by_strata
from verticals.medical.taxonomy import Malignancy
from verticals.medical.triage import DISCLAIMER

FIXED = (0.8, 0.9, 0.95)
"""Specificities, and sensitivities, at which the other one is reported."""
PREVALENCES = (0.01, 0.05)
"""Of lesions that must not be missed, where a site names none: primary care, and a lesion clinic."""
SOON = 2
"""Urgency, 0 to 4, up to which a lesion is to be seen within 8 weeks."""
URGENT = "neither, but to be seen within 8 weeks"
SPOKEN = {
    Malignancy.MALIGNANT: "malignant lesions",
    Malignancy.PREMALIGNANT: "pre-malignant lesions",
}


def measure(
    readings: Sequence[Reading], *, prevalences: Sequence[float] = PREVALENCES, seed: int = 0
) -> dict[str, Any]:
    """All metrics of section "malignant or pre-malignant against the rest", and of the single diseases.

    Everything is measured on the readings of the test part; those of the calibration part only give thresholds.

    Args:
        readings: With truth and answer.
        prevalences: Shares of lesions that must not be missed, where it will be used; for referrals per finding, and
            for the work saved, which is simulated there.
        seed: Of everything resampled.
    """
    test = [r for r in readings if r.part == TEST]
    calibration = [r for r in readings if r.part == CALIBRATION]
    every = lesions(test)
    grave = [lesion for lesion in every if lesion.truth.sought]
    return {
        "disclaimer": DISCLAIMER,
        "counts": counts(test, every),
        "lesion_detection_rate": detection.detection_rate(grave, seed=seed),
        "patient_detection_rate": asdict(detection.patient_rate(grave)),
        "detection_by_kind": _by_kind(every),
        "early_lesion_sensitivity": detection.early_sensitivity(grave),
        "specificity": asdict(_specificity(every)),
        "number_needed_to_refer": [
            detection.number_needed_to_refer(every, prevalence=p, seed=seed) for p in (None, *prevalences)
        ],
        **scores(every, calibration, seed=seed),
        **diseases(test, seed=seed),
        "at_certified_threshold": usefulness.at_certified_threshold(test, prevalences, seed=seed),
        "work_saved": usefulness.work_saved(test, seed=seed),
        "work_saved_at_other_prevalences": [usefulness.work_saved(test, prevalence=p, seed=seed) for p in prevalences],
        "strata": by_strata(every, seed=seed),
    }


def counts(readings: Sequence[Reading], every: Sequence[Lesion]) -> dict[str, int]:
    """Pictures per verdict, lesions and patients."""
    by_verdict = {verdict.value: sum(r.verdict is verdict for r in readings) for verdict in Verdict}
    return {
        "pictures": len(readings),
        **by_verdict,
        "lesions": len(every),
        "patients": len({lesion.patient for lesion in every}),
        "lesions_that_must_not_be_missed": sum(lesion.truth.sought for lesion in every),
    }


def _by_kind(every: Sequence[Lesion]) -> dict[str, dict[str, Any]]:
    """Share flagged of each kind that must be seen soon, so that none hides behind the others."""
    parts = {name: [x for x in every if x.truth.malignancy is kind] for kind, name in SPOKEN.items()}
    parts["melanoma"] = [x for x in every if x.truth.code in detection.MELANOMAS]
    parts[URGENT] = [x for x in every if not x.truth.sought and x.truth.urgency <= SOON]
    return {
        name: asdict(detection.per_patient([x.flagged for x in own], [x.patient for x in own]))
        for name, own in parts.items()
    }


def _specificity(every: Sequence[Lesion]) -> rates.Rate:
    """Share of the other lesions that were not flagged; one that was not examined was not spared."""
    others = [lesion for lesion in every if not lesion.truth.sought]
    spared = np.array([lesion.spared for lesion in others], bool)
    return rates.grouped(spared, [lesion.patient for lesion in others])


def scores(every: Sequence[Lesion], calibration: Sequence[Reading], *, seed: int = 0) -> dict[str, Any]:
    """What the risk of scored lesions is worth, whatever the threshold; refused with the reason where it is unknown."""
    truth, risk, patients = _scored(every)
    if not truth.any() or truth.all():
        return {"auc": {"refused": f"{_of_both(truth)} were scored; both are needed"}}

    def with_interval(
        statistic: Callable[[NDArray[np.bool_], NDArray[np.float64]], float], *, centred: bool = False
    ) -> dict[str, Any]:
        return asdict(resampled(lambda rows: statistic(truth[rows], risk[rows]), patients, centred=centred, seed=seed))

    return {
        "auc": asdict(discrimination.auc(truth, risk, patients)),
        "partial_auc_above_80_sensitivity": with_interval(discrimination.partial_auc),
        "risk_brier": with_interval(discrimination.risk_brier),
        "risk_calibration_error": with_interval(discrimination.risk_calibration_error, centred=True),
        "net_benefit": usefulness.net_benefit(truth, risk, patients, seed=seed),
        "fixed": _fixed(truth, risk, patients, lesions(calibration)),
    }


def _of_both(truth: NDArray[np.bool_]) -> str:
    return f"{int(truth.sum())} lesions that must not be missed and {int((~truth).sum())} others"


def _scored(every: Sequence[Lesion]) -> tuple[NDArray[np.bool_], NDArray[np.float64], list[str]]:
    own = [(lesion, lesion.risk) for lesion in every if lesion.risk is not None]
    truth = np.array([lesion.truth.sought for lesion, _ in own], bool)
    return truth, np.array([risk for _, risk in own], np.float64), [lesion.patient for lesion, _ in own]


def _fixed(
    truth: NDArray[np.bool_], risk: NDArray[np.float64], patients: Sequence[str], chosen_on: Sequence[Lesion]
) -> dict[str, Any]:
    """Sensitivity at fixed specificity and the inverse; thresholds come from the calibration part alone."""
    known, scale, _ = _scored(chosen_on)
    if not known.any() or known.all():
        why = f"{_of_both(known)} in the calibration part; both are needed to choose a threshold"
        return {"refused": f"{why}, and the test part must not choose it"}
    found: dict[str, Any] = {"calibration_lesions": len(known)}
    for share in FIXED:
        for name, choose in (
            ("specificity", discrimination.threshold_at_specificity),
            ("sensitivity", discrimination.threshold_at_sensitivity),
        ):
            at = choose(known, scale, share)
            found[f"{name} {share:.0%}"] = discrimination.at_threshold(truth, risk, patients, at)
    return found


def diseases(readings: Sequence[Reading], *, seed: int = 0) -> dict[str, Any]:
    """Balanced multiclass accuracy, top 3, calibration over all labels, for pictures whose probabilities are known."""
    own = [r for r in readings if r.probabilities]
    names = sorted({code for r in own for code in r.probabilities})
    usable = [r for r in own if r.truth.code in names]
    if len(names) < 2 or not usable:
        return {"diseases": {"refused": "no picture has both probabilities and a truth among the labels of the bundle"}}
    probabilities = np.array([[r.probabilities.get(code, 0.0) for code in names] for r in usable])
    truth = np.array([names.index(r.truth.code) for r in usable], np.int64)
    patients = [r.patient or r.lesion or r.image for r in usable]
    found = rates.classification(truth, probabilities.argmax(1), names, groups=patients, seed=seed)
    return {
        "diseases": {
            "n": len(usable),
            "truth_outside_the_labels": len(own) - len(usable),
            "balanced_multiclass_accuracy": {**found["balanced_accuracy"], "n": len(usable)},
            "top_3": asdict(discrimination.top_k(probabilities, truth, 3, patients)),
            "calibration_error": asdict(
                resampled(
                    lambda rows: expected_calibration_error(probabilities[rows], truth[rows]),
                    patients,
                    centred=True,
                    seed=seed,
                )
            ),
            "brier": asdict(resampled(lambda rows: rates.brier(probabilities[rows], truth[rows]), patients, seed=seed)),
            "per_label": {name: row for name, row in found["per_label"].items() if row["n"]},
        }
    }
