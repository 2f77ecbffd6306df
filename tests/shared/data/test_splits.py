from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data import sources, splits
from shared.data.manifest import SPLITS, Manifest, Row
from shared.errors import DataError
from shared.recipe import Recipe
from shared.records import Box, Sample

RECIPE = Recipe()


def manifest(groups: list[str], labels: list[str], given_splits: list[str] | None = None) -> Manifest:
    """Windows of frames, so that no picture is needed."""
    rows = [
        Row(Sample(f"id{i}", "f.png", 8, 8, window=Box(0, 0, 8, 8), group=g), label, (given_splits or [""] * 999)[i])
        for i, (g, label) in enumerate(zip(groups, labels, strict=True))
    ]
    return Manifest(tuple(rows), Path("here"))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 25), st.sampled_from("ab")), min_size=30, max_size=120))
def test_no_group_lies_in_two_splits(pairs: list[tuple[int, str]]) -> None:
    labels = [label for _, label in pairs]
    labels[:2] = ["a", "b"]
    done, report, _ = splits.split(manifest([f"g{g}" for g, _ in pairs], labels), RECIPE)
    where: dict[str, set[str]] = {}
    for row in done.rows:
        where.setdefault(row.sample.group, set()).add(row.split)
    assert all(len(found) == 1 for found in where.values())
    assert report.leaked_after == 0 and sum(report.images.values()) == len(pairs)


def test_the_ratio_is_three_to_one_to_one_for_every_label() -> None:
    labels = ["a"] * 500 + ["b"] * 50 + ["c"] * 15
    done, report, _ = splits.split(manifest([f"g{i}" for i in range(565)], labels), RECIPE)
    for label, n in (("a", 500), ("b", 50), ("c", 15)):
        counts = [sum(r.label == label for r in done.part(s)) for s in SPLITS]
        assert np.abs(np.array(counts) - n * np.array([0.6, 0.2, 0.2])).max() <= 1
    assert report.ratio == "3.00 : 1.00 : 1.00" or abs(report.images["train"] / report.images["test"] - 3) < 0.1


def test_a_random_split_by_image_is_said_to_leak() -> None:
    groups = [f"g{i // 10}" for i in range(300)]
    _, report, _ = splits.split(manifest(groups, ["a", "b"] * 150), RECIPE)
    assert report.leaked_before > 0.9 and report.leaked_after == 0


def test_a_split_that_came_with_the_data_is_kept_and_its_leaks_are_counted() -> None:
    groups = [f"g{i // 2}" for i in range(100)]
    given_splits = (["train", "test"] * 10 + ["train"] * 80)[:100]
    done, report, _ = splits.split(manifest(groups, ["a", "b"] * 50, given_splits), RECIPE)
    assert report.given and report.leaked_before == 1.0 and 0.5 <= report.leaked_after <= 1.0
    assert [r.split == "test" for r in done.rows] == [s == "test" for s in given_splits]
    assert report.images["validation"] > 5


def test_one_label_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match="two labels or more are needed, found only 'a'"):
        splits.split(manifest(["x", "y", "z"], ["a"] * 3), RECIPE)


def test_a_label_from_too_few_groups_is_named_as_unmeasured() -> None:
    labels = ["a"] * 30 + ["b"] * 30 + ["rare"] * 4
    groups = [f"g{i}" for i in range(60)] + ["one"] * 4
    _, report, _ = splits.split(manifest(groups, labels), RECIPE)
    assert report.unmeasured == ("rare",)


@pytest.fixture
def folder_with_copies(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(20):
            image = cv2.resize(rng.uniform(0, 255, (6, 6)).astype(np.float32), (96, 96), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / label / f"{i}.png"), image.clip(0, 255).astype(np.uint8))
    first = tmp_path / "a" / "0.png"
    (tmp_path / "a" / "copy.png").write_bytes(first.read_bytes())
    picture = cv2.imread(str(first))
    cv2.imwrite(str(tmp_path / "a" / "near.jpg"), cv2.convertScaleAbs(cv2.resize(picture, (80, 80)), alpha=0.9, beta=8))
    return tmp_path


def test_copies_and_near_copies_stay_with_their_original(folder_with_copies: Path) -> None:
    found, problems = sources.read(folder_with_copies)
    assert not problems
    done, report, components = splits.split(found, RECIPE)
    family = {r.sample.path: r for r in done.rows if r.sample.path in ("a/0.png", "a/copy.png", "a/near.jpg")}
    assert len({r.split for r in family.values()}) == 1 and len({components[r.sample.id] for r in family.values()}) == 1
    assert report.duplicates == 1 and report.near_duplicates == 1
    assert sum(report.components.values()) == 40


def test_pictures_that_the_hash_cannot_tell_apart_are_not_joined_into_one_component(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.uniform(0, 255, (6, 6)).astype(np.float32), (96, 96), interpolation=cv2.INTER_CUBIC)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(20):
            image = scene + rng.normal(0, 60, scene.shape)
            cv2.imwrite(str(tmp_path / label / f"{i}.png"), image.clip(0, 255).astype(np.uint8))
    _, report, _ = splits.split(sources.read(tmp_path)[0], RECIPE)
    assert report.near_duplicate_bits < 4 and max(report.images.values()) < 40


@pytest.mark.parametrize("label", [0, 1, 7])
def test_a_label_that_no_row_has_does_not_send_all_rows_to_train(label: int) -> None:
    component = np.arange(100, dtype=np.int32)
    shares = splits.assign(component, np.full(100, label), np.array([0.6, 0.2, 0.2]), 0)
    assert Counter(shares) == {"train": 60, "validation": 20, "test": 20}


def test_half_a_split_is_refused_rather_than_guessed() -> None:
    groups = [f"g{i}" for i in range(20)]
    for words in (["train"] * 10 + ["test"] * 9 + [""], ["train"] * 10 + ["validation"] * 10):
        with pytest.raises(DataError, match="fill it for every row with train and test"):
            splits.split(manifest(groups, ["a", "b"] * 10, words), RECIPE)
