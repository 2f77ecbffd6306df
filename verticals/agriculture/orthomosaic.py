"""An orthomosaic and its boundary in, blocks as PNG and tiles as Samples out; every hectare is seen or told."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data import images
from shared.data.tiles import Tile, grid
from shared.errors import DataError, LoupeError, Problem, require
from shared.records import Box, Finding, Provenance, Sample
from verticals.agriculture import truth
from verticals.agriculture.harvest import FRAMES, Harvest, tell_hectares
from verticals.agriculture.mapping.area import M2_PER_HECTARE, hectares
from verticals.agriculture.raster import boundaries, georeference, placing
from verticals.agriculture.raster.boundaries import Boundaries
from verticals.agriculture.raster.pixels import READ, UNREADABLE, Raster
from verticals.agriculture.raster.rasters import open_raster
from verticals.agriculture.taxonomy import terms

TILE_PX, HALO_PX = 64, 16
"""At 3 cm a core of 1.9 m, between a sprayer's nozzles and its sections; the halo shows what goes on around it."""
BLOCK_M = 15.0
"""Side of a block in metres, some correlation lengths of a patch of a few metres. Blocks are what a split keeps
whole: no window reaches into another block, and the last row and column of tiles before another block stay without a
label, so that a labelled tile never touches one of another block."""
LEAST_TILES = 3
"""Tiles along a block at least, where :data:`BLOCK_M` would be less: two of them labelled."""
LEAST_SEEN = 0.5
"""Share of a core's field that must have been flown and read; below it the whole core is NOT EXAMINED."""
_WHY = {
    "not flown": "were not flown and are NOT EXAMINED; fly them again or walk them",
    "damaged": "are damaged in the file and are NOT EXAMINED; copy or export it again",
    "beyond the raster": "lie beyond the raster and are NOT EXAMINED; fly them too",
}


@dataclass(frozen=True)
class _Source:
    """One orthomosaic with all that belongs to it."""

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
class _Block:
    """What is known of one block, ``(rows, columns)`` each."""

    row: int
    column: int
    box: Box
    rgb: NDArray[np.uint8]
    field: NDArray[np.uint16]
    seen: NDArray[np.bool_]
    damaged: NDArray[np.bool_]
    classes: truth.Classes


def cut(path: Path, name: str, harvest: Harvest, *, tile: int, halo: int) -> None:
    """Cut one orthomosaic into blocks and tiles.

    A tile is one frame: what is decided about it, it is sprayed, walked or left. Parts of the field that were not
    flown, cannot be read, or lie beyond the raster become Problems with their hectares. Without a boundary everything
    that was flown is the field.

    Args:
        path: GeoTIFF, COG or VRT; truth and boundary beside it, see :func:`verticals.agriculture.truth.companions`.
        name: Of the raster, the beginning of its frames' names.
        harvest: What is added to.
        tile: Side of a core in pixels.
        halo: Pixels around a core.

    Raises:
        DataError: The raster, its boundary or its truth cannot be used.
    """
    beside = truth.companions(path)
    with (
        open_raster(path) as raster,
        truth.open_truth(beside["truth"], beside["points"], raster.facts) as (reader, codes),
    ):
        facts = raster.facts
        fields = placing.place(boundaries.read(beside["boundary"]), facts) if beside["boundary"] else None
        source = _Source(
            name=name,
            raster=raster,
            fields=fields,
            read_truth=reader,
            codes=codes,
            points=beside["truth"] is None and beside["points"] is not None,
            synthetic=_synthetic(path),
            pixel_m2=facts.gsd_m**2,
            tiles=max(LEAST_TILES, round(BLOCK_M / (tile * facts.gsd_m))),
        )
        harvest.remarks += [Problem(name, text) for text in (*facts.remarks, *(fields.remarks if fields else ()))]
        before = len(harvest.samples)
        for block in _blocks(source, tile):
            _take(source, block, harvest, tile=tile, halo=halo)
        _beyond(source)
        if len(harvest.samples) == before and not source.lost:
            raise DataError(f"{path}: holds no pixel with a value: nothing was flown; export the orthomosaic again")
        _account(source, harvest)
        harvest.kinds["orthomosaics"] += 1


