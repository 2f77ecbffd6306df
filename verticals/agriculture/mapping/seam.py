"""Strips of a map in, how much more it jumps where tiles end than elsewhere out: 1 means that no seam is to be seen."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verticals.agriculture.mapping.tiles import Layout


@dataclass(frozen=True)
class Seam:
    """The seam metric.

    Attributes:
        border: Mean absolute step of the probabilities between neighbouring cells across an edge of some tile.
        elsewhere: Likewise between all other neighbours.
        ratio: The first over the second; None where there is no edge, nothing else than edges, or no step elsewhere.
        steps: Pairs of neighbours across edges that were measured.
    """

    border: float
    elsewhere: float
    ratio: float | None
    steps: int

    def __str__(self) -> str:
        if self.ratio is None:
            return "seams cannot be measured on this map: it has no edges of tiles inside, or no steps beside them"
        return (
            f"probabilities step by {self.border:.4f} across edges of tiles and by {self.elsewhere:.4f} elsewhere: "
            f"ratio {self.ratio:.3f} on {self.steps} steps (1 = no seam)"
        )


@dataclass
class SeamMeter:
    """Measures strip by strip; cells with NaN are left out.

    Attributes:
        laid: Tiles over the raster.
    """

    laid: Layout
    _across: NDArray[np.float64] = field(init=False)
    _down: NDArray[np.float64] = field(init=False)
    _last: NDArray[np.float32] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # Sum of the steps and how many, per place of the step.
        self._across = np.zeros((2, max(self.laid.columns - 1, 0)))
        self._down = np.zeros((2, max(self.laid.rows - 1, 0)))

    def add(self, row: int, probabilities: NDArray[np.float32]) -> None:
        """Take the next strip: its first row, and ``(labels, rows, columns)`` float32."""
        self._put(self._across, 0, _steps(probabilities, 1).T)
        self._put(self._down, row, _steps(probabilities, 0))
        if self._last is not None:
            self._put(self._down, row - 1, np.abs(probabilities[:, 0] - self._last).mean(0)[None])
        self._last = probabilities[:, -1].copy()

    @staticmethod
    def _put(total: NDArray[np.float64], first: int, steps: NDArray[np.float32]) -> None:
        """Add steps ``(places, neighbours)`` from place ``first`` on."""
        place = slice(first, first + len(steps))
        total[:, place] += np.nansum(steps, 1, dtype=np.float64), np.isfinite(steps).sum(1)

    def result(self) -> Seam:
        """What was measured so far."""
        at = np.concatenate(
            [self.laid.borders(self.laid.xs, self.laid.columns), self.laid.borders(self.laid.ys, self.laid.rows)]
        )
        sums, counts = np.concatenate([self._across, self._down], 1)
        (border, n), (elsewhere, m) = ((sums[w].sum(), counts[w].sum()) for w in (at, ~at))
        border, elsewhere = border / n if n else 0.0, elsewhere / m if m else 0.0
        ratio = float(border / elsewhere) if n and elsewhere > 0 else None
        return Seam(float(border), float(elsewhere), ratio, int(n))


def _steps(probabilities: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Mean over the labels of the absolute steps along an axis of each plane; one plane at a time, to save memory."""
    total: NDArray[np.float32] = np.abs(np.diff(probabilities[0], axis=axis))
    for plane in probabilities[1:]:
        total += np.abs(np.diff(plane, axis=axis))
    total /= np.float32(len(probabilities))
    return total
