"""What terminals accept, as data with their sources."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared import config
from shared.errors import ConfigError

PROFILES = Path(__file__).parent / "terminals.toml"
FORMATS = ("shp", "isoxml")


@dataclass(frozen=True)
class Terminal:
    """What one terminal accepts; a limit that its source does not state is None or False.

    Attributes:
        name: For people.
        format: ``shp`` or ``isoxml``.
        source: Where the limits are published.
        checked_on: When that was read, ISO 8601.
        columns: Numeric columns that must be there, in this order; the first holds the rate.
        only_these_columns: No other column is allowed.
        max_polygons: Most areas, each outer ring counted.
        max_bytes: Most bytes of all files together.
        max_hectares: Area below which the map must stay.
        dos_names: File names of 8 letters and an ending of 3.
        covers_field: The map must say a rate for all of the field, because a normal rate is applied elsewhere.
        versions: TASKDATA versions, e.g. ``3.3``.
        one_polygon: One polygon for each Partfield.
        one_grid: One grid for each task.
    """

    name: str
    format: str
    source: str
    checked_on: str
    columns: tuple[str, ...] = ()
    only_these_columns: bool = False
    max_polygons: int | None = None
    max_bytes: int | None = None
    max_hectares: float | None = None
    dos_names: bool = False
    covers_field: bool = False
    versions: tuple[str, ...] = ()
    one_polygon: bool = False
    one_grid: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format is {self.format!r}; allowed are {', '.join(FORMATS)}")
        if self.format == "shp" and not self.columns:
            raise ValueError("columns is empty; a Shapefile needs at least the column with the rate")


def profiles() -> Mapping[str, Terminal]:
    """The terminals that come with the package, by key; each says its source."""
    return config.profiles(Terminal, PROFILES)


def named(key: str) -> Terminal:
    """A terminal of :func:`profiles`.

    Raises:
        ConfigError: There is none of that key.
    """
    known = profiles()
    if key not in known:
        raise ConfigError(f"terminal {key!r} is not known; {config.did_you_mean(key, list(known))}")
    return known[key]
