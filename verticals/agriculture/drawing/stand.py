"""A setting in, the stand of plants out: rows, gaps, tramlines, weeds, and which plant each pixel belongs to."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from verticals.agriculture.drawing.random_fields import Field, Rng, grain

TRAMLINE_ROWS = 32
"""Rows between two tramlines: 24 m at 0.75 m, a common boom."""
_WHEELS = (14, 17)
"""Rows of each such bed that were not planted for the wheels, three spacings apart (2.25 m)."""
_GAPS = 0.03
"""Share of plants that did not emerge."""

Places = NDArray[np.float64]


@dataclass(frozen=True)
class Plants:
    """Plants of one kind.

    Attributes:
        places: ``(n, 2)`` float64, (x, y) in metres from the raster's top left corner, y downwards.
        radius_m: ``(n,)`` float32, of the crown.
        tone: ``(n,)`` float32, brightness of its leaves, about 1.
    """

    places: Places
    radius_m: Field
    tone: Field


@dataclass(frozen=True)
class Crowns:
    """Plants on the ground, pixel by pixel; all ``(H, W)``.

    Attributes:
        plant: int32, number of the nearest plant, -1 where there is none at all.
        cover: bool, whether the pixel shows a leaf.
        height_m: float32, of the leaves above the ground, 0 beside them.
    """

    plant: NDArray[np.int32]
    cover: NDArray[np.bool_]
    height_m: Field


def rows(
    rng: Rng, size_m: tuple[float, float], *, spacing_m: float, plant_m: float, angle_deg: float, radius_m: float
) -> Plants:
    """Plants in rows over the whole raster, with drilling error, gaps and unplanted tramlines.

    Args:
        rng: Source of randomness.
        size_m: Width and height of the ground in metres.
        spacing_m: Between rows.
        plant_m: Between plants of a row.
        angle_deg: Direction of the rows, 0 along the raster's rows, turning clockwise on the picture.
        radius_m: Mean radius of a crown.
    """
    reach = float(np.hypot(*size_m)) / 2 + spacing_m
    row = np.arange(-int(reach / spacing_m), int(reach / spacing_m) + 1)
    along = np.arange(-reach, reach, plant_m)
    u = row[:, None] * spacing_m + np.zeros_like(along)
    sway = 0.03 * np.sin(along / 9.0 + rng.uniform(0, 6.3)) + 0.015 * np.sin(along / 2.7)
    u = u + sway + rng.normal(0, 0.015, u.shape)
    v = along + rng.uniform(-0.5, 0.5, (len(row), 1)) * plant_m + rng.normal(0, 0.12 * plant_m, u.shape)
    kept = (rng.random(u.shape) > _GAPS) & ~np.isin(row % TRAMLINE_ROWS, _WHEELS)[:, None]
    turn = np.deg2rad(angle_deg)
    x = v * np.cos(turn) - u * np.sin(turn) + size_m[0] / 2
    y = v * np.sin(turn) + u * np.cos(turn) + size_m[1] / 2
    kept &= (x >= 0) & (y >= 0) & (x < size_m[0]) & (y < size_m[1])
    count = int(kept.sum())
    radius = radius_m * np.clip(rng.normal(1, 0.13, count), 0.5, 1.5)
    tone = np.clip(rng.normal(1, 0.06, count), 0.8, 1.2)
    return Plants(np.stack([x[kept], y[kept]], 1), radius.astype(np.float32), tone.astype(np.float32))


def weeds(rng: Rng, density: Field, gsd_m: float, *, share: float, radius_m: float) -> Plants:
    """Weeds where ``density`` (``(H, W)``, any scale, higher is weedier) is high: nests, and a few strays.

    About ``share`` of the ground carries them; how much exactly is in the truth.
    """
    height, width = density.shape
    count = rng.poisson(share * height * width * gsd_m**2 / (np.pi * radius_m**2))
    tried = rng.uniform(0, [width, height], (40 * count + 1, 2))
    there = density[tried[:, 1].astype(int), tried[:, 0].astype(int)]
    weight = np.exp(np.clip(6 * there, -8, 12)) + 0.5
    chosen = rng.choice(len(tried), size=count, replace=False, p=weight / weight.sum())
    radius = radius_m * np.clip(rng.lognormal(0, 0.35, count), 0.4, 2.2)
    tone = np.clip(rng.normal(1, 0.1, count), 0.7, 1.3)
    return Plants(tried[chosen] * gsd_m, radius.astype(np.float32), tone.astype(np.float32))


def pixels(places: Places, shape: tuple[int, int], gsd_m: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the pixel that each place lies in, ``(n,)`` each."""
    column, row = (places / gsd_m).astype(np.int64).T
    return np.minimum(row, shape[0] - 1), np.minimum(column, shape[1] - 1)


def standing(plants: Plants, inside: NDArray[np.bool_], gsd_m: float) -> Plants:
    """Those that stand where ``inside`` (``(H, W)``) is true."""
    kept = inside[pixels(plants.places, (inside.shape[0], inside.shape[1]), gsd_m)]
    return Plants(plants.places[kept], plants.radius_m[kept], plants.tone[kept])


def crowns(rng: Rng, plants: Plants, shape: tuple[int, int], gsd_m: float, *, height_m: float, leaf_m: float) -> Crowns:
    """Grow plants to crowns with ragged edges.

    Each pixel belongs to the nearest plant and shows a leaf within that plant's radius; the edge wanders by leaves.

    Args:
        rng: Source of randomness.
        plants: Where they stand.
        shape: ``(H, W)`` in pixels.
        gsd_m: Metres per pixel.
        height_m: Height of a plant of mean radius.
        leaf_m: Size of a leaf.
    """
    if not len(plants.places):
        nothing = np.zeros(shape, bool)
        return Crowns(np.full(shape, -1, np.int32), nothing, np.zeros(shape, np.float32))
    ground = np.full(shape, 255, np.uint8)
    row, column = pixels(plants.places, shape, gsd_m)
    ground[row, column] = 0
    distance, mark = cv2.distanceTransformWithLabels(ground, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owner = np.zeros(int(mark.max()) + 1, np.int32)
    owner[mark[row, column]] = np.arange(len(row), dtype=np.int32)
    plant = owner[mark]
    ragged = 0.30 * grain(rng, shape, leaf_m / gsd_m) + 0.15 * grain(rng, shape, 2.5 * leaf_m / gsd_m)
    # 1 at the plant's foot, 0 at the edge of its crown.
    inside = 1 - distance * np.float32(gsd_m) / plants.radius_m[plant] + 0.7 * ragged
    cover = inside > 0
    tall = np.float32(height_m) * np.sqrt(np.clip(inside, 0, 1)) * (1 + np.float32(0.15) * ragged)
    return Crowns(plant, cover, np.where(cover, np.maximum(tall, 0.02), 0).astype(np.float32))
