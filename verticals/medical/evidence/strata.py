"""Sensitivity, specificity and AUC by age band, sex, site, skin tone and device; small strata hidden with a reason."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from shared.reporting.rates import Rate, grouped
from verticals.medical.evidence.discrimination import auc
from verticals.medical.evidence.readings import Lesion
from verticals.medical.evidence.resampling import patient_weights, percentiles

LEAST = 30
"""Lesions below which a stratum is hidden: a rate of fewer says more about chance than about fairness."""
NAMES = ("age band", "sex", "site", "skin tone", "device")
_DRAWS = 500


def by_strata(lesions: Sequence[Lesion], *, least: int = LEAST, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Rates within each stratum and the gap between the best and the worst, per attribute.

    Values come from fairlearn's ``MetricFrame``, intervals count patients.

    Args:
        lesions: With a known truth.
        least: Lesions that a stratum needs; its sensitivity needs as many that must not be missed, its specificity as
            many others.
        seed: For the interval of the gap.

    Returns:
        Per attribute that is known of any lesion: ``unknown`` (lesions without it), ``groups`` (per stratum
        ``n``, and ``sensitivity``, ``specificity``, ``auc``, each a rate or ``{"hidden": why}``), and ``gap`` of
        sensitivity and of specificity over the strata shown.
    """
    result = {}
    for name in NAMES:
        mine = [lesion for lesion in lesions if lesion.strata.get(name)]
        if mine:
            result[name] = _attribute(mine, [lesion.strata[name] for lesion in mine], least, seed)
            result[name]["unknown"] = len(lesions) - len(mine)
    return result


def _attribute(lesions: Sequence[Lesion], values: list[str], least: int, seed: int) -> dict[str, Any]:
    truth = np.array([lesion.truth.sought for lesion in lesions], bool)
    # As over all lesions: what was not examined was neither found nor spared.
    right = np.array([lesion.flagged if lesion.truth.sought else lesion.spared for lesion in lesions], bool)
    stratum = np.array(values, dtype=object)
    groups = {value: _group(lesions, truth, right, stratum == value, least) for value in sorted(set(values))}
    gaps = {}
    for rate, kind in (("sensitivity", truth), ("specificity", ~truth)):
        shown = [value for value, group in groups.items() if "hidden" not in group[rate]]
        rows = kind & np.isin(stratum, shown)
        widest = [groups[value][rate] for value in shown]
        gaps[rate] = _gap(lesions, stratum, right, rows, shown, seed)
        if "value" in gaps[rate] and gaps[rate]["high"] <= gaps[rate]["value"]:
            # Where nobody was missed no draw varies: the gap may be as large as the strata's own intervals allow.
            gaps[rate]["high"] = max(g["high"] for g in widest) - min(g["low"] for g in widest)
        for value, measured in _framed(stratum, right, rows).items():
            groups[value][rate]["value"] = measured
    return {"groups": groups, "gap": gaps}


def _group(
    lesions: Sequence[Lesion],
    truth: NDArray[np.bool_],
    right: NDArray[np.bool_],
    mine: NDArray[np.bool_],
    least: int,
) -> dict[str, Any]:
    patients = np.array([lesion.patient for lesion in lesions], dtype=object)
    positive, negative = mine & truth, mine & ~truth
    scored = mine & np.array([lesion.risk is not None for lesion in lesions], bool)
    risk = np.array([math.nan if lesion.risk is None else lesion.risk for lesion in lesions])
    few = int(mine.sum()) < least
    return {
        "n": int(mine.sum()),
        "sensitivity": _shown(grouped(right[positive], patients[positive].tolist()), few, least, "malignant lesions"),
        "specificity": _shown(grouped(right[negative], patients[negative].tolist()), few, least, "other lesions"),
        "auc": _shown(auc(truth[scored], risk[scored], patients[scored].tolist()), few, least, "scored lesions"),
    }


def _shown(rate: Rate, few: bool, least: int, what: str) -> dict[str, Any]:
    if few or rate.n < least or rate.value is None:
        return {"hidden": f"n = {rate.n} {what}, at least {least} are needed", "n": rate.n}
    return asdict(rate)


def _framed(stratum: NDArray[np.object_], right: NDArray[np.bool_], rows: NDArray[np.bool_]) -> dict[str, float]:
    """Share of right answers per stratum, by fairlearn."""
    if not rows.any():
        return {}
    metrics = require("fairlearn.metrics", extra="medical")
    frame = metrics.MetricFrame(
        metrics=metrics.selection_rate, y_true=np.ones(rows.sum()), y_pred=right[rows], sensitive_features=stratum[rows]
    )
    return {str(value): float(share) for value, share in frame.by_group.items()}


def _gap(
    lesions: Sequence[Lesion],
    stratum: NDArray[np.object_],
    right: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    shown: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Best less worst share among the strata shown, with the interval over resampled patients.

    The range of noisy shares is never 0: its interval tells how large the gap may be, not whether there is one.
    """
    if len(shown) < 2:
        return {"hidden": f"{len(shown)} strata are large enough, two are needed to compare", "n": len(shown)}
    masks = np.array([rows & (stratum == value) for value in shown], np.float64)

    def spread(weights: NDArray[np.float64]) -> float:
        counts = masks @ weights
        return float(np.ptp(masks @ (weights * right) / counts)) if counts.all() else math.nan

    drawn = [spread(w) for w in patient_weights([x.patient for x in lesions], resamples=_DRAWS, seed=seed)]
    ends = percentiles(drawn)
    value = spread(np.ones(len(lesions)))
    return {"value": value, "low": ends[0] if ends else 0.0, "high": ends[1] if ends else 1.0, "n": int(rows.sum())}
