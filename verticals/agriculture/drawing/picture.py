"""A scene and a sky in, the bands that the mosaic of one flight holds out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.agriculture.drawing import light
from verticals.agriculture.drawing.light import REFLECTANCE, Sky
from verticals.agriculture.drawing.random_fields import Rng, grain
from verticals.agriculture.drawing.scene import Scene
from verticals.agriculture.drawing.setting import LOOKS, Setting


def sky(setting: Setting, rng: Rng) -> Sky:
    """Sun, clouds and camera of one flight."""
    return Sky(
        azimuth=float(rng.uniform(0, 2 * np.pi)),
        elevation=float(np.deg2rad(rng.uniform(42, 58))),
        cloud=setting.cloud,
        drift=setting.drift,
        line_m=12.0,
        blur_px=setting.blur_px,
        noise=0.06,
    )


def pictured(setting: Setting, scene: Scene, sky: Sky, rng: Rng) -> NDArray[Any]:
    """The bands as the camera stores them."""
    shape, gsd = setting.shape, setting.gsd_m
    illumination = light.lit(rng, scene.height_m, gsd, sky) * light.exposure(rng, shape, gsd, sky)
    grass = grain(np.random.default_rng([1, setting.width]), shape, 0.12 / gsd)
    bands = []
    for i in range(4 if setting.nir else 3):
        leaf, yellow = (np.float32(REFLECTANCE[name][i]) for name in ("leaf", "yellow leaf"))
        crop = leaf + (yellow - leaf) * np.clip(1.2 * scene.yellow, 0, 0.9)
        for name, spots in scene.lesions.items():
            crop += (np.float32(REFLECTANCE[LOOKS[name].lesion][i]) - crop) * spots
        plants = np.where(scene.weed, np.float32(REFLECTANCE["weed"][i]), crop) * scene.tone
        margin = np.float32(REFLECTANCE["margin"][i]) * (1 + 0.18 * grass)
        bare = np.where(scene.inside, np.float32(REFLECTANCE["soil"][i]) * scene.soil, margin)
        surface = np.where(scene.canopy | scene.weed, plants, bare)
        bands.append(light.photographed(rng, surface * illumination, sky))
    return light.as_16_bit(bands) if setting.nir else light.as_8_bit(bands)
