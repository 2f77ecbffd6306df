"""Items and verdicts in, rows of the store out, and back; and the hash that chains one row to the next."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from shared.records import Action, Box, Review, Verdict
from shared.review.items import Item, canonical

_SIGNED = ("seq", "item", "action", "label", "reviewer", "at", "seconds", "note", "undoes", "shown")


def chained(previous: str, row: Any) -> str:
    """Hash of a review row that follows the row with the hash ``previous``."""
    return hashlib.sha256((previous + canonical({key: row[key] for key in _SIGNED})).encode()).hexdigest()


def review_of(row: Any) -> Review:
    """A verdict as it was recorded."""
    return Review(
        row.item, Action(row.action), row.label, row.reviewer, row.at, row.seconds, row.note, undoes=row.undoes
    )


def of_item(item: Item) -> dict[str, Any]:
    """The columns of an item; what is not a number or a text is JSON."""
    return {
        **asdict(item),
        "box": canonical(asdict(item.box)) if item.box else None,
        "verdict": item.verdict.value,
        "reasons": json.dumps(list(item.reasons)),
        "payload": canonical(item.payload),
    }


def item_of(row: Any) -> Item:
    """The inverse of :func:`of_item`."""
    return Item(
        **{
            **row._mapping,
            "box": Box(**json.loads(row.box)) if row.box else None,
            "verdict": Verdict(row.verdict),
            "reasons": tuple(json.loads(row.reasons)),
            "payload": json.loads(row.payload),
        }
    )
