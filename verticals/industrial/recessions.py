"""A part's look and a random generator in, one recession (scratch, crack, dent ...) as a stamp out.

Synthetic: each type is drawn from a physical description (what it does to height, reflectance and gloss), not copied
from any photograph. Sizes suit 0.05 mm per pixel. Every type ranges from obvious to faint.
"""

import numpy as np
from scipy import ndimage

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
    largest,
    patch_of,
    ramp,
    spot,
    stamp,
    walk,
)
from verticals.industrial.surface import BACKDROP, Field, Look, noise


def scratch(rng: Rng, look: Look) -> Stamp:
    """Thin groove, metal thrown up on both sides, bright fresh metal inside, fading ends."""
    strength, width = contrast(rng), rng.uniform(0.7, 1.7)
    length = np.exp(rng.uniform(np.log(40), np.log(480)))
    line = walk(rng, length, angle=any_angle(rng), bend=rng.normal(0, 0.25), jag=0.015, step_px=max(8, length / 16))
    (line,), side = frame_lines([line], 8)
    distance, place = beside(line, side)
    depth = strength * ends(rng, place, 0.4) * (1 + 0.2 * noise(rng, side, (9, 9)))
    groove = bell(distance, width)
    rims = bell(np.abs(distance) - 2.2 * width, 0.7 * width)
    fresh = rng.uniform(0.25, 0.7)
    return stamp(
        (np.abs(distance) < 2.4 * width + 0.6) & (depth > 0.1 * strength),
        height=depth * (0.45 * rims - 0.9 * width * groove),
        reflect=1 + fresh * depth * groove,
        gloss=1 + depth * groove,
    )


def scoring(rng: Rng, look: Look) -> Stamp:
    """Band of parallel short grooves and smeared metal, all in one direction."""
    strength, along, across = contrast(rng), rng.uniform(45, 130), rng.uniform(10, 32)
    angle = rng.normal(np.pi / 2, 0.5)
    side = patch_of(1.25 * along, 1.4 * across, angle)
    u, v = centred(side, angle)
    streaks = _turned_streaks(rng, u, v, long_px=45, fine_px=1.6)
    ragged = 0.25 * _turned_streaks(rng, u, v, long_px=60, fine_px=5)
    inside = (
        ramp(1 - np.abs(u) / along + ragged, 0.0, 0.35)
        * ramp(1 - np.abs(v) / across + 0.4 * ragged, 0.0, 0.3)
        * inset(side, 8)
    )
    torn = np.maximum(streaks - 0.1, 0)
    return stamp(
        inside > 0.25,
        height=-0.9 * strength * inside * torn,
        reflect=1 + strength * inside * (0.28 * streaks - 0.12),
        gloss=1 + 0.8 * inside * np.maximum(-streaks, 0),
        cover=0.6 * inside,
    )


def _turned_streaks(rng: Rng, u: Field, v: Field, *, long_px: float, fine_px: float) -> Field:
    """Noise drawn out along ``u``."""
    half_u, half_v = float(np.abs(u).max()) + 1, float(np.abs(v).max()) + 1
    plane = noise(rng, (int(2 * half_v) + 2, int(2 * half_u) + 2), (fine_px, long_px))
    drawn = ndimage.map_coordinates(plane, [v + half_v, u + half_u], order=1, mode="nearest")
    return np.asarray(drawn, np.float32)


