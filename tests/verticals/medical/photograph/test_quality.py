"""Each fault drawn over drawn skin is named, a good picture is left in peace, and dark skin is not called too dark."""

import cv2
import numpy as np
import pytest

from shared.errors import DataError
from verticals.medical.drawing.skin_optics import TONES, Layers, empty, seen, srgb
from verticals.medical.photograph import quality
from verticals.medical.photograph.measures import MEASURES, shrunk
from verticals.medical.photograph.quality import LIMITS, examine, scores
from verticals.medical.photograph.skin import linear

SIDE = 224


def skin(tone: str = "II", *, mole: tuple[float, float] | None = (0.5, 0.5)) -> np.ndarray:
    """Skin with a mole at a place given in parts of the side, ``(224, 224, 3)`` uint8 RGB."""
    rng = np.random.default_rng(4)
    light = seen(plain(), tone)
    if mole is not None:
        y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
        spot = 1 / (1 + np.exp((np.hypot(x - mole[0], y - mole[1]) - 0.15) * 60))
        light = light * np.exp(-spot[..., None] * np.array((0.7, 1.1, 1.5)))
    grain = cv2.GaussianBlur(rng.normal(0, 9, light.shape).astype(np.float32), (0, 0), 0.7)
    return (255 * light + grain).clip(0, 255).astype(np.uint8)


def plain() -> Layers:
    return empty(SIDE)


def names(picture: np.ndarray) -> set[str]:
    return {fault.name for fault in examine(picture)}


@pytest.mark.parametrize("tone", ["I", "III", "V", "VI"])
def test_a_good_picture_of_any_tone_has_no_fault(tone: str) -> None:
    assert examine(skin(tone)) == ()


def test_a_blurred_picture_must_be_taken_again() -> None:
    (fault, *_) = examine(cv2.GaussianBlur(skin(), (0, 0), 3))
    assert fault.name == "blurry" and fault.blocking and fault.score >= fault.limit and "focus" in fault.advice


def test_light_that_is_too_strong_or_too_weak_is_told_apart() -> None:
    assert names((skin().astype(float) * 1.6).clip(0, 255).astype(np.uint8)) & {"overexposed", "underexposed"} == {
        "overexposed"
    }
    assert "underexposed" in names((skin() * 0.25).astype(np.uint8))


@pytest.mark.parametrize("tone", TONES)
def test_light_is_judged_by_the_colour_of_the_skin_and_alike_on_all_tones(tone: str) -> None:
    assert abs(scores(skin(tone))["underexposed"]) < 0.7
    assert "underexposed" not in names(with_light(skin(tone), (0.5, 0.5, 0.5)))
    darkest = scores(with_light(skin(tone), (0.125, 0.125, 0.125)))["underexposed"]
    assert 2 <= LIMITS["underexposed"].limit < darkest < 4


