"""Distances between places in, a short round tour out: nearest neighbour, then 2-opt and moves of single places."""

import numpy as np
from numpy.typing import NDArray

_LEAST_GAIN_M = 1e-9


def order(distances: NDArray[np.float64]) -> list[int]:
    """The order in which all places are visited, back to the first at the end.

    Nearest neighbour from place 0, then 2-opt (Croes 1958, doi:10.1287/opre.6.6.791) and moving single places (or-1)
    until neither shortens the tour. It is short, not proven shortest.

    Args:
        distances: ``(n, n)`` float64, metres, symmetric and finite.

    Returns:
        ``n`` indices, 0 first.
    """
    n = len(distances)
    tour, left = [0], set(range(1, n))
    while left:
        nearest = min(left, key=lambda i: (distances[tour[-1], i], i))
        tour.append(nearest)
        left.remove(nearest)
    while n > 3 and (_uncrossed(tour, distances) or _moved(tour, distances)):
        pass
    return tour


def length(tour: list[int], distances: NDArray[np.float64]) -> float:
    """Of the round tour, metres."""
    return float(distances[tour, np.roll(tour, -1)].sum())


def _uncrossed(tour: list[int], d: NDArray[np.float64]) -> bool:
    """Reverse one stretch where that is shorter."""
    n = len(tour)
    for i in range(n - 2):
        for j in range(i + 2, n - (i == 0)):
            a, b, e, f = tour[i], tour[i + 1], tour[j], tour[(j + 1) % n]
            if d[a, e] + d[b, f] < d[a, b] + d[e, f] - _LEAST_GAIN_M:
                tour[i + 1 : j + 1] = tour[i + 1 : j + 1][::-1]
                return True
    return False


def _moved(tour: list[int], d: NDArray[np.float64]) -> bool:
    """Take one place out and put it between two others where that is shorter."""
    n = len(tour)
    for i in range(1, n):
        before, here, after = tour[i - 1], tour[i], tour[(i + 1) % n]
        saved = d[before, here] + d[here, after] - d[before, after]
        rest = tour[:i] + tour[i + 1 :]
        added = [d[rest[j], here] + d[here, rest[(j + 1) % (n - 1)]] - d[rest[j], rest[(j + 1) % (n - 1)]]
                 for j in range(n - 1)]  # fmt: skip
        best = int(np.argmin(added))
        if added[best] < saved - _LEAST_GAIN_M:
            tour[:] = [*rest[: best + 1], here, *rest[best + 1 :]]
            return True
    return False
