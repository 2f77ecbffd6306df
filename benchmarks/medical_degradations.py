"""Pictures of skin in, the same made worse out: blur, glare, ink, hairs, rulers ... and lines of text over them."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from verticals.medical.photograph import skin

Picture = NDArray[np.uint8]
Rng = np.random.Generator
COLOURS = ((255, 255, 255), (255, 255, 0), (0, 255, 0), (0, 0, 0), (255, 0, 0), (0, 255, 255), (200, 200, 200))
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSerif",
    "LiberationSans-Regular",
    "LiberationSerif-Regular",
)
NAMES = ("SMITH", "Garcia", "Nguyen", "Johnson", "Kowalska", "Rossi", "Jensen", "Dubois")
GREY = np.array((0.299, 0.587, 0.114))


def blur(picture: Picture, grade: float, rng: Rng) -> Picture:
    """Gaussian blur of up to a hundredth of the side."""
    return cv2.GaussianBlur(picture, (0, 0), grade * min(picture.shape[:2]) / 75)


def glare(picture: Picture, grade: float, rng: Rng) -> Picture:
    """White spots with soft edges."""
    h, w = picture.shape[:2]
    light = np.zeros((h, w), np.float32)
    for _ in range(round(6 * grade)):
        axes = tuple(int(v) for v in rng.uniform(0.04, 0.12, 2) * min(h, w) * (0.5 + grade / 2))
        centre = (int(rng.uniform(0.1, 0.9) * w), int(rng.uniform(0.1, 0.9) * h))
        cv2.ellipse(light, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    light = cv2.GaussianBlur(light, (0, 0), min(h, w) / 90)[..., None]
    return (picture * (1 - light) + 255 * light).round().astype(np.uint8)


def brighter(picture: Picture, grade: float, rng: Rng) -> Picture:
    """Up to 1.3 stops more than the light in which the brightest hundredth is just white.

    A darker photograph with as much light added would be no fault: it has room for it.
    """
    light = skin.linear(picture)
    return encoded(light / max(float(np.percentile(np.median(light, axis=2), 99)), 0.05) * 2 ** (1.3 * grade))


def darker(picture: Picture, grade: float, rng: Rng) -> Picture:
    """Up to three stops less light."""
    return encoded(skin.linear(picture) * 2 ** (-3 * grade))


def tint(picture: Picture, grade: float, rng: Rng) -> Picture:
    """The green light of tubes that the camera took for white, up to a magenta filter of density 0.3 (CC30M)."""
    return lit_by(picture, "green", grade)


# A filter of density 0.3 lets half of the green light through. 130 mired lie between daylight (5500 K) and the lamps of
# a photo studio (3200 K); Planck's law at 610, 545 and 465 nm makes natural logarithms of them.
LIGHTS = {
    "green": np.array((-0.3, 0.3, -0.3)) * np.log(10) / 2,
    "magenta": np.array((0.3, -0.3, 0.3)) * np.log(10) / 2,
    "warm": -14.388 * 0.130 * (1 / np.array((0.610, 0.545, 0.465)) - 1 / 0.545),
    "cold": 14.388 * 0.130 * (1 / np.array((0.610, 0.545, 0.465)) - 1 / 0.545),
}


def lit_by(picture: Picture, light: str, grade: float) -> Picture:
    """Light of another colour than the white balance was set for, by :data:`LIGHTS`."""
    return encoded(skin.linear(picture) * np.exp(LIGHTS[light] * grade))


def encoded(light: NDArray[np.float64]) -> Picture:
    light = light.clip(0, 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * value).round().astype(np.uint8)


def cut_through(picture: Picture, lesion: NDArray[np.uint8], grade: float, rng: Rng) -> Picture:
    """A border through the lesion itself, of which up to half of the width is lost."""
    turns = int(rng.integers(4))
    turned, columns = np.rot90(picture, turns), np.nonzero(np.rot90(lesion, turns).any(0))[0]
    end = columns[-1] + 1 - 0.5 * grade * (columns[-1] + 1 - columns[0])
    return np.ascontiguousarray(turned[:, : max(round(float(end)), 32)])


def outlined(picture: Picture) -> NDArray[np.uint8] | None:
    """Where the lesion of a photograph is, found in another way than the gate does; None where that is not certain.

    Two colours by k-means in Lab. Certain is one dark part of 2 to 50 % of the picture, nearly convex, wholly inside,
    beside which nothing else is nearly as large.
    """
    soft = cv2.GaussianBlur(picture, (0, 0), min(picture.shape[:2]) / 50)
    lab = np.asarray(cv2.cvtColor(soft, cv2.COLOR_RGB2LAB), np.float32)
    cv2.setRNGSeed(0)
    _, which, colours = cv2.kmeans(lab.reshape(-1, 3), 2, None, (3, 20, 0.5), 3, cv2.KMEANS_PP_CENTERS)
    dark = (which.reshape(lab.shape[:2]) == int(colours[:, 0].argmin())).astype(np.uint8)
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    number = 1 + int(stats[1:, 4].argmax())
    x, y, w, h, area = map(int, stats[number])
    margin = round(0.04 * min(dark.shape))
    inside = min(x, y, dark.shape[1] - x - w, dark.shape[0] - y - h) >= margin
    outlines, _ = cv2.findContours((numbers == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)
    lesion = cv2.drawContours(np.zeros_like(dark), [outline], -1, 1, -1)
    convex = lesion.sum() > 0.85 * cv2.contourArea(cv2.convexHull(outline))
    alone = dark.sum() - area <= 0.25 * area
    clear = float(np.linalg.norm(colours[0] - colours[1])) >= 25
    return lesion if inside and convex and alone and clear and 0.02 < lesion.mean() < 0.5 else None


def ink(picture: Picture, grade: float, rng: Rng) -> Picture:
    """A curved line of violet or blue ink, multiplied onto the skin."""
    h, w = picture.shape[:2]
    line = np.zeros((h, w), np.float32)
    centre = (int(rng.uniform(0.3, 0.7) * w), int(rng.uniform(0.3, 0.7) * h))
    width, start = max(2, round(0.04 * min(h, w) * grade)), float(rng.uniform(0, 360))
    cv2.ellipse(line, centre, (int(0.35 * w), int(0.35 * h)), 0, start, start + 360 * (0.25 + grade / 2), 1.0, width)
    line = cv2.GaussianBlur(line, (0, 0), 1)[..., None]
    dye = np.array([(0.12, 0.09, 0.38), (0.08, 0.12, 0.35)][rng.integers(2)])
    return encoded(skin.linear(picture) * (1 - line + line * dye))


def hairs(picture: Picture, grade: float, rng: Rng) -> Picture:
    """Up to twenty dark curved hairs."""
    out = np.ascontiguousarray(picture).copy()
    h, w = out.shape[:2]
    for _ in range(round(20 * grade)):
        start, end = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)
        bend = (start + end) / 2 + rng.normal(0, 0.12, 2)
        t = np.linspace(0, 1, 40)[:, None]
        path = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        dark = tuple(int(v) for v in rng.integers(15, 60) * np.array((1.0, 0.8, 0.7)))
        cv2.polylines(out, [(path * (w, h)).astype(np.int32)], False, dark, int(rng.integers(1, 3)), cv2.LINE_AA)
    return out


def scale(picture: Picture, grade: float, rng: Rng) -> Picture:
    """A row of dark ticks near one side, every fifth longer, at any angle."""
    out = np.ascontiguousarray(picture).copy()
    h, w = out.shape[:2]
    angle, step = rng.uniform(0, np.pi), rng.uniform(0.03, 0.06) * min(h, w)
    along, across = np.array((np.cos(angle), np.sin(angle))), np.array((-np.sin(angle), np.cos(angle)))
    origin = np.array((w, h)) / 2 + across * rng.choice((-0.35, 0.35)) * min(h, w)
    count = round(6 + 14 * grade)
    for i in range(count):
        foot = origin + along * step * (i - count / 2)
        tip = foot + across * step * (1.4 if i % 5 == 0 else 0.8)
        ends = [tuple(int(v * 16) for v in p) for p in (foot, tip)]
        cv2.line(out, ends[0], ends[1], (30, 30, 30), 1, cv2.LINE_AA, 4)
    return out


# Beside "cropped", for which the place of the lesion must be known: cut_through.
DEGRADATIONS: dict[str, Callable[[Picture, float, Rng], Picture]] = {
    "blurry": blur,
    "glare": glare,
    "overexposed": brighter,
    "underexposed": darker,
    "ruler": scale,
    "marker_pen": ink,
    "hairy": hairs,
    "color_tint": tint,
}


def page(rng: Rng) -> Picture:
    """A sheet of paper with lines of print, a little yellow, and a little shaded."""
    paper = np.full((300, 240, 3), (250, 250, 250 - int(rng.integers(0, 25))), np.uint8)
    for line in range(12):
        cv2.putText(paper, words(rng), (10, 20 + 22 * line), 0, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    shade = np.linspace(1, rng.uniform(0.6, 1), 240)[None, :, None]
    return (paper * shade).astype(np.uint8)


def font_file(name: str) -> str | None:
    try:
        ImageFont.truetype(f"{name}.ttf", 12)
    except OSError:
        return None
    return f"{name}.ttf"


def words(rng: Rng) -> str:
    """What is burned into pictures: a name, a number, a date."""
    name, number = NAMES[rng.integers(len(NAMES))], rng.integers(100_000, 9_999_999)
    date = f"{rng.integers(1, 29):02}/{rng.integers(1, 13):02}/{rng.integers(1930, 2024)}"
    return (
        f"{name}, Anna",
        f"ID {number}",
        date,
        f"{date} {rng.integers(10, 24)}:{rng.integers(10, 60)}",
        f"{name} {number}",
    )[rng.integers(5)]


def with_text(
    picture: Picture, fonts: list[str], least: int, rng: Rng
) -> tuple[Picture, tuple[int, int, int, int], bool] | None:
    """A line of text somewhere over the picture, the box around it, and whether it stands on a plain ground."""
    for _ in range(50):
        mask = lettering(words(rng), fonts, int(rng.integers(11, 28)), rng)
        (h, w), (rows, columns) = mask.shape, picture.shape[:2]
        if w > columns - 4 or h > rows - 4:
            continue
        y, x, box = int(rng.integers(0, rows - h)), int(rng.integers(0, columns - w)), bool(rng.random() < 0.25)
        out = picture.astype(np.float64)
        if box:
            out[y : y + h, x : x + w] = ((0, 0, 0), (255, 255, 255), (0, 0, 128))[rng.integers(3)]
        ground, colour = (
            np.median(out[y : y + h, x : x + w].reshape(-1, 3), 0),
            np.array(COLOURS[rng.integers(len(COLOURS))]),
        )
        if abs((colour - ground) @ GREY) < least:
            continue
        ink_share = mask[..., None] / 255
        out[y : y + h, x : x + w] = out[y : y + h, x : x + w] * (1 - ink_share) + colour * ink_share
        quality_of_jpeg = int(rng.integers(75, 96))
        _, data = cv2.imencode(
            ".jpg", out.round().astype(np.uint8)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality_of_jpeg]
        )
        shown = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return np.asarray(shown, np.uint8), (x, y, x + w, y + h), box
    return None


def lettering(text: str, fonts: list[str], size: int, rng: Rng) -> NDArray[np.uint8]:
    """Coverage of each pixel by the text, ``(rows, columns)`` uint8."""
    if not fonts or rng.random() < 0.2:
        kind, thick = int(rng.choice((0, 2, 3, 4))), max(1, round(size / 19))
        (w, h), below = cv2.getTextSize(text, kind, size / 30, thick)
        mask = np.zeros((h + below + 4, w + 4), np.uint8)
        return cv2.putText(mask, text, (2, h + 1), kind, size / 30, 255, thick, cv2.LINE_AA)
    font = ImageFont.truetype(fonts[rng.integers(len(fonts))], size)
    left, top, right, bottom = font.getbbox(text)
    sheet = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(sheet).text((2 - left, 2 - top), text, fill=255, font=font)
    return np.array(sheet)
