"""Heights and reflectances in, what a camera above sees out: shading, shadows, flight lines, blur, noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from verticals.agriculture.drawing.random_fields import Field, Rng, gaussian_field, grain

BANDS = ("red", "green", "blue", "nir")
REFLECTANCE: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "soil": (0.185, 0.130, 0.088, 0.27),
        "leaf": (0.060, 0.118, 0.034, 0.48),
        "yellow leaf": (0.265, 0.250, 0.055, 0.40),
        "weed": (0.135, 0.205, 0.085, 0.44),
        "dark lesion": (0.062, 0.040, 0.026, 0.16),
        "tan lesion": (0.200, 0.115, 0.055, 0.24),
        "margin": (0.150, 0.185, 0.070, 0.38),
    }
)
"""Of each material in :data:`BANDS`, 0 to 1: chosen to look like field photographs, not measured. What matters for
indices is their order: leaves reflect near infrared most, lesions least."""
_SKY = 0.30
"""Share of the light that comes from the whole sky and reaches the shadows too."""


@dataclass(frozen=True)
class Sky:
    """Light and camera of one flight.

    Attributes:
        azimuth: Direction of the sun on the picture, radians, 0 to the right, pi/2 downwards.
        elevation: Of the sun, radians.
        cloud: Darkest cloud shadow, share of the direct light that is lost, 0 to 1.
        drift: Deviation of the exposure between flight lines, relative.
        line_m: Distance of flight lines in metres.
        blur_px: Deviation of the camera's blur in pixels.
        noise: Deviation of the noise at a reflectance of 0.2, relative.
    """

    azimuth: float
    elevation: float
    cloud: float
    drift: float
    line_m: float
    blur_px: float
    noise: float


def ground(rng: Rng, shape: tuple[int, int], gsd_m: float) -> tuple[Field, Field]:
    """Bare soil: height in metres and brightness about 1, ``(H, W)`` float32 each; clods, crumbs and moist places."""
    clods = grain(rng, shape, 0.09 / gsd_m)
    crumbs = grain(rng, shape, 0.03 / gsd_m)
    moist = gaussian_field(rng, shape, 7.0 / gsd_m)
    height = 0.014 * clods + 0.006 * crumbs
    bright = 1 - 0.10 * moist + 0.05 * crumbs + 0.05 * grain(rng, shape, 0.5 / gsd_m)
    return height, np.clip(bright, 0.4, 1.6)


def ridges(shape: tuple[int, int], gsd_m: float, *, spacing_m: float, angle_deg: float, height_m: float) -> Field:
    """Height of ridges under the rows, ``(H, W)`` float32 metres, highest where the plants stand."""
    turn = np.deg2rad(angle_deg)
    x = (np.arange(shape[1], dtype=np.float32) + 0.5 - shape[1] / 2) * gsd_m
    y = (np.arange(shape[0], dtype=np.float32) + 0.5 - shape[0] / 2) * gsd_m
    across = (y[:, None] * np.cos(turn) - x[None] * np.sin(turn)) * (2 * np.pi / spacing_m)
    return np.asarray(0.5 * height_m * np.cos(across), np.float32)


def lit(rng: Rng, height: Field, gsd_m: float, sky: Sky) -> Field:
    """Light on the ground and the leaves, ``(H, W)`` float32, 1 on a level place in the sun.

    Lambert's law for the slope, shadows where something towards the sun is higher than the ray, and soft clouds.
    """
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / (8 * gsd_m))
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / (8 * gsd_m))
    toward = np.cos(sky.azimuth) * np.cos(sky.elevation), np.sin(sky.azimuth) * np.cos(sky.elevation)
    upright = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    facing = (np.sin(sky.elevation) - slope_x * np.float32(toward[0]) - slope_y * np.float32(toward[1])) * upright
    direct = np.clip(facing / np.float32(np.sin(sky.elevation)), 0, 1.8)
    direct *= 1 - cv2.GaussianBlur(_shadowed(height, gsd_m, sky), (0, 0), 0.6)
    if sky.cloud:
        veil = gaussian_field(rng, height.shape, 18.0 / gsd_m)
        direct *= 1 - np.float32(sky.cloud) / (1 + np.exp(-4 * (veil - 1.0)))
    return np.asarray(_SKY * (0.4 + 0.6 * upright) + (1 - _SKY) * direct, np.float32)


def _shadowed(height: Field, gsd_m: float, sky: Sky) -> Field:
    """1 where a ray to the sun meets something higher, ``(H, W)`` float32."""
    reach = float(height.max() - height.min()) / np.tan(sky.elevation)
    dark = np.zeros_like(height)
    for step in range(1, min(int(reach / (1.5 * gsd_m)) + 1, 24)):
        away = 1.5 * step
        shift = np.array([[1, 0, away * np.cos(sky.azimuth)], [0, 1, away * np.sin(sky.azimuth)]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (height.shape[1], height.shape[0])
        seen = cv2.warpAffine(height, shift, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        over = seen - np.float32(away * gsd_m * np.tan(sky.elevation)) - height
        dark = np.maximum(dark, np.clip(over / 0.03, 0, 1))
    return np.asarray(dark, np.float32)


def exposure(rng: Rng, shape: tuple[int, int], gsd_m: float, sky: Sky) -> Field:
    """Gain of the mosaic, ``(H, W)`` float32 about 1: one for each flight line, blended over a metre at the seams."""
    position = np.arange(shape[0], dtype=np.float32) * gsd_m / sky.line_m + float(rng.uniform(0, 1))
    gains = 1 + sky.drift * rng.standard_normal(int(position[-1]) + 2)
    line = np.floor(position).astype(int)
    blend = np.clip((position - line) * sky.line_m, 0, 1)
    before = gains[np.maximum(line - 1, 0)]
    gain = before + (gains[line] - before) * blend
    return np.broadcast_to(gain[:, None].astype(np.float32), shape)


def photographed(rng: Rng, reflectance: Field, sky: Sky) -> Field:
    """One band through the camera, ``(H, W)`` float32: blur, then noise that grows with the root of the light."""
    seen = cv2.GaussianBlur(reflectance, (0, 0), sky.blur_px) if sky.blur_px else reflectance
    spread = np.float32(sky.noise) * np.sqrt(0.2 * np.maximum(seen, 0.01))
    return np.asarray(seen + spread * rng.standard_normal(seen.shape, dtype=np.float32), np.float32)


def as_8_bit(bands: list[Field]) -> NDArray[np.uint8]:
    """Bands as a camera stores them, ``(H, W, C)`` uint8 in 1 to 255: sRGB's curve (IEC 61966-2-1) at a fixed exposure.

    0 is kept for nodata.
    """
    light = np.stack([np.clip(band * np.float32(1.9), 0, 1) for band in bands], -1)
    codes = np.linspace(0, 1, 4096)
    curve = np.where(codes <= 0.0031308, 12.92 * codes, 1.055 * codes ** (1 / 2.4) - 0.055)
    table = np.clip(np.rint(255 * curve), 1, 255).astype(np.uint8)
    return np.asarray(table[np.rint(light * 4095).astype(np.uint16)], np.uint8)


def as_16_bit(bands: list[Field]) -> NDArray[np.uint16]:
    """Bands as reflectance times 32768, ``(H, W, C)`` uint16 from 1; 0 is kept for nodata."""
    return np.stack([np.clip(np.rint(band * 32768), 1, 65535).astype(np.uint16) for band in bands], -1)
