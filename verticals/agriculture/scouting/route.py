"""A field map and its boundary in, a walk to the places that matter most for the spray decision out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from shared.errors import DataError, require
from verticals.agriculture.mapping.area import M2_PER_HECTARE
from verticals.agriculture.mapping.field_map import FieldMap
from verticals.agriculture.mapping.vectors import provenance
from verticals.agriculture.scouting import tour
from verticals.agriculture.scouting.choosing import Choice, Stratum, allowed, choose, strata
from verticals.agriculture.scouting.places import Costs, Places, chosen, survey
from verticals.agriculture.scouting.walking import Ways, ways

WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class Stop:
    """One place of a route.

    Attributes:
        number: In the order of the walk, from 1.
        x: Easting in metres, CRS of the route.
        y: Northing likewise.
        lon: Degrees, WGS 84.
        lat: Likewise.
        stratum: Why it is visited.
        look_for: What to look for.
        why: One sentence.
        risk: Mean probability of a target there, NaN where NOT EXAMINED.
        stake: Expected cost of deciding wrongly about the place, as hectares of needless spraying that cost as much.
        area_ha: Of the place on the ellipsoid.
    """

    number: int
    x: float
    y: float
    lon: float
    lat: float
    stratum: Stratum
    look_for: str
    why: str
    risk: float
    stake: float
    area_ha: float


@dataclass(frozen=True)
class Route:
    """A walk from a start to all stops and back.

    Attributes:
        stops: In the order of the walk.
        start: Easting and northing.
        start_lonlat: Degrees, WGS 84.
        line: Corners of the whole walk ``(x, y)``, from the start back to it, inside the field.
        line_lonlat: The same in degrees.
        length_m: Of the line, in the projected CRS.
        crs: Of x and y.
        ground: The field's polygon.
        counts: Stratum -> places wanted, found, and there were.
        stake: Expected cost of wrong decisions over the whole ``map``, and over the ``stops``, in the same unit.
        hectares: ``examined`` and ``not_examined`` of the map's places.
        about: What the map was made of, with hashes.
        remarks: What a person should know, one sentence each.
    """

    stops: tuple[Stop, ...]
    start: tuple[float, float]
    start_lonlat: tuple[float, float]
    line: tuple[tuple[float, float], ...]
    line_lonlat: tuple[tuple[float, float], ...]
    length_m: float
    crs: str
    ground: Any = field(repr=False)
    counts: dict[str, dict[str, int]]
    stake: dict[str, float]
    hectares: dict[str, float]
    about: dict[str, str]
    remarks: tuple[str, ...] = ()


def plan(
    field_map: FieldMap,
    ground: Any,
    targets: Sequence[str],
    costs: Costs,
    how: Choice | None = None,
    *,
    start: tuple[float, float] | None = None,
    side_m: float = 6.0,
    threshold_from: str = "",
) -> Route:
    """Plan where to walk on a map; see :func:`planned`.

    Args:
        field_map: The map.
        ground: Polygon or MultiPolygon of the field in the map's CRS.
        targets: Labels that are sprayed against.
        costs: Of wrong decisions.
        how: Counts and distances, None for the defaults.
        start: Easting and northing of the gate; None takes the corner of the largest part of the field that lies
            furthest south-west.
        side_m: Side of a place in metres.
        threshold_from: Where the costs' threshold is from, a sentence for the sheet.

    Raises:
        ConfigError: An unknown target.
        DataError: No place can be reached, or a raster of the map cannot be read.
    """
    places = survey(field_map, targets, costs, side_m=side_m)
    walk = planned(places, ground, how or Choice(), start=start, about=provenance(field_map))
    return replace(walk, remarks=(threshold_from, *walk.remarks)) if threshold_from else walk


def planned(
    places: Places,
    ground: Any,
    how: Choice,
    *,
    start: tuple[float, float] | None = None,
    about: dict[str, str] | None = None,
) -> Route:
    """Plan where to walk.

    Places are chosen by :func:`verticals.agriculture.scouting.choosing.choose` among those that can be reached from the
    start without leaving the field; the walk goes around ponds and corners.

    Args:
        places: Of the map.
        ground: Polygon or MultiPolygon of the field in the CRS of the places.
        how: Counts and distances.
        start: Easting and northing of the gate.
        about: What the map was made of.

    Raises:
        DataError: No place can be reached.
    """
    shapely = require("shapely", extra="agriculture")
    start = start or _corner(shapely, ground)
    part, entry = _entered(shapely, ground, start)
    able = allowed(places, part, how.headland_m)
    taken = choose(places, able, how)
    points = np.array([entry, *((places.x[i], places.y[i]) for i, _ in taken)])
    found = ways(part, points)
    reached = [k for k in range(len(taken)) if np.isfinite(found.distances[0, k + 1])]
    if not reached:
        raise DataError(
            f"none of {len(places)} places can be reached inside the field, {how.headland_m:g} m off its edge; allowed "
            "are a smaller headland_m or places, another start, or another boundary"
        )
    keep = np.array([0, *(k + 1 for k in reached)])
    order = [int(keep[i]) for i in tour.order(found.distances[np.ix_(keep, keep)])]
    stops = _stops(places, [(taken[k - 1]) for k in order[1:]])
    line = _line(found, order, start)
    remarks = _remarks(places, how, able, part is not ground, len(taken) - len(reached), start != entry)
    return _route(places, stops, line, ground, how, about or {}, remarks)


def _corner(shapely: Any, ground: Any) -> tuple[float, float]:
    parts = shapely.get_parts(ground)
    corners = shapely.get_coordinates(shapely.get_exterior_ring(max(parts, key=lambda p: p.area)))
    x, y = corners[corners.sum(1).argmin()]
    return float(x), float(y)


def _entered(shapely: Any, ground: Any, start: tuple[float, float]) -> tuple[Any, tuple[float, float]]:
    """The part of the field nearest to the start, and where one comes in."""
    parts = shapely.get_parts(ground)
    gate = shapely.Point(start)
    part = parts[int(np.argmin(shapely.distance(parts, gate)))]
    # A point on an edge is inside only up to rounding; a hand's breadth further in it surely is.
    inner = part.buffer(-0.1)
    near = shapely.get_coordinates(shapely.shortest_line(inner if not inner.is_empty else part, gate))[0]
    return (ground if len(parts) == 1 else part), (float(near[0]), float(near[1]))


def _stops(places: Places, taken: Sequence[tuple[int, Stratum]]) -> tuple[Stop, ...]:
    here = chosen(places, np.array([i for i, _ in taken], int))
    lon, lat = _lonlat(places.crs, here.x, here.y)
    return tuple(
        Stop(
            n + 1, float(here.x[n]), float(here.y[n]), float(lon[n]), float(lat[n]), stratum,
            *_told(here, n, stratum), float(here.risk[n]), float(here.stake[n]) / here.costs.needless,
            float(here.examined_ha[n] + here.not_examined_ha[n]),
        )
        for n, (_, stratum) in enumerate(taken)
    )  # fmt: skip


def _told(places: Places, n: int, stratum: Stratum) -> tuple[str, str]:
    """What to look for, and why."""
    ha, every = places.examined_ha[n], " or ".join(places.targets)
    if stratum is Stratum.UNSEEN:
        return every, f"NOT EXAMINED: nothing is known about these {places.not_examined_ha[n]:.4f} ha"
    risk, likeliest = places.risk[n], places.targets[places.target[n]]
    said = f"probability {risk:.2f}, sprayed from {places.costs.threshold:.2f}"
    if stratum is Stratum.UNCERTAIN:
        vain_m2 = M2_PER_HECTARE * places.stake[n] / places.costs.needless
        told = f"a visit may change the decision about {ha:.4f} ha"
        return likeliest, f"{said}: {told} (at stake: as much as {vain_m2:.1f} m2 of needless spraying)"
    if stratum is Stratum.HIGH:
        return likeliest, f"{said}: is the map right where it is sure?"
    return f"anything; the map says no {every}", f"{said}: drawn at random, to find what the map misses"


def _line(found: Ways, order: list[int], start: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    legs = [found.way(a, b) for a, b in zip(order, [*order[1:], order[0]], strict=True)]
    inside = [legs[0][0], *(point for leg in legs for point in leg[1:])]
    return tuple(inside if inside[0] == start else [start, *inside, start])


def _remarks(
    places: Places, how: Choice, able: Any, in_parts: bool, unreached: int, moved: bool
) -> tuple[str, ...]:  # fmt: skip
    told = []
    if in_parts:
        told.append("the field has several parts; this walk is in the one nearest to its start, the others need a walk")
    if unreached:
        told.append(f"{unreached} places were left out: nobody gets there without leaving the field")
    if moved:
        told.append("the start lies outside of the field or on its edge; the walk comes in at the nearest point")
    beside = int((~able).sum())
    if beside:
        ha = float((places.examined_ha + places.not_examined_ha)[~able].sum())
        told.append(
            f"{beside} places ({ha:.3f} ha) lie on the {how.headland_m:g} m headland or beyond and take no part"
        )
    return tuple(told)


def _route(
    places: Places, stops: tuple[Stop, ...], line: tuple[tuple[float, float], ...], ground: Any, how: Choice,
    about: dict[str, str], remarks: tuple[str, ...],
) -> Route:  # fmt: skip
    xy = np.array(line)
    lonlat = tuple(zip(*(v.tolist() for v in _lonlat(places.crs, xy[:, 0], xy[:, 1])), strict=True))
    members = strata(places)
    counts = {
        s.value: {"wanted": how.wanted(s), "found": sum(stop.stratum is s for stop in stops), "there": int(m.sum())}
        for s, m in members.items()
    }
    short = [
        f"{c['found']} of {c['wanted']} {s} places were found" for s, c in counts.items() if c["found"] < c["wanted"]
    ]
    return Route(
        stops, line[0], lonlat[0], line, lonlat, float(np.hypot(*np.diff(xy, axis=0).T).sum()), places.crs, ground,
        counts,
        {"map": float(places.stake.sum()) / places.costs.needless, "stops": sum(stop.stake for stop in stops)},
        {"examined": float(places.examined_ha.sum()), "not_examined": float(places.not_examined_ha.sum())},
        about, (*remarks, *short),
    )  # fmt: skip


def _lonlat(crs: str, x: Any, y: Any) -> tuple[Any, Any]:
    pyproj = require("pyproj", extra="agriculture")
    lon, lat = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True).transform(x, y)
    return np.asarray(lon), np.asarray(lat)
