"""A bundle that was built for whole tiles in, a predictor that answers place by place out.

The class map of a bundle says what each of n places adds to the scores: their mean is the score of the tile, the log of
its probabilities up to a constant. With c(place) the class map and s its mean, a place's probabilities are

    p(place) = softmax(s + (c(place) - s) / sqrt(n))

The root: the head's temperature was fitted to tiles, and the deviation of a place from its tile is about sqrt(n) times
that of a tile's mean, so that undivided deviations make every place far too sure. Tile and places agree: the geometric
mean of p over the places, normalised, is exactly the tile's probabilities, because the deviations add up to nothing.

``benchmarks/agriculture_places.py`` compares it on two drawn fields that the bundle has not seen. Mean IoU with tiles
of 32 px and 4 x 4 places: the tile's probabilities everywhere 0.365, undivided deviations 0.297, this 0.421; with tiles
of 64 px and 8 x 8 places, from few images: 0.230, 0.162, 0.231. No fixed divisor, and no scaling that makes the
arithmetic means agree, was better on both. SYNTHETIC, no accuracy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError
from shared.inference import Runtime
from verticals.agriculture.mapping.blend import Painted
from verticals.agriculture.mapping.painting import Settings


@dataclass(frozen=True)
class Painter:
    """A predictor made of a bundle; made by :func:`painter`.

    Attributes:
        runtime: The loaded bundle.
        side: Pixels of a tile across and down.
        places: Places of the class map across and down.
    """

    runtime: Runtime
    side: int
    places: int

    def __call__(self, tiles: NDArray[np.uint8]) -> Painted:
        """Answer for tiles ``(n, side, side, 3)`` uint8 RGB, place by place, with the novelty of each tile."""
        answers = self.runtime.predict(list(tiles), class_map=True)
        assert answers.class_map is not None
        return Painted(place_probabilities(answers.class_map), answers.novelty)

    def settings(self, *, overlap: float = 0.5, **others: Any) -> Settings:
        """Settings of a map with this painter; the bundle's own limit of novelty unless another is named."""
        limit = float((self.runtime.bundle.card.get("novelty") or {}).get("limit", np.inf))
        others = {"novelty_limit": limit if np.isfinite(limit) else None, **others}
        return Settings(side=self.side, stride=self.side // self.places, overlap=overlap, **others)

    def record(self) -> dict[str, str]:
        """Name and hash of the bundle, for the map's card."""
        return {"name": self.runtime.bundle.path.name, "hash": self.runtime.bundle.hash}


def painter(runtime: Runtime, *, side: int | None = None) -> Painter:
    """Make a predictor of a bundle.

    Args:
        runtime: The bundle.
        side: Pixels of a tile; None takes the size of the windows that the bundle was built on. Taken to the next
            multiple of the class map's places, so that places lie on the map's cells.

    Raises:
        ConfigError: No side is named and the bundle was built on whole images.
    """
    window = runtime.bundle.card.get("tile")
    wanted = side or (int(window["width"]) if window else 0)
    if wanted < 1:
        raise ConfigError(
            f"{runtime.bundle.path}: was built on whole images, so that the size of a tile is unknown; name the pixels "
            "that one such image would be on the orthomosaic"
        )
    blank = np.zeros((wanted, wanted, 3), np.uint8)
    class_map = runtime.predict([blank], class_map=True).class_map
    assert class_map is not None
    places = class_map.shape[2]
    return Painter(runtime, max(1, round(wanted / places)) * places, places)


def open_painter(bundle: Path, *, side: int | None = None, threads: int = 0) -> Painter:
    """Load a bundle, check it, and make a predictor of it; see :func:`painter` and :meth:`Runtime.open`."""
    return painter(Runtime.open(bundle, threads=threads), side=side)


def place_probabilities(class_map: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of each place, by the formula above.

    Args:
        class_map: ``(n, labels, rows, columns)`` float32, ``Answers.class_map``.

    Returns:
        ``(n, labels, rows, columns)`` float32, adding up to 1 over the labels.
    """
    score = class_map.mean((2, 3), keepdims=True, dtype=np.float32)
    scaled: NDArray[np.float32] = score + (class_map - score) / np.float32(
        np.sqrt(class_map.shape[2] * class_map.shape[3])
    )
    scaled -= scaled.max(1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(1, keepdims=True)
    return scaled
