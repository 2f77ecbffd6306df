"""YOLO text files, one per image, with a list of class names: a folder in, annotated images out, and back.

A line is ``class cx cy w h``, all but the class relative to the image's size. A line with three points or more,
``class x y x y x y ...``, is a polygon or a turned box; the box around it is taken.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from shared import atomic
from shared.data import images
from shared.data.formats.annotated import Annotated, LabelledBox, around, box, writable
from shared.errors import DataError, Problem

CLASSES = "classes.txt"
_CLASS_FILES = (
    CLASSES,
    "labels/classes.txt",
    "obj.names",
    "classes.names",
    "train/classes.txt",
    "train/labels/classes.txt",
)
_TOLERANCE = 0.01
"""How far outside of 0 to 1 a value may lie, as a share of the image; tools round, and draw across the border."""
_QUOTED = r"'[^']*'\s*|\"[^\"]*\"\s*"
_MOST_CLASSES = 100_000
_DIGITS = 8
"""Places after the point that are written: 0.001 pixel in an image of 100,000."""


def read(path: Path) -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read a folder of images with their text files, beside them or in ``labels`` where they are in ``images``.

    An image without a text file is left out and listed: an empty file says that nothing is there, a missing one that
    nobody looked. One with a line that cannot be read is left out as well.

    Args:
        path: The folder, or the file with the class names in it.

    Raises:
        DataError: No class names, or no images.
    """
    root = path if path.is_dir() else path.parent
    names = _names(path)
    items, problems, used = [], [], set[Path]()
    for image in sorted(f for f in root.rglob("*") if f.suffix.lower() in images.SUFFIXES and f.is_file()):
        relative = image.relative_to(root).as_posix()
        labels = next((root / p for p in label_paths(relative) if (root / p).is_file()), None)
        if labels is None:
            what = "has no text file; if nothing is on it, put an empty one there"
            problems.append(Problem(relative, what))
            continue
        used.add(labels)
        try:
            width, height = images.size(image)
            items.append(Annotated(relative, width, height, tuple(_boxes(labels, names, width, height))))
        except DataError as error:
            problems.append(Problem(relative, str(error)))
    for labels in sorted(set(_label_files(root)) - used):
        problems.append(Problem(str(labels.relative_to(root)), "belongs to no image; add the image"))
    if not items and not problems:
        raise DataError(f"{root}: holds no images; YOLO files say nothing without them")
    return tuple(items), tuple(problems)


def write(items: Iterable[Annotated], out: Path) -> None:
    """Write ``classes.txt`` and a text file per image into the folder ``out``; the images belong there, too.

    Coordinates have eight places, so a box moves by less than a millionth of the image's size.

    Raises:
        DataError: Labels of whole images, which YOLO does not have, or two images that differ in their ending only.
    """
    items = writable(items, tags=False, name="YOLO")
    names = sorted({b.label for item in items for b in item.boxes})
    texts: dict[str, str] = {}
    for item in items:
        target = label_paths(item.path)[0]
        if target in texts or PurePosixPath(target).name == CLASSES:
            raise DataError(f"{item.path}: its text file {target} is taken; rename the image")
        texts[target] = "".join(f"{names.index(b.label)} {_relative(b, item)}\n" for b in item.boxes)
    for target, text in texts.items():
        atomic.write(out / target, text)
    atomic.write(out / CLASSES, "".join(f"{name}\n" for name in names))


def has_classes(folder: Path) -> bool:
    """Whether the folder has a list of class names."""
    try:
        return _class_file(folder) is not None
    except DataError:  # a YAML file of somebody else
        return False


def label_paths(image: str) -> tuple[str, ...]:
    """Where the text file of an image can be, best first: the last ``images`` replaced by ``labels``, or beside it."""
    path = PurePosixPath(image)
    beside = path.with_suffix(".txt")
    folders = list(path.parent.parts)
    for name in ("images", "JPEGImages"):
        if name in folders:
            last = len(folders) - 1 - folders[::-1].index(name)
            return str(PurePosixPath(*folders[:last], "labels", *folders[last + 1 :], beside.name)), str(beside)
    return str(beside), str(PurePosixPath("labels", beside))


