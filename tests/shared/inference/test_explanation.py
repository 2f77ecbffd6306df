from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from shared.data import images
from shared.errors import ConfigError, DataError
from shared.inference import Runtime, explanation


class Spotter:
    """A model whose answer is known: ``spot`` is as probable as one square of the image is striped."""

    labels = ("ok", "spot")

    def __init__(self) -> None:
        self.looked = 0

    def predict(self, pictures: Sequence[np.ndarray]) -> Any:
        self.looked += len(pictures)
        contrast = [p[16:32, 32:48].std() / 127.5 for p in pictures]
        return SimpleNamespace(probabilities=np.array([(1 - c, c) for c in contrast], np.float32))


@pytest.fixture
def striped() -> np.ndarray:
    """Stripes all over, so that nothing but the place says where the model looks."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 255
    return image


TRUE = np.zeros((8, 8))
TRUE[2:4, 4:6] = 1.0


def score(image: np.ndarray, places: np.ndarray, **options: int) -> explanation.Faithfulness:
    return explanation.faithfulness(Spotter(), image, places, "spot", **options)  # type: ignore[arg-type]


def test_the_true_map_is_believed_and_the_opposite_one_is_not(striped: np.ndarray) -> None:
    right, wrong = score(striped, TRUE), score(striped, -TRUE)
    assert right.whole == pytest.approx(1) and right.blurred < 0.1 and right.telling
    assert right.deletion < 0.3 and right.insertion > 0.7 and right.believable and right.score > 0.2
    assert wrong.score < -0.2 and not wrong.believable
    assert "over chance" in str(right) and "do not rely on this map" in str(wrong)


def test_maps_that_know_nothing_score_nothing_on_average(striped: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    found = [score(striped, rng.normal(size=(8, 8)), seed=i).score for i in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(60)


def test_an_answer_that_does_not_depend_on_places_is_said_to_be_untestable() -> None:
    flat = score(np.full((64, 64, 3), 90, np.uint8), TRUE)
    assert not flat.telling and not flat.believable and "cannot be checked on this image" in str(flat)


def test_the_same_seed_gives_the_same_score_and_the_model_looks_as_often_as_is_said(striped: np.ndarray) -> None:
    model = Spotter()
    first = explanation.faithfulness(model, striped, TRUE, "spot")  # type: ignore[arg-type]
    assert model.looked == 2 * (explanation.STEPS - 1) * (1 + explanation.ORDERS) + 2 == 32
    assert first == score(striped, TRUE) != score(striped, TRUE, seed=1)


def test_areas_are_those_of_the_trapezoids(striped: np.ndarray) -> None:
    """One row of cells, half of it looked at: each curve has one inner point for two steps."""
    found = score(striped, np.array([[0.0, 0, 1, 0]]), steps=2, orders=1)
    assert 0 < found.deletion < found.insertion < 1
    inner = 2 * found.insertion - (found.whole + found.blurred) / 2
    assert 0.7 < inner <= 1


def test_a_large_image_is_shrunk_before_the_model_sees_it_many_times() -> None:
    seen: list[tuple[int, ...]] = []

    class Watcher(Spotter):
        def predict(self, pictures: Sequence[np.ndarray]) -> Any:
            seen.extend(p.shape for p in pictures)
            return super().predict(pictures)

    large = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), np.uint8)
    explanation.faithfulness(Watcher(), large, TRUE, "spot")  # type: ignore[arg-type]
    assert set(seen) == {(375, 500, 3)}


def test_the_contrast_is_against_all_others_or_against_one() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    assert explanation.contrast(maps, 1) == pytest.approx(maps[1] - (maps[0] + maps[2]) / 2, abs=1e-6)
    assert explanation.contrast(maps, 1, against=2) == pytest.approx(maps[1] - maps[2], abs=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (50, 130), (9, 7)])
def test_cells_are_enlarged_as_opencv_does_it(shape: tuple[int, int]) -> None:
    cells = np.random.default_rng(0).normal(size=(5, 7))
    expected = cv2.resize(cells, shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert explanation._enlarged(cells, *shape) == pytest.approx(expected, abs=1e-6)


def test_the_blur_is_gaussian_inside_and_keeps_an_even_image_even() -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    expected = cv2.GaussianBlur(image.astype(np.float64), (101, 101), 10)
    assert explanation._blurred(image)[60:140, 60:140] == pytest.approx(expected[60:140, 60:140], abs=0.5)
    assert explanation._blurred(np.full((40, 60, 3), 77, np.uint8)) == pytest.approx(77)


def test_the_overlay_is_hot_where_the_map_is_and_leaves_the_rest_alone() -> None:
    image = np.full((64, 96, 3), (10, 120, 200), np.uint8)
    shown = explanation.overlay(image, TRUE)
    assert shown.shape == image.shape and shown.dtype == np.uint8
    hot = shown[24, 60].astype(int)  # inside the marked cells
    assert hot[0] > 150 and hot[1] > 190
    assert np.array_equal(shown[48:], image[48:]) and np.array_equal(shown[:, :36], image[:, :36])
    assert np.array_equal(explanation.overlay(image, TRUE, alpha=0.0), image)


def test_a_map_that_says_nothing_leaves_the_image_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    assert np.array_equal(explanation.overlay(image, np.full((4, 4), -3.0)), image)


@pytest.mark.parametrize(
    ("image", "places"),
    [
        (np.zeros((8, 8), np.uint8), TRUE),
        (np.zeros((8, 8, 3), np.float32), TRUE),
        (np.zeros((8, 8, 3), np.uint8), TRUE[None]),
        (np.zeros((8, 8, 3), np.uint8), np.full((2, 2), np.nan)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((0, 3))),
    ],
)
def test_images_and_maps_of_another_form_are_refused(image: np.ndarray, places: np.ndarray) -> None:
    with pytest.raises(DataError, match="allowed"):
        explanation.overlay(image, places)
    with pytest.raises(DataError, match="allowed"):
        score(image, places)


def test_an_unknown_label_and_too_few_steps_are_refused(striped: np.ndarray) -> None:
    with pytest.raises(DataError, match="allowed are ok, spot"):
        explanation.faithfulness(Spotter(), striped, TRUE, "scratch")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="too few"):
        score(striped, TRUE, steps=1)


def test_a_bundle_explains_and_checks_its_own_answers(bundle: Path, pictures: Path) -> None:
    """The pieces fit together; how good the maps of such a small bundle are is not asked here."""
    runtime = Runtime.open(bundle, threads=1)
    image = images.read(next(iter(sorted((pictures / "spot").iterdir()))))
    answers = runtime.predict([image], class_map=True)
    assert answers.class_map is not None
    places = explanation.contrast(answers.class_map[0], runtime.labels.index("spot"))
    found = explanation.faithfulness(runtime, image, places, "spot")
    assert found.whole == pytest.approx(float(answers.probabilities[0, runtime.labels.index("spot")]), abs=1e-4)
    assert 0 <= found.deletion <= 1 and 0 <= found.insertion <= 1 and -1 <= found.score <= 1
    assert explanation.overlay(image, places).shape == image.shape
