"""A large frame in, overlapping windows out, and the results of the windows put together again without a seam."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError
from shared.records import Box


@dataclass(frozen=True)
class Tile:
    """One window of a frame, in the frame's pixels.

    Attributes:
        window: What is looked at: core and halo, always inside the frame.
        core: What is answered for; the cores of a frame cover it exactly once.
    """

    window: Box
    core: Box


def grid(width: int, height: int, *, tile: int, halo: int) -> Iterator[Tile]:
    """Cut a frame into cores of at most ``tile`` pixels, each with up to ``halo`` pixels around it.

    Windows at a border are moved inwards so that all have the same size wherever the frame is large enough.

    Args:
        width: Frame's pixels across.
        height: Frame's pixels down.
        tile: Side of a core in pixels, at least 1.
        halo: Pixels around a core, at least 0.

    Raises:
        ConfigError: ``tile`` or ``halo`` is out of range.
    """
    if tile < 1 or halo < 0:
        raise ConfigError(f"tile is {tile} and halo {halo}; allowed: tile >= 1 and halo >= 0, in pixels")
    side = tile + 2 * halo
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            core = Box(x, y, min(x + tile, width), min(y + tile, height))
            left = min(max(x - halo, 0), max(width - side, 0))
            top = min(max(y - halo, 0), max(height - side, 0))
            yield Tile(Box(left, top, min(left + side, width), min(top + side, height)), core)


def apply(
    frame: NDArray[Any], function: Callable[[NDArray[Any]], NDArray[Any]], *, tile: int, halo: int
) -> NDArray[Any]:
    """Run a function of pixels window by window and keep each window's core.

    Equal to ``function(frame)`` wherever the function looks at most ``halo`` pixels around each pixel.

    Args:
        frame: ``(H, W)`` or ``(H, W, C)``, any dtype.
        function: Takes ``(h, w[, C])``, gives ``(h, w[, K])`` of the same height and width.
        tile: Side of a core in pixels.
        halo: Pixels around a core.

    Returns:
        ``(H, W[, K])`` with the function's dtype.
    """
    out: NDArray[Any] | None = None
    for cell in grid(frame.shape[1], frame.shape[0], tile=tile, halo=halo):
        window, core = cell.window, cell.core
        part = function(frame[window.y0 : window.y1, window.x0 : window.x1])
        if out is None:
            out = np.empty((*frame.shape[:2], *part.shape[2:]), dtype=part.dtype)
        inside = core.shifted(-window.x0, -window.y0)
        out[core.y0 : core.y1, core.x0 : core.x1] = part[inside.y0 : inside.y1, inside.x0 : inside.x1]
    assert out is not None, "a frame has at least one pixel"
    return out
