"""A folder of line-camera strips and image frames in, frames that a browser shows and tiles with a halo out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared import taxonomy
from shared.data import cut_frames, images, sources
from shared.data.cut_frames import FRAMES
from shared.data.tiles import Tile, grid
from shared.errors import ConfigError, DataError, LoupeError, Problem
from shared.records import Box, Finding, Provenance, Sample
from shared.vertical import Ingested
from verticals.industrial import blind, pixels
from verticals.industrial.truth import (
    BOXES_SUFFIX,
    LIST_SUFFIX,
    MASK_SUFFIX,
    UNKNOWN,
    defect_codes,
    label,
    of_unread,
    ok,
    read,
)

TILE_PX, HALO_PX = 96, 16
"""At 0.05 mm per pixel a core of 4.8 mm; the halo shows the model what a defect at the core's border goes on as."""
MAX_PIECE_PIXELS = 32_000_000
MAX_PIECE_LINES = 32_000
"""Largest PNG that is written: 32 MPix and below 2^15 lines, what browsers and OpenCV take without trouble."""
LABELS = Path(__file__).parent / "labels.toml"
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class _Frame:
    """One strip or image, whatever file it came from."""

    name: str
    path: Path
    width: int
    lines: int
    runs: tuple[tuple[int, int], ...]
    read: Callable[[int, int], Picture]
    group: str
    expected: int
    mm_per_px: tuple[float, float] | None = None
    provenance: Provenance = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass
class _Harvest:
    """What has been made so far."""

    samples: list[Sample] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    skipped: dict[str, float] = field(default_factory=dict)
    truth: list[Finding] = field(default_factory=list)
    pieces: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    frames: int = 0


def ingest(source: Path, out: Path, *, tile: int = TILE_PX, halo: int = HALO_PX) -> Ingested:
    """Cut strips and frames into tiles.

    Read are line-camera strips (``.raw``, and ``.tif`` with a sidecar ``<stem>.toml``) and images of the usual kinds;
    truth where it lies beside them (:mod:`verticals.industrial.truth`). Frames become PNG below ``out/frames``, in
    pieces of at most :data:`MAX_PIECE_PIXELS` that overlap by the halo, so that no tile knows where a piece ends. The
    folder ``out/frames`` is written whole or not at all. Lines that are missing or lost, or show nothing (see
    :mod:`verticals.industrial.blind`), are in no tile.

    Args:
        source: A folder (searched deeply) or one file.
        out: Folder of the result.
        tile: Side of a core in pixels.
        halo: Pixels around a core.

    Returns:
        Samples with labels where truth is there; what could not be read, and the fraction of each frame not covered.

    Raises:
        DataError: ``source`` does not exist, holds nothing to read or what an ingest cut, or ``out/frames`` holds
            somebody's files.
        ConfigError: ``tile`` or ``halo`` is out of range.
    """
    if tile < 1 or halo < 0:
        raise ConfigError(f"tile is {tile} and halo {halo}; allowed: tile >= 1 and halo >= 0, in pixels")
    if not source.exists():
        raise DataError(f"{source}: does not exist; give a folder of strips or images, or one of them")
    cut_frames.check_source(source)
    files, strays = _inputs(source, out)
    if not files:
        raise DataError(f"{source}: holds neither strips (.raw, .tif with a sidecar .toml) nor images; give some")
    cut_frames.check(out)
    labels = taxonomy.load(LABELS)
    names = _names(files, source if source.is_dir() else source.parent)
    harvest = _Harvest(problems=strays)
    harvest.skipped.update({p.where: 1.0 for p in strays})
    for name in harvest.skipped:
        harvest.truth += of_unread(source / name, name, labels)
        if part := pixels.part(source / f"{name}.raw"):
            harvest.groups[name] = part
    with cut_frames.folder(out) as folder:
        for path in tqdm(files, desc="cutting frames", unit="frame", disable=None, leave=False):
            if part := pixels.part(path):
                harvest.groups[names[path]] = part
            try:
                _take(_open(path, names[path]), folder, labels, harvest, tile=tile, halo=halo)
            except LoupeError as error:
                harvest.problems.append(Problem(names[path], str(error)))
                harvest.skipped[names[path]] = 1.0
                harvest.truth += of_unread(path.with_suffix(""), names[path], labels)
    return replace(_result(harvest, len(files)), remarks=sources.masks_told(source))


