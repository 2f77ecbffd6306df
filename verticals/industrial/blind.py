"""The lines of a strip or a whole picture in, what of it shows nothing out: dead, covered, dark or sent twice."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data import blank

STILL_LINES = 16
"""From so many lines on that each equal an earlier one at the same distance, they are no picture of the part. The noise
of a working line camera makes two equal lines of some hundred pixels practically impossible; sixteen leave drawn edges
alone, and are a sixth of a tile."""
DARK, DARK_PERCENT = 0.05, 99.9
"""A frame is dark when this percentage of its pixels lies below this share of full scale: a covered lens, no light. The
darkest of 1,334 real frames of three sets has 31 % of full scale there, a camera's black with its noise about 2 %."""
GRAIN = 0.25
"""A line has grain when this share of its pixels differs from the one beside. Of the middle lines of 119 real grey
frames at least 76 % do, of the still lines in 100 thresholded pictures at most 7 %."""
_DARK_SAID = (
    f"{DARK_PERCENT:g} % of the pixels lie below {100 * DARK:g} % of full scale, so that nothing is seen: the lens is "
    "covered or the light is off; scan the part again"
)
_STILL_SAID = "each equal the one before over the whole width: the camera was stopped, covered or saturated"
_SHOWN = 3
_BLOCK, _COLUMNS = 64, 16

Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Echo:
    """Lines ``[first, end)`` that each equal the line ``lag`` before."""

    first: int
    end: int
    lag: int

    def __str__(self) -> str:
        return f"{self.first} to {self.end - 1}"


def lines(pixels: NDArray[Any], runs: Runs, full_scale: int) -> tuple[Runs, tuple[str, ...]]:
    """The lines of a strip that show something.

    Taken out are lines that stand still (each equals the one before over the whole width: the camera was stopped,
    covered or saturated), lines that an earlier block holds already (a buffer that was sent twice), and everything
    where what is left is dark.

    Args:
        pixels: ``(lines, width)`` as the camera gave them.
        runs: Ranges ``[first, end)`` of the lines that are there.
        full_scale: Largest value that a pixel can have.

    Returns:
        The ranges that are left, and why the others are not, one sentence for each reason.
    """
    pixels = np.asarray(pixels)
    echoes = list(_echoes(pixels, runs))
    still, twice = [e for e in echoes if e.lag == 1], [e for e in echoes if e.lag > 1]
    said = [_said(still, _STILL_SAID)] if still else []
    said += [_said(twice, _twice_said(twice[0]))] if twice else []
    left = _without(runs, echoes)
    blocks = (pixels[y : min(y + _BLOCK, end)] for first, end in left for y in range(first, end, _BLOCK))
    if left and _dark(blocks, sum(end - first for first, end in left) * pixels.shape[1], full_scale):
        return (), (*said, _DARK_SAID)
    return left, tuple(said)


def picture(whole: NDArray[np.uint8]) -> str | None:
    """Why a whole picture or a part of it shows nothing: one value, still lines, or dark; None where it is live.

    Still lines without grain say less than those of a strip: a picture may be cut out, padded or thresholded.

    Args:
        whole: ``(height, width, 3)``.
    """
    if (reason := blank.why(whole)) is not None:
        return reason
    if len(whole) >= STILL_LINES and bool((whole[0] == whole[1]).all()) and bool((whole[1:] == whole[0]).all()):
        return (
            f"all its {len(whole)} lines are the same, so that nothing is seen: the camera was stopped, or its last "
            "line was sent on; take it again"
        )
    if (still := _still(whole)) is not None:
        return (
            f"lines {still.first} to {still.end - 1} are the same line with all its grain: the camera was stopped, or "
            "its last line was sent on; take it again"
        )
    blocks = (whole[y : y + _BLOCK] for y in range(0, len(whole), _BLOCK))
    return _DARK_SAID if _dark(blocks, whole.size, 255) else None


def _still(whole: NDArray[np.uint8]) -> _Echo | None:
    """The first run of still lines with grain."""
    # A few columns tell that there is none in nearly every picture, so that this costs next to nothing.
    if not _equal_lines(whole[:, :: max(1, whole.shape[1] // _COLUMNS)]):
        return None
    for echo in _equal_lines(whole):
        line = whole[echo.first]
        if (line[1:] != line[:-1]).any(-1).sum() >= GRAIN * len(line):
            return echo
    return None


def _equal_lines(picture: NDArray[np.uint8]) -> list[_Echo]:
    same = np.pad((picture[1:] == picture[:-1]).all((1, 2)), 1).astype(np.int8)
    firsts, lasts = (np.flatnonzero(np.diff(same) == sign).tolist() for sign in (1, -1))
    return [_Echo(f, e + 1, 1) for f, e in zip(firsts, lasts, strict=True) if e + 1 - f >= STILL_LINES]


def _echoes(pixels: NDArray[Any], runs: Runs) -> Iterator[_Echo]:
    latest: dict[bytes, int] = {}
    for start, end in runs:
        first, lag = start, 0
        for y in range(start, end):
            digest = blake2b(pixels[y].tobytes(), digest_size=16).digest()
            found = y - latest.get(digest, y)
            latest[digest] = y
            if found != lag:
                yield from _long_enough(first, y, lag)
                first, lag = y, found
        yield from _long_enough(first, end, lag)


def _long_enough(first: int, end: int, lag: int) -> Iterator[_Echo]:
    # Of lines that stand still the first is as blind as those that repeat it; of two buffers the first is good.
    first = first - 1 if lag == 1 else first
    if lag and end - first >= STILL_LINES:
        yield _Echo(first, end, lag)


def _without(runs: Runs, echoes: Sequence[_Echo]) -> Runs:
    left = []
    for start, end in runs:
        at = start
        for echo in (e for e in echoes if start <= e.first < end):
            if at < echo.first:
                left.append((at, echo.first))
            at = echo.end
        if at < end:
            left.append((at, end))
    return tuple(left)


def _said(echoes: Sequence[_Echo], reason: str) -> str:
    more = f" and {len(echoes) - _SHOWN} more ranges" if len(echoes) > _SHOWN else ""
    ranges, count = ", ".join(map(str, echoes[:_SHOWN])), sum(e.end - e.first for e in echoes)
    return f"lines {ranges}{more} ({count} in all) {reason}; they count as not examined: scan the part again"


def _twice_said(echo: _Echo) -> str:
    return (
        f"hold the same pixels as lines before them (those from line {echo.first} on are lines "
        f"{echo.first - echo.lag} to {echo.end - 1 - echo.lag}): a buffer that the camera sent twice"
    )


def _dark(blocks: Iterable[NDArray[Any]], count: int, full_scale: int) -> bool:
    """Whether fewer pixels than a live frame has reach the limit; of a live frame few blocks are read."""
    allowed, bright, limit = (1 - DARK_PERCENT / 100) * count, 0, math.ceil(DARK * full_scale)
    for block in blocks:
        bright += int(np.count_nonzero(block >= limit))
        if bright > allowed:
            return False
    return True
