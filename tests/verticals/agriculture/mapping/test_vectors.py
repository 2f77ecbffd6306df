import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from shared.errors import DataError
from verticals.agriculture.mapping import field_map, vectors, zones
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.mapping.field_map import FieldMap, Grid
from verticals.agriculture.mapping.zones import Drawing

geopandas = pytest.importorskip("geopandas")
rasterio = pytest.importorskip("rasterio")
needs_gdal = pytest.mark.skipif(not shutil.which("ogrinfo"), reason="Debian's gdal-bin is absent")

LABELS = ("healthy", "Krautfäule", "weed")
FACTS = {
    "raster": {"path": "/somewhere/field.tif", "sha256": "ab" * 32, "synthetic": True},
    "bundle": {"name": "potato", "hash": "cd" * 32},
    "settings": {"side": 64},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FieldMap:
    y, x = np.mgrid[:80, :100]
    classes = np.where(np.hypot(y - 40, x - 45) < 25, 1, np.where(x > 85, 2, 0))
    classes[35:45, 40:50] = 0
    p = np.full((3, 80, 100), 0.05, np.float32)
    np.put_along_axis(p, classes[None], np.float32(0.9), 0)
    grid = Grid("EPSG:32633", (0.5, 0, 400_000, 0, -0.5, 5_600_000), 100, 80)
    rows = [field_map.Rows(0, p, np.ones((80, 100), np.uint8))]
    folder = tmp_path_factory.mktemp("vectors") / "map"
    return field_map.write(folder, rows, grid, LABELS, ok_label="healthy", facts=FACTS)


def told(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr, f"{command}: {done.stderr}"
    return done.stdout


@needs_gdal
@pytest.mark.parametrize("name", ["zones.gpkg", "zones.geojson", "zones.shp", "zones.kml"])
def test_debians_gdal_reads_every_format_without_a_warning_and_measures_the_same(
    made: FieldMap, tmp_path: Path, name: str
) -> None:
    drawn = zones.zones(made, Drawing(ok=True))
    written = vectors.write(drawn, tmp_path / name, vectors.provenance(made))
    assert sorted(written) == sorted(tmp_path.iterdir()), "nothing but the files told is left"
    listed = told("ogrinfo", "-ro", "-al", str(tmp_path / name))
    assert f"Feature Count: {len(drawn)}" in listed and "Krautfäule" in listed and "POLYGON" in listed
    # geopandas reads it back through another GDAL: same labels, same hectares, same numbers.
    again = geopandas.read_file(tmp_path / name)
    back = {short: long for long, short in vectors.SHAPEFILE_NAMES.items()}
    again = again.rename(columns=back).astype({"zone": int, "area_ha": float, "probability": float}).sort_values("zone")
    assert again.label.tolist() == drawn.label.tolist()
    np.testing.assert_allclose(hectares(again.geometry, again.crs), drawn.area_ha, rtol=1e-5)
    for column in ("area_ha", "probability"):
        np.testing.assert_allclose(again[column], drawn[column], rtol=1e-6)
    assert (again.crs.to_epsg() == 4326) == (name.endswith("json") or name.endswith("kml"))


@needs_gdal
def test_provenance_is_in_the_geopackage_and_beside_the_others(made: FieldMap, tmp_path: Path) -> None:
    drawn, about = zones.zones(made), vectors.provenance(made)
    assert about["synthetic"] == "true" and about["raster"] == "field.tif"
    vectors.write(drawn, tmp_path / "zones.gpkg", about)
    vectors.write(drawn, tmp_path / "zones.shp", about)
    summary = told("ogrinfo", "-ro", "-so", str(tmp_path / "zones.gpkg"), "zones")
    assert f"raster_sha256={'ab' * 32}" in summary and f"bundle_hash={'cd' * 32}" in summary
    assert json.loads((tmp_path / "zones.shp.provenance.json").read_text()) == about
    columns = told("ogrinfo", "-ro", "-so", str(tmp_path / "zones.shp"), "zones")
    names = [line.split(":")[0] for line in columns.splitlines() if "(" in line and ": " in line and "." in line]
    assert {"zone", "prob", "prob_low", "prob_high", "severity"} <= set(names)


@needs_gdal
def test_the_class_raster_keeps_labels_colours_and_says_where_it_comes_from(made: FieldMap, tmp_path: Path) -> None:
    path = vectors.class_raster(made, tmp_path / "classes.tif")
    listed = told("gdalinfo", str(path))
    assert "1: Krautfäule" in listed and f"bundle_hash={'cd' * 32}" in listed and "NoData Value=255" in listed
    with rasterio.open(path) as one, rasterio.open(made.class_path) as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.colormap(1)[0] == other.colormap(1)[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["classes.tif", "classes.tif.aux.xml"]


@pytest.mark.parametrize("name", ["zones.gpkg", "zones.geojson", "zones.shp", "zones.kml"])
def test_a_field_without_zones_is_a_file_without_features(made: FieldMap, tmp_path: Path, name: str) -> None:
    none = zones.zones(made, Drawing(min_area_m2=1e6))
    vectors.write(none, tmp_path / name, {})
    vectors.write(none, tmp_path / name, {})
    assert len(none) == 0 and len(geopandas.read_file(tmp_path / name)) == 0


def test_names_that_no_program_takes_are_refused(made: FieldMap, tmp_path: Path) -> None:
    drawn = zones.zones(made)
    for name, said in (("zones.dxf", "is not written"), ("spray zones north.shp", "older terminals")):
        with pytest.raises(DataError, match=said):
            vectors.write(drawn, tmp_path / name, {})
    with pytest.raises(DataError, match=r"allowed is \.tif"):
        vectors.class_raster(made, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
