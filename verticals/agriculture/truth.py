"""What is known about a field (a class raster or points) in, the labels of its tiles and their areas out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.errors import DataError, require
from shared.records import Box
from verticals.agriculture.raster.facts import RasterFacts
from verticals.agriculture.taxonomy import terms
from verticals.agriculture.taxonomy.terms import Kind

SICK_SHARE = 0.3
"""A condition owns a tile when it has this share of the core's plants (pixels that are not ground) ..."""
PLANTS = 0.1
"""... and plants cover this share of the core; the same for healthy."""
TRACE = 0.005
"""Share of a window, halo included, above which pixels of anything sought keep its tile from being healthy or ground: a
halo that shows disease must not teach the model that this is healthy."""
BARE = 0.98
"""A tile is ground when this share of its core is."""
KNOWN = 0.6
"""Share of a core that must lie in the field, be flown and have a known class before the tile gets a label."""
NOTHING = -1
"""Class of a pixel about which nothing is known."""

Classes = NDArray[np.int16]
Reader = Callable[[Box], Classes]


@contextmanager
def open_truth(
    raster: Path | None, points: Path | None, facts: RasterFacts
) -> Iterator[tuple[Reader, tuple[str, ...]]]:
    """Truth on the grid of an orthomosaic.

    Args:
        raster: Class raster (GeoTIFF) of any grid; what its values mean stands in its tag ``labels``, in order from 0,
            or beside it in ``<stem>.csv`` with ``value,label``.
        points: Table with ``label`` and either ``lon,lat`` (WGS 84) or ``x,y`` (the raster's CRS); read where there is
            no class raster. A point tells about the pixel it lies in.
        facts: Of the orthomosaic.

    Yields:
        A reader of windows, ``(rows, columns)`` int16 index into the codes or -1, and the codes of the taxonomy.

    Raises:
        DataError: It does not say what its values mean, or a label is unknown.
    """
    if raster is not None:
        with _open_classes(raster, facts) as opened:
            yield opened
    elif points is not None:
        yield _points(points, facts)
    else:
        yield lambda box: np.full((box.height, box.width), NOTHING, np.int16), ()


@contextmanager
def _open_classes(path: Path, facts: RasterFacts) -> Iterator[tuple[Reader, tuple[str, ...]]]:
    rasterio = require("rasterio", extra="agriculture")
    vrt = require("rasterio.vrt", extra="agriculture").WarpedVRT
    window = require("rasterio.windows", extra="agriculture").Window
    failed = require("rasterio.errors", extra="agriculture").RasterioError
    try:
        with rasterio.open(path) as source:
            words = _words(path, source.tags().get("labels", ""))
            codes = tuple(dict.fromkeys(words.values()))
            table = np.full(256, NOTHING, np.int16)
            for value, code in words.items():
                table[value] = codes.index(code)
            # Outside of the truth's own raster the warp fills in nodata; 255 is nobody's class.
            grid = vrt(
                source, crs=facts.crs, transform=rasterio.Affine(*facts.transform), width=facts.width,
                height=facts.height, nodata=255, dtype="uint8",
            )  # fmt: skip
            with grid as warped:

                def read(box: Box) -> Classes:
                    values = warped.read(1, window=window(box.x0, box.y0, box.width, box.height))
                    return np.asarray(table[values], np.int16)

                yield read, codes
    except failed as error:
        raise DataError(f"{path}: cannot be read as a class raster ({error}); export it again") from error


def _words(path: Path, tag: str) -> Mapping[int, str]:
    """Codes of the taxonomy by the raster's value."""
    beside = path.with_suffix(".csv")
    if beside.is_file():
        table = pd.read_csv(beside)
        if not {"value", "label"} <= set(table.columns):
            raise DataError(f"{beside}: has the columns {', '.join(table.columns)}; needed are value,label")
        named = {int(value): str(label) for value, label in zip(table.value, table.label, strict=True)}
    else:
        named = {value: word for value, word in enumerate(tag.split(",")) if word}
    if not named or min(named) < 0 or max(named) > 254:
        raise DataError(
            f"{path}: does not say what its values mean; allowed are values 0 to 254: give {beside.name} beside it "
            "with value,label, or a tag labels"
        )
    return {value: terms.resolve(word).code for value, word in named.items()}


