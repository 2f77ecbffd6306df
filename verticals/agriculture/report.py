"""The agronomists' numbers from decisions and truth: recall per disease, map, hectares, spraying; with intervals."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from shared.records import Action, Decision, Finding, Review, Verdict
from shared.reporting import rates
from verticals.agriculture import areas
from verticals.agriculture.decide import Treatment
from verticals.agriculture.places import HOLDS, Place, places
from verticals.agriculture.taxonomy import terms

NOT_CLAIMED = (
    "yield: nothing here measures it; it takes trials over seasons",
    "product use and resistance: litres depend on machine, buffer and label, and were not sprayed here",
    "economic thresholds: none is built in, they differ by country and year; the policy's are the site's own",
)

INTERVALS = (
    "95 % intervals; neighbouring places (one group: a block of a field, a flight) are alike and count as one case. "
    "Those of map, area error and treated area are of resampled groups."
)


def report(decisions: Sequence[Decision], truth: Sequence[Finding], reviews: Sequence[Review]) -> dict[str, Any]:
    """Compare decisions with what is known to be there.

    Args:
        decisions: One per tile, frame or photograph.
        truth: What is known of each, as labels of the taxonomy, with areas where they were mapped.
        reviews: Verdicts of agronomists; empty where nobody has looked yet.

    Returns:
        ``intervals`` (how they are made); ``not_claimed``; ``places`` per verdict and ``treatments``; ``hectares``,
        also those NOT EXAMINED; ``recall`` of places that hold something sought, and per condition with how many were
        named right; ``base_rate``, ``escapes``, ``overkill``; ``accuracy`` beside ``commonest_label`` (what always
        saying it would get), ``balanced_accuracy``
        and ``macro_f1`` over examined places; where the truth has areas ``map_iou``, ``area_error`` and
        ``treated_area``, see :mod:`verticals.agriculture.areas`; ``not_examined``, ``without_answer``,
        ``without_truth``, ``unknown_labels`` and ``review``. Intervals count neighbouring tiles as one case.
    """
    every, foreign = places(decisions, truth)
    known = [p for p in every if p.true]
    answered = {d.frame for d in decisions}
    decided = [p for p in every if p.frame in answered]
    sick, well = [p for p in known if p.sick], [p for p in known if not p.sick]
    sized = [p for p in known if p.areas_m2]
    return {
        "intervals": INTERVALS,
        "not_claimed": list(NOT_CLAIMED),
        "places": {v.value: sum(p.verdict is v for p in decided) for v in Verdict},
        "treatments": {t.value: sum(p.treatment is t for p in decided) for t in Treatment},
        "hectares": _hectares(every),
        "recall": asdict(_share([p.verdict is Verdict.FLAG for p in sick], sick)),
        "recall_per_condition": _per_condition(sick),
        "base_rate": asdict(_share([p.sick for p in known], known)),
        "escapes": asdict(_share([p.verdict is Verdict.PASS for p in sick], sick)),
        "overkill": asdict(_share([p.verdict is Verdict.FLAG for p in well], well)),
        **_named(known),
        **_mapped(sized),
        "not_examined": asdict(_share([p.verdict is Verdict.NOT_EXAMINED for p in decided], decided)),
        "without_answer": [p.frame for p in sick if p.frame not in answered],
        "without_truth": sum(not p.true for p in decided),
        "unknown_labels": foreign,
        "review": _review(reviews),
    }


def _share(hits: Sequence[bool], about: Sequence[Place]) -> rates.Rate:
    return rates.grouped(np.array(hits, bool), [p.group for p in about])


def _hectares(every: Sequence[Place]) -> dict[str, float]:
    """Of all places whose size is known, by what became of them; empty where no size is known."""
    ha = {p.frame: (p.area_m2 or 0.0) / areas.M2_PER_HECTARE for p in every}
    if not any(ha.values()):
        return {}
    found = {
        "examined": sum(ha[p.frame] * p.examined for p in every),
        "not_examined": sum(ha[p.frame] * (1 - p.examined) for p in every),
    }
    for done in Treatment:
        found[f"to_{done}"] = sum(ha[p.frame] for p in every if p.treatment is done)
    return {name: round(value, 4) for name, value in found.items()}


def _per_condition(sick: Sequence[Place]) -> dict[str, dict[str, Any]]:
    found = {}
    for code in sorted({p.true for p in sick}):
        mine = [p for p in sick if p.true == code]
        right = sum(_is(p.said, code) for p in mine if p.verdict is Verdict.FLAG)
        found[code] = {**asdict(_share([p.verdict is Verdict.FLAG for p in mine], mine)), "named_right": right}
    return found


def _is(said: str, true: str) -> bool:
    """Whether a word is right about a condition: its own, or a group's that holds it."""
    term = terms.find(said)
    return term is not None and (term.code == true or true in term.members)


def _named(known: Sequence[Place]) -> dict[str, Any]:
    """Accuracy and its kin over the places that were called something."""
    called = [p for p in known if p.said and p.verdict is not Verdict.NOT_EXAMINED]
    if not called:
        return {}
    said = [p.true if _is(p.said, p.true) else p.said for p in called]
    names = sorted({p.true for p in called} | set(said))
    true = np.array([names.index(p.true) for p in called], np.int64)
    found = rates.classification(
        true, np.array([names.index(word) for word in said], np.int64), names, groups=[p.group for p in called]
    )
    commonest = int(np.bincount(true).argmax())
    return {
        "accuracy": {**found["accuracy"], "n": len(called)},
        "commonest_label": asdict(_share((true == commonest).tolist(), called)),
        "balanced_accuracy": {**found["balanced_accuracy"], "n": len(called)},
        "macro_f1": {**found["macro_f1"], "n": len(called)},
    }


def _mapped(sized: Sequence[Place]) -> dict[str, Any]:
    if not sized:
        return {}
    return {
        "map_resolution": f"one label per tile; a condition that holds less than {HOLDS:.0%} of a tile does not count",
        "map_iou": areas.map_iou(sized),
        "area_error": areas.area_error(sized),
        "treated_area": areas.treated(sized),
    }


def _review(reviews: Sequence[Review]) -> dict[str, Any]:
    judged = [r for r in reviews if r.action in (Action.CONFIRM, Action.REJECT, Action.RELABEL)]
    return {
        **{action.value: sum(r.action is action for r in reviews) for action in Action},
        "reviewers": sorted({r.reviewer for r in judged}),
        "seconds_median": median(r.seconds for r in judged) if judged else None,
    }
