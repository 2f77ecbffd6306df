"""The end of a review log, and whether the log is whole: every row follows the one before by its hash."""

from dataclasses import dataclass

import sqlalchemy as sa

from shared.errors import ReviewError
from shared.review import rows, tables


@dataclass(frozen=True)
class Head:
    """The end of the log: how many rows, and the hash of the last."""

    count: int
    hash: str


def end(c: sa.Connection) -> Head:
    """How long the log is, and the hash of its last row."""
    row = c.execute(sa.select(tables.head)).one()
    return Head(row.length, row.hash)


def hold(c: sa.Connection) -> None:
    """Keep the end of the log until the transaction ends, so that nobody writes between a look and its row.

    On a server the others wait here; a writer of SQLite has the whole file already.
    """
    c.execute(sa.select(tables.head.c.id).with_for_update())


def check(c: sa.Connection, known: Head | None, store: str) -> None:
    """Go through the log from its first row.

    Args:
        c: Of the store.
        known: An end of the log that was written down earlier, or None.
        store: How a fault names the store.

    Raises:
        ReviewError: Names the first row that was altered, is missing, or is not in its place.
    """
    last, previous, count = end(c), tables.GENESIS, 0
    digests = {r.id: rows.item_of(r).digest for r in c.execute(sa.select(tables.items))}
    for row in c.execute(sa.select(tables.reviews).order_by(tables.reviews.c.seq)):
        count += 1
        where = f"{store}: review log, row {count}"
        if row.seq != count:
            raise ReviewError(f"{where} is missing (the next one is {row.seq}); restore the store from a backup")
        if row.prev_hash != previous:
            raise ReviewError(f"{where} does not follow row {count - 1}: rows were moved or put in; use a backup")
        if row.hash != rows.chained(previous, row._mapping):
            raise ReviewError(f"{where} ({row.item}, {row.reviewer}) was altered; restore the store from a backup")
        if row.shown != digests.get(row.item):
            raise ReviewError(f"{where}: its item {row.item!r} was altered after the verdict; use a backup")
        if known and count == known.count and row.hash != known.hash:
            raise ReviewError(f"{where} has another hash than was written down; the log was made anew")
        previous = row.hash
    if (last.count, last.hash) != (count, previous):
        raise ReviewError(
            f"{store}: review log has {count} rows, {last.count} were written: row {min(count, last.count) + 1} "
            "is the first that is missing or too many; restore the store from a backup"
        )
    if known and known.count > count:
        raise ReviewError(f"{store}: review log has {count} rows, {known.count} were written down; use a backup")
