"""Sizes in, the structures that dermoscopy names out: network, globules, streaks, vessels, lacunae, cysts, scale.

Each function gives a ``(side, side)`` float32 map, 0 where there is nothing and about 1 where the structure is fullest.
Names and descriptions after Kittler et al., "Standardization of terminology in dermoscopy", JAAD 74 (2016) 1093.
"""

from itertools import pairwise

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from verticals.medical.drawing.skin_optics import Field, Real, Rng, noise, ramp

_SUBPIXEL = 4
"""OpenCV draws with fractions of a pixel: coordinates times 2^4."""


def outline(rng: Rng, side: int, radius_px: float, *, aspect: float, rough: float, lobes: float = 0.0) -> Field:
    """How far inside of a ragged oval each pixel lies: 1 in the middle, 0 at the outline, negative outside.

    Args:
        rng: Source of randomness.
        side: Pixels of the square.
        radius_px: Half of the greatest extent.
        aspect: Greatest over smallest extent.
        rough: How far the outline wanders, as a fraction of the radius.
        lobes: How far it bulges in few large lobes, likewise; makes it asymmetric.
    """
    y, x = np.mgrid[:side, :side].astype(np.float32) - np.float32((side - 1) / 2)
    around = np.arctan2(y, x)
    bulge = np.zeros_like(x)
    for order in (1, 2, 3):
        bulge += np.cos(order * around + rng.uniform(0, 2 * np.pi)) * np.float32(lobes * rng.uniform(0.3, 1.0) / order)
    distance = np.hypot(x / radius_px, y * aspect / radius_px) / (1 + bulge)
    wander = noise(rng, side, radius_px / 1.6) + 0.35 * noise(rng, side, radius_px / 5)
    inside = np.asarray(1 - distance + np.float32(0.4 * rough) * wander * ramp(distance, 0.2, 0.8), np.float32)
    parts, count = ndimage.label(inside > 0)
    if count > 1:  # specks beside the lesion are no lesion
        largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        inside[(parts > 0) & (parts != largest)] = -0.1
    return inside


def network(rng: Rng, side: int, cell_px: float, *, irregular: float, line_px: float) -> Field:
    """Pigment network: a honeycomb of lines, 1 on the lines and 0 in the holes; ``irregular`` 0 (typical) to 1."""
    steps = np.arange(-cell_px, side + cell_px, cell_px)
    grid = np.stack(np.meshgrid(steps, steps * 0.87, indexing="ij"), axis=-1)
    grid[:, 1::2, 0] += cell_px / 2
    points = grid.reshape(-1, 2) + rng.uniform(-0.5, 0.5, (grid.size // 2, 2)) * cell_px * (0.35 + 0.6 * irregular)
    if irregular:
        points = points[rng.random(len(points)) > 0.3 * irregular]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bent = np.stack(
        [y + 0.12 * cell_px * noise(rng, side, cell_px), x + 0.12 * cell_px * noise(rng, side, cell_px)], -1
    )
    near = np.asarray(cKDTree(points).query(bent.reshape(-1, 2), k=2)[0])
    border = (near[:, 1] - near[:, 0]).reshape(side, side) / 2
    width = line_px * (1 + 0.6 * irregular * noise(rng, side, 3 * cell_px))
    return 1 - ramp(border / np.maximum(width, 0.4), 0.2, 1.5)


def dots(rng: Rng, where: Real, count: int, radius_px: tuple[float, float], *, soft: float = 0.35) -> Field:
    """Globules, dots, cysts, nests: ``count`` round spots whose centres fall where ``where`` is high."""
    side = where.shape[0]
    drawn = np.zeros((side, side), np.float32)
    chances = np.clip(np.asarray(where, np.float64), 0, None).ravel()
    if not chances.any():
        return drawn
    places = rng.choice(chances.size, size=count, p=chances / chances.sum())
    y, x = np.mgrid[:side, :side].astype(np.float32)
    for place in places:
        radius, stretch = rng.uniform(*radius_px), rng.uniform(0.8, 1.25)
        cy, cx = divmod(int(place), side)
        reach = int(radius * 1.8) + 3
        part = np.s_[max(cy - reach, 0) : cy + reach + 1, max(cx - reach, 0) : cx + reach + 1]
        distance = np.hypot((y[part] - cy) * stretch, (x[part] - cx) / stretch) / radius
        strength = np.float32(rng.uniform(0.7, 1.0))
        drawn[part] = np.maximum(drawn[part], strength * (1 - ramp(distance, 1 - soft, 1 + soft)))
    return drawn


def streaks(rng: Rng, inside: Field, count: int, length_px: float, width_px: float) -> Field:
    """Radial streaks and pseudopods: lines that leave the outline outwards, ending in a knob or thinning out."""
    side = inside.shape[0]
    drawn = np.zeros((side, side), np.float32)
    rim = np.argwhere(np.abs(inside - 0.12) < 0.04)
    if not len(rim):
        return drawn
    middle = np.full(2, (side - 1) / 2)
    sector = rng.uniform(0, 2 * np.pi)
    for start in rim[rng.choice(len(rim), size=3 * count)]:
        out = (start - middle) / max(float(np.hypot(*(start - middle))), 1.0)
        turn = np.arctan2(out[0], out[1]) - sector
        if np.cos(turn) < -0.2 or count <= 0:
            continue  # on one side more than on the other: symmetric streaks would be a Reed nevus
        count -= 1
        length = length_px * rng.uniform(0.6, 1.3)
        end = start + length * (out + 0.25 * rng.standard_normal(2))
        _line(drawn, [start, (start + end) / 2 + 0.06 * length * rng.standard_normal(2), end], width_px, 0.7 * width_px)
        if rng.random() < 0.4:
            cv2.circle(drawn, _fixed(end), round(1.1 * width_px * 2**_SUBPIXEL), 1.0, -1, cv2.LINE_AA, _SUBPIXEL)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), max(0.35 * width_px, 0.5)), np.float32)


