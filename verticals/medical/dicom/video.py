"""The coded film of a Video Photographic Image in, a few still frames out, evenly spaced."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from shared.errors import DataError
from verticals.medical.dicom.colour import Picture

SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
"""MPEG-2, MPEG-4 AVC/H.264 and HEVC/H.265 (PS3.5 A.4), with their fragmentable forms ``.1``."""


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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        with path.open("wb") as stream:
            stream.writelines(fragments)
        film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        try:
            for number in range(numbers[-1] + 1):
                if not film.grab():
                    break
                if number in numbers:
                    done, frame = film.retrieve()
                    if not done:
                        break
                    found.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
        finally:
            film.release()
    if len(found) < len(numbers):
        raise DataError("holds a film that cannot be decoded as far as its header says; export still images from it")
    if any(frame.shape[:2] != size for frame in found):
        raise DataError("holds a film of another size than its header says; export still images from it")
    return found
