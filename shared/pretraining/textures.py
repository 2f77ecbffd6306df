"""Procedural textures: fields of numbers from noise, waves and fractals, and the colours they are shown in."""

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""``(side, side)``, 0 to 1."""
Picture = NDArray[np.uint8]
"""``(side, side, 3)`` RGB."""
Rng = np.random.Generator


def noise(rng: Rng, side: int) -> Field:
    """Noise whose power falls as frequency^-2a, a from 0.5 to 2 (natural images: about 1; Field 1987)."""
    frequency_y, frequency_x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 2) * (rng.random() < 0.4))
    along = frequency_x * np.cos(angle) + frequency_y * np.sin(angle)
    across = frequency_y * np.cos(angle) - frequency_x * np.sin(angle)
    radius = np.sqrt((along * stretch) ** 2 + across**2)
    radius[0, 0] = np.inf
    amplitude = np.maximum(radius, 1 / side) ** -rng.uniform(0.5, 2.0)
    amplitude[0, 0] = 0
    if rng.random() < 0.2:  # one band of frequencies: grains of one size
        amplitude = np.exp(-(np.log(radius / np.exp(rng.uniform(np.log(0.01), np.log(0.2)))) ** 2) / 0.1)
    phase = np.exp(2j * np.pi * rng.random(radius.shape))
    return spread(np.fft.irfft2(amplitude * phase, s=(side, side)))


def ridges(rng: Rng, side: int) -> Field:
    """Noise folded at its middle, which leaves thin lines: veins, cracks, marble."""
    folded = 1 - np.abs(2 * noise(rng, side) - 1)
    return np.asarray(folded ** rng.uniform(1, 12), np.float32)


def waves(rng: Rng, side: int) -> Field:
    """One to three gratings of sine, square or saw profile, bent by noise: stripes, weaves, crop rows."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    total = np.zeros((side, side), np.float32)
    bend = rng.uniform(0, 0.15) * noise(rng, side)
    for _ in range(rng.integers(1, 4)):
        angle, cycles = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(120)))
        turns = cycles * (x * np.cos(angle) + y * np.sin(angle) + bend) + rng.random()
        profile = rng.integers(3)
        wave = np.sin(2 * np.pi * turns)
        total += wave if profile == 0 else np.sign(wave) if profile == 1 else 2 * (turns % 1) - 1
    return spread(total)


def brushed(rng: Rng, side: int) -> Field:
    """White noise smeared along one direction: ground and rolled surfaces."""
    length = int(rng.integers(5, 80))
    kernel = cv2.getRotationMatrix2D((length / 2, length / 2), rng.uniform(0, 180), 1)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    smeared = cv2.filter2D(
        rng.random((side, side), dtype=np.float32), -1, cv2.warpAffine(line, kernel, (length, length))
    )
    return spread(smeared)


def cells(rng: Rng, side: int) -> Field:
    """Distance to the nearest of some points (Worley 1996): grains, pavements, leaf tissue, pigment networks."""
    count = int(np.exp(rng.uniform(np.log(10), np.log(2000))))
    mask = np.full((side, side), 255, np.uint8)
    mask[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    return np.asarray(spread(distance) ** rng.uniform(0.4, 2), np.float32)


def fractal(rng: Rng, side: int) -> Field:
    """Density of an iterated function system with two to five random maps (as FractalDB, Kataoka et al. 2020)."""
    points, steps = 4000, 40
    maps = int(rng.integers(2, 6))
    matrices = rng.uniform(-1, 1, (maps, 2, 2))
    norms = np.linalg.norm(matrices, ord=2, axis=(1, 2))
    matrices *= (rng.uniform(0.5, 0.9, maps) / norms)[:, None, None]
    shifts = rng.uniform(-1, 1, (maps, 2))
    position = rng.uniform(-1, 1, (points, 2))
    density = np.zeros((side, side), np.float32)
    for step in range(steps):
        chosen = rng.integers(0, maps, points)
        position = np.einsum("nij,nj->ni", matrices[chosen], position) + shifts[chosen]
        if step == 10:
            low, high = position.min(0), position.max(0)
        if step > 10:
            cell = np.clip((position - low) / (high - low + 1e-6) * (side - 1), 0, side - 1).astype(np.int64)
            np.add.at(density, (cell[:, 1], cell[:, 0]), 1)
    return spread(np.log1p(cv2.GaussianBlur(density, (0, 0), rng.uniform(0.5, 2))))


FIELDS = (noise, noise, ridges, waves, brushed, cells, fractal)


def spread(values: NDArray[np.floating]) -> Field:
    """Stretched to 0..1 between the 1st and the 99th percentile."""
    low, high = np.percentile(values[::4, ::4], (1, 99))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1), np.float32)


def palette(rng: Rng) -> NDArray[np.float32]:
    """``(256, 3)``, 0 to 1: a way through two to five colours; often near each other, as in nature."""
    stops = int(rng.integers(2, 6))
    centre = rng.random(3)
    reach = rng.choice([0.1, 0.25, 0.6, 1.0])
    colours = np.clip(centre + reach * rng.uniform(-1, 1, (stops, 3)), 0, 1)
    if rng.random() < 0.15:
        colours = np.repeat(colours.mean(1, keepdims=True), 3, 1)  # grey
    places = np.sort(np.r_[0, rng.random(stops - 2), 1]) * 255
    return np.stack([np.interp(np.arange(256), places, colours[:, c]) for c in range(3)], 1).astype(np.float32)


def coloured(rng: Rng, field: Field) -> NDArray[np.float32]:
    """A field shown in a random palette, ``(side, side, 3)``, 0 to 1."""
    shown: NDArray[np.float32] = palette(rng)[(field * 255).astype(np.uint8)]
    return shown


def texture(rng: Rng, side: int) -> NDArray[np.float32]:
    """One coloured field, or two mixed by a third; ``(side, side, 3)`` float32, 0 to 1."""
    first = coloured(rng, FIELDS[rng.integers(len(FIELDS))](rng, side))
    if rng.random() < 0.5:
        return first
    second = coloured(rng, FIELDS[rng.integers(len(FIELDS))](rng, side))
    if rng.random() < 0.5:
        share = rng.uniform(0.2, 0.8)
        return share * first + (1 - share) * second
    mask = noise(rng, side)[..., None]
    mask = np.clip((mask - 0.5) * rng.choice([1.0, 4.0, 40.0]) + 0.5, 0, 1)
    return np.asarray(mask * first + (1 - mask) * second, np.float32)