def _inputs(source: Path, out: Path) -> tuple[list[Path], list[Problem]]:
    """Data files in order, and what lies there without belonging to one of them."""
    if source.is_file():
        return [source], []
    every = cut_frames.files_below(source, out)
    masks = sources.masks(source)
    every = [f for f in every if f not in masks]
    files = [f for f in every if _is_data(f)]
    stems = {f.with_suffix("") for f in files}
    strays = [Problem(f.relative_to(source).as_posix(), what) for f, what in cut_frames.links_below(source, out)]
    for file in every:
        stem = _stem(file)
        name = stem.relative_to(source).as_posix()
        if stem in stems:
            continue
        if stem != file:
            strays.append(Problem(name, f"{file.name} is there, its strip or image is not; copy it beside it"))
        elif file.suffix.lower() not in sources.NOT_PICTURES:
            endings = ", ".join(sorted(images.SUFFIXES | pixels.STRIP_SUFFIXES))
            strays.append(Problem(name, f"ending {file.suffix!r} is neither strip nor image; readable are {endings}"))
    return files, strays


def _is_data(file: Path) -> bool:
    return file.suffix.lower() in images.SUFFIXES | pixels.STRIP_SUFFIXES and not file.name.endswith(MASK_SUFFIX)


def _stem(file: Path) -> Path:
    """The path that a companion shares with its data file, without ending; other files keep theirs."""
    for suffix in (MASK_SUFFIX, LIST_SUFFIX, BOXES_SUFFIX, pixels.SIDECAR_SUFFIX):
        if file.name.endswith(suffix):
            return file.with_name(file.name.removesuffix(suffix))
    return file.with_suffix("") if _is_data(file) else file


def _names(files: list[Path], folder: Path) -> dict[Path, str]:
    """A name for each file: its path without ending, or with it where two would be the same (a.png, a.tif, a.tif.png).

    Two frames of one name would be one frame, and the picture of one would take the place of the other's.
    """
    taken = Counter([f.with_suffix("") for f in files] + files)
    return {f: (f if taken[f.with_suffix("")] > 1 else f.with_suffix("")).relative_to(folder).as_posix() for f in files}


def _open(path: Path, name: str) -> _Frame:
    note = pixels.sidecar_path(path)
    suffix = path.suffix.lower()
    if suffix == ".raw" or (suffix in pixels.TIFF_SUFFIXES and note.is_file()):
        strip = pixels.open_strip(path)
        runs, dead = blind.lines(strip.pixels, strip.runs, 2 ** pixels.BITS[strip.sidecar.pixel_format] - 1)
        return _Frame(
            name,
            path,
            strip.width,
            strip.lines,
            runs,
            strip.read,
            strip.sidecar.part or name,
            strip.expected,
            strip.sidecar.mm_per_px,
            _provenance(strip.sidecar),
            tuple(Problem(name, what) for what in (*(problem.what for problem in strip.problems), *dead)),
        )
    width, lines = images.size(path)

    def rows(y0: int, y1: int) -> Picture:
        return images.read(path, window=Box(0, y0, width, y1))

    unread = "its sidecar is not read, because that belongs to .raw and .tif strips; save the strip as one of them"
    if pixels.tells_of_loss(path, lines):
        raise DataError(f"{note}: tells of lines that are lost, and {unread}")
    reason = _blind(path)
    problems = tuple(
        Problem(name, what) for what in ([unread] if note.is_file() else []) + ([reason] if reason else [])
    )
    return _Frame(name, path, width, lines, () if reason else ((0, lines),), rows, name, lines, problems=problems)


def _blind(path: Path) -> str | None:
    try:
        return blind.picture(images.read(path))
    except DataError:
        return None  # said where it is cut


def _provenance(sidecar: pixels.Sidecar) -> Provenance:
    known: dict[str, str | int | float] = {
        "camera": sidecar.camera,
        "captured_at": sidecar.captured_at,
        "pixel_format": sidecar.pixel_format,
        "line_rate_hz": sidecar.line_rate_hz,
    }
    facts = {key: value for key, value in known.items() if value}
    return {**facts, "synthetic": True} if sidecar.synthetic else facts


