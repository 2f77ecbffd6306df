"""A line-camera strip (data file and sidecar) in, its lines as 8-bit grey out; every line that is not there is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import config
from shared.decide import percent
from shared.errors import ConfigError, DataError, Problem, require

BITS: Mapping[str, int] = MappingProxyType({"Mono8": 8, "Mono10": 10, "Mono12": 12, "Mono14": 14, "Mono16": 16})
"""Significant bits by PFNC name; above 8 each pixel takes two bytes, least significant first (unpacked formats)."""
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
STRIP_SUFFIXES = TIFF_SUFFIXES | {".raw"}
SIDECAR_SUFFIX = ".toml"

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Sidecar:
    """What the camera knew about a strip: ``<stem>.toml`` beside the data file.

    Attributes:
        width: Pixels per line.
        pixel_format: PFNC name, one of :data:`BITS`.
        line_rate_hz: Lines per second.
        mm_per_px: Millimetres per pixel (across the strip, along the movement).
        lines: Lines that the strip should have; None takes what the file holds.
        part: The part or roll that was scanned; strips of one part are never torn apart by a split.
        camera: Name of the camera.
        captured_at: When, ISO 8601.
        lost_lines: ``[[first, count], ...]``: lines that are in the file but hold no picture of the part, 0 being the
            first of this file.
        synthetic: True for drawn strips; it goes with every number measured on them.
    """

    width: int
    pixel_format: str
    line_rate_hz: float
    mm_per_px: tuple[float, float]
    lines: int | None = None
    part: str = ""
    camera: str = ""
    captured_at: str = ""
    lost_lines: tuple[tuple[int, int], ...] = ()
    synthetic: bool = False

    def __post_init__(self) -> None:
        if self.pixel_format not in BITS:
            raise ValueError(
                f"pixel_format is {self.pixel_format!r}; {config.did_you_mean(self.pixel_format, list(BITS))} "
                f"Read are {', '.join(BITS)}, unpacked; save packed and colour formats as one of them"
            )
        if not 1 <= self.width <= 1_000_000:
            raise ValueError(f"width is {self.width}; allowed are 1 to 1,000,000 pixels")
        if not self.line_rate_hz > 0:
            raise ValueError(f"line_rate_hz is {self.line_rate_hz}; allowed is above 0")
        if not min(self.mm_per_px) > 0:
            raise ValueError(f"mm_per_px is {list(self.mm_per_px)}; allowed are two numbers above 0, across and along")
        if self.lines is not None and self.lines < 1:
            raise ValueError(f"lines is {self.lines}; allowed is 1 or more, or leave it out")
        if any(first < 0 or count < 1 for first, count in self.lost_lines):
            raise ValueError("lost_lines has an entry outside of [first >= 0, count >= 1]")


@dataclass(frozen=True)
class Strip:
    """An open strip; its pixels stay on disk.

    Attributes:
        path: The data file.
        sidecar: What the camera knew.
        lines: Whole lines that the file holds.
        expected: Lines that the strip should have, at least ``lines``.
        problems: What is wrong with it, each one sentence; empty for a whole strip.
        pixels: ``(lines, width)`` memory map, uint8 or uint16 of either byte order.
    """

    path: Path
    sidecar: Sidecar
    lines: int
    expected: int
    problems: tuple[Problem, ...] = ()
    pixels: NDArray[Any] = field(repr=False, compare=False, default_factory=lambda: np.empty((0, 0), np.uint8))

    @property
    def width(self) -> int:
        """Pixels per line."""
        return self.sidecar.width

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Ranges ``[first, end)`` of the lines that can be examined: in the file and not lost."""
        runs, start = [], 0
        for first, count in sorted(self.sidecar.lost_lines):
            if start < min(first, self.lines):
                runs.append((start, min(first, self.lines)))
            start = max(start, first + count)
        if start < self.lines:
            runs.append((start, self.lines))
        return tuple(runs)

    @property
    def missing(self) -> float:
        """Fraction of the strip's expected lines that cannot be examined, 0 to 1."""
        return 1.0 - sum(end - first for first, end in self.runs) / self.expected

    def read(self, y0: int, y1: int) -> Grey:
        """Lines ``y0`` to ``y1`` (half-open).

        Deeper formats become 8 bits linearly over the format's full scale: ``round(value * 255 / (2^bits - 1))``.

        Returns:
            ``(y1 - y0, width)`` uint8.

        Raises:
            DataError: The lines are not all there, or a value is above the format's full scale.
        """
        if not 0 <= y0 < y1 <= self.lines:
            raise DataError(f"{self.path}: lines {y0} to {y1} are not there; allowed are 0 to {self.lines}")
        block = np.asarray(self.pixels[y0:y1])
        if block.dtype.itemsize == 1:
            return np.ascontiguousarray(block, np.uint8)
        bits = BITS[self.sidecar.pixel_format]
        full = 2**bits - 1
        peak = int(block.max())
        if peak > full:
            raise DataError(
                f"{self.path}: lines {y0} to {y1} hold the value {peak}, {self.sidecar.pixel_format} ends at {full}; "
                "check pixel_format, and that the least significant byte comes first"
            )
        table = np.rint(np.arange(full + 1) * (255.0 / full)).astype(np.uint8)
        eight: Grey = table[block]
        return eight


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a data file lies: the same name, ending in ``.toml``."""
    return path.with_suffix(SIDECAR_SUFFIX)


def part(path: Path) -> str:
    """The part that a strip shows, also of a strip that cannot be read; empty where no sidecar names one."""
    found = _told(path)
    return found.part if found else ""


def tells_of_loss(path: Path, lines: int) -> bool:
    """Whether a sidecar says that lines are lost, or that there should be more than ``lines``."""
    found = _told(path)
    return found is not None and (bool(found.lost_lines) or (found.lines or 0) > lines)


def _told(path: Path) -> Sidecar | None:
    try:
        return config.load(Sidecar, sidecar_path(path))
    except ConfigError:
        return None  # there is none, or it is another program's file


def open_strip(path: Path) -> Strip:
    """Open a strip: raw lines without header (``.raw``), or an uncompressed grey TIFF or BigTIFF.

    The file is mapped, never loaded; a TIFF whose data ends early is read as far as it goes, like a raw file.

    Raises:
        ConfigError: The sidecar is missing or says something that is not allowed.
        DataError: The data file is missing, empty, compressed, in colour, or does not fit its sidecar.
        MissingDependency: A TIFF, and tifffile is not installed.
    """
    note = sidecar_path(path)
    if not note.is_file():
        raise ConfigError(
            f"{note}: is missing; write width, pixel_format, line_rate_hz and mm_per_px of the strip there"
        )
    sidecar = config.load(Sidecar, note)
    depth = np.dtype(np.uint8 if BITS[sidecar.pixel_format] == 8 else "<u2")
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if path.suffix.lower() in TIFF_SUFFIXES:
        offset, depth, said = _tiff_layout(path, sidecar, depth)
        expected, end = sidecar.lines or said, min(size_bytes, offset + said * sidecar.width * depth.itemsize)
    else:
        offset, expected, end = 0, sidecar.lines or 0, size_bytes
    line_bytes = sidecar.width * depth.itemsize
    held, rest = divmod(max(end - offset, 0), line_bytes)
    if held == 0:
        raise DataError(f"{path}: holds {size_bytes} bytes, less than one line of {line_bytes}; scan the strip again")
    expected = expected or held
    whole = max(held, expected)
    if strange := next((first for first, _ in sidecar.lost_lines if first >= whole), None):
        raise DataError(
            f"{note}: names line {strange} as lost, and the strip has lines 0 to {whole - 1}, so that nobody knows "
            "which of them are lost; count lost_lines from the strip's own first line, or correct lines"
        )
    pixels = np.memmap(path, dtype=depth, mode="r", offset=offset, shape=(held, sidecar.width))
    return Strip(path, sidecar, held, whole, _problems(path, sidecar, held, expected, rest), pixels)


def _problems(path: Path, sidecar: Sidecar, held: int, expected: int, rest_bytes: int) -> tuple[Problem, ...]:
    found = []
    if rest_bytes:
        found.append(
            f"the file ends {rest_bytes} bytes into a line; the partial line is dropped: check width and pixel_format, "
            "or scan again"
        )
    if held < expected:
        found.append(
            f"{held} of {expected} lines are there, {percent((expected - held) / expected)} of the strip is not "
            "examined; scan the part again"
        )
    if held > expected:
        found.append(
            f"{held} lines are there, {expected} were expected; all are examined: correct lines in the sidecar, or see "
            "that no two parts are in one file"
        )
    whole = max(held, expected)
    lost = len({y for first, count in sidecar.lost_lines for y in range(first, min(first + count, whole))})
    if lost:
        found.append(f"the camera lost {lost} of {whole} lines; they are not examined: scan the part again")
    return tuple(Problem(str(path), sentence) for sentence in found)


def _tiff_layout(path: Path, sidecar: Sidecar, depth: np.dtype[Any]) -> tuple[int, np.dtype[Any], int]:
    """Where the pixels of a TIFF begin (bytes), their dtype, and its number of lines."""
    tifffile = require("tifffile", extra="industrial")
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            mapped = page.is_memmappable and page.samplesperpixel == 1
            kind, width, height = page.dtype, int(page.imagewidth), int(page.imagelength)
            offset, order, pages = int(page.dataoffsets[0]), tiff.byteorder, len(tiff.pages)
            coding = f"{page.compression.name}, {page.samplesperpixel} sample(s) per pixel"
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: is not a readable TIFF ({error}); export the strip again") from error
    if not mapped or kind is None or kind.kind != "u":
        raise DataError(
            f"{path}: is stored as {coding}, which cannot be mapped; allowed is uncompressed grey in one piece: "
            "save it again so"
        )
    if pages > 1:
        raise DataError(f"{path}: holds {pages} pages; allowed is one page for each strip: save them one by one")
    if width != sidecar.width or kind.itemsize != depth.itemsize:
        raise DataError(
            f"{path}: has {width} pixels of {8 * kind.itemsize} bits in a line, the sidecar says {sidecar.width} of "
            f"{sidecar.pixel_format} ({8 * depth.itemsize} bits); correct width or pixel_format"
        )
    return offset, kind.newbyteorder(order), height
