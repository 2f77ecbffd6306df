import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.data import sources
from shared.errors import Problem
from shared.inference import Runtime
from shared.predict import cases
from shared.records import Box, Sample


@pytest.fixture(scope="module")
def runtime(bundle: Path) -> Runtime:
    return Runtime.open(bundle, threads=1)


def test_a_damaged_file_is_not_hidden_by_a_good_one_of_the_same_name(
    runtime: Runtime, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    shutil.copy(next((pictures / "ok").iterdir()), tmp_path / "x.png")
    (tmp_path / "sub" / "x.png").write_text("text")
    samples, folder, problems = sources.samples(tmp_path)
    found = {c.frame: c for c in cases(runtime, samples, folder, skipped={}, problems=problems)}
    assert set(found) == {"x.png", "sub/x.png"}
    assert found["x.png"].examined == 1.0 and found["sub/x.png"].examined == 0.0


def test_windows_of_one_frame_make_one_case_wherever_they_stand_and_lost_area_is_counted(
    runtime: Runtime, tmp_path: Path
) -> None:
    picture = cv2.resize(cv2.imread(str(Path(__file__).parents[2] / "docs" / "review-whole.png")), (128, 64))
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)

    def window(name: str, x: int) -> Sample:
        return Sample(f"{name}@{x}", f"{name}.png", 64, 64, Box(x, 0, x + 64, 64), Box(0, 0, 64, 64), name, (x, 0))

    mixed = [window("a", 0), window("b", 0), window("a", 64), window("b", 64)]
    found = {c.frame: c for c in cases(runtime, mixed, tmp_path, skipped={"b": 0.25}, problems=())}
    assert [s.sample.origin for s in found["a"].seen] == [(0, 0), (64, 0)]
    assert (found["a"].examined, found["b"].examined) == (1.0, 0.75)


def test_every_answer_names_the_labels_it_may_be_and_training_images_like_it(runtime: Runtime, pictures: Path) -> None:
    samples, folder, _ = sources.samples(pictures / "spot")
    seen = [c.seen[0] for c in cases(runtime, samples, folder, skipped={}, problems=())]
    assert all(s.possible is not None and set(s.possible) <= set(runtime.labels) for s in seen)
    assert sum("spot" in (s.possible or ()) for s in seen) >= 0.8 * len(seen)
    for s in seen:
        assert len(s.nearest) == 3 and s.nearest[0]["similarity"] >= s.nearest[-1]["similarity"]
    # An image of the training part is its own nearest neighbour.
    assert sum(s.nearest[0]["path"].endswith(s.sample.path) and s.nearest[0]["similarity"] > 0.99 for s in seen) >= 15


def test_a_case_names_the_labels_that_are_in_every_set_for_want_of_groups(runtime: Runtime, pictures: Path) -> None:
    samples, folder, _ = sources.samples(pictures / "spot")
    sets = runtime.bundle.card["conformal"]["sets"]
    few = [label for label, known in zip(sets["labels"], sets["certifiable"], strict=True) if not known]
    found = list(cases(runtime, samples[:3], folder, skipped={}, problems=[Problem("gone", "cut")]))
    assert few and all(list(c.uncertified) == few for c in found) and len(found) == 4
    assert all(set(few) <= set(c.seen[0].possible or ()) for c in found if c.seen)


def test_a_picture_of_one_value_shows_nothing_and_a_window_of_one_value_beside_something_does(
    runtime: Runtime, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    for name, value in {"black": 0, "grey": 99, "white": 255}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 128, 3), value, np.uint8))
    cv2.imwrite(str(tmp_path / "blue.png"), np.full((64, 128, 3), (200, 30, 10), np.uint8))
    half = np.zeros((64, 128, 3), np.uint8)
    half[:, 64:] = rng.integers(90, 150, (64, 64, 3))
    cv2.imwrite(str(tmp_path / "half.png"), half)
    samples, folder, problems = sources.samples(tmp_path)
    found = {c.frame: c for c in cases(runtime, samples, folder, skipped={}, problems=problems)}
    assert {name for name, c in found.items() if c.seen} == {"half.png"}
    assert "black.png: every pixel has the value 0, so that nothing is seen" in found["black.png"].problems[0].what
    assert "the colour 10, 30, 200" in found["blue.png"].problems[0].what
    windows = [
        Sample(f"{n}@{x}", f"{n}.png", 64, 64, Box(x, 0, x + 64, 64), None, n, (x, 0))
        for n in ("half", "white")
        for x in (0, 64)
    ]
    cut = {c.frame: c for c in cases(runtime, windows, folder, skipped={}, problems=())}
    assert (cut["half"].examined, cut["white"].examined) == (1.0, 0.0)
