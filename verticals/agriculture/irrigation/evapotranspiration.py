"""Reference evapotranspiration after FAO-56 (Allen et al. 1998), equation by equation, with the unit in every name.

Angles of the public arguments are degrees unless the name says ``_rad``; radiation is MJ per m2 and day. Every argument
is given by its name, so that no two numbers can be exchanged, and one that cannot be is a
:class:`~shared.errors.DataError`: swapped arguments otherwise give a plausible or a negative water use without a word.
"""

import math

from shared.errors import DataError

SOLAR_CONSTANT = 0.0820
"""MJ per m2 and minute (FAO-56 eq. 21)."""
STEFAN_BOLTZMANN = 4.903e-9
"""MJ per K4, m2 and day (FAO-56 eq. 39)."""
ALBEDO = 0.23
"""Of the grass reference (FAO-56 eq. 38)."""
WIND_WHERE_UNKNOWN_M_S = 2.0
"""World average at 2 m, for a station without an anemometer (FAO-56 chapter 3)."""
_OFFSET_MJ = 0.5
"""What a pyranometer may add up in a day on which there is nothing to measure."""
_DEEPEST_M, _HIGHEST_M = -450.0, 6000.0
_COLDEST_C, _HOTTEST_C = -60.0, 60.0


def within(name: str, value: float, low: float, high: float, unit: str, hint: str = "") -> float:
    """The value, if it is a number between the limits.

    Raises:
        DataError: It is not; ``hint`` is what is likely to have happened.
    """
    if not (math.isfinite(value) and low <= value <= high):
        likely = f"; {hint}" if hint else ""
        found, allowed = f"{value:g} {unit}".rstrip(), f"{low:g} to {high:g} {unit}".rstrip()
        raise DataError(f"{name} is {found}; allowed: {allowed}{likely}")
    return float(value)


def temperatures(*, tmax_c: float, tmin_c: float) -> tuple[float, float]:
    """Both daily extremes in degrees Celsius, checked against each other.

    Raises:
        DataError: Outside what the air reaches on Earth, or the least is above the greatest.
    """
    hint = "give degrees Celsius: this looks like Fahrenheit" if tmax_c > _HOTTEST_C else ""
    within("greatest temperature", tmax_c, _COLDEST_C, _HOTTEST_C, "C", hint)
    within("least temperature", tmin_c, _COLDEST_C, _HOTTEST_C, "C", hint)
    if tmin_c > tmax_c:
        raise DataError(
            f"least temperature {tmin_c:g} C is above the greatest, {tmax_c:g} C; give them the other way round"
        )
    return tmax_c, tmin_c


def pressure(*, elevation_m: float) -> float:
    """Atmospheric pressure in kPa at an elevation above sea level (FAO-56 eq. 7)."""
    hint = "give metres: this looks like feet" if elevation_m > _HIGHEST_M else ""
    within("elevation", elevation_m, _DEEPEST_M, _HIGHEST_M, "m", hint)
    return 101.3 * math.pow((293 - 0.0065 * elevation_m) / 293, 5.26)


def psychrometric(*, pressure_kpa: float) -> float:
    """Psychrometric constant in kPa per degree Celsius (FAO-56 eq. 8)."""
    return 0.665e-3 * within("pressure", pressure_kpa, 40, 110, "kPa")


def saturation(*, temperature_c: float) -> float:
    """Saturation vapour pressure in kPa at an air temperature (FAO-56 eq. 11)."""
    within("temperature", temperature_c, _COLDEST_C - 40, _HOTTEST_C, "C")
    return 0.6108 * math.exp(17.27 * temperature_c / (temperature_c + 237.3))


def mean_saturation(*, tmax_c: float, tmin_c: float) -> float:
    """Mean saturation vapour pressure of a day in kPa (FAO-56 eq. 12); that of the mean temperature is too low."""
    temperatures(tmax_c=tmax_c, tmin_c=tmin_c)
    return (saturation(temperature_c=tmax_c) + saturation(temperature_c=tmin_c)) / 2


def slope(*, temperature_c: float) -> float:
    """Slope of the saturation vapour pressure curve in kPa per degree Celsius (FAO-56 eq. 13)."""
    return 4098 * saturation(temperature_c=temperature_c) / (temperature_c + 237.3) ** 2


