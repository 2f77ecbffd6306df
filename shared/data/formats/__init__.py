"""Annotations of other tools in and out: Pascal VOC (LabelImg), COCO, YOLO and CVAT, all through one in-memory form."""

from collections.abc import Iterable
from pathlib import Path

from shared.data.formats import coco, cvat, voc, yolo
from shared.data.formats.annotated import Annotated, LabelledBox
from shared.errors import DataError, Problem

__all__ = ["Annotated", "LabelledBox", "coco", "cvat", "detect", "image_labels", "read", "voc", "yolo"]

_READERS = {"coco": coco.read, "cvat": cvat.read, "voc": voc.read, "yolo": yolo.read}


def detect(path: Path) -> str | None:
    """Name of the format of a file or folder (``coco``, ``cvat``, ``voc``, ``yolo``), None where it is none of them."""
    return next((name for name, module in _MODULES.items() if module.is_format(path)), None)


_MODULES = {"cvat": cvat, "voc": voc, "coco": coco, "yolo": yolo}


def read(path: Path) -> tuple[Path, tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read annotations of whichever format lies at ``path``.

    Returns:
        The folder that image paths start from, one entry per image, and what was left out with its reason.

    Raises:
        DataError: None of the formats, or nothing usable in it.
    """
    name = detect(path)
    if name is None:
        raise DataError(f"{path}: holds no annotations; readable are {', '.join(sorted(_READERS))}")
    items, problems = _READERS[name](path)
    if not items:
        first = f"; first reason: {problems[0]}" if problems else ""
        raise DataError(f"{path}: no usable {name.upper()} annotation{first}")
    return path if path.is_dir() else path.parent, items, problems


def image_labels(items: Iterable[Annotated], *, ok_label: str | None) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """One label per image, as classification needs it.

    Args:
        items: Annotated images.
        ok_label: Label of images without any annotation; None leaves them out with a reason.

    Returns:
        Label by image path, and the images that have none or several.
    """
    labels, problems = {}, []
    for item in items:
        found = sorted({box.label for box in item.boxes} | set(item.tags))
        if len(found) == 1:
            labels[item.path] = found[0]
        elif not found and ok_label is not None:
            labels[item.path] = ok_label
        else:
            said = f"has {len(found)} labels ({', '.join(found)})" if found else "has no label"
            problems.append(Problem(item.path, f"{said}; classification needs exactly one: crop it or choose one"))
    return labels, tuple(problems)
