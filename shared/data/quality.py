"""What can be measured on one image without knowing what it shows, and which images stand out from their set by it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.data.rgb import Picture

_LOOKED_AT = 512
"""Longer side in pixels at which an image is measured: twice what most networks see, and the same for all sizes."""
_FAR = 3.5
"""Robust deviations (1.4826 median absolute deviations) that make an outlier (Iglewicz and Hoaglin 1993)."""
_WHITE, _BLACK = 250, 5
_GREY, _COLOURED = 0.01, 0.04
_MAKE, _MODEL = 271, 272  # EXIF tags


@dataclass(frozen=True)
class Measures:
    """What one image measures.

    Attributes:
        sharpness: Decimal logarithm of the variance of the Laplacian of the grey image (Pech-Pacheco 2000).
        brightness: Mean grey value, 0 to 1.
        white: Share of pixels at or above 250 of 255, 0 to 1.
        black: Share of pixels at or below 5 of 255, 0 to 1.
        contrast: Standard deviation of the grey values, 0 to 0.5.
        information: Entropy of the grey values in bits, 0 to 8.
        colour: Mean distance of the greatest and the least channel, 0 to 1; 0 is grey.
        width: Pixels.
        height: Pixels.
    """

    sharpness: float
    brightness: float
    white: float
    black: float
    contrast: float
    information: float
    colour: float
    width: int
    height: int


@dataclass(frozen=True)
class Outlier:
    """One image that stands out.

    Attributes:
        index: Number of the image in the set.
        kind: E.g. ``blurred``.
        value: What it measures.
        limit: What the rule allows in this set.
        measure: What was measured, with its unit.
    """

    index: int
    kind: str
    value: float
    limit: float
    measure: str


def measure(picture: Picture) -> Measures:
    """Measure one image ``(H, W, 3)`` uint8 RGB."""
    height, width = picture.shape[:2]
    scale = _LOOKED_AT / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    counts = np.bincount(grey.ravel(), minlength=256) / grey.size
    used = counts[counts > 0]
    channels = cv2.split(picture)
    spread = cv2.subtract(cv2.max(cv2.max(*channels[:2]), channels[2]), cv2.min(cv2.min(*channels[:2]), channels[2]))
    return Measures(
        sharpness=float(np.log10(cv2.Laplacian(grey, cv2.CV_64F).var() + 0.01)),
        brightness=float(counts @ np.arange(256)) / 255,
        white=float(counts[_WHITE:].sum()),
        black=float(counts[: _BLACK + 1].sum()),
        contrast=float(grey.std()) / 255,
        information=float(-(used * np.log2(used)).sum()),
        colour=float(spread.mean()) / 255,
        width=width,
        height=height,
    )


def origin(path: Path) -> tuple[str, str, int]:
    """File format, EXIF camera (make and model, empty where unknown) and size in bytes; nothing is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large frames: nothing is decoded here
            with Image.open(path) as image:
                exif = Image.Image.getexif(image)
                camera = " ".join(str(exif.get(tag, "")).strip("\0 ") for tag in (_MAKE, _MODEL)).strip()
                return str(image.format), camera, path.stat().st_size
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return path.suffix.lstrip(".").upper(), "", path.stat().st_size


def outliers(measures: Sequence[Measures]) -> tuple[Outlier, ...]:
    """Images that stand out from their set, the farthest of each kind first.

    A rule asks for both: far from the set's median in robust deviations, and far enough for a person to see; so that
    an even set lists nothing, and a set that is dark by nature is not listed as a whole.
    """
    if not measures:
        return ()

    def each(name: str) -> NDArray[np.float64]:
        return np.array([getattr(m, name) for m in measures], np.float64)

    width, height = each("width"), each("height")
    area, elongation = np.log2(width * height), np.abs(np.log2(width / height))
    sharpness, colour = each("sharpness"), each("colour")
    found = [
        *_below("blurred", sharpness, np.median(sharpness) - 0.6, "log10 variance of the Laplacian"),
        *_below("under-exposed", each("brightness"), 0.2, "mean grey value, 0 to 1"),
        *_above("under-exposed (black)", each("black"), 0.3, "share of black pixels"),
        *_above("over-exposed", each("white"), 0.2, "share of white pixels"),
        *_above("over-exposed (bright)", each("brightness"), 0.85, "mean grey value, 0 to 1"),
        *_below("low contrast", each("contrast"), 0.05, "deviation of the grey values, 0 to 0.5"),
        *_below("little information", each("information"), 4.0, "entropy of the grey values in bits"),
        *_below("odd size (small)", area, np.median(area) - 2, "log2 of the pixels"),
        *_above("odd size (large)", area, np.median(area) + 2, "log2 of the pixels"),
        *_above("odd aspect ratio", elongation, np.median(elongation) + 0.6, "log2 of longer by shorter side"),
    ]
    if np.median(colour) >= _COLOURED:
        found += _below("grey among colour", colour, _GREY, "spread of the channels, 0 to 1", robust=False)
    elif np.median(colour) <= _GREY:
        found += _above("colour among grey", colour, _COLOURED, "spread of the channels, 0 to 1", robust=False)
    return tuple(found)


def _deviation(values: NDArray[np.float64]) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _below(kind: str, values: NDArray[np.float64], seen: float, measure: str, *, robust: bool = True) -> list[Outlier]:
    limit = min(seen, float(np.median(values)) - _FAR * _deviation(values)) if robust else seen
    order = np.argsort(values, kind="stable")
    return [Outlier(int(i), kind, float(values[i]), float(limit), measure) for i in order if values[i] < limit]


def _above(kind: str, values: NDArray[np.float64], seen: float, measure: str, *, robust: bool = True) -> list[Outlier]:
    limit = max(seen, float(np.median(values)) + _FAR * _deviation(values)) if robust else seen
    order = np.argsort(-values, kind="stable")
    return [Outlier(int(i), kind, float(values[i]), float(limit), measure) for i in order if values[i] > limit]