def with_light(picture: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """The picture under so many times as much red, green and blue light."""
    return np.rint(255 * srgb(linear(picture) * np.array(factors))).astype(np.uint8)


def test_a_reflection_is_noted() -> None:
    picture = skin()
    cv2.ellipse(picture, (60, 60), (30, 18), 20, 0, 360, (255, 255, 255), -1)
    assert "glare" in names(picture)


@pytest.mark.parametrize("tone", TONES)
def test_a_lesion_that_leaves_the_picture_is_noted_on_any_tone_and_one_inside_is_not(tone: str) -> None:
    assert "cropped" in names(skin(tone, mole=(0.0, 0.5))) and "cropped" not in names(skin(tone))
    assert "cropped" not in names(skin(tone, mole=None))


@pytest.mark.parametrize("angle", [0, 30, 77])
def test_a_ruler_is_noted_at_any_angle(angle: float) -> None:
    picture = skin()
    turn = np.deg2rad(angle)
    along, across = np.array((np.cos(turn), np.sin(turn))), np.array((-np.sin(turn), np.cos(turn)))
    for i in range(-7, 8):
        foot = np.array((112, 112)) + across * 70 + along * 10 * i
        tip = foot + across * 9
        cv2.line(picture, tuple(map(int, foot.round())), tuple(map(int, tip.round())), (25, 25, 25), 1, cv2.LINE_AA)
    assert "ruler" in names(picture) and scores(skin())["ruler"] < LIMITS["ruler"].limit


@pytest.mark.parametrize("tone", ["I", "II", "III"])
def test_violet_ink_is_noted_and_a_dark_mole_is_not_ink(tone: str) -> None:
    picture = skin(tone)
    cv2.ellipse(picture, (112, 112), (80, 80), 0, 0, 200, (95, 60, 150), 6)
    assert "marker_pen" in names(picture) and scores(skin())["marker_pen"] < 0.001


def test_hairs_are_noted() -> None:
    picture = skin()
    rng = np.random.default_rng(0)
    for _ in range(14):
        x = rng.integers(0, SIDE, 4)
        cv2.line(picture, (int(x[0]), 0), (int(x[1]), SIDE), (45, 35, 30), 1 + int(x[2]) % 2, cv2.LINE_AA)
    assert "hairy" in names(picture)


@pytest.mark.parametrize("light", [(0.55, 0.85, 1.2), (1.0, 1.0, 0.6), (0.65, 1.1, 1.0), (1.0, 0.6, 1.0)])
def test_blue_yellow_green_and_violet_light_is_noted(light: tuple[float, float, float]) -> None:
    assert "color_tint" in names((skin() * np.array(light)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("tone", TONES)
def test_green_light_of_tubes_is_noted_on_any_tone(tone: str) -> None:
    assert "color_tint" in names(with_light(skin(tone), (0.7, 1.4, 0.7)))


def test_warm_light_on_pale_skin_looks_like_darker_skin_and_is_not_claimed_to_be_found() -> None:
    # Planck's law at 610, 545 and 465 nm, 65 mired, halfway to a lamp.
    warm = np.exp(-14.388 * 0.065 * (1 / np.array((0.610, 0.545, 0.465)) - 1 / 0.545))
    assert "color_tint" not in names(with_light(skin("II"), tuple(warm)))


@pytest.mark.parametrize("tone", TONES)
def test_white_light_is_no_tint_on_any_tone_and_tint_has_a_wide_berth(tone: str) -> None:
    assert scores(skin(tone))["color_tint"] < LIMITS["color_tint"].limit / 2


def test_a_small_picture_is_refused_and_a_large_one_gets_the_same_answer() -> None:
    small = cv2.resize(skin(), (120, 120), interpolation=cv2.INTER_AREA)
    assert "low_resolution" in names(small)
    large = cv2.resize(skin(), (900, 900), interpolation=cv2.INTER_CUBIC)
    assert shrunk(large).shape == (256, 256, 3) and names(large) == set()


@pytest.mark.parametrize("fault", ["blurry", "glare", "overexposed", "underexposed", "cropped", "color_tint", ""])
def test_a_fault_is_a_fault_at_every_size(fault: str) -> None:
    spoilt = {
        "blurry": cv2.GaussianBlur(skin(), (0, 0), 3),
        "glare": cv2.ellipse(skin(), (60, 60), (30, 18), 20, 0, 360, (255, 255, 255), -1),
        "overexposed": with_light(skin(), (3.0, 3.0, 3.0)),
        "underexposed": with_light(skin(), (0.125, 0.125, 0.125)),
        "cropped": skin(mole=(0.0, 0.5)),
        "color_tint": with_light(skin(), (0.7, 1.4, 0.7)),
        "": skin(),
    }[fault]
    # Grain that is not averaged away is detail to the measure of blur, as in a small picture of a noisy camera.
    grain = np.random.default_rng(0).normal(0, 0 if fault == "blurry" else 1, (1800, 1800, 3))
    found = []
    for side in (600, 1200, 1800):
        large = cv2.resize(spoilt, (side, side), interpolation=cv2.INTER_CUBIC)
        found.append(names((large + grain[:side, :side]).clip(0, 255).astype(np.uint8)))
    assert found[0] == found[1] == found[2] and (fault in found[0] if fault else not found[0])


def test_blocking_faults_come_first_and_every_measure_has_a_limit() -> None:
    dark = (skin(mole=(0.0, 0.5)) * 0.25).astype(np.uint8)
    blocking = [fault.blocking for fault in examine(dark)]
    assert blocking == sorted(blocking, reverse=True) and True in blocking
    assert set(LIMITS) == {*MEASURES, "low_resolution"} == set(scores(skin()))


def test_names_are_those_of_the_isic_archive_where_it_has_them() -> None:
    isic = pytest.importorskip("isic_metadata.metadata")
    fields = set(isic.MetadataRow.model_fields)
    assert fields & set(LIMITS) == {"blurry", "marker_pen", "hairy", "color_tint"}


@pytest.mark.parametrize(
    "picture", [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3)), np.zeros((3, 40, 3), np.uint8)]
)
def test_another_shape_or_dtype_is_one_sentence(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match="uint8 RGB"):
        quality.examine(picture)


def test_pictures_without_anything_in_them_are_measured_and_not_a_crash() -> None:
    for value in (0, 128, 255):
        found = scores(np.full((64, 64, 3), value, np.uint8))
        assert all(np.isfinite(list(found.values())))
