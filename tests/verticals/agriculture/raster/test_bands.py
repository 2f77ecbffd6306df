"""Bands get the names their file gives them, and three of them are a picture only where it is known which."""

from pathlib import Path

import numpy as np
import pytest

from shared.errors import ConfigError, DataError
from shared.records import Box
from tests.verticals.agriculture.raster.conftest import Draw, ground
from verticals.agriculture.raster.bands import given_names, names
from verticals.agriculture.raster.rasters import open_raster


@pytest.mark.parametrize(
    ("descriptions", "interpretations", "wavelengths", "found"),
    [
        # What multispectral orthomosaics call their bands; their writers mark the first three red, green and blue.
        (("Red", "Green", "NIR", "Rededge"), ("red", "green", "blue", "undefined"), (), "red green nir rededge"),
        (("NIR", "Green", "Blue"), ("red", "green", "blue"), (), "nir green blue"),
        (("", "", "", ""), ("red", "green", "blue", "alpha"), (), "red green blue alpha"),
        (("Blue-444", "Blue", "Red edge-740", "Red edge"), ("gray", *["undefined"] * 3), (), "- blue - rededge"),
        (("475 nm", "560nm", "668 nm", "717 nm"), ("gray", *["undefined"] * 3), (), "blue green red rededge"),
        (("B2", "B3", "B4", "B8"), ("gray", *["undefined"] * 3), (490, 560, 665, 842), "blue green red nir"),
        (("", "", ""), ("gray", "undefined", "undefined"), (), "- - -"),
        (("Green", "Red", "NIR (860 nm)", "LWIR"), ("gray", *["undefined"] * 3), (), "green red nir thermal"),
    ],
)
def test_a_description_goes_before_a_wavelength_and_that_before_the_colour(
    descriptions: tuple[str, ...], interpretations: tuple[str, ...], wavelengths: tuple[float, ...], found: str
) -> None:
    told = names(descriptions, interpretations, wavelengths or (0,) * len(descriptions))
    assert " ".join(name or "-" for name in told) == found


def test_a_band_named_alpha_by_the_user_masks(draw: Draw) -> None:
    pixels = ground(30, 40, 4)
    pixels[3] = np.arange(40) < 25
    with open_raster(draw(pixels, photometric="minisblack"), bands=("red", "green", "blue", "alpha")) as raster:
        assert raster.facts.mask == "alpha"
        assert np.array_equal(raster.read(Box(0, 0, 40, 30)).validity, pixels[3])


def test_the_picture_is_red_green_blue_whatever_the_order_in_the_file(draw: Draw) -> None:
    pixels = ground(30, 40, 4)
    path = draw(pixels, descriptions=("Blue", "Green", "Red", "NIR"))
    with open_raster(path) as raster:
        assert raster.facts.rgb == (3, 2, 1)
        assert np.array_equal(raster.read(Box(0, 0, 40, 30)).rgb, pixels[2::-1].transpose(1, 2, 0))


def test_four_bands_without_names_are_taken_for_red_green_blue_and_five_are_not(draw: Draw) -> None:
    with open_raster(draw(ground(30, 40, 4), photometric="minisblack")) as raster:
        assert (
            raster.facts.rgb == (1, 2, 3)
            and "the first three are taken for red, green and blue" in raster.facts.remarks[0]
        )
    five = draw(ground(30, 40, 5), "five.tif", photometric="minisblack")
    with open_raster(five) as raster, pytest.raises(DataError, match=r"no band with a name and 5 without one.*--bands"):
        raster.read(Box(0, 0, 5, 5))
    with open_raster(five, bands=("blue", "green", "red", "nir", "red edge")) as raster:
        assert raster.facts.rgb == (3, 2, 1) and [band.name for band in raster.facts.bands][4] == "rededge"
    for wrong in (
        "red,green,blue", "red,red,blue,nir,rededge", "red=1,green=2,blue=6", "red=1,green=0", "red=1,red=2",
        "red=1,green=1", "red=x", "=1", "red=1,,blue=2",
    ):  # fmt: skip
        with pytest.raises(DataError, match="has 5 bands and --bands says") as refused:
            given_names(Path("field.tif"), wrong, [""] * 5)
        assert "red=3,green=2,blue=1" in str(refused.value)


def test_bands_named_by_number_leave_the_others_what_the_file_calls_them(draw: Draw) -> None:
    assert given_names(Path("a.tif"), "red=3, green=2,Blue=1", ["", "red", "", "nir"]) == [
        "blue",
        "green",
        "red",
        "nir",
    ]
    path = draw(ground(30, 40, 5), photometric="minisblack")
    with open_raster(path, bands="red=3,green=2,blue=1") as raster:
        assert raster.facts.rgb == (3, 2, 1) and raster.facts.given == {"bands": "red=3,green=2,blue=1"}


def test_what_stands_beside_a_raster_is_taken_by_every_reader_of_it_and_an_option_goes_before_it(draw: Draw) -> None:
    path = draw(ground(30, 40, 5), photometric="minisblack")
    path.with_name("raster.toml").write_text('bands = "red=5,green=4,blue=3"\n')
    with open_raster(path) as raster:
        assert raster.facts.rgb == (5, 4, 3)
    path.with_name(f"{path.stem}.raster.toml").write_text('bands = "red=1,green=2,blue=3"\nnodata = 0\n')
    with open_raster(path) as raster:
        assert raster.facts.rgb == (1, 2, 3) and raster.facts.nodata == 0
    with open_raster(path, bands="red=2,green=3,blue=4") as raster:
        assert raster.facts.rgb == (2, 3, 4) and raster.facts.nodata == 0
    path.with_name(f"{path.stem}.raster.toml").write_text('band = "red=1"\n')
    with pytest.raises(ConfigError, match="bands"), open_raster(path):
        pass
