"""Where the model looked: a class map laid over its image, and a score that says whether the map can be believed.

A map is believed when it does better than chance at two things (deletion and insertion, Petsiuk, Das and Saenko 2018):
blurring the places it marks first should lose the answer fast, and showing them first in a blurred image should bring
it back fast. Chance is the same map laid at wrong places: scattered cells would be an unfair rival, because an image
with small holes everywhere is still readable.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError
from shared.inference.runtime import Runtime

STEPS = 6
ORDERS = 2
_LONGEST = 448
"""Larger images are shrunk first: the model itself looks at fewer pixels than this."""
_BLUR = 0.05
"""Deviation of the blur relative to the image's longer side; Petsiuk et al. use 5 of 224 pixels, 0.022."""
_HARDLY = 0.05
"""Loss of probability below which blurring says nothing about places."""
_MARGIN = 0.05
"""Score from which a map is believed. On test images of three real sets with ImageNet features, 23 of 35 maps reach it,
and 2 of 35 that were laid at wrong places."""
_HEAT = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)
"""Five colours of Matplotlib's inferno (CC0), cold to hot, RGB."""

Picture = NDArray[np.uint8]
Map = NDArray[np.floating]


@dataclass(frozen=True)
class Faithfulness:
    """How well a map says which places an answer came from.

    All areas are means of the label's probability while the image goes, cell by cell, from whole to blurred or back.

    Attributes:
        label: The label explained.
        whole: Its probability for the image.
        blurred: Its probability for the wholly blurred image.
        deletion: Area while the map's strongest places are blurred first; small is good.
        insertion: Area while the map's strongest places are shown first; large is good.
        chance_deletion: Mean of the same area for the map at wrong places.
        chance_insertion: Likewise.
    """

    label: str
    whole: float
    blurred: float
    deletion: float
    insertion: float
    chance_deletion: float
    chance_insertion: float

    @property
    def score(self) -> float:
        """How much better than chance: mean of what is gained in deletion and in insertion; -1 to 1, 0 for chance."""
        return ((self.chance_deletion - self.deletion) + (self.insertion - self.chance_insertion)) / 2

    @property
    def telling(self) -> bool:
        """Whether blurring the whole image takes enough of the probability away to compare maps at all."""
        return self.whole - self.blurred >= _HARDLY

    @property
    def believable(self) -> bool:
        """Whether the map beats chance by more than the margin, on an answer that depends on places at all."""
        return self.telling and self.score >= _MARGIN

    def __str__(self) -> str:
        if not self.telling:
            return (
                f"blurring the whole image hardly lowers {self.label} ({self.whole:.2f} to {self.blurred:.2f}): "
                "the map cannot be checked on this image"
            )
        said = (
            f"mean probability of {self.label} with marked places blurred first is {self.deletion:.2f} (others "
            f"{self.chance_deletion:.2f}), shown first {self.insertion:.2f} (others {self.chance_insertion:.2f})"
        )
        verdict = (
            f"the marked places matter, {self.score:+.2f} over chance"
            if self.believable
            else "the marked places matter no more than others, do not rely on this map"
        )
        return f"{said}: {verdict}"


def contrast(class_map: Map, label: int, against: int | None = None) -> NDArray[np.float64]:
    """What each place adds to one label rather than to another.

    Args:
        class_map: ``(labels, rows, columns)``, one image of ``Answers.class_map``.
        label: Index of the label.
        against: Index of the other label, e.g. OK; without, the mean of all others.

    Returns:
        ``(rows, columns)`` float64.
    """
    maps = np.asarray(class_map, np.float64)
    other = np.delete(maps, label, 0).mean(0) if against is None else maps[against]
    result: NDArray[np.float64] = maps[label] - other
    return result


def overlay(image: Picture, places: Map, *, alpha: float = 0.6) -> Picture:
    """Lay a map over its image as heat. Places up to the map's median stay as they are.

    Args:
        image: ``(height, width, 3)`` uint8 RGB.
        places: ``(rows, columns)``, e.g. from :func:`contrast`.
        alpha: Opacity of the hottest place, 0 to 1.

    Returns:
        ``(height, width, 3)`` uint8 RGB.

    Raises:
        DataError: Image or map have another form.
    """
    _check(image, places)
    heat = np.rint(255 * _enlarged(_heat(places), image.shape[0], image.shape[1])).astype(np.uint8)
    # By table: a screen of pixels has 256 levels of heat, and looking each up costs a sixth of mixing each.
    levels, stops = np.linspace(0, 1, 256), np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(levels, stops, _HEAT[:, channel]) for channel in range(3)], 1)
    hot = (alpha * levels[:, None] * colours).astype(np.float32).reshape(256, 1, 3)
    kept = cv2.LUT(heat, (1 - alpha * levels).astype(np.float32).reshape(256, 1))
    mixed = cv2.multiply(image, cv2.merge([kept, kept, kept]), dtype=cv2.CV_32F)
    mixed = cv2.add(mixed, cv2.LUT(cv2.merge([heat, heat, heat]), hot))
    return np.asarray(np.rint(mixed).clip(0, 255), np.uint8)


