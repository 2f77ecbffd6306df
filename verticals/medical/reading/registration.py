"""Two photographs of one lesion in, the earlier turned and pushed onto the later out; or the word that it failed.

Only turned and pushed, and brought to the same scale where both scales are known: a registration that also stretches
would hide that a lesion has grown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Structure = NDArray[np.float32]
Matrix = NDArray[np.float64]
_SIDE = 192
"""Longest side in pixels at which pictures are compared."""
_TURNS = range(-180, 180, 10)
"""Degrees of the coarse search; the refinement converges from half a step."""
_TRIED = 3
_BLUR, _LIGHT = 1.5, 0.12
"""Blur against hair and noise in pixels, and how smooth what counts as light is, as a share of the longer side."""
_DARK, _RIM = 25, 9
"""Grey level (of 255) below which nothing is lit, and how much around it, in pixels, is left out too."""
LEAST_CORRELATION = 0.6
"""Correlation of structure from which two pictures are said to fit. Of 38 pairs of visits that the demo draws (turned
by up to 60 degrees, with hairs, rulers, bubbles, round fields and growth) 23 reach it, of 52 pairs of two lesions none;
yet round lesions without structure fit each other: that both show the same lesion is the tracking id's to say."""
LEAST_COMMON = 0.5
"""Share of the later picture that the earlier one must cover."""
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-5)
_SOFT = 5
"""Filter size of the enhanced correlation coefficient, OpenCV's default."""


@dataclass(frozen=True)
class Registered:
    """An earlier picture in the frame of a later one.

    Attributes:
        picture: ``(rows, columns, 3)`` uint8 RGB, as large as the later one; black where there is nothing.
        matrix: ``(2, 3)`` float64: from pixels (x, y, 1) of the later picture to pixels of the earlier one.
        correlation: Of the two where both are, light taken away, -1 to 1.
        common: Share of the later picture that the earlier one covers, 0 to 1.
    """

    picture: Picture
    matrix: NDArray[np.float64]
    correlation: float
    common: float


def register(earlier: Picture, later: Picture, *, scale: float = 1.0) -> Registered | None:
    """Turn and push the earlier picture onto the later one.

    Turns are tried by phase correlation (Kuglin and Hines 1975) all the way round, the best of them refined by the
    enhanced correlation coefficient (Evangelidis and Psarakis 2008).

    Args:
        earlier: ``(rows, columns, 3)`` uint8 RGB.
        later: Likewise, of any size.
        scale: Millimetres per pixel of the later picture over those of the earlier one: pixels of the earlier picture
            that one pixel of the later stands for. 1 where either is unknown.

    Returns:
        None where nothing fits, see :data:`LEAST_CORRELATION` and :data:`LEAST_COMMON`.
    """
    shrink = min(1.0, _SIDE / max(later.shape[:2]))
    fixed, moving = _structure(later, shrink), _structure(earlier, shrink / scale)
    side = max(*fixed.shape, *moving.shape)
    on, over = _centred(fixed, side), _centred(moving, side)
    correlation, small = max(_fits(on, over), key=lambda fit: fit[0], default=(-1.0, np.eye(2, 3)))
    to_square, from_square = (
        _of_pixels(later.shape, shrink, side),
        np.linalg.inv(_of_pixels(earlier.shape, shrink / scale, side)),
    )
    matrix = from_square @ np.vstack([small, (0, 0, 1)]) @ to_square
    size, back = (later.shape[1], later.shape[0]), cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(np.ones(earlier.shape[:2], np.uint8), matrix[:2], size, flags=cv2.INTER_NEAREST | back)
    common = float(there.mean())
    if correlation < LEAST_CORRELATION or common < LEAST_COMMON:
        return None
    picture = cv2.warpAffine(earlier, matrix[:2], size, flags=cv2.INTER_LINEAR | back)
    return Registered(np.asarray(picture, np.uint8), matrix[:2], correlation, common)


def _structure(picture: Picture, shrink: float) -> Structure:
    """Grey structure without its light, ``(rows * shrink, columns * shrink)`` around 0."""
    size = (max(8, round(picture.shape[1] * shrink)), max(8, round(picture.shape[0] * shrink)))
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    # The black surround of a round field belongs to the instrument; filled up, its edge is no structure.
    lit = cv2.erode(np.asarray(grey >= _DARK, np.uint8), np.ones((_RIM, _RIM), np.uint8))
    if 0 < lit.mean() < 1:
        grey = np.where(lit > 0, grey, np.float32(np.median(grey[lit > 0])))
    grey = cv2.GaussianBlur(grey, (0, 0), _BLUR)
    structure = grey - cv2.GaussianBlur(grey, (0, 0), _LIGHT * max(size))
    return np.asarray(np.where(lit > 0, structure, 0), np.float32)


def _centred(structure: Structure, side: int) -> Structure:
    """In the middle of a square of zeros, ``(side, side)``."""
    rows, columns = structure.shape
    top, left = (side - rows) // 2, (side - columns) // 2
    canvas = np.zeros((side, side), np.float32)
    canvas[top : top + rows, left : left + columns] = structure
    return canvas


def _of_pixels(shape: tuple[int, ...], shrink: float, side: int) -> NDArray[np.float64]:
    """From pixels of a picture to those of its structure in the square, ``(3, 3)``; pixel centres are whole numbers."""
    rows, columns = (max(8, round(n * shrink)) for n in shape[:2])
    across, down = columns / shape[1], rows / shape[0]
    left, top = (side - columns) // 2, (side - rows) // 2
    return np.array([[across, 0, left + (across - 1) / 2], [0, down, top + (down - 1) / 2], [0, 0, 1]])


def _fits(fixed: Structure, moving: Structure) -> Iterator[tuple[float, Matrix]]:
    """Correlation and matrix, from fixed to moving, of the best turns; none where nothing converges."""
    side, where = fixed.shape[0], np.asarray(fixed != 0, np.uint8)
    for coarse in _coarse(fixed, moving)[:_TRIED]:
        # Turned first: OpenCV's refinement keeps the angle as an arc sine, which ends at 90 degrees.
        laid = cv2.warpAffine(moving, coarse, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        start = np.eye(2, 3, dtype=np.float32)
        try:
            correlation, fine = cv2.findTransformECC(fixed, laid, start, cv2.MOTION_EUCLIDEAN, _STEPS, where, _SOFT)
        except cv2.error:  # it says so when it does not converge
            continue
        yield float(correlation), (np.vstack([coarse, (0, 0, 1)]) @ np.vstack([fine, (0, 0, 1)]))[:2]


def _coarse(fixed: Structure, moving: Structure) -> list[Matrix]:
    """Matrices from fixed to moving, the best correlated first."""
    side = fixed.shape[0]
    window, ones = cv2.createHanningWindow((side, side), cv2.CV_32F), np.asarray(moving != 0, np.float32)
    found = []
    for turn in _TURNS:
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), turn, 1.0)
        turned = cv2.warpAffine(moving, matrix, (side, side))
        matrix[:, 2] += cv2.phaseCorrelate(turned * window, fixed * window)[0]
        there = (cv2.warpAffine(ones, matrix, (side, side)) > 0.5) & (fixed != 0)
        if there.sum() < LEAST_COMMON * (fixed != 0).sum():
            continue
        laid = cv2.warpAffine(moving, matrix, (side, side))[there]
        if laid.std() == 0:
            continue
        likeness = float(np.corrcoef(laid, fixed[there])[0, 1])
        found.append((likeness, np.asarray(cv2.invertAffineTransform(matrix), np.float64)))
    found.sort(key=lambda pair: -pair[0])
    return [matrix for _, matrix in found]
