"""A photograph of skin in, what is wrong with it and how to take a better one, out.

A coach for the person with the camera, and a gate before the classifier: a blocking fault means NOT EXAMINED. The
limits are set by what a number means and on drawn pictures, and fitted to no photographs; a site with its own camera
measures its own (``benchmarks/medical_gates.py``). Nothing here says anything about the skin.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from verticals.medical.photograph import measures

Picture = NDArray[np.uint8]

MIN_SIDE_PX = 200
"""Shorter side below which fine structures cannot be told: 20 mm of skin in 200 pixels are 0.1 mm per pixel, as wide as
a line of the pigment network."""


@dataclass(frozen=True)
class Limit:
    """When a measure is a fault.

    Attributes:
        limit: Score from which it is one, in the unit of the measure.
        blocking: Whether the picture must be taken again before it is scored.
        advice: How to take a better one.
    """

    limit: float
    blocking: bool
    advice: str


LIMITS: Mapping[str, Limit] = {
    "blurry": Limit(0.45, True, "Out of focus or moved: rest the camera, focus on the lesion, take it again."),
    "glare": Limit(0.02, False, "Light reflects: tilt the lamp, use a polariser or more immersion fluid."),
    "overexposed": Limit(1.1, True, "Too bright, detail is lost: less light or flash, take it again."),
    "underexposed": Limit(2.0, True, "Too dark: more light, take it again."),
    "cropped": Limit(0.7, False, "The lesion leaves the picture: move back until skin is seen all around it."),
    "ruler": Limit(7, False, "A ruler is in the picture: keep it away from the lesion."),
    "marker_pen": Limit(0.005, False, "Ink is on the skin: wipe it off or photograph before marking."),
    "hairy": Limit(0.1, False, "Hair covers the skin: comb or clip it, or flatten it with fluid."),
    "color_tint": Limit(0.35, False, "The colours are tinted: set white balance for this light."),
    "low_resolution": Limit(1.0, True, "Too few pixels: use the camera's full size and go closer."),
}
"""``blurry``, ``marker_pen``, ``hairy`` and ``color_tint`` are the ISIC archive's names. ``underexposed``: a quarter of
the light that skin of this colour sends back, whatever its tone; no drawn skin in full light reaches 0.7. ``cropped``:
a disc of which a tenth of the width is cut off. ``marker_pen``: drawn skin without ink stays at 0; ink on dark skin is
told late. ``hairy``: of drawn lesions without hair none reaches 0.1, of those under eight hairs half do.
``color_tint``: half of what a magenta filter of density 0.3 mends, which is advised for uncorrected tubes; drawn skin
in white light stays below 0.25."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a photograph.

    Attributes:
        name: Key of :data:`LIMITS`.
        score: What was measured.
        limit: From where it is a fault.
        blocking: Whether the picture must be taken again before it is scored; else it is only noted.
        advice: One sentence on how to take a better one.
    """

    name: str
    score: float
    limit: float
    blocking: bool
    advice: str


def scores(picture: Picture, *, side_px: int | None = None) -> dict[str, float]:
    """All measures of a photograph by name; the higher, the worse.

    Args:
        picture: ``(rows, columns, 3)`` uint8 RGB.
        side_px: Shorter side of the photograph where ``picture`` is a smaller copy of it; None where it is not.

    Raises:
        DataError: Another shape or dtype, or a side of less than 16 pixels.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < 16:
        raise DataError(
            f"a picture of shape {picture.shape} and dtype {picture.dtype}; allowed is (H, W, 3) uint8 RGB with sides "
            "of 16 pixels or more"
        )
    small = measures.shrunk(picture)
    found = {name: measure(small) for name, measure in measures.MEASURES.items()}
    return {**found, "low_resolution": MIN_SIDE_PX / (side_px or min(picture.shape[:2]))}


def examine(picture: Picture, *, side_px: int | None = None) -> tuple[Fault, ...]:
    """What is wrong with a photograph, blocking faults first; empty where nothing is.

    Args:
        picture: ``(rows, columns, 3)`` uint8 RGB.
        side_px: As for :func:`scores`.

    Raises:
        DataError: As :func:`scores`.
    """
    faults = []
    for name, score in scores(picture, side_px=side_px).items():
        rule = LIMITS[name]
        beyond = score > rule.limit if name == "low_resolution" else score >= rule.limit
        if beyond:
            faults.append(Fault(name, score, rule.limit, rule.blocking, rule.advice))
    return tuple(sorted(faults, key=lambda fault: not fault.blocking))
