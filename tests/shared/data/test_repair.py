from pathlib import Path

import cv2
import numpy as np

from shared.data import repair, sources, splits
from shared.data.manifest import Manifest
from shared.recipe import Recipe


def drawn(folder: Path, n: int = 24) -> Manifest:
    rng = np.random.default_rng(0)
    for i in range(n):
        home = folder / ("a", "b")[i % 2]
        home.mkdir(parents=True, exist_ok=True)
        coarse = rng.uniform(0, 255, (7, 7)).astype(np.float32)
        cv2.imwrite(str(home / f"{i}.png"), cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC).clip(0, 255))
    cv2.imwrite(str(folder / "a" / "mirror.png"), cv2.imread(str(folder / "a" / "0.png"))[:, ::-1])
    return sources.read(folder)[0]


def repaired(found: Manifest, out: Path) -> tuple[Manifest, tuple[str, ...]]:
    changes = repair.repair(found, splits.near_copies(found, 4), Recipe(), out)
    return sources.read(out)[0], changes


def test_a_mirrored_copy_gets_the_group_of_its_original(tmp_path: Path) -> None:
    done, changes = repaired(drawn(tmp_path), tmp_path / "fixed.csv")
    named = {r.sample.path: r.sample.group for r in done.rows if r.sample.group}
    assert set(named) == {"a/0.png", "a/mirror.png"} and len(set(named.values())) == 1
    assert changes[0] == "2 images joined with their copies into 1 groups" and "a split was made" in changes[1]


def test_a_manifest_in_another_folder_still_finds_its_images(tmp_path: Path) -> None:
    found = drawn(tmp_path / "pictures")
    done, _ = repaired(found, tmp_path / "out" / "deep" / "fixed.parquet")
    assert len(done.rows) == len(found.rows) and all(done.file(r.sample).is_file() for r in done.rows)
    assert {r.sample.id for r in done.rows} == {r.sample.id for r in found.rows}


def test_a_given_split_without_leaks_is_kept(tmp_path: Path) -> None:
    once, _ = repaired(drawn(tmp_path), tmp_path / "fixed.csv")
    twice, changes = repaired(once, tmp_path / "again.csv")
    assert {r.sample.id: r.split for r in twice.rows} == {r.sample.id: r.split for r in once.rows}
    assert changes == ("the split that came with the data leaks nothing and was kept",)
