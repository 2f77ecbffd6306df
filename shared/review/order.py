"""Items and standing verdicts in, what to look at next out: what nobody has looked at first, then what costs most."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from shared.records import Review, Verdict
from shared.review.items import Item

UNSURE = 0.25
"""Weight of uncertainty and of novelty against the expected cost of an escape, which is 1 for a certain critical
defect: our choice, so that cost leads, and among equal costs the verdict that teaches most comes first."""
_RECENT = 50


def uncertainty(item: Item) -> float:
    """Entropy of "it is this label or it is not", in bits: 1 at probability 0.5, 0 at 0 and 1."""
    p = min(max(item.probability, 0.0), 1.0)
    return 0.0 if p in (0.0, 1.0) else -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def urgency(item: Item, severity: Mapping[str, int]) -> float:
    """Expected cost of not looking, plus what a verdict teaches.

    Args:
        item: The item.
        severity: 0 (harmless) to 4 (critical) by label; a label that is not listed counts as 4.
    """
    cost = item.risk * (1 + severity.get(item.label, 4)) / 5
    return cost + UNSURE * uncertainty(item) + UNSURE * min(item.novelty, 2.0) / 2


def ordered(items: Iterable[Item], severity: Mapping[str, int] | None = None) -> list[Item]:
    """Items in the order in which a person should see them; the same items always give the same order."""
    known = severity or {}
    return sorted(items, key=lambda i: (i.verdict is not Verdict.NOT_EXAMINED, -urgency(i, known), i.id))


def waiting(items: Iterable[Item], standing: Mapping[str, Review], *, label: str | None = None) -> list[Item]:
    """Those without a standing verdict, in the order given; ``label`` keeps one label only."""
    return [i for i in items if i.id not in standing and label in (None, i.label)]


def labels(items: Iterable[Item]) -> dict[str, int]:
    """How many items each label has, most frequent first."""
    counts: dict[str, int] = {}
    for item in items:
        counts[item.label] = counts.get(item.label, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True)
class Progress:
    """How far the work is.

    Attributes:
        done: Items with a standing verdict.
        total: All items.
        seconds_median: Median time of the last 50 standing verdicts, None before the first.
        seconds_left: Estimate for the rest, likewise.
    """

    done: int
    total: int
    seconds_median: float | None
    seconds_left: float | None


def progress(items: Sequence[Item], standing: Mapping[str, Review]) -> Progress:
    """Count what is done and estimate the rest; a median, so that a coffee break changes nothing."""
    verdicts = [standing[i.id] for i in items if i.id in standing]
    recent = sorted(verdicts, key=lambda review: review.at)[-_RECENT:]
    pace = median(review.seconds for review in recent) if recent else None
    rest = len(items) - len(verdicts)
    return Progress(len(verdicts), len(items), pace, None if pace is None else pace * rest)