def arborising(rng: Rng, inside: Field, count: int, length_px: float, width_px: float) -> Field:
    """Arborising vessels: stems that enter from the rim and branch into ever finer ones, sharply in focus."""
    side = inside.shape[0]
    drawn = np.zeros((side, side), np.float32)
    rim = np.argwhere(np.abs(inside - 0.1) < 0.05)
    middle = np.full(2, (side - 1) / 2)
    for start in rim[rng.choice(len(rim), size=count)] if len(rim) else ():
        heading = np.arctan2(*(middle - start + 0.25 * length_px * rng.standard_normal(2)))
        _branch(rng, drawn, start.astype(float), float(heading), length_px, width_px)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), 0.5), np.float32)


def _branch(rng: Rng, drawn: Field, at: Real, heading: float, length: float, width: float) -> None:
    if width < 0.5 or length < 3:
        return
    points = [at]
    for _ in range(6):
        heading += 0.22 * rng.standard_normal()
        points.append(points[-1] + length / 6 * np.array([np.sin(heading), np.cos(heading)]))
    _line(drawn, points, width, 0.75 * width)
    for turn in (rng.uniform(0.35, 0.8), -rng.uniform(0.35, 0.8)):
        _branch(rng, drawn, points[-1], heading + turn, length * rng.uniform(0.5, 0.8), 0.68 * width)
    if rng.random() < 0.7:
        side_turn = float(rng.choice([-0.9, 0.9]))
        _branch(rng, drawn, points[3], heading + side_turn, 0.5 * length, 0.55 * width)


def _line(drawn: Field, points: list[Real], first_px: float, last_px: float) -> None:
    """A line through (y, x) points whose width goes from ``first_px`` to ``last_px``; finer than a pixel is fainter."""
    pairs = list(pairwise(points))
    for i, (a, b) in enumerate(pairs):
        width = first_px + (last_px - first_px) * i / max(len(pairs) - 1, 1)
        stroke = np.zeros_like(drawn)
        cv2.line(stroke, _fixed(a), _fixed(b), min(1.0, width), max(1, round(width)), cv2.LINE_AA, _SUBPIXEL)
        np.maximum(drawn, stroke, out=drawn)


def _fixed(point: Real) -> tuple[int, int]:
    return round(float(point[1]) * 2**_SUBPIXEL), round(float(point[0]) * 2**_SUBPIXEL)
