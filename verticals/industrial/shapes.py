"""Sizes and angles in, what defects are made of out: ragged spots, bent lines, cell networks, and stamps of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from verticals.industrial.surface import Field, noise

Points = NDArray[np.float64]
Real = NDArray[np.floating[Any]]
Rng = np.random.Generator


@dataclass(frozen=True)
class Stamp:
    """What one defect does to a surface within its own patch; all fields ``(h, w)``.

    Attributes:
        mask: bool, where a person would say the defect is.
        height: float32 pixels, added.
        reflect: float32, multiplied.
        gloss: float32, multiplied.
        cover: float32, 0 to 1, how far the finish underneath is hidden.
        at_edge: The patch's column that must lie on the left edge of the part; None for a place anywhere.
    """

    mask: NDArray[np.bool_]
    height: Field
    reflect: Field
    gloss: Field
    cover: Field
    at_edge: int | None = None


def stamp(
    mask: NDArray[np.bool_],
    *,
    height: Real | float = 0.0,
    reflect: Real | float = 1.0,
    gloss: Real | float = 1.0,
    cover: Real | float = 0.0,
    at_edge: int | None = None,
) -> Stamp:
    """A stamp whose constant fields are given as numbers."""

    def whole(value: Real | float) -> Field:
        return np.broadcast_to(np.asarray(value, np.float32), mask.shape)

    return Stamp(mask, whole(height), whole(reflect), whole(gloss), whole(cover), at_edge)


def contrast(rng: Rng) -> float:
    """How plain a defect is, 0.45 to 1.3: most are plain, some are faint."""
    return float(0.45 + 0.85 * rng.beta(2.0, 1.3))


def any_angle(rng: Rng) -> float:
    """A direction without a sense, 0 to pi."""
    return float(rng.uniform(0, np.pi))


def ramp(x: Real, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def bell(x: Real, width: float) -> Field:
    """Gaussian of 1 at 0 and deviation ``width``."""
    return np.asarray(np.exp(-0.5 * np.square(x / width)), np.float32)


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a mask: specks that a ragged outline throws off are nothing that a person marks."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])), bool)


def inset(side: tuple[int, ...], width_px: float) -> Field:
    """0 at the border of a patch, 1 from ``width_px`` inwards: no stamp may end in a step."""
    down, across = (np.minimum(np.arange(n), n - 1 - np.arange(n)).astype(np.float32) for n in side[:2])
    return ramp(np.minimum(down[:, None], across[None]), 0, width_px)


def centred(side: tuple[int, int], angle: float = 0.0) -> tuple[Field, Field]:
    """Coordinates (along, across) turned by ``angle``, 0 in the middle of a patch of ``side`` (h, w) pixels."""
    y = (np.arange(side[0], dtype=np.float32) - (side[0] - 1) / 2)[:, None]
    x = (np.arange(side[1], dtype=np.float32) - (side[1] - 1) / 2)[None]
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * c + y * s, y * c - x * s


def patch_of(half_along: float, half_across: float, angle: float, margin: float = 4.0) -> tuple[int, int]:
    """Side (h, w) of the patch that holds a turned rectangle."""
    c, s = abs(np.cos(angle)), abs(np.sin(angle))
    return (
        int(2 * (half_along * s + half_across * c + margin)) + 1,
        int(2 * (half_along * c + half_across * s + margin)) + 1,
    )


def spot(rng: Rng, radius_px: float, *, aspect: float = 1.0, angle: float = 0.0, rough: float = 0.0) -> Field:
    """How deep inside of a ragged ellipse each pixel lies: 1 in the middle, 0 at the outline, negative outside.

    Args:
        rng: Source of randomness.
        radius_px: Half the greatest extent.
        aspect: Greatest over smallest extent.
        angle: Direction of the greatest extent, radians.
        rough: How far the outline wanders, as a fraction of the radius.
    """
    across = radius_px / aspect
    side = patch_of(radius_px * (1 + 1.5 * rough), across * (1 + 1.5 * rough), angle)
    u, v = centred(side, angle)
    field = 1 - np.sqrt(np.square(u / radius_px) + np.square(v / across))
    if rough:
        grain = max(across / 1.6, 2.0)
        field = field + np.float32(0.45 * rough) * (
            noise(rng, side, (grain, grain)) + 0.5 * noise(rng, side, (grain / 3, grain / 3))
        )
    return np.asarray(field, np.float32)


def walk(rng: Rng, length_px: float, *, angle: float, bend: float, jag: float, step_px: float) -> Points:
    """A line of ``(N, 2)`` points (x, y) from (0, 0); ``bend`` turns it steadily, ``jag`` each step, in radians."""
    steps = max(2, round(length_px / step_px))
    heading = angle + np.cumsum(np.full(steps, bend / steps)) + jag * rng.standard_normal(steps)
    moves = step_px * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])


def frame_lines(lines: list[Points], margin_px: float) -> tuple[list[Points], tuple[int, int]]:
    """Shift lines into a common patch with a margin; gives the lines and the patch's side (h, w)."""
    every = np.concatenate(lines)
    low = every.min(axis=0) - margin_px
    side = np.ceil(every.max(axis=0) + margin_px - low).astype(int) + 1
    return [points - low for points in lines], (int(side[1]), int(side[0]))


