"""Pictures of one drawn lesion, turned, pushed, rescaled and relit by a known amount."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from verticals.medical.drawing.lesions import DRAW
from verticals.medical.reading.registration import register
from verticals.medical.synth import photograph

SIDE = 224


def lesion(label: str = "mel", seed: int = 3) -> NDArray[np.uint8]:
    layers = DRAW[label](np.random.default_rng(seed), SIDE, SIDE / 10)
    return photograph(np.random.default_rng(seed + 1), layers, "II", growth=1.0)[0]


def seen_again(picture: NDArray[np.uint8], angle: float, shift: tuple[float, float], scale: float = 1.0):
    """A later picture in other light, ``scale`` times as fine, and the matrix from its pixels to the earlier one's."""
    side = round(SIDE * scale)
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, 1 / scale)
    matrix[:, 2] += (SIDE - side) / 2 + np.array(shift)
    inverse = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
    later = cv2.warpAffine(picture, matrix, (side, side), flags=inverse, borderMode=cv2.BORDER_REFLECT)
    noise = np.random.default_rng(1).normal(0, 4, later.shape)
    return np.clip(0.85 * later + 12 + noise, 0, 255).astype(np.uint8), matrix


@pytest.mark.parametrize(
    ("angle", "shift"), [(0.0, (0.0, 0.0)), (7.0, (5.0, -3.0)), (-58.0, (9.0, 6.0)), (100.0, (-4.0, 8.0))]
)
def test_turn_and_shift_are_found_to_a_pixel_in_other_light(angle: float, shift: tuple[float, float]) -> None:
    earlier = lesion()
    later, truth = seen_again(earlier, angle, shift)
    found = register(earlier, later)
    assert found is not None and found.correlation > 0.8
    corners = np.array([(60, 60, 1), (160, 60, 1), (60, 160, 1), (112, 112, 1)]).T
    assert np.abs(found.matrix @ corners - truth @ corners).max() < 1.0


def test_pictures_of_known_different_scale_are_brought_to_one_scale(tmp_path) -> None:
    earlier = lesion()
    later, truth = seen_again(earlier, 20.0, (3.0, 2.0), scale=1.5)
    found = register(earlier, later, scale=1 / 1.5)
    assert found is not None and found.picture.shape == later.shape
    middle = np.array([(168, 168, 1), (100, 200, 1)]).T
    assert np.abs(found.matrix @ middle - truth @ middle).max() < 1.0


def test_a_lesion_that_has_grown_is_not_stretched_back() -> None:
    layers = DRAW["mel"](np.random.default_rng(3), SIDE, SIDE / 10)
    first, then = (photograph(np.random.default_rng(9), layers, "II", growth=g)[0] for g in (1.0, 1.08))
    found = register(first, then)
    assert found is not None
    assert np.linalg.det(found.matrix[:, :2]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("other", ["noise", "flat"])
def test_what_does_not_fit_is_said_to_have_failed(other: str) -> None:
    picture = np.full((SIDE, SIDE, 3), 150, np.uint8)
    if other == "noise":
        picture = np.random.default_rng(2).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    assert register(picture, lesion()) is None and register(lesion(), picture) is None
