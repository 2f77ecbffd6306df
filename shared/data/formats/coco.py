"""COCO JSON: annotations in, annotated images out, and back.

``bbox`` is x, y, width and height in continuous pixels from the image's outer edge. An annotation without ``bbox``
labels the whole image (classification exports do this). ``segmentation`` and ``iscrowd`` are passed over: a crowd's box
counts like any other. Category ids may have gaps and any order. Images without annotations are kept.
"""

import json
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from shared import atomic
from shared.data.formats.annotated import Annotated, LabelledBox, box, once, place, size, writable
from shared.errors import DataError, Problem

FILE = "annotations.json"
_FOLDER = "annotations"
_SPLITS = ("train", "valid", "val", "test")


def files(folder: Path) -> list[Path]:
    """The COCO files of an export: in the folder, in ``annotations``, or in a folder per split."""
    places = (folder, *(folder / name for name in (_FOLDER, *_SPLITS)))
    return [file for place_ in places for file in sorted(place_.glob("*.json")) if is_coco(file)]


def is_coco(file: Path) -> bool:
    """Whether a JSON file has COCO's three lists."""
    try:
        status = file.stat()
    except OSError:
        return False
    return _is_coco(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)  # an export is asked several times on its way, and may be half a gigabyte
def _is_coco(file: Path, mtime_ns: int, size_bytes: int) -> bool:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    lists = ("images", "annotations", "categories")
    return isinstance(document, dict) and all(isinstance(document.get(name), list) for name in lists)


def home(path: Path) -> Path:
    """The folder that image paths start from: above ``annotations``, or the folder itself."""
    folder = path if path.is_dir() else path.parent
    return folder.parent if folder.name == _FOLDER else folder


def read(path: Path) -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read one COCO file, or those of a folder, as one list.

    An image with an annotation that cannot be read is left out: without it, the image would pass for one with less on
    it. Where several files name the same image, as boxes and key points do, its boxes are put together.

    Raises:
        DataError: Not COCO.
    """
    found = files(path) if path.is_dir() else [path]
    if not found:
        raise DataError(f"{path}: holds no COCO file; needed is JSON with images, annotations and categories")
    root = home(path)
    items: dict[str, Annotated] = {}
    problems: list[Problem] = []
    for file in found:
        for item in _read_file(file, root, problems):
            items[item.path] = _joined(items.get(item.path, item), item)
    return tuple(items.values()), tuple(problems)


def write(items: Iterable[Annotated], out: Path) -> None:
    """Write ``annotations.json`` into the folder ``out``, or the file ``out`` if it ends in .json.

    Raises:
        DataError: A path or label that is not usable.
    """
    items = writable(items, tags=True, name="COCO")
    names = sorted({label for item in items for label in (*item.tags, *(b.label for b in item.boxes))})
    ids = {name: number for number, name in enumerate(names, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, item in enumerate(items, start=1):
        for b in item.boxes:
            bbox = [b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0]
            drawn = {"bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0, "segmentation": []}
            annotations.append({"image_id": image_id, "category_id": ids[b.label], **drawn})
        annotations += [{"image_id": image_id, "category_id": ids[label]} for label in item.tags]
    document = {
        "images": [
            {"id": number, "file_name": item.path, "width": item.width, "height": item.height}
            for number, item in enumerate(items, start=1)
        ],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in ids.items()],
    }
    atomic.write(out if out.suffix == ".json" else out / FILE, json.dumps(document, ensure_ascii=False, indent=1))


def _read_file(file: Path, root: Path, problems: list[Problem]) -> tuple[Annotated, ...]:
    document = _document(file)
    names = {_key(c.get("id")): str(c.get("name", "")) for c in document["categories"] if isinstance(c, dict)}
    drawn: dict[str, list[Any]] = {}
    for annotation in document["annotations"]:
        owner = annotation.get("image_id") if isinstance(annotation, dict) else None
        drawn.setdefault(_key(owner), []).append(annotation)
    images = [image if isinstance(image, dict) else {} for image in document["images"]]
    times = Counter(_key(image.get("id")) for image in images)
    found = []
    for image in images:
        key = _key(image.get("id"))
        where = f"{file}: {image.get('file_name') or 'an image without file_name'}"
        try:
            if times[key] > 1:
                raise DataError(f"has the id {key}, as {times[key] - 1} others have; ids must differ")
            found.append((where, _image(image, drawn.get(key, []), names, file, root)))
        except DataError as error:
            problems.append(Problem(where, str(error)))
    for owner in drawn.keys() - times.keys():
        what = f"{len(drawn[owner])} annotations belong to image_id {owner}, which is not listed; add the image"
        problems.append(Problem(str(file), what))
    items, more = once(found)
    problems += more
    return items


def _document(file: Path) -> dict[str, list[Any]]:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: is not readable JSON ({error}); export it again") from error
    lists: dict[str, list[Any]] = document if isinstance(document, dict) else {}
    for name in ("images", "annotations", "categories"):
        if not isinstance(lists.get(name), list):
            raise DataError(f"{file}: has no list {name!r}; COCO has images, annotations and categories")
    return lists


def _key(value: Any) -> str:
    """Ids are numbers or text, and some tools write one here and the other there."""
    return str(value)


def _image(image: dict[str, Any], drawn: list[Any], names: dict[str, str], file: Path, root: Path) -> Annotated:
    folder = file.parent.relative_to(root).as_posix()
    split = next((s for s in _SPLITS if s in file.stem.replace("-", "_").split("_")), "")
    folders = (folder, f"images/{split}", split, "", "images", "JPEGImages")
    path = place(root, str(image.get("file_name", "")), dict.fromkeys(folders))
    width, height = size(root, path, image.get("width"), image.get("height"))
    boxes: list[LabelledBox] = []
    tags: list[str] = []
    for annotation in drawn:
        name = names.get(_key(annotation.get("category_id")), "").strip()
        if not name:
            raise DataError(f"has an annotation of category_id {annotation.get('category_id')!r}, which has no name")
        bbox = annotation.get("bbox")
        if not bbox:
            tags.append(name)
            continue
        try:
            x, y, w, h = (float(value) for value in bbox)
        except (ValueError, TypeError) as error:
            raise DataError(f"has a bbox {bbox!r}; allowed are four numbers: x, y, width, height") from error
        boxes.append(box(name, (x, y, x + w, y + h), width, height))
    return Annotated(path, width, height, tuple(boxes), tuple(tags))


def _joined(one: Annotated, other: Annotated) -> Annotated:
    boxes = dict.fromkeys((*one.boxes, *other.boxes)) if one is not other else one.boxes
    tags = dict.fromkeys((*one.tags, *other.tags)) if one is not other else one.tags
    return Annotated(one.path, one.width, one.height, tuple(boxes), tuple(tags))
