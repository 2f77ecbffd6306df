"""CVAT for images 1.1, one XML file for all: annotations in, annotated images out, and back.

Coordinates are those of CVAT: continuous pixels from the image's outer edge, as ours are. Of shapes that are no boxes
the box around them is taken: polygon, polyline, points, ellipse, mask and a turned box. Attributes, groups and z-order
are passed over.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from shared import atomic
from shared.data.formats.annotated import Annotated, LabelledBox, around, box, inside, once, place, size, writable, xml
from shared.errors import DataError, Problem

FILE = "annotations.xml"
_NO_SHAPES = {"tag", "attribute"}


def read(path: Path) -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read ``annotations.xml``, given itself or its folder; images lie beside it or in ``images``.

    An image with a shape that cannot be read is left out: without it, the image would pass for one with less on it.

    Raises:
        DataError: Not CVAT for images.
    """
    file = path / FILE if path.is_dir() else path
    root = file.parent
    tree = xml(file)
    if tree.tag != "annotations":
        raise DataError(f"{file}: begins with <{tree.tag}>, CVAT begins with <annotations>; export it again")
    if tree.find("track") is not None:
        raise DataError(f"{file}: holds tracks of a video; export it from CVAT as 'CVAT for images 1.1'")
    found, problems = [], []
    for number, element in enumerate(tree.iter("image")):
        name, subset = element.get("name", ""), element.get("subset", "")
        where = f"{file}: {name or f'image {number}'}"
        try:
            lies = place(root, name, ("", "images", inside(f"images/{subset}")))
            found.append((where, _image(element, lies, root)))
        except DataError as error:
            problems.append(Problem(where, str(error)))
    items, more = once(found)
    return items, (*problems, *more)


def write(items: Iterable[Annotated], out: Path) -> None:
    """Write ``annotations.xml`` into the folder ``out``, or the file ``out`` if it ends in .xml.

    Raises:
        DataError: A path or label that XML cannot hold.
    """
    tree = ElementTree.Element("annotations")
    ElementTree.SubElement(tree, "version").text = "1.1"
    for number, item in enumerate(writable(items, tags=True, name="CVAT")):
        frame = {"id": number, "name": item.path, "width": item.width, "height": item.height}
        element = ElementTree.SubElement(tree, "image", {key: str(value) for key, value in frame.items()})
        for b in item.boxes:
            corners = {"xtl": repr(b.x0), "ytl": repr(b.y0), "xbr": repr(b.x1), "ybr": repr(b.y1)}
            given = {"label": b.label, "source": "manual", "occluded": "0", **corners, "z_order": "0"}
            ElementTree.SubElement(element, "box", given)
        for label in item.tags:
            ElementTree.SubElement(element, "tag", {"label": label, "source": "manual"})
    ElementTree.indent(tree)
    text = '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(tree, encoding="unicode") + "\n"
    atomic.write(out if out.suffix == ".xml" else out / FILE, text)


def _image(element: ElementTree.Element, path: str, root: Path) -> Annotated:
    width, height = size(root, path, element.get("width"), element.get("height"))
    boxes = tuple(_box(shape, width, height) for shape in element if shape.tag not in _NO_SHAPES)
    tags = tuple((tag.get("label") or "").strip() for tag in element.iter("tag"))
    if not all(tags):
        raise DataError("has a tag without a label; name it")
    return Annotated(path, width, height, boxes, tags)


def _box(shape: ElementTree.Element, width: int, height: int) -> LabelledBox:
    label = shape.get("label")
    try:
        corners = _corners(shape)
    except (ValueError, TypeError) as error:
        raise DataError(f"has a {shape.tag} {label!r} with unreadable coordinates {dict(shape.attrib)}") from error
    return box(label, corners, width, height)


def _corners(shape: ElementTree.Element) -> tuple[float, float, float, float]:
    def numbers(*names: str) -> tuple[float, ...]:
        return tuple(float(shape.get(name, "")) for name in names)

    match shape.tag:
        case "box":
            x0, y0, x1, y1 = numbers("xtl", "ytl", "xbr", "ybr")
            turn = float(shape.get("rotation", "0"))
            return _turned(x0, y0, x1, y1, turn) if turn else (x0, y0, x1, y1)
        case "polygon" | "polyline" | "points":
            pairs = [point.split(",") for point in shape.get("points", "").split(";")]
            return around((float(x), float(y)) for x, y in pairs)
        case "ellipse":
            cx, cy, rx, ry = numbers("cx", "cy", "rx", "ry")
            turn = math.radians(float(shape.get("rotation", "0")))
            dx = math.hypot(rx * math.cos(turn), ry * math.sin(turn))
            dy = math.hypot(rx * math.sin(turn), ry * math.cos(turn))
            return cx - dx, cy - dy, cx + dx, cy + dy
        case "mask":
            left, top, width, height = numbers("left", "top", "width", "height")
            return left, top, left + width, top + height
    raise DataError(f"has a <{shape.tag}>; allowed are box, polygon, polyline, points, ellipse, mask and tag")


def _turned(x0: float, y0: float, x1: float, y1: float, degrees: float) -> tuple[float, float, float, float]:
    """The box around one that CVAT has turned about its centre."""
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    dx, dy = (w * cos + h * sin) / 2, (w * sin + h * cos) / 2
    return cx - dx, cy - dy, cx + dx, cy + dy
