"""A field's outline and a machine in, the grid of the machine's sections along the drive out.

Two resolutions: a *cell* is one section wide and one step long and is on or off; a *fine pixel* (0.25 m or less) is
what areas, buffers and probabilities are reckoned in, and a whole number of them makes a cell. Rows run across the
drive, columns along it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, require
from verticals.agriculture.mapping.area import M2_PER_HECTARE, hectares
from verticals.agriculture.spraying.machine import Machine

if TYPE_CHECKING:
    from affine import Affine

FINE_M = 0.25
LARGEST_PX = 400_000_000
_STRAIGHT_M = 1.0
"""Vertices that lie nearer than this to a straight edge do not break it."""
_STRIPS = 8
_DISTORTION = 0.01
"""Largest departure of a metre of the CRS from one on the ground; a boom of 24 m is then true to 24 cm."""
_EXTRA = "agriculture"

Fine = NDArray[np.float32]
Mask = NDArray[np.bool_]
Place = tuple[float, float]
Geometry = Any
"""A shapely geometry; shapely has no types of its own."""


@dataclass(frozen=True)
class SwathGrid:
    """The sections of a machine over a field.

    Attributes:
        machine: The machine.
        crs: Projected CRS in metres.
        heading_deg: Driving direction, clockwise from grid north, 0 to 180.
        transform: Fine pixel (column along, row across) to metres of the CRS.
        across: Fine pixels in a section's width.
        along: Fine pixels in a step.
        outline: The field.
        inside: ``(rows, columns)`` bool: fine pixels whose centre is in the field.
        pixel_ha: ``(columns,)`` float64: hectares on the ellipsoid of a fine pixel of that column.
    """

    machine: Machine
    crs: str
    heading_deg: float
    transform: "Affine"
    across: int
    along: int
    outline: Geometry = field(repr=False)
    inside: Mask = field(repr=False, compare=False)
    pixel_ha: NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def cells(self) -> tuple[int, int]:
        """Sections over the field's width, steps over its length."""
        rows, columns = self.inside.shape
        return rows // self.across, columns // self.along

    @property
    def passes(self) -> int:
        """Passes of the boom over the field."""
        return self.cells[0] // self.machine.sections

    @property
    def cell_transform(self) -> "Affine":
        """Cell (step, section) to metres of the CRS."""
        return self.transform @ type(self.transform).scale(self.along, self.across)

    def any_in_cell(self, fine: NDArray[np.bool_]) -> Mask:
        """``(sections, steps)`` bool: cells with at least one true fine pixel."""
        return np.asarray(self._blocks(fine).any(axis=(1, 3)), bool)

    def max_in_cell(self, fine: Fine) -> Fine:
        """``(sections, steps)``: greatest fine pixel of each cell."""
        result: Fine = self._blocks(fine).max(axis=(1, 3))
        return result

    def hectares_in_cell(self, fine: NDArray[Any]) -> NDArray[np.float64]:
        """``(sections, steps)`` float64: hectares of each cell, fine pixels weighted by a mask or fraction."""
        result: NDArray[np.float64] = self._blocks(fine * self.pixel_ha.astype(np.float64)).sum(axis=(1, 3))
        return result

    def hectares(self, fine: NDArray[Any]) -> float:
        """Hectares on the ellipsoid of a mask, or of fractions 0 to 1, of fine pixels."""
        return float(fine.sum(axis=0, dtype=np.float64) @ self.pixel_ha)

    def fine(self, cells: Mask) -> Mask:
        """Cells as fine pixels."""
        result: Mask = cells.repeat(self.across, axis=0).repeat(self.along, axis=1)
        return result

    def _blocks(self, fine: NDArray[Any]) -> NDArray[Any]:
        sections, steps = self.cells
        return fine.reshape(sections, self.across, steps, self.along)


def longest_edge_heading(outline: Geometry) -> float:
    """Direction of the longest straight edge of a field's outer rings, in degrees clockwise from grid north, 0 to 180.

    Edges are straightened to 1 m first: surveyed outlines break their straight sides into many short edges.
    """
    shapely = require("shapely", extra=_EXTRA)
    longest, heading = 0.0, 0.0
    for part in shapely.get_parts(shapely.simplify(outline, _STRAIGHT_M)):
        corners = shapely.get_coordinates(shapely.get_exterior_ring(part))
        edges = np.diff(corners, axis=0)
        lengths = np.hypot(edges[:, 0], edges[:, 1])
        at = int(lengths.argmax())
        if lengths[at] > longest:
            longest, heading = float(lengths[at]), math.degrees(math.atan2(edges[at, 0], edges[at, 1])) % 180.0
    return heading