def _label_files(root: Path) -> Iterator[Path]:
    """Text files that look like labels: other lists and notes may lie in the folder as well."""
    for file in root.rglob("*.txt"):
        with file.open(encoding="utf-8", errors="replace") as stream:
            if re.match(r"\d+( [-+.\deE]+){4,}$", stream.readline().strip()):
                yield file


def _boxes(file: Path, names: list[str], width: int, height: int) -> Iterator[LabelledBox]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name}: cannot be read ({error}); expected is text in UTF-8") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _box(line.split(), names, width, height)
        except DataError as error:
            raise DataError(f"{file.name} line {number}: {error}") from error


def _box(fields: list[str], names: list[str], width: int, height: int) -> LabelledBox:
    try:
        index, values = int(fields[0]), [float(field) for field in fields[1:]]
    except ValueError as error:
        raise DataError(f"is {' '.join(fields)!r}; allowed is 'class cx cy w h', all numbers") from error
    if not 0 <= index < len(names) or not names[index]:
        raise DataError(f"names class {index}, known are 0 to {len(names) - 1}; complete the list of classes")
    if any(not -_TOLERANCE <= value <= 1 + _TOLERANCE for value in values):
        raise DataError(f"has the values {values}; allowed are 0 to 1, as shares of the image's width and height")
    if len(values) == 4:
        cx, cy, w, h = values
        corners = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    elif len(values) >= 6 and len(values) % 2 == 0:
        points = zip(values[::2], values[1::2], strict=True)
        return box(names[index], around((x * width, y * height) for x, y in points), width, height)
    else:
        raise DataError(
            f"has {len(values)} values behind the class; allowed are 4, or the x and y of three points or more"
        )
    x0, y0, x1, y1 = corners
    return box(names[index], (x0 * width, y0 * height, x1 * width, y1 * height), width, height)


def _relative(b: LabelledBox, item: Annotated) -> str:
    w, h = item.width, item.height
    values = ((b.x0 + b.x1) / 2 / w, (b.y0 + b.y1) / 2 / h, (b.x1 - b.x0) / w, (b.y1 - b.y0) / h)
    # A box thinner than the last place must not vanish.
    smallest = 10.0**-_DIGITS
    return " ".join(f"{v if i < 2 else max(v, smallest):.{_DIGITS}f}" for i, v in enumerate(values))


def _class_file(path: Path) -> Path | None:
    if path.is_file():
        return path
    listed = (path / name for name in _CLASS_FILES)
    tables = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    return next(
        (f for f in (*tables, *listed) if f.is_file() and (f.suffix not in (".yaml", ".yml") or _yaml(f))), None
    )


def _names(path: Path) -> list[str]:
    file = _class_file(path)
    names = [] if file is None else _yaml(file) if file.suffix in (".yaml", ".yml") else _lines(file)
    if not any(names):
        raise DataError(f"{path}: holds no class names; add {CLASSES} with one per line, or data.yaml with names")
    return names


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); expected is text in UTF-8") from error


def _yaml(file: Path) -> list[str]:
    """The entry ``names`` of a data.yaml in the four ways it is written: list or table, in one line or in many."""
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in _lines(file)]
    start = next((i for i, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        return []
    end = next((i for i in range(start + 1, len(lines)) if re.match(r"[A-Za-z_]\w*\s*:", lines[i])), len(lines))
    first = lines[start].partition(":")[2].strip()
    if first:
        text = " ".join((first, *lines[start + 1 : end])).strip("[]{} ")
        entries = [m[0].strip(" ,") for m in re.finditer(rf"(?:\d+\s*:\s*)?(?:{_QUOTED}|[^,]+)(?:,|$)", text)]
    else:
        entries = [re.sub(r"^-\s+", "", line) for line in lines[start + 1 : end] if line]
    names: dict[int, str] = {}
    for entry in entries:
        key, value = re.fullmatch(r"(?:(\d+)\s*:\s)?\s*(.*)", entry, re.DOTALL).groups()  # type: ignore[union-attr]
        quoted = re.fullmatch(_QUOTED, value.strip())
        names[int(key) if key else len(names)] = value.strip()[1:-1] if quoted else value.strip()
    if max(names, default=0) > _MOST_CLASSES:
        raise DataError(f"{file}: names class {max(names)}, allowed are {_MOST_CLASSES}; number them from 0")
    return [names.get(number, "") for number in range(max(names, default=-1) + 1)]
