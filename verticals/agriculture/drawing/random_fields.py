"""A seed, a shape and a length in, random fields out: Gaussian covariance for patches, grains for textures."""

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Rng = np.random.Generator
_CELLS = 6
"""Cells of the coarse grid per correlation length: the cubic resize then loses below 1 % of the variance."""


def gaussian_field(rng: Rng, shape: tuple[int, int], length_px: float) -> Field:
    """A stationary Gaussian random field of mean 0 and variance 1, with covariance ``exp(-(d / length)^2)``.

    White noise filtered with a Gaussian of deviation ``s`` has the covariance ``exp(-d^2 / (4 s^2))``, so s is half the
    length. It is drawn on a coarse grid and resized. Mean and variance are those of the process: a field that is small
    against the length has others, as in nature.

    Args:
        rng: Source of randomness.
        shape: ``(H, W)`` in pixels.
        length_px: Distance at which the correlation has fallen to 1/e, in pixels.

    Returns:
        ``(H, W)`` float32.
    """
    step = max(1.0, length_px / _CELLS)
    sigma = length_px / 2 / step
    pad = int(np.ceil(4 * sigma)) + 2
    rows, columns = (int(np.ceil(n / step)) + 1 for n in shape)
    noise = rng.standard_normal((rows + 2 * pad, columns + 2 * pad), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)[pad : pad + rows, pad : pad + columns]
    smooth = smooth * np.float32(2 * np.sqrt(np.pi) * sigma)  # 1 / root of the kernel's summed squares
    return _resized(np.ascontiguousarray(smooth), shape, step)


def grain(rng: Rng, shape: tuple[int, int], size_px: float) -> Field:
    """Texture of mean 0 and deviation 1 with grains of about ``size_px`` pixels, ``(H, W)`` float32."""
    step = max(1.0, size_px)
    coarse = rng.standard_normal([int(np.ceil(n / step)) + 3 for n in shape], dtype=np.float32)
    drawn = _resized(coarse, shape, step)
    drawn -= drawn.mean()
    drawn /= max(float(drawn.std()), 1e-6)
    return drawn


def _resized(coarse: Field, shape: tuple[int, int], step: float) -> Field:
    """Cubic interpolation at one coarse cell per ``step`` pixels, whatever the shape is divisible by."""
    into = np.array([[1 / step, 0, 0], [0, 1 / step, 0]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(coarse, into, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.float32)