def lay(
    outline: Geometry,
    crs: Any,
    machine: Machine,
    *,
    heading_deg: float | None = None,
    ab_line: tuple[Place, Place] | None = None,
    fine_m: float = FINE_M,
) -> SwathGrid:
    """Lay the passes of a machine over a field; its headlands are driven in the same direction here.

    Args:
        outline: Field, Polygon or MultiPolygon in ``crs``; holes are not field.
        crs: Projected CRS in metres.
        machine: The machine.
        heading_deg: Driving direction, clockwise from grid north; None takes the A-B line's, else the longest edge's.
        ab_line: Two points (x, y) of the guidance line; a pass is centred on it. Without one the first pass begins at
            the field's edge.
        fine_m: Largest side of a fine pixel, in metres.

    Raises:
        DataError: The CRS is not in metres, or not in those of the ground (Web Mercator); the outline is empty or no
            area; the two points are one; the grid would be too large.
    """
    pyproj, shapely = require("pyproj", extra=_EXTRA), require("shapely", extra=_EXTRA)
    system = pyproj.CRS.from_user_input(crs)
    if not system.is_projected or any(axis.unit_name != "metre" for axis in system.axis_info):
        raise DataError(f"spray grid: {system.name} is not a projected CRS in metres; transform field and map to UTM")
    if shapely.is_empty(outline) or outline.geom_type not in ("Polygon", "MultiPolygon"):
        raise DataError("spray grid: the field's outline has no area; allowed are Polygon and MultiPolygon")
    if heading_deg is None:
        heading_deg = longest_edge_heading(outline) if ab_line is None else _heading(ab_line)
    transform, shape, across, along = _layout(outline, machine, heading_deg % 180.0, ab_line, fine_m)
    if shape[0] * shape[1] > LARGEST_PX:
        raise DataError(
            f"spray grid: {shape[0]} x {shape[1]} fine pixels of {fine_m} m are more than {LARGEST_PX:,}; "
            "plan the field in parts or give a larger fine_m"
        )
    pixel_ha = _pixel_hectares(transform, system, shape)
    metre = math.sqrt(float(pixel_ha.mean()) * M2_PER_HECTARE / abs(transform.determinant))
    if abs(metre - 1) > _DISTORTION:
        raise DataError(
            f"spray grid: a metre of {system.name} is {metre:.2f} m on the ground here; transform field and map to UTM"
        )
    inside = burn([outline], transform, shape)
    return SwathGrid(
        machine, system.to_string(), heading_deg % 180.0, transform, across, along, outline, inside, pixel_ha
    )


def _heading(ab_line: tuple[Place, Place]) -> float:
    (ax, ay), (bx, by) = ab_line
    if math.hypot(bx - ax, by - ay) < _STRAIGHT_M:
        raise DataError(f"A-B line: A {ax:.2f}, {ay:.2f} and B lie nearer than 1 m; give two points of the line")
    return math.degrees(math.atan2(bx - ax, by - ay))


def _layout(
    outline: Geometry, machine: Machine, heading_deg: float, ab_line: tuple[Place, Place] | None, fine_m: float
) -> tuple["Affine", tuple[int, int], int, int]:
    """Transform and shape of the fine pixels, and how many make a cell across and along."""
    affine, shapely = require("affine", extra=_EXTRA), require("shapely", extra=_EXTRA)
    east, north = math.sin(math.radians(heading_deg)), math.cos(math.radians(heading_deg))
    # Along the drive (u) and to its right (v); with v to the right of u the axes have the handedness of an image.
    corners = shapely.get_coordinates(outline)
    u = corners @ np.array([east, north])
    v = corners @ np.array([north, -east])
    across, along = math.ceil(machine.section_m / fine_m - 1e-9), math.ceil(machine.step_m / fine_m - 1e-9)
    first = float(v.min())
    if ab_line is not None:
        edge = float(np.array(ab_line[0]) @ np.array([north, -east])) - machine.boom_m / 2
        first = edge + math.floor((first - edge) / machine.boom_m) * machine.boom_m
    passes = max(1, math.ceil((float(v.max()) - first) / machine.boom_m - 1e-9))
    steps = max(1, math.ceil(float(u.max() - u.min()) / machine.step_m - 1e-9))
    start = float(u.min())
    side_u, side_v = machine.step_m / along, machine.section_m / across
    transform = affine.Affine(
        east * side_u,
        north * side_v,
        start * east + first * north,
        north * side_u,
        -east * side_v,
        start * north - first * east,
    )
    return transform, (passes * machine.sections * across, steps * along), across, along


def _pixel_hectares(transform: "Affine", crs: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Hectares of a fine pixel by column, from strips across the drive; the scale is even within one."""
    shapely = require("shapely", extra=_EXTRA)
    rows, columns = shape
    edges = np.unique(np.linspace(0, columns, min(columns, _STRIPS) + 1).astype(int))
    strips = [
        shapely.Polygon([transform @ corner for corner in ((a, 0), (b, 0), (b, rows), (a, rows))])
        for a, b in pairwise(edges.tolist())
    ]
    widths = np.diff(edges)
    return np.repeat(hectares(strips, crs) / (widths * rows), widths)


def burn(shapes: Sequence[Geometry], transform: "Affine", size: tuple[int, int], *, touched: bool = False) -> Mask:
    """``size`` bool: pixels whose centre lies in one of the shapes, or that one touches at all."""
    features = require("rasterio.features", extra=_EXTRA)
    shapes = [shape for shape in shapes if not shape.is_empty]
    if not shapes:
        return np.zeros(size, bool)
    burned = features.rasterize(shapes, size, transform=transform, all_touched=touched, dtype=np.uint8)
    result: Mask = burned.astype(bool)
    return result
