"""COCO JSON: one file with images, annotations and categories. Boxes are x, y, width, height from 0, in pixels.

Of an annotation the box and the category are read; segmentation, ``iscrowd`` and key points are not ours to keep.
"""

import json
from pathlib import Path
from typing import Any

from shared import atomic
from shared.data.formats.annotated import Annotated, LabelledBox, checked, inside
from shared.errors import DataError, Problem

SLACK = 1.0
"""Boxes drawn on rescaled images overshoot by rounding; up to this many pixels are clipped."""


def is_format(path: Path) -> bool:
    """A COCO file, or a folder with one."""
    return any(_is_coco(file) for file in _files(path))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    return sorted([*path.glob("*.json"), *path.glob("annotations/*.json")])


def _is_coco(file: Path) -> bool:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and {"images", "annotations", "categories"} <= set(data)


def read(path: Path) -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read one file, or every COCO file of a folder; images without annotations are kept."""
    folder = path if path.is_dir() else path.parent
    items: list[Annotated] = []
    problems: list[Problem] = []
    for file in _files(path):
        if _is_coco(file):
            _read_file(json.loads(file.read_text(encoding="utf-8")), file, folder, items, problems)
        elif path.is_file():
            raise DataError(f"{path}: is not COCO (images, annotations and categories are needed)")
    return tuple(items), tuple(problems)


def _read_file(data: dict[str, Any], file: Path, folder: Path, items: list[Annotated], problems: list[Problem]) -> None:
    try:
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        pictures = {image["id"]: image for image in data["images"]}
    except (KeyError, TypeError) as error:
        raise DataError(f"{file}: an image or category lacks {error}; export it again") from error
    boxes: dict[Any, list[LabelledBox]] = {identity: [] for identity in pictures}
    for annotation in data["annotations"]:
        where = f"{file}: annotation {annotation.get('id')}"
        try:
            picture = pictures[annotation["image_id"]]
            x, y, w, h = (float(v) for v in annotation["bbox"])
            box = LabelledBox(names[annotation["category_id"]], x, y, x + w, y + h)
            boxes[annotation["image_id"]].append(checked(box, int(picture["width"]), int(picture["height"]), SLACK))
        except KeyError as error:
            problems.append(Problem(where, f"refers to {error}, which is not there; correct or remove it"))
        except (DataError, ValueError, TypeError) as error:
            problems.append(Problem(where, f"is left out: {error}"))
    for identity, picture in pictures.items():
        try:
            name = _locate(inside(str(picture["file_name"])), folder)
            items.append(Annotated(name, int(picture["width"]), int(picture["height"]), tuple(boxes[identity])))
        except (DataError, KeyError, ValueError) as error:
            problems.append(Problem(f"{file}: image {identity}", f"is left out: {error}"))


def _locate(name: str, folder: Path) -> str:
    return name if (folder / name).is_file() or not (folder / "images" / name).is_file() else f"images/{name}"


def write(items: tuple[Annotated, ...], out: Path) -> None:
    """Write the file ``out``; category ids start at 1, as the format's own files have them."""
    labels = sorted({box.label for item in items for box in item.boxes})
    ids = {label: i for i, label in enumerate(labels, start=1)}
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(items, start=1):
        for box in item.boxes:
            w, h = box.x1 - box.x0, box.y1 - box.y0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[box.label],
                    "bbox": [box.x0, box.y0, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
    pictures = [{"id": n, "file_name": i.path, "width": i.width, "height": i.height} for n, i in enumerate(items, 1)]
    categories = [{"id": i, "name": label, "supercategory": ""} for label, i in ids.items()]
    atomic.write(out, json.dumps({"images": pictures, "annotations": annotations, "categories": categories}, indent=1))
