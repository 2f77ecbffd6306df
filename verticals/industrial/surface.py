"""A metal part and its light in, height, reflectance and gloss of its surface and the picture a camera takes out.

Synthetic: for the demo and the tests. Lengths are in pixels in all three directions, so that height differences between
neighbours are slopes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

FINISHES = ("ground", "rolled", "cast", "painted")
BACKDROP = 0.05
"""Reflectance of what lies beside the part, relative to the part's mean of 1."""


@dataclass(frozen=True)
class Look:
    """One part under one light.

    Attributes:
        finish: One of :data:`FINISHES`.
        texture: Root mean square slope of the finish.
        waviness: Root mean square slope of the form.
        gloss: Weight of the highlight against the diffuse light.
        azimuth: Direction the main light comes from, radians, 0 along a line to the right, pi/2 downwards.
        elevation: Height of the lights above the surface, radians; small is grazing.
        fill: Strength of a second light from the other side, relative to the main light.
        level: Grey value of flat metal, 0 to 1.
        falloff: Loss of light at the ends of a line, 0 to 1.
        noise: Standard deviation of the noise at full scale, 0 to 1.
        margin: Columns of backdrop on each side.
    """

    finish: str
    texture: float
    waviness: float
    gloss: float
    azimuth: float
    elevation: float
    fill: float
    level: float
    falloff: float
    noise: float
    margin: int


@dataclass(frozen=True)
class Surface:
    """What is lit.

    Attributes:
        height: ``(H, W)`` float32 in pixels.
        reflect: ``(H, W)`` float32, 1 is the part's mean.
        gloss: ``(H, W)`` float32, multiplies the look's gloss.
    """

    height: Field
    reflect: Field
    gloss: Field


def random_look(rng: np.random.Generator, finish: str) -> Look:
    """A part of this finish with its own texture, gain and light."""
    texture = {"ground": 0.075, "rolled": 0.05, "cast": 0.085, "painted": 0.014}[finish]
    gloss = {"ground": 0.35, "rolled": 0.25, "cast": 0.1, "painted": 0.5}[finish]
    # Line lights stand across the line, before or behind it, never quite parallel to it.
    side = np.pi / 2 if rng.random() < 0.5 else -np.pi / 2
    return Look(
        finish=finish,
        texture=float(texture * rng.uniform(0.7, 1.4)),
        waviness=float(rng.uniform(0.001, 0.004)),
        gloss=float(gloss * rng.uniform(0.7, 1.3)),
        azimuth=float(side + rng.uniform(-0.7, 0.7)),
        elevation=float(rng.uniform(0.5, 0.85)),
        fill=float(rng.uniform(0.1, 0.45)),
        level=float(rng.uniform(0.36, 0.58)),
        falloff=float(rng.uniform(0.05, 0.25)),
        noise=float(rng.uniform(0.006, 0.014)),
        margin=int(rng.integers(18, 34)),
    )


