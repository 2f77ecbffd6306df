"""What is written into a review store inside a transaction: items, and rows of the log, each chained to the last."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from shared.errors import ReviewError
from shared.records import Action, Review
from shared.review import rows, tables
from shared.review.items import Item

REMARKS = (Action.READ, Action.SIGN)
"""Rows that stand beside the verdicts and are none."""
_CHUNK = 500


@dataclass(frozen=True)
class Added:
    """What became of offered items.

    Attributes:
        new: Items that were not in the store.
        replaced: Items nobody had judged yet, of the same pictures, now as newly predicted.
        kept: Items that are there already, or that were judged and stay as they were judged.
    """

    new: int
    replaced: int
    kept: int


def add(c: sa.Connection, offered: Sequence[Item], where: str) -> Added:
    """Queue items, as :meth:`shared.review.store.Store.add_items` says."""
    by_id: dict[str, Item] = {}
    clash = set()
    for item in offered:
        clash |= _others({item.id: item}, by_id)
        by_id[item.id] = item
    ids = list(by_id)
    old: dict[str, Item] = {}
    judged: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        old |= {r.id: rows.item_of(r) for r in c.execute(sa.select(tables.items).where(tables.items.c.id.in_(some)))}
        judged |= set(c.scalars(sa.select(tables.reviews.c.item).where(tables.reviews.c.item.in_(some))))
    clash |= _others(old, by_id)
    if clash:
        raise ReviewError(
            f"{where}: {len(clash)} of the {len(ids)} items, first {min(clash)!r}, would take the place of another "
            f"picture of that name ({len(clash & judged)} judged already); nothing was added: review the new lot in a "
            "store of its own (--store), or give its frames names of their own and predict again"
        )
    new = [item for item in by_id.values() if item.id not in old]
    changed = [i for i in old if i not in judged and old[i].digest != by_id[i].digest]
    if new:
        c.execute(tables.items.insert(), [rows.of_item(item) for item in new])
        at = now()
        c.execute(tables.arrivals.insert(), [{"item": item.id, "at": at} for item in new])
    for i in changed:
        c.execute(tables.items.update().where(tables.items.c.id == i).values(rows.of_item(by_id[i])))
    return Added(len(new), len(changed), len(old) - len(changed))


def _others(there: Mapping[str, Item], coming: Mapping[str, Item]) -> set[str]:
    """Ids under which another picture is there than the one that comes."""
    return {i for i in there.keys() & coming.keys() if not there[i].same_picture(coming[i])}


def record(c: sa.Connection, review: Review, shown: str | None, where: str) -> int:
    """Append one verdict, as :meth:`shared.review.store.Store.record` says."""
    digest = _digest(c, review, shown, where)
    known = c.execute(standing().where(tables.reviews.c.item == review.item)).first()
    if known:
        raise ReviewError(
            f"{review.item}: was judged by {known.reviewer} at {known.at} ({known.action} {known.label}); that verdict "
            "has to be taken back before another"
        )
    return append(c, review, digest)


def remark(c: sa.Connection, review: Review, shown: str | None, where: str) -> int:
    """Append what is no verdict, as :meth:`shared.review.store.Store.remark` says."""
    digest = _digest(c, review, shown, where)
    own = tables.reviews.c.item == review.item
    known = c.execute(standing().where(own)).first()
    if review.action is Action.SIGN:
        if known is None or known.reviewer != review.reviewer:
            raise ReviewError(f"{review.item}: has no verdict of {review.reviewer} to sign; look at it and judge it")
        return append(c, review, digest)
    if known is not None:
        raise ReviewError(f"{review.item}: was judged by {known.reviewer}; a first reading comes before that")
    mine = (own, tables.reviews.c.reviewer == review.reviewer)
    if c.execute(sa.select(tables.reviews.c.seq).where(*mine)).first():
        raise ReviewError(f"{review.item}: {review.reviewer} has read or judged it already; that stays as it is")
    return append(c, review, digest)


def _digest(c: sa.Connection, review: Review, shown: str | None, where: str) -> str:
    """The digest of a row's item, which must still be what the person saw."""
    row = c.execute(sa.select(tables.items).where(tables.items.c.id == review.item)).one_or_none()
    if row is None:
        raise ReviewError(f"{where}: has no item {review.item!r}; add its decision first")
    digest = rows.item_of(row).digest
    if shown is not None and shown != digest:
        raise ReviewError(f"{review.item}: was renewed while it was on the screen; look at it again")
    return digest


def undo(c: sa.Connection, reviewer: str, seconds: float) -> Review | None:
    """Take back the latest standing verdict of a reviewer; None where there is none."""
    last = standing().where(tables.reviews.c.reviewer == reviewer).order_by(tables.reviews.c.seq.desc())
    row = c.execute(last.limit(1)).first()
    if row is None:
        return None
    taken_back = Review(row.item, Action.UNDO, "", reviewer, now(), seconds, undoes=row.seq)
    check(taken_back)
    append(c, taken_back, row.shown)
    return rows.review_of(row)


def append(c: sa.Connection, review: Review, shown: str) -> int:
    """Put a row at the end of the chain and move its head; the number of the row.

    Raises:
        IntegrityError: Another writer was faster; the transaction is to be tried again.
    """
    end = c.execute(sa.select(tables.head)).one()
    row = asdict(review) | {"seq": end.length + 1, "shown": shown, "action": review.action.value}
    row |= {"seconds": round(float(review.seconds), 3)}
    row |= {"prev_hash": end.hash, "hash": rows.chained(end.hash, row)}
    c.execute(tables.reviews.insert().values(row))
    moved = tables.head.update().where(tables.head.c.hash == end.hash)
    if c.execute(moved.values(length=end.length + 1, hash=row["hash"])).rowcount != 1:
        raise IntegrityError("head has moved", None, RuntimeError("another writer was faster"))
    return int(end.length) + 1


def now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def check(review: Review) -> None:
    """Whether a row is complete.

    Raises:
        ReviewError: It is not.
    """
    where = f"verdict on {review.item!r}"
    if not review.reviewer.strip():
        raise ReviewError(f"{where}: has no reviewer; say who judges")
    if not review.label and review.action is not Action.UNDO:
        raise ReviewError(f"{where}: has no label; give the one that stands after it")
    if not (math.isfinite(review.seconds) and review.seconds >= 0):
        raise ReviewError(f"{where}: took {review.seconds} seconds; allowed is 0 or more")
    try:
        offset = datetime.fromisoformat(review.at).utcoffset()
    except ValueError:
        offset = None
    if offset is None or offset.total_seconds() != 0:
        raise ReviewError(f"{where}: time {review.at!r} is not ISO 8601 in UTC, e.g. 2026-11-23T14:05:00+00:00")


def standing() -> sa.Select[Any]:
    """The verdicts that hold."""
    undone = tables.reviews.alias("undo")
    taken_back = sa.exists().where(undone.c.undoes == tables.reviews.c.seq)
    verdict = tables.reviews.c.action.not_in([Action.UNDO.value, *(remark.value for remark in REMARKS)])
    return sa.select(tables.reviews).where(verdict, ~taken_back)
