import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data.formats import Annotated, LabelledBox, coco
from shared.errors import DataError


def document(**changes: Any) -> dict[str, Any]:
    """Ids with gaps, as in COCO itself; made by hand."""
    return {
        "info": {"year": 2026},
        "images": [
            {"id": 90, "file_name": "b.jpg", "width": 60, "height": 40},
            {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48},
            {"id": 8, "file_name": "none.jpg", "width": 5, "height": 5},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 44, "bbox": [1.5, 2.25, 10, 20.5], "iscrowd": 0, "area": 205},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 64, 48], "iscrowd": 1, "segmentation": {}},
            {"id": 3, "image_id": 90, "category_id": 3},
        ],
        "categories": [{"id": 44, "name": "scratch"}, {"id": 3, "name": "spot", "supercategory": "defect"}],
        **changes,
    }


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_boxes_tags_and_images_without_annotations_are_read(tmp_path: Path) -> None:
    path = put(tmp_path / "any_name.json", document())
    expected = (
        Annotated("b.jpg", 60, 40, (), ("spot",)),
        Annotated("a.jpg", 64, 48, (LabelledBox("scratch", 1.5, 2.25, 11.5, 22.75), LabelledBox("spot", 0, 0, 64, 48))),
        Annotated("none.jpg", 5, 5, ()),
    )
    assert coco.read(path) == (expected, ())
    assert coco.read(tmp_path) == (expected, ())


# Eighths of a pixel add and subtract without rounding.
EIGHTHS = st.tuples(st.integers(0, 470), st.integers(0, 310), st.integers(1, 480), st.integers(1, 320)).filter(
    lambda b: b[0] < b[2] and b[1] < b[3]
)
LABELS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(st.lists(st.tuples(LABELS, EIGHTHS), max_size=4), st.lists(LABELS, max_size=2))
def test_what_is_written_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[str, tuple[int, ...]]], tags: list[str]
) -> None:
    out = tmp_path_factory.mktemp("coco")
    drawn = tuple(LabelledBox(name, *(value / 8 for value in box)) for name, box in boxes)
    items = (Annotated("sub/a.jpg", 60, 40, drawn, tuple(tags)), Annotated("b.jpg", 3, 2, ()))
    coco.write(items, out)
    assert coco.read(out) == (items, ())
    coco.write(items, out / "named.json")
    assert coco.read(out / "named.json") == (items, ())


@given(st.floats(0, 50), st.floats(0.001, 9))
def test_other_fractions_come_back_to_a_billionth_of_a_pixel(
    tmp_path_factory: pytest.TempPathFactory, x: float, width: float
) -> None:
    out = tmp_path_factory.mktemp("coco")
    coco.write([Annotated("a.jpg", 60, 40, (LabelledBox("spot", x, 1, x + width, 2),))], out)
    box = coco.read(out)[0][0].boxes[0]
    assert box.x0 == pytest.approx(x, abs=1e-9) and box.x1 == pytest.approx(x + width, abs=1e-9)


@pytest.mark.parametrize(
    ("annotations", "where"),
    [("annotations/instances_train.json", "images/train/a.jpg"), ("train/_annotations.coco.json", "train/a.jpg")],
)
def test_images_are_found_where_exports_put_them(tmp_path: Path, annotations: str, where: str) -> None:
    (tmp_path / where).parent.mkdir(parents=True)
    cv2.imwrite(str(tmp_path / where), np.zeros((48, 64), np.uint8))
    put(tmp_path / annotations, document())
    assert where in [item.path for item in coco.read(tmp_path)[0]]


def test_files_that_name_the_same_image_are_put_together(tmp_path: Path) -> None:
    put(tmp_path / "annotations" / "a.json", document())
    more = [{"id": 1, "image_id": 8, "category_id": 3, "bbox": [1, 1, 2, 2]}, document()["annotations"][0]]
    put(tmp_path / "annotations" / "b.json", document(annotations=more))
    items, problems = coco.read(tmp_path)
    assert not problems
    assert {item.path: len(item.boxes) for item in items} == {"b.jpg": 0, "a.jpg": 2, "none.jpg": 1}


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ({"category_id": 5, "bbox": [0, 0, 1, 1]}, "category_id 5, which has no name"),
        ({"category_id": 3, "bbox": [0, 0, 1]}, "allowed are four numbers"),
        ({"category_id": 3, "bbox": "wide"}, "allowed are four numbers"),
        ({"category_id": 3, "bbox": [0, 0, 0, 5]}, "is empty"),
        ({"category_id": 3, "bbox": [100, 0, 5, 5]}, "outside of its 5 x 5"),
    ],
)
def test_an_image_with_an_unreadable_annotation_is_left_out_and_listed(
    tmp_path: Path, annotation: dict[str, Any], said: str
) -> None:
    path = put(tmp_path / "a.json", document(annotations=[{"id": 1, "image_id": 8, **annotation}]))
    items, problems = coco.read(path)
    assert [item.path for item in items] == ["b.jpg", "a.jpg"]
    assert len(problems) == 1 and "none.jpg" in problems[0].where and said in problems[0].what


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "a/../../b.jpg", "", "D:\\a.jpg"])
def test_paths_that_leave_the_folder_are_listed(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "a.json", document(images=[{"id": 1, "file_name": name, "width": 2, "height": 2}]))
    items, problems = coco.read(path)
    assert items == () and any("allowed are paths inside" in p.what for p in problems)


def test_annotations_of_an_image_that_is_not_listed_are_reported(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document(annotations=[{"id": 1, "image_id": 55, "category_id": 3}]))
    assert ["image_id 55" in p.what for p in coco.read(path)[1]] == [True]


def test_images_that_share_an_id_are_left_out_because_their_boxes_cannot_be_told_apart(tmp_path: Path) -> None:
    twice = [{"id": 7, "file_name": f"{name}.jpg", "width": 64, "height": 48} for name in "ab"]
    items, problems = coco.read(put(tmp_path / "a.json", document(images=twice, annotations=[])))
    assert items == () and len(problems) == 2


def test_ids_written_as_numbers_here_and_as_text_there_are_the_same(tmp_path: Path) -> None:
    annotation = {"id": 1, "image_id": "8", "category_id": "3", "bbox": [1, 1, 2, 2]}
    items, problems = coco.read(put(tmp_path / "a.json", document(annotations=[annotation])))
    assert not problems and items[2].boxes == (LabelledBox("spot", 1, 1, 3, 3),)


@pytest.mark.parametrize("content", ["[]", "{", "", '{"images": [], "annotations": {}}', "null", "[" * 100_000])
def test_a_file_that_is_not_coco_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"a\.json: (has no list|is not readable JSON)"):
        coco.read(tmp_path / "a.json")
    with pytest.raises(DataError, match="holds no COCO file"):
        coco.read(tmp_path)