def noise(rng: np.random.Generator, shape: tuple[int, int], grain: tuple[float, float]) -> Field:
    """Smooth noise of mean 0 and deviation 1, ``(H, W)`` float32.

    Args:
        rng: Source of randomness.
        shape: ``(H, W)`` in pixels.
        grain: Size of its grains in pixels, (down, across).
    """
    coarse = [max(2, int(np.ceil(n / g)) + 3) for n, g in zip(shape, grain, strict=True)]
    seed = rng.standard_normal(coarse, dtype=np.float32)
    drawn = cv2.resize(seed, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    drawn -= drawn.mean()
    drawn /= max(float(drawn.std()), 1e-6)
    return np.asarray(drawn, np.float32)


def _layers(rng: np.random.Generator, shape: tuple[int, int], finish: str) -> Field:
    """Height of the finish at an arbitrary scale."""
    if finish == "ground":
        fine, long = noise(rng, shape, (60, 1.0)), noise(rng, shape, (400, 2.5))
        return fine + 0.8 * long
    if finish == "rolled":
        return noise(rng, shape, (160, 1.8)) + 0.5 * noise(rng, shape, (6, 2.0))
    if finish == "cast":
        return noise(rng, shape, (2.2, 2.2)) + 1.6 * noise(rng, shape, (5, 5))
    return 6 * noise(rng, shape, (22, 22)) + 0.3 * noise(rng, shape, (1.5, 1.5))


def plain(rng: np.random.Generator, shape: tuple[int, int], look: Look) -> Surface:
    """A surface as it should be, with backdrop on both sides, ``(H, W)`` each."""
    layers = _layers(rng, shape, look.finish)
    slope = np.sqrt(np.square(np.diff(layers, axis=1)).mean() + np.square(np.diff(layers, axis=0)).mean())
    height = layers * np.float32(look.texture / slope)
    form_px = 90.0
    height += noise(rng, shape, (3 * form_px, form_px)) * np.float32(look.waviness * form_px)
    blotches = {"ground": 0.015, "rolled": 0.025, "cast": 0.03, "painted": 0.006}[look.finish]
    reflect = 1 + np.float32(blotches) * noise(rng, shape, (50, 25))
    reflect += np.float32(blotches) * noise(rng, shape, (3, 1.2) if look.finish != "cast" else (2, 2))
    gloss = 1 + np.float32(0.05) * noise(rng, shape, (120, 40))
    _lay_on_backdrop(rng, height, reflect, gloss, look.margin)
    return Surface(height, reflect, gloss)


def _lay_on_backdrop(rng: np.random.Generator, height: Field, reflect: Field, gloss: Field, margin: int) -> None:
    """Round the two edges of the part off and darken what lies beside it, in place."""
    lines, width = height.shape
    wander = 0.5 * noise(rng, (lines, 1), (60, 1))
    inside = np.minimum(np.arange(width) + 0.5, width - np.arange(width) - 0.5)[None] - margin + wander
    # A broken edge of 0.2 mm, as drawings ask for.
    height -= np.square(np.clip(4 - inside, 0, 8)).astype(np.float32) * np.float32(0.04)
    part = np.clip(inside + 0.5, 0, 1).astype(np.float32)
    reflect *= part
    reflect += (1 - part) * np.float32(BACKDROP)
    gloss *= part


def shade(surface: Surface, look: Look) -> Field:
    """Light on the surface as the camera sees it from above, ``(H, W)`` float32, flat metal at ``look.level``.

    Lambert's law for the diffuse part and Blinn's half-vector model for the highlight (Blinn 1977, "Models of light
    reflection for computer synthesized pictures").
    """
    slope_x = cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    slope_y = cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    upright = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    diffuse, highlight = np.full_like(upright, 0.22), np.zeros_like(upright)
    flat_diffuse, flat_highlight = 0.22, 0.0
    for azimuth, strength in ((look.azimuth, 1.0), (look.azimuth + np.pi, look.fill)):
        up = np.sin(look.elevation)
        toward = (np.cos(azimuth) * np.cos(look.elevation), np.sin(azimuth) * np.cos(look.elevation))
        facing = (up - slope_x * np.float32(toward[0]) - slope_y * np.float32(toward[1])) * upright
        diffuse += np.float32(strength) * np.maximum(facing, 0)
        flat_diffuse += strength * up
        half_norm = np.sqrt(2 + 2 * up)
        half = (np.maximum(facing, 0) + upright) / np.float32(half_norm)
        lobe = half * half
        for _ in range(3):
            lobe = lobe * lobe  # in the end the 16th power, without a slow pow()
        highlight += np.float32(strength) * lobe
        flat_highlight += strength * ((1 + up) / half_norm) ** 16
    light = surface.reflect * diffuse + np.float32(look.gloss) * surface.gloss * highlight
    return np.asarray(light * np.float32(look.level / (flat_diffuse + look.gloss * flat_highlight)), np.float32)


def expose(light: Field, look: Look, rng: np.random.Generator) -> Field:
    """What the camera makes of the light: falloff, column gain, flicker, vibration, blur and noise; 0 to 1."""
    lines, width = light.shape
    across = np.linspace(-1, 1, width, dtype=np.float32)
    gain = (1 - look.falloff * across**2) * (1 + 0.008 * rng.standard_normal(width, dtype=np.float32))
    flicker = 1 + 0.006 * rng.standard_normal((lines, 1), dtype=np.float32)
    vibration_px = 0.25 * noise(rng, (lines, 1), (9, 1))
    columns = np.arange(width, dtype=np.float32)[None] + vibration_px
    rows = np.broadcast_to(np.arange(lines, dtype=np.float32)[:, None], columns.shape)
    seen = _remapped(cv2.GaussianBlur(light, (3, 3), 0.6), columns, rows) * gain * flicker
    # Shot noise grows with the root of the light, read noise does not.
    spread = np.float32(look.noise) * np.sqrt(0.25 + np.maximum(seen, 0))
    seen += spread * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.asarray(np.clip(seen, 0, 1), np.float32)


def _remapped(picture: Field, columns: Field, rows: NDArray[np.float32]) -> Field:
    """Look pixels up at other places; in slabs, because OpenCV's remap is limited to 32767 rows."""
    out = np.empty_like(picture)
    for y0 in range(0, len(picture), 8192):
        y1, low = min(y0 + 8192, len(picture)), max(y0 - 2, 0)
        slab = np.ascontiguousarray(rows[y0:y1] - low)
        out[y0:y1] = cv2.remap(
            picture[low : y1 + 2], columns[y0:y1], slab, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return out
