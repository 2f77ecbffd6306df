"""Annotation files in, images with labelled boxes out: VOC, COCO, YOLO and CVAT, told apart by what they hold."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from shared.config import did_you_mean
from shared.data import images
from shared.data.formats import coco, cvat, voc, yolo
from shared.data.formats.annotated import Annotated, LabelledBox, xml
from shared.errors import DataError, Problem

__all__ = ["FORMATS", "Annotated", "LabelledBox", "detect", "image_labels", "read", "write"]

_Read = Callable[[Path], tuple[tuple[Annotated, ...], tuple[Problem, ...]]]
_Write = Callable[[Iterable[Annotated], Path], None]
FORMATS: Mapping[str, tuple[_Read, _Write]] = MappingProxyType(
    {
        "cvat": (cvat.read, cvat.write),
        "coco": (coco.read, coco.write),
        "yolo": (yolo.read, yolo.write),
        "voc": (voc.read, voc.write),
    }
)
_SNIFFED = 20
"""XML files of a folder that are looked at for VOC, so that a large folder of other XML costs no time."""


def detect(path: Path) -> str | None:
    """Name of the annotation format of a file or folder, None where there is none.

    A class list alone does not make a folder YOLO; a text file of an image must be there, too.
    """
    if path.is_file():
        if path.suffix.lower() == ".xml":
            return _xml_kind(path)
        if path.suffix.lower() == ".json":
            return "coco" if coco.is_coco(path) else None
        return "yolo" if path.suffix.lower() in (".yaml", ".yml", ".names") or path.name == yolo.CLASSES else None
    if not path.is_dir():
        return None
    if _xml_kind(path / cvat.FILE) == "cvat":
        return "cvat"
    if coco.files(path):
        return "coco"
    if yolo.has_classes(path) and any(_has_text(path, f) for f in path.rglob("*") if _is_image(f)):
        return "yolo"
    return "voc" if any(_xml_kind(f) == "voc" for f in islice(path.rglob("*.xml"), _SNIFFED)) else None


def read(path: Path) -> tuple[Path, tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read annotations of whatever format.

    Returns:
        The folder that image paths start from, the annotated images, and what was left out with its reason. Images in
        the folder that no annotation names are among the latter, as one entry.

    Raises:
        DataError: Not a known format, or nothing in it is usable.
    """
    found = detect(path)
    if found is None:
        raise DataError(f"{path}: holds no annotations that are read; allowed are VOC, COCO, YOLO and CVAT for images")
    homes = {"voc": voc.home, "coco": coco.home}
    folder = homes[found](path) if found in homes else path if path.is_dir() else path.parent
    items, problems = FORMATS[found][0](path)
    unnamed = _unnamed(folder, items, problems) if path.is_dir() else []
    if unnamed:
        some = ", ".join(unnamed[:3])
        what = (
            f"{len(unnamed)} images have no readable annotation ({some} ...) and are left out; annotate or remove them"
        )
        problems = (*problems, Problem(str(folder), what))
    return folder, items, problems


def write(items: Iterable[Annotated], out: Path, *, format_name: str) -> None:
    """Write annotated images into the folder ``out`` in one of the formats.

    Raises:
        DataError: An unknown format, or one that cannot hold the items.
    """
    if format_name not in FORMATS:
        raise DataError(f"annotation format {format_name!r} is not known; {did_you_mean(format_name, list(FORMATS))}")
    FORMATS[format_name][1](items, out)


def image_labels(items: Iterable[Annotated], *, ok_label: str | None) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """One label for each image, from its boxes and tags.

    Args:
        items: Annotated images; those with the same path count as one.
        ok_label: Label of images with nothing on them; None lists them as problems.

    Returns:
        Image path to label, and the images that have no label or several.
    """
    found: dict[str, set[str]] = {}
    for item in items:
        found.setdefault(item.path, set()).update(item.tags, (b.label for b in item.boxes))
    labels, problems = {}, []
    for path, names in found.items():
        if len(names) > 1:
            what = (
                f"has {len(names)} labels ({', '.join(sorted(names))}), allowed is one; split it or cut it into windows"
            )
            problems.append(Problem(path, what))
        elif names:
            labels[path] = names.pop()
        elif ok_label is not None:
            labels[path] = ok_label
        else:
            problems.append(Problem(path, "has no label, and it was not said what that means; label it"))
    return labels, tuple(problems)


def _xml_kind(file: Path) -> str | None:
    if not file.is_file():
        return None
    try:
        return {"annotation": "voc", "annotations": "cvat"}.get(xml(file).tag)
    except DataError:
        return None


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in images.SUFFIXES and file.is_file()


def _has_text(root: Path, image: Path) -> bool:
    return any((root / p).is_file() for p in yolo.label_paths(image.relative_to(root).as_posix()))


def _unnamed(folder: Path, items: Iterable[Annotated], problems: Iterable[Problem]) -> list[str]:
    named = {item.path for item in items}
    told = {problem.where.rpartition(": ")[2] for problem in problems}
    paths = (f.relative_to(folder).as_posix() for f in sorted(folder.rglob("*")) if _is_image(f))
    return [path for path in paths if path not in named and path not in told]
