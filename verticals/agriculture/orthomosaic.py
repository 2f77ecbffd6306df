"""An orthomosaic and its boundary in, blocks as PNG and tiles as Samples out; every hectare is seen or told."""

from pathlib import Path
from typing import Any

import numpy as np

from shared.data import images
from shared.data.cut_frames import FRAMES
from shared.data.tiles import Tile, grid
from shared.errors import DataError, LoupeError, Problem, require
from shared.records import Finding, Provenance, Sample
from verticals.agriculture import blocks, truth
from verticals.agriculture.blocks import BLOCK_M, LEAST_TILES, Block, Source
from verticals.agriculture.harvest import Harvest, tell_hectares
from verticals.agriculture.mapping.area import M2_PER_HECTARE, hectares
from verticals.agriculture.raster import boundaries, georeference, placing
from verticals.agriculture.raster.rasters import open_raster
from verticals.agriculture.shared_boundary import LEAST_HA, Shared
from verticals.agriculture.taxonomy import terms

LEAST_SEEN = 0.5
"""Share of a core's field that must have been flown and read; below it the whole core is NOT EXAMINED."""
_WHY = {
    "not flown": "were not flown and are NOT EXAMINED; fly them again or walk them",
    "damaged": "are damaged in the file and are NOT EXAMINED; copy or export it again",
    "beyond the raster": "lie beyond the raster and are NOT EXAMINED; fly them too",
}


def cut(path: Path, name: str, harvest: Harvest, *, tile: int, halo: int, shared: Shared | None = None) -> None:
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
        shared: The boundary that it has together with other rasters: what lies beyond all of them is told there.

    Raises:
        DataError: The raster, its boundary or its truth cannot be used.
    """
    beside = truth.companions(path)
    with (
        open_raster(path) as raster,
        truth.open_truth(beside["truth"], beside["points"], raster.facts) as (reader, codes),
    ):
        facts = raster.facts
        drawn = boundaries.read(beside["boundary"]) if beside["boundary"] else None
        fields = placing.place(drawn, facts) if drawn else None
        told = (drawn if shared else fields) or fields
        source = Source(
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
        harvest.remarks += [Problem(name, text) for text in (*facts.remarks, *(told.remarks if told else ()))]
        before = len(harvest.samples)
        for block in blocks.each(source, tile):
            _take(source, block, harvest, tile=tile, halo=halo)
        if shared is None:
            _beyond(source)
        if len(harvest.samples) == before and not source.lost:
            raise DataError(f"{path}: holds no pixel with a value: nothing was flown; export the orthomosaic again")
        _account(source, harvest)
        harvest.kinds["orthomosaics"] += 1
        if shared is not None:
            shared.took(name, _extent(source), facts.crs)


def refuse(path: Path, name: str, harvest: Harvest, error: LoupeError, shared: Shared | None = None) -> None:
    """Count the hectares of a field whose orthomosaic cannot be used, where its boundary tells them.

    Of several rasters with one boundary what none of those that could be used shows is counted at the end, once.
    """
    if shared is not None:
        harvest.not_examined(name, str(error))
        return
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


def _take(source: Source, block: Block, harvest: Harvest, *, tile: int, halo: int) -> None:
    """Write one block's PNG and add its tiles."""
    kept: list[Tile] = []
    lost: list[Tile] = []
    for cell in blocks.merged(grid(block.box.width, block.box.height, tile=tile, halo=halo)):
        inside = blocks.slices(cell.core)
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


def _written(source: Source, block: Block, harvest: Harvest) -> tuple[str, str] | None:
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


def _lose(source: Source, block: Block, cell: Tile) -> None:
    inside = blocks.slices(cell.core)
    wanted = block.field[inside] > 0
    damaged = int(block.damaged[inside].sum())
    reason = "damaged" if 2 * damaged >= int((wanted & ~block.seen[inside]).sum()) and damaged else "not flown"
    key = blocks.owner(source, block, cell.core), reason
    source.lost[key] += float(wanted.sum()) * source.pixel_m2
    for code, m2 in truth.areas_m2(block.classes[inside], source.codes, source.pixel_m2).items():
        source.lost_truth[key][code] += m2