def _take(frame: _Frame, folder: Path, labels: taxonomy.Taxonomy, harvest: _Harvest, *, tile: int, halo: int) -> None:
    """Write one frame's pieces and add its Samples and truth to the harvest."""
    truth, problems = read(frame.path, frame.name, (frame.width, frame.expected), labels, frame.mm_per_px)
    harvest.problems += [*frame.problems, *problems]
    harvest.truth += truth.findings
    if truth.known and not truth.findings:
        harvest.truth.append(ok(frame.name))
    harvest.frames += 1
    covered, codes = 0, (*defect_codes(labels), UNKNOWN)
    for cells in _pieces(frame, tile=tile, halo=halo):
        try:
            samples = _cut(frame, cells, folder, harvest.pieces)
        except DataError as error:
            harvest.problems.append(Problem(frame.name, str(error)))
            continue
        covered += sum(cell.core.width * cell.core.height for cell in cells)
        harvest.samples += samples
        for sample, cell in zip(samples, cells, strict=True):
            word = label(truth, cell, codes)
            if word is not None:
                harvest.labels[sample.id] = word
    missing = 1 - covered / (frame.width * frame.expected)
    if missing > 0:
        harvest.skipped[frame.name] = missing


def _pieces(frame: _Frame, *, tile: int, halo: int) -> Iterator[list[Tile]]:
    """Tiles in the frame's pixels, as many whole rows of them together as one PNG may hold."""
    rows_each = max(1, min(MAX_PIECE_PIXELS // (frame.width * tile), MAX_PIECE_LINES // tile))
    for first, end in frame.runs:
        rows: dict[int, list[Tile]] = {}
        for cell in _merged(grid(frame.width, end - first, tile=tile, halo=halo)):
            moved = Tile(cell.window.shifted(0, first), cell.core.shifted(0, first))
            rows.setdefault(moved.core.y0, []).append(moved)
        tops = list(rows)
        for start in range(0, len(tops), rows_each):
            yield [cell for top in tops[start : start + rows_each] for cell in rows[top]]


def _merged(cells: Iterable[Tile]) -> list[Tile]:
    """Tiles that look at the same window as one, with both cores.

    A narrow last core gets its window moved inwards until it is that of the core before; two Samples of the same pixels
    would share one id, and could not have two labels.
    """
    cores: dict[Box, Box] = {}
    for cell in cells:
        cores[cell.window] = cores[cell.window].union(cell.core) if cell.window in cores else cell.core
    return [Tile(window, core) for window, core in cores.items()]


def _cut(frame: _Frame, cells: list[Tile], folder: Path, written: dict[str, str]) -> list[Sample]:
    """Write the PNG that holds these tiles, and describe them."""
    y0, y1 = min(cell.window.y0 for cell in cells), max(cell.window.y1 for cell in cells)
    name = f"{frame.name}.png" if (y0, y1) == (0, frame.lines) else f"{frame.name}.{y0:08d}.png"
    picture = frame.read(y0, y1)
    images.write_png(folder / name, picture)
    content = images.content_hash(folder / name)
    if content in written:
        (folder / name).unlink()
        raise DataError(
            f"{frame.path}: lines {y0} to {y1} hold the same pixels as {written[content]}: a copy, or a buffer that "
            "the camera sent twice; they count as not examined: scan again, or remove the copy"
        )
    written[content] = f"{frame.name} from line {y0}"
    return [_sample(frame, cell, y0, f"{FRAMES}/{name}", content) for cell in cells]


def _sample(frame: _Frame, cell: Tile, y0: int, path: str, content: str) -> Sample:
    window = cell.window.shifted(0, -y0)
    return Sample(
        id=f"{content[:16]}@{window.x0},{window.y0},{window.width},{window.height}",
        path=path,
        width=window.width,
        height=window.height,
        window=window,
        core=cell.core.shifted(-cell.window.x0, -cell.window.y0),
        frame=frame.name,
        origin=(cell.window.x0, cell.window.y0),
        group=frame.group,
        mm_per_px=frame.mm_per_px,
        provenance=frame.provenance,
    )


def _result(harvest: _Harvest, found: int) -> Ingested:
    counts = Counter(harvest.labels.values())
    summary = {
        "files": found,
        "frames": harvest.frames,
        "tiles": len(harvest.samples),
        "labelled": len(harvest.labels),
        "labels": dict(sorted(counts.items())),
        "true_defects": sum(t.risk > 0 for t in harvest.truth),
        "synthetic": any(sample.provenance.get("synthetic") for sample in harvest.samples),
    }
    return Ingested(
        samples=tuple(harvest.samples),
        labels=harvest.labels,
        problems=tuple(harvest.problems),
        skipped=harvest.skipped,
        truth=tuple(harvest.truth),
        summary=summary,
        groups=harvest.groups,
    )
