"""Procedural scenes: shapes laid over textures, the way dead leaves, lesions, scratches, foliage and parts lie."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.pretraining import textures
from shared.pretraining.textures import Picture, Rng

Canvas = NDArray[np.float32]
"""``(side, side, 3)`` RGB, 0 to 1."""


def outline(rng: Rng, radius: float) -> NDArray[np.float64]:
    """A closed contour about the origin ``(points, 2)``: a polygon, or a circle bent by waves and stretched.

    The bent circles are the visual atoms of Takashima et al. (2023).
    """
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    bent = np.ones_like(angle)
    for _ in range(rng.integers(0, 5)):
        bent += rng.uniform(0, 0.25) * np.sin(rng.integers(2, 14) * angle + rng.uniform(0, 6.3))
    if rng.random() < 0.3:  # a polygon
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        bent = rng.uniform(0.6, 1.2, len(angle))
    points = radius * np.stack([bent * np.cos(angle), bent * np.sin(angle) * np.exp(rng.uniform(-1.2, 0))], 1)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ rotation, np.float64)


def filled(rng: Rng, side: int, contour: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mask of a contour ``(side, side)``, 0 to 1, with a sharp or a soft edge."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round((contour + centre) * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)
    soft = rng.choice([0.0, 0.0, 1.5, 6.0])
    blurred = cv2.GaussianBlur(mask, (0, 0), soft) if soft else mask
    return np.asarray(blurred / np.float32(255), np.float32)


def dead_leaves(rng: Rng, side: int) -> Canvas:
    """Shapes of power-law sizes that hide each other, each with its own texture (Lee et al. 2001)."""
    canvas = textures.texture(rng, side)
    stock = [textures.texture(rng, side) for _ in range(4)]
    for _ in range(rng.integers(20, 160)):
        radius = side * 0.02 * (1 - rng.random()) ** -0.7
        mask = filled(rng, side, outline(rng, min(radius, side / 2)), rng.uniform(0, side, 2))[..., None]
        plain = rng.random(3).astype(np.float32)
        fill = stock[rng.integers(4)] if rng.random() < 0.6 else plain
        tint = np.clip(fill * rng.uniform(0.6, 1.3, 3).astype(np.float32), 0, 1)
        canvas = canvas * (1 - mask) + tint * mask
    return canvas


def lesions(rng: Rng, side: int) -> Canvas:
    """A smooth ground with one or more blots: irregular border, network or dots inside, hairs across."""
    ground = textures.noise(rng, side)[..., None] * rng.uniform(0.02, 0.25)
    canvas = np.clip(rng.uniform(0.3, 1, 3) + ground - 0.1, 0, 1).astype(np.float32)
    base = rng.uniform(0, 0.8, 3)
    for _ in range(1 if rng.random() < 0.5 else rng.integers(2, 40)):
        radius = side * np.exp(rng.uniform(np.log(0.02), np.log(0.35)))
        mask = filled(rng, side, outline(rng, radius), rng.uniform(0.15, 0.85, 2) * side)
        mask *= 1 - rng.uniform(0, 0.6) * textures.FIELDS[rng.integers(len(textures.FIELDS))](rng, side)
        colour = np.clip(base + rng.uniform(-0.2, 0.2, 3), 0, 1)
        canvas = canvas * (1 - mask[..., None]) + colour.astype(np.float32) * mask[..., None]
    return lined(rng, canvas) if rng.random() < 0.4 else canvas


def lined(rng: Rng, canvas: Canvas) -> Canvas:
    """Curved thin lines over a canvas: hairs, scratches, cracks, veins."""
    side = canvas.shape[0]
    result = np.ascontiguousarray(canvas)
    colour = rng.random(3) if rng.random() < 0.3 else np.clip(result.mean((0, 1)) * rng.uniform(0.1, 1.8), 0, 1)
    for _ in range(rng.integers(1, 30)):
        steps, bend = int(rng.integers(10, 120)), rng.choice([0.02, 0.1, 0.5])
        heading = rng.uniform(0, 6.3) + np.cumsum(rng.normal(0, bend, steps))
        stride = side * rng.uniform(0.002, 0.012)
        path = rng.uniform(0, side, 2) + np.cumsum(stride * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        drawn = [np.round(path * 8).astype(np.int32)]
        cv2.polylines(result, drawn, False, colour.tolist(), int(rng.integers(1, 4)), cv2.LINE_AA, 3)
    return result


def surface(rng: Rng, side: int) -> Canvas:
    """A fine even texture with few faint or strong marks, lit from one side."""
    grain = textures.FIELDS[rng.integers(len(textures.FIELDS))](rng, side)[..., None]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    light = 1 + rng.uniform(-0.4, 0.4) * (x - 0.5) + rng.uniform(-0.4, 0.4) * (y - 0.5)
    canvas = (rng.uniform(0.2, 0.9) + rng.uniform(0.03, 0.3) * (grain - 0.5)) * light[..., None]
    canvas = np.clip(canvas * rng.uniform(0.85, 1, 3), 0, 1).astype(np.float32)
    for _ in range(rng.integers(0, 12)):
        mask = filled(rng, side, outline(rng, side * rng.uniform(0.005, 0.1)), rng.uniform(0, side, 2))[..., None]
        canvas = np.clip(canvas * (1 + rng.uniform(-0.8, 0.8) * mask), 0, 1)
    return lined(rng, canvas) if rng.random() < 0.6 else canvas


def contours(rng: Rng, side: int) -> Canvas:
    """Nested outlines of one shape, repeated and scaled."""
    canvas = np.ascontiguousarray(textures.texture(rng, side) * rng.uniform(0.2, 1))
    for _ in range(rng.integers(1, 8)):
        shape, centre = outline(rng, 1.0), rng.uniform(0, side, 2)
        colours = textures.palette(rng)
        for scale in np.linspace(side * rng.uniform(0.1, 0.5), 2, int(rng.integers(2, 40))):
            points = [np.round((shape * scale + centre) * 8).astype(np.int32)]
            colour = colours[rng.integers(256)].tolist()
            if rng.random() < 0.5:
                cv2.fillPoly(canvas, points, colour, cv2.LINE_AA, 3)
            else:
                cv2.polylines(canvas, points, True, colour, int(rng.integers(1, 5)), cv2.LINE_AA, 3)
    return canvas


def foliage(rng: Rng, side: int) -> Canvas:
    """Many shapes of one kind and near colours over a darker ground, with veins and spots."""
    canvas = textures.texture(rng, side) * rng.uniform(0.2, 0.8)
    colours, shape = textures.palette(rng), outline(rng, 1.0)
    size = side * np.exp(rng.uniform(np.log(0.02), np.log(0.3)))
    spots = textures.cells(rng, side)[..., None]
    for _ in range(rng.integers(10, 120)):
        turn = rng.uniform(0, 6.3)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        contour = shape @ rotation * size * rng.uniform(0.5, 1.5)
        mask = filled(rng, side, contour, rng.uniform(0, side, 2))[..., None]
        shade = colours[rng.integers(256)] * rng.uniform(0.6, 1.2) * (1 - rng.uniform(0, 0.5) * (1 - spots))
        canvas = canvas * (1 - mask) + np.clip(shade, 0, 1) * mask
    return np.asarray(lined(rng, canvas) if rng.random() < 0.5 else canvas, np.float32)


SCENES: dict[str, Callable[[Rng, int], Canvas]] = {
    "texture": textures.texture,
    "dead leaves": dead_leaves,
    "lesions": lesions,
    "surface": surface,
    "contours": contours,
    "foliage": foliage,
}


def scene(rng: Rng, side: int) -> Picture:
    """One picture of a kind drawn at random, ``(side, side, 3)`` uint8 RGB."""
    kinds = list(SCENES.values())
    canvas = kinds[rng.integers(len(kinds))](rng, side)
    return np.asarray(np.clip(canvas, 0, 1) * 255 + 0.5, np.uint8)
