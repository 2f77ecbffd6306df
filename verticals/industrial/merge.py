"""Tiles of one strip in, defects out: what touches across tile borders is one defect, with its length in mm."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shared.decide import UNKNOWN, evidence, likeliest, risk
from shared.records import Box, Finding
from shared.vertical import Seen

GAP_PX = 8
"""Evidence closer than this is one defect; a hairline can fade for a few pixels between two cells."""


@dataclass(frozen=True)
class _Patch:
    """Evidence of one tile, in the frame's pixels."""

    box: Box
    cells: NDArray[np.bool_]
    seen: Seen
    label: str


def merge(tiles: Sequence[Seen], *, ok_label: str | None, threshold: float, novelty_limit: float) -> list[Finding]:
    """Find the defects of one frame.

    The cells of the class map that speak for a defect are painted into a map of the frame; what is connected there is
    one defect. Its label is the one with the largest summed probability over
    the tiles it touches.

    Args:
        tiles: What the model saw in each tile of the frame.
        ok_label: The label that means "nothing wrong".
        threshold: Risk from which a tile is flagged.
        novelty_limit: Novelty from which a tile is flagged as UNKNOWN.

    Returns:
        Findings with region, length and area, gravest first.
    """
    patches = [patch for seen in tiles if (patch := _patch(seen, ok_label, threshold, novelty_limit)) is not None]
    if not patches:
        return []
    step = max(1, min(min(p.box.width, p.box.height) for p in patches) // 32)
    evidence_map, left, top = _paint(patches, step)
    gap = max(1, round(GAP_PX / step))
    joined = cv2.dilate(evidence_map, np.ones((gap + 1, gap + 1), np.uint8))
    numbers, count = ndimage.label(joined, structure=np.ones((3, 3)))
    numbers = np.where(evidence_map > 0, numbers, 0)
    members: list[list[_Patch]] = [[] for _ in range(count)]
    for patch in patches:
        part = numbers[_slices(patch.box, left, top, step)]
        for number in np.unique(part[part > 0]):
            members[number - 1].append(patch)
    objects = ndimage.find_objects(numbers, max_label=count)
    findings = []
    for i, (place, tiles_of) in enumerate(zip(objects, members, strict=True)):
        if place is not None and tiles_of:
            mask = numbers[place] == i + 1
            corner = (left + place[1].start * step, top + place[0].start * step)
            findings.append(_finding(mask, corner, step, tiles_of, ok_label))
    return sorted(findings, key=lambda f: -f.risk)


def _patch(seen: Seen, ok_label: str | None, threshold: float, novelty_limit: float) -> _Patch | None:
    sample = seen.sample
    core = sample.core or Box(0, 0, sample.width, sample.height)
    box = core.shifted(*sample.origin)
    if ok_label is None or not risk(seen, ok_label) < threshold:
        label = likeliest(seen, ok_label)
        cells = evidence(seen, label, ok_label)
    elif not seen.novelty <= novelty_limit:
        label, cells = UNKNOWN, None
    else:
        return None
    if cells is None:
        return _Patch(box, np.ones((1, 1), bool), seen, label)
    # The halo counts too: a defect just beyond the core flags both tiles, and both must point at the same place.
    window = Box(0, 0, sample.width, sample.height).shifted(*sample.origin)
    return _Patch(window, cells, seen, label)


def _paint(patches: Sequence[_Patch], step: int) -> tuple[NDArray[np.uint8], int, int]:
    """A map of all patches at ``step`` pixels per cell, and the frame position of its corner."""
    left, top = min(p.box.x0 for p in patches), min(p.box.y0 for p in patches)
    width, height = max(p.box.x1 for p in patches) - left, max(p.box.y1 for p in patches) - top
    canvas = np.zeros((-(-height // step), -(-width // step)), np.uint8)
    for patch in patches:
        across, down = patch.box.width / patch.cells.shape[1], patch.box.height / patch.cells.shape[0]
        for row, column in zip(*np.nonzero(patch.cells), strict=True):
            # Rounded outwards: a cell smaller than the map's step must not vanish.
            x, y = patch.box.x0 - left + column * across, patch.box.y0 - top + row * down
            rows = slice(int(y // step), -(-round(y + down) // step))
            canvas[rows, int(x // step) : -(-round(x + across) // step)] = 1
    return canvas, left, top


def _slices(box: Box, left: int, top: int, step: int) -> tuple[slice, slice]:
    return (
        slice((box.y0 - top) // step, -(-(box.y1 - top) // step)),
        slice((box.x0 - left) // step, -(-(box.x1 - left) // step)),
    )


def _finding(
    mask: NDArray[np.bool_], corner: tuple[int, int], step: int, patches: Sequence[_Patch], ok_label: str | None
) -> Finding:
    box = Box(corner[0], corner[1], corner[0] + mask.shape[1] * step, corner[1] + mask.shape[0] * step)
    label, probability = _label(patches, ok_label)
    scale = patches[0].seen.sample.mm_per_px
    return Finding(
        frame=patches[0].seen.sample.frame,
        label=label,
        probability=probability,
        risk=max(risk(p.seen, ok_label) for p in patches),
        region=box,
        length_mm=None if scale is None else max_feret_mm(mask, scale, step),
        area_mm2=None if scale is None else float(mask.sum()) * step**2 * scale[0] * scale[1],
        samples=tuple(p.seen.sample.id for p in patches),
        novelty=max(p.seen.novelty for p in patches),
    )


def _label(patches: Sequence[_Patch], ok_label: str | None) -> tuple[str, float]:
    """The label with the largest summed probability, and its highest probability in one tile."""
    typed = [p.seen for p in patches if p.label != UNKNOWN]
    if not typed:
        return UNKNOWN, max(p.seen.novelty / (1 + p.seen.novelty) for p in patches)
    labels = [label for label in typed[0].probabilities if label != ok_label]
    best = max(labels, key=lambda label: sum(seen.probabilities[label] for seen in typed))
    return best, max(seen.probabilities[best] for seen in typed)


def max_feret_mm(mask: NDArray[np.bool_], mm_per_px: tuple[float, float], step: int = 1) -> float:
    """The greatest distance between two points of a region (ISO 9276-6, maximum Feret diameter), in millimetres.

    Args:
        mask: ``(rows, columns)`` of the region.
        mm_per_px: Scale across and down.
        step: Pixels per cell of the mask.
    """
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.stack([columns + dx, rows + dy], 1) for dx in (0, 1) for dy in (0, 1)])
    points = (corners * np.array(mm_per_px) * step).astype(np.float32)
    hull = cv2.convexHull(points)[:, 0, :].astype(np.float64)
    return float(np.sqrt(((hull[:, None] - hull[None]) ** 2).sum(-1)).max())
