"""A window of an open orthomosaic in, its picture or bands and what of it could be read, out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, require
from shared.records import Box
from verticals.agriculture.raster import bands as naming
from verticals.agriculture.raster import damage, scaling
from verticals.agriculture.raster.facts import RasterFacts

NO_DATA, READ, UNREADABLE = 0, 1, 2
"""Validity of a pixel: nothing was flown or it lies outside; it was read; it is damaged, so NOT EXAMINED."""
THIN_PX = 2048
"""Side of the windows read for an overview of a damaged raster without overviews."""


@dataclass(frozen=True)
class Pixels:
    """A window of the picture.

    Attributes:
        rgb: ``(rows, columns, 3)`` uint8, black where not read.
        validity: ``(rows, columns)`` uint8: :data:`NO_DATA`, :data:`READ` or :data:`UNREADABLE`.
    """

    rgb: NDArray[np.uint8]
    validity: NDArray[np.uint8]


class Raster:
    """An open orthomosaic; made by :func:`verticals.agriculture.raster.rasters.open_raster`, used by one thread.

    Attributes:
        facts: What is known about it.
    """

    def __init__(
        self,
        facts: RasterFacts,
        grid: Any,
        again: Callable[[], AbstractContextManager[Any]],
        unwritten: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        """A raster to be read.

        Args:
            facts: What is known about it.
            grid: Rasterio's data set, or warp, to read from.
            again: Opens ``grid`` once more, with nothing in its cache.
            unwritten: (row, column) of blocks of which the file holds no bytes.
        """
        self.facts = facts
        self._grid = grid
        self._again = again
        self._bad = set(unwritten)
        self._block_hw: tuple[int, int] = grid.block_shapes[0]
        named = [band.index for band in facts.bands if band.name == "alpha"]
        # A warped grid has an alpha band after all others where the file has none.
        self._alpha = named[0] if named else grid.count if facts.warped else None

    def read(self, box: Box) -> Pixels:
        """The picture in a window, which may reach beyond the raster.

        Raises:
            DataError: It is not known which bands are red, green and blue.
        """
        values, validity = self._window(box, self._rgb())
        return self._pixels(values, validity)

    def bands(self, box: Box, names: Sequence[str]) -> NDArray[np.float32]:
        """Values of named bands in a window, ``(bands, rows, columns)`` float32, NaN wherever there is no value.

        The file's scale and offset are applied, so reflectances are reflectances where the file says how.

        Raises:
            DataError: A band is not there by that name.
        """
        by_name = {band.name: band for band in self.facts.bands if band.name}
        missing = [name for name in names if name not in by_name]
        if missing:
            there = ", ".join(by_name) or "none with a name"
            raise DataError(
                f"{self.facts.path}: has no band {' or '.join(missing)}; it has {there}; "
                f"{naming.advice(self.facts.path)}"
            )
        chosen = [by_name[name] for name in names]
        stored, validity = self._window(box, [band.index for band in chosen])
        values = stored.astype(np.float32)
        for plane, raw, band in zip(values, stored, chosen, strict=True):
            void = validity != READ
            # Outside a warp the value itself tells; in a warp it is blended away at the rim and alpha tells.
            if band.nodata is not None and not self.facts.warped:
                void |= raw == band.nodata
            plane *= np.float32(band.scale)
            plane += np.float32(band.offset)
            plane[void] = np.nan
        return values

    def overview(self, side: int) -> Pixels:
        """The whole picture with at most ``side`` pixels along its longer side, from overviews where there are some.

        Nearest neighbour. An overview may look whole where the full resolution is damaged; only :meth:`read` tells.
        Where there are none and pixels are damaged all pixels are read for it.

        Raises:
            DataError: It is not known which bands are red, green and blue.
        """
        rgb, facts = list(self._rgb()), self.facts
        shrink = max(1.0, max(facts.width, facts.height) / side)
        shape = max(1, round(facts.height / shrink)), max(1, round(facts.width / shrink))
        whole = Box(0, 0, facts.width, facts.height)
        try:
            if not self._bad:
                return self._pixels(*self._at_once(whole, rgb, shape))
        except require("rasterio.errors", extra="agriculture").RasterioIOError:
            self._find_bad([block for block, _ in self._blocks(whole)])
        return self._pixels(*self._thinned(rgb, shape))

    def _thinned(self, indexes: list[int], shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Every n-th pixel of the raster, read strip by strip."""
        width, height = self.facts.width, self.facts.height
        rows = ((np.arange(shape[0]) + 0.5) * height / shape[0]).astype(int)
        columns = ((np.arange(shape[1]) + 0.5) * width / shape[1]).astype(int)
        values = np.zeros((len(indexes), *shape), self._grid.dtypes[indexes[0] - 1])
        validity = np.zeros(shape, np.uint8)
        for top in range(0, height, THIN_PX):
            for left in range(0, width, THIN_PX):
                box = Box(left, top, min(left + THIN_PX, width), min(top + THIN_PX, height))
                down = np.flatnonzero((rows >= box.y0) & (rows < box.y1))
                across = np.flatnonzero((columns >= box.x0) & (columns < box.x1))
                seen, state = self._window(box, indexes)
                picked = np.ix_(rows[down] - top, columns[across] - left)
                values[:, down[:, None], across] = seen[:, picked[0], picked[1]]
                validity[np.ix_(down, across)] = state[picked]
        return values, validity

    def _rgb(self) -> tuple[int, int, int]:
        if self.facts.rgb is None:
            raise DataError(f"{self.facts.path}: {naming.picture(self.facts.path, self.facts.bands)[1]}")
        return self.facts.rgb

    def _pixels(self, values: NDArray[Any], validity: NDArray[np.uint8]) -> Pixels:
        planes = scaling.to_uint8(values, self.facts.limits)
        planes[:, validity != READ] = 0
        return Pixels(np.ascontiguousarray(planes.transpose(1, 2, 0)), validity)

    def _window(self, box: Box, indexes: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Stored values ``(bands, rows, columns)`` and validity of a window; what lies outside or is damaged is 0."""
        values = np.zeros((len(indexes), box.height, box.width), self._grid.dtypes[indexes[0] - 1])
        validity = np.full((box.height, box.width), NO_DATA, np.uint8)
        damaged = require("rasterio.errors", extra="agriculture").RasterioIOError
        inside = _overlap(box, Box(0, 0, self.facts.width, self.facts.height))
        waiting = [inside] if inside else []
        while waiting:
            piece = waiting.pop()
            rows, columns = slice(piece.y0 - box.y0, piece.y1 - box.y0), slice(piece.x0 - box.x0, piece.x1 - box.x0)
            blocks = list(self._blocks(piece))
            if not any(block in self._bad for block, _ in blocks):
                try:
                    values[:, rows, columns], validity[rows, columns] = self._at_once(piece, list(indexes))
                    continue
                except damaged:
                    self._find_bad([block for block, _ in blocks])
            if len(blocks) > 1:
                waiting += [part for _, part in blocks]
            else:
                values[:, rows, columns], validity[rows, columns] = 0, UNREADABLE
        return values, validity

    def _find_bad(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Note which of the blocks cannot be read, from a fresh handle, so that no cache hides it."""
        if len(blocks) == 1:
            self._bad |= set(blocks)
            return
        # Blocks of a warp share those of the file, so each needs a handle of its own.
        chunks = [[block] for block in blocks] if self.facts.warped else [list(blocks)]
        for chunk in chunks:
            with self._again() as grid:
                self._bad |= {block for block in chunk if not self._sound(grid, *block)}

    def _sound(self, grid: Any, row: int, column: int) -> bool:
        """Whether a block can be read whole, all its bands."""
        high, wide = self._block_hw
        size = min(wide, self.facts.width - column * wide), min(high, self.facts.height - row * high)
        window = require("rasterio.windows", extra="agriculture").Window(column * wide, row * high, *size)
        try:
            with damage.watched():
                grid.read(window=window)
        except require("rasterio.errors", extra="agriculture").RasterioIOError:
            return False
        return True

    def _blocks(self, piece: Box) -> Iterator[tuple[tuple[int, int], Box]]:
        """(row, column) of the file's blocks that a window touches, and the part of the window in each."""
        high, wide = self._block_hw
        for row in range(piece.y0 // high, (piece.y1 - 1) // high + 1):
            for column in range(piece.x0 // wide, (piece.x1 - 1) // wide + 1):
                block = Box(column * wide, row * high, (column + 1) * wide, (row + 1) * high)
                part = _overlap(piece, block)
                assert part is not None
                yield (row, column), part

    def _at_once(
        self, box: Box, indexes: list[int], shape: tuple[int, int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """A window inside the raster; rasterio's error where any of it is damaged."""
        window = require("rasterio.windows", extra="agriculture").Window(box.x0, box.y0, box.width, box.height)
        out = shape or (box.height, box.width)
        with damage.watched():
            values = self._grid.read(indexes, window=window, out_shape=(len(indexes), *out))
            if self._alpha is not None:
                flown = self._grid.read(self._alpha, window=window, out_shape=out) > 0
            elif self.facts.nodata is not None:
                flown = (values != np.asarray(self.facts.nodata)).any(axis=0)
            elif self.facts.mask == "none":
                flown = np.ones(out, bool)
            else:
                flown = self._grid.dataset_mask(window=window, out_shape=out) > 0
        if np.issubdtype(values.dtype, np.floating):
            flown &= np.isfinite(values).all(axis=0)
        return values, np.where(flown, READ, NO_DATA).astype(np.uint8)


def _overlap(a: Box, b: Box) -> Box | None:
    """The part two boxes share; None where they share none."""
    x0, y0, x1, y1 = max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1)
    return Box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
