"""Facts as one self-contained HTML page: every rate with its count and interval, nothing loaded from elsewhere."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from shared import atomic
from shared.reporting.rates import percent
from shared.wording import spoken

_FOLDER = Path(__file__).parent
_RATE = frozenset({"value", "low", "high", "n"})


def write_page(title: str, facts: Mapping[str, Any], path: Path, *, names: Mapping[str, str] | None = None) -> None:
    """Write the page, whole or not at all.

    Args:
        title: Heading.
        facts: What a vertical's ``report`` returns; rates are mappings with ``value``, ``low``, ``high`` and ``n``;
            ``intervals`` says in a sentence how theirs are made and what they count.
        path: The HTML file.
        names: What stands beside a label's code, e.g. ``{"SCR": "scratch"}``.
    """
    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.tests["rate"] = is_rate
    environment.filters["words"] = words
    environment.filters["counts"] = counts
    environment.filters["spoken"] = spoken
    environment.filters["called"] = called
    environment.filters["percent"] = percent
    environment.tests["rates"] = lambda value: (
        isinstance(value, Mapping) and value and all(map(is_rate, value.values()))
    )
    template = environment.get_template("page.html.jinja")
    made = datetime.now(UTC).isoformat(timespec="seconds")
    atomic.write(path, template.render(title=title, facts=facts, made=made, names=names or {}))


def words(value: Any) -> str:
    """A fact as a person reads it."""
    if value is None or value == [] or value == "":
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def called(label: str, names: Mapping[str, str]) -> str:
    """A label's code and its name; the name alone where the code is the same words."""
    name = names.get(label, label)
    return name if name in (label, spoken(label)) else f"{label} {name}"


def counts(rates: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What stands with every one of some rates beside share, interval and cases, e.g. how many got the right type."""
    common = set.intersection(*(set(rate) for rate in rates.values()))
    return [key for key in next(iter(rates.values())) if key in common - _RATE]


def is_rate(value: Any) -> bool:
    """Whether a value is a share with count and interval."""
    return isinstance(value, Mapping) and set(value) >= _RATE
