"""A bundle and an orthomosaic in, the map of the field out, its boundary beside it; and its figures for a person."""

from pathlib import Path
from typing import Any

from shared.errors import require
from verticals.agriculture.decide import read_policy
from verticals.agriculture.mapping.field_map import FIELD_KEYS, FieldMap
from verticals.agriculture.mapping.painter import open_painter
from verticals.agriculture.mapping.painting import paint
from verticals.agriculture.raster import boundaries
from verticals.agriculture.raster.placing import place
from verticals.agriculture.raster.rasters import open_raster
from verticals.agriculture.taxonomy import terms
from verticals.agriculture.taxonomy.terms import Kind
from verticals.agriculture.viewing import outlines


def make(
    bundle: Path,
    raster: Path,
    out: Path,
    *,
    boundary: Path | None = None,
    crs: str | None = None,
    bands: str | None = None,
    nodata: float | None = None,
    boundary_crs: str | None = None,
    policy: Path | None = None,
    tile: int | None = None,
    overlap: float = 0.5,
    threads: int = 0,
) -> tuple[FieldMap, tuple[str, ...]]:
    """Map a field, and keep its boundary in the map's folder.

    Args:
        bundle: Model bundle.
        raster: GeoTIFF, COG or VRT.
        out: Folder of the map.
        boundary: Vector file of the field; None takes all of the raster that has data.
        crs: CRS of the raster in place of what it says.
        bands: Which band is what, likewise; see :func:`verticals.agriculture.raster.bands.given_names`.
        nodata: Value that stands for "nothing here", likewise.
        boundary_crs: CRS of the boundary, likewise.
        policy: The site's policy over the vertical's defaults; its limit of novelty goes, or the bundle's if lower.
        tile: Pixels of a tile, for a bundle that was built on whole images.
        overlap: Share that tiles have in common.
        threads: Of the runtime; 0 takes all cores.

    Returns:
        The map, and what a person should know about raster and boundary.

    Raises:
        DataError: Raster, boundary and bundle do not go together; see their parts.
        ConfigError: The policy is not usable.
    """
    site = read_policy(policy)
    require("rasterio", extra="agriculture")
    # Absolute, so that the page finds the picture again from wherever it is started.
    with open_raster(raster.resolve(), crs=crs, bands=bands, nodata=nodata) as opened:
        fields, remarks = None, opened.facts.remarks
        if boundary is not None:
            placed = place(boundaries.read(boundary, crs=boundary_crs), opened.facts)
            fields, remarks = placed.fields, (*remarks, *placed.remarks)
        painter = open_painter(bundle, side=tile, threads=threads)
        labels = painter.runtime.bundle.labels
        limit, told = _novelty_limit(painter.settings().novelty_limit, site.novelty_limit)
        field_map = paint(
            opened,
            painter,
            out,
            labels=labels,
            settings=painter.settings(overlap=overlap, severity_pct=_severity(labels), novelty_limit=limit),
            ok_label=painter.runtime.bundle.ok_label,
            boundary=fields,
            bundle=painter.record(),
        )
    if fields is not None:
        outlines.keep(field_map, fields)
    else:
        remarks = (*remarks, "no boundary was given: what the raster does not show is not known to be field")
    return field_map, (*remarks, told)


def _novelty_limit(own: float | None, policy: float) -> tuple[float, str]:
    """The stricter of the bundle's limit and the policy's, and the remark which it is."""
    if own is None or policy <= own:
        return policy, f"ground of a novelty above {policy:.2f} is NOT EXAMINED: the policy's limit, that of tiles too"
    return own, (
        f"ground of a novelty above {own:.2f} is NOT EXAMINED: the bundle's limit, lower than the policy's "
        f"{policy:.2f}, and that of tiles too"
    )


def facts(field_map: FieldMap) -> dict[str, Any]:
    """Hectares of a map and what was not examined, ready for ``json.dumps``."""
    card, hectares = field_map.card, field_map.hectares
    return {
        "map": str(field_map.folder),
        "synthetic": bool((card.get("raster") or {}).get("synthetic")),
        "hectares": {key: hectares[key] for key in FIELD_KEYS},
        "labels": {label: hectares[label] for label in field_map.labels},
        "not_examined_because": dict(card.get("not_examined_because") or {}),
        "seam": dict(card.get("seam") or {}),
        "gsd_m": field_map.grid.gsd_m,
        "crs": field_map.grid.crs,
    }


def told(found: dict[str, Any]) -> str:
    """The same for a person at the terminal; what nobody looked at stands before what was found."""
    hectares, seam = found["hectares"], found["seam"]
    why = ", ".join(f"{reason} {area:.4f}" for reason, area in found["not_examined_because"].items())
    lines = ["!! SYNTHETIC: drawn, not photographed"] if found["synthetic"] else []
    lines += [
        f"field {hectares['field']:.4f} ha, examined {hectares['examined']:.4f} ha",
        f"NOT EXAMINED {hectares['not_examined']:.4f} ha" + (f"  ({why})" if why else ""),
        *(f"  {label:24} {area:8.4f} ha" for label, area in found["labels"].items()),
        "hectares are counts of cells, without any correction for the model's mistakes",
    ]
    if seam.get("ratio") is not None:
        lines.append(f"seam metric {seam['ratio']:.3f} on {seam['steps']} steps (1 = no seam is to be seen)")
    return "\n".join([*lines, f"map: {found['map']} ({found['crs']}, cells of {100 * found['gsd_m']:.1f} cm)"])


def _severity(labels: tuple[str, ...]) -> dict[str, float]:
    """0 for healthy canopy, 100 for a disease on it: a cell's severity is the share of its canopy that is diseased.

    Weeds, ground and what nobody could name are no canopy of the crop. Empty where the labels tell no such share.
    """
    found = {label: terms.find(label) for label in labels}
    shares: dict[str, float] = {}
    for label, term in found.items():
        if term is not None and term.kind is Kind.HEALTHY:
            shares[label] = 0.0
        elif term is not None and term.organ == "leaf" and (term.agent is None or term.agent.kind != "weed"):
            shares[label] = 100.0
    return shares if len(set(shares.values())) == 2 else {}
