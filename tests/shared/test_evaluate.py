"""What a bundle has seen is found again mirrored, recompressed and in splits that leak; copies count once."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shared.build import build
from shared.data import images
from shared.evaluate import SAMPLES, evaluate
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.update import Wish, update

N = 40


def photo(seed: int) -> NDArray[np.uint8]:
    """A smooth scene of its own, 96 x 96; even ones are warm, odd ones cold."""
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.normal(128, 50, (7, 7, 3)), (96, 96), interpolation=cv2.INTER_CUBIC)
    scene[..., 2 if seed % 2 else 0] -= 60
    return (scene + rng.normal(0, 3, scene.shape)).clip(0, 255).astype(np.uint8)


def write(folder: Path, name: str, picture: NDArray[np.uint8], seed: int, quality: int = 95) -> Path:
    path = folder / "ab"[seed % 2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for seed in range(N):
        write(folder, f"{seed}.png", photo(seed), seed)
    return folder


def built(data: Path, out: Path, cache: Path) -> Path:
    recipe = Recipe(image_size=64, threads=1, search=False, finetune=False)
    build(data, out, recipe=recipe, budget_seconds=120, cache=cache, say=lambda _: None)
    return out


@pytest.fixture(scope="module")
def made(scenes: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(scenes, tmp_path_factory.mktemp("made") / "scenes.bundle", cache)


def split_of(bundle: Path, scenes: Path) -> dict[int, str]:
    """What each scene served for."""
    table = pd.read_csv(bundle / SAMPLES, dtype="string").set_index("id")["split"]
    return {int(p.stem): str(table[images.content_hash(p)[:16]]) for p in scenes.rglob("*.png")}


def resealed(bundle: Path, out: Path, without: list[str]) -> Path:
    """The bundle as an earlier version wrote its table."""
    shutil.copytree(bundle, out)
    table = pd.read_csv(out / SAMPLES, dtype="string", keep_default_na=False).drop(columns=without)
    table.to_csv(out / SAMPLES, index=False)
    sealed = ("format", "files", "bundle_hash")
    bundles.seal(out, {k: v for k, v in bundles.load(bundle).card.items() if k not in sealed})
    return out


def test_mirrored_and_turned_copies_of_what_it_was_built_on_are_not_unseen(
    made: Path, scenes: Path, tmp_path: Path
) -> None:
    for seed in range(N):
        picture = photo(seed)[:, ::-1] if seed % 3 else np.rot90(photo(seed))
        write(tmp_path, f"m{seed}.jpg", np.ascontiguousarray(picture), seed)
    for seed in range(1000, 1004):
        write(tmp_path, f"{seed}.png", photo(seed), seed)
    facts, seen, _ = evaluate(Runtime.open(made, threads=1), tmp_path)
    test = [seed for seed, split in split_of(made, scenes).items() if split == "test"]
    assert facts["used_for_building"] == N - len(test) and facts["n"] == len(test) + 4
    assert {Path(row.sample.path).stem for row, _ in seen} >= {f"m{seed}" for seed in test}


def test_pictures_that_a_gate_would_refuse_are_in_the_rates_and_told(made: Path, scenes: Path, tmp_path: Path) -> None:
    for seed in range(2000, 2003):
        write(tmp_path, f"{seed}.png", photo(seed), seed)
    refused = images.read(next(tmp_path.rglob("2001.png")))
    facts, _, _ = evaluate(
        Runtime.open(made, threads=1), tmp_path, gate=lambda p: "too dark" if np.array_equal(p, refused) else None
    )
    (told,) = (text for text in facts["cautions"] if "NOT EXAMINED" in text)
    assert facts["n"] == 3 and facts["not_examined"] == 0
    assert told == "1 of the 3 images in these rates would stay NOT EXAMINED in a prediction, 1 of them so: too dark"


def test_parts_that_look_alike_in_a_fixture_are_measured_and_taught_and_it_is_said(cache: Path, tmp_path: Path) -> None:
    """Hashes of 96 pixels with one small pit differ in a bit or two: the build says so, and those after it hear it."""
    still = cv2.resize(np.random.default_rng(0).normal(128, 40, (6, 6)), (96, 96), interpolation=cv2.INTER_CUBIC)
    for i in range(120):
        rng = np.random.default_rng(i)
        part = still + rng.normal(0, 6, still.shape)
        if i % 2:
            cv2.circle(part, tuple(rng.integers(20, 76, 2).tolist()), 3, 20.0, -1)
        write(tmp_path / ("old" if i < 80 else "new"), f"{i}.png", part.clip(0, 255).astype(np.uint8), i)
    made = built(tmp_path / "old", tmp_path / "alike.bundle", cache)
    assert bundles.load(made).card["data"]["split"]["near_duplicate_bits"] < Recipe().near_duplicate_bits
    facts, _, _ = evaluate(Runtime.open(made, threads=1), tmp_path / "new")
    assert facts["n"] > 10 and any("look so alike" in text for text in facts["cautions"])
    taught = update(made, tmp_path / "next.bundle", Wish(data=tmp_path / "new"), say=lambda _: None)
    assert taught["update"]["new_images"] > 30


def test_many_files_of_one_picture_are_one_group(made: Path, tmp_path: Path) -> None:
    for seed in range(1000, 1004):
        for quality in range(50, 95, 5):
            write(tmp_path, f"{seed}_{quality}.jpg", photo(seed), seed, quality)
    facts, _, _ = evaluate(Runtime.open(made, threads=1), tmp_path)
    assert (facts["n"], facts["groups"]) == (36, 4)


def test_where_a_given_split_leaks_the_copies_of_training_pictures_are_not_unseen(cache: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for seed in range(30):
        write(data / "train", f"{seed}.png", photo(seed), seed)
    for seed in (*range(8), *range(500, 512)):
        write(data / "test", f"{seed}.jpg", photo(seed), seed, 60)
    facts, seen, _ = evaluate(Runtime.open(built(data, tmp_path / "leaky.bundle", cache), threads=1), data)
    assert facts["n"] == 12 and all(int(Path(row.sample.path).stem) >= 500 for row, _ in seen)


@pytest.mark.parametrize("without", [["picture"], ["picture", "component", "group"]])
def test_a_table_of_an_earlier_version_is_read_and_what_it_lacks_is_said(
    made: Path, scenes: Path, tmp_path: Path, without: list[str]
) -> None:
    old = resealed(made, tmp_path / "old.bundle", without)
    facts, _, _ = evaluate(Runtime.open(old, threads=1), scenes)
    used = sum(split != "test" for split in split_of(made, scenes).values())
    assert facts["used_for_building"] == used and facts["n"] == N - used
    (said,) = facts["cautions"]
    assert f"says of {used} images that it was built on not what they look like" in said
    assert evaluate(Runtime.open(made, threads=1), scenes)[0]["cautions"] == []
    for seed in range(1000, 1012):
        write(tmp_path / "new", f"{seed}.png", photo(seed), seed)
    told: list[str] = []
    update(old, tmp_path / "next.bundle", Wish(data=tmp_path / "new", accept=("new images",)), say=told.append)
    assert said in told


def test_mirrored_copies_go_where_their_originals_are_in_an_update(made: Path, scenes: Path, tmp_path: Path) -> None:
    split = split_of(made, scenes)
    tied = [next(s for s in split if split[s] == word and s % 2 == 0) for word in ("train", "test")]
    held = [s for s in split if split[s] != "train" and s not in tied]
    paths = [write(tmp_path / "new", f"{s}.jpg", np.ascontiguousarray(photo(s)[:, ::-1]), s) for s in held]
    rows = [f"{p},{p.parent.name}," for p in paths]
    # A copy of a training picture and one of a test picture under one name of a group would tie the two together.
    for s in tied:
        rows.append(f"{write(tmp_path / 'tied', f'{s}.jpg', np.ascontiguousarray(photo(s)[::-1]), s)},a,tied")
    (tmp_path / "new.csv").write_text("path,label,group\n" + "\n".join(rows))
    wish = Wish(data=tmp_path / "new.csv", accept=("new images", "labels of the new images"))
    facts = update(made, tmp_path / "next.bundle", wish, say=lambda _: None)
    table = pd.read_csv(tmp_path / "next.bundle" / SAMPLES, dtype="string").set_index("id")["split"]
    assert [table[images.content_hash(p)[:16]] for p in paths] == [split[s] for s in held]
    assert len(facts["update"]["left_out"]) == 2
    assert all("ties images that the bundle learnt from" in why for why in facts["update"]["left_out"])
