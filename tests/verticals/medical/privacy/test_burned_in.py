"""Text over skin is found where it is; skin, hair, bubbles and most rulers are left in peace."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.data import images
from shared.errors import DataError
from verticals.medical.privacy import burned_in
from verticals.medical.privacy.burned_in import LIMIT, find, score
from verticals.medical.synth import DRAW, FIELD_MM, photograph

TONES = ("I", "II", "III", "IV", "V", "VI")


def skin(number: int, side: int = 224) -> np.ndarray:
    rng = np.random.default_rng(number)
    layers = list(DRAW.values())[number % len(DRAW)](rng, side, side / FIELD_MM)
    return photograph(rng, layers, TONES[number % 6], growth=1.0)[0]


def with_text(
    picture: np.ndarray, text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int]
) -> np.ndarray:
    out = picture.copy()
    cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, max(1, round(size * 1.5)), cv2.LINE_AA)
    return out


@pytest.mark.parametrize("text", ["DOE JANE", "ID 4711882", "12/03/1958", "Kowalska, Anna"])
@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 255, 0), (0, 255, 0)])
def test_names_numbers_and_dates_are_found_where_they_are(text: str, colour: tuple[int, int, int]) -> None:
    number = len(text)
    base = skin(number)
    if abs(float(np.mean(base)) - float(np.mean(colour))) < 45:
        base = skin(0)
    found = find(with_text(base, text, (20, 120), 0.6, colour))
    assert found
    box = found[0].box
    assert box.x0 < 150 and box.x1 > 20 and box.y0 < 125 and box.y1 > 95 and found[0].pieces >= 3


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.005, 0.2])
def test_components_are_those_of_the_whole_mask_however_few_there_are(share: float) -> None:
    rng = np.random.default_rng(1)
    mask = (cv2.GaussianBlur((rng.random((700, 900)) < share).astype(np.float32), (0, 0), 1.2) > 0.02).astype(np.uint8)
    cv2.line(mask, (10, 20), (880, 650), 1, 1)  # through many tiles
    numbers, stats = burned_in._connected(mask)
    _, _, whole, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    assert sorted(map(tuple, stats[:, :5].tolist())) == sorted(map(tuple, whole[1:].tolist()))
    for x, y, width, height, area, number in stats:
        assert (numbers[y : y + height, x : x + width] == number).sum() == area == (numbers == number).sum()


@pytest.mark.parametrize("quality", [75, 95])
def test_text_survives_the_colour_conversion_and_compression_of_jpeg(quality: int) -> None:
    shown = with_text(skin(1), "SMITH 19.04.61", (10, 40), 0.5, (255, 255, 255))
    data = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert find(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def test_large_letters_in_a_large_picture_are_found_in_a_smaller_copy_of_it() -> None:
    large = cv2.resize(skin(2), (1200, 1200), interpolation=cv2.INTER_CUBIC)
    (line, *_) = find(with_text(large, "DOE JANE", (200, 700), 5.0, (255, 255, 255)))
    assert line.box.width > 300 and line.box.y0 > 500


def test_white_letters_on_a_black_bar_are_found() -> None:
    picture = skin(3)
    picture[:24] = 0
    assert find(with_text(picture, "PAT 4711 DOE", (5, 17), 0.5, (255, 255, 255)))


def test_pictures_without_text_are_left_in_peace() -> None:
    alarms = [number for number in range(36) if find(skin(number))]
    assert len(alarms) <= 1


def test_a_row_of_equal_ticks_is_not_text() -> None:
    picture = skin(6)
    for x in range(20, 200, 9):
        cv2.line(picture, (x, 200), (x, 212), (20, 20, 20), 1)
    assert find(picture) == ()


def test_a_level_row_of_slender_pieces_is_no_text_and_the_same_row_of_characters_is() -> None:
    def row(breadth: float) -> list[tuple[float, ...]]:
        """Nine pieces of one height and strength in equal steps; x, y, width, height, strength, stroke, breadth."""
        return [(9.0 * i, 40.0, 2.0, 7.0, 80.0, 2.0, breadth + 0.02 * (i % 2)) for i in range(9)]

    ticks_of_a_ruler, letters = 0.27, 0.5
    assert score(row(ticks_of_a_ruler)) < LIMIT < LIMIT + 2 < score(row(letters))


def test_a_quick_look_halves_a_large_picture_and_finds_what_can_be_read_at_arm_s_length() -> None:
    large = cv2.resize(skin(2), (2300, 1900), interpolation=cv2.INTER_CUBIC)
    shown = with_text(large, "DOE JANE 4711", (200, 1700), 1.6, (255, 255, 255))
    (line, *_) = find(shown, quick=True)
    assert line.box.x0 < 260 and 1640 < line.box.y0 < 1720 and line.box.width > 300
    assert find(with_text(large, "DOE JANE", (200, 1700), 0.4, (255, 255, 255))), "a whole look sees small letters, too"


def test_one_colour_and_the_smallest_picture_are_no_text_and_no_crash() -> None:
    for side in (1, 8, 200):
        assert find(np.full((side, side, 3), 200, np.uint8)) == ()


@pytest.mark.parametrize("picture", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)])
def test_another_shape_or_dtype_is_one_sentence(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"allowed is \(H, W, 3\) uint8 RGB"):
        find(picture)


def test_clean_photographs_raise_hardly_any_alarm_and_text_over_them_is_found(real_data: Path) -> None:
    paths = sorted((real_data / "medical" / "ham10000" / "images").glob("*.jpg"))[::18][:40]
    pictures = [images.read(p) for p in paths]
    assert sum(bool(find(p)) for p in pictures) <= 1
    shown = [
        with_text(p, "DOE, JANE 4711", (15, 30 + i * 2), 0.55, (255, 255, 255) if p.mean() < 170 else (0, 0, 0))
        for i, p in enumerate(pictures)
    ]
    assert sum(bool(find(p)) for p in shown) >= 39
