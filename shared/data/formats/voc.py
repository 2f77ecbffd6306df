"""Pascal VOC XML, one file per image, as LabelImg writes it.

Coordinates: the VOC development kit counts pixels from 1 and includes the last one, so a box around the whole of a
10 x 5 image is 1, 1, 10, 5. LabelImg writes the same for it: it clips 0 to 1 and takes the right edge as the last
pixel. Read: x0 = xmin - 1, x1 = xmax.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, ParseError, SubElement, indent

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from shared import atomic
from shared.data import images
from shared.data.formats.annotated import Annotated, LabelledBox, checked, inside
from shared.errors import DataError, Problem

Read = tuple[tuple[Annotated, ...], tuple[Problem, ...]]


def is_format(path: Path) -> bool:
    """A VOC file, or a folder with one, beside the images or in ``Annotations``."""
    return any(_is_voc(file) for file in _files(path)[:1])


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".xml" else []
    return sorted([*path.glob("*.xml"), *path.glob("Annotations/*.xml")])


def _is_voc(file: Path) -> bool:
    try:
        root = parse(file).getroot()
    except (ParseError, DefusedXmlException, OSError):
        return False
    return root is not None and root.tag == "annotation"


def read(path: Path) -> Read:
    """Read one file, or every file of a folder.

    Returns:
        Images with their boxes, paths relative to the folder, and what was left out with its reason.
    """
    folder = path if path.is_dir() else path.parent
    items, problems = [], []
    for file in _files(path):
        try:
            items.append(_read_file(file, folder))
        except (DataError, ParseError, DefusedXmlException, OSError, ValueError) as error:
            problems.append(Problem(str(file), f"is not usable VOC XML ({error}); correct or remove it"))
    return tuple(items), tuple(problems)


def _read_file(file: Path, folder: Path) -> Annotated:
    root = parse(file).getroot()
    if root is None or root.tag != "annotation":
        raise DataError("its root is not <annotation>")
    name = inside(_text(root, "filename"))
    path = _locate(file, folder, name)
    size = root.find("size")
    width, height = int(_text(size, "width")), int(_text(size, "height"))
    if width <= 0 or height <= 0:  # some tools leave the size at zero
        width, height = images.size(folder / path)
    boxes = []
    for item in root.iter("object"):
        label, corner = _text(item, "name"), item.find("bndbox")
        x0, y0, x1, y1 = (float(_text(corner, key)) for key in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append(checked(LabelledBox(label, x0 - 1, y0 - 1, x1, y1), width, height, slack=1.0))
    return Annotated(path, width, height, tuple(boxes))


def _locate(file: Path, folder: Path, name: str) -> str:
    """The image beside the XML file, in the folder, or in the kit's ``JPEGImages``."""
    places = [file.parent / name, folder / name, folder / "JPEGImages" / name, folder.parent / "JPEGImages" / name]
    found = next((place for place in places if place.is_file()), folder / name)
    return found.relative_to(folder).as_posix() if found.is_relative_to(folder) else name


def _text(parent: Element | None, key: str) -> str:
    found = parent.findtext(key) if parent is not None else None
    if found is None or not found.strip():
        raise DataError(f"<{key}> is missing")
    return found.strip()


def write(items: tuple[Annotated, ...], out: Path) -> None:
    """Write one XML file per image into the folder ``out``; corners are rounded to whole pixels, as VOC has them."""
    for item in items:
        root = Element("annotation")
        name = Path(item.path)
        SubElement(root, "folder").text = name.parent.as_posix()
        SubElement(root, "filename").text = name.name
        SubElement(root, "path").text = item.path
        size = SubElement(root, "size")
        for key, value in (("width", item.width), ("height", item.height), ("depth", 3)):
            SubElement(size, key).text = str(value)
        SubElement(root, "segmented").text = "0"
        for box in item.boxes:
            _write_box(root, box)
        indent(root)
        with atomic.file((out / name).with_suffix(".xml")) as temporary:
            ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _write_box(root: Element, box: LabelledBox) -> None:
    item = SubElement(root, "object")
    for key, value in (("name", box.label), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
        SubElement(item, key).text = value
    corner = SubElement(item, "bndbox")
    x0, y0 = round(box.x0) + 1, round(box.y0) + 1
    for key, number in (("xmin", x0), ("ymin", y0), ("xmax", max(round(box.x1), x0)), ("ymax", max(round(box.y1), y0))):
        SubElement(corner, key).text = str(number)
