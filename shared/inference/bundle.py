"""The Bundle: one servable model as a folder that is whole, unaltered, and says what it was made from."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shared import atomic
from shared.errors import BundleError

Content = TypeVar("Content")

FORMAT = 2
CARD = "bundle.json"
MODEL = "model.onnx"
NETWORK = "backbone.safetensors"
"""The torch network, where the recipe does not give it; see :mod:`shared.training.kept_backbone`."""
_REPLACED = "was replaced while it was being loaded; load it again"


@dataclass(frozen=True)
class Bundle:
    """A bundle that passed its hash check.

    Attributes:
        path: The folder.
        card: The content of ``bundle.json``.
    """

    path: Path
    card: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of the card, which holds the hashes of all other files: it names this very bundle."""
        return str(self.card["bundle_hash"])

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of the probabilities."""
        return tuple(self.card["labels"])

    @property
    def ok_label(self) -> str | None:
        """The label that means "nothing wrong", None where there is none."""
        return self.card["ok_label"] or None

    @property
    def unsought(self) -> tuple[str, ...]:
        """Labels that the certificate does not cover: "nothing wrong", and what the vertical need not find."""
        return tuple(self.card.get("unsought", filter(None, [self.ok_label])))

    @property
    def vertical(self) -> str:
        """Name of the vertical it was built for, empty for none."""
        return str(self.card["vertical"])

    @property
    def threshold(self) -> float | None:
        """Risk from which images are flagged, None where nothing was certified."""
        certificate = self.card["certificate"]
        return None if certificate is None else float(certificate["threshold"])

    def content(self, name: str) -> bytes:
        """The bytes of one of its files, read once: they are those that the card names, wherever the folder is by now.

        Raises:
            BundleError: Another bundle has taken the folder's place since this one was checked.
        """
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise BundleError(f"{self.path}: {_REPLACED} ({error.strerror}: {name})") from error
        if hashlib.sha256(data).hexdigest() != self.card["files"][name]:
            raise BundleError(f"{self.path}: {_REPLACED} ({name} is another one)")
        return data


def part(path: Path, read: Callable[[Path], Content]) -> Content | None:
    """Read a file that a bundle may have or not; None where it has none.

    Args:
        path: The file.
        read: Gives its content, and raises whatever it likes where the file is damaged.

    Raises:
        BundleError: The file is damaged.
    """
    return parsed(path, lambda: read(path)) if path.is_file() else None


def parsed(path: Path, read: Callable[[], Content]) -> Content:
    """What a reader makes of a file.

    Args:
        path: The file, to be named.
        read: Gives its content, and raises whatever it likes where the file is damaged.

    Raises:
        BundleError: The file is damaged.
    """
    try:
        return read()
    except Exception as error:  # zip archives, safetensors and JSON each raise classes of their own
        raise BundleError(f"{path}: cannot be read ({error!r}); take an unaltered copy or build again") from error


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def card_hash(card: Mapping[str, Any]) -> str:
    """SHA-256 over the card without its own hash, in canonical JSON."""
    content = {key: value for key, value in card.items() if key != "bundle_hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_place(out: Path) -> None:
    """Before anything is computed: whether a bundle may and can be written there.

    Raises:
        BundleError: Something else than a bundle is there.
        OSError: The folder around it cannot be made or written to.
    """
    if out.exists() and not (out / CARD).is_file():
        raise BundleError(f"{out}: exists and is no bundle; give another name after -o, nothing is overwritten")
    atomic.check(out)


def seal(folder: Path, card: Mapping[str, Any]) -> None:
    """Write ``bundle.json`` with the hashes of all other files in the folder: the last step of making a bundle."""
    files = {f.name: file_hash(f) for f in sorted(folder.iterdir()) if f.name != CARD}
    # Through JSON once, so that what is hashed is what will be read again (tuples become lists).
    sealed = json.loads(json.dumps({**card, "format": FORMAT, "files": files}))
    sealed["bundle_hash"] = card_hash(sealed)
    (folder / CARD).write_text(json.dumps(sealed, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(path: Path) -> Bundle:
    """Read a bundle and check every file against its hash.

    Raises:
        BundleError: It is not a bundle, is of another format, or a file is missing, altered or foreign.
    """
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
        files: dict[str, str] = card["files"]
        stated = card["bundle_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path}: is not a bundle ({CARD} is missing or unreadable); make one with loupe build"
        ) from error
    if card.get("format") != FORMAT:
        raise BundleError(
            f"{path}: is a bundle of format {card.get('format')}, this version reads {FORMAT}; build it again"
        )
    if card_hash(card) != stated:
        raise BundleError(f"{path}: {CARD} was altered after the build; take an unaltered copy or build again")
    try:
        present = {f.name for f in path.iterdir()} - {CARD}
        for name in sorted(present ^ set(files)):
            what = "is missing" if name in files else "does not belong to it"
            raise BundleError(f"{path}: {name} {what}; take an unaltered copy or build again")
        for name, stated in files.items():
            if file_hash(path / name) != stated:
                raise BundleError(f"{path}: {name} was altered after the build; take an unaltered copy or build again")
    except FileNotFoundError as error:  # it was there a moment ago
        raise BundleError(f"{path}: {_REPLACED} ({error})") from error
    return Bundle(path, card)
