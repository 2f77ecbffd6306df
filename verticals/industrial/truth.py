"""What is known about a frame (mask, defect list, LabelImg boxes) in, labels of tiles and true Findings out."""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.data import images
from shared.data.formats import voc
from shared.data.tiles import Tile
from shared.errors import DataError, Problem
from shared.records import Box, Finding
from shared.taxonomy import Taxonomy

MASK_SUFFIX, LIST_SUFFIX, BOXES_SUFFIX = ".mask.png", ".defects.csv", ".xml"
CORE_SHARE = 0.04
"""A type owns a tile when its pixels fill this share of the core ..."""
DEFECT_SHARE = 0.3
"""... or this share of one defect's pixels lies in the core ..."""
CROSSING = 0.5
"""... or one defect reaches across this share of the core's longer side: a scratch is thin wherever it is cut."""
UNKNOWN = "UNKNOWN"
_COLUMNS = ("type", "x0", "y0", "x1", "y1", "length_mm", "area_mm2")


@dataclass(frozen=True)
class Truth:
    """What is known about one strip or frame.

    Attributes:
        types: ``(H, W)`` uint8, 0 or the place of the type in the taxonomy, from 1; None where nobody marked pixels.
        defects: ``(H, W)`` int32, number of the connected defect, 0 where there is none; None likewise.
        pixels: Pixels of each connected defect.
        findings: The true defects.
        known: Whether the list of findings is the truth; if not, an empty one means that nobody looked.
    """

    types: NDArray[np.uint8] | None = None
    defects: NDArray[np.int32] | None = None
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    findings: tuple[Finding, ...] = ()
    known: bool = False


