"""Where the field ends and where the mosaic does: polygons in metres and pixels, with what the flight left out."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from verticals.agriculture.drawing.random_fields import Rng

if TYPE_CHECKING:
    from affine import Affine
    from shapely import Polygon  # type: ignore[import-untyped]

Corners = NDArray[np.float64]
_BITS = 4
"""Fraction bits of OpenCV's polygon corners."""


def field(rng: Rng, shape: tuple[int, int], gsd_m: float) -> Corners:
    """Corners of the field, ``(n, 2)`` float64 in metres from the raster's top left corner: a bent quadrilateral.

    Args:
        rng: Source of randomness.
        shape: ``(H, W)`` of the raster in pixels.
        gsd_m: Metres per pixel.
    """
    size = np.array([shape[1], shape[0]]) * gsd_m
    corners = np.array([[0.06, 0.07], [0.5, 0.05], [0.94, 0.06], [0.95, 0.93], [0.07, 0.94]])
    return np.asarray((corners + rng.uniform(-0.012, 0.012, corners.shape)) * size, np.float64)


def inside(corners: Corners, shape: tuple[int, int], gsd_m: float) -> NDArray[np.bool_]:
    """Pixels ``(H, W)`` whose centre lies in the polygon, as rasterisers count (also on its edge)."""
    x = (np.arange(shape[1]) + 0.5) * gsd_m
    y = (np.arange(shape[0]) + 0.5) * gsd_m
    found = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        if y0 == y1:
            continue
        rows = (y >= min(y0, y1)) & (y < max(y0, y1))
        crossing = x0 + (y[rows] - y0) * (x1 - x0) / (y1 - y0)
        found[rows] ^= x[None] >= crossing[:, None]
    return found


def covered(rng: Rng, corners: Corners, shape: tuple[int, int], gsd_m: float, uncovered: float) -> NDArray[np.bool_]:
    """Pixels ``(H, W)`` of the mosaic: a ragged outline around the field, and a corner of it that was not flown.

    Args:
        rng: Source of randomness.
        corners: Of the field, in metres.
        shape: ``(H, W)`` of the raster in pixels.
        gsd_m: Metres per pixel.
        uncovered: Share of the field that the corner takes, about.
    """
    middle = corners.mean(0)
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    half = np.array([shape[1], shape[0]]) * gsd_m / 2
    square = np.stack([np.cos(angle), np.sin(angle)], 1)
    square /= np.abs(square).max(1, keepdims=True)
    reach = 0.975 + 0.012 * np.sin(5 * angle + rng.uniform(0, 6.3)) + rng.uniform(-0.008, 0.008, len(angle))
    ragged = half + square * half * reach[:, None]
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [_pixels(ragged, gsd_m)], 1, shift=_BITS)
    if uncovered > 0:
        # Cut off parallel to the diagonal at the corner, until the wanted share of the field is lost.
        there = inside(corners, shape, gsd_m)
        y, x = np.nonzero(there)
        toward = (corners[3] - middle) / np.linalg.norm(corners[3] - middle)
        depth = x * toward[0] + y * toward[1]
        limit = np.quantile(depth[:: max(1, len(depth) // 200_000)], 1 - uncovered)
        rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
        mask[columns * toward[0] + rows * toward[1] > limit] = 0
    return mask.astype(bool)


def placed(corners: Corners, transform: "Affine") -> "Polygon":
    """The polygon in the CRS.

    Args:
        corners: In metres from the raster's top left corner, y downwards.
        transform: Pixel to CRS.
    """
    shapely = require("shapely", extra="agriculture")
    polygon: Polygon = shapely.Polygon([(transform.c + x, transform.f - y) for x, y in corners])
    return polygon


def _pixels(corners: Corners, gsd_m: float) -> NDArray[np.int32]:
    return np.asarray(np.rint((corners / gsd_m - 0.5) * 2**_BITS), np.int32)
