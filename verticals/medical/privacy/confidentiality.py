"""The table of PS3.15: attribute in, what the confidentiality profile does with it out.

``profile_table.csv`` holds Table E.1-1 of DICOM PS3.15 2026c, Basic Application Level Confidentiality Profile, without
its two rows of repeating groups (curves and overlays, which are removed as whole groups). Its column ``option`` names
the option that overrides the action where a site uses it; ``source`` says ``E.1-1``, or ``added`` for attributes that
the standard's table forgets and that hold free text about a person or a lesion.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

EDITION = "DICOM PS3.15 2026c, Table E.1-1"
TABLE = Path(__file__).parent / "profile_table.csv"

CHOSEN: Mapping[str, str] = {
    "D": "D",
    "Z": "Z",
    "X": "X",
    "U": "U",
    "Z/D": "D",
    "X/Z": "Z",
    "X/D": "D",
    "X/Z/D": "D",
    "X/Z/U*": "U",
}
"""Where the table leaves a choice that depends on the attribute's type in the IOD, the one that is right for any type:
a dummy is allowed where an empty value or a removal would be, and not the other way round (PS3.15 E.1.1)."""


@dataclass(frozen=True)
class Row:
    """One attribute of the table.

    Attributes:
        tag: Group and element as one number.
        keyword: Its name in PS3.6.
        vr: Its value representation, empty where the data dictionary in use does not know the attribute yet.
        action: As the table writes it, e.g. ``"X/Z/D"``.
        option: ``dates``, ``patient``, ``device`` or ``descriptors``; empty where no option of ours changes it.
        added: True where the standard's table does not list it.
    """

    tag: int
    keyword: str
    vr: str
    action: str
    option: str
    added: bool

    @property
    def chosen(self) -> str:
        """``D`` dummy, ``Z`` empty, ``X`` remove or ``U`` new UID."""
        return CHOSEN[self.action]


@cache
def table() -> Mapping[int, Row]:
    """All rows by tag."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = [
            Row(int(r["tag"], 16), r["keyword"], r["vr"], r["action"], r["option"], r["source"] == "added")
            for r in csv.DictReader(stream)
        ]
    return {row.tag: row for row in rows}