def vapour_from_humidity(*, tmax_c: float, tmin_c: float, rhmax_pct: float, rhmin_pct: float) -> float:
    """Actual vapour pressure in kPa from both extremes of relative humidity (FAO-56 eq. 17)."""
    temperatures(tmax_c=tmax_c, tmin_c=tmin_c)
    within("greatest relative humidity", rhmax_pct, 0, 100, "%")
    within("least relative humidity", rhmin_pct, 0, 100, "%")
    if rhmin_pct > rhmax_pct:
        raise DataError(
            f"least relative humidity {rhmin_pct:g} % is above the greatest, {rhmax_pct:g} %; "
            "give them the other way round"
        )
    wet = saturation(temperature_c=tmin_c) * rhmax_pct
    return (wet + saturation(temperature_c=tmax_c) * rhmin_pct) / 200


def vapour_from_mean_humidity(*, tmax_c: float, tmin_c: float, rhmean_pct: float) -> float:
    """Actual vapour pressure in kPa from the mean relative humidity (FAO-56 eq. 19): less sure than from extremes."""
    within("mean relative humidity", rhmean_pct, 0, 100, "%")
    return rhmean_pct / 100 * mean_saturation(tmax_c=tmax_c, tmin_c=tmin_c)


def vapour_from_dew_point(*, tdew_c: float, tmax_c: float) -> float:
    """Actual vapour pressure in kPa from the dew point (FAO-56 eq. 14).

    Raises:
        DataError: The dew point is above the day's greatest temperature.
    """
    if tdew_c > tmax_c:
        raise DataError(
            f"dew point {tdew_c:g} C is above the day's greatest temperature, {tmax_c:g} C; "
            "allowed: at most that; look for exchanged columns or another unit"
        )
    return saturation(temperature_c=tdew_c)


def inverse_distance(*, day: int) -> float:
    """Inverse relative distance from Earth to Sun on a day of the year, 1 to 366 (FAO-56 eq. 23)."""
    return 1 + 0.033 * math.cos(_year_angle(day))


def declination(*, day: int) -> float:
    """Solar declination in radians on a day of the year (FAO-56 eq. 24)."""
    return 0.409 * math.sin(_year_angle(day) - 1.39)


def sunset_angle(*, latitude_deg: float, day: int) -> float:
    """Sunset hour angle in radians (FAO-56 eq. 25): 0 in the polar night, pi in the polar day."""
    within("latitude", latitude_deg, -90, 90, "degrees north")
    cosine = -math.tan(math.radians(latitude_deg)) * math.tan(declination(day=day))
    return math.acos(min(1.0, max(-1.0, cosine)))


def daylight(*, latitude_deg: float, day: int) -> float:
    """Greatest possible hours of sunshine (FAO-56 eq. 34)."""
    return 24 / math.pi * sunset_angle(latitude_deg=latitude_deg, day=day)


def extraterrestrial(*, latitude_deg: float, day: int) -> float:
    """Radiation above the atmosphere in MJ per m2 and day (FAO-56 eq. 21)."""
    sunset = sunset_angle(latitude_deg=latitude_deg, day=day)
    north, sun = math.radians(latitude_deg), declination(day=day)
    height = sunset * math.sin(north) * math.sin(sun) + math.cos(north) * math.cos(sun) * math.sin(sunset)
    return max(0.0, 24 * 60 / math.pi * SOLAR_CONSTANT * inverse_distance(day=day) * height)


def radiation_from_sunshine(*, sunshine_h: float, latitude_deg: float, day: int) -> float:
    """Solar radiation from hours of sunshine, Angstrom's coefficients 0.25 and 0.50 (FAO-56 eq. 35)."""
    longest = daylight(latitude_deg=latitude_deg, day=day)
    # A tenth of an hour: stations count the twilight differently.
    within("sunshine", sunshine_h, 0, longest + 0.1, "h", f"day {day} at {latitude_deg:g} N has {longest:.1f} h")
    share = min(1.0, sunshine_h / longest) if longest else 0.0
    return (0.25 + 0.50 * share) * extraterrestrial(latitude_deg=latitude_deg, day=day)


def radiation_from_temperature(
    *, tmax_c: float, tmin_c: float, latitude_deg: float, day: int, coastal: bool = False
) -> float:
    """Solar radiation from the daily swing of temperature, after Hargreaves (FAO-56 eq. 50).

    The coefficient is 0.16, on coasts 0.19; the result is at most a cloudless day's at sea level (eq. 37).
    """
    temperatures(tmax_c=tmax_c, tmin_c=tmin_c)
    swing = math.sqrt(tmax_c - tmin_c)
    above = extraterrestrial(latitude_deg=latitude_deg, day=day)
    return min((0.19 if coastal else 0.16) * swing, 0.75) * above


