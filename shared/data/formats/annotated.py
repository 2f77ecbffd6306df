"""The in-memory form between all annotation formats, and the checks that every reader shares."""

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from shared.errors import DataError


@dataclass(frozen=True)
class LabelledBox:
    """A box in continuous pixel coordinates: origin at the image's top left corner, half-open.

    A box around the whole of a 10 x 5 image is ``(0, 0, 10, 5)``.
    """

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Annotated:
    """One image with its annotations.

    Attributes:
        path: Relative to the export's folder, with forward slashes.
        width: Pixels across.
        height: Pixels down.
        boxes: In the order of the file.
        tags: Labels of the image as a whole.
    """

    path: str
    width: int
    height: int
    boxes: tuple[LabelledBox, ...] = ()
    tags: tuple[str, ...] = ()


def inside(path: str) -> str:
    """A path from an annotation file, with forward slashes.

    Raises:
        DataError: It is empty, absolute, or leaves its folder.
    """
    forward = path.replace("\\", "/")
    absolute = PurePosixPath(forward).is_absolute() or PureWindowsPath(path).drive
    if not path or absolute or ".." in PurePosixPath(forward).parts:
        raise DataError(f"image path {path!r} leaves the folder of the annotations; allowed are paths inside it")
    return forward


def checked(box: LabelledBox, width: int, height: int, slack: float = 0.0) -> LabelledBox:
    """A box inside its image; an overshoot of at most ``slack`` pixels is clipped.

    Raises:
        DataError: It is empty, not finite, or reaches further outside.
    """
    values = (box.x0, box.y0, box.x1, box.y1)
    within = all(map(math.isfinite, values)) and min(box.x0, box.y0) >= -slack
    if not within or box.x1 > width + slack or box.y1 > height + slack or box.x0 >= box.x1 or box.y0 >= box.y1:
        numbers = ", ".join(f"{v:g}" for v in values)
        raise DataError(
            f"box ({numbers}) of {box.label!r} is empty or lies outside of {width} x {height} pixels; correct it"
        )
    return LabelledBox(box.label, max(box.x0, 0.0), max(box.y0, 0.0), min(box.x1, width), min(box.y1, height))


def image_beside(folder: Path, stem: str, suffixes: frozenset[str]) -> Path | None:
    """The image of that stem in a folder, None where there is none."""
    return next((p for p in sorted(folder.glob(f"{stem}.*")) if p.suffix.lower() in suffixes), None)
