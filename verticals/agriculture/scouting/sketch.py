"""A route in, a small map of it as SVG out: north up, in metres, without a base map and without any request."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from shared.errors import require
from verticals.agriculture.scouting.choosing import Stratum
from verticals.agriculture.scouting.route import Route

SIGNS = {Stratum.UNCERTAIN: "circle", Stratum.HIGH: "square", Stratum.CONTROL: "diamond", Stratum.UNSEEN: "triangle"}
"""A form for each stratum, so that a print without colour tells them apart."""
COLOURS = {
    Stratum.UNCERTAIN: "#d55e00",
    Stratum.HIGH: "#8f1d1d",
    Stratum.CONTROL: "#0072b2",
    Stratum.UNSEEN: "#5b6770",
}
_WIDTH, _MOST_HEIGHT, _EDGE = 900.0, 900.0, 36.0
_SHAPES = {
    "circle": '<circle r="11"/>',
    "square": '<rect x="-10" y="-10" width="20" height="20"/>',
    "diamond": '<path d="M0 -14 14 0 0 14 -14 0z"/>',
    "triangle": '<path d="M0 -14 14 11 -14 11z"/>',
}


@dataclass(frozen=True)
class _Frame:
    west: float
    north: float
    scale: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.west) * self.scale + _EDGE, (self.north - y) * self.scale + _EDGE


def draw(route: Route, zones: Any = None) -> Markup:
    """Draw the field, the zones, the walk and its numbered stops.

    Args:
        route: The walk.
        zones: GeoDataFrame of zones in the route's CRS (column ``label``), None for none.

    Returns:
        One ``<svg>`` element.
    """
    frame = _frame(route)
    parts = [f'<path class="ground" d="{_polygon(frame, route.ground)}"/>']
    if zones is not None:
        for shape, label in zip(zones.geometry, zones.label, strict=True):
            name = escape(str(label))
            parts.append(f'<path class="zone" d="{_polygon(frame, shape)}"><title>{name}</title></path>')
    walk = " ".join("{:.1f},{:.1f}".format(*frame.at(x, y)) for x, y in route.line)
    parts.append(f'<polyline class="walk" points="{walk}"/>')
    for stop in route.stops:
        x, y = frame.at(stop.x, stop.y)
        parts.append(
            f'<g transform="translate({x:.1f} {y:.1f})">{sign(stop.stratum)}<text y="4">{stop.number}</text></g>'
        )
    x, y = frame.at(*route.start)
    parts.append(f'<g transform="translate({x:.1f} {y:.1f})"><circle class="start" r="7"/></g>')
    parts.append(_scale_bar(frame))
    size = f"{_WIDTH:.0f} {frame.height:.0f}"
    return Markup(f'<svg viewBox="0 0 {size}" role="img" aria-label="Map of the walk">{"".join(parts)}</svg>')


def sign(stratum: Stratum) -> Markup:
    """The form of a stratum, 28 units wide about 0, 0."""
    return Markup(f'<g class="sign" fill="{COLOURS[stratum]}">{_SHAPES[SIGNS[stratum]]}</g>')


def _frame(route: Route) -> _Frame:
    west, south, east, north = require("shapely", extra="agriculture").bounds(route.ground)
    xs, ys = zip(*route.line, strict=True)
    west, south, east, north = min(west, *xs), min(south, *ys), max(east, *xs), max(north, *ys)
    wide, high = max(east - west, 1.0), max(north - south, 1.0)
    scale = min((_WIDTH - 2 * _EDGE) / wide, (_MOST_HEIGHT - 2 * _EDGE) / high)
    return _Frame(west, north, scale, high * scale + 3 * _EDGE)


def _polygon(frame: _Frame, shape: Any) -> str:
    shapely = require("shapely", extra="agriculture")
    drawn = shapely.simplify(shape, 0.5 / frame.scale)
    rings = []
    for part in shapely.get_parts(drawn):
        for ring in (part.exterior, *part.interiors):
            corners = " ".join("{:.1f} {:.1f}".format(*frame.at(x, y)) for x, y in ring.coords)
            rings.append(f"M{corners}z")
    return "".join(rings)


def _scale_bar(frame: _Frame) -> str:
    """A bar of 1, 2 or 5 times a power of ten metres, and where north is."""
    steps = [step * 10**power for power in range(-1, 6) for step in (1, 2, 5)]
    metres = max((s for s in steps if s * frame.scale <= 220), default=steps[0])
    long, y = metres * frame.scale, frame.height - _EDGE / 2
    return (
        f'<path class="bar" d="M{_EDGE} {y:.0f}h{long:.1f}"/>'
        f'<text class="said" x="{_EDGE + long + 8:.0f}" y="{y + 5:.0f}">{metres:g} m</text>'
        f'<g transform="translate({_WIDTH - _EDGE:.0f} {y - 8:.0f})"><path class="north" d="M0 -16 8 12 0 6 -8 12z"/>'
        '<text y="-19">N</text></g>'
    )
