"""A picture in, how unlike a photograph of skin it is, out; by colour and roughness, whatever the tone of the skin.

Skin is coloured by melanin and haemoglobin, which both absorb green light more than red (Anderson and Parrish 1981,
J Invest Dermatol 77:13; as axes in the log space of red, green and blue: Tsumura 1999, J Opt Soc Am A 16:2169). So in
linear light log(R/G) is above zero on nearly every pixel of it, from pale to dark, in each of them by an amount that
both pigments bound; leaves have it below zero, grey things (steel, pages, CT, MR) at zero.

Dry grass, litter and soil have its colours and not its smoothness: at a hundredth of the picture skin changes little,
but for hairs and lesions, which seldom cover half of it.

The ranges and weights below follow from that and from drawn colours; they are fitted to no photographs. Not told
from skin: clay, smooth wood and some food; and a photograph of skin in shades of grey is refused.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError

Picture = NDArray[np.uint8]

LIMIT = 0.375
"""Score from which a picture is refused: that of a picture in which half of the pixels have the colour of skin and a
tenth is grey."""
_SIDE_PX = 96
_RED_OVER_GREEN, _GREEN_OVER_BLUE = (0.05, 1.8), (-0.7, 1.2)
"""Natural logarithms of ratios of linear light: lesions full of blood reach 1.8, melanin of the darkest skin 1.2 in the
second; lamps from 2700 K to a cloudy sky move the second by about as much as is allowed beyond the pigments."""
_GREENISH, _REDDISH = -0.5, 0.2
_ROUGH = 0.3
"""Median difference of the logarithm of green light between a pixel and its neighbours, right and below together, of a
picture of 96 x 96 pixels, from which it is refused: drawn skin reaches 0.08."""
_DARKEST = 25
"""Grey level below which a pixel is a corner of the dermoscope or a shadow, and its ratios are noise."""
_DARK_LIGHT = 0.004
"""Added to linear light so that ratios of dark pixels stay finite: about one grey level of 8 bits."""
_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True)
class SkinColour:
    """What the colour of a picture says.

    Attributes:
        share: Fraction of lit pixels in the range of skin, 0 to 1.
        red_over_green: Tenth percentile of log(R/G) of lit pixels: below zero where a tenth of them is greenish.
        roughness: Median difference between neighbours, as natural logarithm of green light.
        score: From 0 (all of it has the colour of skin, and it is smooth) on; 1 where no pixel has its colour.
    """

    share: float
    red_over_green: float
    roughness: float
    score: float

    @property
    def refused(self) -> bool:
        """Whether the picture should not be scored as skin."""
        return self.score >= LIMIT


def colour(picture: Picture) -> SkinColour:
    """How much of a picture has the colour of skin.

    Args:
        picture: ``(rows, columns, 3)`` uint8 RGB in the sRGB colour space.

    Raises:
        DataError: Another shape or dtype.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise DataError(f"a picture of shape {picture.shape} and dtype {picture.dtype}; allowed is (H, W, 3) uint8 RGB")
    small = cv2.resize(picture, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    lit = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)) > _DARKEST
    if lit.mean() < 0.02:
        return SkinColour(0.0, 0.0, 0.0, 1.0)
    light = linear(small[lit]) + _DARK_LIGHT
    red_over_green, green_over_blue = np.log(light[:, 0] / light[:, 1]), np.log(light[:, 1] / light[:, 2])
    inside = (red_over_green > _RED_OVER_GREEN[0]) & (red_over_green < _RED_OVER_GREEN[1])
    inside &= (green_over_blue > _GREEN_OVER_BLUE[0]) & (green_over_blue < _GREEN_OVER_BLUE[1])
    share, low = float(inside.mean()), float(np.percentile(red_over_green, 10))
    # A pixel outside of the range counts once, and a greenish tenth of the picture as much as all pixels outside.
    likeness = 2 * share + 4 * float(np.clip(low, _GREENISH, _REDDISH))
    highest, lowest = 2 + 4 * _REDDISH, 4 * _GREENISH
    rough = _roughness(small, lit)
    return SkinColour(share, low, rough, max((highest - likeness) / (highest - lowest), rough / _ROUGH * LIMIT))


def _roughness(small: Picture, lit: NDArray[np.bool_]) -> float:
    light = np.log(linear(small[..., 1]) + _DARK_LIGHT)
    across, down = np.abs(np.diff(light, axis=1))[:-1], np.abs(np.diff(light, axis=0))[:, :-1]
    some = (across + down)[lit[:-1, :-1]]
    return float(np.median(some)) if some.size else 0.0


def linear(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Values of sRGB as linear light, 0 to 1 (IEC 61966-2-1), of the same shape."""
    return _LINEAR[picture]
