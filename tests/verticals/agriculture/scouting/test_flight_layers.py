from datetime import date
from pathlib import Path

import numpy as np
import pytest

from verticals.agriculture.mapping import field_map
from verticals.agriculture.mapping.field_map import Grid
from verticals.agriculture.scouting import flight_layers

rasterio = pytest.importorskip("rasterio")


def test_two_maps_of_unlike_grids_come_onto_one_with_what_nobody_saw_left_open(tmp_path: Path) -> None:
    maps = []
    for name, west, cells in (("a", 400_000, 100), ("b", 400_010, 90)):
        x = west + 0.5 + np.arange(cells)
        p = np.zeros((2, 80, cells), np.float32)
        p[1] = (x - 400_000) / 100
        p[0] = 1 - p[1]
        validity = np.ones((80, cells), np.uint8)
        validity[:8] = 2
        grid = Grid("EPSG:32633", (1.0, 0, west, 0, -1.0, 5_600_000), cells, 80)
        maps.append(field_map.write(tmp_path / name, [field_map.Rows(0, p, validity)], grid, ("ok", "rust")))
    grid = flight_layers.common_grid(maps[0])
    one, two = (flight_layers.read(m, ["rust"], date(2026, 7, 1), grid) for m in maps)
    assert one.risk.shape == two.risk.shape == (80, 100)
    assert np.isnan(one.risk[:8]).all() and np.isnan(two.risk[:, :10]).all() and one.severity is None
    np.testing.assert_allclose(one.risk[8:, 10:], two.risk[8:, 10:], atol=1e-5)
    picture = np.full((3, 80, 50), 120, np.uint8)
    with rasterio.open(
        tmp_path / "f.tif", "w", driver="GTiff", width=50, height=80, count=3, dtype="uint8", crs="EPSG:32633",
        transform=rasterio.Affine(1, 0, 400_000, 0, -1, 5_600_000),
    ) as out:  # fmt: skip
        out.write(picture)
    lit = flight_layers.read(maps[0], ["rust"], date(2026, 7, 1), grid, orthomosaic=tmp_path / "f.tif")
    assert lit.light is not None and (lit.light[:, :50] == 120).all() and np.isnan(lit.light[:, 50:]).all()
