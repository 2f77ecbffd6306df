"""A prescription in, the files that a terminal reads and the order's own figures out."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared import atomic
from shared.config import did_you_mean
from shared.errors import ConfigError, DataError
from verticals.agriculture.spraying import isoxml_files, layers, terminals
from verticals.agriculture.spraying.isoxml_files import TaskNames
from verticals.agriculture.spraying.terminal_profiles import Terminal
from verticals.agriculture.spraying.terminal_profiles import named as terminal_named
from verticals.agriculture.viewing import ordered
from verticals.agriculture.viewing.prescriptions import Ground, Prescribed, facts

FORMATS: Mapping[str, str] = {
    "isoxml3": "isoxml_v3", "isoxml3-type2": "isoxml_v3", "isoxml4": "isoxml_v4", "shp": "shapefile", "gpkg": "",
}  # fmt: skip
"""What is written, and the terminal it is checked for where none is named; a GeoPackage is for no terminal."""
NO_PRODUCT = "this order names no product: what is in the tank is not known from it"


def order(
    made: Prescribed,
    on: Ground,
    out: Path,
    form: str,
    terminal: str = "",
    *,
    names: Mapping[str, str] | None = None,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a prescription, and its figures beside it as ``OUT.json``: what a person signs and can show later.

    The map notes what was prescribed on it, so that a walk asks about the same threshold and targets.

    Args:
        made: The prescription.
        on: What it was made on.
        out: Folder, made or replaced: ``TASKDATA``, ``RX.shp`` with its parts, or ``prescription.gpkg``.
        form: Of :data:`FORMATS`.
        terminal: Key of a terminal profile; empty takes the usual one of the format.
        names: ``product``, ``farm`` and ``customer`` as an ISOXML terminal shows them, each up to 32 characters; what
            is absent or empty has a word that stands for it, and of a product that is not named it is told.
        more: Further figures, e.g. who ordered it; ``remarks`` are added to the others.

    Returns:
        What stands in the file.

    Raises:
        ConfigError: The format or the terminal is not known, or they do not go together.
        DataError: The terminal would refuse the files, or a name is too long for one.
    """
    said = {key: text.strip() for key, text in (names or {}).items() if text.strip()}
    shown: dict[str, Any] = dict(said)
    profile = _write(made, out, form, terminal, replace(isoxml_files.named(made.name), **shown))
    found = facts(made, on)
    remarks = [*found["remarks"], *more.get("remarks", ()), *([] if "product" in said else [NO_PRODUCT])]
    found |= {
        **said,
        **more,
        "remarks": remarks,
        "files": str(out),
        "format": form,
        "terminal": profile.name if profile else "",
    }
    atomic.write(out.with_name(f"{out.name}.json"), json.dumps(found, indent=2) + "\n")
    ordered.keep(made.folder, found)
    return found


def _write(made: Prescribed, out: Path, form: str, terminal: str, names: TaskNames) -> Terminal | None:
    """Write the folder, whole or not at all; the terminal that it was checked for, None for a GeoPackage."""
    if form not in FORMATS:
        raise ConfigError(f"format {form!r} is not written; {did_you_mean(form, list(FORMATS))}")
    if form == "gpkg":
        with atomic.folder(out) as temporary:
            layers.write_geopackage(made.plan, temporary / "prescription.gpkg", made.provenance)
        return None
    profile = terminal_named(terminal or FORMATS[form])
    if (profile.format == "shp") != (form == "shp"):
        raise ConfigError(f"{profile.name} takes {profile.format}, not {form}; name a format that it takes")
    if form == "shp":
        layers.write_shapefile(made.plan, out, profile)
        return profile
    with atomic.folder(out) as temporary:
        task = isoxml_files.write_task(
            made.plan, temporary / "task", made.provenance, names=names,
            version="4.3" if form == "isoxml4" else "3.3", grid_type=2 if form == "isoxml3-type2" else 1,
        )  # fmt: skip
        refusals = terminals.check(task, profile)
        if refusals:
            raise DataError(f"{out}: {profile.name} would refuse it: {'; '.join(refusals)}")
        (task / "TASKDATA").replace(temporary / "TASKDATA")
        task.rmdir()
    return profile
