"""A picture of skin in, what its light was out: too much, too little, or of a colour that no skin sends back.

Skin is coloured by melanin and blood. In the plane of log(R/G) and log(G/B) each moves bloodless, unpigmented skin in
one direction (Tsumura 1999, J Opt Soc Am A 16:2169), and the place in that plane says how dark the skin itself is,
however much light there was.

The daylight locus runs along the line of melanin: by Planck's law a lamp's colour error adds
(1/545 - 1/610) : (1/465 - 1/545) = 0.20 : 0.32 to the two logarithms (wavelengths in nm), melanin 0.22 : 0.32. So warm
light on pale skin and white light on darker skin give the same colours, and no measure of one picture's colour tells
them apart.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from verticals.medical.photograph.skin import linear

Picture = NDArray[np.uint8]

_DARK = 25
_DARK_LIGHT = 0.004
"""Added to linear light so that ratios of dark pixels stay finite: about one grey level of 8 bits."""
_DERMIS_GREEN = 0.60
"""Share of green light that a dermis without pigments sends back."""
_BLOODLESS = np.log((0.80 / 0.60, 0.60 / 0.54))
_PIGMENTS = np.array(((0.22, 0.90), (0.32, -0.20)))
"""log(R/G) and log(G/B) of a dermis without pigments, and what one unit of melanin (first column) and of blood adds;
the optics of :mod:`verticals.medical.drawing.skin_optics`, after Jacques 1998."""
_GREEN = np.array((0.68, 1.0))
"""What one unit of each absorbs of green light, as natural logarithm."""
_MELANIN, _BLOOD = (0.05, 2.9), (0.0, 0.5)
"""From the palest to the darkest skin (absorbance of blue light), from bloodless to flushed (of green light)."""
_MOST_BLOOD = 1.0
"""Most that the light is judged by: a picture that a haemangioma fills is red, and not dark for it."""
_LAMPS = 0.35
"""How far along the line of melanin light may be beyond all skin: 65 mired, half of the way from daylight to an
incandescent lamp, which is what cameras' own white balances differ by."""


def overexposed(picture: Picture) -> float:
    """Brightness of what is brightest, 0 to 1, plus the share of pixels in which two channels or more are clipped.

    The brightness is the 90th percentile of the middle one of the three channels: red alone clips on healthy skin.
    """
    middle = np.median(picture, axis=2)
    return float(np.percentile(middle, 90)) / 255 + float((middle >= 250).mean())


def underexposed(picture: Picture) -> float:
    """Stops by which there was less light than skin of this colour sends back in a full exposure; below zero for more.

    Dark skin in full light and pale skin in little light are equally bright, and differ in colour: how much green light
    the skin absorbs follows from its melanin and blood. The brightest tenth is looked at, in which black corners and
    lesions do not count. Light of 65 mired too warm hides one stop, and too cold adds one, but not on the palest skin.
    """
    melanin, blood = _pigments(picture)
    known = np.array((np.clip(melanin, *_MELANIN), np.clip(blood, 0, _MOST_BLOOD)))
    expected = _DERMIS_GREEN * float(np.exp(-_GREEN @ known))
    seen = float(np.percentile(linear(picture[..., 1]), 90)) + _DARK_LIGHT / 2
    return float(np.log2(expected / seen))


def color_tint(picture: Picture) -> float:
    """How far the colour of the skin lies outside of what its pigments make in light of any lamp, in log units.

    What would need less than no blood (green light, as of tubes), more than there is, or light warmer or colder than
    :data:`_LAMPS` beyond the palest and the darkest skin, is the light's doing; the score is the distance from there,
    and below zero inside. Warm or cold light within that range is not found, see the head of this module.
    """
    melanin, blood = _pigments(picture)
    per_melanin, per_blood = 1 / np.linalg.norm(np.linalg.inv(_PIGMENTS), axis=1)
    beyond_melanin = max(_MELANIN[0] - melanin, melanin - _MELANIN[1]) * per_melanin - _LAMPS
    beyond_blood = max(_BLOOD[0] - blood, blood - _BLOOD[1]) * per_blood
    return float(max(beyond_melanin, beyond_blood))


def _pigments(picture: Picture) -> tuple[float, float]:
    """Melanin and blood of the skin, in the units of :data:`_MELANIN` and :data:`_BLOOD`; below zero in odd light.

    Of the brighter half of the lit pixels, which is skin rather than lesion, the third that is least red.
    """
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    lit = grey > _DARK
    if not lit.any():
        return 0.0, 0.0
    light = np.log(linear(picture[lit & (grey >= np.median(grey[lit]))]) + _DARK_LIGHT)
    red_green, green_blue = light[:, 0] - light[:, 1], light[:, 1] - light[:, 2]
    pale = red_green <= np.percentile(red_green, 100 / 3)
    seen = np.array((np.median(red_green[pale]), np.median(green_blue[pale])))
    melanin, blood = np.linalg.solve(_PIGMENTS, seen - _BLOODLESS)
    return float(melanin), float(blood)
