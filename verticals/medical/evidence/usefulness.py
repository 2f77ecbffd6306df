"""What a clinic gains: net benefit against referring all or none, and pictures that a reader need not open first."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.medical.evidence.readings import Reading
from verticals.medical.evidence.resampling import patient_weights, percentiles

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Risks at which a clinician may want to refer: 1 in 50 to 1 in 3."""
WANTED = 0.95
"""Share of the lesions that must not be missed, after which the work is counted."""
SIMULATED = "simulated work, not measured reading time: pictures opened, order of arrival against the model's order"
ORDERS, DRAWS = 50, 200
"""Random orders that are averaged where nobody knows the order of arrival, and draws of patients for the interval."""

Real = NDArray[np.float64]


def net_benefit(
    truth: NDArray[np.bool_],
    risk: Real,
    patients: Sequence[str],
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    seed: int = 0,
) -> list[dict[str, float]]:
    """True referrals less false ones weighed by the odds of the threshold (Vickers and Elkin 2006).

    Args:
        truth: ``(n,)`` True for what must not be missed.
        risk: ``(n,)`` calibrated, 0 to 1; referred is risk >= threshold.
        patients: Patient of each ``(n,)``.
        thresholds: Above 0 and below 1.
        seed: For the resampling of patients.

    Returns:
        Per threshold ``model`` with ``low`` and ``high``, ``all`` (refer everybody) and ``none`` (0), per case.
    """
    draws = [np.ones(len(truth)), *patient_weights(patients, seed=seed)]
    rows = []
    for threshold in thresholds:
        odds, referred = threshold / (1 - threshold), risk >= threshold
        worth = (referred & truth) - odds * (referred & ~truth)
        value, *drawn = [float(w @ worth / w.sum()) if w.sum() else math.nan for w in draws]
        low, high = percentiles(drawn) or (math.nan, math.nan)
        everybody = float((truth - odds * ~truth).mean()) if len(truth) else math.nan
        rows.append({"threshold": threshold, "model": value, "low": low, "high": high, "all": everybody, "none": 0.0})
    return rows


def work_saved(readings: Sequence[Reading], *, wanted: float = WANTED, seed: int = 0) -> dict[str, Any]:
    """Pictures opened until ``wanted`` of the lesions that must not be missed were met: order of arrival by model's.

    A lesion is met with the first of its pictures. The model's order is by falling risk; what has no score comes first,
    since nobody has looked at it; of equal risks the earlier arrival comes first. Where arrivals are unknown, random
    orders are averaged.

    Returns:
        ``ratio`` (1 saves nothing, 3 opens a third; None without such a lesion), ``low``, ``high`` over resampled
        patients, ``arrival`` and ``model`` (pictures opened), ``lesions``, ``n``, ``order`` and ``label``.
    """
    truth = np.array([r.truth.sought for r in readings], bool)
    names = [r.lesion or f"picture {i}" for i, r in enumerate(readings)]
    member = np.unique(names, return_inverse=True)[1] if names else np.zeros(0, np.int64)
    known = bool(readings) and all(r.arrived is not None for r in readings)
    arrivals = np.array([r.arrived for r in readings], np.float64) if known else None
    risk = np.array([math.inf if r.risk is None else r.risk for r in readings], np.float64)
    rng = np.random.default_rng(seed)

    def opened(weights: Real, orders: int) -> tuple[float, float]:
        came = (
            [np.argsort(arrivals, kind="stable")]
            if arrivals is not None
            else [rng.permutation(len(risk)) for _ in range(orders)]
        )
        by_model = [order[np.argsort(-risk[order], kind="stable")] for order in came]
        counts = [[_opened(order, weights, truth, member, wanted) for order in kind] for kind in (came, by_model)]
        return float(np.mean(counts[0])), float(np.mean(counts[1]))

    if not truth.any():
        return {"ratio": None, "lesions": 0, "n": len(readings), "label": SIMULATED}
    arrival, model = opened(np.ones(len(risk)), ORDERS)
    drawn = [opened(w, 5) for w in patient_weights([r.patient for r in readings], resamples=DRAWS, seed=seed)]
    ends = percentiles([a / m for a, m in drawn])
    return {
        "ratio": arrival / model,
        "low": ends[0] if ends else None,
        "high": ends[1] if ends else None,
        "arrival": arrival,
        "model": model,
        "lesions": len(set(member[truth].tolist())),
        "n": len(readings),
        "order": "order of arrival" if known else f"mean of {ORDERS} random orders, since arrivals are unknown",
        "label": SIMULATED,
    }


def _opened(
    order: NDArray[np.int64], weights: Real, truth: NDArray[np.bool_], member: NDArray[np.int64], wanted: float
) -> float:
    """Pictures opened in this order until the wanted share of lesions was met; weights count copies of a patient."""
    total = np.cumsum(weights[order])
    grave = np.flatnonzero(truth[order] & (weights[order] > 0))
    if not len(grave):
        return math.nan
    _, first = np.unique(member[order][grave], return_index=True)
    places = np.sort(grave[first])
    met = np.cumsum(weights[order][places])
    return float(total[places[np.searchsorted(met, wanted * met[-1] - 1e-9)]])
