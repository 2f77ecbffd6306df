"""Reference evapotranspiration against the worked examples of FAO-56 (1998), and against what physics allows."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import DataError
from verticals.agriculture.irrigation import evapotranspiration as et

BANGKOK = {
    "tmax_c": 34.8, "tmin_c": 25.6, "vapour_kpa": 2.85, "radiation_mj": 22.65, "wind_2m_m_s": 2.0,
    "elevation_m": 2.0, "latitude_deg": 13.73, "day": 105,
}  # fmt: skip


def test_example_2_pressure_and_psychrometric_constant_at_1800_m() -> None:
    pressure = et.pressure(elevation_m=1800)
    assert round(pressure, 1) == 81.8
    assert round(et.psychrometric(pressure_kpa=pressure), 3) == 0.054


def test_example_3_saturation_vapour_pressure_of_both_extremes_and_of_the_day() -> None:
    assert round(et.saturation(temperature_c=24.5), 3) == 3.075
    assert round(et.saturation(temperature_c=15.0), 3) == 1.705
    assert round(et.mean_saturation(tmax_c=24.5, tmin_c=15.0), 2) == 2.39


def test_example_5_vapour_pressure_from_extremes_and_from_the_mean_of_humidity() -> None:
    both = et.vapour_from_humidity(tmax_c=25, tmin_c=18, rhmax_pct=82, rhmin_pct=54)
    assert round(both, 2) == 1.70
    assert round(et.vapour_from_mean_humidity(tmax_c=25, tmin_c=18, rhmean_pct=68), 2) == 1.78


def test_examples_8_and_9_radiation_above_the_atmosphere_and_daylight_at_20_south() -> None:
    assert round(et.inverse_distance(day=246), 3) == 0.985
    assert round(et.declination(day=246), 3) == 0.120
    assert round(et.sunset_angle(latitude_deg=-20, day=246), 3) == 1.527
    assert round(et.extraterrestrial(latitude_deg=-20, day=246), 1) == 32.2
    assert round(et.daylight(latitude_deg=-20, day=246), 1) == 11.7


def test_examples_10_and_11_radiation_from_sunshine_and_what_is_radiated_back_in_rio() -> None:
    where = {"latitude_deg": -22.9, "day": 135}
    radiation = et.radiation_from_sunshine(sunshine_h=7.1, **where)
    assert round(radiation, 1) == 14.5
    back = et.net_longwave(
        tmax_c=25.1, tmin_c=19.1, vapour_kpa=2.1, radiation_mj=radiation,
        clear_sky_mj=et.clear_sky(elevation_m=0, **where),
    )  # fmt: skip
    assert round(back, 1) == 3.5


def test_example_17_a_month_in_bangkok_with_the_soil_warming_up() -> None:
    warming = et.soil_heat_of_month(t_month_c=30.2, t_previous_c=29.2)
    assert round(warming, 2) == 0.14
    assert round(et.reference(**BANGKOK, soil_heat_mj=warming), 2) == 5.72


def test_example_18_a_day_in_uccle_with_wind_measured_at_10_m() -> None:
    wind = et.wind_at_2m(wind_m_s=10 / 3.6, height_m=10)
    assert round(wind, 3) == 2.078
    radiation = et.radiation_from_sunshine(sunshine_h=9.25, latitude_deg=50.8, day=187)
    assert round(radiation, 2) == 22.07
    eto = et.reference(
        tmax_c=21.5, tmin_c=12.3, radiation_mj=radiation, wind_2m_m_s=wind, elevation_m=100, latitude_deg=50.8,
        day=187, vapour_kpa=et.vapour_from_humidity(tmax_c=21.5, tmin_c=12.3, rhmax_pct=84, rhmin_pct=63),
    )  # fmt: skip
    assert round(eto, 2) == 3.88


def test_the_day_never_ends_in_the_polar_summer_and_never_begins_in_the_polar_winter() -> None:
    assert et.daylight(latitude_deg=80, day=172) == pytest.approx(24)
    assert et.extraterrestrial(latitude_deg=80, day=355) == 0
    assert et.radiation_from_sunshine(sunshine_h=0, latitude_deg=80, day=355) == 0


days = st.fixed_dictionaries(
    {
        "tmax_c": st.floats(5, 35),
        "swing": st.floats(0, 20),
        "wetness": st.floats(0.1, 1),
        "wind": st.floats(0, 15),
        "latitude": st.floats(-60, 60),
        "day": st.integers(1, 366),
        "elevation": st.floats(0, 3000),
    }
)


def reference(drawn: dict[str, float], share: float) -> float:
    high, low = drawn["tmax_c"], drawn["tmax_c"] - drawn["swing"]
    where = {"latitude_deg": drawn["latitude"], "day": int(drawn["day"])}
    return et.reference(
        tmax_c=high, tmin_c=low, vapour_kpa=drawn["wetness"] * et.saturation(temperature_c=low),
        radiation_mj=share * et.clear_sky(elevation_m=drawn["elevation"], **where),
        wind_2m_m_s=drawn["wind"], elevation_m=drawn["elevation"], **where,
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(days, st.floats(0, 1))
def test_water_use_is_never_negative_and_never_more_than_sun_and_wind_can_pay_for(drawn, share) -> None:
    assert 0 <= reference(drawn, share) < 40


@settings(max_examples=200, deadline=None)
@given(days, st.floats(0.3, 0.9))
def test_more_sun_means_more_water_use_wherever_the_sun_stands_high(drawn, share) -> None:
    # Under a low sun a clearer sky loses more heat than it lets in, and the equation says so.
    if et.extraterrestrial(latitude_deg=drawn["latitude"], day=int(drawn["day"])) < 30:
        return
    assert reference(drawn, share) <= reference(drawn, share + 0.1) + 1e-9


@settings(max_examples=100, deadline=None)
@given(days, st.floats(0.3, 1))
def test_the_agricultural_research_service_s_own_equation_gives_the_same_within_half_a_per_cent(drawn, share) -> None:
    refet = pytest.importorskip("pyfao56.refet")
    high, low = drawn["tmax_c"], drawn["tmax_c"] - drawn["swing"]
    where = {"latitude_deg": drawn["latitude"], "day": int(drawn["day"])}
    theirs = refet.ascedaily(
        "S", drawn["elevation"], drawn["latitude"], int(drawn["day"]),
        share * et.clear_sky(elevation_m=drawn["elevation"], **where), high, low,
        vapr=drawn["wetness"] * et.saturation(temperature_c=low), wndsp=drawn["wind"], wndht=2.0,
    )  # fmt: skip
    assert reference(drawn, share) == pytest.approx(max(0.0, theirs), rel=0.005, abs=0.01)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: et.vapour_from_dew_point(tdew_c=25, tmax_c=21), "dew point 25 C is above"),
        (lambda: et.reference(**{**BANGKOK, "vapour_kpa": 6.0}), "air of 34.8 C holds no more"),
        (lambda: et.reference(**{**BANGKOK, "tmin_c": 35.0}), "other way round"),
        (lambda: et.reference(**{**BANGKOK, "tmax_c": 94.6, "tmin_c": 78.1}), "looks like Fahrenheit"),
        (lambda: et.reference(**{**BANGKOK, "radiation_mj": 262.0}), "above the atmosphere on day 105"),
        (lambda: et.reference(**{**BANGKOK, "wind_2m_m_s": -2.0}), "allowed: 0 to 60 m/s"),
        (lambda: et.reference(**{**BANGKOK, "elevation_m": 7200.0}), "looks like feet"),
        (lambda: et.reference(**{**BANGKOK, "latitude_deg": 1373.0}), "latitude is 1373"),
        (lambda: et.reference(**{**BANGKOK, "day": 0}), "day of the year is 0"),
        (lambda: et.reference(**{**BANGKOK, "wind_2m_m_s": math.nan}), "wind speed at 2 m is nan"),
        (
            lambda: et.vapour_from_humidity(tmax_c=25, tmin_c=18, rhmax_pct=104, rhmin_pct=54),
            "greatest relative humidity is 104 %",
        ),
        (lambda: et.vapour_from_humidity(tmax_c=25, tmin_c=18, rhmax_pct=54, rhmin_pct=82), "other way round"),
        (lambda: et.radiation_from_sunshine(sunshine_h=13, latitude_deg=-20, day=246), "has 11.7 h"),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_allowed(call, sentence) -> None:
    with pytest.raises(DataError, match=sentence):
        call()


def test_numbers_cannot_be_given_by_position_where_they_could_be_exchanged() -> None:
    with pytest.raises(TypeError):
        et.reference(34.8, 25.6, 2.85, 22.65, 2.0, 2.0, 13.73, 105)
