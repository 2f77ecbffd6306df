"""Photographs of one lesion in, one picture with all of them side by side out, the earlier turned onto the latest."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.data import images
from shared.errors import DataError
from verticals.medical.dicom import lettering
from verticals.medical.reading import registration
from verticals.medical.reading.visits import Visit

MOST = 4
"""Pictures beside each other; of more, the first and the last ones are shown."""
_GAP, _STRIP = 6, 0.07
_FAILED = "not registered"


@dataclass(frozen=True)
class Timeline:
    """Pictures of one lesion beside each other.

    Attributes:
        picture: ``(rows, columns, 3)`` uint8 RGB, the earliest on the left; each below its words.
        notes: One sentence per picture: when, whether it could be registered, whether sizes compare; and one more
            where not all are shown.
    """

    picture: NDArray[np.uint8]
    notes: tuple[str, ...]


def beside(visits: Sequence[Visit], frame: str) -> Timeline:
    """Lay the pictures of a lesion side by side.

    Args:
        visits: At least two, the earliest first, one of them of the frame.
        frame: The picture on which the others are laid.

    Raises:
        DataError: A picture cannot be read.
    """
    shown = _chosen(visits, frame)
    present = next(visit for visit in shown if visit.frame == frame)
    base = images.read(present.image)
    tiles, notes = [], []
    for visit in shown:
        tile, note = (base, _when(visit, present)) if visit is present else _laid(visit, present, base)
        tiles.append(_captioned(tile, note.split("; ")))
        notes.append(note)
    if left := len(visits) - len(shown):
        notes.append(f"{left} of {len(visits)} pictures of this lesion are not shown here: those between")
    gap = np.full((tiles[0].shape[0], _GAP, 3), 255, np.uint8)
    row = [piece for tile in tiles for piece in (tile, gap)][:-1]
    return Timeline(np.concatenate(row, axis=1), tuple(notes))


def _chosen(visits: Sequence[Visit], frame: str) -> list[Visit]:
    """At most :data:`MOST`: the frame itself, the first, and the latest of the others."""
    if len(visits) <= MOST:
        return list(visits)
    kept = {visits[0].frame, frame}
    for visit in reversed(visits):
        if len(kept) < MOST:
            kept.add(visit.frame)
    return [visit for visit in visits if visit.frame in kept]


def _laid(visit: Visit, present: Visit, base: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    picture, when = images.read(visit.image), _when(visit, present)
    known = visit.mm_per_px is not None and present.mm_per_px is not None
    scale = present.mm_per_px[0] / visit.mm_per_px[0] if visit.mm_per_px and present.mm_per_px else 1.0
    sizes = "same scale" if known else "scale not known: sizes do not compare"
    found = registration.register(picture, base, scale=scale)
    if found is None:
        return _fitted(picture, base.shape[:2], 1 / scale if known else None), f"{when}; {_FAILED}; {sizes}"
    return found.picture, f"{when}; registered; {sizes}"


def _fitted(picture: NDArray[np.uint8], shape: tuple[int, ...], scale: float | None) -> NDArray[np.uint8]:
    """A picture that could not be registered, in the middle of a tile; at the given scale, or as large as it fits."""
    rows, columns = shape
    by = scale if scale is not None else min(rows / picture.shape[0], columns / picture.shape[1])
    matrix = np.array([[by, 0, (columns - by * picture.shape[1]) / 2], [0, by, (rows - by * picture.shape[0]) / 2]])
    result: NDArray[np.uint8] = np.asarray(cv2.warpAffine(picture, matrix, (columns, rows)), np.uint8)
    return result


def _when(visit: Visit, present: Visit) -> str:
    if visit is present:
        return "this picture"
    if visit.day is None or present.day is None:
        return "date not known"
    days = (present.day - visit.day).days
    if days == 0:
        return "same day"
    return f"{days} days before" if days > 0 else f"{-days} days after"


def _captioned(picture: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """The picture below a white strip with two lines of dark words; it is covered nowhere."""
    columns = picture.shape[1]
    high = max(14, round(_STRIP * columns))
    result = np.full((2 * high, columns, 3), 255, np.uint8)
    for number, line in enumerate((lines[0], ", ".join(lines[1:]))):
        # Of one height in every tile, so that a long line is drawn smaller and not broken.
        size = min(high // 2, lettering.size_for(line, columns))
        words = lettering.strip([line], columns, size, ink=20, paper=255)[:high]
        result[number * high : number * high + words.shape[0]] = words
    return np.concatenate([result, picture])


def draw(visits: Sequence[Visit], frame: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """:func:`beside` as a PNG in a folder, and its notes; drawn once for the same pictures.

    Raises:
        DataError: A picture cannot be read, or there are fewer than two.
    """
    if len(visits) < 2:
        raise DataError("there is one picture of this lesion only; give visits the same tracking id to compare them")
    files = [f"{visit.image} {visit.image.stat().st_mtime_ns if visit.image.is_file() else 0}" for visit in visits]
    path = folder / f"{hashlib.sha256(chr(10).join([frame, *files]).encode()).hexdigest()[:24]}.png"
    told = path.with_suffix(".json")
    if not told.is_file():
        made = beside(visits, frame)
        images.write_png(path, made.picture)
        atomic.write(told, json.dumps(made.notes))
    return path, tuple(json.loads(told.read_text(encoding="utf-8")))
