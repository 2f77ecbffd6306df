"""Soil in layers: how much water it holds, and how much of that is missing over a rooting depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from shared.errors import DataError
from verticals.agriculture.irrigation.evapotranspiration import within

_MOST_WATER = 0.7
"""m3/m3; mineral soils are saturated at 0.35 to 0.60."""


@dataclass(frozen=True)
class Layer:
    """One layer; it reaches up to the layer above it, the first to the surface.

    Attributes:
        bottom_cm: Depth of its lower edge, whole centimetres.
        field_capacity: Water content that drainage leaves, m3/m3.
        wilting_point: Water content that plants leave, m3/m3.
        initial: Water content on the first day, m3/m3.
    """

    bottom_cm: int
    field_capacity: float
    wilting_point: float
    initial: float

    def __post_init__(self) -> None:
        where = f"soil layer down to {self.bottom_cm} cm"
        for name, value in (
            ("field capacity", self.field_capacity),
            ("wilting point", self.wilting_point),
            ("initial water content", self.initial),
        ):
            hint = "give m3/m3: this looks like per cent" if 1 < value <= 100 else ""
            within(f"{where}: {name}", value, 0, _MOST_WATER, "m3/m3", hint)
        if self.wilting_point >= self.field_capacity:
            raise DataError(
                f"{where}: wilting point {self.wilting_point:g} is not below field capacity {self.field_capacity:g}; "
                "give them the other way round"
            )


@dataclass(frozen=True)
class Soil:
    """A profile.

    Attributes:
        layers: From the surface down.
        evaporation_depth_m: Ze, the depth that dries by evaporation, m: 0.10 to 0.15 (FAO-56 page 144).
        readily_evaporable_mm: REW, mm: 2 to 12 by texture (FAO-56 table 19).
    """

    layers: tuple[Layer, ...]
    evaporation_depth_m: float = 0.10
    readily_evaporable_mm: float = 8.0

    def __post_init__(self) -> None:
        bottoms = [layer.bottom_cm for layer in self.layers]
        if not bottoms or bottoms[0] <= 0 or any(b <= a for a, b in pairwise(bottoms)):
            raise DataError(f"soil layers end at {bottoms} cm; allowed: at least one, each deeper than the one above")
        if any(bottom != int(bottom) for bottom in bottoms):
            raise DataError(f"soil layers end at {bottoms} cm; allowed: whole centimetres")
        within("evaporation depth", self.evaporation_depth_m, 0.01, 0.3, "m")
        within("readily evaporable water", self.readily_evaporable_mm, 0, 30, "mm")

    @property
    def depth_m(self) -> float:
        """Lower edge of the last layer, m."""
        return self.layers[-1].bottom_cm / 100


def available(soil: Soil, root_m: float) -> float:
    """Total available water TAW in mm over a rooting depth (FAO-56 eq. 82, layer by layer)."""
    held = [layer.field_capacity - layer.wilting_point for layer in soil.layers]
    return float(1000 * np.dot(_thickness(soil, root_m), held))


def depth_of(soil: Soil, available_mm: float) -> float:
    """Depth in m down to which this much water is available, mm; at most the profile's."""
    edges = [0.0, *(layer.bottom_cm / 100 for layer in soil.layers)]
    return float(np.interp(available_mm, [available(soil, edge) for edge in edges], edges))


def depletion(soil: Soil, contents: Sequence[float], root_m: float) -> float:
    """Depletion Dr in mm over a rooting depth from measured water contents.

    Args:
        soil: The profile.
        contents: Water content of each layer, m3/m3, from the surface down; deeper layers than the root zone reaches
            may be left out.
        root_m: Rooting depth, m.

    Returns:
        Water missing to field capacity; below 0 where the soil is wetter than that.

    Raises:
        DataError: A layer inside the root zone was not measured, or a content is impossible.
    """
    thickness = _thickness(soil, root_m)
    read = np.full(len(soil.layers), np.nan)
    read[: len(contents)] = contents[: len(read)]
    for layer, value, thick in zip(soil.layers, read, thickness, strict=True):
        if thick > 0:
            hint = "not measured" if np.isnan(value) else "give m3/m3: this looks like per cent" if value > 1 else ""
            within(f"water content of the layer down to {layer.bottom_cm} cm", value, 0, _MOST_WATER, "m3/m3", hint)
    missing = np.array([layer.field_capacity for layer in soil.layers]) - read
    return float(1000 * np.dot(thickness[thickness > 0], missing[thickness > 0]))


def _thickness(soil: Soil, root_m: float) -> "np.typing.NDArray[np.float64]":
    """Metres of each layer inside the root zone."""
    within("rooting depth", root_m, 0, soil.depth_m, "m", "the soil profile must reach as deep as the roots")
    edges = np.array([0.0, *(layer.bottom_cm / 100 for layer in soil.layers)])
    return np.clip(root_m - edges[:-1], 0, np.diff(edges))
