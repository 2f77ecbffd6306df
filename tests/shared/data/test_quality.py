from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shared.data import quality


def photograph(seed: int, side: int = 128) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(40, 200, (8, 8, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return (coarse + rng.normal(0, 8, coarse.shape)).clip(0, 255).astype(np.uint8)


def spoilt(kind: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if kind == "blurred":
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), 3), np.uint8)
    if kind == "under-exposed":
        return (picture * 0.1).astype(np.uint8)
    if kind == "over-exposed":
        return cv2.convertScaleAbs(picture, alpha=2.0, beta=80)
    if kind == "low contrast":
        return (128 + (picture.astype(float) - 128) * 0.05).astype(np.uint8)
    if kind == "odd size (small)":
        return cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)
    if kind == "odd aspect ratio":
        return picture[:40]
    grey = picture.mean(2, keepdims=True).astype(np.uint8)
    return np.ascontiguousarray(grey.repeat(3, 2))


KINDS = [
    "blurred", "under-exposed", "over-exposed", "low contrast", "odd size (small)", "odd aspect ratio",
    "grey among colour",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_one_spoilt_image_stands_out_with_its_value_and_the_limit(kind: str) -> None:
    measures = [quality.measure(photograph(i)) for i in range(40)]
    measures[7] = quality.measure(spoilt(kind, photograph(7)))
    found = quality.outliers(measures)
    assert {o.index for o in found} == {7}
    mine = [o for o in found if o.kind == kind]
    assert len(mine) == 1 and mine[0].value != mine[0].limit and mine[0].measure


def test_an_even_set_lists_nothing_even_where_it_is_dark_by_nature() -> None:
    even = [quality.measure(photograph(i)) for i in range(40)]
    dark = [quality.measure((photograph(i) * 0.15).astype(np.uint8)) for i in range(40)]
    assert quality.outliers(even) == () and quality.outliers(dark) == () and quality.outliers([]) == ()


def test_measures_are_what_they_say() -> None:
    half = np.zeros((100, 200, 3), np.uint8)
    half[:, 100:] = 255
    found = quality.measure(half)
    assert (found.width, found.height) == (200, 100)
    assert found.brightness == pytest.approx(0.5) and found.contrast == pytest.approx(0.5)
    assert found.white == found.black == 0.5 and found.information == 1.0 and found.colour == 0.0
    red = quality.measure(np.full((10, 10, 3), (255, 0, 0), np.uint8))
    assert red.colour == 1.0 and red.information == 0.0 and red.sharpness == pytest.approx(-2)


def test_a_large_frame_measures_like_its_smaller_self() -> None:
    small = photograph(1, 512)
    large = cv2.resize(small, (2048, 2048), interpolation=cv2.INTER_NEAREST)
    a, b = quality.measure(small), quality.measure(large)
    assert a.sharpness == pytest.approx(b.sharpness, abs=0.01) and b.width == 2048


def test_format_camera_and_bytes_are_read_without_decoding(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Model 3"
    file = tmp_path / "a.png"  # a JPEG with a wrong name
    Image.new("RGB", (8, 8)).save(file, format="JPEG", exif=exif)
    assert quality.origin(file) == ("JPEG", "Maker Model 3", file.stat().st_size)
    broken = tmp_path / "b.tif"
    broken.write_text("no image")
    assert quality.origin(broken) == ("TIF", "", 8)
