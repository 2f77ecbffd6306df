"""The bands of one exposure are found together, and how far they are shifted is measured in pixels."""

import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from shared.errors import DataError
from tests.verticals.agriculture.raster.test_footprints import DOWN
from verticals.agriculture.raster.captures import LEAST_PEAK, Capture, edges, group, shift, shifts
from verticals.agriculture.raster.frames import Frame, read_frames


def rows_of_a_crop(seed: int) -> np.ndarray:
    """Leaves on soil, 0 to 1, ``(330, 430)``."""
    rng = np.random.default_rng(seed)
    leaves = cv2.GaussianBlur(rng.normal(size=(330, 430)).astype(np.float32), (0, 0), 3)
    return (leaves > 0.01).astype(np.float32) * (0.6 + 0.4 * (np.arange(430) % 40 < 25))


def frame(path: Path, band: str, capture: str = "c") -> Frame:
    return replace(DOWN, path=path, band=band, capture=capture, width=400, height=300)


def saved(path: Path, picture: np.ndarray) -> Path:
    rng = np.random.default_rng(5)
    noisy = picture + rng.normal(0, 0.02, picture.shape)
    Image.fromarray((noisy.clip(0, 1) * 60000).astype(np.uint16)).save(path)
    return path


@pytest.mark.parametrize(("dx", "dy"), [(12.0, -7.0), (3.4, 5.75), (-21.0, 0.0)])
def test_a_known_shift_is_found_though_leaves_are_dark_in_red_and_bright_in_infrared(
    tmp_path: Path, dx: float, dy: float
) -> None:
    scene = rows_of_a_crop(1)
    moved = cv2.warpAffine(scene, np.array(((1, 0, dx), (0, 1, dy))), (430, 330), flags=cv2.INTER_CUBIC)
    red = saved(tmp_path / "red.tif", 0.5 - 0.4 * scene[15:315, 15:415])
    nir = saved(tmp_path / "nir.tif", 0.1 + 0.7 * moved[15:315, 15:415])
    (found,) = shifts(Capture("c", (frame(red, "red"), frame(nir, "nir")), ()))
    assert (found.band, found.against, found.measured) == ("nir", "red", True)
    assert (found.dx_px, found.dy_px) == pytest.approx((dx, dy), abs=0.2)


def test_what_shows_other_ground_is_not_measured(tmp_path: Path) -> None:
    one = edges(rows_of_a_crop(1)[:300, :400])
    clouds = np.random.default_rng(0).normal(size=(300, 400))
    assert shift(one, edges(clouds))[2] < LEAST_PEAK and shift(one, one)[2] > 0.9


def test_bands_are_put_together_by_the_id_of_the_capture_and_gaps_are_told() -> None:
    bands = ("green", "red", "nir")
    frames = [frame(Path(f"{c}_{b}.tif"), b, c) for c in "abc" for b in bands if (c, b) != ("b", "red")]
    frames += [frame(Path("c_green_again.tif"), "green", "c"), frame(Path("DJI_9.JPG"), "", "")]
    found = {capture.id: capture for capture in group(frames)}
    assert sorted(found) == ["DJI_9.JPG", "a", "b", "c"] and [f.band for f in found["a"].frames] == [
        "green",
        "nir",
        "red",
    ]
    assert found["b"].remarks == ("lacks the band red, which most captures have",)
    assert found["c"].remarks == ("has the band green more than once",)
    assert found["a"].remarks == found["DJI_9.JPG"].remarks == ()


def test_bands_that_cannot_be_compared_are_one_sentence(tmp_path: Path) -> None:
    red = frame(saved(tmp_path / "red.tif", rows_of_a_crop(1)), "red")
    with pytest.raises(DataError, match="has 1 band with a name; a shift needs two"):
        shifts(Capture("c", (red,), ()))
    with pytest.raises(DataError, match="its bands have the sizes 400 × 300, 800 × 600"):
        shifts(Capture("c", (red, replace(red, band="nir", width=800, height=600)), ()))
    (tmp_path / "nir.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match="its pixels cannot be decoded"):
        shifts(Capture("c", (red, frame(tmp_path / "nir.tif", "nir")), ()))


def test_the_shifts_of_a_real_capture_add_up_around_every_triangle_of_bands(real_data: Path) -> None:
    folder = real_data / "agriculture" / "geotiff" / "micasense_rededge_field"
    if not folder.is_dir():
        pytest.skip("no MicaSense capture beside the checkout")
    (capture,) = group(read_frames(folder)[0])
    found = shifts(capture)
    assert all(each.measured and each.against == "green" for each in found) and len(found) == 4
    assert max(abs(each.dx_px) for each in found) > 10  # 2.5 cm between lenses, seen from some 30 m
    planes = {f.band: edges(np.asarray(Image.open(f.path))) for f in capture.frames}
    pairs = {(a, b): np.array(shift(planes[a], planes[b])[:2]) for a, b in itertools.combinations(planes, 2)}
    for a, b, c in itertools.combinations(planes, 3):
        assert np.abs(pairs[a, b] + pairs[b, c] - pairs[a, c]).max() < 2, f"{a} to {b} to {c} and {a} to {c} differ"
