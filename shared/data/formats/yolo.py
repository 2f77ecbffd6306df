"""YOLO text: one file per image with ``class cx cy w h``, normalised to 0..1, and a file with the class names.

The names stand in ``classes.txt`` (LabelImg) or ``obj.names`` (Darknet), one a line, or under ``names:`` in
``data.yaml``. Text files lie beside the images or in ``labels`` beside ``images``.
"""

import re
from pathlib import Path

from shared import atomic
from shared.data import images
from shared.data.formats.annotated import Annotated, LabelledBox, checked, image_beside
from shared.errors import DataError, Problem

NAMES = ("classes.txt", "obj.names", "data.yaml", "data.yml")
SLACK = 1.0
"""Six decimals of a large image are worth about a pixel; that much overshoot is clipped."""


def is_format(path: Path) -> bool:
    """A folder with a file of class names."""
    return _names_file(path) is not None


def _names_file(path: Path) -> Path | None:
    if path.is_file():
        return path if path.name in NAMES else None
    places = [folder / name for folder in (path, path / "labels") for name in NAMES]
    return next((p for p in places if p.is_file()), None)


def read(path: Path) -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read a folder; an image without a text file counts as one without boxes.

    Raises:
        DataError: The class names are missing or unreadable.
    """
    names_file = _names_file(path)
    if names_file is None:
        raise DataError(f"{path}: class names are missing; put them into classes.txt, one a line")
    folder = path if path.is_dir() else path.parent
    names = _read_names(names_file)
    items, problems = [], []
    for picture in sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.SUFFIXES):
        try:
            width, height = images.size(picture)
            boxes = _read_boxes(_text_file(picture, folder), names, width, height)
            items.append(Annotated(picture.relative_to(folder).as_posix(), width, height, boxes))
        except DataError as error:
            problems.append(Problem(str(picture), f"is left out: {error}"))
    pictures = {Path(item.path).stem for item in items}
    for text in sorted([*folder.glob("*.txt"), *folder.glob("labels/**/*.txt")]):
        if (
            text.name not in NAMES
            and text.stem not in pictures
            and image_beside(text.parent, text.stem, images.SUFFIXES) is None
        ):
            problems.append(Problem(str(text), "has no image; add the image or remove the file"))
    return tuple(items), tuple(problems)


def _read_names(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix not in (".yaml", ".yml"):
        names = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        inline = re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
        block = re.search(r"^names:\s*\n((?:\s+.*\n?)+)", text, re.MULTILINE)
        if inline:
            names = [n.strip().strip("'\"") for n in inline[1].split(",") if n.strip()]
        else:
            lines = block[1].splitlines() if block else []
            names = [re.sub(r"^\s*(?:-|\d+:)\s*", "", line).strip().strip("'\"") for line in lines if line.strip()]
    if not names:
        raise DataError(f"{file}: holds no class names; write them one a line into classes.txt")
    return names


def _text_file(picture: Path, folder: Path) -> Path:
    beside = picture.with_suffix(".txt")
    if beside.is_file():
        return beside
    parts = list(picture.relative_to(folder).with_suffix(".txt").parts)
    if "images" in parts:
        parts[parts.index("images")] = "labels"
    return folder.joinpath(*parts)


def _read_boxes(text: Path, names: list[str], width: int, height: int) -> tuple[LabelledBox, ...]:
    if not text.is_file():
        return ()
    boxes = []
    for number, line in enumerate(text.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, *numbers = line.split()
            cx, cy, w, h = map(float, numbers)
            label = names[int(kind)] if int(kind) >= 0 else ""
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{text} line {number}: is {line.strip()!r}, expected 'class cx cy w h', "
                f"class 0 to {len(names) - 1}"
            ) from error
        box = LabelledBox(
            label, (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
        )
        boxes.append(checked(box, width, height, SLACK))
    return tuple(boxes)


def write(items: tuple[Annotated, ...], out: Path) -> None:
    """Write ``classes.txt`` and one text file per image into the folder ``out``, under the images' own paths."""
    labels = sorted({box.label for item in items for box in item.boxes})
    atomic.write(out / "classes.txt", "".join(f"{label}\n" for label in labels))
    for item in items:
        lines = []
        for box in item.boxes:
            cx, cy = (box.x0 + box.x1) / 2 / item.width, (box.y0 + box.y1) / 2 / item.height
            w, h = (box.x1 - box.x0) / item.width, (box.y1 - box.y0) / item.height
            lines.append(f"{labels.index(box.label)} {cx:.9f} {cy:.9f} {w:.9f} {h:.9f}\n")
        atomic.write((out / item.path).with_suffix(".txt"), "".join(lines))
