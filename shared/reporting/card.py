"""The facts of a build as ``MODEL_CARD.md``: what a person should know before trusting the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

_FOLDER = Path(__file__).parent


def _percent(value: float | None) -> str:
    return "no cases" if value is None or value != value else f"{100 * value:.1f} %"


def render(facts: Mapping[str, Any]) -> str:
    """Markdown of the facts that :func:`shared.build.build` returns."""
    # Markdown, not HTML: nothing is escaped, and the texts are ours or the user's own file names.
    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.get_template("card.md.jinja").render(**facts, pct=_percent)
