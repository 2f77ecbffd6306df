from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data.formats import Annotated, LabelledBox, voc
from shared.errors import DataError

# The layout of LabelImg's writer, by hand.
LABELIMG = """<annotation>
\t<folder>pictures</folder>
\t<filename>{filename}</filename>
\t<path>C:\\Users\\ann\\pictures\\{filename}</path>
\t<source>
\t\t<database>Unknown</database>
\t</source>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{box[0]}</xmin>
\t\t\t<ymin>{box[1]}</ymin>
\t\t\t<xmax>{box[2]}</xmax>
\t\t\t<ymax>{box[3]}</ymax>
\t\t</bndbox>
\t</object>
"""


def labelimg(filename: str, *objects: tuple[str, tuple[object, ...]], width: int = 60, height: int = 40) -> str:
    text = "".join(OBJECT.format(name=name, box=box) for name, box in objects)
    return LABELIMG.format(filename=filename, width=width, height=height, objects=text)


def picture(path: Path, width: int = 60, height: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def test_a_file_of_labelimg_gives_its_boxes_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(labelimg("a.jpg", ("scratch", (10, 5, 30, 25)), ("spot", (1, 1, 60, 40))))
    items, problems = voc.read(tmp_path)
    boxes = (LabelledBox("scratch", 10, 5, 30, 25), LabelledBox("spot", 1, 1, 60, 40))
    assert items == (Annotated("a.jpg", 60, 40, boxes),) and not problems
    assert voc.read(tmp_path / "a.xml") == (items, problems)


def test_the_convention_of_the_pascal_kit_counts_from_1_and_includes_the_last_pixel(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(labelimg("a.jpg", ("spot", (1, 1, 60, 40)), ("dot", (7, 7, 7, 7))))
    items, _ = voc.read(tmp_path, convention="pascal")
    assert items[0].boxes == (LabelledBox("spot", 0, 0, 60, 40), LabelledBox("dot", 6, 6, 7, 7))


def test_a_box_with_equal_edges_is_a_pixel_wide(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(labelimg("a.jpg", ("hair", (7, 3, 7, 30))))
    assert voc.read(tmp_path)[0][0].boxes == (LabelledBox("hair", 7, 3, 8, 30),)


WHOLE = st.tuples(st.integers(0, 58), st.integers(0, 38), st.integers(1, 60), st.integers(1, 40)).filter(
    lambda b: b[0] < b[2] and b[1] < b[3]
)
NAMES = st.sampled_from(["scratch", "kratzer über", "<b> & \"q\" 'r'", "划痕", "a/b"])


@given(st.lists(st.tuples(NAMES, WHOLE), max_size=4), st.sampled_from(["labelimg", "pascal"]))
def test_whole_pixels_come_back_exactly_in_both_conventions(
    tmp_path_factory: pytest.TempPathFactory,
    boxes: list[tuple[str, tuple[int, int, int, int]]],
    convention: voc.Convention,
) -> None:
    out = tmp_path_factory.mktemp("voc")
    items = (
        Annotated("sub/a.b.jpg", 60, 40, tuple(LabelledBox(name, *box) for name, box in boxes)),
        Annotated("c.png", 5, 5, ()),
    )
    voc.write(items, out, convention=convention)
    found, problems = voc.read(out, convention=convention)
    assert sorted(found, key=lambda i: i.path) == sorted(items, key=lambda i: i.path) and not problems


def test_a_box_between_pixels_becomes_larger_by_less_than_one_and_never_smaller(tmp_path: Path) -> None:
    box = LabelledBox("scratch", 10.25, 5.5, 12.5, 25.75)
    voc.write([Annotated("a.jpg", 60, 40, (box,))], tmp_path)
    assert voc.read(tmp_path)[0][0].boxes == (LabelledBox("scratch", 10, 5, 13, 26),)


def test_the_image_is_the_one_named_like_the_file_and_then_the_one_that_is_named_in_it(tmp_path: Path) -> None:
    picture(tmp_path / "renamed.png")
    (tmp_path / "renamed.xml").write_text(labelimg("original", ("spot", (1, 2, 3, 4))))
    picture(tmp_path / "other.jpg")
    (tmp_path / "b.xml").write_text(labelimg("other.jpg"))
    assert {item.path for item in voc.read(tmp_path)[0]} == {"renamed.png", "other.jpg"}


@pytest.mark.parametrize("images", ["JPEGImages", "images"])
def test_annotations_beside_the_folder_of_images_find_them(tmp_path: Path, images: str) -> None:
    picture(tmp_path / images / "train" / "a.jpg")
    (tmp_path / "Annotations" / "train").mkdir(parents=True)
    (tmp_path / "Annotations" / "train" / "a.xml").write_text(labelimg("a.jpg"))
    for source in (tmp_path, tmp_path / "Annotations"):
        assert [item.path for item in voc.read(source)[0]] == [f"{images}/train/a.jpg"]


def test_a_size_of_0_is_taken_from_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 33, 22)
    (tmp_path / "a.xml").write_text(labelimg("a.png", ("spot", (1, 2, 30, 20)), width=0, height=0))
    item = voc.read(tmp_path)[0][0]
    assert (item.width, item.height) == (33, 22)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation><file", "not readable XML"),
        ("", "not readable XML"),
        ("<html/>", "begins with <html>"),
        (labelimg("../a.jpg"), "names the image '../a.jpg'"),
        (labelimg("/etc/passwd"), "names the image '/etc/passwd'"),
        (labelimg("C:\\a.jpg"), "names the image"),
        (labelimg("..\\a.jpg"), "names the image"),
        (labelimg("a.jpg", ("spot", (1, 2, "x", 4))), "allowed are numbers"),
        (labelimg("a.jpg", ("spot", (1, 2, "nan", 4))), "empty or not a number"),
        (labelimg("a.jpg", ("spot", (30, 2, 3, 4))), "is empty"),
        (labelimg("a.jpg", ("spot", (70, 2, 80, 4))), "outside of its 60 x 40 pixels"),
        (labelimg("a.jpg", (" ", (1, 2, 3, 4))), "without a label"),
        (labelimg("a.jpg", width=0), "cannot be read"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "holds entities"),
    ],
)
def test_a_bad_file_is_listed_with_one_sentence_and_the_rest_goes_on(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.xml").write_text(text)
    (tmp_path / "good.xml").write_text(labelimg("good.jpg", ("spot", (1, 2, 3, 4))))
    items, problems = voc.read(tmp_path)
    assert [item.path for item in items] == ["good.jpg"]
    assert len(problems) == 1 and problems[0].where.endswith("bad.xml") and said in problems[0].what
    with pytest.raises(DataError, match=r"bad\.xml"):
        voc.read(tmp_path / "bad.xml")


def test_an_image_with_one_unreadable_box_is_left_out_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(labelimg("a.jpg", ("spot", (1, 2, 3, 4)), ("scratch", (9, 9, 2, 2))))
    items, problems = voc.read(tmp_path)
    assert items == () and len(problems) == 1


def test_two_files_for_one_image_are_both_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.xml").write_text(labelimg("same.jpg"))
    items, problems = voc.read(tmp_path)
    assert items == () and len(problems) == 2 and "annotated 2 times" in problems[0].what


def test_boxes_are_cut_off_at_the_border(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(labelimg("a.jpg", ("spot", (-3, 2, 61.5, 50))))
    assert voc.read(tmp_path)[0][0].boxes == (LabelledBox("spot", 0, 2, 60, 40),)


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.xml file"):
        voc.read(tmp_path)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([Annotated("a.jpg", 9, 9, (), ("OK",))], "VOC has no labels of whole images"),
        ([Annotated("a.jpg", 9, 9, ()), Annotated("a.png", 9, 9, ())], "written to the same file"),
        ([Annotated("a.jpg", 9, 9, ()), Annotated("a.jpg", 9, 9, ())], "stands in the list twice"),
        ([Annotated("../a.jpg", 9, 9, ())], "without '..'"),
        ([Annotated("a.jpg", 9, 9, (LabelledBox("a\nb", 0, 0, 1, 1),))], "control characters"),
    ],
)
def test_what_voc_cannot_hold_is_refused(tmp_path: Path, items: list[Annotated], said: str) -> None:
    with pytest.raises(DataError, match=said):
        voc.write(items, tmp_path)
