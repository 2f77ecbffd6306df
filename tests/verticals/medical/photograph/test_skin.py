"""Skin of every tone is taken for skin; what is no skin is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.data import images
from shared.errors import DataError
from verticals.medical.photograph.skin import LIMIT, colour
from verticals.medical.synth import DRAW, FIELD_MM, photograph

TONES = ("I", "II", "III", "IV", "V", "VI")


def drawn(tone: str, number: int, side: int = 160) -> np.ndarray:
    rng = np.random.default_rng([number, TONES.index(tone)])
    layers = list(DRAW.values())[number % len(DRAW)](rng, side, side / FIELD_MM)
    return photograph(rng, layers, tone, growth=1.0)[0]


@pytest.mark.parametrize("tone", TONES)
def test_no_tone_of_skin_is_refused(tone: str) -> None:
    scores = [colour(drawn(tone, number)).score for number in range(14)]
    assert sorted(scores)[-2] < LIMIT and np.median(scores) < 0.1


def foreign() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 10, (120, 120))
    page = np.full((120, 120, 3), 250, np.uint8)
    cv2.putText(page, "Page of text", (4, 60), 0, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return {
        "steel": np.repeat((140 + noise)[..., None], 3, 2).clip(0, 255).astype(np.uint8),
        "leaf": (np.array((70, 130, 50)) + noise[..., None]).clip(0, 255).astype(np.uint8),
        "sky": (np.array((120, 170, 230)) + noise[..., None]).clip(0, 255).astype(np.uint8),
        "page": page,
        "CT": np.repeat(np.linspace(0, 255, 120)[None, :, None], 120, 0).repeat(3, 2).astype(np.uint8),
        "nothing": np.zeros((120, 120, 3), np.uint8),
    }


@pytest.mark.parametrize("name", foreign())
def test_what_has_not_the_colour_of_skin_is_refused(name: str) -> None:
    found = colour(foreign()[name])
    assert found.refused and 0 <= found.score <= 1


def test_dry_grass_has_the_colours_of_skin_and_is_refused_for_its_roughness() -> None:
    blades = np.random.default_rng(0).lognormal(0, 0.5, (96, 96, 1)).repeat(3, 0).repeat(3, 1)
    grass = (np.array((170, 130, 95)) * blades * 0.6).clip(0, 255).astype(np.uint8)
    found = colour(grass)
    assert found.refused and found.share > 0.8 and found.roughness > 0.3
    smooth = cv2.GaussianBlur(grass, (0, 0), 9)
    assert not colour(smooth).refused


def test_the_frame_of_a_dermoscope_does_not_count() -> None:
    picture = drawn("II", 0)
    rows, columns = np.mgrid[-1:1:160j, -1:1:160j]
    round_view = np.where((np.hypot(rows, columns) < 0.7)[..., None], picture, 0).astype(np.uint8)
    assert not colour(round_view).refused


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_another_shape_or_dtype_is_one_sentence(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"allowed is \(H, W, 3\) uint8 RGB"):
        colour(picture)


def test_real_skin_is_taken_and_real_steel_and_leaves_are_refused(real_data: Path) -> None:
    def refused(name: str) -> float:
        paths = sorted((real_data / name / "images").rglob("*.jpg"))[::11][:40]
        return float(np.mean([colour(images.read(p)).refused for p in paths]))

    assert refused("medical/ham10000") <= 0.05 and refused("medical/isic_7class") <= 0.05
    assert refused("industrial/neu_surface") == 1
    assert min(refused("agriculture/bean_leaf"), refused("agriculture/rice_leaf")) >= 0.9
