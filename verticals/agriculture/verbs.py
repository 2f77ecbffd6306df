"""Verbs of the field on the command: map, zones, prescription, irrigation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shared.errors import ConfigError
from shared.verb_options import FILE, json_option
from verticals.agriculture import walking_verbs as walking
from verticals.agriculture.verb_options import boundary_option, day, tell


@click.command("map")
@click.argument("bundle", type=FILE)
@click.argument("raster", type=FILE)
@boundary_option
@click.option("-o", "out", type=FILE, required=True, help="Folder of the map, made or replaced.")
@click.option("--crs", help="CRS of RASTER in place of what it says, e.g. EPSG:32633.")
@click.option("--bands", help="Which band of RASTER is what, counted from 1: red=3,green=2,blue=1")
@click.option("--nodata", type=float, help='Value of RASTER that stands for "nothing here".')
@click.option("--boundary-crs", help="CRS of the boundary in place of what it says.")
@click.option("--policy", type=FILE, help="The site's policy: its novelty_limit, where the bundle's is no lower.")
@click.option("--tile", type=int, help="Pixels of a tile. Default: that of the bundle.")
@click.option("--overlap", type=float, default=0.5, show_default=True, help="Share that tiles have in common.")
@click.option("--threads", type=int, default=0, help="Of the runtime. Default: all cores.")
@json_option
def map_field(bundle: Path, raster: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Map a field: classes, probabilities, uncertainty and what is NOT EXAMINED, as COGs with their hectares.

    RASTER is an orthomosaic: GeoTIFF, COG or VRT. What it says wrongly or not at all (crs, bands, nodata) can stand in
    NAME.raster.toml beside NAME.tif, for every verb that reads it. Then: loupe zones MAP -o zones.gpkg
    """
    from verticals.agriculture.viewing import field_maps

    field_map, remarks = field_maps.make(bundle, raster, out, **options)
    facts = {**field_maps.facts(field_map), "remarks": list(remarks)}
    tell(facts, [field_maps.told(facts), *(f"note: {remark}" for remark in remarks)], as_json)


@click.command()
@click.argument("field_map", type=FILE, metavar="MAP")
@click.option("-o", "outs", type=FILE, multiple=True, help=".gpkg, .geojson, .shp or .kml by its ending; repeatable.")
@click.option("--min-area", type=float, default=1.0, show_default=True, help="Square metres of the smallest zone.")
@click.option("--healthy", is_flag=True, help="Draw the zones of the healthy label too.")
@click.option("--store", help="Review store that the zones are queued in, for: loupe review agriculture")
@json_option
def zones(
    field_map: Path, outs: Sequence[Path], min_area: float, healthy: bool, store: str | None, as_json: bool
) -> None:
    """Draw the zones of a MAP: polygons with hectares, mean probability and its interval.

    Without -o the zones are told and, with --store, queued for an agronomist.
    """
    from shared.review.store import Store
    from verticals.agriculture.mapping import vectors
    from verticals.agriculture.mapping.field_map import FieldMap
    from verticals.agriculture.mapping.zones import Drawing
    from verticals.agriculture.mapping.zones import zones as draw
    from verticals.agriculture.viewing import zone_items

    opened = FieldMap.open(field_map)
    drawn = draw(opened, Drawing(min_area_m2=min_area, ok=healthy))
    written = [str(path) for out in outs for path in vectors.write(drawn, out, vectors.provenance(opened))]
    by_label = drawn.groupby("label")["area_ha"].agg(["size", "sum"])
    facts: dict[str, Any] = {
        "zones": len(drawn),
        "labels": {
            label: {"zones": int(n), "hectares": float(ha), "hectares_of_cells": opened.hectares[label]}
            for label, n, ha in by_label.itertuples()
        },
        "not_examined_ha": opened.hectares["not_examined"],
        "files": written,
    }
    lines = [f"{len(drawn)} zones of at least {min_area:g} m2"]
    lines += [
        f"  {label:24} {row['zones']:4} zones {row['hectares']:8.4f} ha, on the map {row['hectares_of_cells']:8.4f} ha"
        for label, row in facts["labels"].items()
    ]
    lines.append(
        f"a zone takes in patches below {min_area:g} m2 of other classes, leaves out its own, and has smoother edges; "
        "the map counts single cells"
    )
    lines.append(f"NOT EXAMINED {facts['not_examined_ha']:.4f} ha, in no zone")
    if store is not None:
        queued = Store.open(store)
        try:
            facts["queued"] = queued.add_items(zone_items.items(opened, drawn)).new
        finally:
            queued.close()
        lines.append(f"{facts['queued']} new zones in {store}: loupe review agriculture --store {store}")
    tell(facts, [*lines, *(f"written: {path}" for path in written)], as_json)