def crack(rng: Rng, look: Look) -> Stamp:
    """Jagged dark line with steep walls and branches, wide in the middle, hair-thin at the tips."""
    strength, width = contrast(rng), rng.uniform(0.6, 1.5)
    length, angle = np.exp(rng.uniform(np.log(45), np.log(320))), any_angle(rng)
    trunk = walk(rng, length, angle=angle, bend=rng.normal(0, 0.5), jag=0.5, step_px=max(5, length / 34))
    lines, thick = [trunk], [1.0]
    for _ in range(rng.integers(0, 4)):
        start = trunk[rng.integers(len(trunk) // 4, len(trunk))]
        turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.0)
        reach = length * rng.uniform(0.12, 0.35)
        lines.append(start + walk(rng, reach, angle=angle + turn, bend=0, jag=0.5, step_px=max(5, reach / 9)))
        thick.append(0.65)
    lines, side = frame_lines(lines, 7)
    open_ = np.zeros(side, np.float32)
    mask = np.zeros(side, bool)
    for line, share in zip(lines, thick, strict=True):
        distance, place = beside(line, side)
        gap = share * width * (0.35 + ramp(1 - np.abs(2 * place - 1), 0, 0.8)) * (1 + 0.25 * noise(rng, side, (6, 6)))
        open_ = np.maximum(open_, ramp(np.maximum(gap, 0.3) + 0.5 - np.abs(distance), -0.5, 0.7))
        mask |= np.abs(distance) < np.maximum(gap, 0.3) + 1.6
    return stamp(mask, height=-1.6 * strength * open_, reflect=1 - min(0.9, 0.78 * strength) * open_, gloss=1 - open_)


def dent(rng: Rng, look: Look) -> Stamp:
    """Smooth bowl with a barely raised rim; the finish runs through it undisturbed."""
    radius = rng.uniform(11, 40)
    field = spot(rng, radius, aspect=rng.uniform(1, 1.7), angle=any_angle(rng), rough=0.06)
    depth = contrast(rng) * radius * rng.uniform(0.2, 0.32)
    wide = np.pad(field, int(0.5 * radius), mode="reflect", reflect_type="odd")
    bowl = -depth * ramp(wide, 0.0, 1.0) + 0.06 * depth * bell(wide, 0.12)
    return stamp(wide > 0.02, height=bowl)


def pore(rng: Rng, look: Look) -> Stamp:
    """One to four small holes with sharp rims, dark inside with a lit far wall."""
    count, reach = int(rng.integers(1, 5)), 26
    side = (2 * reach + 1, 2 * reach + 1)
    x, y = centred(side)
    hole = np.full(side, -9.0, np.float32)
    for i in range(count):
        radius = rng.uniform(2.0, 5.5) * (1.3 if i == 0 else 0.8)
        where = np.zeros(2) if i == 0 else rng.uniform(-15, 15, 2)
        stretch = rng.uniform(0.8, 1.2)
        hole = np.maximum(hole, radius - np.hypot((x - where[0]) * stretch, (y - where[1]) / stretch))
    hole = hole + 0.3 * noise(rng, side, (4, 4))
    inside = ramp(hole, -0.6, 1.2)
    # The wall next to the light is dark, the far wall is lit, the bottom sees little light.
    dark = min(0.35 + 0.55 * contrast(rng), 0.92) * ramp(hole, 0.0, 2.2)
    return stamp(hole > -1.0, height=-1.8 * inside, reflect=1 - dark, gloss=1 - inside, cover=inside)


def shrinkage(rng: Rng, look: Look) -> Stamp:
    """Shallow hollow whose middle is a rough, branching, dark cavity."""
    strength, radius = contrast(rng), rng.uniform(22, 48)
    field = spot(rng, radius, aspect=rng.uniform(1, 1.6), angle=any_angle(rng), rough=0.25)
    side = field.shape
    # Ridges of noise (where it changes sign) run together like the gaps between dendrites.
    vein = 1 - np.abs(noise(rng, side, (7, 7)) + 0.5 * noise(rng, side, (3, 3))) * 2.2
    torn = ramp(vein + 1.5 * (field - 0.62), 0.0, 0.7) * ramp(field, 0.1, 0.4)
    hollow = -0.09 * radius * strength * ramp(field, 0.0, 0.9)
    return stamp(
        largest(field > 0.05),
        height=hollow - 1.5 * strength * torn,
        reflect=1 - min(0.75, 0.6 * strength) * torn,
        gloss=1 - 0.8 * torn,
        cover=0.7 * torn,
    )


def chipping(rng: Rng, look: Look) -> Stamp:
    """Scallops broken out of the edge: backdrop in the gap, bright conchoidal facets behind it."""
    depth, edge = rng.uniform(6, 24), 8
    height = int(2.8 * depth + rng.uniform(14, 60)) + 12
    side = (height, int(edge + 1.9 * depth + 10))
    y, x = np.mgrid[: side[0], : side[1]].astype(np.float32)
    middle, half = height / 2, height / 2 - 6
    reach = np.sqrt(np.maximum(1 - np.square((y - middle) / half), 0))
    bites = 0.65 + 0.35 * np.abs(np.sin(y / rng.uniform(7, 15) + rng.uniform(0, 3))) + 0.12 * noise(rng, side, (7, 30))
    gap = edge + depth * reach * bites - x
    facet_px = 0.35 * depth + 4
    behind = ramp(gap + facet_px * reach, 0, 2) * (reach > 0)
    gone = ramp(gap, -0.6, 0.6) * (reach > 0)
    ripple = 0.5 * np.sin(gap / rng.uniform(1.2, 2.0)) + 0.7 * noise(rng, side, (3, 3))
    broken = behind * (1 - gone)
    fresh = 1 + contrast(rng) * rng.uniform(0.25, 0.6)
    return stamp(
        (behind > 0.3) & (x > edge - 2),
        height=broken * (0.9 * ripple - 0.55 * np.maximum(gap + facet_px, 0)),
        reflect=(1 + (fresh - 1) * broken) * (1 - gone) + gone * BACKDROP,
        gloss=(1 + 0.6 * broken) * (1 - gone),
        cover=behind,
        at_edge=edge,
    )
