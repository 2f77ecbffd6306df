"""A clean picture of skin in, the same through a dermoscope out: hair, ruler, gel bubbles, uneven light, grain."""

import cv2
import numpy as np

from verticals.medical.drawing.skin_optics import Field, Rng, noise, ramp


def texture(rng: Rng, side: int, px_per_mm: float) -> Field:
    """Lines and pores of the skin as a factor of its light, ``(side, side)`` float32 around 1."""
    furrows = 0.02 * noise(rng, side, 0.35 * px_per_mm) + 0.015 * noise(rng, side, 2.5 * px_per_mm)
    return np.asarray(1 + furrows, np.float32)


def hair(rng: Rng, picture: Field, count: int, px_per_mm: float) -> None:
    """Lay ``count`` hairs of 0.06 to 0.1 mm over a picture, in place; each with a soft shadow beside it."""
    side = picture.shape[0]
    colour = np.array([0.16, 0.11, 0.08], np.float32) * np.float32(rng.uniform(0.5, 1.9))
    flow = rng.uniform(0, np.pi)
    for _ in range(count):
        heading = flow + 0.4 * rng.standard_normal()
        at = rng.uniform(-0.1, 1.1, 2) * side
        points = []
        for _ in range(28):
            points.append(at)
            heading += 0.05 * rng.standard_normal()
            at = at + side / 18 * np.array([np.cos(heading), np.sin(heading)])
        curve = np.round(np.array(points) * 16).astype(np.int32)
        stroke = np.zeros(picture.shape[:2], np.float32)
        width = rng.uniform(0.06, 0.10) * px_per_mm
        cv2.polylines(stroke, [curve], False, min(1.0, width), max(1, round(width)), cv2.LINE_AA, 4)
        shadow = cv2.GaussianBlur(np.roll(stroke, 2, (0, 1)), (0, 0), 1.6)
        picture *= 1 - 0.25 * shadow[..., None]
        picture *= 1 - 0.9 * stroke[..., None]
        picture += 0.9 * stroke[..., None] * colour


def ruler(picture: Field, px_per_mm: float) -> None:
    """A millimetre scale along the lower edge, in place: every fifth line longer."""
    side = picture.shape[0]
    for number in range(int(side / px_per_mm) + 1):
        length = (0.9 if number % 5 == 0 else 0.5) * px_per_mm
        x, top = round(number * px_per_mm), side - round(length)
        cv2.line(picture, (x, top), (x, side), (0.06, 0.06, 0.07), max(1, round(0.06 * px_per_mm)), cv2.LINE_AA)


def bubbles(rng: Rng, picture: Field, count: int, px_per_mm: float) -> None:
    """Air in the gel, in place: a dark ring, a brighter inside, and the mirrored lamp."""
    side = picture.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    for _ in range(count):
        radius = rng.uniform(0.15, 0.55) * px_per_mm
        cy, cx = rng.uniform(0, side, 2)
        distance = np.hypot(y - cy, x - cx) / radius
        ring = np.exp(-0.5 * np.square((distance - 1) / 0.12))
        picture *= 1 - 0.28 * ring[..., None]
        picture += 0.035 * (1 - ramp(distance, 0.8, 1.0))[..., None]
        lamp = np.hypot(y - cy + 0.4 * radius, x - cx + 0.4 * radius) / radius
        picture += 0.5 * (1 - ramp(lamp, 0.08, 0.26))[..., None]


def exposed(rng: Rng, picture: Field, *, round_field: bool) -> Field:
    """Uneven light, falloff to the corners, white balance, blur and grain; ``round_field`` blackens the corners.

    Returns:
        ``(H, W, 3)`` float32, 0 to 1.
    """
    side = picture.shape[0]
    y, x = (np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2) / (side / 2)
    tilt, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.09)
    light = 1 + strength * (x * np.cos(tilt) + y * np.sin(tilt))
    light *= 1 - rng.uniform(0.04, 0.20) * (x * x + y * y) / 2
    balance = 1 + 0.025 * rng.standard_normal(3)
    seen = picture * light[..., None] * balance * rng.uniform(0.92, 1.06)
    seen = cv2.GaussianBlur(np.asarray(seen, np.float32), (0, 0), rng.uniform(0.35, 0.8))
    seen += rng.uniform(0.004, 0.010) * rng.standard_normal(seen.shape)
    if round_field:
        seen *= (1 - ramp(np.hypot(x, y), 1.08, 1.13))[..., None]
    return np.asarray(np.clip(seen, 0, 1), np.float32)
