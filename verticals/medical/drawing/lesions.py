"""A family of HAM10000 in, the layers of one lesion of it out, as textbooks of dermoscopy describe it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from verticals.medical.drawing import structures
from verticals.medical.drawing.skin_optics import Field, Layers, Rng, empty, noise, ramp

Draw = Callable[[Rng, int, float], Layers]
"""``(rng, side, px_per_mm) -> Layers``."""


def _start(
    rng: Rng, side: int, px_per_mm: float, radius_mm: tuple[float, float], *, aspect: float, rough: float, lobes: float
) -> Layers:
    layers = empty(side)
    radius = rng.uniform(*radius_mm) * px_per_mm
    layers.inside = structures.outline(rng, side, radius, aspect=aspect, rough=rough, lobes=lobes)
    return layers


def naevus(rng: Rng, side: int, mm: float) -> Layers:
    """Symmetric, one or two browns, a regular network that thins out at the rim, regular globules in some."""
    layers = _start(rng, side, mm, (1.6, 3.0), aspect=rng.uniform(1.0, 1.3), rough=0.16, lobes=0.06)
    body = ramp(layers.inside, -0.05, 0.4)
    lines = structures.network(rng, side, 0.32 * mm, irregular=0.1, line_px=0.05 * mm)
    layers.melanin = body * (0.7 + 0.7 * rng.uniform(0.3, 1.4) * ramp(layers.inside, 0.1, 0.9))
    layers.melanin += 0.14 * body * noise(rng, side, 1.2 * mm)
    layers.melanin += 0.85 * lines * ramp(layers.inside, 0.0, 0.25)
    if rng.random() < 0.5:
        spots = structures.dots(rng, ramp(layers.inside, 0.35, 0.6), 40, (0.09 * mm, 0.14 * mm))
        layers.melanin += 0.9 * spots
    return layers


def melanoma(rng: Rng, side: int, mm: float) -> Layers:
    """Asymmetric in outline, colour and structure: atypical network, streaks, irregular dots, blue-white veil."""
    layers = _start(rng, side, mm, (2.4, 3.8), aspect=rng.uniform(1.1, 1.5), rough=0.34, lobes=0.3)
    body = ramp(layers.inside, -0.02, 0.12)
    patches = ramp(noise(rng, side, 1.3 * mm) + 0.5 * noise(rng, side, 0.5 * mm), -1.2, 1.8)
    lines = structures.network(rng, side, 0.48 * mm, irregular=0.9, line_px=0.10 * mm)
    layers.melanin = body * (0.8 + 2.6 * patches) + 1.2 * body * lines * ramp(noise(rng, side, 1.6 * mm), -0.4, 0.6)
    layers.melanin += 1.9 * structures.streaks(rng, layers.inside, 16, 0.75 * mm, 0.13 * mm)
    rim = ramp(layers.inside, 0.03, 0.2) * (1 - ramp(layers.inside, 0.4, 0.8))
    layers.melanin += 1.8 * structures.dots(rng, rim * patches, 30, (0.05 * mm, 0.17 * mm))
    haze = noise(rng, side, 1.7 * mm) + 0.35 * noise(rng, side, 0.5 * mm)
    veil = ramp(haze, 0.0, 1.9) * ramp(layers.inside, 0.1, 0.45)
    layers.deep = 2.2 * veil
    layers.veil = 0.34 * veil
    layers.melanin *= 1 - 0.7 * veil
    regressed = ramp(noise(rng, side, 1.1 * mm), 1.1, 2.2) * body
    layers.melanin *= 1 - 0.85 * regressed
    layers.veil = np.maximum(layers.veil, 0.3 * regressed)
    layers.blood = 0.25 * body
    return layers


def basal_cell(rng: Rng, side: int, mm: float) -> Layers:
    """Pink and shining, without network: arborising vessels, blue-grey ovoid nests, a small ulcer in some."""
    layers = _start(rng, side, mm, (2.0, 3.4), aspect=rng.uniform(1.0, 1.35), rough=0.22, lobes=0.1)
    body = ramp(layers.inside, -0.15, 0.35)
    layers.blood = body * (0.28 + 0.08 * noise(rng, side, 0.9 * mm))
    layers.veil = 0.22 * body * ramp(noise(rng, side, 0.8 * mm), -1.0, 1.2)
    vessels = structures.arborising(rng, layers.inside, 4, 1.7 * mm, 0.11 * mm)
    layers.blood += 1.5 * vessels * ramp(layers.inside, -0.1, 0.05)
    count = int(rng.integers(4, 10))
    nests = structures.dots(rng, ramp(layers.inside, 0.1, 0.4), count, (0.2 * mm, 0.5 * mm), soft=0.5)
    layers.deep = 1.3 * nests
    layers.veil *= 1 - vessels
    if rng.random() < 0.45:
        ulcer = structures.dots(rng, ramp(layers.inside, 0.45, 0.8), 1, (0.35 * mm, 0.6 * mm))
        layers.blood += 1.3 * ulcer
        layers.melanin += 0.7 * ulcer
    return layers


def keratosis_actinic(rng: Rng, side: int, mm: float) -> Layers:
    """Actinic keratosis and Bowen disease: ill-defined red with yellow follicles, white scale, vessels as dots."""
    layers = _start(rng, side, mm, (2.2, 3.6), aspect=rng.uniform(1.0, 1.4), rough=0.3, lobes=0.12)
    body = ramp(layers.inside, -0.25, 0.5)
    pseudo = structures.network(rng, side, 0.75 * mm, irregular=0.35, line_px=0.22 * mm)
    layers.blood = body * (0.35 + 0.4 * pseudo + 0.1 * noise(rng, side, 0.7 * mm))
    follicles = structures.dots(rng, body * (1 - pseudo), 26, (0.12 * mm, 0.22 * mm))
    layers.keratin = 0.45 * follicles
    clusters = body * ramp(noise(rng, side, 1.2 * mm), 0.2, 1.0)
    layers.blood += 1.1 * structures.dots(rng, clusters, 70, (0.06 * mm, 0.11 * mm))
    flakes = ramp(noise(rng, side, 0.3 * mm) + 0.8 * noise(rng, side, 1.4 * mm), 0.9, 2.4) * body
    layers.keratin = np.maximum(layers.keratin, 0.75 * flakes)
    layers.melanin = 0.18 * body * ramp(noise(rng, side, mm), 0, 1)
    return layers


def keratosis_benign(rng: Rng, side: int, mm: float) -> Layers:
    """Seborrhoeic keratosis: stuck on with a sharp rim, milia-like cysts, comedo-like openings, fissures."""
    layers = _start(rng, side, mm, (2.0, 3.6), aspect=rng.uniform(1.0, 1.4), rough=0.17, lobes=0.08)
    body = ramp(layers.inside, -0.01, 0.05)
    layers.melanin = body * (
        rng.uniform(0.8, 2.0) + 0.22 * noise(rng, side, 0.9 * mm) + 0.1 * noise(rng, side, 0.25 * mm)
    )
    fissures = structures.network(rng, side, 0.95 * mm, irregular=0.8, line_px=0.09 * mm)
    layers.melanin += 0.8 * fissures * ramp(layers.inside, 0.1, 0.3) * ramp(noise(rng, side, 1.5 * mm), -0.5, 0.5)
    plugs = structures.dots(rng, ramp(layers.inside, 0.08, 0.3), int(rng.integers(8, 18)), (0.11 * mm, 0.24 * mm))
    layers.melanin += 1.7 * plugs
    count = int(rng.integers(9, 20))
    cysts = structures.dots(rng, ramp(layers.inside, 0.12, 0.3), count, (0.08 * mm, 0.17 * mm), soft=0.6)
    layers.keratin = 0.8 * cysts * (1 - plugs)
    layers.keratin = np.maximum(layers.keratin, 0.18 * body * ramp(noise(rng, side, 0.6 * mm), 0.2, 1.5))
    return layers


def dermatofibroma(rng: Rng, side: int, mm: float) -> Layers:
    """A white scar-like patch in the middle, and a delicate network around it."""
    layers = _start(rng, side, mm, (1.8, 2.8), aspect=rng.uniform(1.0, 1.2), rough=0.14, lobes=0.05)
    body = ramp(layers.inside, -0.15, 0.5)
    ring = ramp(layers.inside, -0.02, 0.3) * (1 - ramp(layers.inside, 0.45, 0.7))
    lines = structures.network(rng, side, 0.26 * mm, irregular=0.1, line_px=0.035 * mm)
    layers.melanin = 0.34 * body + 0.6 * lines * ring
    scar = ramp(layers.inside + 0.08 * noise(rng, side, 0.6 * mm), 0.45, 0.7)
    strands = structures.network(rng, side, 0.4 * mm, irregular=0.7, line_px=0.09 * mm)
    layers.veil = scar * (np.float32(0.3) + np.float32(0.3) * strands)
    layers.melanin *= 1 - 0.8 * scar
    layers.blood = 0.28 * body
    return layers


def vascular(rng: Rng, side: int, mm: float) -> Layers:
    """Haemangioma: red, purple or nearly black lacunae, sharply bounded, with pale septa between them."""
    layers = _start(rng, side, mm, (1.5, 2.8), aspect=rng.uniform(1.0, 1.3), rough=0.16, lobes=0.1)
    body = ramp(layers.inside, -0.04, 0.15)
    septa = structures.network(rng, side, 0.95 * mm, irregular=0.6, line_px=0.16 * mm)
    septa = np.asarray(cv2.GaussianBlur(septa, (0, 0), 0.07 * mm), np.float32)
    depth: Field = 1.7 + 0.85 * ramp(noise(rng, side, 1.1 * mm), -0.5, 1.2)
    layers.blood = body * (0.55 + (1 - septa) * depth)
    layers.deep = 0.6 * body * (1 - septa) * ramp(noise(rng, side, 1.0 * mm), 0.3, 1.3)
    layers.veil = 0.08 * septa * body
    if rng.random() < 0.35:
        clot = structures.dots(rng, ramp(layers.inside, 0.2, 0.5) * (1 - septa), 2, (0.3 * mm, 0.5 * mm))
        layers.deep += 1.6 * clot
        layers.melanin += 0.8 * clot
    return layers


DRAW: Mapping[str, Draw] = MappingProxyType(
    {
        "nv": naevus,
        "mel": melanoma,
        "bcc": basal_cell,
        "akiec": keratosis_actinic,
        "bkl": keratosis_benign,
        "df": dermatofibroma,
        "vasc": vascular,
    }
)
"""The seven labels of HAM10000 (Tschandl et al., Sci. Data 5 (2018) 180161) and who draws them."""
GROWTH: Mapping[str, float] = MappingProxyType({"mel": 1.12, "bcc": 1.04, "akiec": 1.02})
"""How many times as wide a lesion is at the next visit; others stay as they are."""
