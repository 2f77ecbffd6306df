"""A person's word on zones in, verdicts in the review store out: correct one, merge two labels, split one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import ReviewError
from shared.records import Action, Review
from shared.review.items import Item
from shared.review.log import now
from shared.review.store import Store

_SAME_HA = 1e-6


@dataclass(frozen=True)
class Said:
    """What became of a word on several zones.

    Attributes:
        recorded: Zones whose verdict is in the store now.
        kept: Zones that had been judged before and stay as they were judged.
    """

    recorded: int
    kept: int


@dataclass(frozen=True)
class Relabelling:
    """A wish to give zones of one label another: all of them (a merge), or some (a part split off).

    Attributes:
        label: What the zones are called now.
        into: What they become.
        open: Places of the zones that nobody has judged yet, which get the label.
        judged: How many others a person has judged before, which stay.
        split: Whether single zones were named.
    """

    label: str
    into: str
    open: tuple[int, ...]
    judged: int
    split: bool

    @property
    def note(self) -> str:
        """What the log says of each of them."""
        return f"{'split off' if self.split else 'merged'}: {self.label} to {self.into}, {len(self.open)} zones"


def relabelling(
    now: Sequence[str], standing: Mapping[int, Review], label: str, into: str, only: Sequence[int] = ()
) -> Relabelling:
    """Which zones a merge or a split would touch.

    Args:
        now: What each zone is called now.
        standing: Verdicts that hold, by place.
        label: The label to be changed.
        into: The other.
        only: Places of the zones that are meant; empty means all of that label.
    """
    meant = [i for i, code in enumerate(now) if code == label and (not only or i in only)]
    free = tuple(i for i in meant if i not in standing)
    return Relabelling(label, into, free, len(meant) - len(free), bool(only))


def hectares_as_judged(
    mapped: Mapping[str, float], zones: Sequence[tuple[str, float]], standing: Mapping[int, Review]
) -> dict[str, float]:
    """Hectares of the labels whose area people have changed.

    Args:
        mapped: Hectares of each label of the map, counts of the model's cells.
        zones: The model's label and the hectares of each zone.
        standing: Verdicts that hold, by the zone's place.
    """
    found = dict(mapped)
    for place, review in standing.items():
        label, area = zones[place]
        found[label] = max(0.0, found.get(label, 0.0) - area)
        found[review.label] = found.get(review.label, 0.0) + area
    return {label: area for label, area in found.items() if abs(area - mapped.get(label, 0.0)) > _SAME_HA}


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


def relabel(store: Store, items: Sequence[Item], wish: Relabelling, reviewer: str, *, ok: str) -> Said:
    """Give several zones one label; each zone is one verdict. Zones judged in the meantime are left as they are.

    Args:
        store: The review store.
        items: All zones, in the order that ``wish`` counts.
        wish: From :func:`relabelling`.
        reviewer: Who says so.
        ok: Label that means "nothing wrong".

    Raises:
        ReviewError: No open zone is meant, nobody is named, or the store does not answer.
    """
    standing = store.standing()
    free = [items[i] for i in wish.open if items[i].id not in standing]
    if not free:
        raise ReviewError("no open zone is meant; choose zones that nobody has judged, or take back a verdict first")
    for item in free:
        judge(store, item, wish.into, reviewer, ok=ok, seconds=0.0, note=wish.note)
    return Said(len(free), wish.judged + len(wish.open) - len(free))


def take_back(store: Store, reviewer: str) -> int:
    """Take back the last verdict of a reviewer, or all zones of the merge or split that it belongs to.

    Returns:
        How many verdicts were taken back; 0 where there is none.

    Raises:
        ReviewError: The store does not answer.
    """
    last = store.undo(reviewer)
    count = int(last is not None)
    while last is not None and last.note:
        standing = store.standing()
        mine = [r for r in store.reviews() if r.reviewer == reviewer and standing.get(r.item) == r]
        if not mine or mine[-1].note != last.note:
            break
        last = store.undo(reviewer)
        count += 1
    return count
