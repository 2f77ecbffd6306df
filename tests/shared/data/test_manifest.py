from dataclasses import replace
from pathlib import Path

import pytest

from shared.data import manifest as manifests
from shared.data.manifest import Manifest, Row
from shared.errors import DataError
from shared.records import Box, Sample

WHOLE = Row(Sample("a" * 16, "x/1.png", 30, 20, group="p1"), "crack", "train", "masks/1.png")
TILE = Row(
    Sample(
        "b@1,2,8,9", "f.png", 8, 9, Box(1, 2, 9, 11), Box(0, 0, 4, 5), "strip 7", (1, 402), "p2", (0.05, 0.04), {"n": 3}
    ),
    "",
)
EMPTY_CELLS = Row(Sample("c" * 16, "NA", 1, 1, group="001"), "None", "")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_manifest_survives_the_disk(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"manifest.{ending}"
    manifest = Manifest((WHOLE, TILE, EMPTY_CELLS), tmp_path, "industrial")
    manifests.save(manifest, path)
    table = manifests.read_table(path)
    assert manifests.is_manifest(table)
    back = manifests.from_table(table, tmp_path, path)
    assert back == manifest and back.hash == manifest.hash


def test_the_hash_changes_with_content_and_not_with_order_or_path(tmp_path: Path) -> None:
    manifest = Manifest((WHOLE, TILE), tmp_path)
    assert manifest.with_rows((TILE, WHOLE)).hash == manifest.hash
    moved = replace(WHOLE, sample=replace(WHOLE.sample, path="elsewhere.png"))
    assert manifest.with_rows((moved, TILE)).hash == manifest.hash
    for other in (
        replace(WHOLE, label="dent"),
        replace(WHOLE, split="test"),
        replace(WHOLE, sample=replace(WHOLE.sample, group="p9")),
        replace(WHOLE, sample=replace(WHOLE.sample, id="d" * 16)),
    ):
        assert manifest.with_rows((other, TILE)).hash != manifest.hash


def test_a_table_without_paths_says_which_columns_it_has(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("file,label\na.png,x\n")
    with pytest.raises(DataError, match="column 'path' is missing; found file, label"):
        manifests.read_table(path)


def test_a_damaged_cell_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    manifests.save(Manifest((WHOLE, TILE), tmp_path), path)
    path.write_text(path.read_text().replace(",30,20,", ",wide,20,"))
    with pytest.raises(DataError, match="line 2"):
        manifests.from_table(manifests.read_table(path), tmp_path, path)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.csv or \.parquet"):
        manifests.save(Manifest((WHOLE,), tmp_path), tmp_path / "manifest.xlsx")


@pytest.mark.parametrize("between", [",", ";"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_spreadsheets_table_is_read_whatever_its_country_puts_between_columns(
    tmp_path: Path, between: str, mark: str
) -> None:
    (tmp_path / "labels.csv").write_text(f"{mark}path{between}label\na.png{between}rust\n", encoding="utf-8")
    assert manifests.read_table(tmp_path / "labels.csv").to_dict("records") == [{"path": "a.png", "label": "rust"}]
