"""Vegetation indices have the values of their definition, and what they lack is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DataError
from shared.records import Box
from tests.verticals.agriculture.raster.conftest import Draw
from verticals.agriculture.raster.indices import INDICES, compute, possible
from verticals.agriculture.raster.rasters import open_raster

# A dense canopy: reflectances typical of green leaves.
LEAF = {"blue": 0.03, "green": 0.08, "red": 0.04, "rededge": 0.20, "nir": 0.50}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NDVI", 0.46 / 0.54),
        ("GNDVI", 0.42 / 0.58),
        ("NDRE", 0.30 / 0.70),
        ("OSAVI", 0.46 / 0.70),
        ("VARI", 0.04 / 0.09),
        ("ExG", (0.16 - 0.04 - 0.03) / 0.15),
    ],
)
def test_an_index_has_the_value_of_its_definition(name: str, value: float) -> None:
    got = compute(name.lower(), {band: np.full((2, 3), number) for band, number in LEAF.items()})
    assert got.shape == (2, 3) and got.dtype == np.float32 and got == pytest.approx(value, rel=1e-6)
    for band in INDICES[name].bands:
        with pytest.raises(DataError, match=rf"needs the band {band}; there are"):
            compute(name, {known: np.ones(1) for known in LEAF if known != band})


@given(st.lists(st.integers(0, 65535), min_size=5, max_size=5))
def test_ratios_stay_in_their_bounds_take_any_unit_and_are_nan_where_nothing_shines(values: list[int]) -> None:
    stored = {band: np.array([value, 0], np.uint16) for band, value in zip(LEAF, values, strict=True)}
    for name, (low, high) in {"NDVI": (-1, 1), "GNDVI": (-1, 1), "NDRE": (-1, 1), "ExG": (-1, 2)}.items():
        got = compute(name, stored)
        assert np.isnan(got[1]) and (np.isnan(got[0]) or low <= got[0] <= high)
        scaled = compute(name, {band: plane / 65536 for band, plane in stored.items()})
        assert np.allclose(got, scaled, atol=1e-5, equal_nan=True)


def test_stored_integers_are_not_taken_for_reflectances() -> None:
    stored = {"nir": np.array([5000], np.uint16), "red": np.array([400], np.uint16)}
    with pytest.raises(DataError, match=r"OSAVI .* needs reflectances of 0 to 1; values up to 5000 were found"):
        compute("OSAVI", stored)


def test_an_unknown_index_is_refused_and_the_possible_ones_are_listed() -> None:
    with pytest.raises(DataError, match="vegetation index 'NVDI' is unknown; did you mean 'NDVI'"):
        compute("NVDI", {})
    assert possible(("red", "green", "blue")) == ("VARI", "ExG") and possible(LEAF) == tuple(INDICES)
    assert all(index.source and index.formula for index in INDICES.values())


def test_the_ndvi_of_a_raster_is_nan_exactly_where_it_has_no_data(draw: Draw) -> None:
    bands = np.stack([np.full((30, 40), LEAF[band]) for band in ("green", "red", "nir")]).astype(np.float32)
    bands[:, 4:9, 6] = -10000
    with open_raster(draw(bands, descriptions=("Green", "Red", "NIR"), nodata=-10000)) as raster:
        nir, red = raster.bands(Box(0, 0, 40, 30), INDICES["NDVI"].bands)
    got = compute("NDVI", {"nir": nir, "red": red})
    assert np.array_equal(np.isnan(got), bands[0] < 0) and np.nanmin(got) == pytest.approx(0.46 / 0.54)
