"""A person's word on zones in, verdicts in the review store out: correct one, merge two labels, split one."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import ReviewError
from shared.records import Action, Review
from shared.review.items import Item
from shared.review.store import Store, now


@dataclass(frozen=True)
class Said:
    """What became of a word on several zones.

    Attributes:
        recorded: Zones whose verdict is in the store now.
        kept: Zones that had been judged before and stay as they were judged.
    """

    recorded: int
    kept: int


def judge(store: Store, item: Item, label: str, reviewer: str, *, ok: str, seconds: float, note: str = "") -> int:
    """Record what a person says of one zone.

    Args:
        store: The review store.
        item: The zone.
        label: What it is.
        reviewer: Who says so.
        ok: Label that means "nothing wrong".
        seconds: How long the zone was on the screen.
        note: Free text.

    Returns:
        The number of its row.

    Raises:
        ReviewError: The zone has a verdict already, nobody is named, or the store does not answer.
    """
    action = Action.CONFIRM if label == item.label else Action.REJECT if label == ok else Action.RELABEL
    return store.record(Review(item.id, action, label, reviewer, now(), seconds, note), shown=item.digest)


def relabel(
    store: Store, items: Sequence[Item], label: str, reviewer: str, *, ok: str, note: str, seconds: float = 0.0
) -> Said:
    """Give several zones one label: a merge of two labels, or a part split off one; each zone is one verdict.

    Zones that a person has judged before are left as they are.

    Raises:
        ReviewError: No zone is meant, nobody is named, or the store does not answer.
    """
    if not items:
        raise ReviewError("no zone is meant; choose at least one")
    standing = store.standing()
    open_ones = [item for item in items if item.id not in standing]
    for item in open_ones:
        judge(store, item, label, reviewer, ok=ok, seconds=seconds, note=note)
    return Said(len(open_ones), len(items) - len(open_ones))