def defect_codes(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Codes of the types in the order of their values in masks, from 1."""
    return tuple(label.code for label in taxonomy.labels if not label.ok and label.code != UNKNOWN)


def read(
    path: Path,
    frame: str,
    size: tuple[int, int],
    taxonomy: Taxonomy,
    mm_per_px: tuple[float, float] | None,
) -> tuple[Truth, list[Problem]]:
    """Read the truth that lies beside a data file.

    Args:
        path: The data file.
        frame: Name of its frame.
        size: Width and number of lines that the frame should have, in pixels.
        taxonomy: Labels of the vertical.
        mm_per_px: Scale (across, along), None where unknown.

    Returns:
        The truth, empty where none lies there, and what could not be read with its reason.
    """
    mask, table, boxes = (path.with_suffix(s) for s in (MASK_SUFFIX, LIST_SUFFIX, BOXES_SUFFIX))
    problems: list[Problem] = []
    types: NDArray[np.uint8] | None = None
    findings: tuple[Finding, ...] = ()
    try:
        if table.is_file():
            findings = _from_list(table, frame, taxonomy)
        if mask.is_file():
            types = _from_mask(mask, size, len(defect_codes(taxonomy)))
        elif boxes.is_file():
            return _from_boxes(boxes, frame, size, taxonomy, mm_per_px)
    except DataError as error:
        problems.append(Problem(frame, f"its truth is left out: {error}"))
        return Truth(), problems
    if types is not None:
        known = table.is_file() or not types.any()
        return Truth(types, *_connected(types), findings, known), problems
    return Truth(findings=findings, known=table.is_file()), problems


def of_unread(stem: Path, frame: str, taxonomy: Taxonomy) -> tuple[Finding, ...]:
    """What is known to be in a frame that cannot be read: left out, its defects would not count as missed.

    Args:
        stem: Path of the data file without its ending; it need not be there.
        frame: Name of the frame.
        taxonomy: Labels of the vertical.

    Returns:
        The true defects, one finding OK where none is known to be there, nothing where no list can be read.
    """
    table, boxes = (stem.with_name(stem.name + suffix) for suffix in (LIST_SUFFIX, BOXES_SUFFIX))
    try:
        if table.is_file():
            findings = _from_list(table, frame, taxonomy)
        elif boxes.is_file() and (items := voc.read(boxes)[0]):
            size = (items[0].width or 0, items[0].height or 0)
            if size[0] * size[1] > images.MAX_PIXELS:
                return ()
            findings = _from_boxes(boxes, frame, size, taxonomy, None)[0].findings
        else:
            return ()
    except DataError:
        return ()  # that the frame is not there to be marked is said already
    return findings or (ok(frame),)


def ok(frame: str) -> Finding:
    """The frame is known to have no defect."""
    return Finding(frame, "OK", probability=1.0, risk=0.0)


def label(truth: Truth, tile: Tile, codes: tuple[str, ...]) -> str | None:
    """The label that a tile gets, or None where it is a matter of opinion.

    The core decides (see :data:`CORE_SHARE`, :data:`DEFECT_SHARE`, :data:`CROSSING`); of several types the one with
    most pixels. OK needs a window without one defect pixel, halo included: a halo that shows a defect must not teach
    the model that this is what OK looks like.

    Args:
        truth: Of the whole frame.
        tile: In the frame's pixels.
        codes: Label by the value in ``truth.types``, from 1.
    """
    if truth.types is None or truth.defects is None:
        return None
    core, window = tile.core, tile.window
    types = truth.types[core.y0 : core.y1, core.x0 : core.x1]
    if not types.any():
        around = truth.types[window.y0 : window.y1, window.x0 : window.x1]
        return None if around.any() else "OK"
    defects = truth.defects[core.y0 : core.y1, core.x0 : core.x1]
    counts = np.bincount(types.ravel(), minlength=len(codes) + 1)
    for value in sorted(range(1, len(counts)), key=lambda v: -int(counts[v])):
        if counts[value] and _owns(types == value, defects, truth.pixels):
            return codes[value - 1]
    return None


def _owns(here: NDArray[np.bool_], defects: NDArray[np.int32], pixels: NDArray[np.int64]) -> bool:
    if here.sum() >= CORE_SHARE * here.size:
        return True
    for number, inside in zip(*np.unique(defects[here], return_counts=True), strict=True):
        if inside >= DEFECT_SHARE * pixels[number]:
            return True
        y, x = np.nonzero(here & (defects == number))
        if max(np.ptp(x), np.ptp(y)) + 1 >= CROSSING * max(here.shape):
            return True
    return False


def _connected(types: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected defects of one type each, numbered from 1, and how many pixels each has."""
    blobs = cv2.connectedComponents((types > 0).astype(np.uint8), connectivity=8)[1]
    # Where two types touch, one blob holds both; the pair of blob and type tells them apart.
    pairs = blobs * np.int32(256) + types
    pixels = np.bincount(pairs.ravel())
    pixels[0] = 0
    met = np.flatnonzero(pixels)
    number = np.zeros(len(pixels), np.int32)
    number[met] = np.arange(1, len(met) + 1)
    return number[pairs], np.concatenate([[0], pixels[met]])


def _from_mask(path: Path, size: tuple[int, int], top: int) -> NDArray[np.uint8]:
    if images.size(path) != size:
        raise DataError(f"{path}: is {images.size(path)} pixels wide and high, the picture is {size}; draw it anew")
    types = images.read(path)[..., 0]
    if types.max() > top:
        raise DataError(f"{path}: holds the value {types.max()}; allowed are 0 and the types 1 to {top}")
    return np.ascontiguousarray(types)


def _from_list(path: Path, frame: str, taxonomy: Taxonomy) -> tuple[Finding, ...]:
    findings = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for number, row in enumerate(csv.DictReader(stream), start=2):
                try:
                    findings.append(_finding(row, frame, taxonomy))
                except (KeyError, TypeError, ValueError, DataError) as error:
                    raise DataError(
                        f"{path} line {number}: {error}; needed are the columns {','.join(_COLUMNS)}"
                    ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); give CSV in UTF-8") from error
    return tuple(findings)


def _finding(row: dict[str, str], frame: str, taxonomy: Taxonomy) -> Finding:
    region = Box(*(int(row[column]) for column in _COLUMNS[1:5]))
    length, area = row.get("length_mm"), row.get("area_mm2")
    return Finding(
        frame,
        taxonomy.resolve(row["type"]).code,
        probability=1.0,
        risk=1.0,
        region=region,
        length_mm=float(length) if length else None,
        area_mm2=float(area) if area else None,
    )


def _from_boxes(
    path: Path, frame: str, size: tuple[int, int], taxonomy: Taxonomy, mm_per_px: tuple[float, float] | None
) -> tuple[Truth, list[Problem]]:
    """Every box is one defect, all of it; a word that the taxonomy does not know still says that something is there."""
    known = (*defect_codes(taxonomy), UNKNOWN)
    width, lines = size
    types, defects = np.zeros((lines, width), np.uint8), np.zeros((lines, width), np.int32)
    findings, problems = [], []
    # Small boxes are painted over large ones, so that each keeps its pixels.
    for number, (word, box) in enumerate(sorted(_boxes(path, size), key=lambda b: -b[1].width * b[1].height), start=1):
        entry = taxonomy.find(word)
        if entry is None:
            problems.append(Problem(frame, f"{path.name} names {word!r}, which is no known label; taken as {UNKNOWN}"))
        if entry is not None and entry.ok:
            continue
        code = entry.code if entry else UNKNOWN
        inside = np.s_[box.y0 : box.y1, box.x0 : box.x1]
        types[inside], defects[inside] = known.index(code) + 1, number
        across, along = (side * mm for side, mm in zip((box.width, box.height), mm_per_px or (0, 0), strict=True))
        length, area = (float(np.hypot(across, along)), across * along) if mm_per_px else (None, None)
        findings.append(Finding(frame, code, 1.0, 1.0, box, length_mm=length, area_mm2=area))
    return Truth(types, defects, np.bincount(defects.ravel()), tuple(findings), known=True), problems


def _boxes(path: Path, size: tuple[int, int]) -> list[tuple[str, Box]]:
    items, problems = voc.read(path)
    if problems:
        raise DataError(str(problems[0]))
    if (items[0].width, items[0].height) != size:
        raise DataError(
            f"{path}: is about {items[0].width} x {items[0].height} pixels, the picture has {size}; redo it"
        )
    return [
        (box.label, Box(math.floor(box.x0), math.floor(box.y0), math.ceil(box.x1), math.ceil(box.y1)))
        for box in items[0].boxes
    ]
