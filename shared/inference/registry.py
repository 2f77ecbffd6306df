"""Versions of one model in a plain folder: which answers now, which before, and a chained record of every step.

``versions/<hash>`` are bundles, ``current`` names one of them, ``record.jsonl`` says what was done. A version is copied
whole before the pointer moves, and the pointer moves by one rename: killed at any moment, what answered before or what
was promoted is there. Who changes a registry holds its lock meanwhile: of two at once, each would remove what the other
names.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared import atomic
from shared.errors import BundleError
from shared.inference import bundle as bundles

CURRENT, VERSIONS, RECORD = "current", "versions", "record.jsonl"
_LOCK = ".lock"
_GENESIS = "0" * 64


@dataclass(frozen=True)
class Registry:
    """An opened registry.

    Attributes:
        path: The folder.
        current: Hash of the version that answers, empty before the first promotion.
        previous: Hash of the one before, empty where there is none.
    """

    path: Path
    current: str
    previous: str

    @property
    def bundle(self) -> Path:
        """Folder of the version that answers."""
        return self.path / VERSIONS / self.current[:12]


def is_registry(path: Path) -> bool:
    """Whether a folder is one."""
    return (path / CURRENT).is_file()


def resolve(path: Path) -> Path:
    """The folder of the bundle that a path means: its own, or that of the version that answers in a registry."""
    return read(path).bundle if is_registry(path) else path


def read(path: Path) -> Registry:
    """Open a registry; a folder without one is an empty registry.

    Raises:
        BundleError: Its pointer is unreadable, or names a version that is not there.
    """
    if not is_registry(path):
        return Registry(path, "", "")
    try:
        named = json.loads((path / CURRENT).read_text(encoding="utf-8"))
        found = Registry(path, str(named["current"]), str(named["previous"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path / CURRENT}: cannot be read ({error!r}); restore the registry from a backup"
        ) from error
    if not (found.bundle / bundles.CARD).is_file():
        raise BundleError(f"{path}: version {found.current[:12]} is missing; restore the registry from a backup")
    return found


def promote(path: Path, bundle: Path, why: Mapping[str, Any]) -> Registry:
    """Make a bundle the version that answers; the one before is kept, older ones are removed.

    Args:
        path: The registry; made where there is none.
        bundle: Folder of the new version.
        why: Written into the record, e.g. the gate it passed.
    """
    made = bundles.load(bundle)
    with atomic.alone(path / _LOCK):
        before = read(path)
        target = path / VERSIONS / made.hash[:12]
        if not (target / bundles.CARD).is_file():
            with atomic.folder(target) as folder:
                for file in bundle.iterdir():  # one by one: the first that does not fit is the fault, and says where
                    shutil.copy2(file, folder / file.name)
        previous = before.current if before.current != made.hash else before.previous
        return _move(before, made.hash, previous, "promote", why)


def roll_back(path: Path, why: Mapping[str, Any] | None = None) -> Registry:
    """Make the version before answer again; rolling back twice comes back.

    Raises:
        BundleError: There is none before.
    """
    if not is_registry(path):  # and none is made of it by a lock
        raise BundleError(f"{path}: has no version before this one; nothing to roll back to")
    with atomic.alone(path / _LOCK):
        before = read(path)
        if not before.previous:
            raise BundleError(f"{path}: has no version before this one; nothing to roll back to")
        bundles.load(path / VERSIONS / before.previous[:12])
        return _move(before, before.previous, before.current, "roll back", why or {})


def _move(before: Registry, current: str, previous: str, step: str, why: Mapping[str, Any]) -> Registry:
    """Record first, then move: a record without a move tells that the move was cut off, never the reverse."""
    _append(before.path, {"step": step, "from": before.current, "to": current, "why": dict(why)})
    atomic.write(before.path / CURRENT, json.dumps({"current": current, "previous": previous}))
    for version in (before.path / VERSIONS).iterdir():
        if version.name not in (current[:12], previous[:12]) and not version.name.startswith("."):
            shutil.rmtree(version)
    return read(before.path)


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    entries = history(path)
    line = {**entry, "at": datetime.now(UTC).isoformat(timespec="seconds"), "n": len(entries) + 1}
    line["before"] = entries[-1]["hash"] if entries else _GENESIS
    line["hash"] = _hash(line)
    # A line that a kill cut off is no entry; the next one must not be glued to it.
    whole = "".join(json.dumps(e, sort_keys=True) + "\n" for e in [*entries, line])
    atomic.write(path / RECORD, whole)
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def history(path: Path) -> list[dict[str, Any]]:
    """Every step, oldest first, checked.

    Raises:
        BundleError: An entry was altered, removed or moved.
    """
    file = path / RECORD
    if not file.is_file():
        return []
    entries: list[dict[str, Any]] = []
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(text)
            stated = entry.pop("hash")
            right = entry["before"] == (entries[-1]["hash"] if entries else _GENESIS) and _hash(entry) == stated
        except (ValueError, KeyError, TypeError, AttributeError):
            right, entry, stated = False, {}, ""
        if not right or entry["n"] != number:
            raise BundleError(f"{file} line {number}: was altered or moved; restore the registry from a backup")
        entries.append(entry | {"hash": stated})
    return entries


def _hash(entry: Mapping[str, Any]) -> str:
    content = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
