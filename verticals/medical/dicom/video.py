"""The coded film of a Video Photographic Image in, still frames out: a few, evenly spaced, or every one."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shared.errors import DataError
from verticals.medical.dicom.colour import Picture

SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
"""MPEG-2, MPEG-4 AVC/H.264 and HEVC/H.265 (PS3.5 A.4), with their fragmentable forms ``.1``."""

_SHORT = "holds a film that cannot be decoded as far as its header says; export still images from it"


def is_video(syntax: str) -> bool:
    """Whether a transfer syntax codes a film as a whole instead of frame by frame."""
    return syntax.removesuffix(".1") in SYNTAXES


def evenly(frames: int, wanted: int) -> tuple[int, ...]:
    """Numbers, from 0, of at most ``wanted`` frames: the middles of as many equal parts of the film."""
    count = min(frames, wanted)
    return tuple((2 * i + 1) * frames // (2 * count) for i in range(count))


def stills(fragments: Iterable[bytes], numbers: tuple[int, ...], size: tuple[int, int]) -> list[Picture]:
    """Decode a film as far as the last frame that is wanted.

    Args:
        fragments: The coded film, in pieces.
        numbers: Frames that are wanted, from 0, in ascending order.
        size: ``(rows, columns)`` that every frame must have.

    Returns:
        One ``(rows, columns, 3)`` uint8 RGB for each number.

    Raises:
        DataError: The film ends before, cannot be decoded, or has another size.
    """
    found: list[Picture] = []
    with _opened(fragments) as film:
        for number in range(numbers[-1] + 1):
            if not film.grab():
                break
            if number in numbers:
                done, frame = film.retrieve()
                if not done:
                    break
                found.append(_checked(frame, size))
    if len(found) < len(numbers):
        raise DataError(_SHORT)
    return found


def every(fragments: Iterable[bytes], frames: int, size: tuple[int, int]) -> Iterator[Picture]:
    """Decode a film, picture by picture; its sound and all that its container says are left behind.

    Args:
        fragments: The coded film, in pieces.
        frames: Number of frames that the header says; what the film holds beyond them is passed over.
        size: ``(rows, columns)`` that every frame must have.

    Yields:
        ``(rows, columns, 3)`` uint8 RGB.

    Raises:
        DataError: The film ends before, cannot be decoded, or has another size.
    """
    with _opened(fragments) as film:
        for _ in range(frames):
            done, frame = film.read()
            if not done:
                raise DataError(_SHORT)
            yield _checked(frame, size)


@contextmanager
def _opened(fragments: Iterable[bytes]) -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        with path.open("wb") as stream:
            stream.writelines(fragments)
        film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        try:
            yield film
        finally:
            film.release()


def _checked(frame: Picture, size: tuple[int, int]) -> Picture:
    if frame.shape[:2] != size:
        raise DataError("holds a film of another size than its header says; export still images from it")
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
