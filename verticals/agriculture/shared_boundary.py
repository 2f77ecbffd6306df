"""Rasters with one boundary between them (tiles of one mosaic, neighbouring fields) in, what none shows out, once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from shared.errors import LoupeError, Problem, require
from verticals.agriculture import truth
from verticals.agriculture.harvest import Harvest, tell_hectares
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.raster import boundaries

LEAST_HA = 1e-6
"""Less is the rounding of a cut."""
_TOLD_HA = 1e-4
_EXTRA = "agriculture"


@dataclass
class Shared:
    """A boundary file and those of its rasters that could be used.

    Attributes:
        boundary: The file.
        extents: Name of each raster, what it covers, and the CRS of that.
    """

    boundary: Path
    extents: list[tuple[str, Any, str]] = field(default_factory=list)

    def took(self, name: str, extent: Any, crs: str) -> None:
        """A raster was cut into tiles."""
        self.extents.append((name, extent, crs))

    def account(self, name: str, harvest: Harvest) -> None:
        """Add what of the fields lies beyond all rasters, and tell what several of them show.

        Args:
            name: The beginning of the names of what is NOT EXAMINED.
            harvest: What is added to.
        """
        try:
            fields = boundaries.read(self.boundary).fields
        except LoupeError:
            return  # each raster has told it
        shapely, geopandas = require("shapely", extra=_EXTRA), require("geopandas", extra=_EXTRA)
        if self.extents:
            fields = fields.to_crs(self.extents[0][2])
        shapes = [geopandas.GeoSeries([shape], crs=crs).to_crs(fields.crs).iloc[0] for _, shape, crs in self.extents]
        outside = fields.geometry.difference(shapely.union_all(shapes))
        for owner, ha in zip(fields.field, hectares(outside, fields.crs), strict=True):
            if ha > LEAST_HA:
                why = "lie beyond all rasters that could be used and are NOT EXAMINED; fly them too"
                harvest.not_examined(f"{name}/{owner} beyond the rasters", f"{tell_hectares(float(ha))} {why}")
                harvest.hectares["not_examined"] += float(ha)
        harvest.hectares["field"] = harvest.hectares["examined"] + harvest.hectares["not_examined"]
        whole = fields.union_all()
        for (i, a), (j, b) in combinations(enumerate(shapes), 2):
            twice = float(hectares([whole.intersection(a).intersection(b).buffer(0)], fields.crs)[0])
            if twice > _TOLD_HA:
                first, second = self.extents[i][0], self.extents[j][0]
                told = f"{first} and {second} both cover {twice:.4f} ha of the field, which count twice"
                harvest.remarks.append(Problem(name, f"{told}; join them to one raster, e.g. with gdalbuildvrt"))


def groups(rasters: Sequence[Path]) -> dict[Path, Shared]:
    """The boundary of each raster that has it together with others."""
    beside: dict[Path, list[Path]] = defaultdict(list)
    for path in rasters:
        boundary = truth.companions(path)["boundary"]
        if boundary is not None:
            beside[boundary].append(path)
    shared = {boundary: Shared(boundary) for boundary, own in beside.items() if len(own) > 1}
    return {path: shared[boundary] for boundary in shared for path in beside[boundary]}
