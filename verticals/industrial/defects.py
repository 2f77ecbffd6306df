"""The 23 drawn defect types: code of the taxonomy to the function that draws one; and stamps laid on a surface."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from verticals.industrial import areas, raisings, recessions
from verticals.industrial.shapes import Rng, Stamp
from verticals.industrial.surface import Look, Surface

Draw = Callable[[Rng, Look], Stamp]

DRAW: Mapping[str, Draw] = MappingProxyType(
    {
        "SCR": recessions.scratch,
        "SCO": recessions.scoring,
        "CRK": recessions.crack,
        "CRZ": areas.crazing,
        "DEN": recessions.dent,
        "POR": recessions.pore,
        "SHR": recessions.shrinkage,
        "CHP": recessions.chipping,
        "PIT": areas.pitting,
        "BUR": raisings.burr,
        "BLI": raisings.blister,
        "WRN": raisings.wrinkle,
        "INC": raisings.inclusion,
        "DEP": raisings.deposit,
        "CRA": raisings.crater,
        "LAP": raisings.lap,
        "SCA": raisings.scale,
        "COR": areas.corrosion,
        "STA": areas.stain,
        "DIS": areas.discoloration,
        "GRD": areas.grinding,
        "FLW": areas.coating_flow,
        "VOI": areas.void,
    }
)
"""In the order of ``labels.toml``: the place in this order, from 1, is the value in truth masks."""


def mirrored(stamp: Stamp) -> Stamp:
    """For the right edge of the part: left and right swapped; ``at_edge`` counts from the right then."""
    return Stamp(
        stamp.mask[:, ::-1],
        stamp.height[:, ::-1],
        stamp.reflect[:, ::-1],
        stamp.gloss[:, ::-1],
        stamp.cover[:, ::-1],
        stamp.at_edge,
    )


def press(surface: Surface, stamp: Stamp, x: int, y: int) -> NDArray[np.bool_]:
    """Lay a stamp's top left corner at column ``x`` and line ``y`` of a surface, in place.

    What lies outside of the surface is cut off.

    Returns:
        ``(h, w)`` bool, the part of the stamp's mask that lies on the surface.
    """
    lines, width = surface.height.shape
    h, w = stamp.mask.shape
    top, left, bottom, right = max(-y, 0), max(-x, 0), min(h, lines - y), min(w, width - x)
    there = np.s_[y + top : y + bottom, x + left : x + right]
    here = np.s_[top:bottom, left:right]
    keep = 1 - stamp.cover[here]
    height, reflect, gloss = surface.height[there], surface.reflect[there], surface.gloss[there]
    height *= keep
    height += stamp.height[here]
    reflect *= keep
    reflect += stamp.cover[here]
    reflect *= np.maximum(stamp.reflect[here], 0.02)
    gloss *= keep
    gloss += stamp.cover[here]
    gloss *= np.maximum(stamp.gloss[here], 0)
    return stamp.mask[here]
