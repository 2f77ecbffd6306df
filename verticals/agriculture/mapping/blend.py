"""A raster and a predictor in, blended answers in bands of rows out: only one row of tiles is held in memory.

Each cell is the mean of all tiles that cover it, weighted by a Hann window (with a floor, so that the outermost cells
of the raster have a weight too) and by the share of the tile's pixels that could be read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from verticals.agriculture.mapping.tiles import Layout, Rows
from verticals.agriculture.raster.pixels import NO_DATA, READ, UNREADABLE, Raster

WINDOW_FLOOR = 1e-2
"""Least weight along a side. At half overlap it leaves 1 % of a tile's step at its border."""
_BATCH_PIXELS = 500_000
"""Pixels of the tiles asked for at once: a network's own memory grows with them."""


@dataclass(frozen=True)
class Painted:
    """What a predictor says about n tiles.

    Attributes:
        probabilities: ``(n, labels, cells, cells)`` float32; they add up to 1 over the labels.
        novelty: ``(n,)`` float32, how unlike the training images each tile is; None where the predictor cannot say.
    """

    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32] | None = None


Predictor = Callable[[NDArray[np.uint8]], Painted | NDArray[np.float32]]
"""``(n, side, side, 3)`` uint8 RGB to :class:`Painted` or the probabilities alone."""
Inside = Callable[[int, int], NDArray[np.bool_]]
"""First row of cells and the one after the last to ``(rows, columns)``: which cells are asked for."""


@dataclass(frozen=True)
class Strip:
    """Finished rows of cells, over the whole width.

    Attributes:
        row: First row of cells.
        probabilities: ``(labels, rows, columns)`` float32, NaN where no tile was asked.
        novelty: ``(rows, columns)`` float32, blended likewise; None where the predictor cannot say.
        inside: ``(rows, columns)`` bool, cells that were asked for.
        read: ``(rows, columns)`` float32, share of the cell's pixels that were read, 0 to 1.
        unreadable: ``(rows, columns)`` float32, share of its pixels that are damaged.
    """

    row: int
    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32] | None
    inside: NDArray[np.bool_]
    read: NDArray[np.float32]
    unreadable: NDArray[np.float32]


def window(cells: int) -> NDArray[np.float32]:
    """Hann window with a floor, ``(cells, cells)`` float32, up to 1."""
    line = np.maximum(np.sin(np.pi * (np.arange(cells) + 0.5) / cells) ** 2, WINDOW_FLOOR)
    return np.outer(line, line).astype(np.float32)


def blended(
    raster: Raster, predictor: Predictor, laid: Layout, *, labels: int, inside: Inside | None = None
) -> Iterator[Strip]:
    """Ask the predictor about every tile with something to see, and blend what it says.

    What was not read is shown to the predictor as the mean colour of the rest of its tile, so that a black collar is
    nothing to be seen. Tiles without a readable pixel in a cell that is asked for are left out.

    Args:
        raster: The picture.
        predictor: See :data:`Predictor`.
        laid: Tiles over the raster.
        labels: How many the predictor knows.
        inside: Cells that are asked for; None means all.

    Yields:
        Strips from top to bottom, without gaps.

    Raises:
        DataError: The predictor's answer has another shape or is not finite.
    """
    rows, weights = Rows(raster), window(laid.cells)
    novel = False
    # The last plane is the sum of weights, the one before it the novelty.
    total = np.zeros((labels + 2, laid.cells, laid.columns), np.float32)
    for i, y in enumerate(laid.ys):
        top, bottom = y * laid.stride, min((y + laid.cells) * laid.stride, laid.height)
        asked = np.ones((_cell_rows(laid, y), laid.columns), bool) if inside is None else inside(y, y + laid.cells)
        rgb, validity = rows.take(top, bottom) if asked.any() else _unread(bottom - top, laid.width)
        for x, share, tiles in _batches(laid, rgb, validity, asked):
            painted = predictor(tiles)
            painted = painted if isinstance(painted, Painted) else Painted(painted)
            _check(painted, (len(tiles), labels, laid.cells, laid.cells))
            novel |= painted.novelty is not None
            _add(total, x, weights[None] * share[:, None, None], painted)
        last = i + 1 == len(laid.ys)
        done = (laid.rows if last else laid.ys[i + 1]) - y
        yield _strip(laid, y, total[:, :done], asked[:done], validity, novel)
        _move_up(total, done)


