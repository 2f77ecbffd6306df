"""The clinicians' numbers from decisions and truth: detection, specificity, referrals per finding, reviews; with n."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from shared.records import Action, Decision, Finding, Review, Verdict
from shared.wording import spoken
from verticals.medical import taxonomy
from verticals.medical.evidence.detection import per_patient
from verticals.medical.evidence.metrics import measure
from verticals.medical.evidence.readings import Reading, of_decision
from verticals.medical.evidence.tables import PATIENTS, tables
from verticals.medical.reading import agreement
from verticals.medical.taxonomy import Node
from verticals.medical.triage import gravest

_RATES = ("lesion_detection_rate", "patient_detection_rate", "specificity", "detection_by_kind")
_PARTS = (("rates", ""), ("counts", ": readings"))
_INTERVALS = (
    "95 % intervals. Shares are of lesions, patients or pictures, as their number of cases says; pictures of one "
    "patient are alike, so that every interval counts patients."
)
_VERDICTS = (Action.CONFIRM, Action.REJECT, Action.RELABEL)


def report(decisions: Sequence[Decision], truth: Sequence[Finding], reviews: Sequence[Review]) -> dict[str, Any]:
    """Compare decisions with what is known to be there.

    Args:
        decisions: One per picture or acquisition.
        truth: What is known of each frame, as labels of the taxonomy; of several in one frame the gravest counts.
        reviews: Verdicts of clinicians, and their readings before they saw an answer; empty where nobody has looked.

    Returns:
        ``disclaimer``; ``intervals`` (what they count); ``pictures`` per verdict;
        ``lesion_detection_rate`` of malignant and pre-malignant lesions,
        ``patient_detection_rate``, ``detection_by_kind`` and ``specificity``; ``escapes`` (malignant or pre-malignant
        pictures that passed), ``not_examined``, ``without_answer`` (known to be malignant or pre-malignant, and no
        decision is about them: they count as missed), ``without_truth``, ``unknown_labels``, ``named_right`` and
        ``review``; where readers read blind first, what seeing the answer did to each of them
        (:func:`verticals.medical.reading.agreement.statistics`); each table of
        :func:`verticals.medical.evidence.tables.tables` under its heading, for a person; and ``measured``: all numbers
        of :func:`verticals.medical.evidence.metrics.measure`, for a program. Lesions, patients and strata are those of
        the decisions' facts.
    """
    known, foreign = _known(truth)
    readings = [of_decision(d, known[d.frame]) for d in decisions if d.frame in known]
    unanswered = sorted(set(known) - {d.frame for d in decisions})
    readings += [Reading(frame, known[frame], Verdict.NOT_EXAMINED, None) for frame in unanswered]
    grave = [r for r in readings if r.truth.sought]
    measured = measure(readings)
    flagged = {d.frame: d.findings[0].label for d in decisions if d.verdict is Verdict.FLAG and d.findings}
    named = [frame for frame in flagged if frame in known]
    right = [taxonomy.find(flagged[frame]) is known[frame] for frame in named]
    owner = {d.frame: _owner(d) for d in decisions}
    unseen = [d.verdict is Verdict.NOT_EXAMINED for d in decisions]
    return {
        "disclaimer": measured["disclaimer"],
        "intervals": _INTERVALS,
        "pictures": {v.value: sum(d.verdict is v for d in decisions) for v in Verdict},
        **{name: measured[name] for name in _RATES},
        "escapes": asdict(
            per_patient([r.verdict is Verdict.PASS for r in grave], [owner.get(r.image, "") for r in grave])
        ),
        "not_examined": asdict(per_patient(unseen, [_owner(d) for d in decisions])),
        "named_right": asdict(per_patient(right, [owner[frame] for frame in named])),
        "without_answer": [frame for frame in unanswered if known[frame].sought],
        "without_truth": sum(d.frame not in known for d in decisions),
        "unknown_labels": foreign,
        **_told(measured),
        "review": _review(reviews, flagged, owner),
        **_blind_first(reviews, decisions, flagged, known),
        "measured": measured,
    }


def _told(measured: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The tables, without what stands above them as a rate."""
    above = {spoken(name) for name in _RATES} | set(measured["detection_by_kind"]) | {PATIENTS}
    return {heading: {name: text for name, text in rows if name not in above} for heading, rows in tables(measured)}


def _known(truth: Sequence[Finding]) -> tuple[dict[str, Node], list[str]]:
    by_frame: dict[str, list[Node]] = defaultdict(list)
    foreign = set()
    for finding in truth:
        node = taxonomy.find(finding.label)
        if node is None:
            foreign.add(finding.label)
        else:
            by_frame[finding.frame].append(node)
    return {frame: gravest(own) for frame, own in by_frame.items()}, sorted(foreign)


def _blind_first(
    reviews: Sequence[Review], decisions: Sequence[Decision], flagged: Mapping[str, str], known: Mapping[str, Node]
) -> dict[str, Any]:
    """What seeing the answer did, by reader; nothing where nobody read blind first."""
    model = {frame: label for frame, label in flagged.items() if label != taxonomy.UNKNOWN}
    lesions = {d.frame: agreement.lesion_of(d.facts, d.frame) for d in decisions}
    told = agreement.statistics(agreement.pairs(reviews), model=model, truth=known, groups=lesions)
    return {f"blind first, {reader}{more}": facts[kind] for reader, facts in told.items() for kind, more in _PARTS}


def _owner(decision: Decision) -> str:
    """Whose picture it is, as far as anybody said: pictures of one patient, or of one lesion, are alike."""
    return str(decision.facts.get("patient") or decision.facts.get("lesion") or decision.frame)


def _review(reviews: Sequence[Review], flagged: dict[str, str], owner: Mapping[str, str]) -> dict[str, Any]:
    """What clinicians did, and how often they stood by the disease that was named."""
    judged = [r for r in reviews if r.action in _VERDICTS]
    about = [r for r in judged if r.item in flagged]
    agreed = [taxonomy.find(r.label) is taxonomy.find(flagged[r.item]) for r in about]
    return {
        **{action.value: sum(r.action is action for r in reviews) for action in Action},
        "agreed_with_the_name": str(per_patient(agreed, [owner[r.item] for r in about])),
        "reviewers": sorted({r.reviewer for r in judged}),
        "seconds_median": median(r.seconds for r in judged) if judged else None,
    }
