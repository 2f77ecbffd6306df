"""A setting and a seed in, what stands on the ground out: crop, weeds, lesions, soil; the same for every flight."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verticals.agriculture.drawing import disease, light, stand
from verticals.agriculture.drawing.disease import Epidemic
from verticals.agriculture.drawing.random_fields import Field, gaussian_field
from verticals.agriculture.drawing.setting import HEALTHY, LOOKS, SOIL, WEED, Setting
from verticals.agriculture.drawing.stand import Crowns, Plants

_BBCH = (9, 15, 19, 31, 39, 65)
_RADIUS_M, _HEIGHT_M = (0.04, 0.09, 0.14, 0.25, 0.40, 0.46), (0.03, 0.10, 0.20, 0.30, 0.50, 0.60)
"""Radius and height of a potato plant by its stage (BBCH 9 emergence, 39 rows closed, 65 full flowering): chosen."""
_RIDGE_M = 0.14
_PLANT_M = 0.33
"""Height of potato ridges, and distance of plants in the row, as is common for ware potatoes: chosen."""
_WEED_RADIUS_M = 0.13


@dataclass(frozen=True)
class Scene:
    """What stands on the ground; ``(H, W)`` each.

    Attributes:
        truth: uint8, index into the setting's labels, everywhere.
        severity: float32, per cent of the plant's leaf area that is lesion; NaN where no leaf of the crop is seen.
        canopy: bool, leaves of the crop.
        weed: bool, leaves of weeds.
        height_m: float32, of soil or leaves.
        soil: float32, brightness of the soil, about 1.
        tone: float32, brightness of the leaves, about 1.
        yellow: float32, how yellow the leaves are, 0 to 1.
        lesions: By disease, float32: share of the pixel that is its lesion.
        inside: bool, inside the field.
    """

    truth: NDArray[np.uint8]
    severity: Field
    canopy: NDArray[np.bool_]
    weed: NDArray[np.bool_]
    height_m: Field
    soil: Field
    tone: Field
    yellow: Field
    lesions: Mapping[str, Field]
    inside: NDArray[np.bool_]


def grown(setting: Setting, seed: int, inside: NDArray[np.bool_]) -> Scene:
    """Plant, infect and grow everything.

    Args:
        setting: What is drawn.
        seed: Seed of everything random; each part has a stream of its own, so that a setting with more disease keeps
            the plants, the soil and the weeds.
        inside: ``(H, W)`` whether a pixel lies in the field.
    """
    gsd = setting.gsd_m
    plants, epidemic = _stand(setting, seed, inside)
    crop, wild = _crop(setting, seed, plants, epidemic), _weeds(setting, seed, inside)
    weed = wild.cover & (wild.height_m > crop.height_m)
    canopy = crop.cover & ~weed
    lesions, truth, yellow = _diseased(setting, seed, crop, epidemic, canopy)
    truth[weed] = setting.labels.index(WEED)
    earth, soil = light.ground(np.random.default_rng([seed, 7]), setting.shape, gsd)
    ridge = light.ridges(
        setting.shape, gsd, spacing_m=setting.row_m, angle_deg=setting.row_angle_deg, height_m=_RIDGE_M
    )
    leaves = np.where(canopy, crop.height_m, np.where(weed, wild.height_m, np.float32(0)))
    tone = plants.tone[np.maximum(crop.plant, 0)] if len(plants.tone) else np.ones(setting.shape, np.float32)
    return Scene(
        truth=truth,
        severity=disease.measured(crop, canopy, lesions, len(plants.tone)),
        canopy=canopy,
        weed=weed,
        height_m=np.asarray(earth + np.where(inside, ridge, 0) + leaves, np.float32),
        soil=soil,
        tone=np.where(weed, np.float32(1), tone),
        yellow=yellow,
        lesions=lesions,
        inside=inside,
    )


def _stand(setting: Setting, seed: int, inside: NDArray[np.bool_]) -> tuple[Plants, Epidemic]:
    everywhere = stand.rows(
        np.random.default_rng([seed, 0]),
        (setting.width * setting.gsd_m, setting.height * setting.gsd_m),
        spacing_m=setting.row_m,
        plant_m=_PLANT_M,
        angle_deg=setting.row_angle_deg,
        radius_m=float(np.interp(setting.bbch, _BBCH, _RADIUS_M)),
    )
    plants = stand.standing(everywhere, inside, setting.gsd_m)
    epidemic = disease.spread(
        np.random.default_rng([seed, 1]),
        plants.places,
        setting.shape,
        setting.gsd_m,
        kinds=len(setting.diseases),
        share=setting.infestation,
        patch_m=setting.patch_m,
        top=setting.severity / 100,
    )
    return plants, epidemic


def _crop(setting: Setting, seed: int, plants: Plants, epidemic: Epidemic) -> Crowns:
    """Plants grow better on better soil, and lose leaves to disease."""
    vigour = 1 + 0.10 * gaussian_field(np.random.default_rng([seed, 2]), setting.shape, 9.0 / setting.gsd_m)
    row, column = stand.pixels(plants.places, setting.shape, setting.gsd_m)
    wither = np.array([*(LOOKS[name].wither for name in setting.diseases), 0.0])[epidemic.disease]
    radius = plants.radius_m * np.clip(vigour[row, column], 0.6, 1.4) * (1 - wither * epidemic.severity)
    sized = Plants(plants.places, radius.astype(np.float32), plants.tone)
    tall = float(np.interp(setting.bbch, _BBCH, _HEIGHT_M))
    rng = np.random.default_rng([seed, 3])
    return stand.crowns(rng, sized, setting.shape, setting.gsd_m, height_m=tall, leaf_m=0.07)


def _weeds(setting: Setting, seed: int, inside: NDArray[np.bool_]) -> Crowns:
    gsd = setting.gsd_m
    nests = gaussian_field(np.random.default_rng([seed, 4]), setting.shape, 5.0 / gsd)
    every = stand.weeds(np.random.default_rng([seed, 5]), nests, gsd, share=setting.weeds, radius_m=_WEED_RADIUS_M)
    own = stand.standing(every, inside, gsd)
    # Weeds that are worth spraying overtop the crop.
    tall = 1.1 * float(np.interp(setting.bbch, _BBCH, _HEIGHT_M)) + 0.05
    rng = np.random.default_rng([seed, 6])
    return stand.crowns(rng, own, setting.shape, gsd, height_m=tall, leaf_m=0.04)


def _diseased(
    setting: Setting, seed: int, crop: Crowns, epidemic: Epidemic, canopy: NDArray[np.bool_]
) -> tuple[dict[str, Field], NDArray[np.uint8], Field]:
    """Lesions of each disease, the true classes without weeds, and the yellowing."""
    truth = np.full(canopy.shape, setting.labels.index(SOIL), np.uint8)
    truth[canopy] = setting.labels.index(HEALTHY)
    lesions: dict[str, Field] = {}
    yellow = np.zeros(canopy.shape, np.float32)
    if not len(epidemic.disease):
        return lesions, truth, yellow
    owner = np.maximum(crop.plant, 0)
    for i, name in enumerate(setting.diseases):
        mine = epidemic.disease == i
        wanted = np.where(mine, epidemic.severity, 0).astype(np.float32)[owner]
        rng = np.random.default_rng([seed, 20, i])
        spots = disease.lesions(rng, wanted, LOOKS[name].size_m / setting.gsd_m)
        lesions[name] = np.where(canopy, spots, np.float32(0))
        truth[canopy & mine[owner]] = setting.labels.index(name)
        yellow += np.float32(LOOKS[name].yellow) * disease.yellowing(crop, epidemic, i)
    return lesions, truth, np.clip(yellow, 0, 1)
