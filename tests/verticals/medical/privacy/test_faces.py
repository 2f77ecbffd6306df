"""A face in a picture is told; lesions are not taken for one; without the package nothing is claimed."""

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.errors import DataError, MissingDependency
from verticals.medical.photograph.gate import FACE, examined
from verticals.medical.privacy import faces
from verticals.medical.synth import DRAW, FIELD_MM, photograph

needs_faces = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason="scikit-image, which ships the cascade, is not installed"
)


def portrait(side: int = 500) -> np.ndarray:
    """The face of the astronaut that scikit-image ships (NASA, public domain), ``(side, side, 3)`` uint8 RGB."""
    from skimage import data

    picture = cv2.imread(str(Path(data.lbp_frontal_face_cascade_filename()).with_name("astronaut.png")))
    return cv2.resize(picture[0:300, 75:375, ::-1], (side, side), interpolation=cv2.INTER_AREA)


def lesion(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    layers = list(DRAW.values())[number % len(DRAW)](rng, 200, 200 / FIELD_MM)
    return photograph(rng, layers, ("I", "II", "III", "IV", "V", "VI")[number % 6], growth=1.0)[0]


@needs_faces
@pytest.mark.parametrize("side", [220, 500, 1600])
def test_a_face_is_found_where_it_is_at_any_size(side: int) -> None:
    (box,) = faces.find(portrait(side))
    x, y = (box.x0 + box.x1) / 2 / side, (box.y0 + box.y1) / 2 / side
    assert 0.3 < x < 0.7 and 0.2 < y < 0.6 and 0.2 < box.width / side < 0.6


@needs_faces
def test_the_gate_notes_a_face_and_no_drawn_lesion_is_one() -> None:
    assert FACE in str(examined(portrait()).get("noted"))
    assert sum(bool(faces.find(lesion(number))) for number in range(40)) <= 1


def test_without_the_package_the_gate_says_nothing_of_faces_and_a_call_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    monkeypatch.setattr(faces, "available", lambda: False)
    faces._cascade.cache_clear()
    assert "face" not in str(examined(lesion(1)))
    with pytest.raises(MissingDependency, match=r"loupe-vision\[faces\]"):
        faces.find(lesion(1))


def test_another_shape_or_dtype_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"allowed is \(H, W, 3\) uint8 RGB"):
        faces.find(np.zeros((50, 50), np.uint8))
