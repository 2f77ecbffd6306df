from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data.formats import Annotated, LabelledBox, yolo
from shared.errors import DataError


def picture(path: Path, width: int = 60, height: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_folder_of_labelimg_is_read(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    put(tmp_path / "a.txt", "1 0.500000 0.250000 0.200000 0.500000\n0 0.5 0.5 1 1\n")
    picture(tmp_path / "empty.png")
    put(tmp_path / "empty.txt", "")
    put(tmp_path / "classes.txt", "spot\nscratch\n")
    items, problems = yolo.read(tmp_path)
    assert not problems
    a, empty = items
    assert a.path == "a.jpg" and (a.width, a.height) == (60, 40)
    first = a.boxes[0]
    assert first.label == "scratch"
    assert (first.x0, first.y0, first.x1, first.y1) == pytest.approx((24, 0, 36, 20))
    assert a.boxes[1] == LabelledBox("spot", 0, 0, 60, 40)
    assert empty == Annotated("empty.png", 60, 40, ())


@pytest.mark.parametrize(
    "names",
    [
        "names: [spot, scratch]",
        "names: ['spot', \"scratch\"]  # two of them",
        "names: ['spot',\n  'scratch']",
        "names: {0: spot, 1: 'scratch'}",
        "names:\n  0: spot\n  1: scratch",
        "names:\n  1: scratch\n  0: spot  # first",
        "names:\n- spot\n- 'scratch'",
        "names:\n\n  # all of them\n  - spot\n  - scratch\n",
    ],
)
def test_the_names_of_a_data_yaml_are_read_in_all_its_ways(tmp_path: Path, names: str) -> None:
    put(tmp_path / "data.yaml", f"path: ../elsewhere\ntrain: images/train\nnc: 2\n{names}\nroboflow:\n  license: x\n")
    picture(tmp_path / "images" / "train" / "a.jpg")
    put(tmp_path / "labels" / "train" / "a.txt", "0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5\n")
    for source in (tmp_path, tmp_path / "data.yaml"):
        items, problems = yolo.read(source)
        assert not problems and [box.label for box in items[0].boxes] == ["spot", "scratch"]
        assert items[0].path == "images/train/a.jpg"


def test_names_with_commas_and_apostrophes_keep_their_numbers(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", "names:\n  - scratch, deep\n  - farmer's mark\n  - spot\n")
    picture(tmp_path / "a.jpg")
    put(tmp_path / "a.txt", "".join(f"{i} 0.5 0.5 0.5 0.5\n" for i in range(3)))
    assert [b.label for b in yolo.read(tmp_path)[0][0].boxes] == ["scratch, deep", "farmer's mark", "spot"]
    put(tmp_path / "data.yaml", "names: ['scratch, deep', \"farmer's mark\", spot]\n")
    assert [b.label for b in yolo.read(tmp_path)[0][0].boxes] == ["scratch, deep", "farmer's mark", "spot"]


def test_a_polygon_becomes_the_box_around_it(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    put(tmp_path / "a.txt", "0 0.1 0.5 0.5 0.25 0.9 0.75\n")
    put(tmp_path / "classes.txt", "spot\n")
    box = yolo.read(tmp_path)[0][0].boxes[0]
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((6, 10, 54, 30))


def test_a_tiny_overshoot_is_cut_off(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    put(tmp_path / "a.txt", "0 0.5 0.5 1.0000001 1.005\n")
    put(tmp_path / "classes.txt", "spot\n")
    assert yolo.read(tmp_path)[0][0].boxes == (LabelledBox("spot", 0, 0, 60, 40),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2 0.5 0.5 0.1 0.1", "names class 2, known are 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "names class -1"),
        ("spot 0.5 0.5 0.1 0.1", "allowed is 'class cx cy w h'"),
        ("0 30 20 10 10", "allowed are 0 to 1"),
        ("0 nan 0.5 0.1 0.1", "allowed are 0 to 1"),
        ("0 0.5 0.5 0 0.1", "is empty"),
        ("0 0.5 0.5 0.1", "has 3 values"),
        ("0 0.5 0.5 0.1 0.1 0.9", "has 5 values"),
    ],
)
def test_an_image_with_a_line_that_cannot_be_read_is_left_out_and_listed(tmp_path: Path, line: str, said: str) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.jpg")
        put(tmp_path / f"{name}.txt", "1 0.5 0.5 0.5 0.5\n")
    put(tmp_path / "a.txt", f"1 0.5 0.5 0.5 0.5\n{line}\n")
    put(tmp_path / "classes.txt", "spot\nscratch\n")
    items, problems = yolo.read(tmp_path)
    assert [item.path for item in items] == ["b.jpg"]
    assert len(problems) == 1 and problems[0].where == "a.jpg"
    assert problems[0].what.startswith("a.txt line 2: ") and said in problems[0].what


def test_an_image_that_nobody_looked_at_is_not_taken_for_empty(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    put(tmp_path / "classes.txt", "spot\n")
    items, problems = yolo.read(tmp_path)
    assert items == () and "has no text file" in problems[0].what


def test_labels_without_an_image_and_broken_images_are_listed(tmp_path: Path) -> None:
    put(tmp_path / "lost.txt", "0 0.5 0.5 0.5 0.5\n")
    put(tmp_path / "notes.txt", "these are notes\n")
    put(tmp_path / "a.jpg", "no image")
    put(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    put(tmp_path / "classes.txt", "spot\n")
    items, problems = yolo.read(tmp_path)
    assert items == () and [p.where for p in problems] == ["a.jpg", "lost.txt"]


SIDES = st.integers(1, 20_000)
SHARES = st.floats(0, 0.95)


@given(st.lists(st.tuples(st.sampled_from(["spot", "long scratch", "ü"]), SHARES, SHARES), max_size=4), SIDES, SIDES)
def test_what_is_written_comes_back_to_within_a_millionth_of_the_side(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[str, float, float]], width: int, height: int
) -> None:
    out = tmp_path_factory.mktemp("yolo")
    # One row or column of pixels is enough to have any size; decoding is not asked for.
    picture(out / "images" / "a.png", width, 1)
    picture(out / "images" / "b.png", 1, height)
    drawn = tuple(LabelledBox(n, x * width, y, (x + 0.05) * width, y + 0.05) for n, x, y in boxes)
    tall = tuple(LabelledBox(n, x, y * height, x + 0.05, (y + 0.05) * height) for n, x, y in boxes)
    items = (Annotated("images/a.png", width, 1, drawn), Annotated("images/b.png", 1, height, tall))
    yolo.write(items, out)
    if not boxes:
        with pytest.raises(DataError, match="holds no class names"):
            yolo.read(out)
        return
    found, problems = yolo.read(out)
    assert not problems and [(i.path, i.width, i.height) for i in found] == [(i.path, i.width, i.height) for i in items]
    for item, again in zip(items, found, strict=True):
        assert [b.label for b in again.boxes] == [b.label for b in item.boxes]
        for one, other in zip(item.boxes, again.boxes, strict=True):
            assert (other.x0, other.x1) == pytest.approx((one.x0, one.x1), abs=1e-6 * item.width)
            assert (other.y0, other.y1) == pytest.approx((one.y0, one.y1), abs=1e-6 * item.height)


def test_a_folder_without_class_names_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    put(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match=r"holds no class names; add classes\.txt"):
        yolo.read(tmp_path)


def test_labels_of_whole_images_are_refused_because_yolo_has_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="YOLO has no labels of whole images"):
        yolo.write([Annotated("a.jpg", 4, 4, (), ("OK",))], tmp_path)


def test_two_images_that_would_share_a_text_file_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    items = [Annotated("a.jpg", 4, 4, ()), Annotated("a.png", 4, 4, ())]
    with pytest.raises(DataError, match=r"its text file a\.txt is taken"):
        yolo.write(items, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_class_number_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    put(tmp_path / "data.yaml", "names:\n  0: spot\n  99999999999: scratch\n")
    with pytest.raises(DataError, match="names class 99999999999, allowed are 100000"):
        yolo.read(tmp_path)
