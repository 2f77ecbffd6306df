"""A field and points in it in, walking distances and ways that never leave the field out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require

_MARGIN_M = 2.0
"""Distance of the corners walked around from the edge; their line is simplified by less, so that it stays inside."""
_MOST_CORNERS = 250


@dataclass(frozen=True)
class Ways:
    """Shortest ways between points inside a field.

    Attributes:
        distances: ``(points, points)`` float64, metres; infinite where one cannot walk.
        nodes: ``(nodes, 2)`` float64, the points and then the corners walked around.
        previous: ``(points, nodes)`` int, the node before on the way from a point.
    """

    distances: NDArray[np.float64]
    nodes: NDArray[np.float64]
    previous: NDArray[np.int32]

    def way(self, start: int, end: int) -> list[tuple[float, float]]:
        """Coordinates from one point to another, both ends included."""
        found = [end]
        while found[-1] != start:
            found.append(int(self.previous[start, found[-1]]))
        return [(float(x), float(y)) for x, y in self.nodes[found[::-1]]]


def ways(ground: Any, points: NDArray[np.float64]) -> Ways:
    """Shortest ways around holes and corners (visibility graph and Dijkstra).

    Args:
        ground: Polygon or MultiPolygon in metres that may be walked on; a neck narrower than about 4 m is no way.
        points: ``(points, 2)`` float64, easting and northing; those outside of it cannot be reached.
    """
    shapely, graph = require("shapely", extra="agriculture"), require("scipy.sparse.csgraph", extra="agriculture")
    nodes = np.concatenate([points, _corners(shapely, ground)])
    first, second = np.triu_indices(len(nodes), 1)
    shapely.prepare(ground)
    free = shapely.covers(ground, shapely.linestrings(np.stack([nodes[first], nodes[second]], axis=1)))
    weights = np.full((len(nodes), len(nodes)), np.inf)
    apart = np.hypot(*(nodes[first[free]] - nodes[second[free]]).T)
    # A length of 0 means "no edge" to the graph.
    weights[first[free], second[free]] = np.maximum(apart, 1e-9)
    distances, previous = graph.dijkstra(
        graph.csgraph_from_dense(weights, null_value=np.inf), directed=False, indices=range(len(points)),
        return_predecessors=True,
    )  # fmt: skip
    return Ways(distances[:, : len(points)], nodes, previous)


def _corners(shapely: Any, ground: Any) -> NDArray[np.float64]:
    margin = _MARGIN_M
    while True:
        inner = shapely.simplify(shapely.buffer(ground, -margin, join_style="mitre"), 0.75 * margin)
        found = shapely.get_coordinates(inner)
        if len(found) <= _MOST_CORNERS:
            return np.unique(found, axis=0)
        margin *= 1.5
