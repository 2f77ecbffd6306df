"""What can be said about a candidate: rates, calibration, certificate, prediction sets, novelty."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import packing
from shared.building.candidates import Candidate
from shared.building.work import Part, Work
from shared.inference import calibration, conformal, novelty, risk
from shared.reporting import rates
from shared.reporting.paired import paired

ALPHA = 0.1
"""Share of new groups whose prediction set may miss the true label."""

Parts = Mapping[str, Part]


def measured(work: Work, candidate: Candidate, part: Part) -> dict[str, Any]:
    """Rates of one part with intervals that count groups, and calibration before and after the temperature."""
    if not len(part.rows):
        return {"n": 0}
    after = candidate.probabilities(part)
    before = calibration.softmax(candidate.head.scores(part.x) * candidate.head.temperature)
    found = rates.classification(part.y, after.argmax(1), work.labels, groups=part.groups)
    return {
        **found,
        "confusion": rates.confusion(part.y, after.argmax(1), work.labels),
        "ece": calibration.expected_calibration_error(after, part.y),
        "ece_before": calibration.expected_calibration_error(before, part.y),
        "brier": rates.brier(after, part.y),
        "brier_before": rates.brier(before, part.y),
        "reliability": rates.reliability(after, part.y, groups=part.groups),
        "reliability_before": rates.reliability(before, part.y, groups=part.groups),
    }


def unseen_validation(work: Work, parts: Parts) -> tuple[Part, NDArray[np.bool_]]:
    """The validation part, and which of its images have no sibling in training.

    A split that came with the data may leak; what has a sibling in training proves nothing about new images.
    """
    part = parts["validation"]
    trained = {work.components[row.sample.id] for row in work.manifest.part("train")}
    return part, np.array([c not in trained for c in part.components.tolist()], bool)


def certificate(work: Work, candidate: Candidate, parts: Parts, candidates: int) -> risk.Certificate | None:
    """The certified threshold; None where every label or no label is to be found.

    Args:
        work: The build.
        candidate: The chosen one.
        parts: Its parts.
        candidates: How many the validation images were used to choose between.
    """
    unsought = np.isin(work.labels, work.unsought or [work.ok_label or ""])
    if unsought.all() or not unsought.any():
        return None
    part, clean = unseen_validation(work, parts)
    risks = 1.0 - candidate.probabilities(part)[:, unsought].sum(1)
    positive, good = ~unsought[part.y] & clean, unsought[part.y] & clean
    found = risk.certify(
        risks[positive],
        risks[good],
        recall=work.recipe.recall,
        confidence=work.recipe.confidence,
        groups=[g for g, p in zip(part.groups, positive, strict=True) if p],
        candidates=candidates,
    )
    # The graph computes in float32: it may fall this far short of the float64 risk that the threshold comes from.
    return replace(found, threshold=max(found.threshold - packing.TOLERANCE, 0.0))


def prediction_sets(work: Work, candidate: Candidate, parts: Parts, candidates: int) -> dict[str, Any]:
    """Conformal sets for each label by itself, as plain values.

    Sets are promised on average over calibrations, so choosing between candidates on the same images costs a little:
    ``alpha`` is divided among them.
    """
    part, clean = unseen_validation(work, parts)
    made = conformal.fit(
        candidate.probabilities(part)[clean] if len(part.rows) else np.zeros((0, len(work.labels))),
        part.y[clean],
        work.labels,
        alpha=ALPHA / candidates,
        kind=conformal.APS,
        groups=[g for g, c in zip(part.groups, clean, strict=True) if c],
        tolerance=packing.TOLERANCE,
    )
    rows = zip(made.labels, made.groups, made.certifiable, made.thresholds, strict=True)
    named = [{"label": a, "n": n, "certifiable": c, "threshold": t} for a, n, c, t in rows]
    return {"sets": made.as_json(), "alpha": ALPHA / candidates, "sentence": str(made), "per_label": named}


def novelty_limit(work: Work, candidate: Candidate, novel: novelty.Novelty, parts: Parts) -> dict[str, Any]:
    """From which novelty on an image is unlike the training images, and what that costs among known ones."""
    part, clean = unseen_validation(work, parts)
    scores = novel.score(candidate.head.standardise(part.x)) if len(part.rows) else np.zeros(0)
    found = novelty.reject_limit(scores[clean], groups=[g for g, c in zip(part.groups, clean, strict=True) if c])
    return {"limit": found.limit if np.isfinite(found.limit) else None, "sentence": str(found), **_plain(found)}


def _plain(found: novelty.RejectLimit) -> dict[str, Any]:
    return {key: value for key, value in asdict(found).items() if key != "limit"}


def over_closed_form(
    work: Work, closed: Candidate, chosen: Candidate, closed_test: Part, test: Part
) -> dict[str, Any] | None:
    """The chosen model against the closed-form head on the same test images, pairwise; all 0 where they are one."""
    if not len(test.rows):
        return None
    a, b = closed.probabilities(closed_test).argmax(1), chosen.probabilities(test).argmax(1)
    return asdict(paired(test.y, a, b, test.groups, seed=work.recipe.seed))
