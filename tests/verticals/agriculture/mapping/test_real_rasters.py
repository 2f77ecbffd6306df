"""Rasters as other people's programs wrote them: each goes the whole way to zones and files, or is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import DataError
from verticals.agriculture.mapping import vectors, zones
from verticals.agriculture.mapping.area import hectares
from verticals.agriculture.mapping.painting import Settings, paint
from verticals.agriculture.mapping.zones import Drawing
from verticals.agriculture.raster.rasters import open_raster

rasterio = pytest.importorskip("rasterio")
geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")


def green(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Plants by excess green (Woebbecke et al. 1995), for want of a model: coarse cells of 8 px."""
    n, side = images.shape[:2]
    rgb = images.astype(np.float32) / 255
    excess = 2 * rgb[..., 1] - rgb[..., 0] - rgb[..., 2]
    plants = 1 / (1 + np.exp(-20 * (excess - 0.05)))
    plants = plants.reshape(n, side // 8, 8, side // 8, 8).mean((2, 4))
    return np.stack([plants, 1 - plants], 1).astype(np.float32)


def rasters(real_data: Path) -> list[Path]:
    found = sorted((real_data / "agriculture" / "geotiff").rglob("*.tif"))
    assert found, "the folder of rasters is empty"
    return found


@pytest.mark.long
def test_every_real_raster_goes_the_whole_way_or_is_refused_with_a_sentence(real_data: Path, tmp_path: Path) -> None:
    mapped, refused = {}, {}
    for i, path in enumerate(rasters(real_data)):
        try:
            with open_raster(path) as raster:
                done = paint(
                    raster, green, tmp_path / str(i), labels=("plants", "ground"), ok_label="ground",
                    settings=Settings(64, stride=8),
                )  # fmt: skip
        except DataError as error:
            assert str(path) in str(error) and len(str(error)) < 500, error
            refused[path.name] = str(error)
            continue
        cell = done.grid.cell_m2
        drawn = zones.zones(done, Drawing(min_area_m2=20 * cell, ok=True))
        assert shapely.coverage_is_valid(drawn.geometry.to_numpy())
        areas = done.hectares
        assert areas["plants"] + areas["ground"] == pytest.approx(areas["examined"], rel=1e-9)
        if areas["examined"]:
            assert drawn.area_ha.sum() == pytest.approx(areas["examined"], rel=0.02), path.name
        vectors.write(drawn, tmp_path / f"{i}.gpkg", vectors.provenance(done))
        again = geopandas.read_file(tmp_path / f"{i}.gpkg")
        np.testing.assert_allclose(hectares(again.geometry, again.crs), drawn.area_ha, rtol=1e-9)
        mapped[path.name] = areas
    assert {"corn_field_rgba_2cm.tif", "corrupt_cog.tif", "rgba_uint16_utm12n.tif"} <= set(mapped)
    assert mapped["corrupt_cog.tif"]["not_examined"] > 1, "its damaged part is told in hectares"
    assert "no pixel of it has data" in refused["all_nodata_4band_uint16.tif"]
    assert "no coordinate reference system" in refused["rotated_transform_no_crs.tif"]
    assert len(mapped) + len(refused) == len(rasters(real_data))
