"""A database URL or a file name in, an engine with the tables of the review store out."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from shared.errors import ReviewError

VERSION = 1
GENESIS = "0" * 64
"""The hash before the first row."""

metadata = sa.MetaData()
_ID = sa.String(700)
_REAL = sa.Float(53)  # 53 bits: an exact round trip of Python's float, which the hash chain needs

items = sa.Table(
    "items",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("frame", sa.Text, nullable=False),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("box", sa.Text),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("probability", _REAL, nullable=False),
    sa.Column("risk", _REAL, nullable=False),
    sa.Column("novelty", _REAL, nullable=False),
    sa.Column("length_mm", _REAL),
    sa.Column("area_mm2", _REAL),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("reasons", sa.Text, nullable=False),
    sa.Column("examined", _REAL, nullable=False),
    sa.Column("batch", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
)
reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("item", _ID, sa.ForeignKey("items.id"), nullable=False, index=True),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("reviewer", sa.String(200), nullable=False, index=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("seconds", _REAL, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("undoes", sa.Integer, sa.ForeignKey("reviews.seq"), unique=True),
    sa.Column("shown", sa.String(64), nullable=False),
    sa.Column("prev_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
)
arrivals = sa.Table(
    "arrivals",
    metadata,
    sa.Column("item", _ID, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
)
"""When each item came first; a store from before this table has none for its older items."""
claims = sa.Table(
    "claims",
    metadata,
    sa.Column("item", _ID, primary_key=True),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("until", _REAL, nullable=False),
)
"""Who has an item on the screen, until when in seconds since 1970; no part of the log."""
head = sa.Table(
    "head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("length", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

_APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER reviews_no_update BEFORE UPDATE ON reviews "
        "BEGIN SELECT RAISE(ABORT, 'reviews are append-only'); END",
        "CREATE TRIGGER reviews_no_delete BEFORE DELETE ON reviews "
        "BEGIN SELECT RAISE(ABORT, 'reviews are append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION reviews_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'reviews are append-only'; END $$",
        "CREATE TRIGGER reviews_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON reviews "
        "FOR EACH STATEMENT EXECUTE FUNCTION reviews_append_only()",
    ),
}
"""Statements that make the database itself refuse changes, by dialect; elsewhere only the chain tells."""


def connect(url: str, *, wait_s: float = 10.0) -> sa.Engine:
    """Open or make the store's tables.

    Args:
        url: A SQLAlchemy URL, or the path of a SQLite file.
        wait_s: How long a SQLite writer waits for another.

    Raises:
        ReviewError: The address is not usable, or there is something else behind it.
    """
    try:
        address = sa.make_url(url) if "://" in url else sa.URL.create("sqlite", database=url)
        if address.get_backend_name() == "sqlite":
            engine = _sqlite(address, wait_s)
        else:
            engine = sa.create_engine(address, pool_pre_ping=True)
    except (ArgumentError, sa.exc.NoSuchModuleError, ValueError) as error:
        raise ReviewError(f"store {url!r}: {first_line(error)}; give a file or a database URL") from error
    except ImportError as error:
        raise ReviewError(f"store {url!r}: needs the driver {error.name}; install it with pip") from error
    try:
        _create(engine)
    except (SQLAlchemyError, OSError) as error:
        engine.dispose()
        where = engine.url.render_as_string(hide_password=True)
        raise ReviewError(
            f"store {where}: cannot be opened ({first_line(error)}); check the address and rights"
        ) from error
    return engine


def _sqlite(address: sa.URL, wait_s: float) -> sa.Engine:
    name = address.database
    if name and name != ":memory:" and not name.startswith("file:"):
        try:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReviewError(f"store {name}: its folder cannot be made ({error.strerror}); give another") from error
    engine = sa.create_engine(address, connect_args={"timeout": wait_s})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # None: the driver starts no transaction on its own, so that BEGIN IMMEDIATE below is ours.
        connection.isolation_level = None
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A writer that takes the lock first never finds its snapshot outdated when it writes.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _create(engine: sa.Engine) -> None:
    for attempt in (1, 2):
        try:
            with engine.begin() as connection:
                present = set(sa.inspect(connection).get_table_names())
                new = reviews.name not in present
                # A server's database is shared with others by design; a file is somebody's.
                if new and present and engine.dialect.name == "sqlite":
                    raise ReviewError(
                        f"store {engine.url.render_as_string(hide_password=True)}: is a database of something else "
                        f"(its tables: {', '.join(sorted(present)[:3])}); give another file"
                    )
                metadata.create_all(connection)
                for statement in _APPEND_ONLY.get(engine.dialect.name, ()) if new else ():
                    connection.exec_driver_sql(statement)
                version = connection.scalar(sa.select(head.c.version))
                if version is None:
                    connection.execute(head.insert().values(id=1, version=VERSION, length=0, hash=GENESIS))
                elif version != VERSION:
                    raise ReviewError(
                        f"store {engine.url.render_as_string(hide_password=True)}: has format {version}, this version "
                        f"reads format {VERSION}; use the version of Loupe that wrote it"
                    )
            return
        except (IntegrityError, OperationalError, ProgrammingError):
            # Another process made the tables between our look and our CREATE: the second time they are there.
            if attempt == 2 or engine.dialect.name == "sqlite":
                raise


def first_line(error: BaseException) -> str:
    """The database's own words, without SQL and without links."""
    original = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0] if str(original).strip() else type(original).__name__
