"""A part's look and a random generator in, one imperfection of an area (stain, corrosion, coating ...) as a stamp out.

Synthetic, like everything that is drawn here; see :mod:`verticals.industrial.recessions`.
"""

import numpy as np
from scipy import ndimage

from verticals.industrial.shapes import (
    Rng,
    Stamp,
    any_angle,
    bell,
    beside,
    cells,
    centred,
    contrast,
    frame_lines,
    inset,
    largest,
    mosaic,
    patch_of,
    ramp,
    spot,
    stamp,
    walk,
)
from verticals.industrial.surface import Look, noise


def crazing(rng: Rng, look: Look) -> Stamp:
    """Network of fine cracks that closes into small cells."""
    strength = contrast(rng)
    field = spot(rng, rng.uniform(32, 75), aspect=rng.uniform(1, 1.8), angle=any_angle(rng), rough=0.3)
    inside = ramp(field, 0.0, 0.35)
    gap = cells(rng, field.shape, rng.uniform(9, 16))
    line = ramp(1.0 + 0.3 * noise(rng, field.shape, (7, 7)) - gap, 0, 1.2) * inside
    return stamp(
        largest(field > 0.08), height=-0.7 * strength * line, reflect=1 - 0.5 * strength * line, gloss=1 - 0.7 * line
    )


def pitting(rng: Rng, look: Look) -> Stamp:
    """Many small dark pits close together."""
    strength = contrast(rng)
    field = spot(rng, rng.uniform(24, 60), aspect=rng.uniform(1, 2), angle=any_angle(rng), rough=0.35)
    side = field.shape
    hole = np.full(side, -9.0, np.float32)
    y, x = np.nonzero(field > 0.1)
    count = max(9, int(len(y) * rng.uniform(0.006, 0.016)))
    for i in rng.integers(0, len(y), count):
        radius = float(rng.uniform(0.9, 2.8))
        box = np.s_[max(y[i] - 6, 0) : y[i] + 7, max(x[i] - 6, 0) : x[i] + 7]
        yy, xx = np.mgrid[box]
        np.maximum(hole[box], radius - np.hypot(yy - y[i], xx - x[i]).astype(np.float32), out=hole[box])
    pit = ramp(hole, -0.6, 0.9)
    region = ndimage.binary_closing(np.pad(hole > -0.8, 9), iterations=7)[9:-9, 9:-9]
    return stamp(region, height=-1.3 * strength * pit, reflect=1 - min(0.8, 0.65 * strength) * pit, gloss=1 - 0.8 * pit)


def corrosion(rng: Rng, look: Look) -> Stamp:
    """Rough dull blotches, dark with a paler uneven halo."""
    strength = contrast(rng)
    field = spot(rng, rng.uniform(24, 62), aspect=rng.uniform(1, 1.9), angle=any_angle(rng), rough=0.6)
    side = field.shape
    blotch = field + 0.3 * noise(rng, side, (11, 11)) + 0.18 * noise(rng, side, (4, 4)) + 0.1 * noise(rng, side, (2, 2))
    blotch -= 2 * (1 - inset(side, 6))
    halo, rust = ramp(blotch, -0.1, 0.3) * ramp(field, -0.3, 0), ramp(blotch, 0.15, 0.6) * ramp(field, -0.2, 0.1)
    grain = noise(rng, side, (1.6, 1.6)) + noise(rng, side, (4, 4))
    dark = 0.22 * halo + rust * (0.34 + 0.14 * noise(rng, side, (6, 6)) + 0.08 * grain)
    return stamp(
        halo > 0.35,
        height=0.3 * strength * rust * grain,
        reflect=1 - np.clip(strength * dark, 0, 0.85),
        gloss=1 - 0.9 * np.maximum(halo * 0.6, rust),
        cover=0.8 * rust,
    )


def stain(rng: Rng, look: Look) -> Stamp:
    """A drop that dried (edge darker than its middle), a run of drops, or an oil film; the form stays as it was."""
    strength, kind = contrast(rng), rng.integers(3)
    if kind == 2:  # oil: drawn out, dull, without an edge line
        field = spot(rng, rng.uniform(24, 65), aspect=rng.uniform(1.2, 3), angle=any_angle(rng), rough=0.25)
        film = ramp(field, 0.0, 0.2)
        thick = 0.26 + 0.06 * noise(rng, field.shape, (18, 18))
        return stamp(largest(field > 0.04), reflect=1 - strength * thick * film, gloss=1 - 0.9 * film)
    field = spot(rng, rng.uniform(12, 48), aspect=rng.uniform(1, 1.5), angle=any_angle(rng), rough=0.15)
    if kind == 1:
        next_ = spot(rng, rng.uniform(8, 20), aspect=rng.uniform(1, 1.5), angle=any_angle(rng), rough=0.15)
        wide = max(field.shape[1], next_.shape[1])
        both = [np.pad(f, ((0, 0), (0, wide - f.shape[1])), constant_values=-1) for f in (field, next_)]
        field = np.concatenate(both)
    film, rim = ramp(field, 0.0, 0.06), bell(field - 0.07, 0.06)
    second = 0.5 * bell(field - rng.uniform(0.25, 0.5), 0.03)
    dark = strength * (0.12 * film + 0.28 * np.maximum(rim, second)) * (1 + 0.15 * noise(rng, field.shape, (9, 9)))
    return stamp(field > -0.03, reflect=1 - np.clip(dark, 0, 0.8), gloss=1 - 0.5 * film)


