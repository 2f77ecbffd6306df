"""A picture of skin in, one number for each way a photograph can be bad, out; what they mean is told in ``quality``.

All arrays are ``(rows, columns)`` of a picture whose shorter side is at most :data:`SIDE_PX`, so that a number does not
depend on the camera's megapixels.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from verticals.medical.photograph.light import color_tint, overexposed, underexposed
from verticals.medical.photograph.skin import linear

Picture = NDArray[np.uint8]
Plane = NDArray[np.float64]
Mask = NDArray[np.bool_]

SIDE_PX = 256
_FEWEST_PIXELS = 64
_STEPS, _FAINT, _LEAST_DEPTH = 90, 0.05, 16
"""Steps in which the natural logarithm of light is told, 0 to 255, light below which differences fade into noise, and
steps by which a lesion is darker at least."""
_DIRECTIONS, _HAIR_STRENGTH = 16, 24
"""Directions in half a turn, and mean strength along a hair in grey levels."""


def shrunk(picture: Picture) -> Picture:
    """The picture with a shorter side of at most :data:`SIDE_PX`, every pixel the mean of those it stands for."""
    while min(picture.shape[:2]) >= 4 * SIDE_PX:  # by halves ten times as fast as at once
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), np.uint8)
    factor = SIDE_PX / min(picture.shape[:2])
    if factor >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def blurry(picture: Picture) -> float:
    """How little a further blur changes it, 0 (sharp) to 1 (Crete 2007, "The blur effect", SPIE 6492).

    Judged at the working size, about what the classifier sees: a blur of less than two of its pixels, some twenty of a
    picture of 12 megapixels, is not told.
    """
    grey = _grey(picture)
    worst = 0.0
    for axis in (0, 1):
        soft = ndimage.uniform_filter1d(grey, 11, axis=axis)
        before, after = np.abs(np.diff(grey, axis=axis)), np.abs(np.diff(soft, axis=axis))
        lost = np.maximum(before - after, 0).sum()
        worst = max(worst, float(1 - lost / max(before.sum(), 1e-9)))
    return worst


def glare(picture: Picture) -> float:
    """Share of pixels in bright spots that are white and stand out from their surroundings by 40 grey levels."""
    lowest = np.asarray(picture, np.float64).min(2)
    side = max(3, min(picture.shape[:2]) // 3)
    around = np.asarray(cv2.blur(lowest, (side, side)))
    return float(((lowest >= 225) & (lowest - around >= 40)).mean())


def cropped(picture: Picture) -> float:
    """How much of the lesion's outline the border cuts: length along the border over the root of the lesion's area.

    0 for a lesion that lies inside, 1.6 for a disc that is cut in half.
    """
    lesion, view = _lesion(picture)
    area = int(lesion.sum())
    if not area:
        return 0.0
    frame = view & ~ndimage.binary_erosion(view, iterations=2)
    return float((lesion & frame).sum() / 2 / np.sqrt(area))


def _lesion(picture: Picture) -> tuple[Mask, Mask]:
    """The dark part of the view that weighs most towards the middle, and the view without the dermoscope's corners.

    Dark in green light, which melanin and blood both absorb most, against the skin around it, after the fall of the
    light towards the border is taken out; parts are cut by Otsu's threshold. Dark is a ratio, so that a lesion counts
    alike on pale and on dark skin; where it sends back more than five sixths of what the rest does, it is none.
    """
    soft = cv2.GaussianBlur(np.ascontiguousarray(picture[..., 1]), (0, 0), min(picture.shape[:2]) / 60)
    view = _view(np.asarray(soft, np.uint8))
    nothing = np.zeros_like(view)
    if view.sum() < _FEWEST_PIXELS:
        return nothing, view
    green = _STEPS * np.log(linear(np.asarray(soft, np.uint8)) + _FAINT)
    depth = (_lighting(green, view) - green).clip(0, 255).astype(np.uint8)
    level, _ = cv2.threshold(depth[view].reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = (depth > level) & view
    if not dark.any() or dark.sum() == view.sum() or depth[dark].mean() - depth[view & ~dark].mean() < _LEAST_DEPTH:
        return nothing, view
    numbers, _ = ndimage.label(ndimage.binary_opening(dark, iterations=2))
    rows, columns = (np.linspace(-1, 1, n) for n in green.shape)
    middle = np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / 0.5)
    weights = np.bincount(numbers.ravel(), middle.ravel())
    weights[0] = 0
    return (numbers == weights.argmax()) if weights.any() else nothing, view


def _lighting(green: Plane, view: Mask) -> Plane:
    """The logarithm of light from skin everywhere: a paraboloid through the view, repeated without what is darker."""
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in green.shape), indexing="ij")
    terms = np.stack([np.ones_like(rows), rows, columns, rows**2, columns**2, rows * columns], -1)
    skin, surface = view, green
    for _ in range(4):
        some = terms[skin][::7]
        weights = np.linalg.lstsq(some.T @ some, some.T @ green[skin][::7], rcond=None)[0]
        surface = terms @ weights
        brighter = view & (green >= surface - 8)
        if brighter.sum() < view.sum() / 5:
            break
        skin = brighter
    return np.asarray(surface, np.float64)


def _view(grey: NDArray[np.uint8]) -> Mask:
    """Everything but dark parts that reach a corner."""
    numbers, _ = ndimage.label(grey < 50)
    corners = {int(numbers[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    dark = np.isin(numbers, list(corners)) if corners else np.zeros(grey.shape, bool)
    return ~np.asarray(ndimage.binary_dilation(dark, iterations=4), bool) if corners else ~dark


def marker_pen(picture: Picture) -> float:
    """Share of pixels bluer than the picture's own colour by a factor that blood and melanin do not reach.

    Gentian violet and blue ink absorb red; log(B/R) in linear light rises by more than 0.7 against the median, and the
    place is coloured, which a shadow is not: its channels lie apart by three tenths of the strongest.
    """
    light = linear(picture) + 0.004
    blue_over_red = np.log(light[..., 2] / light[..., 0])
    strongest = picture.max(2).astype(np.int16)
    lit, apart = strongest > 20, strongest - picture.min(2)
    if not lit.any():
        return 0.0
    coloured = (apart > 8) & (apart > 0.3 * strongest)
    bluer = blue_over_red - np.median(blue_over_red[lit]) > 0.7
    return float((bluer & lit & coloured & (blue_over_red > -0.5)).mean())


def hairy(picture: Picture) -> float:
    """Share of pixels on thin dark lines that run straight for a tenth of the picture (compare DullRazor, Lee 1997).

    Black top-hat, then its mean along a line of each direction: a network of pigment turns too often to reach it.
    """
    grey = np.asarray(_grey(picture), np.uint8)
    side = min(picture.shape[:2])
    width, length = max(5, round(side / 28) | 1), max(7, round(side / 10) | 1)
    thin = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    half, (rows, columns) = length // 2, grey.shape
    around = np.pad(np.asarray(thin, np.uint16), half, mode="reflect")
    best = np.zeros(grey.shape, np.uint16)
    for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
        along = np.zeros(grey.shape, np.uint16)
        for step in range(-half, half + 1):
            y, x = half + round(step * float(np.sin(angle))), half + round(step * float(np.cos(angle)))
            along += around[y : y + rows, x : x + columns]
        np.maximum(best, along, out=best)
    return float((best >= _HAIR_STRENGTH * (2 * half + 1)).mean())


def ruler(picture: Picture) -> float:
    """Number of tick marks in the longest row of equal, parallel, evenly spaced short lines."""
    grey = np.asarray(_grey(picture), np.uint8)
    element = cv2.getStructuringElement(cv2.MORPH_RECT, (9, 9))
    best = 0
    for kind in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
        strokes = np.asarray(cv2.morphologyEx(grey, kind, element))
        for level in (20, 40):
            best = max(best, _longest_row(_ticks(strokes >= level)))
    return float(best)


def _ticks(mask: Mask) -> NDArray[np.float64]:
    """Short straight lines, ``(n, 4)``: x, y, angle in radians and length, in pixels."""
    numbers, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    ticks = []
    for number, place in enumerate(ndimage.find_objects(numbers), 1):
        if max(s.stop - s.start for s in place) > 40:
            continue
        y, x = np.nonzero(numbers[place] == number)
        if len(x) < 4:
            continue
        values, vectors = np.linalg.eigh(np.cov(np.vstack([x, y])) + np.eye(2) / 12)
        length, width = np.sqrt(12 * values[::-1])
        if 4 <= length <= 40 and length > 2 * width:
            angle = np.arctan2(vectors[1, 1], vectors[0, 1]) % np.pi
            ticks.append((x.mean() + place[1].start, y.mean() + place[0].start, angle, length))
    return np.array(ticks, np.float64).reshape(-1, 4)


def _longest_row(ticks: NDArray[np.float64]) -> int:
    """From every pair of near, parallel ticks, walk on in equal steps for as long as there are more."""
    if not 5 <= len(ticks) <= 400:
        return 0
    best = 0
    places = ticks[:, :2]
    for i, (x, y, angle, _) in enumerate(ticks):
        for j in np.nonzero(_parallel(ticks[i], ticks))[0]:
            step = places[j] - (x, y)
            distance = float(np.hypot(*step))
            across = abs(np.sin(np.arctan2(step[1], step[0]) - angle))
            if not 3 <= distance <= 40 or across < 0.85:
                continue
            best = max(best, _walk(places, ticks, i, step, distance))
    return best


def _parallel(tick: NDArray[np.float64], others: NDArray[np.float64]) -> Mask:
    difference = np.abs(others[:, 2] - tick[2])
    alike = np.minimum(difference, np.pi - difference) < 0.2
    return np.asarray(alike & (others[:, 3] < 3 * tick[3]) & (others[:, 3] > tick[3] / 3), bool)


def _walk(places: Plane, ticks: Plane, start: int, step: Plane, distance: float) -> int:
    at, count = places[start], 1
    fits = _parallel(ticks[start], ticks)
    while True:
        away = np.hypot(*(places - (at + step)).T)
        away[~fits] = np.inf
        nearest = int(away.argmin())
        if away[nearest] > max(1.5, 0.2 * distance):
            return count
        # Measured from the last tick, so that a small error of the step does not add up.
        at, count = places[nearest], count + 1
        if count > 60:
            return count


def _grey(picture: Picture) -> Plane:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float64)


MEASURES: Mapping[str, Callable[[Picture], float]] = {
    "blurry": blurry,
    "glare": glare,
    "overexposed": overexposed,
    "underexposed": underexposed,
    "cropped": cropped,
    "ruler": ruler,
    "marker_pen": marker_pen,
    "hairy": hairy,
    "color_tint": color_tint,
}
"""By the name of the fault; ``blurry``, ``marker_pen``, ``hairy`` and ``color_tint`` are fields of the ISIC archive."""
