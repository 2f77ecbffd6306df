"""An open orthomosaic in, its blocks with the tiles of each out: what a split keeps whole, and which tile is whose."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.data.tiles import Tile
from shared.records import Box
from verticals.agriculture import truth
from verticals.agriculture.raster import placing
from verticals.agriculture.raster.boundaries import Boundaries
from verticals.agriculture.raster.pixels import READ, UNREADABLE, Raster

TILE_PX, HALO_PX = 64, 16
"""At 3 cm a core of 1.9 m, between a sprayer's nozzles and its sections; the halo shows what goes on around it."""
BLOCK_M = 15.0
"""Side of a block in metres, some correlation lengths of a patch of a few metres. Blocks are what a split keeps
whole: no window reaches into another block, and the last row and column of tiles before another block stay without a
label, so that a labelled tile never touches one of another block. What a model does on a field that it has never
seen is still less than blocks promise (benchmarks/field_gap.py)."""
LEAST_TILES = 3
"""Tiles along a block at least, where :data:`BLOCK_M` would be less: two of them labelled."""


@dataclass(frozen=True)
class Source:
    """One orthomosaic with all that belongs to it.

    Attributes:
        name: The beginning of its frames' names.
        raster: Open.
        fields: On its grid, None where no boundary came with it.
        read_truth: Reads classes of a window.
        codes: Codes of the taxonomy by class.
        points: Whether the truth is single points.
        synthetic: Whether the file says that it was drawn.
        pixel_m2: Area of a pixel on the ellipsoid, square metres.
        tiles: Tiles along a block.
        lost: Square metres of the field that nobody looks at, by field and reason.
        lost_truth: What is known to be there, square metres of each code.
    """

    name: str
    raster: Raster
    fields: Boundaries | None
    read_truth: truth.Reader
    codes: tuple[str, ...]
    points: bool
    synthetic: bool
    pixel_m2: float
    tiles: int
    lost: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    lost_truth: dict[tuple[str, str], dict[str, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )


@dataclass(frozen=True)
class Block:
    """What is known of one block.

    Attributes:
        row: Number of the row of blocks, from 0.
        column: Likewise.
        box: In the raster's pixels.
        rgb: ``(rows, columns, 3)`` uint8.
        field: ``(rows, columns)`` uint16, 0 outside, else the number of the field from 1.
        seen: ``(rows, columns)`` bool, in the field, flown and read.
        damaged: ``(rows, columns)`` bool, in the field and unreadable.
        classes: ``(rows, columns)`` int16, see :mod:`verticals.agriculture.truth`.
    """

    row: int
    column: int
    box: Box
    rgb: NDArray[np.uint8]
    field: NDArray[np.uint16]
    seen: NDArray[np.bool_]
    damaged: NDArray[np.bool_]
    classes: truth.Classes


def each(source: Source, tile: int) -> Iterator[Block]:
    """Blocks that hold a part of the field, from the top left."""
    facts, side = source.raster.facts, source.tiles * tile
    for row, y in enumerate(range(0, facts.height, side)):
        for column, x in enumerate(range(0, facts.width, side)):
            box = Box(x, y, min(x + side, facts.width), min(y + side, facts.height))
            owned = None if source.fields is None else placing.mask(source.fields, facts.transform, box)
            if owned is not None and not owned.any():
                continue
            pixels = source.raster.read(box)
            if owned is None:
                owned = (pixels.validity != 0).astype(np.uint16)
            if owned.any():
                seen = (pixels.validity == READ) & (owned > 0)
                damaged = (pixels.validity == UNREADABLE) & (owned > 0)
                classes = np.where(owned > 0, source.read_truth(box), truth.NOTHING).astype(np.int16)
                yield Block(row, column, box, pixels.rgb, owned, seen, damaged, classes)


def merged(cells: Iterable[Tile]) -> list[Tile]:
    """Tiles that look at the same window as one: two Samples of the same pixels would share one id."""
    cores: dict[Box, Box] = {}
    for cell in cells:
        cores[cell.window] = cores[cell.window].union(cell.core) if cell.window in cores else cell.core
    return [Tile(window, core) for window, core in cores.items()]


def slices(box: Box) -> tuple[slice, slice]:
    """Rows and columns of a box, to index an array with."""
    return slice(box.y0, box.y1), slice(box.x0, box.x1)


def owner(source: Source, block: Block, core: Box) -> str:
    """The field that has most of the core."""
    counts = np.bincount(block.field[slices(core)].ravel())
    counts[0] = 0
    return "field" if source.fields is None else str(source.fields.fields.field.iloc[int(counts.argmax()) - 1])


def frame_name(source: Source, block: Block, cell: Tile, tile: int) -> str:
    """Name of a tile: the raster and its place on the grid of cores."""
    row, column = (block.box.y0 + cell.core.y0) // tile, (block.box.x0 + cell.core.x0) // tile
    return f"{source.name}/r{row:04d}c{column:04d}"


def at_seam(source: Source, block: Block, cell: Tile, tile: int) -> bool:
    """Whether a tile is in the last row or column before another block."""
    last = (source.tiles - 1) * tile
    facts = source.raster.facts
    right = cell.core.x0 >= last and block.box.x1 < facts.width
    return right or (cell.core.y0 >= last and block.box.y1 < facts.height)
