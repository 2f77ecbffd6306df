"""A prescription and a terminal's profile in, the sentences why that terminal would refuse it out."""

from pathlib import Path
from typing import Any

from verticals.agriculture.spraying.shapefile_checks import shapefile_refusals
from verticals.agriculture.spraying.taskdata_checks import taskdata_refusals
from verticals.agriculture.spraying.terminal_profiles import Terminal


def check(path: Path, terminal: Terminal, *, field: Any = None) -> tuple[str, ...]:
    """Why a terminal would refuse a prescription.

    Args:
        path: For ``shp`` the ``.shp`` file or a folder with one; for ``isoxml`` the folder with ``TASKDATA.XML``,
            one that holds it as ``TASKDATA``, or a zip of either.
        terminal: The profile.
        field: The field in WGS84 (longitude, latitude), to see whether the map covers it; None leaves that out.

    Returns:
        One sentence for each reason: what was found, what the terminal takes, what to do; empty where none was found.
        That a file passes does not show that a terminal was ever seen to take it.
    """
    if terminal.format == "shp":
        return shapefile_refusals(path, terminal, field)
    return taskdata_refusals(path, terminal)
