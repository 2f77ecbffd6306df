"""Two pictures of a field on one grid in, the shift of the later one and whether its parts agree about it out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError

_LEAST_BLOCKS = 4
_LEAST_VALID = 0.9
_LEAST_RESPONSE = 0.3
"""Height of the peak below which a block has no match: unlike textures gave up to 0.21, one with as much noise as
picture at least 0.44."""
_MAD = 1.4826
"""From the median absolute deviation to the standard deviation of a normal distribution."""


@dataclass(frozen=True)
class Shift:
    """How far the later picture lies from the earlier one.

    Attributes:
        right_px: Cells to the right, median over the blocks.
        down_px: Cells down.
        spread_px: Spread of the blocks about the median (scaled median absolute deviation, the greater of both axes).
        east_m: The same on the ground, metres to the east.
        north_m: To the north.
        spread_m: In metres.
        used: Blocks with a match.
        blocks: Blocks with a picture in both flights.
        warning: Why the flights should not be compared as they are, empty where they may.
    """

    right_px: float
    down_px: float
    spread_px: float
    east_m: float
    north_m: float
    spread_m: float
    used: int
    blocks: int
    warning: str = ""

    @property
    def distance_m(self) -> float:
        """Length of the shift in metres."""
        return float(np.hypot(self.east_m, self.north_m))


def shift(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    transform: tuple[float, float, float, float, float, float],
    *,
    block_px: int = 128,
    allowed_px: float = 1.0,
) -> Shift:
    """Estimate the shift of two flights, block by block (phase correlation, Hann window).

    The median over the blocks is the shift, their spread says whether it is one shift at all: a mosaic that is bent
    has another shift in each corner. A shift above about a quarter of a block is not found. Crop rows repeat
    themselves, so that a shift near a whole row may be told as none; the blocks then agree about a wrong answer.

    Args:
        before: ``(rows, columns)`` float32 brightness, NaN where nothing was flown.
        after: The same of the later flight, on the same grid.
        transform: Of the grid: ``(a, b, c, d, e, f)``.
        block_px: Side of a block in cells.
        allowed_px: Shift and spread of the blocks in cells up to which flights are compared without a warning.

    Raises:
        DataError: The grids differ, or fewer than 4 blocks have a match.
    """
    if before.shape != after.shape:
        raise DataError(
            f"the earlier flight has {before.shape} cells and the later {after.shape}; bring both on one grid"
        )
    found, blocks = _blocks(before, after, block_px)
    if len(found) < _LEAST_BLOCKS:
        raise DataError(
            f"the flights have {blocks} blocks of {block_px} cells in common, and {len(found)} of them match; needed "
            f"are {_LEAST_BLOCKS}: the flights do not overlap, or show different ground"
        )
    middle = np.median(found, axis=0)
    spread = float((_MAD * np.median(np.abs(found - middle), axis=0)).max())
    a, b, _, d, e, _ = transform
    right, down = (float(v) for v in middle)
    gsd = float(np.sqrt(abs(a * e - b * d)))
    east, north = a * right + b * down, d * right + e * down
    return Shift(
        right, down, spread, east, north, spread * gsd, len(found), blocks,
        _warning(float(np.hypot(right, down)), spread, allowed_px, len(found), blocks),
    )  # fmt: skip


def _warning(distance: float, spread: float, allowed: float, used: int, blocks: int) -> str:
    if spread > allowed:
        return (
            f"the blocks disagree about the shift by {spread:.2f} cells (allowed are {allowed:g}): one flight is bent; "
            "register it with ground control points"
        )
    if used < blocks / 2:
        return f"only {used} of {blocks} blocks match; the shift is doubtful"
    if distance > allowed:
        return f"the later flight is shifted by {distance:.2f} cells (allowed are {allowed:g}); move it back first"
    return ""


def _blocks(
    before: NDArray[np.float32], after: NDArray[np.float32], side: int
) -> tuple[NDArray[np.float64], int]:  # fmt: skip
    """Shifts ``(matching blocks, 2)`` to the right and down, and the number of blocks with a picture in both."""
    import cv2

    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    found, blocks = [], 0
    for top in range(0, before.shape[0] - side + 1, side):
        for left in range(0, before.shape[1] - side + 1, side):
            pair = [picture[top : top + side, left : left + side] for picture in (before, after)]
            known = np.isfinite(pair[0]) & np.isfinite(pair[1])
            if known.mean() < _LEAST_VALID:
                continue
            blocks += 1
            flat = [_flat(part, known) for part in pair]
            (right, down), response = cv2.phaseCorrelate(flat[0], flat[1], window)
            if response >= _LEAST_RESPONSE and max(abs(right), abs(down)) <= side / 4:
                found.append((right, down))
    return np.array(found, float).reshape(-1, 2), blocks


def _flat(part: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """With mean 0 and deviation 1, 0 where nothing is known, so that brightness takes no part."""
    values = part[known]
    deviation = float(values.std())
    flat = np.where(known, (part - values.mean()) / (deviation or 1.0), 0)
    return np.ascontiguousarray(flat, np.float32)