@click.command()
@click.argument("field_map", type=FILE, metavar="MAP")
@click.option("--machine", required=True, help="Name of a sprayer profile, or its TOML file.")
@click.option("--threshold", type=float, help="Probability from which ground is sprayed. Default: that of --recall.")
@click.option("--recall", type=float, default=0.95, show_default=True, help="Share of the diseased area to be reached.")
@click.option("--target", "targets", multiple=True, help="Label to be sprayed; repeatable. Default: what the "
              "policy says a spray reaches.")  # fmt: skip
@click.option(
    "--format", "form", default="isoxml3", show_default=True, help="isoxml3, isoxml3-type2, isoxml4, shp, gpkg"
)
@click.option("--terminal", default="", help="Terminal profile that the files are checked for.")
@click.option("--not-examined", "unexamined", type=click.Choice(["spray", "skip"]), default="spray", show_default=True,
              help="What is done with ground that nobody looked at.")  # fmt: skip
@click.option("--heading", type=float, help="Driving direction, degrees from grid north. Default: the longest edge.")
@click.option("--store", help="Review store: zones that a person judged there are taken as judged.")
@click.option("--policy", type=FILE, help="The site's policy: which agents a spray reaches, from which severity.")
@click.option("--keep-off", type=FILE, help="Water, neighbours: polygons, lines or points that no section may touch; "
              "kept with MAP for every later order.")  # fmt: skip
@click.option("--keep-off-m", type=float, default=0.0, show_default=True, help="Metres to stay away from them.")
@click.option("--product", default="", help="What is sprayed, as the terminal and the order show it.")
@click.option("--farm", default="", help="Whose field it is, likewise.")
@click.option("--customer", default="", help="Whose order it is, likewise.")
@boundary_option
@click.option("-o", "out", type=FILE, required=True, help="Folder of the prescription; its figures go to OUT.json.")
@json_option
def prescribe(
    field_map: Path, machine: str, threshold: float | None, recall: float, targets: tuple[str, ...], form: str,
    terminal: str, unexamined: Any, heading: float | None, store: str | None, policy: Path | None,
    keep_off: Path | None, keep_off_m: float, product: str, farm: str, customer: str, boundary: Path | None,
    out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Turn a MAP into a spot-spray prescription for a named sprayer.

    Told are hectares and litres against broadcast, and why a terminal would refuse the file; a refused file is not
    written.
    """
    from verticals.agriculture.decide import read_policy
    from verticals.agriculture.mapping.field_map import FieldMap
    from verticals.agriculture.viewing import keep_off as keeping
    from verticals.agriculture.viewing import orders, outlines, prescriptions

    opened = FieldMap.open(field_map)
    if keep_off is not None:
        keeping.keep(opened, keep_off, keep_off_m)
    elif keep_off_m:
        raise ConfigError(f"--keep-off-m {keep_off_m:g}: from what is not said; name it with --keep-off FILE")
    wish = prescriptions.Wish(
        prescriptions.machine(machine), targets, threshold, recall, unexamined=unexamined, heading_deg=heading,
        policy=read_policy(policy),
    )  # fmt: skip
    outline = outlines.outline(opened, boundary)
    ground = prescriptions.ground(opened, outline, wish, _said(opened, store) if store else ())
    made = prescriptions.prescribe(opened, ground, wish)
    names = {"product": product, "farm": farm, "customer": customer}
    facts = orders.order(made, ground, out, form, terminal, names=names, more={"remarks": outline.remarks})
    tell(facts, prescriptions.told(facts), as_json)


@click.command()
@click.argument("farm", type=FILE, metavar="FARM.toml")
@click.option("--on", help="Day, at whose end: 2026-07-14. Default: the last with weather.")
@click.option("--forecast-rain", type=float, default=0.0, show_default=True, help="mm that can be counted on.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One value over the file; repeatable.")
@json_option
def irrigate(farm: Path, on: str | None, forecast_rain: float, overrides: tuple[str, ...], as_json: bool) -> None:
    """Advise each zone of a farm: irrigate or wait, how many millimetres, how sure.

    FARM.toml names the tables of weather, soil, water given and probe readings; see docs/agriculture.md.
    """
    from verticals.agriculture.irrigation.advice import NOT_CLAIMED
    from verticals.agriculture.viewing import watering

    found = watering.advised(
        watering.load(farm, overrides), farm.parent, on=day(on, "--on") if on else None, rain_mm=forecast_rain
    )
    facts = watering.facts(found)
    lines = [f"{found.on}, {found.crop}; corrected by {found.pairs} earlier readings", *watering.lines(found)]
    tell(facts, [*lines, *(f"note: {r}" for r in found.remarks), NOT_CLAIMED], as_json)


def _said(field_map: Any, store: str) -> list[tuple[Any, str]]:
    from shared.review.store import Store
    from verticals.agriculture.viewing import zone_items

    opened = Store.open(store)
    try:
        return zone_items.judged(field_map, opened.items(), opened.standing())
    finally:
        opened.close()


VERBS = (map_field, zones, prescribe, irrigate, *walking.VERBS)
