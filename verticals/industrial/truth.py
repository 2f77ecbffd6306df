"""What is known about a strip or frame (mask, defect list, LabelImg boxes) in, labels of tiles and true Findings out."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.data import images
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
    """

    types: NDArray[np.uint8] | None = None
    defects: NDArray[np.int32] | None = None
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    findings: tuple[Finding, ...] = ()


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
        size: Width and number of lines, in pixels.
        taxonomy: Labels of the vertical.
        mm_per_px: Scale (across, along), None where unknown.

    Returns:
        The truth, empty where none lies there, and what could not be read with its reason.
    """
    mask, table, boxes = (path.with_suffix(s) for s in (MASK_SUFFIX, LIST_SUFFIX, BOXES_SUFFIX))
    problems: list[Problem] = []
    types, findings = None, ()
    try:
        if table.is_file():
            findings = _from_list(table, frame, taxonomy)
        if mask.is_file():
            types = _from_mask(mask, size, len(defect_codes(taxonomy)))
    except DataError as error:
        problems.append(Problem(frame, f"its truth is left out: {error}"))
        return Truth(), problems
    if types is not None:
        return Truth(types, *_connected(types), findings), problems
    if boxes.is_file():
        return _from_boxes(boxes, frame, size, taxonomy, mm_per_px)
    return Truth(findings=findings), problems


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
    pairs, numbers = np.unique(blobs.astype(np.int64) * 256 + types, return_inverse=True)
    offset = 0 if pairs[0] == 0 else 1
    defects = (numbers.reshape(types.shape) + offset).astype(np.int32)
    return defects, np.bincount(defects.ravel()).astype(np.int64)


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
    # PLACEHOLDER
    raise NotImplementedError
