"""An ISOXML folder or zip in, the sentences why a terminal would refuse it out (ISO 11783-10)."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from defusedxml import DefusedXmlException, ElementTree

from shared.errors import DataError
from verticals.agriculture.spraying.terminal_profiles import Terminal

FILE_NAME = "TASKDATA.XML"
LARGEST_BYTES = 1_000_000_000
_ID = re.compile(r"^[A-Z]{3}[1-9][0-9]*$")
_IDS = {"CTR": "A", "FRM": "A", "PFD": "A", "PDT": "A", "TSK": "A"}
_BYTES = {"1": 1, "2": 4}
"""Bytes of a cell by grid type: a zone's code, or a signed 32-bit value."""
_ZONES = {"H": "default", "I": "position lost", "J": "out of field"}


def taskdata_refusals(path: Path, terminal: Terminal) -> tuple[str, ...]:
    """Why a terminal would refuse an ISOXML folder, one sentence for each reason.

    Args:
        path: The folder with ``TASKDATA.XML``, the one around it, or a zip of either.
        terminal: A profile of format ``isoxml``.

    Raises:
        DataError: There is no such folder or zip, or its XML cannot be read.
    """
    files = _contents(path)
    if FILE_NAME not in files:
        raise DataError(f"{path}: has no {FILE_NAME}; give the folder TASKDATA, the one around it, or a zip of it")
    try:
        root = ElementTree.fromstring(files[FILE_NAME])
    except (ElementTree.ParseError, DefusedXmlException) as error:
        raise DataError(f"{path}: {FILE_NAME} is not XML that is safe to read ({error}); write it again") from error
    return tuple([*_whole(root, terminal), *_people_and_field(root, terminal), *_tasks(root, files, terminal)])


def _contents(path: Path) -> dict[str, bytes]:
    """Files of a TASKDATA by their name in capitals; nothing is unpacked to disk."""
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                inside = [entry for entry in archive.infolist() if not entry.is_dir()]
                if sum(entry.file_size for entry in inside) > LARGEST_BYTES:
                    raise DataError(f"{path}: unpacks to more than {LARGEST_BYTES:,} bytes; no terminal takes that")
                return {PurePosixPath(entry.filename).name.upper(): archive.read(entry) for entry in inside}
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: is no zip that can be read ({error}); write it again") from error
    folder = path if (path / FILE_NAME).is_file() else path / "TASKDATA"
    return {file.name.upper(): file.read_bytes() for file in folder.glob("*") if file.is_file()}


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


def _tasks(root: Any, files: dict[str, bytes], terminal: Terminal) -> Iterator[str]:
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
            yield from _grid(grid, zones, files)


def _grid(grid: Any, zones: set[str | None], files: dict[str, bytes]) -> Iterator[str]:
    name, kind = grid.get("G", ""), grid.get("I", "")
    data = files.get(f"{name}.BIN")
    if kind not in _BYTES:
        yield f"{name} is of grid type {kind!r}; allowed are 1 and 2"
        return
    if data is None:
        yield f"{name}.bin is not in the folder, so that the prescription would be empty; copy it too"
        return
    cells = int(grid.get("E", 0)) * int(grid.get("F", 0))
    needed = cells * _BYTES[kind]
    if len(data) != needed:
        yield f"{name}.bin has {len(data)} bytes, {cells} cells of grid type {kind} need {needed}; write it again"
    elif kind == "1" and not {str(code) for code in set(data)} <= zones:
        unknown = sorted(code for code in set(data) if str(code) not in zones)
        yield f"{name}.bin uses the treatment zones {unknown}, which its task does not have"
    if kind == "2" and grid.get("J") not in zones:
        yield f"{name} takes its values for treatment zone {grid.get('J')}, which its task does not have"