def _points(path: Path, facts: RasterFacts) -> tuple[Reader, tuple[str, ...]]:
    table = pd.read_csv(path)
    degrees = {"lon", "lat"} <= set(table.columns)
    if "label" not in table.columns or not (degrees or {"x", "y"} <= set(table.columns)):
        raise DataError(f"{path}: has the columns {', '.join(table.columns)}; needed are label and lon,lat or x,y")
    east, north = (table[name].to_numpy(np.float64) for name in (("lon", "lat") if degrees else ("x", "y")))
    if degrees:
        pyproj = require("pyproj", extra="agriculture")
        east, north = pyproj.Transformer.from_crs("EPSG:4326", facts.crs, always_xy=True).transform(east, north)
    a, _, c, _, e, f = facts.transform
    column, row = np.floor((east - c) / a), np.floor((north - f) / e)
    words = [terms.resolve(str(word)).code for word in table.label]
    codes = tuple(dict.fromkeys(words))
    inside = (column >= 0) & (column < facts.width) & (row >= 0) & (row < facts.height)
    if not inside.any():
        raise DataError(f"{path}: none of its {len(table)} points lies in the raster; check the columns and the CRS")
    known = np.array([codes.index(word) for word in words], np.int16)[inside]
    at = row[inside].astype(int), column[inside].astype(int)

    def read(box: Box) -> Classes:
        found = np.full((box.height, box.width), NOTHING, np.int16)
        here = (at[0] >= box.y0) & (at[0] < box.y1) & (at[1] >= box.x0) & (at[1] < box.x1)
        found[at[0][here] - box.y0, at[1][here] - box.x0] = known[here]
        return found

    return read, codes


def label(core: Classes, window: Classes, codes: tuple[str, ...], *, points: bool) -> str | None:
    """The label that a tile gets, or None where it is a matter of opinion.

    Args:
        core: ``(h, w)`` classes of the core; -1 beside the field, where nothing was flown, or where nobody knows.
        window: ``(H, W)`` classes of the whole window, likewise.
        codes: Codes of the taxonomy by class.
        points: Whether the classes are single points: then the tile has their label where they agree.
    """
    counts = np.bincount(core[core != NOTHING], minlength=len(codes))
    if points:
        seen = np.flatnonzero(counts)
        return codes[seen[0]] if len(seen) == 1 else None
    if counts.sum() < KNOWN * core.size:
        return None
    entries = [terms.resolve(code) for code in codes]
    plants = int(sum(n for n, entry in zip(counts, entries, strict=True) if entry.kind is not Kind.GROUND))
    sought = [i for i, entry in enumerate(entries) if entry.sought]
    if np.isin(window, sought).mean() > TRACE:
        worst = max(sought, key=lambda i: counts[i])
        owned = counts[worst] >= SICK_SHARE * plants and plants >= PLANTS * core.size
        return codes[worst] if owned and counts[worst] else None
    largest = int(counts.argmax())
    if entries[largest].kind is Kind.GROUND and plants <= (1 - BARE) * counts.sum():
        return codes[largest]
    others = [i for i, entry in enumerate(entries) if entry.kind is not Kind.GROUND]
    if plants < PLANTS * core.size or not others:
        return None
    return codes[max(others, key=lambda i: counts[i])]


def areas_m2(core: Classes, codes: tuple[str, ...], pixel_m2: float) -> dict[str, float]:
    """Square metres of each code in a core, those that are there."""
    counts = np.bincount(core[core != NOTHING], minlength=len(codes))
    return {code: float(n) * pixel_m2 for code, n in zip(codes, counts, strict=True) if n}


def companions(path: Path) -> dict[str, Path | None]:
    """What lies beside an orthomosaic: ``truth`` (class raster), ``points`` and ``boundary``.

    Named ``<stem>.truth.tif``, ``<stem>.points.csv`` and ``<stem>.boundary.<ending>``, or without the stem for all
    rasters of the folder.
    """
    endings: dict[str, tuple[str, ...]] = {
        "truth": (".tif", ".tiff"),
        "points": (".csv",),
        "boundary": (".gpkg", ".geojson", ".json", ".shp", ".kml", ".fgb"),
    }

    def first(name: str) -> Path | None:
        tried = [path.with_name(stem + e) for stem in (f"{path.stem}.{name}", name) for e in endings[name]]
        return next((candidate for candidate in tried if candidate.is_file()), None)

    return {name: first(name) for name in endings}


def is_companion(path: Path) -> bool:
    """Whether a raster is truth of another one rather than an orthomosaic."""
    return path.stem.rpartition(".")[2] in ("truth", "severity")
