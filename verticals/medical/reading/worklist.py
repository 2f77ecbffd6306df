"""Items and when they came in, the worklist out: the most urgent first, and of those the one that waits longest.

Waiting is counted from arrival in the review store: dates of acquisition are moved by pseudonyms, so that the page
does not know them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from shared.records import Verdict
from shared.review.items import Item
from verticals.medical.taxonomy import URGENCY

Arrange = Callable[[Sequence[Item], Mapping[str, str]], list[Item]]
NOT_KNOWN = "not known"
_LONG_AGO = ""  # sorts before every time: what came before arrivals were written down has waited longest


def urgency_of(item: Item) -> int | None:
    """The suggested urgency, 0 (same day) to 4; None where nothing was examined or nothing is suggested."""
    said = item.payload.get("facts", {}).get("urgency")
    return said if item.verdict is not Verdict.NOT_EXAMINED and said in range(len(URGENCY)) else None


def by_urgency(items: Sequence[Item], arrivals: Mapping[str, str]) -> list[Item]:
    """What has no urgency (nothing was examined) first, then by urgency; within each, the longest waiting first."""

    def key(item: Item) -> tuple[int, str, float, str]:
        urgency = urgency_of(item)
        return (-1 if urgency is None else urgency, arrivals.get(item.id, _LONG_AGO), -item.risk, item.id)

    return sorted(items, key=key)


def by_waiting(items: Sequence[Item], arrivals: Mapping[str, str]) -> list[Item]:
    """The longest waiting first, so that the order says nothing of the model's answer."""
    return sorted(items, key=lambda item: (arrivals.get(item.id, _LONG_AGO), item.id))


def waited(arrived: str | None, now: datetime | None = None) -> str:
    """How long an item waits, in the two largest units.

    Args:
        arrived: ISO 8601 with its offset; None where it was not written down.
        now: With its offset; the present where None.
    """
    if not arrived:
        return NOT_KNOWN
    minutes = max(0, int(((now or datetime.now(UTC)) - datetime.fromisoformat(arrived)).total_seconds() // 60))
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def table(items: Sequence[Item], arrivals: Mapping[str, str], *, hidden: bool) -> list[dict[str, str]]:
    """Rows of the worklist for a person, by urgency, or by waiting time where answers are hidden.

    Args:
        items: Those that wait, in the order in which they come up, which is another one where some were skipped; each
            row has its place there.
        arrivals: When they came, by id.
        hidden: Whether the model's answers are not to be shown.
    """
    rows, places = [], {item.id: place for place, item in enumerate(items, start=1)}
    for item in (by_waiting if hidden else by_urgency)(items, arrivals):
        urgency, place = urgency_of(item), places[item.id]
        row = {"#": str(place), "picture": item.frame, "waiting": waited(arrivals.get(item.id))}
        if not hidden:
            row["suggested urgency"] = "NOT EXAMINED" if urgency is None else URGENCY[urgency]
        rows.append(row)
    return rows
