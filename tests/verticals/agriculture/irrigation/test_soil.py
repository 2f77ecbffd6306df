"""Soil layers: available water, depletion from a profile reading, and what is refused."""

import pytest

from shared.errors import DataError
from verticals.agriculture.irrigation import soil

GROUND = soil.Soil((soil.Layer(20, 0.30, 0.10, 0.25), soil.Layer(60, 0.25, 0.15, 0.20)))


def test_available_water_and_depletion_are_added_up_layer_by_layer_down_to_the_roots() -> None:
    assert soil.available(GROUND, 0.4) == pytest.approx(200 * 0.20 + 200 * 0.10)
    assert soil.depletion(GROUND, [0.25, 0.20], 0.4) == pytest.approx(200 * 0.05 + 200 * 0.05)
    assert soil.depletion(GROUND, [0.33, 0.25], 0.6) == pytest.approx(-6)


def test_a_layer_that_nobody_read_matters_only_if_roots_are_in_it() -> None:
    assert soil.depletion(GROUND, [0.25], 0.2) == pytest.approx(10)
    with pytest.raises(DataError, match="layer down to 60 cm is nan"):
        soil.depletion(GROUND, [0.25], 0.3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: soil.Layer(20, 30.0, 10.0, 25.0), "field capacity is 30 m3/m3.*looks like per cent"),
        (lambda: soil.Layer(20, 0.10, 0.30, 0.25), "wilting point 0.3 is not below field capacity 0.1"),
        (lambda: soil.Soil((soil.Layer(60, 0.3, 0.1, 0.2), soil.Layer(20, 0.3, 0.1, 0.2))), "each deeper"),
        (lambda: soil.Soil(()), "at least one"),
        (lambda: soil.available(GROUND, 0.9), "rooting depth is 0.9 m; allowed: 0 to 0.6 m"),
        (lambda: soil.depletion(GROUND, [25.0, 20.0], 0.4), "is 25 m3/m3.*looks like per cent"),
    ],
)
def test_soil_that_cannot_be_is_refused(make, sentence) -> None:
    with pytest.raises(DataError, match=sentence):
        make()
