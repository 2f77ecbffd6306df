"""Items in, verdicts on them appended for good: a log whose rows are chained by hashes, in SQLite or any SQL server.

What the chain shows, see :meth:`Store.verify`: a row that was changed, removed, added by hand or moved, rows cut off
the end (their number and last hash stand in the table ``head``), and an item that was changed after it was judged.
What it cannot show: somebody with write access who computes the whole chain anew, ``head`` included. Against that,
write :meth:`Store.head` down elsewhere (the report and the export do) and give it to ``verify``.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shared.decisions import Line
from shared.errors import ReviewError
from shared.records import Action, Review
from shared.review import chain, claims, log, rows, tables
from shared.review.chain import Head
from shared.review.items import Item, items_of
from shared.review.log import Added

T = TypeVar("T")
_TRIES = 20


class Store:
    """An open review store; safe to share between threads, processes and machines."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader, self._writer = engine.execution_options(reading=True), engine
        if engine.dialect.name != "sqlite":
            self._reader = self._reader.execution_options(isolation_level="REPEATABLE READ")
            # Not stricter, even where the site's default is: a writer that has waited must see what the other wrote.
            self._writer = engine.execution_options(isolation_level="READ COMMITTED")
        self.where = engine.url.render_as_string(hide_password=True)

    @classmethod
    def open(cls, url: str, *, wait_s: float = 10.0) -> Self:
        """Open a store, or make one.

        Args:
            url: Path of a SQLite file, or a SQLAlchemy URL such as ``postgresql+psycopg://user@host/base``.
            wait_s: How long to wait for another writer of a SQLite file.

        Raises:
            ReviewError: It cannot be opened or is not a review store.
        """
        return cls(tables.connect(url, wait_s=wait_s))

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def add(self, lines: Iterable[Line], *, batch: str = "") -> Added:
        """Queue what the decisions ask a person to see, see :func:`shared.review.items.items_of`.

        Raises:
            ReviewError: As for :meth:`add_items`.
        """
        return self.add_items(items_of(lines, batch=batch))

    def add_items(self, offered: Iterable[Item]) -> Added:
        """Queue items, all or none; the same item twice is one item, as it came last.

        Raises:
            ReviewError: An item comes again with another picture. Judged, its verdict would hide what is in the new
                one; not judged, nobody would ever see the old one.
        """
        items = list(offered)
        return self._append(lambda c: log.add(c, items, self.where))

    def record(self, review: Review, *, shown: str | None = None) -> int:
        """Append one verdict; when this returns, it is on the disk.

        Args:
            review: The verdict.
            shown: Digest of the item as the person saw it; a verdict on something that was replaced meanwhile is
                refused. None where nothing was on a screen.

        Returns:
            The number of its row.

        Raises:
            ReviewError: The item is unknown, was replaced or has a standing verdict, the verdict is not complete, or
                the store does not answer.
        """
        if review.action in (Action.UNDO, *log.REMARKS):
            raise ReviewError(f"{review.item}: {review.action} is no verdict; call undo or remark")
        log.check(review)
        return self._append(lambda c: log.record(c, review, shown, self.where))

    def remark(self, review: Review, *, shown: str | None = None, verdict: Review | None = None) -> int:
        """Append what is no verdict: a reading before the answer is shown, or a signature below a verdict.

        Its place in the chain is the proof of the order: a reading stands before the verdict of the same person.

        Args:
            review: A READ (one per person and item, before any verdict stands) or a SIGN (by the person whose verdict
                stands).
            shown: As for :meth:`record`.
            verdict: What the same person says of the same item at once; recorded with it, or neither is.

        Returns:
            The number of its row.

        Raises:
            ReviewError: It is another action, comes too late or twice, or as for :meth:`record`.
        """
        if review.action not in log.REMARKS:
            raise ReviewError(f"{review.item}: {review.action} is no remark; allowed are {', '.join(log.REMARKS)}")
        for row in (review, *([verdict] if verdict is not None else [])):
            log.check(row)

        def work(c: sa.Connection) -> int:
            number = log.remark(c, review, shown, self.where)
            if verdict is not None:
                log.record(c, verdict, shown, self.where)
            return number

        return self._append(work)

    def claim(self, item: str, holder: str, seconds: float) -> bool:
        """Take an item onto one's screen for a while; all else that this reviewer held is free again.

        Args:
            item: Its id.
            holder: Name of the reviewer.
            seconds: How long it holds unless renewed.

        Returns:
            Whether it is this reviewer's; False where another has it, or a verdict stands already.

        Raises:
            ReviewError: The store does not answer.
        """

        def work(c: sa.Connection) -> bool:
            if not claims.take(c, item, holder, time.time(), seconds):
                return False
            # Asked once the claim is there: its last holder may have judged the item and let go of it just before.
            judged = c.execute(log.standing().where(tables.reviews.c.item == item)).first() is not None
            if judged:
                claims.drop(c, holder, item)
            else:
                claims.give_back(c, holder, item)
            return not judged

        return self._write(work)

    def release(self, holder: str) -> None:
        """Give back all that a reviewer has on the screen.

        Raises:
            ReviewError: The store does not answer.
        """
        self._write(lambda c: claims.give_back(c, holder, None))

    def undo(self, reviewer: str, seconds: float = 0.0) -> Review | None:
        """Take back the latest standing verdict of a reviewer by appending an UNDO row.

        Returns:
            The verdict taken back, None where there is none.

        Raises:
            ReviewError: The store does not answer.
        """
        return self._append(lambda c: log.undo(c, reviewer, seconds))

    def items(self) -> list[Item]:
        """All items, by id."""
        return self._read(
            lambda c: [rows.item_of(r) for r in c.execute(sa.select(tables.items).order_by(tables.items.c.id))]
        )

    def arrivals(self) -> dict[str, str]:
        """When each item came into the store, ISO 8601 in UTC; absent where that was not written down."""
        return self._read(lambda c: {row.item: row.at for row in c.execute(sa.select(tables.arrivals))})

    def readings(self) -> list[Review]:
        """What people said before they saw an answer, oldest first."""
        return [review for review in self.reviews() if review.action is Action.READ]

    def count_items(self) -> int:
        """How many items there are."""
        return self._read(lambda c: int(c.scalar(sa.select(sa.func.count()).select_from(tables.items)) or 0))

    def reviews(self, *, after: int = 0) -> list[Review]:
        """The log, oldest first, undo rows included; ``after``: without the first so many rows.

        Row ``n`` of the log is element ``n - 1 - after``.
        """
        wanted = sa.select(tables.reviews).where(tables.reviews.c.seq > after).order_by(tables.reviews.c.seq)
        return self._read(lambda c: [rows.review_of(r) for r in c.execute(wanted)])

    def standing(self) -> dict[str, Review]:
        """The verdicts that hold, by item."""
        wanted = log.standing().order_by(tables.reviews.c.seq)
        return self._read(lambda c: {r.item: rows.review_of(r) for r in c.execute(wanted)})

    def head(self) -> Head:
        """The end of the log, to be written down elsewhere."""
        return self._read(chain.end)

    def table(self) -> list[dict[str, Any]]:
        """The log as plain rows with hashes, and what was judged beside each; what an export holds."""
        columns = [
            tables.items.c[n].label(f"item_{n}" if n == "label" else n)
            for n in ("frame", "image", "box", "label", "probability", "risk", "batch")
        ]
        joined = sa.select(tables.reviews, *columns).join(tables.items).order_by(tables.reviews.c.seq)
        found = self._read(lambda c: [dict(r._mapping) for r in c.execute(joined)])
        undone = {r["undoes"] for r in found}
        none = (Action.UNDO, *log.REMARKS)
        return [r | {"standing": r["action"] not in none and r["seq"] not in undone} for r in found]

    def verify(self, *, known: Head | None = None) -> None:
        """Check the whole chain.

        Args:
            known: An end of the log that was written down earlier; the log must still contain it.

        Raises:
            ReviewError: Names the first row that was altered, is missing, or is not in its place.
        """
        self._read(lambda c: chain.check(c, known, self.where))

    def _append(self, work: Callable[[sa.Connection], T]) -> T:
        def alone(c: sa.Connection) -> T:
            chain.hold(c)
            return work(c)

        return self._write(alone)

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        for attempt in range(_TRIES):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except IntegrityError as error:
                # Two put in the same row, e.g. a claim: one was first, the other finds it there.
                if attempt == _TRIES - 1:
                    raise ReviewError(f"{self.where}: {tables.first_line(error)}; try again") from error
                time.sleep(0.005 * (attempt + 1))
            except SQLAlchemyError as error:
                raise self._unusable(error) from error
        raise AssertionError("unreachable")

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._reader.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: SQLAlchemyError) -> ReviewError:
        return ReviewError(f"store {self.where}: does not answer ({tables.first_line(error)}); nothing was recorded")