def refuse(path: Path, name: str, harvest: Harvest, error: LoupeError) -> None:
    """Count the hectares of a field whose orthomosaic cannot be used, where its boundary tells them."""
    beside, why = truth.companions(path)["boundary"], str(error)
    try:
        fields = boundaries.read(beside).fields if beside is not None else None
    except LoupeError:
        fields = None
    if fields is not None:
        ha = float(hectares(fields.geometry, fields.crs).sum())
        harvest.hectares["not_examined"] += ha
        harvest.hectares["field"] = harvest.hectares["examined"] + harvest.hectares["not_examined"]
        why = f"{why}; {tell_hectares(ha)} are NOT EXAMINED"
    harvest.not_examined(name, why)


def _synthetic(path: Path) -> bool:
    with require("rasterio", extra="agriculture").open(path) as opened:
        return str(opened.tags().get("synthetic", "")).lower() == "true"


def _blocks(source: _Source, tile: int) -> Iterator[_Block]:
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
                yield _Block(row, column, box, pixels.rgb, owned, seen, damaged, classes)


def _take(source: _Source, block: _Block, harvest: Harvest, *, tile: int, halo: int) -> None:
    """Write one block's PNG and add its tiles."""
    kept: list[Tile] = []
    lost: list[Tile] = []
    for cell in _merged(grid(block.box.width, block.box.height, tile=tile, halo=halo)):
        inside = _slices(cell.core)
        wanted, seen = int((block.field[inside] > 0).sum()), int(block.seen[inside].sum())
        if wanted:
            (kept if seen >= LEAST_SEEN * wanted and seen else lost).append(cell)
    written = _written(source, block, harvest) if kept else None
    if written is None:
        lost, kept = [*lost, *kept], []
    for cell in lost:
        _lose(source, block, cell)
    for cell in kept:
        assert written is not None
        _keep(source, block, cell, harvest, written, tile)


def _written(source: _Source, block: _Block, harvest: Harvest) -> tuple[str, str] | None:
    """Path and content hash of the block's PNG; None where it is a copy of another."""
    path = f"{source.name}/b{block.row:03d}-{block.column:03d}.png"
    images.write_png(harvest.folder / path, block.rgb)
    try:
        return f"{FRAMES}/{path}", harvest.admit(
            harvest.folder / path, f"{source.name} block {block.row},{block.column}"
        )
    except DataError as error:
        harvest.remarks.append(Problem(source.name, str(error)))
        return None


def _merged(cells: Iterable[Tile]) -> list[Tile]:
    """Tiles that look at the same window as one: two Samples of the same pixels would share one id."""
    cores: dict[Box, Box] = {}
    for cell in cells:
        cores[cell.window] = cores[cell.window].union(cell.core) if cell.window in cores else cell.core
    return [Tile(window, core) for window, core in cores.items()]


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box.y0, box.y1), slice(box.x0, box.x1)


def _field_name(source: _Source, block: _Block, core: Box) -> str:
    """The field that has most of the core."""
    counts = np.bincount(block.field[_slices(core)].ravel())
    counts[0] = 0
    return "field" if source.fields is None else str(source.fields.fields.field.iloc[int(counts.argmax()) - 1])


def _lose(source: _Source, block: _Block, cell: Tile) -> None:
    inside = _slices(cell.core)
    wanted = block.field[inside] > 0
    damaged = int(block.damaged[inside].sum())
    reason = "damaged" if 2 * damaged >= int((wanted & ~block.seen[inside]).sum()) and damaged else "not flown"
    key = _field_name(source, block, cell.core), reason
    source.lost[key] += float(wanted.sum()) * source.pixel_m2
    for code, m2 in truth.areas_m2(block.classes[inside], source.codes, source.pixel_m2).items():
        source.lost_truth[key][code] += m2


def _keep(source: _Source, block: _Block, cell: Tile, harvest: Harvest, written: tuple[str, str], tile: int) -> None:
    inside = _slices(cell.core)
    wanted, seen = int((block.field[inside] > 0).sum()), int(block.seen[inside].sum())
    frame = _frame(source, block, cell, tile)
    sample = _sample(source, block, cell, frame, written)
    harvest.samples.append(sample)
    harvest.hectares["examined"] += seen * source.pixel_m2 / M2_PER_HECTARE
    if seen < wanted:
        harvest.skipped[frame] = 1 - seen / wanted
        harvest.hectares["not_examined"] += (wanted - seen) * source.pixel_m2 / M2_PER_HECTARE
    known = truth.areas_m2(block.classes[inside], source.codes, source.pixel_m2)
    harvest.truth += _findings(frame, known, sample.id, sized=not source.points)
    if not _at_seam(source, block, cell, tile):
        core, window = (
            np.where(block.seen, block.classes, truth.NOTHING)[_slices(b)] for b in (cell.core, cell.window)
        )
        word = truth.label(core, window, source.codes, points=source.points)
        if word is not None:
            harvest.labels[sample.id] = word


