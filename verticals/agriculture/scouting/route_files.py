"""A route in, files for a phone, a GPS and a program out: GPX 1.1, KML 2.2, GeoJSON."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from shared import atomic
from shared.errors import DataError
from verticals.agriculture.scouting.route import Route, Stop

_GPX, _KML = "http://www.topografix.com/GPX/1/1", "http://www.opengis.net/kml/2.2"
_DIGITS = 7
"""Of a degree: about 1 cm."""
ENDINGS = (".gpx", ".kml", ".geojson")


def write(route: Route, path: Path) -> None:
    """Write a route, whole or not at all; its kind by the ending.

    GPX holds a waypoint for each stop and a route through all corners of the walk, KML and GeoJSON the same as points
    and a line. All in WGS 84, as their standards ask.

    Args:
        route: From :func:`verticals.agriculture.scouting.route.plan`.
        path: Ending in one of :data:`ENDINGS`.

    Raises:
        DataError: Another ending.
    """
    kinds = {".gpx": _gpx, ".kml": _kml, ".geojson": _geojson}
    make = kinds.get(path.suffix.lower())
    if make is None:
        raise DataError(f"{path}: {path.suffix or 'no ending'} is not written; allowed are {', '.join(ENDINGS)}")
    atomic.write(path, make(route))


def title(route: Route) -> str:
    """Name of the walk."""
    synthetic = " (synthetic field)" if route.about.get("synthetic") else ""
    return f"Scouting walk: {len(route.stops)} stops, {route.length_m:.0f} m{synthetic}"


def stop_name(stop: Stop) -> str:
    """Short name that a GPS shows."""
    return f"{stop.number:02d} {stop.stratum.value}"


def _gpx(route: Route) -> bytes:
    root = ElementTree.Element("gpx", {"xmlns": _GPX, "version": "1.1", "creator": "loupe"})
    meta = _child(root, "metadata")
    _child(meta, "name", title(route))
    _child(meta, "desc", _told(route))
    for stop in route.stops:
        point = _child(root, "wpt", lat=_degrees(stop.lat), lon=_degrees(stop.lon))
        _child(point, "name", stop_name(stop))
        _child(point, "desc", _what(stop))
        _child(point, "type", stop.stratum.value)
    way = _child(root, "rte")
    _child(way, "name", title(route))
    names = {(stop.x, stop.y): stop_name(stop) for stop in route.stops}
    for (lon, lat), xy in zip(route.line_lonlat, route.line, strict=True):
        corner = _child(way, "rtept", lat=_degrees(lat), lon=_degrees(lon))
        if xy in names:
            _child(corner, "name", names[xy])
    return _bytes(root)


def _kml(route: Route) -> bytes:
    root = ElementTree.Element("kml", {"xmlns": _KML})
    document = _child(root, "Document")
    _child(document, "name", title(route))
    _child(document, "description", _told(route))
    for stop in route.stops:
        mark = _child(document, "Placemark")
        _child(mark, "name", stop_name(stop))
        _child(mark, "description", _what(stop))
        _child(_child(mark, "Point"), "coordinates", f"{_degrees(stop.lon)},{_degrees(stop.lat)}")
    mark = _child(document, "Placemark")
    _child(mark, "name", title(route))
    line = " ".join(f"{_degrees(lon)},{_degrees(lat)}" for lon, lat in route.line_lonlat)
    _child(_child(mark, "LineString"), "coordinates", line)
    return _bytes(root)


def _geojson(route: Route) -> bytes:
    stops = [
        _feature(
            "Point", [round(s.lon, _DIGITS), round(s.lat, _DIGITS)], number=s.number, stratum=s.stratum.value,
            look_for=s.look_for, why=s.why, area_ha=s.area_ha, risk=None if s.risk != s.risk else s.risk, stake=s.stake,
        )
        for s in route.stops
    ]  # fmt: skip
    line = [[round(lon, _DIGITS), round(lat, _DIGITS)] for lon, lat in route.line_lonlat]
    walk = _feature("LineString", line, name=title(route), length_m=route.length_m)
    return json.dumps({"type": "FeatureCollection", "features": [*stops, walk], "about": route.about}).encode()


def _feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def _what(stop: Stop) -> str:
    return f"Look for: {stop.look_for}. {stop.why}"


def _told(route: Route) -> str:
    known = {name: route.about.get(name, "") for name in ("raster", "raster_sha256", "bundle", "bundle_hash")}
    return "; ".join([*(f"{name} {value}" for name, value in known.items() if value), *route.remarks])


def _degrees(value: float) -> str:
    return f"{value:.{_DIGITS}f}"


def _child(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, name, attributes)
    if text:
        made.text = text
    return made


def _bytes(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
