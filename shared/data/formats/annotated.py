"""What all annotation formats become: images with labelled boxes, and the rules that hold for every format."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, parse

from shared.data import images
from shared.errors import DataError, Problem

_UNWRITABLE = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\u2028\u2029]")
"""What XML 1.0 cannot hold, and what breaks a line."""
_IMAGE_FOLDERS = ("", "images", "JPEGImages")


@dataclass(frozen=True)
class LabelledBox:
    """A labelled box in pixels: continuous coordinates, 0 at the outer edge of the first pixel, half-open.

    The box around the first pixel alone is 0, 0, 1, 1; width = x1 - x0.
    """

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Annotated:
    """One image with what was drawn on it.

    Attributes:
        path: The image, relative to the folder of the export, with forward slashes.
        width: Pixels across.
        height: Pixels down.
        boxes: In the order of the source.
        tags: Labels of the image as a whole.
    """

    path: str
    width: int
    height: int
    boxes: tuple[LabelledBox, ...]
    tags: tuple[str, ...] = ()


def inside(name: str) -> str:
    """A path from an annotation file with forward slashes, if it stays in its folder.

    Raises:
        DataError: It is empty, absolute, or goes up.
    """
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", str(path)):
        raise DataError(f"names the image {name!r}; allowed are paths inside of the export's folder, without '..'")
    return str(path)


def place(root: Path, name: str, folders: Iterable[str] = _IMAGE_FOLDERS) -> str:
    """Where in ``root`` the image ``name`` lies: the first of the folders that has it, or else the name itself.

    Raises:
        DataError: The name leads out of the folder.
    """
    name = inside(name)
    found = (str(PurePosixPath(folder, name)) for folder in folders if (root / folder / name).is_file())
    return next(found, name)


def box(label: str | None, corners: Sequence[float], width: int, height: int) -> LabelledBox:
    """A box from x0, y0, x1, y1 in pixels, cut off at the borders of the image.

    Raises:
        DataError: No label, or nothing of the box lies in the image.
    """
    name = (label or "").strip()
    if not name:
        raise DataError("has a box without a label; name it")
    x0, y0, x1, y1 = corners
    found = f"has a box {name!r} at {x0:g},{y0:g} .. {x1:g},{y1:g}"
    if not all(math.isfinite(c) for c in corners) or x1 <= x0 or y1 <= y0:
        raise DataError(f"{found}, which is empty or not a number; draw it again")
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise DataError(f"{found}, outside of its {width} x {height} pixels; were the boxes drawn on this image?")
    return LabelledBox(name, max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))


def around(points: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around points, at least a pixel wide and high, because a line of defects is one, too."""
    xs, ys = zip(*points, strict=True)
    grow_x, grow_y = (max(0.0, 1 - (max(c) - min(c))) / 2 for c in (xs, ys))
    return min(xs) - grow_x, min(ys) - grow_y, max(xs) + grow_x, max(ys) + grow_y


def size(root: Path, path: str, width: str | float | None, height: str | float | None) -> tuple[int, int]:
    """Width and height as the annotations give them, or of the image file where they give none (some tools write 0).

    Raises:
        DataError: Neither is to be had.
    """
    try:
        found = int(float(width or 0)), int(float(height or 0))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"gives the size {width!r} x {height!r}; allowed are whole pixels") from error
    return found if min(found) > 0 else images.size(root / path)


def xml(path: Path) -> Element:
    """The root of an XML file from a stranger.

    Raises:
        DataError: Not XML, or it holds what only an attack needs.
    """
    try:
        root: Element | None = parse(path).getroot()
    except DefusedXmlException as error:
        raise DataError(f"{path}: holds entities or a document type ({error}); annotations need none") from error
    except (ParseError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{path}: is not readable XML ({error}); export it again") from error
    assert root is not None, "a parsed document has a root"
    return root


def once(found: Iterable[tuple[str, Annotated]]) -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """The images that are annotated once; of the others nobody can say which annotation is right.

    Args:
        found: Where each annotation stands, and what it says.
    """
    by_path: dict[str, list[tuple[str, Annotated]]] = {}
    for where, item in found:
        by_path.setdefault(item.path, []).append((where, item))
    items = tuple(entries[0][1] for entries in by_path.values() if len(entries) == 1)
    problems = tuple(
        Problem(where, f"{path} is annotated {len(entries)} times; keep one")
        for path, entries in by_path.items()
        for where, _ in entries
        if len(entries) > 1
    )
    return items, problems


def writable(items: Iterable[Annotated], *, tags: bool, name: str) -> tuple[Annotated, ...]:
    """The items, if a format can hold them.

    Raises:
        DataError: A path that leaves the folder or stands there twice, a label that the file could not give back, or
            labels of whole images where the format has none.
    """
    items = tuple(items)
    seen = set[str]()
    for item in items:
        inside(item.path)
        if item.path in seen:
            raise DataError(f"{item.path}: stands in the list twice; merge its boxes")
        seen.add(item.path)
        if item.tags and not tags:
            raise DataError(f"{item.path}: {name} has no labels of whole images ({item.tags[0]!r}); write CVAT or COCO")
        for label in (*item.tags, *(b.label for b in item.boxes), item.path):
            if not label or label != label.strip() or _UNWRITABLE.search(label):
                raise DataError(
                    f"{item.path}: the name {label!r} is empty, padded or has control characters; change it"
                )
    return items
