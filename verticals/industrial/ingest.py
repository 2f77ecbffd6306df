"""A folder of line-camera strips and image frames in, browser-displayable frames and tiles with a halo (Samples) out."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared import atomic, taxonomy
from shared.data import images
from shared.data.tiles import Tile, grid
from shared.errors import ConfigError, DataError, LoupeError, Problem
from shared.records import Box, Finding, Provenance, Sample
from shared.vertical import Ingested
from verticals.industrial import pixels
from verticals.industrial.truth import BOXES_SUFFIX, LIST_SUFFIX, MASK_SUFFIX, Truth, defect_codes, label, read

TILE_PX, HALO_PX = 96, 16
"""At 0.05 mm per pixel a core of 4.8 mm; the halo shows the model what a defect at the core's border goes on as."""
MAX_PIECE_PIXELS = 32_000_000
"""Largest PNG that is written: 32 MPix, what a browser opens without trouble."""
FRAMES = "frames"
LABELS = Path(__file__).parent / "labels.toml"
_NOTES = frozenset({".md", ".txt", ".json", ".html", ".pdf", ".yaml", ".yml", ".log"})
"""Endings of files that people put beside pictures; they are no input, and nobody needs to be told."""

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
    frames: int = 0


def ingest(source: Path, out: Path, *, tile: int = TILE_PX, halo: int = HALO_PX) -> Ingested:
    """Cut strips and frames into tiles.

    Read are line-camera strips (``.raw``, and ``.tif`` with a sidecar ``<stem>.toml``) and images of the usual kinds;
    truth where it lies beside them (:mod:`verticals.industrial.truth`). Frames become PNG below ``out/frames``, strips in
    pieces of at most :data:`MAX_PIECE_PIXELS` that overlap by the halo, so that no tile knows where a piece ends. The
    folder ``out/frames`` is written whole or not at all.

    Args:
        source: A folder (searched deeply) or one file.
        out: Folder of the result.
        tile: Side of a core in pixels.
        halo: Pixels around a core.

    Returns:
        Samples with labels where truth is there; what could not be read, and the fraction of each frame not covered.

    Raises:
        DataError: ``source`` does not exist or holds nothing to read.
        ConfigError: ``tile`` or ``halo`` is out of range.
    """
    if tile < 1 or halo < 0:
        raise ConfigError(f"tile is {tile} and halo {halo}; allowed: tile >= 1 and halo >= 0, in pixels")
    if not source.exists():
        raise DataError(f"{source}: does not exist; give a folder of strips or images, or one of them")
    files, strays = _inputs(source, out)
    if not files:
        raise DataError(f"{source}: holds neither strips (.raw, .tif with a sidecar .toml) nor images; give some")
    labels = taxonomy.load(LABELS)
    names = _names(files, source if source.is_dir() else source.parent)
    harvest = _Harvest(problems=strays)
    harvest.skipped.update({p.where: 1.0 for p in strays})
    with atomic.folder(out / FRAMES) as folder:
        for path in tqdm(files, desc="cutting frames", unit="frame", disable=None, leave=False):
            try:
                _take(_open(path, names[path]), folder, labels, harvest, tile=tile, halo=halo)
            except LoupeError as error:
                harvest.problems.append(Problem(names[path], str(error)))
                harvest.skipped[names[path]] = 1.0
    return _result(harvest, len(files))