def faithfulness(
    runtime: Runtime,
    image: Picture,
    places: Map,
    label: str,
    *,
    steps: int = STEPS,
    orders: int = ORDERS,
    seed: int = 0,
) -> Faithfulness:
    """Compare a map with itself at wrong places, by deletion and insertion.

    The model looks at ``2 * (steps - 1) * (1 + orders) + 2`` pictures, 32 by default.

    Args:
        runtime: The bundle that made the map.
        image: ``(height, width, 3)`` uint8 RGB.
        places: ``(rows, columns)``, e.g. from :func:`contrast`.
        label: The label whose probability is followed.
        steps: In how many steps the image is blurred; 2 or more.
        orders: At how many wrong places to lay the map for comparison, 1 or more.
        seed: For these places.

    Raises:
        DataError: Image or map have another form, or the bundle does not know the label.
        ConfigError: Too few steps or orders.
    """
    _check(image, places)
    if steps < 2 or orders < 1:
        raise ConfigError(f"{steps} steps and {orders} orders are too few; allowed are 2 steps and 1 order, or more")
    if label not in runtime.labels:
        raise DataError(f"label {label!r} is not one of the bundle's; allowed are {', '.join(runtime.labels)}")
    whole = _shrunk(image)
    blurred = _blurred(whole)
    rng = np.random.default_rng(seed)
    maps = [np.asarray(places, np.float64), *(_moved(places, rng) for _ in range(orders))]
    hottest = [np.argsort(-m.ravel(), kind="stable") for m in maps]
    # Showing the hottest first is blurring the coldest first, read backwards.
    sequences = [way for order in hottest for way in (order, order[::-1])]
    shares = np.arange(1, steps) / steps
    between = [_blur_first(whole, blurred, order, places.shape, share) for order in sequences for share in shares]
    answers = runtime.predict([whole, np.rint(blurred).astype(np.uint8), *between]).probabilities
    followed = answers[:, runtime.labels.index(label)].astype(np.float64)
    first, last = float(followed[0]), float(followed[1])
    # Trapezoids over equal steps; per map one area for blurring and one for showing.
    areas = (followed[2:].reshape(len(maps), 2, steps - 1).sum(2) + (first + last) / 2) / steps
    own, chance = areas[0], areas[1:].mean(0)
    return Faithfulness(label, first, last, *map(float, (own[0], own[1], chance[0], chance[1])))


def _moved(places: Map, rng: np.random.Generator) -> NDArray[np.float64]:
    """The same map at a wrong place: mirrored at random and pushed round the border by a random way."""
    turned = np.asarray(places, np.float64)[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    rows, columns = turned.shape
    way = int(rng.integers(1, max(rows * columns, 2)))
    return np.roll(turned, (way // columns, way % columns), (0, 1))


def _check(image: Picture, places: Map) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise DataError(
            f"image has shape {image.shape} and dtype {image.dtype}; allowed is (height, width, 3) uint8 RGB"
        )
    if places.ndim != 2 or places.size == 0 or not np.isfinite(places).all():
        raise DataError(f"map has shape {places.shape}; allowed are finite numbers of shape (rows, columns)")


def _heat(places: Map) -> NDArray[np.float64]:
    """0 at the median and below, 1 at the strongest place; all 0 for a map that says nothing."""
    middle, strongest = float(np.median(places)), float(places.max())
    if strongest <= middle:
        return np.zeros(places.shape)
    return np.clip((np.asarray(places, np.float64) - middle) / (strongest - middle), 0, 1)


def _enlarged(cells: Map, height: int, width: int) -> NDArray[np.float64]:
    """Cells to pixels, bilinear with half-pixel centres."""
    result: NDArray[np.float64] = _bilinear(cells.shape[0], height) @ cells @ _bilinear(cells.shape[1], width).T
    return result


def _bilinear(cells: int, pixels: int) -> NDArray[np.float64]:
    centres = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    weights: NDArray[np.float64] = np.maximum(1 - np.abs(centres[:, None] - np.arange(cells)), 0)
    return weights


def _shrunk(image: Picture) -> Picture:
    """By a whole factor, each pixel the mean of a block; as it is where it is small enough."""
    factor = max(image.shape[:2]) // _LONGEST
    factor = min(factor, *image.shape[:2])
    if factor < 2:
        return image
    height, width = (side // factor for side in image.shape[:2])
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    result: Picture = np.rint(blocks.mean((1, 3))).astype(np.uint8)
    return result


def _blurred(image: Picture) -> NDArray[np.float64]:
    sigma = _BLUR * max(image.shape[:2])
    down, across = (_gaussian(side, sigma) for side in image.shape[:2])
    result: NDArray[np.float64] = np.einsum("ij,jkc,lk->ilc", down, image.astype(np.float64), across, optimize=True)
    return result


def _gaussian(side: int, sigma: float) -> NDArray[np.float64]:
    """Matrix ``(side, side)`` that blurs along one side; what falls over the border is left out."""
    distance = np.arange(side)[:, None] - np.arange(side)
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights /= weights.sum(1, keepdims=True)
    result: NDArray[np.float64] = weights
    return result


def _blur_first(
    whole: Picture, blurred: NDArray[np.float64], order: NDArray[np.int64], shape: tuple[int, ...], share: float
) -> Picture:
    """The image with the first ``share`` of the cells blurred; soft borders, so that no edge is added."""
    cells = np.zeros(len(order))
    cells[order[: round(share * len(order))]] = 1.0
    hidden = _enlarged(cells.reshape(shape), whole.shape[0], whole.shape[1])[..., None]
    mixed: Picture = np.rint(whole + hidden * (blurred - whole)).clip(0, 255).astype(np.uint8)
    return mixed
