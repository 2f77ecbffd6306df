"""A review store in, its log as CSV or JSON lines out, for other programs and for the auditor's file."""

import csv
import io
import json
from pathlib import Path

from shared import atomic
from shared.errors import ReviewError
from shared.review.store import Store

FORMATS = ("csv", "jsonl")


def text(store: Store, form: str) -> str:
    """The whole log, one row per verdict or undo, with hashes.

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
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return stream.getvalue()


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
