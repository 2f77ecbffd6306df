"""A map's folder, or an orthomosaic alone, in; everything that the page shows of it out, read once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import DataError, require
from shared.review.items import Item
from verticals.agriculture.mapping.area import M2_PER_HECTARE
from verticals.agriculture.mapping.field_map import CARD, FieldMap
from verticals.agriculture.mapping.zones import not_examined, zones
from verticals.agriculture.raster.pixels import READ
from verticals.agriculture.raster.rasters import open_raster
from verticals.agriculture.viewing import outlines, pictures, zone_items
from verticals.agriculture.viewing.outlines import Outline
from verticals.agriculture.viewing.pictures import Overlay


@dataclass(frozen=True)
class Scene:
    """What is shown of one field.

    Attributes:
        name: Of the map or the raster.
        raster: Its picture; None where the file is not to be had any more.
        hectares: ``field``, ``examined``, ``not_examined`` and each label of the map.
        remarks: Sentences for the person.
        field_map: The map; None for a raster that has not been mapped.
        classes: Picture of its classes.
        zones: Its zones, see :func:`verticals.agriculture.mapping.zones.zones`.
        items: The zones as items of the review store, in the same order.
        not_examined: Ground that is NOT EXAMINED, as polygons.
        outline: The field.
        colours: Of the labels.
        synthetic: Whether the raster was drawn.
    """

    name: str
    raster: Overlay | None
    hectares: dict[str, float]
    remarks: tuple[str, ...] = ()
    field_map: FieldMap | None = None
    classes: Overlay | None = None
    zones: Any = field(default=None, repr=False)
    items: tuple[Item, ...] = ()
    not_examined: Any = field(default=None, repr=False)
    outline: Outline | None = None
    colours: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    synthetic: bool = False

    @property
    def outline_frame(self) -> Any:
        """The outline as a GeoDataFrame, None where there is none."""
        if self.outline is None or self.field_map is None:
            return None
        geopandas = require("geopandas", extra="agriculture")
        return geopandas.GeoDataFrame(geometry=[self.outline.shape], crs=self.field_map.grid.crs)


def read(path: Path) -> Scene:
    """Read a map's folder or an orthomosaic.

    Raises:
        DataError: It is neither, or cannot be read.
    """
    if (path / CARD).is_file():
        return _of_map(FieldMap.open(path))
    if path.is_dir():
        raise DataError(f"{path}: is not a field map; give the folder that loupe map wrote, or an orthomosaic")
    with open_raster(path) as raster:
        facts = raster.facts
        share = float(np.mean(raster.overview(pictures.SIDE).validity == READ))
    flown = share * facts.width * facts.height * facts.gsd_m**2 / M2_PER_HECTARE
    said = "this raster has not been mapped: nothing of it was examined; map it with loupe map"
    hectares = {"field": flown, "examined": 0.0, "not_examined": flown}
    return Scene(path.name, pictures.of_raster(path), hectares, (said, *facts.remarks))


def _of_map(field_map: FieldMap) -> Scene:
    drawn = zones(field_map)
    outline = outlines.outline(field_map)
    raster, remarks = _raster(field_map)
    why = field_map.card.get("not_examined_because") or {}
    told = [f"NOT EXAMINED: {reason}, {area:.4f} ha" for reason, area in why.items()]
    return Scene(
        name=field_map.folder.name,
        raster=raster,
        hectares=field_map.hectares,
        remarks=(*told, *remarks, *outline.remarks),
        field_map=field_map,
        classes=pictures.of_classes(field_map),
        zones=drawn,
        items=zone_items.items(field_map, drawn),
        not_examined=not_examined(field_map),
        outline=outline,
        colours=pictures.colours(field_map),
        synthetic=bool((field_map.card.get("raster") or {}).get("synthetic")),
    )


def _raster(field_map: FieldMap) -> tuple[Overlay | None, tuple[str, ...]]:
    """The picture under the map; without it the map can still be looked at."""
    known = field_map.card.get("raster") or {}
    path = Path(str(known.get("path", "")))
    if not path.is_file():
        return None, (f"the orthomosaic {path.name or 'of this map'} is not where it was mapped: not shown",)
    try:
        return pictures.of_raster(path, given=known.get("given")), ()
    except DataError as error:
        return None, (str(error),)
