"""Verbs of the boots: where to walk, what was seen there, what changed between two flights."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shared.errors import ConfigError
from shared.verb_options import FILE, json_option
from verticals.agriculture.verb_options import boundary_option, day, tell


@click.command()
@click.argument("field_map", type=FILE, metavar="MAP")
@click.option("-o", "outs", type=FILE, multiple=True, required=True, help=".gpx, .kml, .geojson or .html; repeatable.")
@click.option("--target", "targets", multiple=True, help="Label that is sprayed against. Default: those of the last "
              "prescription, else all but healthy and bare ground.")  # fmt: skip
@click.option("--threshold", type=float, help="Probability from which is sprayed. Default: that of the last "
              "prescription on this map, else 0.5.")  # fmt: skip
@click.option("--uncertain", type=int, default=6, show_default=True, help="Places where a visit may decide.")
@click.option("--high", type=int, default=3, show_default=True, help="Places where the map is sure of a target.")
@click.option("--control", type=int, default=3, show_default=True, help="Places where it is sure that there is none.")
@click.option("--unseen", type=int, default=2, show_default=True, help="Places that are NOT EXAMINED.")
@boundary_option
@json_option
def scout(
    field_map: Path, outs: Sequence[Path], targets: tuple[str, ...], threshold: float | None, boundary: Path | None,
    as_json: bool, **counts: int,
) -> None:  # fmt: skip
    """Plan a walk to the places of a MAP that matter most for the spray decision: for a GPS, a phone, and on paper."""
    from verticals.agriculture.mapping.field_map import FieldMap
    from verticals.agriculture.scouting import route, route_files, sheet
    from verticals.agriculture.scouting.choosing import Choice
    from verticals.agriculture.scouting.places import Costs
    from verticals.agriculture.viewing import ordered, outlines
    from verticals.agriculture.viewing.targets import conditions

    opened = FieldMap.open(field_map)
    ground, last = outlines.outline(opened, boundary).shape, ordered.last(opened)
    wanted = targets or (last.targets if last else conditions(opened))
    at, whence = ordered.threshold(last, threshold)
    walk = route.plan(opened, ground, wanted, Costs.at(at), Choice(**counts), threshold_from=whence)
    for out in outs:
        if out.suffix.lower() == ".html":
            sheet.write(walk, out)
        else:
            route_files.write(walk, out)
    facts = {
        "threshold": at, "targets": list(wanted),
        "stops": len(walk.stops), "length_m": walk.length_m, "counts": walk.counts, "stake": walk.stake,
        "hectares": walk.hectares, "remarks": list(walk.remarks), "files": [str(out) for out in outs],
    }  # fmt: skip
    lines = [route_files.title(walk)]
    lines += [f"  {stop.number:2} {stop.stratum.value:10} {stop.why}" for stop in walk.stops]
    lines += [f"note: {remark}" for remark in walk.remarks]
    tell(facts, [*lines, *(f"written: {out}" for out in outs)], as_json)


@click.command()
@click.argument("field_map", type=FILE, metavar="MAP")
@click.argument("points", type=FILE)
@click.option("--design", type=click.Choice(["stratified", "random", "purposive"]), required=True,
              help="How the points were chosen; hectares follow from the first two only.")  # fmt: skip
@click.option("--crs", help="CRS of POINTS in place of what they say.")
@click.option("--tiles", type=FILE, help="Folder for labelled tiles around the points, for loupe update.")
@click.option("--raster", type=FILE, help="The orthomosaic that the tiles are cut from.")
@json_option
def truth(
    field_map: Path, points: Path, design: str, crs: str | None, tiles: Path | None, raster: Path | None, as_json: bool
) -> None:
    """Compare a MAP with what was seen at POINTS (lat,lon,label or easting,northing,label, CSV or GeoJSON).

    Recall and precision by label, and hectares that are unbiased by the model's mistakes, each with its interval.
    """
    from verticals.agriculture.mapping.field_map import FieldMap
    from verticals.agriculture.scouting import labelled, observations
    from verticals.agriculture.scouting import truth as comparing
    from verticals.agriculture.scouting.area_estimate import Design

    if (tiles is None) != (raster is None):
        raise ConfigError("tiles are cut from the orthomosaic: give --tiles and --raster, or neither")
    opened = FieldMap.open(field_map)
    seen = observations.read(points, opened, crs=crs)
    found = comparing.compare(opened, seen, Design(design), mapped_severity=comparing.severity_at(opened, seen))
    facts = comparing.facts(found)
    if tiles is not None and raster is not None:
        made, problems = labelled.write(seen, opened.grid.crs, raster, tiles, design=Design(design))
        facts |= {"tiles": len(made.rows), "manifest": str(tiles / labelled.MANIFEST)}
        facts["notes"].append(labelled.USE[Design(design) is Design.RANDOM])
        facts["left_out"] += [str(problem) for problem in problems]
    tell(facts, _compared(found, facts), as_json)


def _compared(found: Any, facts: dict[str, Any]) -> list[str]:
    lines = [*facts["notes"], f"{facts['points']} points on the map"]
    for label in found.labels:
        lines.append(f"  {label:24} recall {found.recall[label]}; precision {found.precision[label]}")
    if found.area is None:
        lines.append(f"no hectares: {found.no_area}")
    else:
        for label, hectares in found.area.hectares.items():
            mapped = found.area.mapped_hectares[label]
            spread = f"{hectares.value:.4f} [{hectares.low:.4f} .. {hectares.high:.4f}]"
            lines.append(f"  {label:24} {spread} ha, on the map {mapped:.4f} ha")
        lines += [f"note: {remark}" for remark in found.area.remarks]
    lines.append(f"NOT EXAMINED {found.not_examined_ha:.4f} ha, about which none of this says anything")
    return lines + [f"left out: {problem}" for problem in facts["left_out"]]


@click.command()
@click.argument("before", type=FILE, metavar="EARLIER_MAP")
@click.argument("after", type=FILE, metavar="LATER_MAP")
@click.option("--on", "days", nargs=2, required=True, metavar="DAY DAY", help="Of the flights: 2026-07-01 2026-07-14.")
@click.option("--rasters", nargs=2, type=FILE, help="Their orthomosaics, for light and the shift between the flights.")
@click.option("--target", "targets", multiple=True, help="Label that is counted. Default: all but healthy and bare "
              "ground.")  # fmt: skip
@click.option("--min-area", type=float, default=1.0, show_default=True, help="Square metres of the smallest zone.")
@click.option("-o", "out", type=FILE, help="CSV of the zones' histories.")
@json_option
def flights(
    before: Path, after: Path, days: tuple[str, str], rasters: tuple[Path, Path] | None, targets: tuple[str, ...],
    min_area: float, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare two flights zone by zone: the change with its interval, or why the two cannot be compared.

    Zones are those of the earlier map; being chosen for what they had then, they lean towards a decrease.
    """
    from shared import atomic
    from verticals.agriculture.mapping.field_map import FieldMap
    from verticals.agriculture.mapping.zones import Drawing
    from verticals.agriculture.mapping.zones import zones as draw
    from verticals.agriculture.scouting import flight_layers, registration
    from verticals.agriculture.scouting.flights import changes, history
    from verticals.agriculture.viewing.targets import conditions

    maps = [FieldMap.open(path) for path in (before, after)]
    wanted = targets or conditions(maps[0])
    grid = flight_layers.common_grid(maps[0])
    flown = [
        flight_layers.read(one, wanted, day(on, "--on"), grid, orthomosaic=raster)
        for one, on, raster in zip(maps, days, rasters or (None, None), strict=True)
    ]
    remarks = []
    first, second = (flight.light for flight in flown)
    if first is not None and second is not None:
        remarks.append(str(registration.shift(first, second, grid.transform)))
    else:
        remarks.append("without --rasters neither the light nor a shift between the flights is known")
    drawn = draw(maps[0], Drawing(min_area_m2=min_area))
    changed = changes(flown[0], flown[1], drawn, grid)
    if out is not None:
        atomic.write(out, history(flown, drawn, grid).to_csv(index=False))
    counts = Counter(map(str, changed["verdict"]))
    facts = {"zones": len(changed), "verdicts": dict(counts), "remarks": remarks, "file": str(out) if out else None}
    lines = [f"{len(changed)} zones", *(f"  {verdict}: {n}" for verdict, n in counts.items())]
    tell(facts, [*lines, *(f"note: {remark}" for remark in remarks)], as_json)


VERBS = (scout, truth, flights)
