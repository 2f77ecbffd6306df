"""What a person must know before relying on a bundle, as sentences: the same in the model card and on the page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.reporting import rates
from shared.wording import counted

FEW_GROUPS = 30
"""With fewer independent groups in the test part even a faultless result reaches down to 88 %: 0.025 ** (1 / 30)."""
LARGE_GAP = 0.05
"""A mean gap between stated and observed probability above this is told, where chance does not explain it."""
_NAMED = 12
_REASONS = 3


def cautions(facts: Mapping[str, Any]) -> list[str]:
    """Sentences about what is missing, weak or doubtful, the gravest first.

    Args:
        facts: What :func:`shared.build.build` returns, or the content of ``bundle.json``; what an older bundle does not
            hold is passed over.
    """
    parts = (_kind, _omitted, _certificate, _test, _calibration)
    return [*facts.get("notes", []), *(sentence for part in parts for sentence in part(facts))]


def left_out(problems: Sequence[str]) -> str:
    """How many files and rows were left out and the commonest reasons, one sentence; empty where none was.

    Args:
        problems: Each ``where: what``, as a bundle's card keeps them.
    """
    if not problems:
        return ""
    reasons = Counter(problem.partition(": ")[2] for problem in problems).most_common(_REASONS)
    said = "; ".join(f"{count} times: {reason}" for reason, count in reasons)
    rest = len(problems) - sum(count for _, count in reasons)
    return f"{len(problems)} left out ({said}{f'; and {rest} for other reasons' if rest else ''})"


def _kind(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("vertical") == "medical":
        yield "Decision support for qualified clinicians. Not a diagnosis."
    if note := facts.get("backbone", {}).get("note"):
        yield note


def _omitted(facts: Mapping[str, Any]) -> Iterator[str]:
    if said := left_out(facts.get("left_out", ())):
        yield f"Of the files and rows that were given, {said}: whatever they show, nothing was learnt from it."


def _certificate(facts: Mapping[str, Any]) -> Iterator[str]:
    certificate = facts.get("certificate")
    if certificate and certificate["more_needed"]:
        groups = counted(certificate["more_needed"], "more independent group")
        yield (
            f"The wanted recall of {rates.percent(certificate['wanted_recall'])} is not certified: it takes {groups} "
            "of calibration images, all found."
        )


def _test(facts: Mapping[str, Any]) -> Iterator[str]:
    test = facts.get("test") or {}
    if not test.get("n"):
        yield "No test image: nothing was measured."
        return
    leaked = facts.get("data", {}).get("split", {}).get("leaked_after") or 0.0
    if leaked:
        yield (
            f"{rates.percent(leaked)} of the test images share a group or a near copy with a training image: the "
            "figures are better than they will be on new images."
        )
    if test["groups"] < FEW_GROUPS:
        yield (
            f"The test part holds only {counted(test['groups'], 'independent group')}: "
            "the intervals are wide, and the values alone say little."
        )
    if missing := unmeasured(facts):
        yield f"No recall can be stated for {_some(missing)}: too few groups, or no test image."
    total, used = sum(facts.get("data", {}).get("labels", {}).values()), facts.get("used_images")
    if used is not None and used < total:
        yield f"Built from {used} of {total} images; the others were left out or not reached in the time."


def _calibration(facts: Mapping[str, Any]) -> Iterator[str]:
    bins = (facts.get("test") or {}).get("reliability")
    if not bins:
        return
    gap, chance = rates.gap(bins), rates.gap_by_chance(bins)
    if gap > max(LARGE_GAP, chance):
        yield (
            f"Stated probabilities are off by {rates.percent(gap)} on average over the test images; chance would "
            f"explain up to {rates.percent(chance)}. Do not read them as frequencies."
        )


def unmeasured(facts: Mapping[str, Any]) -> list[str]:
    """Labels about whose recall nothing can be said: from too few groups to be split, or without a test image."""
    named = set(facts.get("data", {}).get("split", {}).get("unmeasured", ()))
    per_label = (facts.get("test") or {}).get("per_label", {})
    return sorted(named | {label for label, row in per_label.items() if not row["n"]})


def _some(labels: list[str]) -> str:
    said = ", ".join(repr(label) for label in labels[:_NAMED])
    return said if len(labels) <= _NAMED else f"{said} and {len(labels) - _NAMED} more labels"
