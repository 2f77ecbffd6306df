"""Readings before the answer and verdicts after it in, what seeing the answer did out: per reader, with intervals."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from shared.records import Action, Review, Verdict
from shared.reporting.rates import Rate, grouped
from shared.review.items import NOT_EXAMINED, Item
from verticals.medical import taxonomy
from verticals.medical.reading.blind import Answer, answer_of
from verticals.medical.taxonomy import Node

EVERYBODY = "all readers"


@dataclass(frozen=True)
class Pair:
    """One picture that one reader read before and after the answer was shown.

    Attributes:
        item: The picture.
        reader: Who.
        before: The reading.
        after: The verdict that stands.
        seconds: How long each of the two took.
    """

    item: str
    reader: str
    before: Answer
    after: Answer
    seconds: tuple[float, float]


def pairs(reviews: Iterable[Review]) -> tuple[Pair, ...]:
    """Readings with the standing verdict of the same reader on the same item.

    Args:
        reviews: Rows READ, and the verdicts that stand.
    """
    rows = list(reviews)
    read = {(r.item, r.reviewer): r for r in rows if r.action is Action.READ}
    verdicts = [r for r in rows if r.action in (Action.CONFIRM, Action.REJECT, Action.RELABEL)]
    return tuple(
        Pair(r.item, r.reviewer, answer_of(first), answer_of(r), (first.seconds, r.seconds))
        for r in verdicts
        if (first := read.get((r.item, r.reviewer))) is not None
    )


def statistics(
    found: Sequence[Pair],
    *,
    model: Mapping[str, str] | None = None,
    truth: Mapping[str, Node] | None = None,
    groups: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """What readers said before and after they saw the answer.

    All shares have their count and a 95 % interval. A reader counts each picture once; over all readers, readings of
    one picture (or of one lesion, as ``groups`` says) are a group, since they are alike. Names are compared as entries
    of the taxonomy; ``referral`` is the bare question whether it is malignant, pre-malignant or unknown, which nobody
    may miss. No trigger names no disease, so it agrees with no name.

    Args:
        found: See :func:`pairs`.
        model: Label that the model gave, by item; what is absent had no answer to show.
        truth: What is known, by item.
        groups: What readings to count as alike, by item; the item itself where absent.

    Returns:
        By reader (first :data:`EVERYBODY` where there are several) two mappings. ``rates``: ``changed_name``,
        ``changed_urgency``; ``agreed_with_model_before`` and ``_after``; where truth is known ``right_before``,
        ``right_after``, ``changed_for_better``, ``changed_for_worse`` (of the name), ``referral_sensitivity_before``
        and ``_after``, ``referral_specificity_before`` and ``_after``. ``counts``: ``readings``, and the medians
        ``seconds_before`` and ``seconds_after``.
    """
    by_reader: dict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        by_reader[pair.reader].append(pair)
    everybody = {EVERYBODY: list(found)} if len(by_reader) > 1 else {}
    counted = {**everybody, **{name: by_reader[name] for name in sorted(by_reader)}}
    return {name: _of(own, model or {}, truth or {}, groups or {}) for name, own in counted.items()}


def of_items(found: Sequence[Pair], items: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """:func:`statistics` against what the model said of these items; pictures of one lesion are alike."""
    model = {i.id: i.label for i in items if i.verdict is Verdict.FLAG and i.label != taxonomy.UNKNOWN}
    return statistics(found, model=model, groups={i.id: lesion_of(i.payload.get("facts", {}), i.id) for i in items})


def lesion_of(facts: Mapping[str, Any], picture: str) -> str:
    """What a picture's lesion is known by among those of all patients; the picture itself where none is known."""
    return f"{facts.get('patient', '')} {facts['lesion']}" if "lesion" in facts else picture


def _of(
    own: Sequence[Pair], model: Mapping[str, str], truth: Mapping[str, Node], groups: Mapping[str, str]
) -> dict[str, Any]:
    def share(which: Callable[[Pair], bool], among: Iterable[Pair] = own) -> Rate:
        counted = list(among)
        return grouped(np.array([which(p) for p in counted], bool), [groups.get(p.item, p.item) for p in counted])

    urgent = [p for p in own if p.before.urgency is not None and p.after.urgency is not None]
    answered = [p for p in own if p.item in model]
    rates = {
        "changed_name": share(lambda p: p.before.label != p.after.label),
        "changed_urgency": share(lambda p: p.before.urgency != p.after.urgency, urgent),
        "agreed_with_model_before": share(lambda p: _same(p.before.label, model[p.item]), answered),
        "agreed_with_model_after": share(lambda p: _same(p.after.label, model[p.item]), answered),
        **(dict(_against(own, truth, share)) if truth else {}),
    }
    before, after = (round(median(p.seconds[i] for p in own), 1) for i in (0, 1))
    counts = {"readings": len(own), "seconds_before": before, "seconds_after": after}
    return {"rates": {name: asdict(rate) for name, rate in rates.items()}, "counts": counts}


def _against(own: Sequence[Pair], truth: Mapping[str, Node], share: Callable[..., Rate]) -> Iterator[tuple[str, Rate]]:
    """Rates that need the truth."""
    known = [p for p in own if p.item in truth]

    def right(answer: Answer, item: str) -> bool:
        return taxonomy.find(answer.label) is truth[item]

    yield "right_before", share(lambda p: right(p.before, p.item), known)
    yield "right_after", share(lambda p: right(p.after, p.item), known)
    yield "changed_for_better", share(lambda p: right(p.after, p.item) and not right(p.before, p.item), known)
    yield "changed_for_worse", share(lambda p: right(p.before, p.item) and not right(p.after, p.item), known)
    grave = [p for p in known if truth[p.item].sought]
    harmless = [p for p in known if not truth[p.item].sought]
    for when in ("before", "after"):
        yield f"referral_sensitivity_{when}", share(lambda p, w=when: referred(getattr(p, w)), grave)
        yield f"referral_specificity_{when}", share(lambda p, w=when: not referred(getattr(p, w)), harmless)


def referred(answer: Answer) -> bool:
    """Whether a reader takes it for something that must not be missed; what stays not examined is not passed over."""
    node = taxonomy.find(answer.label)
    return answer.label == NOT_EXAMINED or (node is not None and node.sought)


def _same(said: str, label: str) -> bool:
    node = taxonomy.find(said)
    return node is not None and node is taxonomy.find(label)