def discoloration(rng: Rng, look: Look) -> Stamp:
    """Soft change of shade without a border; burns have concentric bands."""
    strength = contrast(rng)
    field = spot(rng, rng.uniform(45, 110), aspect=rng.uniform(1, 1.8), angle=any_angle(rng), rough=0.12)
    soft = ramp(field, 0.0, 0.8)
    if rng.random() < 0.5:
        # Temper colours: the thickness of the oxide, and with it the shade, goes up and down towards the heat.
        shade = -soft * (0.32 + 0.2 * np.cos(soft * rng.uniform(9, 14)))
        return stamp(largest(soft > 0.12), reflect=1 + strength * shade, gloss=1 - 0.5 * soft)
    tone = rng.choice([-0.42, 0.32])
    return stamp(largest(soft > 0.12), reflect=1 + strength * tone * soft, gloss=1 + np.sign(tone) * 0.6 * soft)


def grinding(rng: Rng, look: Look) -> Stamp:
    """Chatter: regular parallel ripples in a band, or coarse streaks against the finish."""
    strength, along, across = contrast(rng), rng.uniform(40, 110), rng.uniform(20, 48)
    angle = rng.normal(0, 0.35)
    side = patch_of(along, across, angle)
    u, v = centred(side, angle)
    envelope = ramp(1 - np.abs(u) / along, 0, 0.3) * ramp(1 - np.abs(v) / across, 0, 0.25)
    if rng.random() < 0.65:
        period = rng.uniform(5.0, 11.0)
        wave = np.sin(2 * np.pi * (u + 0.08 * v) / period + 0.5 * noise(rng, side, (40, 40)))
        swing = 0.055 * period * wave * (1 + 0.3 * noise(rng, side, (25, 25)))
    else:
        profile = noise(rng, (1, int(2 * across) + 3), (1, 2.2))[0]
        swing = 0.4 * np.interp(v, np.arange(len(profile)) - len(profile) / 2, profile)
    return stamp(
        envelope > 0.2,
        height=strength * envelope * swing,
        reflect=1 + 0.1 * strength * envelope * np.sign(swing),
        cover=0.5 * envelope,
    )


def coating_flow(rng: Rng, look: Look) -> Stamp:
    """A run of paint (a tongue with a thick rounded end), or orange peel."""
    strength = contrast(rng)
    if rng.random() < 0.5:
        field = spot(rng, rng.uniform(45, 95), aspect=rng.uniform(1, 1.8), angle=any_angle(rng), rough=0.15)
        side, inside, grain = field.shape, ramp(field, 0, 0.3), rng.uniform(5.0, 7.5)
        peel = noise(rng, side, (grain, grain))
        return stamp(
            largest(field > 0.08), height=0.42 * strength * inside * peel, gloss=1 + inside, cover=0.9 * inside
        )
    length, width = rng.uniform(60, 220), rng.uniform(6, 12)
    line = walk(rng, length, angle=np.pi / 2 + rng.normal(0, 0.15), bend=0, jag=0.06, step_px=length / 10)
    (line,), side = frame_lines([line], 2.4 * width)
    distance, place = beside(line, side)
    swelling = 0.55 + 0.45 * place + 0.75 * bell(place - 0.9, 0.08)
    body = np.sqrt(np.maximum(1 - np.square(distance / (width * swelling)), 0)) * ramp(place, 0, 0.5)
    inside = ramp(body, 0.0, 0.25)
    return stamp(body > 0.08, height=0.3 * width * strength * body * swelling, gloss=1 + inside, cover=0.9 * inside)


def void(rng: Rng, look: Look) -> Stamp:
    """Sharp-edged place without coat, flaked at the border: the ground shows, lower, with a shade of its own."""
    strength = contrast(rng)
    field = spot(rng, rng.uniform(18, 55), aspect=rng.uniform(1, 2), angle=any_angle(rng), rough=0.3)
    side = field.shape
    # Flakes break along straight lines: whole cells of a network are either there or gone.
    flaked = 0.85 * mosaic(rng, field, 11) + 0.15 * field + 0.04 * noise(rng, side, (5, 5))
    bare = ramp(flaked, 0.0, 0.05)
    lifted = bell(flaked + 0.06, 0.05)
    ground = noise(rng, side, (2, 12)) if rng.random() < 0.5 else noise(rng, side, (2, 2))
    tone = 1 + strength * (rng.uniform(0.3, 0.5) if rng.random() < 0.5 else -rng.uniform(0.3, 0.5))
    return stamp(
        flaked > -0.05,
        height=-0.9 * bare + 0.12 * bare * ground + 0.35 * strength * lifted,
        reflect=1 + (tone - 1) * bare + 0.06 * bare * ground,
        gloss=1 - 0.6 * bare,
        cover=bare,
    )
