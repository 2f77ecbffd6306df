"""An orthomosaic, a predictor and the field's boundary in, the map of the field out."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared.errors import ConfigError, DataError, require
from shared.inference.bundle import file_hash
from verticals.agriculture.mapping import blend, field_map, tiles
from verticals.agriculture.mapping.area import cell_areas, hectares
from verticals.agriculture.mapping.blend import Predictor, Strip
from verticals.agriculture.mapping.field_map import EXAMINED, NOT_EXAMINED, OUTSIDE, FieldMap, Grid, Rows
from verticals.agriculture.mapping.seam import SeamMeter
from verticals.agriculture.mapping.tiles import Layout
from verticals.agriculture.raster.pixels import Raster

_EXTRA = "agriculture"
_CANOPY_LEAST = 0.1
"""Below this probability of any canopy a cell has no severity: there is no leaf to speak of."""


@dataclass(frozen=True)
class Settings:
    """How a map is painted.

    Attributes:
        side: Pixels of a tile across and down, a multiple of ``stride``.
        stride: Pixels of a cell of the map.
        overlap: Share of a tile that it has in common with the next. Below a half, tiles of few cells show seams.
        novelty_limit: Cells with a higher novelty are NOT EXAMINED; None takes all.
        least_read: Cells with a smaller share of readable pixels are NOT EXAMINED.
        severity_pct: Severity of each label of the crop's canopy in per cent, e.g. 0 for healthy and 100 for diseased
            (then a cell's severity is the share of its canopy that is diseased); labels that are no canopy are left
            out. Empty for no severity.
    """

    side: int
    stride: int = 1
    overlap: float = 0.5
    novelty_limit: float | None = None
    least_read: float = 0.5
    severity_pct: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.least_read <= 1 or not (self.novelty_limit is None or self.novelty_limit > 0):
            raise ConfigError(
                f"least_read is {self.least_read} and novelty_limit {self.novelty_limit}; allowed are above 0 to 1, "
                "and above 0"
            )
        wrong = {k: v for k, v in self.severity_pct.items() if not 0 <= v <= 100}
        if wrong:
            raise ConfigError(
                f"severity of {', '.join(wrong)} is {', '.join(map(str, wrong.values()))}; allowed is 0 to 100"
            )


def paint(
    raster: Raster,
    predictor: Predictor,
    out: Path,
    *,
    labels: tuple[str, ...],
    settings: Settings,
    ok_label: str | None = None,
    boundary: Any = None,
    bundle: Mapping[str, Any] | None = None,
) -> FieldMap:
    """Map a field. Memory grows with the raster's width times a tile, not with its height.

    Cells whose centre lies in the field are asked for. They are NOT EXAMINED where less than ``least_read`` of their
    pixels are readable (nodata, damaged), or where the picture is too unlike the training images. What of the field
    lies beyond the raster is NOT EXAMINED too: it is in the hectares, though not on the map.

    Args:
        raster: The picture.
        predictor: See :data:`verticals.agriculture.mapping.blend.Predictor`.
        out: Folder of the map, made or replaced.
        labels: In the order of the predictor.
        settings: How.
        ok_label: The label that means "nothing wrong".
        boundary: GeoDataFrame with the (Multi)Polygons of the field in any CRS; None takes all of the raster
            that has data: without a boundary nothing tells a hole in the mosaic from what was never flown.
        bundle: Name and hash of the predictor, for the record.

    Raises:
        DataError: The field does not touch the raster or is smaller than a cell; no pixel has data and no
            field is given; a severity names no label; or what the parts say.
    """
    foreign = sorted(set(settings.severity_pct) - set(labels))
    if foreign:
        raise DataError(f"severity names {foreign[0]!r}, which is no label of the map; allowed are {', '.join(labels)}")
    facts = raster.facts
    laid = tiles.layout(facts.width, facts.height, side=settings.side, overlap=settings.overlap, stride=settings.stride)
    grid = _grid(laid, raster)
    outline = None if boundary is None else _outline(boundary, grid, facts.path)
    inside = None if outline is None else _inside(outline, grid)
    meter, reasons = SeamMeter(laid), _Reasons(grid)
    if outline is not None:
        reasons.beyond(outline)
    strips = blend.blended(raster, predictor, laid, labels=len(labels), inside=inside)
    shown = tqdm(strips, "mapping", total=len(laid.ys), unit="row of tiles", disable=None)
    painted = _painted(shown, labels, settings, facts.path, bounded=outline is not None, meter=meter, reasons=reasons)
    done = field_map.write(
        out,
        painted,
        grid,
        labels,
        ok_label=ok_label,
        severity=bool(settings.severity_pct),
        field_hectares=None if outline is None else float(hectares([outline], grid.crs)[0]),
        facts={
            "raster": {**provenance(facts.path), "given": dict(facts.given)},
            "bundle": dict(bundle or {}),
            "settings": asdict(settings),
            "seam": lambda: asdict(meter.result()),
            "not_examined_because": reasons.result,
        },
    )
    print(meter.result(), file=sys.stderr)
    return done


def provenance(path: Path) -> dict[str, Any]:
    """Name and SHA-256 of a raster, and whether it says of itself that it was drawn.

    A VRT is named by the hash over the hashes of itself and of the files it refers to.
    """
    with require("rasterio", extra=_EXTRA).open(path) as source:
        synthetic = source.tags().get("synthetic") == "true"
        files = [Path(name) for name in source.files if Path(name).is_file() and not name.endswith(".aux.xml")]
    hashes = [file_hash(file) for file in files or [path]]
    joined = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return {"path": str(path), "sha256": joined, "files": len(hashes), "synthetic": synthetic}


def _grid(laid: Layout, raster: Raster) -> Grid:
    a, b, c, d, e, f = raster.facts.transform
    k = laid.stride
    return Grid(raster.facts.crs, (a * k, b * k, c, d * k, e * k, f), laid.columns, laid.rows)


def _outline(boundary: Any, grid: Grid, path: Path) -> Any:
    """The field as one geometry in the map's CRS."""
    if boundary.crs is None:
        raise DataError("the field's boundary has no CRS; set the one it was drawn in")
    shapes = boundary.to_crs(grid.crs).geometry
    if not shapes.is_valid.all() or not np.isfinite(shapes.total_bounds).all():
        raise DataError(
            "the field's boundary has rings that cross themselves, or coordinates beyond its CRS; repair it, or look "
            "whether latitude and longitude are swapped"
        )
    outline = shapes.union_all()
    raster = _rectangle(grid)
    if not outline.intersects(raster):
        apart = outline.distance(raster)
        raise DataError(
            f"{path}: the field's boundary lies {apart:,.0f} m beside the raster; give the boundary of this field, or "
            "look whether its coordinates are swapped or in another CRS"
        )
    return outline


def _rectangle(grid: Grid) -> Any:
    """What the map covers, as a polygon in its CRS."""
    a, b, c, d, e, f = grid.transform
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    ring = [(a * x + b * y + c, d * x + e * y + f) for x, y in corners]
    return require("shapely", extra=_EXTRA).Polygon(ring)


def _inside(outline: Any, grid: Grid) -> "blend.Inside":
    """Which cells have their centre in the field, for any rows."""
    features, affine = require("rasterio.features", extra=_EXTRA), require("affine", extra=_EXTRA)
    a, b, c, d, e, f = grid.transform

    def inside(first: int, end: int) -> NDArray[np.bool_]:
        rows = min(end, grid.height) - first
        moved = affine.Affine(a, b, c + b * first, d, e, f + e * first)
        burnt = features.rasterize([(outline, 1)], (rows, grid.width), transform=moved, dtype="uint8")
        return np.asarray(burnt == 1, bool)

    return inside


def _painted(
    strips: Iterable[Strip], labels: tuple[str, ...], settings: Settings, path: Path, *, bounded: bool,
    meter: SeamMeter, reasons: "_Reasons",
) -> Iterator[Rows]:  # fmt: skip
    """Rows of the map from strips of blended tiles; no row of it says a word where nothing was examined."""
    anything = False
    for strip in strips:
        validity = _judged(strip, settings, bounded=bounded, reasons=reasons)
        rows = Rows(strip.row, strip.probabilities, validity, _severity(strip, labels, settings))
        for plane in rows.probabilities:
            plane[validity != EXAMINED] = np.nan
        meter.add(strip.row, rows.probabilities)
        anything = anything or bool(validity.any())
        yield rows
    if not anything:
        what = "the field has no cell's centre in it" if bounded else "no pixel of it has data"
        raise DataError(f"{path}: {what}; look whether the right raster, nodata and boundary were given")


def _judged(strip: Strip, settings: Settings, *, bounded: bool, reasons: "_Reasons") -> NDArray[np.uint8]:
    """The validity of a strip's cells."""
    asked = np.isfinite(strip.probabilities[0])
    damaged = strip.inside & (strip.unreadable > 1 - settings.least_read)
    void = strip.inside & ~damaged & ((strip.read < settings.least_read) | ~asked)
    novel = np.zeros_like(void)
    if settings.novelty_limit is not None and strip.novelty is not None:
        with np.errstate(invalid="ignore"):
            # Also where the novelty is not a number.
            novel = strip.inside & ~damaged & ~void & ~(strip.novelty <= settings.novelty_limit)
    outside = ~strip.inside
    if not bounded:
        outside, void = outside | (void & (strip.unreadable == 0)), void & (strip.unreadable > 0)
    reasons.add(strip.row, {"no data": void, "damaged": damaged, "unlike the training images": novel})
    validity = np.full(outside.shape, EXAMINED, np.uint8)
    validity[damaged | void | novel] = NOT_EXAMINED
    validity[outside] = OUTSIDE
    return validity


def _severity(strip: Strip, labels: tuple[str, ...], settings: Settings) -> NDArray[np.float32] | None:
    """Expected severity of the canopy: sum of p(label) severity(label) over that of p(label), both over the canopy."""
    if not settings.severity_pct:
        return None
    canopy = [(labels.index(name), pct) for name, pct in settings.severity_pct.items()]
    plants = sum((strip.probabilities[i] for i, _ in canopy), np.float32(0))
    diseased = sum((strip.probabilities[i] * np.float32(pct) for i, pct in canopy), np.float32(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        share: NDArray[np.float32] = np.where(plants >= _CANOPY_LEAST, diseased / plants, np.nan).astype(np.float32)
    return share


class _Reasons:
    """Hectares of the field that were not examined, by reason."""

    def __init__(self, grid: Grid) -> None:
        affine = require("affine", extra=_EXTRA).Affine(*grid.transform)
        self._areas = cell_areas(affine, grid.crs, grid.width, grid.height)
        self._grid = grid
        self._found: dict[str, float] = {}

    def beyond(self, outline: Any) -> None:
        """Count what of the field the raster does not cover."""
        self._found["beyond the raster"] = float(hectares([outline - _rectangle(self._grid)], self._grid.crs)[0])

    def add(self, row: int, cells: Mapping[str, NDArray[np.bool_]]) -> None:
        for why, where in cells.items():
            area = float(where.sum(0) @ self._areas.at(row + len(where) / 2))
            self._found[why] = self._found.get(why, 0.0) + area

    def result(self) -> dict[str, float]:
        return {why: area for why, area in self._found.items() if area > 0}
