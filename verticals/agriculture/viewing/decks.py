"""Pictures and zones of a field in, a pydeck Deck without base map out: nothing is asked of any server."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import require
from verticals.agriculture.viewing.pictures import Overlay

ZONES = "zones"
OTHER = (60, 60, 60)
"""Colour of a label that is none of the map's."""
_CHANGED = 0.85
"""Least opacity of a zone whose label a person has changed: the model's class must not shine through."""
"""Id of the layer whose polygons can be clicked."""
SPRAYED = (0, 229, 255)
SPRAYED_FILL = 0.18
"""Opacity of sprayed ground: an outline alone runs around holes that are not sprayed as well."""
_EXTRA = "agriculture"
_TILE_PX = 512
"""Pixels of the world at zoom 0 (deck.gl, web Mercator)."""
_MARGIN = 0.9
_NEAREST = 24


@dataclass(frozen=True)
class Look:
    """How a map is looked at.

    Attributes:
        raster: Opacity of the orthomosaic, 0 to 1.
        classes: Opacity of the classes, likewise.
        zones: Opacity of the zones' fill, likewise.
        width: Of the map in CSS pixels, for the first zoom.
        height: Likewise.
    """

    raster: float = 1.0
    classes: float = 0.55
    zones: float = 0.25
    width: int = 840
    height: int = 500


def deck(
    look: Look,
    *,
    raster: Overlay | None = None,
    classes: Overlay | None = None,
    zones: Any = None,
    not_examined: Any = None,
    outline: Any = None,
    colours: Mapping[str, tuple[int, int, int]] | None = None,
    selected: int | None = None,
    sprayed: Any = None,
) -> Any:
    """Lay everything over each other, the zones on top.

    Args:
        look: Opacities and size.
        raster: The orthomosaic.
        classes: The classes.
        zones: GeoDataFrame with ``zone``, ``label``, ``area_ha``, ``probability``; clickable. Where ``changed`` is
            there and true, a person has given another label, whose colour covers the model's.
        not_examined: GeoDataFrame of ground that is NOT EXAMINED.
        outline: GeoDataFrame of the field.
        colours: Of the labels.
        selected: Number of the zone that is drawn thick.
        sprayed: GeoDataFrame of ground that a prescription sprays.
    """
    pydeck = require("pydeck", extra=_EXTRA)
    layers = []
    for name, overlay, opacity in (("raster", raster, look.raster), ("classes", classes, look.classes)):
        if overlay is not None:
            # Without String the URI would be parsed as an expression.
            image = pydeck.types.String(overlay.uri)
            layers.append(
                pydeck.Layer("BitmapLayer", id=name, image=image, bounds=list(overlay.bounds), opacity=opacity)
            )
    if outline is not None:
        layers.append(_lines(pydeck, "outline", outline, (255, 255, 255), 2))
    if not_examined is not None and len(not_examined):
        layers.append(_lines(pydeck, "not-examined", not_examined, (0, 0, 0), 2))
    if zones is not None and len(zones):
        layers.append(_zones(pydeck, zones, colours or {}, look.zones, selected))
    if sprayed is not None and len(sprayed):
        layers.append(_lines(pydeck, "sprayed", sprayed, SPRAYED, 2, SPRAYED_FILL))
    bounds = next((o.bounds for o in (raster, classes) if o is not None), None)
    tooltip = {"text": "zone {zone}: {name}\n{area}\nprobability {chance}"}
    return pydeck.Deck(
        layers=layers,
        map_provider=None,
        initial_view_state=_view(pydeck, bounds, look),
        views=[pydeck.View("MapView", controller=True)],
        tooltip=tooltip,
        parameters={"clearColor": [0.96, 0.96, 0.96, 1]},
    )


def _zones(pydeck: Any, zones: Any, colours: Mapping[str, tuple[int, int, int]], opacity: float, chosen: Any) -> Any:
    table = zones[["zone", "label", "geometry"]].to_crs(4326).copy()
    table["name"] = table.label
    table["area"] = [f"{area:.4f} ha" for area in zones.area_ha]
    table["chance"] = [f"{p:.2f}" for p in zones.probability]
    shown = [colours.get(label, OTHER) for label in table.label]
    changed = zones.changed if "changed" in zones else [False] * len(zones)
    opacities = [max(opacity, _CHANGED) if other else opacity for other in changed]
    table["fill"] = [[*colour, int(255 * alpha)] for colour, alpha in zip(shown, opacities, strict=True)]
    table["line"] = [[255, 235, 0, 255] if z == chosen else [*c, 255] for z, c in zip(table.zone, shown, strict=True)]
    table["thick"] = [4 if z == chosen else 1 for z in table.zone]
    return pydeck.Layer(
        "GeoJsonLayer", id=ZONES, data=json.loads(table.to_json()), pickable=True, stroked=True, filled=True,
        get_fill_color="properties.fill", get_line_color="properties.line", get_line_width="properties.thick",
        line_width_units=pydeck.types.String("pixels"),
    )  # fmt: skip


def _lines(
    pydeck: Any, name: str, frame: Any, colour: tuple[int, int, int], width: int, fill: float = 0.0
) -> Any:  # fmt: skip
    shapes = json.loads(frame[["geometry"]].to_crs(4326).to_json())
    return pydeck.Layer(
        "GeoJsonLayer", id=name, data=shapes, stroked=True, filled=fill > 0, get_line_color=[*colour, 255],
        get_fill_color=[*colour, round(255 * fill)], get_line_width=width,
        line_width_units=pydeck.types.String("pixels"),
    )  # fmt: skip


def _view(pydeck: Any, bounds: tuple[float, float, float, float] | None, look: Look) -> Any:
    if bounds is None:
        return pydeck.ViewState(longitude=0, latitude=0, zoom=1)
    west, south, east, north = bounds
    latitude = (south + north) / 2
    # A degree of latitude is longer on the screen than one of longitude by 1 / cos(latitude) in web Mercator.
    across = math.log2(_MARGIN * look.width * 360 / (_TILE_PX * (east - west)))
    down = math.log2(_MARGIN * look.height * 360 * math.cos(math.radians(latitude)) / (_TILE_PX * (north - south)))
    zoom = min(across, down, float(_NEAREST))
    return pydeck.ViewState(longitude=(west + east) / 2, latitude=latitude, zoom=zoom, max_zoom=_NEAREST)
