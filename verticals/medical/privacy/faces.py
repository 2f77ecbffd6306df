"""A picture in, places that look like a face from the front out; the person must be asked before such a picture leaves.

The cascade of local binary patterns that OpenCV's users trained (Liao 2007, "Learning multi-scale block local binary
patterns for face recognition"), as scikit-image ships it inside of its package. Only whole, upright faces that look
into the camera are found: parts of a face, as close pictures of a lesion show them, profiles, tattoos and jewellery are
not. So nothing found is no ground for anything.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, require
from shared.records import Box

Picture = NDArray[np.uint8]

_SIDE_PX, _SMALLEST_PX = 200, 40
"""Shorter side of the picture that is looked at, and of the smallest face in it: a fifth of the picture."""
_NEIGHBOURS = 8
"""Overlapping windows that must agree: then 45 of 50 faces of the set LFW are found and none in 120 drawn lesions; with
six, in two of them."""


def available() -> bool:
    """Whether faces can be looked for here: the package scikit-image is installed."""
    return find_spec("skimage") is not None


def find(picture: Picture) -> tuple[Box, ...]:
    """Look for faces.

    Args:
        picture: ``(rows, columns, 3)`` uint8 RGB.

    Returns:
        Where they are, in the picture's pixels; empty where none is found.

    Raises:
        DataError: Another shape or dtype.
        MissingDependency: scikit-image is not installed; the sentence names the extra.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise DataError(f"a picture of shape {picture.shape} and dtype {picture.dtype}; allowed is (H, W, 3) uint8 RGB")
    shorter = min(picture.shape[:2])
    if shorter < _SMALLEST_PX:
        return ()
    factor = min(1.0, _SIDE_PX / shorter)
    small = picture
    if factor < 1:
        size = (max(round(picture.shape[1] * factor), 1), max(round(picture.shape[0] * factor), 1))
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    seen = _cascade().detect_multi_scale(
        img=np.ascontiguousarray(small),
        scale_factor=1.2,
        step_ratio=1,
        min_size=(_SMALLEST_PX, _SMALLEST_PX),
        max_size=small.shape[:2],
        min_neighbor_number=_NEIGHBOURS,
    )
    return tuple(_box(one, factor, picture) for one in seen)


def _box(seen: dict[str, int], factor: float, picture: Picture) -> Box:
    ends = (seen["c"], seen["r"], seen["c"] + seen["width"], seen["r"] + seen["height"])
    x0, y0, x1, y1 = (round(end / factor) for end in ends)
    return Box(x0, y0, min(x1, picture.shape[1]), min(y1, picture.shape[0]))


@cache
def _cascade() -> Any:
    feature = require("skimage.feature", extra="faces")
    data = require("skimage.data", extra="faces")
    return feature.Cascade(str(Path(data.lbp_frontal_face_cascade_filename())))
