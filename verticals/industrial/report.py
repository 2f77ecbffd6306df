"""The inspectors' numbers: recall per defect type, escapes, overkill, parts NOT EXAMINED; with counts and intervals."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from shared.records import Action, Box, Decision, Finding, Review, Verdict
from shared.reporting.rates import proportion

COVERED = 0.2
"""A true defect counts as found when flagged regions cover at least this share of its box: an inspector who is shown a
fifth of a scratch sees the scratch."""


def report(decisions: Sequence[Decision], truth: Sequence[Finding], reviews: Sequence[Review]) -> dict[str, Any]:
    """Compare decisions with what is known to be there.

    Args:
        decisions: One per part or image.
        truth: Defects that are known to be there; parts without any are OK.
        reviews: Verdicts of inspectors; empty where nobody has looked yet.

    Returns:
        ``parts`` (counts per verdict), ``recall`` over all defects and ``recall_per_type`` (each value, low, high, n,
        and how many got the right type), ``escapes`` (defective parts that passed), ``overkill`` (OK parts that were
        flagged), ``not_examined``, ``without_answer`` (parts with known defects that no decision is about; their
        defects count as missed), ``false_findings``, ``length_error`` in percent, and ``review``.
    """
    real = _by_frame(truth)
    found_by_type: dict[str, list[bool]] = defaultdict(list)
    typed_by_type: dict[str, int] = defaultdict(int)
    false_findings, length_errors = 0, []
    for decision in decisions:
        defects = real.get(decision.frame, [])
        for defect in defects:
            hits = [f for f in decision.findings if touches(f, defect)]
            found = decision.verdict is not Verdict.PASS and covered(hits, defect)
            found_by_type[defect.label].append(found)
            typed_by_type[defect.label] += found and any(f.label == defect.label for f in hits)
            if found and len(hits) == 1 and hits[0].length_mm and defect.length_mm:
                length_errors.append(abs(hits[0].length_mm / defect.length_mm - 1))
        false_findings += sum(not any(touches(f, d) for d in defects) for f in decision.findings)
    answered = {d.frame for d in decisions}
    unanswered = sorted(set(real) - answered)
    for defect in (d for frame in unanswered for d in real[frame]):
        found_by_type[defect.label].append(False)
    defective = [d for d in decisions if real.get(d.frame)]
    good = [d for d in decisions if not real.get(d.frame)]
    every = [found for rows in found_by_type.values() for found in rows]
    return {
        "parts": {v.value: sum(d.verdict is v for d in decisions) for v in Verdict},
        "recall": asdict(proportion(sum(every), len(every))),
        "recall_per_type": {
            label: {**asdict(proportion(sum(rows), len(rows))), "typed_right": typed_by_type[label]}
            for label, rows in sorted(found_by_type.items())
        },
        "escapes": asdict(proportion(sum(d.verdict is Verdict.PASS for d in defective), len(defective))),
        "overkill": asdict(proportion(sum(d.verdict is Verdict.FLAG for d in good), len(good))),
        "not_examined": asdict(proportion(sum(d.verdict is Verdict.NOT_EXAMINED for d in decisions), len(decisions))),
        "without_answer": unanswered,
        "false_findings": false_findings,
        "length_error_median": median(length_errors) if length_errors else None,
        "lengths_compared": len(length_errors),
        "review": _review(reviews),
    }


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
    counts = {action.value: sum(r.action is action for r in reviews) for action in Action}
    judged = [r for r in reviews if r.action is not Action.UNDO]
    return {
        **counts,
        "reviewers": sorted({r.reviewer for r in judged}),
        "seconds_median": median(r.seconds for r in judged) if judged else None,
    }
