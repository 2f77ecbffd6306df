"""Field boundaries come out of any vector file as valid polygons with names, and what was mended is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import DataError
from verticals.agriculture.raster.boundaries import read

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

WEST, SOUTH = 17.0, 52.0
"""Degrees; a thousandth is 69 m by 111 m here."""


def square(x: float, y: float, side: float) -> list[tuple[float, float]]:
    """A ring, clockwise, in thousandths of a degree from the corner."""
    corners = ((x, y), (x, y + side), (x + side, y + side), (x + side, y), (x, y))
    return [(WEST + u / 1000, SOUTH + v / 1000) for u, v in corners]


POND = shapely.Polygon(square(0, 0, 10), [square(3, 3, 2)])
TWO_PARTS = shapely.MultiPolygon([shapely.Polygon(square(20, 0, 4)), shapely.Polygon(square(30, 0, 4))])


def geojson(path: Path, *features: tuple[dict[str, Any], dict[str, Any]]) -> Path:
    told = [{"type": "Feature", "properties": p, "geometry": g} for p, g in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": told}))
    return path


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "shp", "kml", "fgb"])
def test_fields_with_holes_and_parts_come_out_of_every_format_alike(tmp_path: Path, ending: str) -> None:
    # KML calls the column of names Name, and Shapefiles cut it to ten letters.
    fields = geopandas.GeoDataFrame({"Name": ["Pond", "Two"]}, geometry=[POND, TWO_PARTS], crs="EPSG:4326")
    path = tmp_path / f"fields.{ending}"
    fields.to_file(path, engine="pyogrio", **({"driver": "KML"} if ending == "kml" else {}))
    found = read(path)
    assert sorted(found.fields.field) == ["Pond", "Two"] and not found.remarks and found.fields.crs == "EPSG:4326"
    by_name = found.fields.set_index("field").geometry
    for name, true in (("Pond", POND), ("Two", TWO_PARTS)):
        assert by_name[name].symmetric_difference(true).area < 1e-6 * true.area
        for part in getattr(by_name[name], "geoms", [by_name[name]]):
            assert part.exterior.is_ccw and not any(ring.is_ccw for ring in part.interiors)


def test_a_ring_that_crosses_itself_is_repaired_and_what_is_no_area_is_left_out(tmp_path: Path) -> None:
    a, b, c, d, _ = square(0, 0, 8)
    bow_tie = {"type": "Polygon", "coordinates": [[a, c, b, d, a]]}
    walked = {"type": "LineString", "coordinates": square(20, 0, 4)}
    open_line = {"type": "LineString", "coordinates": square(20, 0, 4)[:3]}
    path = geojson(
        tmp_path / "drawn.geojson",
        ({"id": 7}, bow_tie),
        ({"id": None}, walked),
        ({"id": 7}, {"type": "Polygon", "coordinates": [square(40, 0, 1)]}),
        ({"id": 9}, open_line),
        ({"id": 9}, {"type": "Point", "coordinates": a}),
    )
    found = read(path)
    assert list(found.fields.field) == ["7", "2", "7 (2)"] and found.fields.is_valid.all()
    assert shapely.area(found.fields.geometry.to_numpy()[:2]) == pytest.approx((0.5 * 8e-3**2, 4e-3**2))
    complaint, left_out, repaired = found.remarks
    assert "GDAL says: Several features with id = 7" in complaint
    assert left_out == "2 of 5 features are no areas (points, open lines, nothing): left out"
    assert "the outline of 7 was not valid (self-intersection) and was repaired" in repaired


def test_fields_that_overlap_are_told_and_neighbours_are_not(tmp_path: Path) -> None:
    shapes = {"a": square(0, 0, 4), "b": square(2, 0, 4), "c": square(0, 4, 4)}
    rings = [({"field": n}, {"type": "Polygon", "coordinates": [ring]}) for n, ring in shapes.items()]
    (told,) = read(geojson(tmp_path / "three.geojson", *rings)).remarks
    assert (
        told.startswith("fields overlap, so ground is counted twice: a and b (50% of the smaller)")
        and "c" not in told[55:]
    )


def shapefile_without_prj(path: Path) -> Path:
    path = path.with_suffix(".shp")
    geopandas.GeoDataFrame({"name": ["x"]}, geometry=[POND], crs="EPSG:4326").to_file(path, engine="pyogrio")
    path.with_suffix(".prj").unlink()
    return path


def two_layers(path: Path) -> Path:
    path = path.with_suffix(".gpkg")
    for layer in ("fields", "obstacles"):
        geopandas.GeoDataFrame({"name": ["x"]}, geometry=[POND], crs="EPSG:4326").to_file(path, layer=layer)
    return path


def ring_at(*corner: float) -> Callable[[Path], Path]:
    u, v = corner
    ring = [(u, v), (u, v + 0.01), (u + 0.01, v), (u, v)]
    return lambda path: geojson(path.with_suffix(".json"), ({}, {"type": "Polygon", "coordinates": [ring]}))


def text(path: Path) -> Path:
    path.write_text("no vectors")
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (shapefile_without_prj, r"has no coordinate reference system \(a Shapefile needs its .prj\).*--boundary-crs"),
        (two_layers, "has the layers fields, obstacles; save the right one"),
        (ring_at(-33.0, 151.0), "reaches latitude 151.01: latitude and longitude are swapped"),
        (ring_at(638_838, 5_802_604), "these are metres or feet; name the right CRS with --boundary-crs"),
        (text, "cannot be read as a file of vectors"),
        (lambda path: path, "does not exist; give a file of field boundaries"),
        (
            lambda path: geojson(path.with_suffix(".json"), ({}, {"type": "Point", "coordinates": (17, 52)})),
            "has no polygon; give the outline",
        ),
    ],
)
def test_what_is_no_usable_boundary_is_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], sentence: str
) -> None:
    path = make(tmp_path / "field")
    with pytest.raises(DataError, match=sentence) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_crs_and_layer_given_are_taken(tmp_path: Path) -> None:
    assert read(shapefile_without_prj(tmp_path / "a"), crs="EPSG:4258").fields.crs == "EPSG:4258"
    assert len(read(two_layers(tmp_path / "b"), layer="obstacles").fields) == 1
    with pytest.raises(DataError, match="has no layer 'trees'; it has fields, obstacles"):
        read(tmp_path / "b.gpkg", layer="trees")


def test_the_folders_of_a_kml_are_all_read(tmp_path: Path) -> None:
    def placemark(name: str, x: float) -> str:
        ring = " ".join(f"{u},{v},81.5" for u, v in square(x, 0, 2))
        return (
            f"<Folder><name>{name}</name><Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing>"
            f"<coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>"
        )

    path = tmp_path / "farm.kml"
    folders = placemark("North", 0) + placemark("South", 10)
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>')
    found = read(path)
    assert sorted(found.fields.field) == ["North", "South"] and not found.fields.has_z.any()
