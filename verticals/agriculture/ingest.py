"""Orthomosaics, frames of a drone and photographs of leaves in, tiles and pictures with what is known of them out."""

from collections import Counter
from pathlib import Path

from tqdm import tqdm

from shared.data import cut_frames, images
from shared.errors import ConfigError, DataError, LoupeError, Problem
from shared.vertical import Ingested
from verticals.agriculture import orthomosaic, photographs, shared_boundary, truth
from verticals.agriculture.blocks import HALO_PX, TILE_PX
from verticals.agriculture.harvest import Harvest
from verticals.agriculture.photographs import TABLE, Said
from verticals.agriculture.shared_boundary import Shared
from verticals.agriculture.taxonomy import terms

RASTERS = frozenset({".tif", ".tiff", ".vrt"})
_BESIDE = frozenset(
    {
        ".md", ".txt", ".json", ".html", ".pdf", ".yaml", ".yml", ".log", ".csv", ".gpkg", ".geojson", ".shp", ".shx",
        ".dbf", ".prj", ".cpg", ".kml", ".fgb", ".xml", ".ovr", ".tfw", ".gpx", ".toml",
    }
)  # fmt: skip
"""Endings of what lies beside pictures and is none; nobody needs to be told."""


def ingest(source: Path, out: Path, *, tile: int = TILE_PX, halo: int = HALO_PX) -> Ingested:
    """Make Samples of everything that shows a crop.

    - An orthomosaic (``.tif``, ``.vrt`` with a CRS) becomes tiles, each a frame of its own; see
      :func:`verticals.agriculture.orthomosaic.cut` for blocks, boundaries and truth beside it, and
      :mod:`verticals.agriculture.raster.given` for bands and CRS that a file does not tell.
    - A frame that a drone took becomes overlapping windows of one frame.
    - Any other picture is one photograph, labelled by ``labels.csv`` or by the folder it lies in.

    Pictures go to ``out/frames``, which is written whole or not at all.

    Args:
        source: A folder (searched deeply) or one file.
        out: Folder of the result.
        tile: Side of a core in pixels.
        halo: Pixels around a core.

    Returns:
        Samples with labels where truth is there; what is NOT EXAMINED and why, with its hectares.

    Raises:
        DataError: ``source`` does not exist or holds nothing to read, or ``out/frames`` holds somebody's files.
        ConfigError: ``tile`` or ``halo`` is out of range.
    """
    if tile < 16 or halo < 0:
        raise ConfigError(f"tile is {tile} and halo {halo}; allowed: tile >= 16 and halo >= 0, in pixels")
    if not source.exists():
        raise DataError(f"{source}: does not exist; give a folder of orthomosaics, frames or photographs, or one file")
    home = source if source.is_dir() else source.parent
    files, strays = _inputs(source, out)
    if not files:
        raise DataError(f"{source}: holds neither orthomosaics nor pictures; readable are {', '.join(_endings())}")
    cut_frames.check(out)
    names = _names(files, home)
    with cut_frames.folder(out) as folder:
        harvest = Harvest(folder)
        for path, what in strays:
            harvest.not_examined(path.relative_to(home).as_posix(), what)
        said = photographs.read_labels(home, harvest.remarks)
        shared = shared_boundary.groups([f for f in files if f.suffix.lower() in RASTERS])
        for path in tqdm(files, desc="cutting fields", unit="file", disable=None, leave=False):
            known = said.get(path.relative_to(home).as_posix())
            try:
                _take(path, names[path], home, harvest, known, tile, halo, shared.get(path))
            except LoupeError as error:
                harvest.not_examined(names[path], str(error))
        for one in {id(one): one for one in shared.values()}.values():
            one.account(one.boundary.relative_to(home).with_suffix("").as_posix(), harvest)
        missing = len(said.keys() - {f.relative_to(home).as_posix() for f in files})
        if missing:
            harvest.remarks.append(Problem(TABLE, f"names {missing} files that are not there; copy them beside it"))
    return harvest.result(len(files))


def _take(
    path: Path, name: str, home: Path, harvest: Harvest, said: Said | None, tile: int, halo: int,
    shared: Shared | None,
) -> None:  # fmt: skip
    if path.suffix.lower() in RASTERS and said is None:
        try:
            orthomosaic.cut(path, name, harvest, tile=tile, halo=halo, shared=shared)
        except LoupeError as error:
            orthomosaic.refuse(path, name, harvest, error, shared)
        return
    if said is None:
        folder = terms.find(path.parent.name) if path.parent != home else None
        said = Said(folder.code if folder else "")
    photographs.take(path, name, harvest, said, tile=tile, halo=halo)


def _endings() -> list[str]:
    return sorted(images.SUFFIXES | RASTERS)


def _inputs(source: Path, out: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files to read in order, and files that are neither input nor known company of one, with what to tell."""
    if source.is_file():
        return [source], []
    every = cut_frames.files_below(source, out)
    pictures = [f for f in every if f.suffix.lower() in images.SUFFIXES | RASTERS]
    built = {f for vrt in pictures if vrt.suffix.lower() == ".vrt" for f in _parts(vrt, pictures)}
    files = [f for f in pictures if f not in built and not truth.is_companion(f)]
    known = images.SUFFIXES | RASTERS | _BESIDE
    told = f"is neither an orthomosaic nor a picture; readable are {', '.join(_endings())}"
    foreign = [(f, f"ending {f.suffix!r} {told}") for f in every if f.suffix.lower() not in known]
    return files, [*foreign, *cut_frames.links_below(source, out)]


def _parts(vrt: Path, pictures: list[Path]) -> list[Path]:
    """The rasters of its folder that a VRT is put together from: they are read through it, once."""
    text = vrt.read_text(encoding="utf-8", errors="replace")
    return [f for f in pictures if f.parent == vrt.parent and f != vrt and f">{f.name}<" in text]


def _names(files: list[Path], home: Path) -> dict[Path, str]:
    """A name for each file: its path without ending, or with it where two would be the same.

    An orthomosaic called ``field`` in a folder of its own is called as the folder.
    """
    short = {
        f: f.parent if f.stem.lower() in ("field", "odm_orthophoto") and f.parent != home else f.with_suffix("")
        for f in files
    }
    counts = Counter(short.values())
    return {f: (f if counts[short[f]] > 1 else short[f]).relative_to(home).as_posix() for f in files}
