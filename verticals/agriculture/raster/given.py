"""What a person says about a raster that it does not say itself, or says wrongly: a TOML file beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared import config

ENDING = "raster.toml"


@dataclass(frozen=True)
class Given:
    """In place of what the file says; every verb that reads the raster takes it.

    Attributes:
        bands: Which band is what, ``"red=3,green=2,blue=1"``, counted from 1, or the names of all in the file's order.
        crs: CRS, e.g. ``"EPSG:32633"``.
        nodata: Value that stands for "nothing here" in all colour bands.
    """

    bands: str = ""
    crs: str = ""
    nodata: float | None = None

    @property
    def said(self) -> dict[str, Any]:
        """What of it was said, ready for ``json.dumps``."""
        return {key: value for key, value in asdict(self).items() if value not in ("", None)}


def settle(path: Path, *, bands: str | Sequence[str] | None, crs: str | None, nodata: float | None) -> Given:
    """What was said about a raster: as an option, else in ``<stem>.raster.toml`` or ``raster.toml`` beside it.

    Args:
        path: The raster.
        bands: As an option, in text or as names in the file's order; None where none was given.
        crs: Likewise.
        nodata: Likewise.

    Raises:
        ConfigError: The file beside it says something that is not allowed.
    """
    beside = [path.with_name(f"{path.stem}.{ENDING}"), path.with_name(ENDING)]
    found = next((config.load(Given, file) for file in beside if file.is_file()), Given())
    text = bands if isinstance(bands, str) or bands is None else ",".join(bands)
    return Given(text or found.bands, crs or found.crs, found.nodata if nodata is None else nodata)
