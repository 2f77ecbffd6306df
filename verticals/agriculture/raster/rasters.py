"""An orthomosaic file in, an open raster on a north-up grid in metres out; memory does not grow with its size."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.errors import DataError, require
from verticals.agriculture.raster import bands as naming
from verticals.agriculture.raster import georeference, scaling
from verticals.agriculture.raster.bands import Band
from verticals.agriculture.raster.facts import RasterFacts
from verticals.agriculture.raster.georeference import Georeference, Geotransform
from verticals.agriculture.raster.given import settle
from verticals.agriculture.raster.pixels import Raster

CACHE_BYTES, WARP_MB = 256 * 2**20, 64
"""GDAL's block cache and warp buffer. A row of 512 px tiles of a raster 40,000 px wide with four bands of 16 bit has
164 MB. Rasterio takes the first in bytes where GDAL itself takes a small number for megabytes."""
DRIVERS = ("GTiff", "VRT")
BLANK = 0.02
"""Share of pure black or white pixels above which a raster without mask gets a remark: shadow and glare are hardly ever
exactly that."""
_REMOTE = ("/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiad", "/vsioss", "/vsiswift", "/vsiwebhdfs", "http", "ftp")


@contextmanager
def open_raster(
    path: Path,
    *,
    crs: str | None = None,
    bands: str | Sequence[str] | None = None,
    nodata: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Iterator[Raster]:
    """Open a GeoTIFF, COG or VRT for reading by windows.

    Args:
        path: The file.
        crs: CRS of the file, in place of what it says (``--crs``), e.g. ``"EPSG:32633"``. Like bands and nodata it can
            stand in a file beside it, see :mod:`verticals.agriculture.raster.given`.
        bands: Names of bands, in place of what it says (``--bands``); see
            :func:`verticals.agriculture.raster.bands.given_names`.
        nodata: Value that stands for "nothing here" in all colour bands, in place of what the file says (``--nodata``).
        limits: Values that become 0 and 255 where the bands are not 8 bit, e.g. those of an earlier flight; None takes
            the percentiles of :mod:`verticals.agriculture.raster.scaling`.

    Raises:
        DataError: It is no such file, lies nowhere on the ground, or its pixels are no numbers; see
            :func:`verticals.agriculture.raster.georeference.settle`.
        ConfigError: The file beside it says something that is not allowed.
    """
    said = settle(path, bands=bands, crs=crs, nodata=nodata)
    nodata = said.nodata
    rasterio = require("rasterio", extra="agriculture")
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), _opened(path) as source:
        wkt = source.crs.to_wkt() if source.crs else None
        affine: Geotransform = tuple(source.transform)[:6]
        place = georeference.settle(path, wkt, affine, (source.width, source.height), given=said.crs or None)
        known = _bands(path, source, said.bands)

        @contextmanager
        def again() -> Iterator[Any]:
            with _opened(path) as fresh, _grid(fresh, place, nodata) as grid:
                yield grid

        with again() as grid:
            # The look at some pixels has a handle of its own: what it leaves in the cache would hide damage.
            facts = _scaled(_facts(path, source, grid, known, place, nodata), source, limits)
            holes, told = _unwritten(facts, source)
            remarks = (*facts.remarks, *told, *_absent(source))
            yield Raster(replace(facts, remarks=remarks, given=said.said), grid, again, holes)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    rasterio = require("rasterio", extra="agriculture")
    errors = require("rasterio.errors", extra="agriculture")
    if not path.is_file():
        raise DataError(f"{path}: does not exist or is no file; give an orthomosaic as GeoTIFF, COG or VRT")
    try:
        with warnings.catch_warnings():
            # A missing geotransform is refused with a sentence of its own.
            warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
            source = rasterio.open(path, sharing=False)
    except errors.RasterioIOError as error:
        raise DataError(
            f"{path}: cannot be opened as GeoTIFF, COG or VRT ({error}); export or copy it again"
        ) from error
    with source:
        if source.driver not in DRIVERS:
            raise DataError(
                f"{path}: is a {source.driver} file; allowed are GeoTIFF, COG and VRT: export it as GeoTIFF"
            )
        remote = [name for name in source.files if name.startswith(_REMOTE)]
        if remote:
            raise DataError(
                f"{path}: refers to {remote[0]} on the network; only local files are read: download it first"
            )
        if source.gcps[0] and not source.crs:
            raise DataError(
                f"{path}: is placed by {len(source.gcps[0])} ground control points only; rectify it first, "
                "e.g. with gdalwarp -tps -t_srs"
            )
        yield source


def _bands(path: Path, source: Any, given: str) -> tuple[Band, ...]:
    colours = [c.name for c in source.colorinterp]
    kinds = set(source.dtypes)
    if any("complex" in kind for kind in kinds):
        raise DataError(
            f"{path}: its pixels are {', '.join(sorted(kinds))}; allowed are whole and decimal numbers: export it again"
        )
    if "palette" in colours:
        raise DataError(f"{path}: has a colour table; expand it first, e.g. with gdal_translate -expand rgb")
    described = [text or "" for text in source.descriptions]
    tags = [source.tags(i, ns="IMAGERY") for i in source.indexes]
    wavelengths = [1000 * float(tag.get("CENTRAL_WAVELENGTH_UM", 0)) for tag in tags]
    names = naming.names(described, colours, wavelengths)
    names = naming.given_names(path, given, names) if given else names
    rows = zip(
        source.indexes,
        names,
        described,
        colours,
        source.dtypes,
        source.nodatavals,
        source.scales,
        source.offsets,
        strict=True,
    )
    return tuple(Band(*row) for row in rows)


@contextmanager
def _grid(source: Any, place: Georeference, nodata: float | None) -> Iterator[Any]:
    """The file itself, or a warp of it onto the grid to work on."""
    if not place.warp:
        with nullcontext(source) as grid:
            yield grid
        return
    vrt = require("rasterio.vrt", extra="agriculture").WarpedVRT
    bilinear = require("rasterio.enums", extra="agriculture").Resampling.bilinear
    has_alpha = any(c.name == "alpha" for c in source.colorinterp)
    void = {} if nodata is None else {"src_nodata": nodata}
    with vrt(
        source,
        src_crs=place.source_crs,
        crs=place.crs,
        resampling=bilinear,
        add_alpha=not has_alpha,
        warp_mem_limit=WARP_MB,
        **void,
    ) as grid:
        yield grid


def _facts(
    path: Path, source: Any, grid: Any, bands: tuple[Band, ...], place: Georeference, nodata: float | None
) -> RasterFacts:
    rgb, sentence = naming.picture(path, bands)
    flags = {flag.name for band in source.mask_flag_enums for flag in band}
    words = {"alpha": "alpha", "per_dataset": "mask band", "nodata": "nodata"}
    mask = next((word for flag, word in words.items() if flag in flags), "none")
    if any(band.name == "alpha" for band in bands):
        mask = "alpha"
    transform: Geotransform = tuple(grid.transform)[:6]
    gsd_m = place.gsd_m
    if place.warp:
        gsd_m = georeference.gsd_m(place.crs, transform, (grid.width, grid.height))
    if nodata is not None:
        bands = tuple(band if band.name == "alpha" else replace(band, nodata=nodata) for band in bands)
    return RasterFacts(
        path=path,
        width=grid.width,
        height=grid.height,
        bands=bands,
        rgb=rgb,
        crs=place.crs,
        transform=transform,
        gsd_m=gsd_m,
        source_crs=place.source_crs,
        warped=place.warp,
        mask="nodata" if nodata is not None else mask,
        nodata=nodata,
        limits=None,
        remarks=(*place.remarks, *([sentence] if sentence else [])),
    )


def _scaled(facts: RasterFacts, source: Any, limits: tuple[float, float] | None) -> RasterFacts:
    """The facts with limits of the picture, and what a look at some of its pixels tells."""
    if facts.rgb is None:
        return facts
    eight_bit = all(facts.bands[i - 1].dtype == "uint8" for i in facts.rgb)
    if eight_bit and facts.mask != "none":
        return facts
    values, where = scaling.sample(source, facts.rgb, facts.nodata)
    remarks = facts.remarks
    for word, value in (("black", 0), ("white", 255)) if facts.mask == "none" else ():
        share = scaling.share(values, value)
        if share > BLANK and (eight_bit or value == 0):
            told = (
                f"has no alpha, mask or nodata, and {share:.0%} of {where} is pure {word}: if nothing was flown there"
            )
            remarks += (f"{told}, say so with --nodata {value}",)
    if eight_bit:
        return replace(facts, remarks=remarks)
    found = limits or scaling.limits(values)
    if found is None:
        return replace(facts, limits=(0.0, 1.0), remarks=(*remarks, f"no pixel of {where} has a value"))
    low, high = scaling.PERCENTILES
    source_words = "as given" if limits else f"percentiles {low:g} and {high:g} of {where}, its three bands together"
    if found[0] == found[1]:
        return replace(
            facts, limits=found, remarks=(*remarks, f"nearly all values are {found[0]:.6g}: nothing is seen")
        )
    told = f"values {found[0]:.6g} to {found[1]:.6g} ({source_words}) become 0 to 255 in the picture"
    return replace(facts, limits=found, remarks=(*remarks, told))


def _absent(source: Any) -> tuple[str, ...]:
    """The remark about files that a VRT is made of and that are not there."""
    lost = [name for name in source.files if not name.startswith("/vsi") and not Path(name).exists()]
    if not lost:
        return ()
    return (
        f"{len(lost)} of the {len(source.files) - 1} files it is made of are missing: their ground is NOT EXAMINED",
    )


def _unwritten(facts: RasterFacts, source: Any) -> tuple[frozenset[tuple[int, int]], tuple[str, ...]]:
    """(row, column) of TIFF blocks without bytes, which GDAL reads as black, and the remark about them.

    Where a mask tells what was flown such a block is simply empty ground.

    Raises:
        DataError: There are some and the raster is warped, where they can no longer be told from black ground.
    """
    if facts.mask != "none" or source.driver != "GTiff":
        return frozenset(), ()
    high, wide = source.block_shapes[0]
    rows, columns = -(-source.height // high), -(-source.width // wide)
    tag = source.get_tag_item
    # Interleaved by pixel the bands share their blocks.
    bands = (1,) if source.interleaving and source.interleaving.name == "pixel" else source.indexes
    holes = frozenset(
        (row, column)
        for row in range(rows)
        for column in range(columns)
        if any(tag(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band) is None for band in bands)
    )
    if not holes:
        return holes, ()
    told = f"{len(holes)} of its {rows * columns} blocks were never written (an interrupted export or copy)"
    if facts.warped:
        raise DataError(f"{facts.path}: {told}; export or copy it again")
    return holes, (f"{told}: they are NOT EXAMINED",)
