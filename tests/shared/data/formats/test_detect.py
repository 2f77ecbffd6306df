import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.data import formats, images, sources
from shared.data.formats import Annotated, LabelledBox
from shared.errors import DataError

SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "data"
ITEMS = (
    Annotated("images/a.png", 60, 40, (LabelledBox("scratch", 1, 2, 30, 20),)),
    Annotated("images/b.png", 60, 40, (LabelledBox("spot", 3, 4, 9, 9), LabelledBox("spot", 20, 20, 30, 30))),
    Annotated("images/c.png", 60, 40, ()),
)


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (40, 60, 3)).astype(np.uint8))


@pytest.fixture(params=sorted(formats.FORMATS))
def export(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    for seed, item in enumerate(ITEMS):
        picture(tmp_path / item.path, seed)
    formats.write(ITEMS, tmp_path, format_name=request.param)
    return request.param, tmp_path


def test_each_format_is_told_from_the_others_and_read(export: tuple[str, Path]) -> None:
    name, folder = export
    assert formats.detect(folder) == name
    where, items, problems = formats.read(folder)
    assert where == folder and not problems
    assert [(i.path, [b.label for b in i.boxes]) for i in sorted(items, key=lambda i: i.path)] == [
        (i.path, [b.label for b in i.boxes]) for i in ITEMS
    ]


def test_each_format_becomes_a_manifest_through_the_front_door(export: tuple[str, Path]) -> None:
    manifest, problems = sources.read(export[1])
    assert not problems
    assert {row.sample.path: row.label for row in manifest.rows} == {
        "images/a.png": "scratch",
        "images/b.png": "spot",
        "images/c.png": "OK",
    }


def test_an_image_that_no_annotation_names_is_reported_and_not_taken_for_empty(export: tuple[str, Path]) -> None:
    picture(export[1] / "images" / "forgotten.png")
    _, items, problems = formats.read(export[1])
    assert len(items) == 3
    assert len(problems) == 1 and "forgotten.png" in str(problems[0])


def test_a_single_file_is_told_by_what_it_holds(export: tuple[str, Path]) -> None:
    name, folder = export
    file = {"voc": "images/a.xml", "coco": "annotations.json", "cvat": "annotations.xml", "yolo": "classes.txt"}[name]
    assert formats.detect(folder / file) == name
    where, items, _ = formats.read(folder / file)
    assert items and all((where / item.path).is_file() for item in items)


def test_folders_of_other_things_are_no_annotations(tmp_path: Path) -> None:
    picture(tmp_path / "classes" / "ok" / "a.png")
    (tmp_path / "classes" / "settings.json").write_text('{"images": 3}')
    (tmp_path / "classes" / "page.xml").write_text("<html/>")
    (tmp_path / "classes" / "broken.xml").write_text("<")
    (tmp_path / "classes" / "classes.txt").write_text("ok\n")
    (tmp_path / "classes" / "notes.txt").write_text("notes\n")
    (tmp_path / "classes" / "settings.yaml").write_bytes("größe: 3\n".encode("latin-1"))
    assert formats.detect(tmp_path / "classes") is None
    assert formats.detect(tmp_path / "absent") is None
    for name in ("settings.json", "page.xml", "broken.xml", "notes.txt", "ok/a.png"):
        assert formats.detect(tmp_path / "classes" / name) is None
    with pytest.raises(DataError, match="holds no annotations that are read; allowed are VOC"):
        formats.read(tmp_path / "classes")


def test_an_unknown_format_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'coc' is not known; did you mean 'coco'"):
        formats.write(ITEMS, tmp_path, format_name="coc")


def test_one_label_is_the_label_and_several_are_a_problem() -> None:
    items = (
        *ITEMS,
        Annotated("both.png", 9, 9, (LabelledBox("spot", 0, 0, 1, 1),), ("scratch",)),
        Annotated("tag.png", 9, 9, (), ("bent",)),
        Annotated("agree.png", 9, 9, (LabelledBox("spot", 0, 0, 1, 1),), ("spot",)),
    )
    sure = {"images/a.png": "scratch", "images/b.png": "spot", "tag.png": "bent", "agree.png": "spot"}
    labels, problems = formats.image_labels(items, ok_label="OK")
    assert labels == {**sure, "images/c.png": "OK"}
    assert [p.where for p in problems] == ["both.png"] and "has 2 labels (scratch, spot)" in problems[0].what
    labels, problems = formats.image_labels(items, ok_label=None)
    assert labels == sure
    assert {p.where for p in problems} == {"both.png", "images/c.png"}


def test_two_entries_of_one_image_count_as_one() -> None:
    twice = (Annotated("a.png", 9, 9, (), ("spot",)), Annotated("a.png", 9, 9, (), ("bent",)))
    labels, problems = formats.image_labels(twice, ok_label="OK")
    assert not labels and "has 2 labels (bent, spot)" in problems[0].what


@pytest.mark.parametrize("name", sorted(formats.FORMATS))
def test_boxes_of_real_photographs_survive_every_format(tmp_path: Path, name: str) -> None:
    source = SHARED / "industrial" / "neu_surface"
    if not source.is_dir():
        pytest.skip("no real photographs beside the checkout")
    with (source / "labels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))[::12]
    items = []
    for row in rows:
        (tmp_path / row["path"]).parent.mkdir(exist_ok=True)
        (tmp_path / row["path"]).write_bytes((source / row["path"]).read_bytes())
        corners = ([float(c) for c in box.split()] for box in row["boxes"].split(";"))
        boxes = tuple(LabelledBox(row["label"], x0, y0, x1, y1) for x0, y0, x1, y1 in corners)
        items.append(Annotated(row["path"], *images.size(source / row["path"]), boxes))
    formats.write(items, tmp_path, format_name=name)
    _, found, problems = formats.read(tmp_path)
    again = {item.path: item for item in found}
    assert not problems and len(again) == len(rows) > 30
    for item in items:
        assert [b.label for b in again[item.path].boxes] == [b.label for b in item.boxes]
        for one, other in zip(item.boxes, again[item.path].boxes, strict=True):
            corners = (other.x0, other.y0, other.x1, other.y1)
            assert corners == pytest.approx((one.x0, one.y0, one.x1, one.y1), abs=1e-5 if name == "yolo" else 0)
    labels, _ = formats.image_labels(found, ok_label=None)
    assert labels == {row["path"]: row["label"] for row in rows}