def beside(points: Points, side: tuple[int, int]) -> tuple[Field, Field]:
    """For each pixel, the signed distance in pixels to the line, and the place along it, 0 to 1."""
    y, x = np.mgrid[: side[0], : side[1]].astype(np.float32)
    best = np.full(side, np.inf, np.float32)
    signed, place = np.zeros(side, np.float32), np.zeros(side, np.float32)
    count = len(points) - 1
    for i in range(count):
        (ax, ay), (bx, by) = points[i], points[i + 1]
        dx, dy = np.float32(bx - ax), np.float32(by - ay)
        length2 = max(float(dx * dx + dy * dy), 1e-9)
        px, py = x - np.float32(ax), y - np.float32(ay)
        t = np.clip((px * dx + py * dy) / np.float32(length2), 0, 1)
        distance = np.hypot(px - t * dx, py - t * dy)
        nearer = distance < best
        best[nearer] = distance[nearer]
        turn = np.where(dx * py - dy * px >= 0, 1, -1).astype(np.float32)
        signed[nearer] = (turn * distance)[nearer]
        place[nearer] = ((i + t) / count)[nearer]
    return signed, place


def ends(rng: Rng, place: Field, share: float) -> Field:
    """Fading towards both ends of a line, each over its own part of ``share`` of the length."""
    first, last = share * rng.uniform(0.3, 1.0, 2)
    return ramp(place, 0.0, float(first)) * ramp(1 - place, 0.0, float(last))


def _seeds(rng: Rng, side: tuple[int, int], cell_px: float) -> Points:
    """Centres (y, x) of cells: a grid whose points wander, so that no cell is a sliver."""
    grid = np.stack(np.meshgrid(*(np.arange(-cell_px, n + cell_px, cell_px) for n in side), indexing="ij"), axis=-1)
    return np.asarray(grid.reshape(-1, 2) + rng.uniform(-0.42, 0.42, (grid.size // 2, 2)) * cell_px, np.float64)


def mosaic(rng: Rng, field: Field, cell_px: float) -> Field:
    """A field that has one value all over each cell of a Voronoi network, the one at the cell's centre."""
    seeds = _seeds(rng, (field.shape[0], field.shape[1]), cell_px)
    rows, columns = (np.clip(np.rint(seeds[:, k]).astype(int), 0, field.shape[k] - 1) for k in (0, 1))
    y, x = np.mgrid[: field.shape[0], : field.shape[1]]
    nearest = np.asarray(cKDTree(seeds).query(np.stack([y, x], axis=-1).reshape(-1, 2))[1])
    return np.asarray(field[rows, columns][nearest].reshape(field.shape), np.float32)


def cells(rng: Rng, side: tuple[int, int], cell_px: float) -> Field:
    """Distance in pixels to the border between the two nearest cells of a Voronoi network."""
    y, x = np.mgrid[: side[0], : side[1]].astype(np.float32)
    seeds = _seeds(rng, side, cell_px)
    bent = np.stack([y + 1.2 * noise(rng, side, (5, 5)), x + 1.2 * noise(rng, side, (5, 5))], axis=-1)
    near = np.asarray(cKDTree(seeds).query(bent.reshape(-1, 2), k=2)[0])
    return np.asarray(((near[:, 1] - near[:, 0]) / 2).reshape(side), np.float32)
