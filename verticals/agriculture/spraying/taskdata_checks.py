"""An ISOXML folder in, the sentences why a terminal would refuse it out (ISO 11783-10, TASKDATA.XML and its grids)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException, ElementTree

from shared.errors import DataError
from verticals.agriculture.spraying.terminal_profiles import Terminal

FILE_NAME = "TASKDATA.XML"
_ID = re.compile(r"^[A-Z]{3}[1-9][0-9]*$")
_IDS = {"CTR": "A", "FRM": "A", "PFD": "A", "PDT": "A", "TSK": "A"}
_BYTES = {"1": 1, "2": 4}
"""Bytes of a cell by grid type: a zone's code, or a signed 32-bit value."""
_ZONES = {"H": "default", "I": "position lost", "J": "out of field"}


def taskdata_refusals(path: Path, terminal: Terminal) -> tuple[str, ...]:
    """Why a terminal would refuse an ISOXML folder, one sentence for each reason.

    Args:
        path: The folder with ``TASKDATA.XML``, or the one around it.
        terminal: A profile of format ``isoxml``.

    Raises:
        DataError: There is no such folder, or its XML cannot be read.
    """
    folder = path if (path / FILE_NAME).is_file() else path / "TASKDATA"
    if not (folder / FILE_NAME).is_file():
        raise DataError(f"{path}: has no {FILE_NAME}; give the folder TASKDATA, a zip unpacked")
    try:
        root = ElementTree.parse(folder / FILE_NAME).getroot()
    except (ElementTree.ParseError, DefusedXmlException) as error:
        raise DataError(f"{folder / FILE_NAME}: is not XML that is safe to read ({error}); write it again") from error
    return tuple([*_whole(root, terminal), *_people_and_field(root, terminal), *_tasks(root, folder, terminal)])


def _whole(root: Any, terminal: Terminal) -> Iterator[str]:
    version = f"{root.get('VersionMajor')}.{root.get('VersionMinor')}"
    if version not in terminal.versions:
        yield f"it is of version {version}; the terminal reads {', '.join(terminal.versions)}: write that version"
    for tag, attribute in _IDS.items():
        for element in root.iter(tag):
            name = element.get(attribute, "")
            if not (_ID.match(name) and name.startswith(tag)):
                yield f"{tag} has the id {name!r}; allowed are {tag}1, {tag}2 ..., without dash or leading zero"


def _people_and_field(root: Any, terminal: Terminal) -> Iterator[str]:
    for tag, name in (("CTR", "Customer"), ("FRM", "Farm"), ("PFD", "Partfield")):
        if root.find(tag) is None:
            yield f"it has no {name} ({tag}); some terminals hide tasks without one: add it"
    for field in root.iter("PFD"):
        count = len(field.findall("PLN"))
        if terminal.one_polygon and count > 1:
            yield f"{field.get('A')} has {count} polygons; the terminal takes one for each Partfield: write a task each"


def _tasks(root: Any, folder: Path, terminal: Terminal) -> Iterator[str]:
    if root.find("TSK") is None:
        yield "it has no Task (TSK), so that nothing would be done"
    known = {element.get("A") for tag in ("CTR", "FRM", "PFD", "PDT") for element in root.iter(tag)}
    for task in root.iter("TSK"):
        name = task.get("A")
        for attribute, what in (("C", "Customer"), ("D", "Farm"), ("E", "Partfield")):
            if task.get(attribute) not in known:
                yield f"{name} names {what} {task.get(attribute)}, which is not there"
        zones = {zone.get("A") for zone in task.findall("TZN")}
        for attribute, what in _ZONES.items():
            if task.get(attribute) not in zones:
                yield f"{name} has no {what} treatment zone; without it a terminal does what it likes there: set it"
        grids = task.findall("GRD")
        if terminal.one_grid and len(grids) != 1:
            yield f"{name} has {len(grids)} grids; the terminal takes one map for each metering unit: write a task each"
        for grid in grids:
            yield from _grid(grid, zones, folder)


def _grid(grid: Any, zones: set[str | None], folder: Path) -> Iterator[str]:
    name, kind = grid.get("G", ""), grid.get("I", "")
    file = next((f for f in folder.iterdir() if f.name.upper() == f"{name}.BIN"), None)
    if kind not in _BYTES:
        yield f"{name} is of grid type {kind!r}; allowed are 1 and 2"
        return
    if file is None:
        yield f"{name}.bin is not in the folder, so that the prescription would be empty; copy it too"
        return
    cells = int(grid.get("E", 0)) * int(grid.get("F", 0))
    size, needed = file.stat().st_size, cells * _BYTES[kind]
    if size != needed:
        yield f"{file.name} has {size} bytes, {cells} cells of grid type {kind} need {needed}; write it again"
    elif kind == "1" and not {str(code) for code in set(file.read_bytes())} <= zones:
        unknown = sorted(code for code in set(file.read_bytes()) if str(code) not in zones)
        yield f"{file.name} uses the treatment zones {unknown}, which its task does not have"
    if kind == "2" and grid.get("J") not in zones:
        yield f"{name} takes its values for treatment zone {grid.get('J')}, which its task does not have"
