"""A raster's size in, tiles that cover it, and its rows read once from top to bottom, out."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError
from shared.records import Box
from verticals.agriculture.raster.pixels import Raster

CHUNK_ROWS = 256
"""Rows read at once: whole rows of the usual blocks, so that none is decoded twice."""


@dataclass(frozen=True)
class Layout:
    """Square tiles over a raster, on a grid of cells; made by :func:`layout`.

    The last tile of a row or column is moved back so that it ends with the raster's last cell; only a raster that is
    smaller than a tile, or a last cell that the raster does not fill, has to be padded.

    Attributes:
        width: Pixels of the raster across.
        height: Pixels down.
        side: Pixels of a tile across and down, a multiple of ``stride``.
        step: Pixels from tile to tile, likewise.
        stride: Pixels of a cell across and down: what a predictor says one answer for.
    """

    width: int
    height: int
    side: int
    step: int
    stride: int

    @property
    def columns(self) -> int:
        """Cells across; the last may reach beyond the raster."""
        return math.ceil(self.width / self.stride)

    @property
    def rows(self) -> int:
        """Cells down, likewise."""
        return math.ceil(self.height / self.stride)

    @property
    def cells(self) -> int:
        """Cells of a tile across and down."""
        return self.side // self.stride

    @property
    def xs(self) -> tuple[int, ...]:
        """Left edges of the tiles, in cells, ascending."""
        return _starts(self.columns, self.cells, self.step // self.stride)

    @property
    def ys(self) -> tuple[int, ...]:
        """Upper edges of the tiles, in cells, ascending."""
        return _starts(self.rows, self.cells, self.step // self.stride)

    def borders(self, starts: tuple[int, ...], length: int) -> NDArray[np.bool_]:
        """Where a tile begins or ends: ``(length - 1,)``, entry i for the step from cell i to i + 1."""
        edges = np.unique([*starts, *(s + self.cells for s in starts)])
        edges = edges[(edges > 0) & (edges < length)]
        found = np.zeros(max(length - 1, 0), bool)
        found[edges - 1] = True
        return found


def layout(width: int, height: int, *, side: int, overlap: float, stride: int = 1) -> Layout:
    """Lay tiles over a raster.

    Args:
        width: Pixels across, 1 or more, odd or even.
        height: Pixels down, likewise.
        side: Pixels of a tile across and down.
        overlap: Share of a tile's side that it has in common with the next, 0 to below 1; rounded to whole cells.
        stride: Pixels of a cell across and down.

    Raises:
        ConfigError: A size is not positive, the side is no multiple of the stride, or the overlap is out of range.
    """
    if min(width, height, side, stride) < 1 or side % stride:
        raise ConfigError(
            f"tiles of {side} px with cells of {stride} px on {width} x {height} px cannot be laid; "
            "allowed are positive sizes and a side that is a multiple of the cell"
        )
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap of tiles is {overlap}; allowed is 0 to below 1, e.g. 0.5")
    step = max(1, round(side * (1 - overlap) / stride)) * stride
    return Layout(width, height, side, step, stride)


def _starts(length: int, cells: int, step: int) -> tuple[int, ...]:
    last = max(length - cells, 0)
    return (*range(0, last, step), last)


class Rows:
    """The picture's rows, in windows that only move down: each pixel is read once at most, and few are held."""

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self._top = self._bottom = 0
        width = raster.facts.width
        self._rgb = np.empty((0, width, 3), np.uint8)
        self._validity = np.empty((0, width), np.uint8)

    def take(self, top: int, bottom: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Picture ``(rows, width, 3)`` and validity ``(rows, width)`` of the rows ``top`` to ``bottom``.

        Args:
            top: Not above that of the call before.
            bottom: At most the raster's height.
        """
        facts = self._raster.facts
        if top > self._bottom:  # nothing was asked for in between, so nothing is read
            self._rgb, self._validity = self._rgb[:0], self._validity[:0]
            self._top = self._bottom = top
        while self._bottom < bottom:
            end = min(self._bottom + CHUNK_ROWS, facts.height)
            read = self._raster.read(Box(0, self._bottom, facts.width, end))
            kept = slice(max(top - self._top, 0), None)
            self._rgb = np.concatenate([self._rgb[kept], read.rgb])
            self._validity = np.concatenate([self._validity[kept], read.validity])
            self._bottom, self._top = end, end - len(self._rgb)
        window = slice(top - self._top, bottom - self._top)
        return self._rgb[window], self._validity[window]
