"""What a clinic gains: net benefit against referring all or none, and pictures that a reader need not open first."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.reporting.rates import grouped
from verticals.medical.evidence.readings import Reading, lesions
from verticals.medical.evidence.resampling import patient_weights, percentiles

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Risks at which a clinician may want to refer: 1 in 50 to 1 in 3."""
WANTED = 0.95
"""Share of the lesions that must not be missed, after which the work is counted."""
SIMULATED = "simulated work, not measured reading time: pictures opened, order of arrival against the model's order"
REWEIGHTED = "simulated prevalence: the same pictures with other weights, not a screening population"
FLAGGED = "simulated work, not measured reading time: all pictures against those at or above the threshold or unscored"
GOAL = 3.0
"""The gain in review efficiency that is asked for: a third of the pictures opened."""
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


def work_saved(
    readings: Sequence[Reading], *, wanted: float = WANTED, prevalence: float | None = None, seed: int = 0
) -> dict[str, Any]:
    """Pictures opened until ``wanted`` of the lesions that must not be missed were met: order of arrival by model's.

    A lesion is met with the first of its pictures. The model's order is by falling risk; what has no score comes first,
    since nobody has looked at it; of equal risks the earlier arrival comes first. Where arrivals are unknown, random
    orders are averaged. The model's order needs no threshold: it is what a perfect choice of one would save.

    Args:
        readings: With truth.
        wanted: Share of the lesions, above 0 to 1.
        prevalence: Share of pictures that must not be missed, above 0 and below 1, to which pictures are reweighted;
            None for that of these pictures.
        seed: For orders and draws.

    Returns:
        ``ratio`` (1 saves nothing, 3 opens a third; None without such a lesion, or with a prevalence and nothing else),
        ``low``, ``high`` over resampled patients, ``arrival`` and ``model`` (pictures opened), ``lesions``, ``n``,
        ``prevalence``, ``order`` and ``label``.
    """
    truth = np.array([r.truth.sought for r in readings], bool)
    names = [str(r.of_lesion) for r in readings]
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
        weights = weights if prevalence is None else weights * _reweighted(truth, weights, prevalence)
        if np.isnan(weights).any():
            return math.nan, math.nan
        by_model = [order[np.argsort(-risk[order], kind="stable")] for order in came]
        counts = [[_opened(order, weights, truth, member, wanted) for order in kind] for kind in (came, by_model)]
        return float(np.mean(counts[0])), float(np.mean(counts[1]))

    label = SIMULATED if prevalence is None else f"{SIMULATED}; {REWEIGHTED}"
    if not truth.any() or (prevalence is not None and truth.all()):
        return {"ratio": None, "lesions": 0, "n": len(readings), "prevalence": prevalence, "label": label}
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
        "prevalence": prevalence if prevalence is not None else float(truth.mean()),
        "order": "order of arrival" if known else f"mean of {ORDERS} random orders, since arrivals are unknown",
        "label": label,
    }


def _reweighted(truth: NDArray[np.bool_], weights: Real, prevalence: float) -> Real:
    """Factors that give the positives this share of the weight and leave the whole as it is; nan where one is none."""
    whole, positive = float(weights.sum()), float(weights @ truth)
    if not 0 < positive < whole:
        return np.full(len(truth), math.nan)
    share = positive / whole
    return np.where(truth, prevalence / share, (1 - prevalence) / (1 - share))


def at_certified_threshold(
    readings: Sequence[Reading], prevalences: Sequence[float] = (), *, seed: int = 0
) -> dict[str, Any]:
    """What the certified threshold alone does on these pictures, without prediction sets, novelty and gates.

    A lesion is found where one of its pictures has a risk at or above the threshold; what has no score is opened too.

    Args:
        readings: With truth, and the threshold that their decisions used.
        prevalences: Shares of pictures that must not be missed, for which the work is simulated by reweighting.
        seed: For the draws of patients.

    Returns:
        ``threshold``; ``sensitivity`` and ``specificity`` per lesion; ``work_saved``: for these pictures and for each
        prevalence ``ratio`` (all pictures by pictures opened), ``low``, ``high`` and ``n``, for these also ``opened``;
        ``prevalence_for_goal``: that at which :data:`GOAL` would be reached with the same sensitivity and specificity,
        None where none is low enough. Or ``refused`` with the reason.
    """
    used = {r.threshold for r in readings if r.risk is not None}
    limit = next(iter(used), None)
    if len(used) != 1 or limit is None:
        why = "no threshold is certified" if used <= {None} else f"the decisions used {len(used)} thresholds"
        return {"refused": f"{why}, so that nothing can be said about it"}
    every = lesions(readings)
    high = np.array([lesion.risk is not None and lesion.risk >= limit for lesion in every], bool)
    unscored = np.array([lesion.risk is None for lesion in every], bool)
    grave = np.array([lesion.truth.sought for lesion in every], bool)
    patients = np.array([lesion.patient for lesion in every], dtype=object)
    opened = np.array([r.risk is None or r.risk >= limit for r in readings], bool)
    truth = np.array([r.truth.sought for r in readings], bool)
    return {
        "threshold": limit,
        "sensitivity": asdict(grouped(high[grave], patients[grave].tolist())),
        "specificity": asdict(grouped(~(high | unscored)[~grave], patients[~grave].tolist())),
        "work_saved": [_work(truth, opened, [r.patient for r in readings], p, seed) for p in (None, *prevalences)],
        "prevalence_for_goal": prevalence_for(truth, opened),
        "label": FLAGGED,
    }


def _work(
    truth: NDArray[np.bool_], opened: NDArray[np.bool_], patients: Sequence[str], prevalence: float | None, seed: int
) -> dict[str, Any]:
    def ratio(weights: Real) -> float:
        own = weights if prevalence is None else weights * _reweighted(truth, weights, prevalence)
        looked = float(own @ opened)
        return float(own.sum()) / looked if looked > 0 else math.nan

    value = ratio(np.ones(len(truth)))
    ends = percentiles([ratio(w) for w in patient_weights(patients, seed=seed)])
    known = math.isfinite(value)
    return {
        "ratio": value if known else None,
        "low": ends[0] if known and ends else None,
        "high": ends[1] if known and ends else None,
        **({"opened": int(opened.sum())} if prevalence is None else {}),
        "n": len(truth),
        "prevalence": prevalence if prevalence is not None else float(truth.mean()) if len(truth) else None,
        "label": FLAGGED if prevalence is None else f"{FLAGGED}; {REWEIGHTED}",
    }


def prevalence_for(truth: NDArray[np.bool_], opened: NDArray[np.bool_], goal: float = GOAL) -> float | None:
    """The greatest prevalence p at which one of ``goal`` pictures is opened.

    p * sensitivity + (1 - p) * (1 - specificity) = 1 / goal.

    Args:
        truth: ``(n,)`` True for what must not be missed.
        opened: ``(n,)``.
        goal: Above 1.

    Returns:
        0 to 1; None where so many of the others are opened that no prevalence is low enough, or one kind is missing.
    """
    if not truth.any() or truth.all():
        return None
    sensitivity, false = float(opened[truth].mean()), float(opened[~truth].mean())
    if false > 1 / goal:
        return None
    return 1.0 if sensitivity <= 1 / goal else min(1.0, (1 / goal - false) / (sensitivity - false))


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
