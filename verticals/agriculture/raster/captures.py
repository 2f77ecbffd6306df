"""Frames in, the bands of one exposure together with the shift of each band in pixels, out."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.errors import DataError
from verticals.agriculture.raster.frames import Frame

REFERENCE = ("green", "red", "nir")
"""Band the others are measured against, the first of these that a capture has."""
LEAST_PEAK = 0.1
"""Least height of the correlation's peak for a shift to be believed: drawn pictures of other ground reach 0.04, the
bands of a real capture over an orchard 0.34 to 0.70."""


@dataclass(frozen=True)
class Capture:
    """The frames of one exposure.

    Attributes:
        id: Id that the camera wrote; the file's name where it wrote none.
        frames: In the order of their paths.
        remarks: Bands that are missing or there twice.
    """

    id: str
    frames: tuple[Frame, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Shift:
    """Where the same ground lies in a band.

    Attributes:
        band: The band.
        against: The band it is measured against.
        dx_px: A point at (x, y) in ``against`` is at (x + dx_px, y + dy_px) in ``band``.
        dy_px: Likewise.
        peak: Height of the correlation's peak, 0 to 1: how alike the two are.
    """

    band: str
    against: str
    dx_px: float
    dy_px: float
    peak: float

    @property
    def measured(self) -> bool:
        """Whether the peak stands out enough for the shift to be believed."""
        return self.peak >= LEAST_PEAK


def group(frames: Sequence[Frame]) -> tuple[Capture, ...]:
    """Put the bands of one exposure together by the id the camera wrote; a frame without id is a capture of its own.

    A capture that lacks a band which more than half of the others have, or has one twice, gets a remark.
    """
    by_id: dict[str, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda f: f.path):
        by_id[frame.capture or str(frame.path)].append(frame)
    counts = Counter(band for members in by_id.values() for band in {f.band for f in members if f.capture})
    with_id = sum(bool(members[0].capture) for members in by_id.values())
    usual = {band for band, n in counts.items() if 2 * n > with_id}
    captures = []
    for name, members in by_id.items():
        bands = Counter(f.band for f in members)
        absent = sorted(band or "colour" for band in usual - set(bands)) if members[0].capture else []
        twice = sorted(band or "colour" for band, n in bands.items() if n > 1)
        remarks = [f"lacks the band {', '.join(absent)}, which most captures have"] if absent else []
        remarks += [f"has the band {', '.join(twice)} more than once"] if twice else []
        captures.append(Capture(name if members[0].capture else members[0].path.name, tuple(members), tuple(remarks)))
    return tuple(captures)


def shifts(capture: Capture) -> tuple[Shift, ...]:
    """How far each band of a capture is shifted against its reference band.

    Phase correlation (Kuglin and Hines 1975) of the gradients' magnitude, which red and near infrared share although
    leaves are dark in one and bright in the other. One shift for the whole frame: lenses that are turned or scaled
    against each other, and ground of several heights, leave more in the corners.

    Raises:
        DataError: Fewer than two bands, two sizes, or a frame that cannot be decoded.
    """
    by_band = {frame.band: frame for frame in reversed(capture.frames) if frame.band}
    if len(by_band) < 2:
        raise DataError(f"capture {capture.id}: has {len(by_band)} band with a name; a shift needs two")
    against = next((name for name in REFERENCE if name in by_band), next(iter(sorted(by_band))))
    sizes = {(frame.width, frame.height) for frame in by_band.values()}
    if len(sizes) > 1:
        found = ", ".join(f"{w} × {h}" for w, h in sorted(sizes))
        raise DataError(f"capture {capture.id}: its bands have the sizes {found}; allowed is one: export them alike")
    fixed = _edges(by_band[against])
    found_shifts = []
    for band, frame in sorted(by_band.items()):
        if band != against:
            dx, dy, peak = shift(fixed, _edges(frame))
            found_shifts.append(Shift(band, against, dx, dy, peak))
    return tuple(found_shifts)


def shift(fixed: NDArray[np.float32], moved: NDArray[np.float32]) -> tuple[float, float, float]:
    """``(dx, dy, peak)``: what is at (x, y) in ``fixed`` is at (x + dx, y + dy) in ``moved``; ``(H, W)`` float32."""
    window = cv2.createHanningWindow((fixed.shape[1], fixed.shape[0]), cv2.CV_32F)
    (dx, dy), peak = cv2.phaseCorrelate(fixed, moved, window)
    return float(dx), float(dy), float(peak)


def edges(picture: NDArray[np.generic]) -> NDArray[np.float32]:
    """Magnitude of the gradient of ``(H, W)``, slightly smoothed, each edge's strength under a logarithm."""
    smooth = cv2.GaussianBlur(np.asarray(picture, np.float32), (0, 0), 1.5)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    magnitude = cv2.magnitude(across, down)
    # A few glints would otherwise outweigh the rows.
    return np.asarray(np.log1p(magnitude / max(float(np.median(magnitude)), 1e-6)), np.float32)


def _edges(frame: Frame) -> NDArray[np.float32]:
    try:
        with Image.open(frame.path, formats=("JPEG", "TIFF")) as image:
            return edges(np.asarray(image.convert("L") if image.mode in ("RGB", "RGBA", "YCbCr") else image))
    except (OSError, ValueError) as error:
        raise DataError(f"{frame.path}: its pixels cannot be decoded ({error}); copy it from the card again") from error
