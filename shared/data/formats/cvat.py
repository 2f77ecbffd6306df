"""CVAT for images 1.1: one XML file with boxes, and tags for whole images. Coordinates are pixels from 0, half-open.

Polygons, polylines and points become the box around them; masks are left out with a reason.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, ParseError, SubElement, indent

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from shared import atomic
from shared.data.formats.annotated import Annotated, LabelledBox, checked, inside
from shared.errors import DataError, Problem

SLACK = 1.0
_OUTLINES = ("polygon", "polyline", "points")


def is_format(path: Path) -> bool:
    """A CVAT file, or a folder with ``annotations.xml``."""
    return (file := _file(path)) is not None and _root(file) is not None


def _file(path: Path) -> Path | None:
    file = path / "annotations.xml" if path.is_dir() else path
    return file if file.is_file() and file.suffix.lower() == ".xml" else None


def _root(file: Path) -> Element | None:
    try:
        root: Element | None = parse(file).getroot()
    except (ParseError, DefusedXmlException, OSError):
        return None
    return root if root is not None and root.tag == "annotations" else None


def read(path: Path) -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read a file, or a folder with ``annotations.xml``.

    Raises:
        DataError: It is not CVAT for images.
    """
    file = _file(path)
    root = _root(file) if file else None
    if file is None or root is None:
        raise DataError(f"{path}: is not CVAT for images 1.1 (root <annotations>); export it again in that format")
    folder = path if path.is_dir() else path.parent
    items: list[Annotated] = []
    problems: list[Problem] = []
    for image in root.iter("image"):
        where = f"{file}: image {image.get('id')} ({image.get('name')})"
        try:
            name = inside(image.get("name") or "")
            width, height = int(image.get("width") or 0), int(image.get("height") or 0)
            boxes = _boxes(image, width, height, where, problems)
            tags = tuple(_label(tag) for tag in image.iter("tag"))
            items.append(Annotated(_locate(name, folder), width, height, boxes, tags))
        except (DataError, ValueError) as error:
            problems.append(Problem(where, f"is left out: {error}"))
    return tuple(items), tuple(problems)


def _boxes(image: Element, width: int, height: int, where: str, problems: list[Problem]) -> tuple[LabelledBox, ...]:
    boxes = []
    for shape in image:
        try:
            if shape.tag == "box":
                x0, y0, x1, y1 = (float(shape.get(key) or "nan") for key in ("xtl", "ytl", "xbr", "ybr"))
            elif shape.tag in _OUTLINES:
                points = [tuple(map(float, p.split(","))) for p in (shape.get("points") or "").split(";") if p]
                xs, ys = [p[0] for p in points], [p[1] for p in points]
                x0, y0, x1, y1 = min(xs), min(ys), max(xs), max(ys)
            elif shape.tag == "tag":
                continue
            else:
                raise DataError(f"<{shape.tag}> is not read; allowed are box, {', '.join(_OUTLINES)} and tag")
            boxes.append(checked(LabelledBox(_label(shape), x0, y0, x1, y1), width, height, SLACK))
        except (DataError, ValueError, IndexError) as error:
            problems.append(Problem(where, f"a shape is left out: {error}"))
    return tuple(boxes)


def _label(element: Element) -> str:
    label = element.get("label")
    if not label:
        raise DataError(f"<{element.tag}> has no label")
    return label


def _locate(name: str, folder: Path) -> str:
    return name if (folder / name).is_file() or not (folder / "images" / name).is_file() else f"images/{name}"


def write(items: tuple[Annotated, ...], out: Path) -> None:
    """Write the file ``out``."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    for number, item in enumerate(items):
        size = {"width": str(item.width), "height": str(item.height)}
        image = SubElement(root, "image", {"id": str(number), "name": item.path, **size})
        for box in item.boxes:
            corners = {"xtl": box.x0, "ytl": box.y0, "xbr": box.x1, "ybr": box.y1}
            numbers = {key: repr(float(value)) for key, value in corners.items()}
            SubElement(
                image, "box", {"label": box.label, "source": "manual", "occluded": "0", **numbers, "z_order": "0"}
            )
        for tag in item.tags:
            SubElement(image, "tag", {"label": tag, "source": "manual"})
    indent(root)
    with atomic.file(out) as temporary:
        ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
