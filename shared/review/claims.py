"""Which reviewer has an item on the screen, so that no two get the same one; a claim ends by itself."""

import sqlalchemy as sa

from shared.review import tables


def take(c: sa.Connection, item: str, holder: str, now: float, seconds: float) -> bool:
    """Claim an item, or renew one's own claim, inside a transaction.

    Two reviewers that insert at once meet at the primary key: one of them gets an integrity error, tries again and
    finds the other's claim.

    Args:
        c: Of the store.
        item: Id.
        holder: Name of the reviewer.
        now: Seconds since 1970.
        seconds: How long it holds.

    Returns:
        Whether it is the holder's now.
    """
    own = tables.claims.c.item == item
    free = sa.or_(tables.claims.c.holder == holder, tables.claims.c.until < now)
    values = {"holder": holder, "until": now + seconds}
    if c.execute(tables.claims.update().where(own, free).values(values)).rowcount:
        return True
    if c.execute(sa.select(tables.claims.c.item).where(own)).first() is not None:
        return False
    c.execute(tables.claims.insert().values(item=item, **values))
    return True


def give_back(c: sa.Connection, holder: str, keep: str | None) -> None:
    """Let go of all that a reviewer holds but one item, or of all."""
    mine = tables.claims.c.holder == holder
    c.execute(tables.claims.delete().where(mine if keep is None else sa.and_(mine, tables.claims.c.item != keep)))


def drop(c: sa.Connection, holder: str, item: str) -> None:
    """Let go of one item."""
    c.execute(tables.claims.delete().where(tables.claims.c.holder == holder, tables.claims.c.item == item))
