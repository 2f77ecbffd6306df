"""The bytes of one received object in, one file on disk, or a reason why not, out: the inbox's storekeeper.

``objects/`` holds what may be read, one file per SOP Instance UID, whoever sent it and how often. ``quarantine/`` holds
what a person must look at: another object under a UID that is taken, with a JSON of the reason beside it. Names are
hashes of UIDs, because UIDs of some makers hold patient numbers and dates. Objects name patients: folders and files are
for their owner alone. Nothing is kept until file and folder have
reached the disk.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from io import BytesIO
from pathlib import Path

from shared.errors import DataError, require

OBJECTS, QUARANTINE, INCOMING = "objects", "quarantine", ".incoming"
_BINARY = getattr(os, "O_BINARY", 0)
"""Windows would otherwise turn line feeds into two bytes."""


class Kept(StrEnum):
    """Where an object went."""

    STORED = "stored"
    KNOWN = "known"
    """The same bytes were there already."""
    QUARANTINED = "quarantined"
    """Another object has this SOP Instance UID; both are on disk."""


@dataclass(frozen=True)
class Identity:
    """What names an object: the UIDs in its data set."""

    sop_class: str
    sop_instance: str


def make_folders(folder: Path) -> None:
    """Make what is missing of the inbox's folders; they are for their owner alone, also those of an earlier version."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in (OBJECTS, QUARANTINE, INCOMING):
        (folder / part).mkdir(mode=0o700, exist_ok=True)
        (folder / part).chmod(0o700)


def prepare(folder: Path) -> None:
    """Make the folders, and sweep away what a killed server had not finished (and had not acknowledged)."""
    make_folders(folder)
    for unfinished in (folder / INCOMING).iterdir():
        unfinished.unlink()


def quarantined(objects: Path) -> list[Path]:
    """What lies in the quarantine of the inbox whose ``objects`` these are; nothing for any other folder."""
    place = objects.absolute()
    return sorted((place.parent / QUARANTINE).glob("*.dcm")) if place.name == OBJECTS else []


def name(sop_instance: str) -> str:
    """File name of an object: 32 hexadecimal digits of the SHA-256 of its SOP Instance UID."""
    return f"{hashlib.sha256(sop_instance.encode()).hexdigest()[:32]}.dcm"


def identity(data: bytes) -> Identity:
    """UIDs in the data set of a DICOM file.

    Raises:
        DataError: It cannot be parsed, or has none; the sentence holds nothing of it.
    """
    pydicom = require("pydicom", extra="medical")
    from verticals.medical.privacy.deidentify import silence

    with silence("cannot be parsed"):
        found = pydicom.dcmread(BytesIO(data), specific_tags=["SOPClassUID", "SOPInstanceUID"])
        return Identity(str(found["SOPClassUID"].value), str(found["SOPInstanceUID"].value))


def keep(folder: Path, data: bytes, sop_instance: str, sender: str) -> Kept:
    """Put an object on disk, whole and flushed, before anybody is told so.

    Args:
        folder: Of the inbox, prepared.
        data: A whole DICOM file.
        sop_instance: Its SOP Instance UID.
        sender: Who sent it; for the note beside a quarantined object.

    Raises:
        OSError: The disk refuses; nothing is left behind then.
    """
    final = folder / OBJECTS / name(sop_instance)
    if _place(folder, data, final):
        return Kept.STORED
    if _content(final.read_bytes()) == _content(data):
        return Kept.KNOWN
    digest = hashlib.sha256(_content(data)).hexdigest()[:16]
    aside = folder / QUARANTINE / f"{final.stem}-{digest}.dcm"
    note = {
        "reason": "another object with the same SOP Instance UID is in the inbox; compare both and keep one",
        "kept": final.name,
        "sender": sender,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _place(folder, json.dumps(note, indent=1).encode(), aside.with_suffix(".json"))
    _place(folder, data, aside)
    return Kept.QUARANTINED


def _content(data: bytes) -> bytes:
    """Everything behind the file meta information's own software names: transfer syntax and data set."""
    if data[128:132] != b"DICM" or data[132:136] != b"\x02\0\0\0":
        raise DataError("the object has no file meta information with its length; store it through the inbox")
    pydicom = require("pydicom", extra="medical")
    end = 144 + int.from_bytes(data[140:144], "little")
    syntax = pydicom.dcmread(BytesIO(data[:end])).file_meta.TransferSyntaxUID
    return str(syntax).encode() + b"\0" + data[end:]


def _place(folder: Path, data: bytes, final: Path) -> bool:
    """Write, flush, link under its name, flush the folder; False where the name is taken.

    A link and not a rename: of two that arrive at once one is told that the name is taken, and nothing is overwritten.
    """
    temporary = folder / INCOMING / secrets.token_hex(16)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, final)
        except FileExistsError:
            placed = False
        else:
            placed = True
        # Also where the name was taken: whoever took it may not have come to this line yet.
        _flush_folder(final.parent)
        return placed
    finally:
        temporary.unlink(missing_ok=True)


def _flush_folder(path: Path) -> None:
    """The file's name is on disk only when its folder is; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
