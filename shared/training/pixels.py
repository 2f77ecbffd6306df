"""Images decoded once, squashed to a square, and kept in memory for the epochs to come."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.errors import require

torch: Any = require("torch", extra="train")

Picture = NDArray[np.uint8]
Reader = Callable[[int], Picture]

KEPT_BYTES = 4 * 2**30
"""Beyond this much memory the remaining images are decoded each time."""


def squash(picture: Picture, side: int) -> Picture:
    """The whole picture ``(height, width, 3)`` as a square, bilinear with antialiasing, as the exported graph does."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))


class Pixels:
    """Some of the images at one size; each is read when it is first wanted.

    Args:
        read: Gives image ``i`` as ``(height, width, 3)`` uint8 RGB.
        rows: Which images, by their number for ``read``.
        side: Side of the square in pixels.
    """

    def __init__(self, read: Reader, rows: Sequence[int] | NDArray[np.int64], side: int) -> None:
        self._read, self._rows, self._side = read, [int(r) for r in rows], side
        count = min(len(self._rows), KEPT_BYTES // (3 * side * side))
        # The system gives the memory page by page as it is written to.
        self._kept = np.zeros((count, side, side, 3), np.uint8)
        self._known = np.zeros(count, bool)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def kept_share(self) -> float:
        """How many of the images memory can hold, 0 to 1."""
        return len(self._known) / max(len(self), 1)

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> Any:
        """Images at these positions of ``rows``: ``(n, 3, side, side)`` uint8 tensor."""
        return torch.from_numpy(np.stack([self._one(int(p)) for p in positions])).permute(0, 3, 1, 2)

    def _one(self, position: int) -> Picture:
        if position < len(self._known) and self._known[position]:
            picture: Picture = self._kept[position]
            return picture
        picture = squash(self._read(self._rows[position]), self._side)
        if position < len(self._known):
            self._kept[position], self._known[position] = picture, True
        return picture
