"""Options that verbs of the core and of every vertical have in common."""

from pathlib import Path

import click

FILE = click.Path(path_type=Path)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there."
)
