"""Bad input, each with its one sentence and the rest unharmed."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.data import sources
from shared.errors import DataError
from shared.taxonomy import Label, Taxonomy

TAXONOMY = Taxonomy("1", (Label("SCR", "scratch"), Label("OK", "ok", ok=True)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("scratch", "ok"):
        (tmp_path / label).mkdir()
        for i in range(6):
            cv2.imwrite(str(tmp_path / label / f"{i}.jpg"), rng.integers(0, 255, (40, 50, 3), np.uint8))
    return tmp_path


def table(folder: Path, *lines: str, header: str = "path,label") -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def huge_png_header(path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    )


def test_class_folders_become_samples_with_labels(folder: Path) -> None:
    manifest, problems = sources.read(folder)
    assert not problems and manifest.counts == {"scratch": 6, "ok": 6}
    assert {(r.sample.width, r.sample.height) for r in manifest.rows} == {(50, 40)}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no usable image"):
        sources.read(tmp_path)


def test_an_empty_class_is_listed_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "dent").mkdir()
    manifest, problems = sources.read(folder)
    assert set(manifest.counts) == {"ok", "scratch"} and len(manifest.rows) == 12
    assert len(problems) == 1 and "dent: is an empty class folder" in str(problems[0])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; give a folder"):
        sources.read(tmp_path / "nowhere")


def test_a_text_file_named_png_is_listed_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "ok" / "notes.png").write_text("not a picture")
    manifest, problems = sources.read(folder)
    assert len(manifest.rows) == 12 and len(problems) == 1
    assert "notes.png" in str(problems[0]) and "is not an image" in str(problems[0])


def test_a_decompression_bomb_is_listed_without_being_decoded(folder: Path) -> None:
    huge_png_header(folder / "ok" / "bomb.png")
    manifest, problems = sources.read(folder)
    assert len(manifest.rows) == 12 and "60000 x 60000" in str(problems[0])


def test_one_label_written_in_two_ways_is_one_label_and_a_sign_tells_labels_apart(folder: Path) -> None:
    lines = [f"ok/{i}.jpg,{word}" for i, word in enumerate(["ok", "OK", " ok", "-1", "1"])]
    manifest, problems = sources.read(table(folder, *lines))
    assert not problems and manifest.counts == {"ok": 3, "-1": 1, "1": 1}


def test_an_unknown_label_is_listed_with_the_closest_one(folder: Path) -> None:
    path = table(folder, "scratch/0.jpg,scratch", "scratch/1.jpg,scrach", "ok/0.jpg,ok")
    manifest, problems = sources.read(path, taxonomy=TAXONOMY)
    assert len(manifest.rows) == 2 and "did you mean 'scratch'?" in str(problems[0])


def test_a_path_that_stands_there_twice_is_taken_once(folder: Path) -> None:
    path = table(folder, "ok/0.jpg,ok", "ok/0.jpg,ok", "scratch/0.jpg,scratch")
    manifest, problems = sources.read(path)
    assert len(manifest.rows) == 2 and "line 3" in str(problems[0]) and "twice" in str(problems[0])


def test_a_missing_column_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="column 'path' is missing; found file, label"):
        sources.read(table(folder, "ok/0.jpg,ok", header="file,label"))


def test_a_table_without_labels_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="column 'label' is missing"):
        sources.read(table(folder, "ok/0.jpg,x", header="path,klass"))


def test_a_file_that_is_missing_is_listed(folder: Path) -> None:
    path = table(folder, "ok/0.jpg,ok", "ok/gone.jpg,ok", "scratch/0.jpg,scratch")
    manifest, problems = sources.read(path)
    assert len(manifest.rows) == 2 and "gone.jpg" in str(problems[0])


def test_a_split_that_does_not_exist_is_listed(folder: Path) -> None:
    path = table(
        folder, "ok/0.jpg,ok,train", "ok/1.jpg,ok,dev", "scratch/0.jpg,scratch,test", header="path,label,split"
    )
    manifest, problems = sources.read(path)
    assert [r.split for r in manifest.rows] == ["train", "test"] and "split is 'dev'" in str(problems[0])


def test_one_picture_under_two_labels_is_left_out_and_both_are_named(folder: Path) -> None:
    (folder / "ok" / "same.jpg").write_bytes((folder / "scratch" / "0.jpg").read_bytes())
    manifest, problems = sources.read(folder)
    assert len(manifest.rows) == 11
    assert len(problems) == 2 and all("filed under ok and scratch" in str(p) for p in problems)


def test_real_label_conflicts_are_all_found(real_data: Path) -> None:
    """80 photographs that their source files under two classes, two files each."""
    conflicts = real_data / "medical" / "isic_7class" / "labels_conflicts.csv"
    with pytest.raises(
        DataError, match=r"no usable image; 160 were left out; first reason: .* the same image is filed"
    ):
        sources.read(conflicts)


def test_images_without_labels_are_read_deeply_and_faults_are_listed(folder: Path) -> None:
    (folder / "ok" / "cut.jpg").write_bytes(b"")
    samples, where, problems = sources.samples(folder)
    assert len(samples) == 12 and where == folder and "cut.jpg" in str(problems[0])
    assert samples[0].frame == samples[0].path


def test_class_folders_below_split_folders_keep_their_split(folder: Path) -> None:
    for split in ("train", "val", "test"):
        (folder / split).mkdir()
    for label in ("ok", "scratch"):
        (folder / label).rename(folder / "train" / label)
        for split in ("val", "test"):
            (folder / split / label).mkdir()
            cv2.imwrite(str(folder / split / label / "x.png"), np.full((9, 9), len(split + label), np.uint8))
    manifest, problems = sources.read(folder)
    assert {r.split for r in manifest.rows} == {"train", "validation", "test"} and not problems


def test_files_that_may_be_pictures_but_cannot_be_read_are_listed_and_those_that_are_none_are_not(folder: Path) -> None:
    (folder / "ok" / "phone.heic").write_bytes(b"ftypheic")
    (folder / "labels.csv").write_text("path,label\nok/0.jpg,ok\n")
    samples, _, problems = sources.samples(folder)
    assert len(samples) == 12, "a table beside pictures does not hide them"
    assert [p.where for p in problems] == ["ok/phone.heic"]


def test_a_users_own_columns_do_not_make_a_table_a_manifest(folder: Path) -> None:
    path = table(folder, "7,ok/0.jpg,ok,50,40", "7,scratch/0.jpg,scratch,50,40", header="id,path,label,width,height")
    manifest, _ = sources.read(path)
    assert len({r.sample.id for r in manifest.rows}) == 2 and all(r.sample.frame for r in manifest.rows)


def test_a_file_that_changed_after_the_manifest_is_left_out(folder: Path) -> None:
    from shared.data import manifest as manifests

    found, _ = sources.read(folder)
    manifests.save(found, folder / "manifest.csv")
    (folder / "ok" / "0.jpg").write_bytes((folder / "ok" / "1.jpg").read_bytes())
    again, problems = sources.read(folder / "manifest.csv")
    assert len(again.rows) == 11 and "changed after the manifest" in str(problems[0])


def test_two_words_for_one_label_become_one(folder: Path) -> None:
    taxonomy = Taxonomy("1", (Label("SCR", "scratch"), Label("OK", "ok", ok=True, aliases=("good",))))
    (folder / "good").mkdir()
    (folder / "ok" / "5.jpg").rename(folder / "good" / "5.jpg")
    manifest, _ = sources.read(folder, taxonomy=taxonomy)
    assert manifest.counts == {"ok": 6, "scratch": 6}


def test_a_row_without_a_label_is_listed(folder: Path) -> None:
    manifest, problems = sources.read(table(folder, "ok/0.jpg,", "ok/1.jpg,ok", "scratch/0.jpg,scratch"))
    assert len(manifest.rows) == 2 and "has no label" in str(problems[0])


def test_masks_that_a_table_names_are_no_pictures_and_what_it_does_not_name_is_still_one(folder: Path) -> None:
    (folder / "masks").mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), np.zeros((40, 50), np.uint8))
    table(
        folder,
        "ok/0.jpg,ok,",
        "scratch/0.jpg,scratch,masks/0.png",
        "masks/1.png,ok,masks/1.png",
        header="path,label,mask",
    )
    samples, _, problems = sources.samples(folder)
    assert {s.path for s in samples if s.path.startswith("masks")} == {"masks/1.png", "masks/2.png"}
    assert len(samples) == 14 and not problems
    (told,) = sources.masks_told(folder)
    assert told.what.startswith("1 files are masks by the folder's table") and "e.g. masks/0.png" in told.what
    table(folder, "a,b", header="image,mask")
    assert len(sources.samples(folder)[0]) == 15 and sources.masks_told(folder) == ()


def test_a_link_to_nothing_and_a_linked_folder_are_listed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away")
    (folder / "ok" / "0.jpg").rename(away / "0.jpg")
    (folder / "ok" / "0.jpg").symlink_to(away / "0.jpg")
    (folder / "ok" / "c.png").symlink_to(away / "gone.png")
    (folder / "ok" / "notes.txt").symlink_to(away / "gone.txt")
    (folder / "dent").symlink_to(away)
    (folder / "ok" / "up").symlink_to(folder)
    samples, _, problems = sources.samples(folder)
    said = {p.where: p.what for p in problems}
    assert len(samples) == 12 and set(said) == {"ok/c.png", "dent", "ok/up"}
    assert "is a link to nothing" in said["ok/c.png"] and "is a link to a folder" in said["dent"]
    manifest, problems = sources.read(folder)
    assert len(manifest.rows) == 12 and {Path(p.where).name for p in problems if "link" in p.what} == {
        "c.png",
        "dent",
        "up",
    }
