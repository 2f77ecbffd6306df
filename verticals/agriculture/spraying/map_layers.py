"""A written field map and a machine's grid in, what thresholds and areas are reckoned from out, on that grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shared.config import did_you_mean
from shared.errors import DataError
from shared.inference.bundle import file_hash
from verticals.agriculture.mapping.field_map import CARD, FieldMap
from verticals.agriculture.spraying.grid import Fine, Mask, SwathGrid
from verticals.agriculture.spraying.gridding import band_onto, examined_in
from verticals.agriculture.spraying.provenance import Provenance


@dataclass(frozen=True)
class MapLayers:
    """A map on the fine pixels of a grid, each raster ``(rows, columns)``.

    Attributes:
        targets: The labels that are to be sprayed.
        score: Highest probability of any one target within the fine pixel: what thresholds act on; NaN for none.
        expected: Mean probability of the targets together: the fraction expected to be one; NaN for none.
        examined: Ground that was looked at.
        raster: SHA-256 of the raster that was mapped.
        bundle: Hash of the bundle.
        map: SHA-256 of the map's card, which names its rasters' making.
    """

    targets: tuple[str, ...]
    score: Fine = field(repr=False, compare=False)
    expected: Fine = field(repr=False, compare=False)
    examined: Mask = field(repr=False, compare=False)
    raster: str
    bundle: str
    map: str

    def provenance(
        self, *, threshold: float | None, recall_target: float | None, made_at: str, synthetic: bool = False
    ) -> Provenance:
        """What a prescription from these layers was made from.

        Raises:
            DataError: The map does not say the hashes of its raster and bundle.
        """
        return Provenance(
            self.raster, self.bundle, self.map, threshold, recall_target, made_at=made_at, synthetic=synthetic
        )


def map_layers(field_map: FieldMap, grid: SwathGrid, targets: Sequence[str] = ()) -> MapLayers:
    """Bring a map onto a machine's grid, band by band and a part at a time.

    Args:
        field_map: The map, in any projected CRS in metres.
        grid: The grid.
        targets: Labels to be sprayed; empty takes all but the one that means nothing is wrong.

    Raises:
        DataError: A target is no label of the map, or there is none; a raster cannot be read.
    """
    chosen = tuple(targets) or tuple(label for label in field_map.labels if label != field_map.ok_label)
    unknown = next((label for label in chosen if label not in field_map.labels), None)
    if unknown is not None:
        advice = did_you_mean(unknown, field_map.labels)
        raise DataError(f"{field_map.folder}: target {unknown!r} is no label of the map; {advice}")
    if not chosen:
        raise DataError(f"{field_map.folder}: no label of the map is a target; name the labels to be sprayed")
    score = np.full(grid.inside.shape, np.nan, np.float32)
    expected = np.zeros(grid.inside.shape, np.float32)
    for label in chosen:
        band = field_map.labels.index(label) + 1
        score = np.fmax(score, band_onto(grid, field_map.probability_path, band, "max"))
        expected += band_onto(grid, field_map.probability_path, band, "average")
    return MapLayers(
        chosen,
        score,
        np.minimum(expected, 1.0),
        examined_in(grid, field_map.validity_path),
        str((field_map.card.get("raster") or {}).get("sha256", "")),
        str((field_map.card.get("bundle") or {}).get("hash", "")),
        file_hash(field_map.folder / CARD),
    )
