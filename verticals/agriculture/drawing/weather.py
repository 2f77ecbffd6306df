"""A seed and a first day in, a season of daily weather out, as a station beside the field would have recorded it."""

from datetime import date

import numpy as np
import pandas as pd

COLUMNS = (
    "date", "tmin_c", "tmax_c", "tdew_c", "rhmin_pct", "rhmax_pct", "wind2m_m_s", "solar_mj_m2", "rain_mm",
    "hours_rh90",
)  # fmt: skip
"""Day (ISO 8601), air temperatures and dew point in degrees Celsius, relative humidity in per cent, wind at 2 m in m/s,
solar radiation in MJ/m2, rain in mm, hours with a relative humidity of at least 90 per cent."""


def season(seed: int, *, first: date = date(2026, 4, 20), days: int = 140) -> pd.DataFrame:
    """A season at 50 degrees north, drawn: dry and wet spells (a two-state Markov chain), autocorrelated temperature.

    Rows obey what a station cannot break: dew point and minimum below the maximum, humidity 1 to 100 per cent; a wet
    day is duller and damper than a dry one.

    Args:
        seed: Seed of everything random.
        first: Day of the first row.
        days: Number of rows.

    Returns:
        One row per day, columns :data:`COLUMNS`.
    """
    rng = np.random.default_rng([seed, 77])
    day = pd.date_range(first, periods=days, freq="D")
    angle = 2 * np.pi * (day.day_of_year.to_numpy() - 200) / 365
    wet = np.zeros(days, bool)
    warmer = np.zeros(days)
    for i in range(days):
        wet[i] = rng.random() < (0.58 if i and wet[i - 1] else 0.22)
        warmer[i] = 0.75 * (warmer[i - 1] if i else 0.0) + rng.normal(0, 1.6)
    mean = 12.5 + 6.5 * np.cos(angle) + warmer - 1.2 * wet
    span = np.where(wet, rng.uniform(4, 8, days), rng.uniform(9, 15, days))
    tmin, tmax = mean - span / 2, mean + span / 2
    dew = np.minimum(tmin + np.where(wet, rng.uniform(0, 2.5, days), rng.uniform(-3.5, 1, days)), mean)
    # Clear-sky radiation at the latitude is about 75 % of Ra; the cosine follows Ra within 5 %.
    clear = 20.0 + 10.5 * np.cos(2 * np.pi * (day.day_of_year.to_numpy() - 172) / 365)
    solar = clear * np.where(wet, rng.uniform(0.25, 0.6, days), rng.uniform(0.7, 1.0, days))
    rain = np.where(wet, rng.gamma(0.9, 6.0, days), 0.0)
    highest, lowest = (np.clip(100 * _vapour(dew) / _vapour(t), 5, 100) for t in (tmin, tmax))
    # A sine between the day's extremes spends this share of the day above 90 per cent.
    reach = np.clip((90 - lowest) / np.maximum(highest - lowest, 1e-6), 0, 1)
    hours = np.where(highest >= 90, 24 * np.arccos(2 * reach - 1) / np.pi, 0.0)
    wind = rng.gamma(4.0, 0.5, days)
    values = (tmin, tmax, dew, lowest, highest, wind, solar, rain, hours)
    named = {name: np.round(v, 2) for name, v in zip(COLUMNS[1:], values, strict=True)}
    return pd.DataFrame({"date": day.strftime("%Y-%m-%d"), **named})


def _vapour(celsius: "np.typing.NDArray[np.float64]") -> "np.typing.NDArray[np.float64]":
    """Saturation vapour pressure in kPa, FAO-56 equation 11."""
    return 0.6108 * np.exp(17.27 * celsius / (celsius + 237.3))
