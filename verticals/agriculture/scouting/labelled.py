"""Observed points and the orthomosaic under them in, labelled tiles with a manifest out, for an update of the model."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shared import atomic
from shared.data import images, manifest
from shared.data.manifest import Manifest, Row
from shared.errors import ConfigError, DataError, Problem, require
from shared.records import Box, Sample
from verticals.agriculture.raster.pixels import READ, Raster
from verticals.agriculture.raster.rasters import open_raster
from verticals.agriculture.scouting.area_estimate import Design
from verticals.agriculture.scouting.observations import Observation, Observations

MANIFEST = "manifest.csv"
TILES = "tiles"
USE = {
    True: "the tiles may teach and judge: the points were chosen at random over the map",
    False: "the tiles only teach: the points were not chosen at random over the map, so that they can certify nothing",
}
"""What tiles are good for, by whether their points were chosen at random over the whole map."""
_LEAST_READ = 0.98


@dataclass(frozen=True)
class Cut:
    """How tiles are cut.

    Attributes:
        tile_px: Side of a tile in pixels of the orthomosaic, as the model was built for.
        block_m: Side of the blocks that a split keeps whole, metres; points of one block are alike.
    """

    tile_px: int = 96
    block_m: float = 15.0

    def __post_init__(self) -> None:
        if not (8 <= self.tile_px <= 4096 and 0 < self.block_m < math.inf):
            raise ConfigError(
                f"tile_px is {self.tile_px} and block_m {self.block_m:g}; allowed are 8 to 4096 px and above 0 m"
            )


def write(
    seen: Observations, crs: str, orthomosaic: Path, out: Path, how: Cut | None = None, *, design: Design
) -> tuple[Manifest, tuple[Problem, ...]]:
    """Write a tile around each point and the manifest, whole or not at all.

    A tile that reaches beyond the orthomosaic, or where something was not flown or cannot be read, is left out; so is
    one that shows the same pixels as another. Its group is the field and block, so that a split does not tear
    neighbours apart; tiles of neighbouring blocks may still touch. Only points chosen at random over the whole map may
    judge a model; all others teach (split ``train``), because a recall on places that the model pointed at is too good.

    Args:
        seen: Points.
        crs: Of their x and y.
        orthomosaic: What the map was made from.
        out: Folder, made or replaced.
        how: Sizes, None for the defaults.
        design: How the points were chosen.

    Returns:
        The manifest, its paths relative to ``out``, and the points without a tile.

    Raises:
        DataError: The orthomosaic cannot be read, or no point has a tile.
    """
    how = how or Cut()
    rows: list[Row] = []
    problems: list[Problem] = []
    with open_raster(orthomosaic) as raster, atomic.folder(out) as folder:
        known: dict[str, str] = {}
        for number, point in enumerate(seen.points):
            try:
                row = _row(raster, point, crs, folder, f"{number + 1:05d}", how)
                if row.sample.id in known:
                    raise DataError(f"shows the same pixels as {known[row.sample.id]}; one tile is kept")
                known[row.sample.id] = point.where
                rows.append(row if design is Design.RANDOM else replace(row, split="train"))
            except DataError as error:
                problems.append(Problem(point.where, str(error)))
        if not rows:
            raise DataError(
                f"{orthomosaic}: none of {len(seen.points)} points has a whole tile of {how.tile_px} px; "
                f"the first: {problems[0] if problems else 'there is no point'}"
            )
        manifest.save(Manifest(tuple(rows), folder, "agriculture"), folder / MANIFEST)
    return Manifest(tuple(rows), out, "agriculture"), tuple(problems)


def _row(raster: Raster, point: Observation, crs: str, folder: Path, name: str, how: Cut) -> Row:
    facts = raster.facts
    pyproj, affine = require("pyproj", extra="agriculture"), require("affine", extra="agriculture")
    x, y = pyproj.Transformer.from_crs(crs, facts.crs, always_xy=True).transform(point.x, point.y)
    back = ~affine.Affine(*facts.transform)
    column, row = back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f
    x0, y0 = (math.floor(v) - how.tile_px // 2 for v in (column, row))
    box = Box(x0, y0, x0 + how.tile_px, y0 + how.tile_px)
    if x0 < 0 or y0 < 0 or box.x1 > facts.width or box.y1 > facts.height:
        raise DataError(f"a tile of {how.tile_px} px around it reaches beyond the orthomosaic")
    pixels = raster.read(box)
    read = float(np.mean(pixels.validity == READ))
    if read < _LEAST_READ:
        raise DataError(f"only {read:.0%} of the tile around it was flown and can be read")
    path = folder / TILES / f"{name}.png"
    images.write_png(path, pixels.rgb)
    block = f"{math.floor(y / how.block_m)},{math.floor(x / how.block_m)}"
    sample = Sample(
        id=images.content_hash(path)[:16],
        path=f"{TILES}/{name}.png",
        width=how.tile_px,
        height=how.tile_px,
        frame=f"{facts.path.stem}/{name}",
        group=f"{point.group or facts.path.stem} block {block}",
        mm_per_px=(1000 * facts.gsd_m, 1000 * facts.gsd_m),
        provenance={
            "raster": facts.path.name,
            "crs": facts.crs,
            "x_m": round(x, 3),
            "y_m": round(y, 3),
            "seen": "walked",
        },
    )
    return Row(sample, point.label)