def _unread(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Rows without a cell that is asked for: they cost no reading."""
    return np.empty((height, 0, 3), np.uint8), np.full((height, width), NO_DATA, np.uint8)


def _move_up(total: NDArray[np.float32], rows: int) -> None:
    """In place and plane by plane: a second copy would be the largest thing in memory."""
    for plane in total:
        plane[:-rows] = plane[rows:]
        plane[-rows:] = 0


def _cell_rows(laid: Layout, y: int) -> int:
    return min(laid.cells, laid.rows - y)


def _batches(
    laid: Layout, rgb: NDArray[np.uint8], validity: NDArray[np.uint8], asked: NDArray[np.bool_]
) -> Iterator[tuple[list[int], NDArray[np.float32], NDArray[np.uint8]]]:
    """Left edges in cells, shares of readable pixels ``(n,)``, and tiles ``(n, side, side, 3)``."""
    good = validity == READ
    whole = bool(good.all())
    chosen = [x for x in laid.xs if asked[:, x : x + laid.cells].any() and (whole or good[:, _pixels(laid, x)].any())]
    many = max(1, _BATCH_PIXELS // laid.side**2)
    for start in range(0, len(chosen), many):
        xs = chosen[start : start + many]
        tiles = np.empty((len(xs), laid.side, laid.side, 3), np.uint8)
        share = np.empty(len(xs), np.float32)
        for tile, (k, x) in zip(tiles, enumerate(xs), strict=True):
            share[k] = _fill(tile, rgb[:, _pixels(laid, x)], None if whole else good[:, _pixels(laid, x)])
        yield xs, share, tiles


def _pixels(laid: Layout, x: int) -> slice:
    return slice(x * laid.stride, min((x + laid.cells) * laid.stride, laid.width))


def _fill(tile: NDArray[np.uint8], rgb: NDArray[np.uint8], good: NDArray[np.bool_] | None) -> float:
    """Put a picture into a tile of full size, None for good everywhere; returns the share of the tile that was read."""
    height, width = rgb.shape[:2]
    tile[:height, :width] = rgb
    if good is None or good.all():
        if (height, width) != tile.shape[:2]:
            tile[...] = np.pad(rgb, ((0, len(tile) - height), (0, tile.shape[1] - width), (0, 0)), "edge")
        return float(height * width / (tile.shape[0] * tile.shape[1]))
    mean = np.rint(rgb[good].mean(0)).astype(np.uint8)
    tile[height:] = tile[:, width:] = mean
    tile[:height, :width][~good] = mean
    return float(good.sum() / (tile.shape[0] * tile.shape[1]))


def _add(total: NDArray[np.float32], xs: list[int], weights: NDArray[np.float32], painted: Painted) -> None:
    cells = total.shape[1]
    weighted = painted.probabilities * weights[:, None]
    for k, x in enumerate(xs):
        place = slice(x, min(x + cells, total.shape[2]))
        across = place.stop - place.start
        total[:-2, :, place] += weighted[k, :, :, :across]
        if painted.novelty is not None:
            total[-2, :, place] += weights[k, :, :across] * painted.novelty[k]
        total[-1, :, place] += weights[k, :, :across]


def _strip(
    laid: Layout,
    row: int,
    total: NDArray[np.float32],
    asked: NDArray[np.bool_],
    validity: NDArray[np.uint8],
    novel: bool,
) -> Strip:
    weight = np.where(total[-1] > 0, total[-1], np.float32(np.nan)).astype(np.float32)
    pixels = validity[: total.shape[1] * laid.stride]
    return Strip(
        row=row,
        probabilities=np.divide(total[:-2], weight, dtype=np.float32),
        novelty=total[-2] / weight if novel else None,
        inside=asked,
        read=_share(pixels == READ, laid),
        unreadable=_share(pixels == UNREADABLE, laid),
    )


def _share(pixels: NDArray[np.bool_], laid: Layout) -> NDArray[np.float32]:
    """Share of each cell's pixels inside the raster that are set."""
    if laid.stride == 1:
        return pixels.astype(np.float32)
    if pixels.all() or not pixels.any():
        shape = tuple(-(-side // laid.stride) for side in pixels.shape)
        return np.full(shape, pixels.flat[0], np.float32)
    down, across = (np.arange(0, side, laid.stride) for side in pixels.shape)
    counts = np.add.reduceat(np.add.reduceat(pixels, down, 0, np.int32), across, 1)
    sizes = np.outer(*(np.diff([*starts, side]) for starts, side in zip((down, across), pixels.shape, strict=True)))
    return (counts / sizes).astype(np.float32)


def _check(painted: Painted, shape: tuple[int, int, int, int]) -> None:
    found = painted.probabilities
    if found.shape != shape:
        raise DataError(
            f"the predictor's answer has shape {found.shape}; expected is {shape}, one per tile, label and cell"
        )
    if not np.isfinite(found).all():
        raise DataError("the predictor's answer has numbers that are not finite; do not use this model here")
