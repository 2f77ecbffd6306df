"""A part's look and a random generator in, one raising or combined defect (burr, blister, lap ...) as a stamp out.

Synthetic, like everything that is drawn here; see :mod:`verticals.industrial.recessions`.
"""

import numpy as np

from verticals.industrial.shapes import (
    Rng,
    Stamp,
    any_angle,
    bell,
    beside,
    centred,
    contrast,
    ends,
    frame_lines,
    inset,
    ramp,
    spot,
    stamp,
    walk,
)
from verticals.industrial.surface import Field, Look, noise


def burr(rng: Rng, look: Look) -> Stamp:
    """Ragged lip that stands up along the edge and hangs over it."""
    length, edge, strength = int(rng.uniform(45, 230)), 16, contrast(rng)
    side = (length + 12, edge + 16)
    y, x = np.mgrid[: side[0], : side[1]].astype(np.float32)
    fade = ramp(y, 3, 16) * ramp(length + 9 - y, 0, 14)
    ragged = np.abs(noise(rng, side, (4, 90))) + 0.7 * np.abs(noise(rng, side, (14, 90)))
    out = np.minimum(fade * rng.uniform(2.5, 6.0) * (0.35 + 0.7 * ragged), edge - 3.0)
    lip = ramp(x - (edge - out), -0.6, 0.8) * ramp(edge + 5 - x, 0, 3.0) * fade
    crest = bell(x - (edge + 0.5), 2.2) * fade
    return stamp(
        (lip > 0.25) & (x < edge + 6),
        height=2.2 * strength * crest * (0.7 + 0.4 * ragged) + 0.5 * lip * noise(rng, side, (5, 2.5)),
        reflect=1 + 0.4 * strength * lip,
        gloss=1 + 0.6 * lip,
        cover=lip,
        at_edge=edge,
    )


def blister(rng: Rng, look: Look) -> Stamp:
    """One to three smooth glossy domes with a sharp foot."""
    strength, count = contrast(rng), int(rng.integers(1, 4))
    radii = rng.uniform(7, 24) * np.array([1.0, 0.6, 0.45])[:count]
    side = (int(4.4 * radii[0]) + 9,) * 2
    x, y = centred(side)
    dome, foot = np.zeros(side, np.float32), np.zeros(side, np.float32)
    turn = any_angle(rng) * 2
    for i, radius in enumerate(radii):
        away = 0.0 if i == 0 else float(radii[0] + radius) * 1.02
        cx, cy = away * np.cos(turn + 1.1 * i), away * np.sin(turn + 1.1 * i)
        away_px = np.hypot((x - cx) * rng.uniform(0.9, 1.1), y - cy)
        dome = np.maximum(dome, 0.32 * radius * np.sqrt(np.maximum(1 - np.square(away_px / radius), 0)))
        foot = np.maximum(foot, bell(away_px - radius - 0.5, 0.9))
    return stamp(
        (dome > 0) | (foot > 0.5),
        height=strength * dome,
        reflect=1 - 0.3 * strength * foot,
        gloss=1 + 0.8 * (dome > 0),
        cover=0.7 * (dome > 0),
    )


def wrinkle(rng: Rng, look: Look) -> Stamp:
    """Two to five ridges side by side along a bent line, sharp on one flank."""
    strength, spacing = contrast(rng), rng.uniform(10, 20)
    folds = int(rng.integers(2, 6))
    length = rng.uniform(90, 300)
    line = walk(rng, length, angle=any_angle(rng), bend=rng.normal(0, 0.5), jag=0.08, step_px=length / 12)
    half = folds * spacing / 2
    (line,), side = frame_lines([line], half + 6)
    distance, place = beside(line, side)
    bent = distance + 0.14 * spacing * noise(rng, side, (45, 45))
    envelope = ramp(half + 2 - np.abs(bent), 0, 0.6 * spacing) * ends(rng, place, 0.5)
    phase = bent / spacing + folds / 2
    # A skewed wave: slow up, steep down, as sheet folds over.
    swing = np.sin(2 * np.pi * phase + 0.7 * np.sin(2 * np.pi * phase))
    return stamp(envelope > 0.15, height=0.2 * spacing * strength * envelope * swing)


def inclusion(rng: Rng, look: Look) -> Stamp:
    """Foreign particle pressed in: dark angular speck or streak in the direction of rolling, on a slight bump."""
    strength, radius = contrast(rng), rng.uniform(4, 10)
    aspect = rng.uniform(1.0, 1.6) if rng.random() < 0.5 else rng.uniform(2.5, 6)
    if aspect > 2:
        radius *= 2.2
    field = spot(rng, radius, aspect=aspect, angle=np.pi / 2 + rng.normal(0, 0.12), rough=0.35)
    wide = np.pad(field, 8, mode="reflect", reflect_type="odd")
    inner = inset(wide.shape, 6)
    speck, lifted = ramp(wide, -0.02, 0.18) * inner, ramp(wide, -1.1, 0.4) * inner
    dark = min(0.85, rng.uniform(0.5, 0.8) * strength)
    return stamp(
        (wide > -0.12) & (inner > 0.5),
        height=0.9 * strength * lifted + 0.35 * speck * noise(rng, wide.shape, (2.5, 2.5)),
        reflect=1 - dark * speck,
        gloss=1 - 0.8 * speck,
        cover=speck,
    )


