"""Pascal VOC XML, one file per image, as LabelImg writes it: a folder or file in, annotated images out, and back.

Two conventions wear the same tags. LabelImg (``libs/pascal_voc_io.py``, ``libs/labelFile.py``) cuts the corners of the
drawn rectangle down to whole numbers and reads them back unchanged: width is ``xmax - xmin``, the first column is 0,
but a 0 is written as 1, because an old trainer could not bear it. The PASCAL development kit counts pixels from 1 and
includes the last one, so that its box in our coordinates is ``xmin - 1 .. xmax``. The files do not say which of the two
they follow. LabelImg's is the default; the difference is one pixel at the left and the upper edge.
"""

from collections.abc import Iterable
from math import ceil, floor
from pathlib import Path, PurePosixPath
from typing import Literal
from xml.etree import ElementTree

from shared import atomic
from shared.data.formats.annotated import Annotated, LabelledBox, box, inside, once, place, size, writable, xml
from shared.data.images import SUFFIXES
from shared.errors import DataError, Problem

Convention = Literal["labelimg", "pascal"]
_XML_FOLDERS = {"annotations", "labels", "xml", "xmls"}


def read(path: Path, *, convention: Convention = "labelimg") -> tuple[tuple[Annotated, ...], tuple[Problem, ...]]:
    """Read one XML file, or all below a folder, beside the images or in ``Annotations`` beside ``JPEGImages``.

    ``folder`` and ``path`` in the file, which name places on the annotator's machine, are passed over. The image
    is the one named like the XML file, as in LabelImg, or else the one that ``filename`` names. An image with a box
    that cannot be read is left out: without that box it would pass for one with nothing on it. A box whose edges are
    equal, as the corners cut down of a thin one are, is a pixel wide.

    Args:
        path: File or folder.
        convention: How coordinates are to be understood; see the module.

    Raises:
        DataError: There is no VOC file.
    """
    root = home(path)
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    found, problems = [], []
    for file in files:
        try:
            found.append((str(file), _read_one(file, root, convention)))
        except DataError as error:
            problems.append(Problem(str(file), str(error).removeprefix(f"{file}: ")))
    if not files or (len(files) == 1 and path.is_file() and problems):
        reason = problems[0].what if problems else "holds no .xml file; give the folder with the annotations"
        raise DataError(f"{path}: {reason}")
    items, more = once(found)
    return items, (*problems, *more)


def home(path: Path) -> Path:
    """The folder that image paths start from: above ``Annotations``, or the folder itself."""
    folder = path if path.is_dir() else path.parent
    return folder.parent if folder.name.lower() in _XML_FOLDERS else folder


def write(items: Iterable[Annotated], out: Path, *, convention: Convention = "labelimg") -> None:
    """Write one XML file per image into the folder ``out``, under the image's path with the ending ``.xml``.

    Coordinates are whole numbers in this format; a box is made larger to the next ones, never smaller. With LabelImg's
    convention a 0 is written as 0: LabelImg reads it, and moving the edge would change the box.

    Raises:
        DataError: Labels of whole images, which VOC does not have, or two images that differ in their ending only.
    """
    seen: dict[Path, str] = {}
    for item in writable(items, tags=False, name="VOC"):
        target = out / PurePosixPath(item.path).with_suffix(".xml")
        if target in seen:
            raise DataError(f"{item.path}: would be written to the same file as {seen[target]}; rename one of them")
        seen[target] = item.path
        tree = _tree(item, convention)
        ElementTree.indent(tree, "\t")
        atomic.write(target, ElementTree.tostring(tree, encoding="unicode") + "\n")


def _read_one(file: Path, root: Path, convention: Convention) -> Annotated:
    tree = xml(file)
    if tree.tag != "annotation":
        raise DataError(f"{file}: begins with <{tree.tag}>, VOC begins with <annotation>; move it elsewhere")
    path = _image(file, root, tree.findtext("filename") or "")
    width, height = size(root, path, tree.findtext("size/width"), tree.findtext("size/height"))
    return Annotated(path, width, height, tuple(_box(o, width, height, convention) for o in tree.iter("object")))


def _box(element: ElementTree.Element, width: int, height: int, convention: Convention) -> LabelledBox:
    label = element.findtext("name")
    texts = [element.findtext(f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = (float(text or "") for text in texts)
    except ValueError as error:
        raise DataError(f"has a box {label!r} with the corners {texts}; allowed are numbers") from error
    if convention == "pascal":
        x0, y0 = x0 - 1, y0 - 1
    else:
        x1, y1 = x1 + (x1 == x0), y1 + (y1 == y0)
    return box(label, (x0, y0, x1, y1), width, height)


def _image(file: Path, root: Path, filename: str) -> str:
    """The image's path in ``root``; the one that was probably meant where the file does not exist."""
    parts = file.parent.relative_to(root).parts
    mirrored = [p for p in parts if p.lower() not in _XML_FOLDERS]
    apart = file.parent.name.lower() in _XML_FOLDERS or len(mirrored) < len(parts)
    tops = ("JPEGImages", "images") if apart else ("",)
    folders = ["/".join(parts), *("/".join((top, *mirrored)).strip("/") for top in (*tops, "", "JPEGImages", "images"))]
    name = inside(filename) if filename.strip() else file.stem
    alike = (file.stem + suffix for end in sorted(SUFFIXES) for suffix in (end, end.upper()))
    for candidate in sorted((name, *alike), key=lambda c: PurePosixPath(c).stem != file.stem):
        found = place(root, candidate, folders)
        if (root / found).is_file():
            return found
    return str(PurePosixPath(*mirrored, name))


def _tree(item: Annotated, convention: Convention) -> ElementTree.Element:
    """In the order of LabelImg's writer."""
    tree = ElementTree.Element("annotation")
    path = PurePosixPath(item.path)
    _add(tree, "folder", path.parent.name)
    _add(tree, "filename", path.name)
    _add(ElementTree.SubElement(tree, "source"), "database", "Unknown")
    sizes = ElementTree.SubElement(tree, "size")
    for name, value in (("width", item.width), ("height", item.height), ("depth", 3)):
        _add(sizes, name, str(value))
    _add(tree, "segmented", "0")
    first = 1 if convention == "pascal" else 0
    for b in item.boxes:
        element = ElementTree.SubElement(tree, "object")
        cut = b.x0 <= 0 or b.y0 <= 0 or b.x1 >= item.width or b.y1 >= item.height
        for name, text in (
            ("name", b.label),
            ("pose", "Unspecified"),
            ("truncated", str(int(cut))),
            ("difficult", "0"),
        ):
            _add(element, name, text)
        corners = ElementTree.SubElement(element, "bndbox")
        whole = (floor(b.x0) + first, floor(b.y0) + first, ceil(b.x1), ceil(b.y1))
        for name, number in zip(("xmin", "ymin", "xmax", "ymax"), whole, strict=True):
            _add(corners, name, str(number))
    return tree


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text
