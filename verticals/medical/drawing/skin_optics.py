"""Maps of melanin, blood and keratin in, the colour of the skin above them out, after the law of Beer and Lambert."""

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Real = NDArray[np.floating[Any]]
Rng = np.random.Generator

# Red, green and blue at about 610, 545 and 465 nm. Melanin absorbs as the wavelength to the power of -3.33 (Jacques
# 1998, "Skin optics"): 0.40, 0.59, 1; a little flatter here, as the wide filters of a camera make it. The others are by
# eye after the same author's curves of oxyhaemoglobin and of a dermis without blood.
_MELANIN = np.array([0.46, 0.68, 1.0], np.float32)
_BLOOD = np.array([0.10, 1.0, 0.80], np.float32)
_DEEP = np.array([1.0, 0.78, 0.52], np.float32)
"""Melanin in the dermis: what comes back from above it is scattered, and blue is scattered most (Tyndall)."""
_DERMIS = np.array([0.80, 0.60, 0.54], np.float32)
_KERATIN = np.array([0.86, 0.78, 0.60], np.float32)
_VEIL = np.array([0.62, 0.66, 0.74], np.float32)
TONES = {"I": 0.08, "II": 0.2, "III": 0.42, "IV": 0.85, "V": 1.7, "VI": 2.8}
"""Melanin of the epidermis by Fitzpatrick type, as absorbance of blue light; chosen by eye."""


@dataclass
class Layers:
    """What lies in and on the skin; all fields ``(H, W)`` float32, 0 where there is nothing.

    Attributes:
        melanin: Of the epidermis, brown; absorbance of blue light.
        deep: Melanin of the dermis, blue-grey; absorbance of red light.
        blood: Red; absorbance of green light.
        keratin: How far yellowish horn covers all, 0 to 1.
        veil: How far whitish haze covers all, 0 to 1.
        inside: How far inside of the lesion, 1 in the middle, 0 at the outline, negative outside.
    """

    melanin: Field
    deep: Field
    blood: Field
    keratin: Field
    veil: Field
    inside: Field


def empty(side: int) -> Layers:
    """Nothing yet, ``side`` x ``side`` pixels."""
    return Layers(*(np.zeros((side, side), np.float32) for _ in fields(Layers)))


def seen(layers: Layers, tone: str) -> Field:
    """The colour of the layers on skin of a Fitzpatrick type: ``(H, W, 3)`` float32 sRGB, 0 to 1."""
    melanin = np.maximum(layers.melanin + np.float32(TONES[tone]), 0)[..., None]
    absorbed = melanin * _MELANIN + layers.deep[..., None] * _DEEP + layers.blood[..., None] * _BLOOD
    light = _DERMIS * np.exp(-absorbed)
    # Horn and haze lie above: they send light back before it has reached any pigment.
    for cover, colour in ((layers.veil, _VEIL), (layers.keratin, _KERATIN)):
        opacity = np.clip(cover, 0, 1)[..., None]
        light = light * (1 - opacity) + colour * opacity * np.exp(-0.35 * TONES[tone] * _MELANIN)
    return srgb(light)


def srgb(light: Real) -> Field:
    """Linear light as sRGB values (IEC 61966-2-1), same shape, 0 to 1."""
    clipped = np.clip(light, 0, 1)
    bright = 1.055 * np.power(np.maximum(clipped, 1e-6), 1 / 2.4) - 0.055
    return np.asarray(np.where(clipped <= 0.0031308, 12.92 * clipped, bright), np.float32)


def moved(layers: Layers, *, angle: float, growth: float, shift: tuple[float, float]) -> Layers:
    """The same lesion at another visit: turned by ``angle`` radians, ``growth`` times as large, shifted in pixels."""
    side = layers.inside.shape[0]
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), float(np.degrees(angle)), growth)
    turn[:, 2] += shift

    def warp(field: Field, beyond: float) -> Field:
        warped = cv2.warpAffine(
            field, turn, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond
        )
        return np.asarray(warped, np.float32)

    return Layers(*(warp(getattr(layers, f.name), -9.0 if f.name == "inside" else 0.0) for f in fields(Layers)))


def noise(rng: Rng, side: int, grain_px: float) -> Field:
    """Smooth noise of mean 0 and deviation 1, ``(side, side)`` float32, with grains of ``grain_px`` pixels."""
    coarse = max(3, int(np.ceil(1.5 * side / grain_px)) + 3)
    seed, turned = rng.standard_normal((coarse, coarse)).astype(np.float32), float(rng.uniform(0, 90))
    # Turned, so that the grid that it is grown from is not that of the pixels.
    turn = cv2.getRotationMatrix2D(((coarse - 1) / 2, (coarse - 1) / 2), turned, 1.0)
    back = cv2.invertAffineTransform(turn)
    step = (coarse - 1) / (1.5 * side)
    back[:, 2] += back[:, :2] @ np.full(2, (coarse - 1) / 2 - step * (side - 1) / 2)
    back[:, :2] *= step
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(seed, back, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray((drawn - drawn.mean()) / max(float(drawn.std()), 1e-6), np.float32)


def ramp(x: Real, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
