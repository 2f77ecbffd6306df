from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data.formats import Annotated, LabelledBox, cvat
from shared.errors import DataError

EXPORT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><name>strips</name><mode>annotation</mode>
    <labels><label><name>scratch</name><attributes></attributes></label></labels></task></meta>
  {images}
</annotations>
"""
IMAGE = '<image id="{id}" name="{name}" width="60" height="40">{shapes}</image>'
BOX = (
    '<box label="{label}" source="manual" occluded="0" xtl="{x[0]}" ytl="{x[1]}" xbr="{x[2]}" ybr="{x[3]}"'
    ' z_order="0"><attribute name="deep">yes</attribute></box>'
)


def export(folder: Path, *images: tuple[str, str]) -> Path:
    text = "\n".join(IMAGE.format(id=i, name=name, shapes=shapes) for i, (name, shapes) in enumerate(images))
    (folder / "annotations.xml").write_text(EXPORT.format(images=text), encoding="utf-8")
    return folder / "annotations.xml"


def only_box(folder: Path, shape: str) -> LabelledBox:
    items, problems = cvat.read(export(folder, ("a.jpg", shape)))
    assert not problems
    return items[0].boxes[0]


def test_an_export_gives_boxes_tags_and_empty_images(tmp_path: Path) -> None:
    shapes = BOX.format(label="scratch", x=("1.50", "2.25", "30.00", "40.00")) + '<tag label="bent" source="manual"/>'
    path = export(tmp_path, ("sub/a.jpg", shapes), ("b.jpg", ""))
    expected = (
        Annotated("sub/a.jpg", 60, 40, (LabelledBox("scratch", 1.5, 2.25, 30, 40),), ("bent",)),
        Annotated("b.jpg", 60, 40, ()),
    )
    assert cvat.read(path) == (expected, ())
    assert cvat.read(tmp_path) == (expected, ())


LABELS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
BOXES = st.tuples(st.floats(0, 29), st.floats(0, 19), st.floats(30, 60), st.floats(20, 40))


@given(st.lists(st.tuples(LABELS, BOXES), max_size=4), st.lists(LABELS, max_size=2))
def test_what_is_written_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[str, tuple[float, ...]]], tags: list[str]
) -> None:
    out = tmp_path_factory.mktemp("cvat")
    drawn = tuple(LabelledBox(name, *box) for name, box in boxes)
    items = (Annotated("sub/ä & b.jpg", 60, 40, drawn, tuple(tags)), Annotated("b.jpg", 3, 2, ()))
    cvat.write(items, out)
    assert cvat.read(out) == (items, ())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ('<polygon label="s" points="10,5;30.5,7;20,25"/>', (10, 5, 30.5, 25)),
        ('<polyline label="s" points="10,5;30,5"/>', (10, 4.5, 30, 5.5)),
        ('<points label="s" points="10,5"/>', (9.5, 4.5, 10.5, 5.5)),
        ('<ellipse label="s" cx="20" cy="20" rx="10" ry="5"/>', (10, 15, 30, 25)),
        ('<ellipse label="s" cx="20" cy="20" rx="10" ry="5" rotation="90"/>', (15, 10, 25, 30)),
        ('<mask label="s" rle="3,4" left="10" top="5" width="4" height="6"/>', (10, 5, 14, 11)),
        ('<box label="s" xtl="10" ytl="15" xbr="30" ybr="25" rotation="90"/>', (15, 10, 25, 30)),
        ('<box label="s" xtl="10" ytl="10" xbr="20" ybr="20" rotation="45"/>', (7.92893, 7.92893, 22.07107, 22.07107)),
        ('<box label="s" xtl="-4" ytl="10" xbr="70" ybr="20"/>', (0, 10, 60, 20)),
    ],
)
def test_other_shapes_become_the_box_around_them(
    tmp_path: Path, shape: str, expected: tuple[float, float, float, float]
) -> None:
    box = only_box(tmp_path, shape)
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("bad.jpg", '<cuboid label="s" xtl1="1"/>', "has a <cuboid>; allowed are box"),
        ("bad.jpg", '<box label="s" xtl="1" ytl="x" xbr="2" ybr="3"/>', "unreadable coordinates"),
        ("bad.jpg", '<box label="s" xtl="1"/>', "unreadable coordinates"),
        ("bad.jpg", '<polygon label="s" points=""/>', "unreadable coordinates"),
        ("bad.jpg", '<box xtl="1" ytl="1" xbr="2" ybr="3"/>', "without a label"),
        ("bad.jpg", '<tag label=""/>', "tag without a label"),
        ("bad.jpg", '<box label="s" xtl="100" ytl="1" xbr="120" ybr="3"/>', "outside of its 60 x 40"),
        ("../bad.jpg", "", "allowed are paths inside"),
        ("/bad.jpg", "", "allowed are paths inside"),
    ],
)
def test_an_image_that_cannot_be_read_is_listed_and_the_rest_goes_on(
    tmp_path: Path, name: str, shape: str, said: str
) -> None:
    items, problems = cvat.read(export(tmp_path, (name, shape), ("good.jpg", "")))
    assert [item.path for item in items] == ["good.jpg"]
    assert len(problems) == 1 and name in problems[0].where and said in problems[0].what


def test_an_image_that_stands_there_twice_is_left_out(tmp_path: Path) -> None:
    shape = BOX.format(label="scratch", x=(1, 2, 3, 4))
    items, problems = cvat.read(export(tmp_path, ("a.jpg", ""), ("a.jpg", shape)))
    assert items == () and len(problems) == 2


def test_images_are_found_in_the_folder_that_cvat_puts_them_in(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.zeros((40, 60), np.uint8))
    assert cvat.read(export(tmp_path, ("a.jpg", "")))[0][0].path == "images/a.jpg"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotations><track id='0' label='s'/></annotations>", "tracks of a video"),
        ("<annotation/>", "begins with <annotation>"),
        ("<annotations>", "not readable XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "holds entities"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hosts">]><annotations>&b;</annotations>', "holds entities"),
    ],
)
def test_a_file_that_is_not_cvat_for_images_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=said):
        cvat.read(tmp_path)


def test_a_folder_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"annotations\.xml"):
        cvat.read(tmp_path)