def clear_sky(*, elevation_m: float, latitude_deg: float, day: int) -> float:
    """Solar radiation of a cloudless day in MJ per m2 and day (FAO-56 eq. 37)."""
    pressure(elevation_m=elevation_m)
    return (0.75 + 2e-5 * elevation_m) * extraterrestrial(latitude_deg=latitude_deg, day=day)


def net_longwave(*, tmax_c: float, tmin_c: float, vapour_kpa: float, radiation_mj: float, clear_sky_mj: float) -> float:
    """Net outgoing longwave radiation in MJ per m2 and day (FAO-56 eq. 39); cloudiness is held to 0.05 .. 1."""
    temperatures(tmax_c=tmax_c, tmin_c=tmin_c)
    warm = ((tmax_c + 273.16) ** 4 + (tmin_c + 273.16) ** 4) / 2
    share = min(1.0, radiation_mj / clear_sky_mj) if clear_sky_mj > 0 else 1.0
    cloud = max(0.05, 1.35 * share - 0.35)
    return STEFAN_BOLTZMANN * warm * (0.34 - 0.14 * math.sqrt(vapour_kpa)) * cloud


def soil_heat_of_month(*, t_month_c: float, t_previous_c: float) -> float:
    """Soil heat flux of a month in MJ per m2 and day from two monthly means (FAO-56 eq. 44); of a day it is 0."""
    return 0.14 * (t_month_c - t_previous_c)


def wind_at_2m(*, wind_m_s: float, height_m: float) -> float:
    """Wind speed at 2 m in m/s from one measured at another height over grass (FAO-56 eq. 47)."""
    within("wind speed", wind_m_s, 0, 60, "m/s", "give the daily mean in m/s, not in km/h")
    within("height of the anemometer", height_m, 0.5, 100, "m")
    return wind_m_s * 4.87 / math.log(67.8 * height_m - 5.42)


def reference(
    *,
    tmax_c: float,
    tmin_c: float,
    vapour_kpa: float,
    radiation_mj: float,
    wind_2m_m_s: float,
    elevation_m: float,
    latitude_deg: float,
    day: int,
    soil_heat_mj: float = 0.0,
) -> float:
    """Reference evapotranspiration ETo of grass in mm per day (FAO-56 eq. 6).

    Args:
        tmax_c: Greatest air temperature of the day, degrees Celsius.
        tmin_c: Least, likewise.
        vapour_kpa: Actual vapour pressure, kPa.
        radiation_mj: Solar radiation Rs, MJ per m2 and day.
        wind_2m_m_s: Mean wind speed at 2 m, m/s.
        elevation_m: Of the station above sea level, m.
        latitude_deg: Degrees, south negative.
        day: Of the year, 1 to 366.
        soil_heat_mj: Soil heat flux G, MJ per m2 and day; 0 for a day.

    Returns:
        At least 0: a negative balance is dew, which gives the crop no water worth counting.

    Raises:
        DataError: A value is impossible, alone or beside another.
    """
    temperatures(tmax_c=tmax_c, tmin_c=tmin_c)
    within("wind speed at 2 m", wind_2m_m_s, 0, 60, "m/s")
    wettest = saturation(temperature_c=tmax_c)
    within("vapour pressure", vapour_kpa, 0, wettest, "kPa", f"air of {tmax_c:g} C holds no more")
    above = extraterrestrial(latitude_deg=latitude_deg, day=day)
    hint = f"that is what arrives above the atmosphere on day {day} at {latitude_deg:g} N: look at unit and latitude"
    within("solar radiation", radiation_mj, 0, above + _OFFSET_MJ, "MJ/m2", hint)
    mean = (tmax_c + tmin_c) / 2
    cloudless = clear_sky(elevation_m=elevation_m, latitude_deg=latitude_deg, day=day)
    net = (1 - ALBEDO) * radiation_mj - net_longwave(
        tmax_c=tmax_c, tmin_c=tmin_c, vapour_kpa=vapour_kpa, radiation_mj=radiation_mj, clear_sky_mj=cloudless
    )
    rise, gamma = slope(temperature_c=mean), psychrometric(pressure_kpa=pressure(elevation_m=elevation_m))
    deficit = max(0.0, mean_saturation(tmax_c=tmax_c, tmin_c=tmin_c) - vapour_kpa)
    dry = gamma * 900 / (mean + 273) * wind_2m_m_s * deficit
    return max(0.0, (0.408 * rise * (net - soil_heat_mj) + dry) / (rise + gamma * (1 + 0.34 * wind_2m_m_s)))


def _year_angle(day: int) -> float:
    within("day of the year", day, 1, 366, "")
    return 2 * math.pi / 365 * day