def deposit(rng: Rng, look: Look) -> Stamp:
    """A curled chip or spatter balls lying on the surface, with the shadow they throw away from the light."""
    high = rng.uniform(4, 8)
    body = _curl(rng) if rng.random() < 0.5 else _balls(rng)
    body = np.pad(body, int(2.2 * high) + 3)
    shadow = np.zeros_like(body)
    # Every step away from the light the shadow's ceiling comes down by the tangent of the light's elevation.
    for step in range(1, int(1.6 * high) + 2):
        moved = (round(-step * np.sin(look.azimuth)), round(-step * np.cos(look.azimuth)))
        fallen = high * np.roll(body, moved, (0, 1)) - step * np.tan(look.elevation)
        shadow = np.maximum(shadow, ramp(fallen - high * body, 0, 1.2))
    solid = ramp(body, 0.02, 0.25)
    shadow = shadow * (1 - solid)
    shade = rng.uniform(0.55, 0.75)
    tint = rng.uniform(1.1, 1.7)
    return stamp(
        (solid > 0.3) | (shadow > 0.4),
        height=high * 0.55 * body + 0.15 * solid * noise(rng, body.shape, (2, 2)),
        reflect=(1 + (tint - 1) * solid) * (1 - shade * shadow),
        gloss=(1 + 1.5 * solid) * (1 - shadow),
        cover=solid,
    )


def _curl(rng: Rng) -> Field:
    """Height (0 to 1) of a bent sliver."""
    length, width = rng.uniform(40, 110), rng.uniform(2.2, 4.5)
    line = walk(rng, length, angle=any_angle(rng) * 2, bend=rng.uniform(1.2, 5.0), jag=0.05, step_px=length / 14)
    (line,), side = frame_lines([line], 6)
    distance, place = beside(line, side)
    girth = width * (0.35 + 0.65 * np.sin(np.pi * np.clip(place, 0.02, 0.98)))
    return np.asarray(np.sqrt(np.maximum(1 - np.square(distance / girth), 0)), np.float32)


def _balls(rng: Rng) -> Field:
    """Height (0 to 1) of one to four spatter balls."""
    side = (57, 57)
    x, y = centred(side)
    body = np.zeros(side, np.float32)
    for i in range(rng.integers(1, 5)):
        radius = rng.uniform(4, 9) if i == 0 else rng.uniform(2, 4.5)
        cx, cy = (0, 0) if i == 0 else rng.uniform(-21, 21, 2)
        ball = (radius / 9) * np.sqrt(np.maximum(1 - (np.square(x - cx) + np.square(y - cy)) / radius**2, 0))
        body = np.maximum(body, ball)
    return body


def crater(rng: Rng, look: Look) -> Stamp:
    """Round pit inside of a raised ring, often with a dark point in the middle."""
    strength, radius = contrast(rng), rng.uniform(6, 17)
    side = (int(3.8 * radius) + 7,) * 2
    angle, squeeze = any_angle(rng), rng.uniform(0.88, 1.0)
    u, v = centred(side, angle)
    away = np.hypot(u, v / squeeze) + 0.04 * radius * noise(rng, side, (radius, radius))
    pit = 1 - ramp(away, 0.25 * radius, 0.9 * radius)
    ring = bell(away - 1.1 * radius, 0.22 * radius)
    point = bell(away, 0.14 * radius + 0.5) * (rng.random() < 0.7)
    return stamp(
        away < 1.55 * radius,
        height=strength * radius * (0.13 * ring - 0.3 * pit),
        reflect=1 - min(0.8, 0.7 * strength) * point,
        cover=0.5 * pit,
    )


def lap(rng: Rng, look: Look) -> Stamp:
    """Rounded step along a bent seam, with a dark gap at its foot where two flows did not join."""
    strength, length = contrast(rng), rng.uniform(90, 330)
    line = walk(rng, length, angle=any_angle(rng), bend=rng.normal(0, 0.7), jag=0.11, step_px=length / 18)
    reach = rng.uniform(12, 24)
    (line,), side = frame_lines([line], 2.2 * reach)
    distance, place = beside(line, side)
    fade = ends(rng, place, 0.6)
    over = ramp(distance, -0.3, 2.5) * (1 - ramp(distance, 1, 2.1 * reach))
    gap = bell(distance + 0.5, 0.9) * (0.75 + 0.25 * noise(rng, side, (8, 8)))
    ripples = 0.35 * np.sin(distance / 1.9) * bell(distance - 0.8 * reach, 0.35 * reach)
    return stamp(
        (distance > -2.5) & (distance < 1.3 * reach) & (fade > 0.15),
        height=strength * fade * (4.5 * over + ripples - 0.9 * gap),
        reflect=1 - min(0.7, 0.55 * strength) * fade * gap,
        gloss=1 - fade * gap,
    )


def scale(rng: Rng, look: Look) -> Stamp:
    """Dark rough flakes of oxide pressed in, drawn out in the direction of rolling."""
    strength, radius = contrast(rng), rng.uniform(28, 75)
    field = spot(rng, radius, aspect=rng.uniform(1.3, 2.6), angle=np.pi / 2 + rng.normal(0, 0.1), rough=0.4)
    side = field.shape
    islands = noise(rng, side, (16, 6)) + 0.5 * noise(rng, side, (5, 2.5)) + 2.0 * (field - 0.25)
    flake = ramp(islands, 0.1, 0.35) * ramp(field, -0.05, 0.15)
    dark = min(0.7, 0.5 * strength) * (1 + 0.3 * noise(rng, side, (9, 4)))
    return stamp(
        (ramp(field, -0.05, 0.15) > 0.4) & (islands > -0.4),
        height=strength * flake * (0.45 + 0.25 * noise(rng, side, (2.5, 2))),
        reflect=1 - np.clip(dark, 0.05, 0.8) * flake,
        gloss=1 - 0.8 * flake,
        cover=0.6 * flake,
    )
