"""What several verbs share: options, the way a result is printed, the labels of a vertical."""

import json
from collections.abc import Callable
from typing import Any

import click

import verticals
from shared.verb_options import FILE as FILE
from shared.verb_options import json_option as json_option

cache_option = click.option(
    "--cache", type=FILE, help="Folder for computed features. Default: the user's cache folder."
)


def tell_out(facts: dict[str, Any], as_json: bool, words: Callable[[dict[str, Any]], str]) -> None:
    """Print the facts of a verb: one JSON object, or words."""
    print(json.dumps(facts) if as_json else words(facts))


def taxonomy_of(vertical: str) -> Any:
    """The labels of a vertical by its name, None for no vertical."""
    from shared import taxonomy

    return taxonomy.load(verticals.load(vertical).folder / "labels.toml") if vertical else None
