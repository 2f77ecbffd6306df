"""Scores of fine pixels in, the sections that switch on out: safety zone, shortest time, latency, no-spray ground."""

import math
from collections.abc import Iterator

import cv2
import numpy as np

from verticals.agriculture.spraying.grid import Fine, Mask, SwathGrid

NEVER = np.float32(-1.0)
"""Score of ground that asks for nothing: outside the field, or without a value."""


def cell_scores(grid: SwathGrid, score: Fine) -> Fine:
    """Highest score that a cell has to answer for: that of any fine pixel in it or within the safety zone around it.

    A cell is wanted on at a threshold where its score reaches it, so that one pass serves every threshold.

    Args:
        grid: The grid.
        score: ``(rows, columns)`` float32, 0 and above; NaN and pixels outside the field ask for nothing.

    Returns:
        ``(sections, steps)`` float32, -1 where nothing is asked.
    """
    asked = np.where(grid.inside & np.isfinite(score), score, NEVER).astype(np.float32)
    disc = _disc(grid)
    if disc.size > 1:
        asked = np.asarray(
            cv2.dilate(asked, disc, borderType=cv2.BORDER_CONSTANT, borderValue=float(NEVER)), np.float32
        )
    return grid.max_in_cell(asked)


def _disc(grid: SwathGrid) -> "cv2.typing.MatLike":
    """Fine pixels whose centre lies within the safety zone."""
    side_u, side_v = grid.machine.step_m / grid.along, grid.machine.section_m / grid.across
    buffer = grid.machine.buffer_m
    u = np.arange(-math.floor(buffer / side_u + 1e-9), math.floor(buffer / side_u + 1e-9) + 1) * side_u
    v = np.arange(-math.floor(buffer / side_v + 1e-9), math.floor(buffer / side_v + 1e-9) + 1) * side_v
    return (np.hypot(*np.meshgrid(u, v)) <= buffer + 1e-9).astype(np.uint8)


def switch(grid: SwathGrid, wanted: Mask, blocked: Mask) -> Mask:
    """The cells that the machine sprays so that every wanted one is, as far as it may and can.

    Runs along the drive are lengthened by the latency at both ends, and to the shortest length that a section stays on.
    Nothing is sprayed in a blocked cell, or in one without field. Beside blocked ground a run that is too short is
    shifted away from it; where even that has no room it is left out, because the section would not close in time.

    Args:
        grid: The grid.
        wanted: ``(sections, steps)`` bool.
        blocked: ``(sections, steps)`` bool: cells with any no-spray ground.

    Returns:
        ``(sections, steps)`` bool.
    """
    field = grid.any_in_cell(grid.inside)
    allowed = field & ~blocked
    wanted = wanted & allowed
    least = max(1, math.ceil(grid.machine.min_on_m / grid.machine.step_m - 1e-9))
    lead = math.ceil(grid.machine.latency_m / grid.machine.step_m - 1e-9)
    if least == 1 and lead == 0:
        return wanted
    on = np.zeros_like(wanted)
    for section in np.flatnonzero(wanted.any(axis=1)):
        walls = np.concatenate([[False], blocked[section], [False]])
        for start, end in _runs(allowed[section]):
            tight = bool(walls[start] or walls[end + 1])
            for first, last in _runs(wanted[section, start:end]):
                a, b = _lengthened(start + first, start + last, (start, end), least, lead)
                if b - a >= least or not tight:
                    on[section, a:b] = True
    return on


def _lengthened(a: int, b: int, room: tuple[int, int], least: int, lead: int) -> tuple[int, int]:
    """A run ``[a, b)`` with its latency and its least length, within its room as far as that goes."""
    a, b = max(room[0], a - lead), min(room[1], b + lead)
    short = least - (b - a)
    if short <= 0:
        return a, b
    a = max(room[0], min(a - short // 2, room[1] - least))
    return a, min(room[1], max(b, a + least))


def _runs(row: Mask) -> Iterator[tuple[int, int]]:
    """Half-open ranges of the true entries of a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
