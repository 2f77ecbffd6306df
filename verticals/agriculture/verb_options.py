"""What the field's verbs share: options, days, and the way a result is printed."""

import json
import sys
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import click

from shared.errors import ConfigError
from shared.verb_options import FILE

boundary_option = click.option(
    "--boundary", type=FILE, help="Outline of the field: GeoPackage, GeoJSON, Shapefile, KML."
)


def day(text: str, option: str) -> date:
    """A day as a person types it.

    Raises:
        ConfigError: It is none.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise ConfigError(f"{option} {text}: is not a day; write it as 2026-07-14") from error


def tell(facts: dict[str, Any], lines: Sequence[str], as_json: bool) -> None:
    """Print the facts of a verb: one JSON object, or lines."""
    print(json.dumps(facts) if as_json else "\n".join(lines), file=sys.stdout)
