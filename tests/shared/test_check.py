"""The data doctor on drawn sets with planted faults, and on the real photographs where they are."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from shared.check import check
from shared.data import sources
from shared.errors import ConfigError
from shared.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(image_size=64, threads=1, lambdas=(0.1, 1.0, 10.0))


@pytest.fixture(scope="session")
def sick(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn pictures with a leaking split, copies, contradictions, wrong labels and damaged files."""
    folder = tmp_path_factory.mktemp("sick")
    lines = []
    for i, file in enumerate(sorted(pictures.rglob("*.png"))):
        label, name = file.parent.name, f"{file.parent.name}{file.name}"
        shutil.copy(file, folder / name)
        lines.append([name, label, "", ("train", "test", "train", "validation", "train")[i % 5], f"camera{i % 2}"])
    lines[0][1] = "spot"  # ok000.png is filed under the wrong label
    picture = cv2.imread(str(folder / "scratch000.png"))
    shutil.copy(folder / "scratch000.png", folder / "exact.png")
    cv2.imwrite(str(folder / "turned.png"), np.ascontiguousarray(np.rot90(picture)))
    lines += [["exact.png", "scratch", "", "test", "camera0"], ["turned.png", "scratch", "", "test", "camera1"]]
    shutil.copy(folder / "spot001.png", folder / "conflict.png")
    lines.append(["conflict.png", "scratch", "", "train", "camera0"])
    cut = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8))[1].tobytes()
    (folder / "cut.jpg").write_bytes(cut[: len(cut) * 3 // 4])
    lines.append(["cut.jpg", "ok", "", "train", "camera0"])
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label", "group", "split", "camera"], *lines])
    return folder


@pytest.fixture(scope="session")
def facts(sick: Path, cache: Path) -> dict[str, Any]:
    return check(sick / "labels.csv", cache=cache, recipe=RECIPE)


def test_copies_are_found_with_their_paths_also_when_turned(facts: dict[str, Any]) -> None:
    (exact,) = facts["copies"]["exact"]
    (near,) = facts["copies"]["near"]
    assert set(exact["paths"]) == {"scratch000.png", "exact.png"}
    assert set(near["paths"]) == {"scratch000.png", "exact.png", "turned.png"}


def test_contradictions_and_damaged_files_are_left_out_and_listed(facts: dict[str, Any]) -> None:
    (group,) = facts["contradictions"]["exact"]
    assert set(group["paths"]) == {"spot001.png", "conflict.png"}
    assert facts["images"] == 141 and len(facts["problems"]) == 3
    assert any(p.startswith("cut.jpg") for p in facts["problems"])


def test_leaks_are_priced_on_the_same_images_with_intervals(facts: dict[str, Any]) -> None:
    price = facts["price"]
    assert facts["split"]["given"] and facts["split"]["leaked_before"] > 0
    assert price["images"] == facts["split"]["images"]["test"] and price["given"]
    for side in ("leaky", "clean"):
        assert 0 <= price[side]["low"] <= price[side]["value"] <= price[side]["high"] <= 1
    assert price["points"] == pytest.approx(100 * (price["leaky"]["value"] - price["clean"]["value"]))
    assert price["low"] <= price["points"] <= price["high"]


def test_a_wrong_label_is_doubted_and_its_true_one_named(facts: dict[str, Any]) -> None:
    doubts = {s["path"]: s for s in facts["suspects"]}
    assert doubts["ok000.png"]["label"] == "spot" and doubts["ok000.png"]["likely"] in ("ok", "scratch")
    given = [s["given_probability"] for s in facts["suspects"]]
    assert given == sorted(given) and all(s["label"] != s["likely"] for s in facts["suspects"])


def test_facts_stand_before_what_must_be_looked_at_and_the_costliest_first(facts: dict[str, Any]) -> None:
    found = facts["findings"]
    assert [f["certain"] for f in found] == sorted((f["certain"] for f in found), reverse=True)
    for certain in (True, False):
        points = [-1 if f["points"] is None else f["points"] for f in found if f["certain"] == certain]
        assert points == sorted(points, reverse=True)
    assert {"leaks", "contradictions", "problems", "copies"} <= {f["section"] for f in found}
    assert set(json.loads(json.dumps(facts))) == set(facts)


def test_a_camera_that_has_nothing_to_do_with_the_label_is_not_named(facts: dict[str, Any]) -> None:
    rows = {p["name"]: p for p in facts["shortcuts"]["properties"]}
    assert not rows["column camera"]["named"] and rows["column camera"]["recording"]
    assert facts["shortcuts"]["chance"] == pytest.approx(1 / 3)


def test_a_camera_for_each_label_is_named_as_a_shortcut(pictures: Path, cache: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "x")
    files = sorted((tmp_path / "x").rglob("*.png"))
    rows = [
        ["path", "label", "camera"],
        *([str(f.relative_to(tmp_path / "x")), f.parent.name, f.parent.name] for f in files),
    ]
    with (tmp_path / "x" / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    found = check(tmp_path / "x", cache=cache, recipe=RECIPE)
    row = next(p for p in found["shortcuts"]["properties"] if p["name"] == "column camera")
    assert row["named"] and row["value"] == 1.0
    first = found["findings"][0]
    assert first["section"] == "shortcuts" and first["certain"] and "column camera 100.0 %" in first["what"]


def test_the_repaired_manifest_leaks_nothing_keeps_labels_and_says_what_it_changed(
    sick: Path, cache: Path, tmp_path: Path
) -> None:
    fixed = tmp_path / "elsewhere" / "fixed.csv"
    facts = check(sick / "labels.csv", cache=cache, recipe=RECIPE, fix=fixed)
    said = "\n".join(facts["changes"])
    assert "2 files left out: 1 image filed under several labels" in said
    assert "3 images joined with their copies into 1 groups" in said and "the split was made anew" in said
    assert "no label was changed" in said
    before = {r.sample.id: r.label for r in sources.read(sick)[0].rows}
    manifest, problems = sources.read(fixed)
    assert not problems and len(manifest.rows) == 141
    assert all(before[r.sample.id] == r.label for r in manifest.rows)
    family = [r for r in manifest.rows if Path(r.sample.path).name in ("scratch000.png", "exact.png", "turned.png")]
    assert len({r.sample.group for r in family}) == 1 and len({r.split for r in family}) == 1 and family[0].sample.group
    again = check(fixed, cache=cache, recipe=RECIPE)
    assert again["split"]["given"] and again["split"]["leaked_after"] == 0 and again["price"] is None


def test_a_manifest_of_another_ending_is_refused_before_the_work(sick: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a manifest ends in \.csv or \.parquet"):
        check(sick / "labels.csv", cache=cache, fix=tmp_path / "fixed.xlsx")


def test_without_the_train_extra_everything_else_is_found_and_the_rest_is_said_to_need_it(
    sick: Path, tmp_path: Path
) -> None:
    code = f"""
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'timm', 'onnx', 'onnxscript', 'sklearn', 'optuna', 'safetensors'):
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Wall())
import json
from pathlib import Path
from shared.check import check
out = Path({str(tmp_path)!r})
facts = check(Path({str(sick)!r}) / 'labels.csv', cache=out / 'c', page=out / 'p.html')
print(json.dumps(facts))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["price"] is None and found["suspects"] is None and found["shortcuts"] is None
    assert "need the train extra" in found["needs"] and "loupe-vision[train]" in found["needs"]
    assert found["copies"]["near"] and found["contradictions"]["exact"]
    assert "need the train extra" in (tmp_path / "p.html").read_text()


@pytest.mark.long
def test_real_conflicts_of_a_public_set_are_all_found(real_data: Path, cache: Path, tmp_path: Path) -> None:
    """80 photographs of the source are filed under two labels each, byte for byte the same."""
    home = real_data / "medical" / "isic_7class"
    with (tmp_path / "all.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label"])
        for table in ("labels.csv", "labels_conflicts.csv"):
            with (home / table).open(newline="") as lines:
                writer.writerows([str(home / row["path"]), row["label"]] for row in csv.DictReader(lines))
    facts = check(tmp_path / "all.csv", cache=cache, recipe=RECIPE)
    exact = facts["contradictions"]["exact"]
    assert len(exact) == 80 and all(len(group["paths"]) == 2 for group in exact) and facts["images"] == 660