def _keep(source: Source, block: Block, cell: Tile, harvest: Harvest, written: tuple[str, str], tile: int) -> None:
    inside = blocks.slices(cell.core)
    wanted, seen = int((block.field[inside] > 0).sum()), int(block.seen[inside].sum())
    frame = blocks.frame_name(source, block, cell, tile)
    sample = _sample(source, block, cell, frame, written)
    harvest.samples.append(sample)
    harvest.hectares["examined"] += seen * source.pixel_m2 / M2_PER_HECTARE
    if seen < wanted:
        harvest.skipped[frame] = 1 - seen / wanted
        harvest.hectares["not_examined"] += (wanted - seen) * source.pixel_m2 / M2_PER_HECTARE
    known = truth.areas_m2(block.classes[inside], source.codes, source.pixel_m2)
    harvest.truth += _findings(frame, known, sample.id, sized=not source.points)
    if not blocks.at_seam(source, block, cell, tile):
        core, window = (
            np.where(block.seen, block.classes, truth.NOTHING)[blocks.slices(b)] for b in (cell.core, cell.window)
        )
        word = truth.label(core, window, source.codes, points=source.points)
        if word is not None:
            harvest.labels[sample.id] = word


def _sample(source: Source, block: Block, cell: Tile, frame: str, written: tuple[str, str]) -> Sample:
    path, content = written
    window, facts = cell.window, source.raster.facts
    own = blocks.owner(source, block, cell.core)
    return Sample(
        id=f"{content[:16]}@{window.x0},{window.y0},{window.width},{window.height}",
        path=path,
        width=window.width,
        height=window.height,
        window=window,
        core=cell.core.shifted(-window.x0, -window.y0),
        frame=frame,
        origin=(0, 0),
        group=f"{source.name} {own} block {block.row},{block.column}",
        mm_per_px=(1000 * facts.gsd_m, 1000 * facts.gsd_m),
        provenance=_provenance(source, block, cell, own),
    )


def _provenance(source: Source, block: Block, cell: Tile, owner: str) -> Provenance:
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
        "field_m2": round(float((block.field[blocks.slices(cell.core)] > 0).sum()) * source.pixel_m2, 4),
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


def _beyond(source: Source) -> None:
    """Parts of the fields that lie beyond the raster."""
    if source.fields is None:
        return
    outside: Any = source.fields.fields.geometry.difference(_extent(source))
    crs = source.raster.facts.crs
    for owner, ha in zip(source.fields.fields.field, hectares(outside, crs), strict=True):
        if ha > LEAST_HA:
            source.lost[str(owner), "beyond the raster"] += float(ha) * M2_PER_HECTARE


def _extent(source: Source) -> Any:
    """What the raster covers, a polygon in its CRS."""
    facts = source.raster.facts
    a, b, c, d, e, f = facts.transform
    corners = [(0, 0), (facts.width, 0), (facts.width, facts.height), (0, facts.height)]
    return require("shapely", extra="agriculture").Polygon([(a * x + b * y + c, d * x + e * y + f) for x, y in corners])


def _account(source: Source, harvest: Harvest) -> None:
    for (owner, reason), m2 in source.lost.items():
        ha = m2 / M2_PER_HECTARE
        frame = f"{source.name}/{owner} {reason}"
        harvest.not_examined(frame, f"{tell_hectares(ha)} {_WHY[reason]}")
        harvest.hectares["not_examined"] += ha
        harvest.truth += _findings(frame, dict(source.lost_truth[owner, reason]), sized=not source.points)
    harvest.hectares["field"] = harvest.hectares["examined"] + harvest.hectares["not_examined"]
