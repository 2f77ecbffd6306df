"""The verticals. The folder is the registry: a fourth one is one new folder and no edit elsewhere."""

from importlib import import_module
from pathlib import Path
from typing import Any

from shared.config import did_you_mean
from shared.errors import ConfigError
from shared.vertical import Vertical


def names() -> tuple[str, ...]:
    """Names of the verticals, in alphabetical order."""
    folders = Path(__file__).parent.iterdir()
    return tuple(sorted(f.name for f in folders if (f / "__init__.py").is_file()))


def load(name: str) -> Vertical:
    """The vertical of that name.

    Raises:
        ConfigError: There is none; the sentence names the closest.
    """
    if name not in names():
        raise ConfigError(f"vertical {name!r} is unknown; {did_you_mean(name, names())}")
    vertical: Vertical = import_module(f"verticals.{name}").VERTICAL
    return vertical


def verbs() -> tuple[Any, ...]:
    """Commands that verticals bring beside those of the core: ``VERBS`` of each folder's ``verbs.py``."""
    here = Path(__file__).parent
    owners = [name for name in names() if (here / name / "verbs.py").is_file()]
    return tuple(verb for name in owners for verb in import_module(f"verticals.{name}.verbs").VERBS)
