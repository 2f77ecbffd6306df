"""The inspectors' numbers: recall per defect type, escapes, overkill, parts NOT EXAMINED; with counts and intervals."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from shared.records import Action, Box, Decision, Finding, Review, Verdict
from shared.reporting.rates import Rate, grouped, proportion
from verticals.industrial.decide import PART

COVERED = 0.2
"""A true defect counts as found when flagged regions cover at least this share of its box: an inspector who is shown a
fifth of a scratch sees the scratch."""
INTERVALS = (
    "95 % intervals; defects of one part are alike, so that intervals of recall count parts; escapes, overkill and NOT "
    "EXAMINED are of parts."
)


def report(decisions: Sequence[Decision], truth: Sequence[Finding], reviews: Sequence[Review]) -> dict[str, Any]:
    """Compare decisions with what is known to be there.

    A part that several cameras saw is one part: it passes only where all its strips and images pass.

    Args:
        decisions: One per strip or image; the fact :data:`PART` says which part it shows, else it is one of its own.
        truth: What is known: defects, and with risk 0 the parts that are known to be OK. Parts that are in neither are
            counted, and nothing is claimed about them.
        reviews: Verdicts of inspectors; empty where nobody has looked yet.

    Returns:
        ``intervals`` (how they are made), ``parts`` (counts per verdict: flag where one of its pictures is flagged,
        else not_examined where one is that) and ``pictures`` (the same of strips and images), ``recall`` over all
        defects and ``recall_per_type`` (each value, low, high, n, and how many got the right type), ``escapes``
        (defective parts that passed), ``overkill`` (OK parts that were flagged), ``not_examined`` (parts with a picture
        that was not), ``without_answer`` (pictures that something is known about and no decision is; their defects
        count as missed), ``without_truth`` (parts of which not everything is known), ``false_findings``, the median
        ``length_error`` and ``review`` (what the inspectors did; that something stays NOT EXAMINED confirms no finding,
        and is counted apart).
    """
    real = _by_frame([t for t in truth if t.risk > 0])
    known_ok = {t.frame for t in truth if t.risk == 0} - set(real)
    found_by_type: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    typed_by_type: dict[str, int] = defaultdict(int)
    part = {d.frame: str(d.facts.get(PART, d.frame)) for d in decisions}
    false_findings, length_errors = 0, []
    for decision in decisions:
        defects = real.get(decision.frame, [])
        for defect in defects:
            hits = [f for f in decision.findings if touches(f, defect)]
            found = decision.verdict is not Verdict.PASS and covered(hits, defect)
            found_by_type[defect.label].append((found, part[decision.frame]))
            typed_by_type[defect.label] += found and any(f.label == defect.label for f in hits)
            if found and len(hits) == 1 and hits[0].length_mm and defect.length_mm:
                length_errors.append(abs(hits[0].length_mm / defect.length_mm - 1))
        if decision.frame in real or decision.frame in known_ok:
            false_findings += sum(not any(touches(f, d) for d in defects) for f in decision.findings)
    answered = {d.frame for d in decisions}
    unanswered = sorted({*real, *known_ok} - answered)
    for defect in (d for frame in unanswered for d in real.get(frame, [])):
        found_by_type[defect.label].append((False, defect.frame))
    parts = _by_part(decisions, part)
    verdicts = {name: _verdict(pictures) for name, pictures in parts.items()}
    defective = [name for name, pictures in parts.items() if any(real.get(d.frame) for d in pictures)]
    good = [name for name, pictures in parts.items() if all(d.frame in known_ok for d in pictures)]
    unseen = sum(any(d.verdict is Verdict.NOT_EXAMINED for d in pictures) for pictures in parts.values())
    every = [row for rows in found_by_type.values() for row in rows]
    return {
        "intervals": INTERVALS,
        "parts": {v.value: sum(said is v for said in verdicts.values()) for v in Verdict},
        "pictures": {v.value: sum(d.verdict is v for d in decisions) for v in Verdict},
        "recall": asdict(_recall(every)),
        "recall_per_type": {
            label: {**asdict(_recall(rows)), "typed_right": typed_by_type[label]}
            for label, rows in sorted(found_by_type.items())
        },
        "escapes": asdict(proportion(sum(verdicts[p] is Verdict.PASS for p in defective), len(defective))),
        "overkill": asdict(proportion(sum(verdicts[p] is Verdict.FLAG for p in good), len(good))),
        "not_examined": asdict(proportion(unseen, len(parts))),
        "without_answer": unanswered,
        "without_truth": len(parts) - len(defective) - len(good),
        "false_findings": false_findings,
        "length_error_median": median(length_errors) if length_errors else None,
        "lengths_compared": len(length_errors),
        "review": _review(reviews),
    }


def _by_part(decisions: Sequence[Decision], part: Mapping[str, str]) -> dict[str, list[Decision]]:
    parts: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        parts[part[decision.frame]].append(decision)
    return parts


def _verdict(pictures: Sequence[Decision]) -> Verdict:
    """About a part: the first of flag, NOT EXAMINED and pass that one of its pictures has."""
    said = {decision.verdict for decision in pictures}
    return next(v for v in (Verdict.FLAG, Verdict.NOT_EXAMINED, Verdict.PASS) if v in said)


def _recall(rows: Sequence[tuple[bool, str]]) -> Rate:
    """Share of defects found; defects of one part are alike, so the interval counts parts."""
    return grouped(np.array([found for found, _ in rows], bool), [frame for _, frame in rows])


def touches(finding: Finding, defect: Finding) -> bool:
    """Whether a finding is about this defect: anywhere in a whole image, or overlapping boxes."""
    if finding.region is None or defect.region is None:
        return True
    return _overlap(finding.region, defect.region) > 0


def covered(hits: Sequence[Finding], defect: Finding) -> bool:
    """Whether the findings show enough of the defect, see :data:`COVERED`."""
    if defect.region is None or any(f.region is None for f in hits):
        return bool(hits)
    area = sum(_overlap(f.region, defect.region) for f in hits if f.region)
    return area >= COVERED * defect.region.width * defect.region.height


def _overlap(a: Box, b: Box) -> int:
    return max(0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0, min(a.y1, b.y1) - max(a.y0, b.y0))


def _by_frame(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    frames = defaultdict(list)
    for finding in findings:
        frames[finding.frame].append(finding)
    return frames


def _review(reviews: Sequence[Review]) -> dict[str, Any]:
    unseen = [r for r in reviews if r.action is Action.CONFIRM and r.label == Verdict.NOT_EXAMINED]
    counts = {action.value: sum(r.action is action for r in reviews) for action in Action}
    counts |= {Action.CONFIRM.value: counts[Action.CONFIRM.value] - len(unseen), "stays_not_examined": len(unseen)}
    judged = [r for r in reviews if r.action in (Action.CONFIRM, Action.REJECT, Action.RELABEL)]
    return {
        **counts,
        "reviewers": sorted({r.reviewer for r in judged}),
        "seconds_median": median(r.seconds for r in judged) if judged else None,
    }