def _frame(source: _Source, block: _Block, cell: Tile, tile: int) -> str:
    row, column = (block.box.y0 + cell.core.y0) // tile, (block.box.x0 + cell.core.x0) // tile
    return f"{source.name}/r{row:04d}c{column:04d}"


def _at_seam(source: _Source, block: _Block, cell: Tile, tile: int) -> bool:
    """Whether a tile is in the last row or column before another block."""
    last = (source.tiles - 1) * tile
    facts = source.raster.facts
    right = cell.core.x0 >= last and block.box.x1 < facts.width
    return right or (cell.core.y0 >= last and block.box.y1 < facts.height)


def _sample(source: _Source, block: _Block, cell: Tile, frame: str, written: tuple[str, str]) -> Sample:
    path, content = written
    window, facts = cell.window, source.raster.facts
    owner = _field_name(source, block, cell.core)
    return Sample(
        id=f"{content[:16]}@{window.x0},{window.y0},{window.width},{window.height}",
        path=path,
        width=window.width,
        height=window.height,
        window=window,
        core=cell.core.shifted(-window.x0, -window.y0),
        frame=frame,
        origin=(0, 0),
        group=f"{source.name} {owner} block {block.row},{block.column}",
        mm_per_px=(1000 * facts.gsd_m, 1000 * facts.gsd_m),
        provenance=_provenance(source, block, cell, owner),
    )


def _provenance(source: _Source, block: _Block, cell: Tile, owner: str) -> Provenance:
    """Where the core's middle lies, and how much of the field it holds."""
    facts = source.raster.facts
    a, b, c, d, e, f = facts.transform
    x_px, y_px = block.box.x0 + (cell.core.x0 + cell.core.x1) / 2, block.box.y0 + (cell.core.y0 + cell.core.y1) / 2
    x, y = a * x_px + b * y_px + c, d * x_px + e * y_px + f
    lon, lat = georeference.lonlat(require("pyproj", extra="agriculture").CRS.from_user_input(facts.crs), x, y)
    known: dict[str, str | int | float] = {
        "raster": facts.path.name,
        "field": owner,
        "crs": facts.crs,
        "x_m": round(x, 3),
        "y_m": round(y, 3),
        "lon": round(lon, 8),
        "lat": round(lat, 8),
        "field_m2": round(float((block.field[_slices(cell.core)] > 0).sum()) * source.pixel_m2, 4),
    }
    return {**known, "synthetic": True} if source.synthetic else known


def _findings(frame: str, areas_m2: dict[str, float], sample: str = "", *, sized: bool = True) -> list[Finding]:
    """What is known to be in a frame, largest area first; a point says what is there and not how much."""
    return [
        Finding(
            frame,
            code,
            probability=1.0,
            risk=float(terms.resolve(code).sought),
            area_mm2=m2 * 1e6 if sized else None,
            samples=(sample,) if sample else (),
        )
        for code, m2 in sorted(areas_m2.items(), key=lambda item: -item[1])
    ]


def _beyond(source: _Source) -> None:
    """Parts of the fields that lie beyond the raster."""
    if source.fields is None:
        return
    shapely, facts = require("shapely", extra="agriculture"), source.raster.facts
    a, b, c, d, e, f = facts.transform
    corners = [(0, 0), (facts.width, 0), (facts.width, facts.height), (0, facts.height)]
    extent = shapely.Polygon([(a * x + b * y + c, d * x + e * y + f) for x, y in corners])
    outside: Any = source.fields.fields.geometry.difference(extent)
    for owner, ha in zip(source.fields.fields.field, hectares(outside, facts.crs), strict=True):
        if ha > 1e-6:
            source.lost[str(owner), "beyond the raster"] += float(ha) * M2_PER_HECTARE


def _account(source: _Source, harvest: Harvest) -> None:
    for (owner, reason), m2 in source.lost.items():
        ha = m2 / M2_PER_HECTARE
        frame = f"{source.name}/{owner} {reason}"
        harvest.not_examined(frame, f"{tell_hectares(ha)} {_WHY[reason]}")
        harvest.hectares["not_examined"] += ha
        harvest.truth += _findings(frame, dict(source.lost_truth[owner, reason]), sized=not source.points)
    harvest.hectares["field"] = harvest.hectares["examined"] + harvest.hectares["not_examined"]
