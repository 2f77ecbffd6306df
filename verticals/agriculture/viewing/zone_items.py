"""Zones of a map in, items of the review store out; and what people said of them back onto the zones."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.errors import require
from shared.inference.bundle import file_hash
from shared.records import Review
from shared.review.items import Item
from verticals.agriculture.mapping.field_map import CARD, FieldMap

MAP_KEY = "map"
"""Key of an item's payload that holds the folder of its map."""
_MM2_PER_HECTARE = 1e10
_DIGITS = 2
"""Of coordinates in metres: a zone that is drawn anew from the same map is the same item."""


def items(field_map: FieldMap, zones: Any) -> tuple[Item, ...]:
    """One item for each zone, in the order of the zones.

    An item's id holds the hash of the map and of the zone's outline, so a verdict stays with the place it was given on.

    Args:
        field_map: The map.
        zones: From :func:`verticals.agriculture.mapping.zones.zones`.
    """
    shapely = require("shapely", extra="agriculture")
    card = file_hash(field_map.folder / CARD)
    frame = Path(str((field_map.card.get("raster") or {}).get("path", ""))).stem or field_map.folder.name
    found = []
    for row in zones.itertuples(index=False):
        place = shapely.to_wkt(row.geometry, rounding_precision=_DIGITS)
        digest = hashlib.sha256(place.encode()).hexdigest()[:12]
        known = row.severity == row.severity
        why = f"zone {row.zone}: {row.area_ha:.4f} ha where {row.label} has the highest probability"
        found.append(
            Item(
                id=f"{frame}@{card[:8]}:{digest}",
                frame=frame,
                image=str(field_map.class_path.resolve()),
                box=None,
                label=row.label,
                probability=row.probability,
                risk=1.0 if field_map.ok_label is None else float(row.label != field_map.ok_label),
                area_mm2=row.area_ha * _MM2_PER_HECTARE,
                reasons=(why, *((f"{row.severity:.0f} % of its canopy diseased",) if known else ())),
                batch=field_map.folder.name,
                payload={
                    "samples": [card],
                    MAP_KEY: str(field_map.folder.resolve()),
                    "zone": int(row.zone),
                    "outline": place,
                    "crs": field_map.grid.crs,
                },
            )
        )
    return tuple(found)


def maps(queued: Sequence[Item]) -> tuple[Path, ...]:
    """Folders of the maps whose zones are in a store, each once."""
    return tuple(dict.fromkeys(Path(i.payload[MAP_KEY]) for i in queued if MAP_KEY in i.payload))


def verdicts(zones_items: Sequence[Item], standing: Mapping[str, Review]) -> dict[int, Review]:
    """Verdicts that hold, by the zone's place in the table (0 is the first)."""
    return {i: standing[item.id] for i, item in enumerate(zones_items) if item.id in standing}


def judged(field_map: FieldMap, queued: Sequence[Item], standing: Mapping[str, Review]) -> list[tuple[Any, str]]:
    """Outlines in the map's CRS of the zones of a map that a person has judged, and the label given to each."""
    shapely, card = require("shapely", extra="agriculture"), file_hash(field_map.folder / CARD)
    return [
        (shapely.from_wkt(item.payload["outline"]), standing[item.id].label)
        for item in queued
        if MAP_KEY in item.payload and item.id in standing and list(item.payload["samples"]) == [card]
    ]


def history(item: Item, log: Sequence[Review]) -> list[str]:
    """What was said of a zone, oldest first, one line each; what was taken back says so."""
    undone = {review.undoes for review in log if review.undoes is not None}
    told = []
    for number, review in enumerate(log, start=1):
        if review.item == item.id and review.undoes is None:
            back = " (taken back)" if number in undone else ""
            note = f": {review.note}" if review.note else ""
            told.append(f"{review.at[:16].replace('T', ' ')} UTC, {review.reviewer}: {review.label}{back}{note}")
    return told
