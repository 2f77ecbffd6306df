"""A review store in, its log as CSV or JSON lines out, for other programs and for the auditor's file."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from shared import atomic
from shared.errors import ReviewError
from shared.review.store import Store

FORMATS = ("csv", "jsonl")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""Beginnings of what a spreadsheet would run as a formula (OWASP, CSV Injection)."""


def text(store: Store, form: str) -> str:
    """The whole log, one row per verdict or undo, with hashes.

    In CSV a text that a spreadsheet would run (a note, a name of a file) gets an apostrophe in front. Hashes are over
    the texts as JSON lines have them.

    Raises:
        ReviewError: The format is none of :data:`FORMATS`, or the store does not answer.
    """
    if form not in FORMATS:
        raise ReviewError(f"export as {form!r}: allowed are {', '.join(FORMATS)}")
    rows = store.table()
    if form == "jsonl":
        return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    stream = io.StringIO()
    if rows:
        # Quoted, or a lone carriage return in a note would begin a row of its own.
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        table.writeheader()
        table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def write(store: Store, path: Path) -> int:
    """Write the log to a file, whole or not at all; the ending says the format.

    Returns:
        Number of rows.

    Raises:
        ReviewError: The ending is not allowed, the file cannot be written, or the store does not answer.
    """
    content = text(store, path.suffix.lstrip(".").lower())
    try:
        atomic.write(path, content)
    except OSError as error:
        raise ReviewError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    return store.head().count
