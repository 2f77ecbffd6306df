"""The facts of a build as ``MODEL_CARD.md``: what a person should know before trusting the model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from shared.reporting.cautions import cautions
from shared.reporting.rates import percent
from shared.wording import counted, spoken

_FOLDER = Path(__file__).parent


def plain(text: object) -> str:
    """A name, path or sentence in one line that neither ends a table cell nor becomes markup."""
    line = " ".join(str(text).split())
    return re.sub(r"[|`\\]", r"\\\g<0>", line).replace("&", "&amp;").replace("<", "&lt;")


def render(facts: Mapping[str, Any]) -> str:
    """Markdown of the facts that :func:`shared.build.build` returns; what an older bundle does not hold is left out."""
    loader = jinja2.FileSystemLoader(_FOLDER)
    # Markdown, not HTML: names and paths are made harmless by the filter.
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    environment.filters["spoken"] = spoken
    environment.globals["counted"] = counted
    return environment.get_template("card.md.jinja").render(facts=facts, cautions=cautions(facts), pct=percent)
