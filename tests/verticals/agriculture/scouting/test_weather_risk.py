from datetime import date

import numpy as np
import pandas as pd
import pytest

from shared.errors import DataError
from verticals.agriculture.scouting.weather_risk import Action, Risk, advise, hutton, standing


def weather(*days: tuple[float, int]) -> pd.DataFrame:
    """Hours of days with (least temperature, humid hours) from 1 July on."""
    times = pd.date_range("2026-07-01", periods=24 * len(days), freq="h")
    temperature = np.concatenate([[low, *[low + 5] * 23] for low, _ in days])
    humidity = np.concatenate([[90.0] * humid + [89.9] * (24 - humid) for _, humid in days])
    return pd.DataFrame({"time": times, "temperature_c": temperature, "rh_pct": humidity})


def test_two_days_in_a_row_at_the_limits_are_a_hutton_period_and_a_hair_less_is_none() -> None:
    days = hutton(weather((10, 6), (10, 6), (9.9, 20), (15, 5), (10, 6), (12, 24)))
    assert [str(r) for r in days.day] == ["met", "met", "not met", "not met", "met", "met"]
    assert [str(r) for r in days.period] == ["unknown", "met", "not met", "not met", "not met", "met"]
    assert days.humid_hours.tolist() == [6, 6, 20, 5, 6, 24] and days.tmin_c[date(2026, 7, 3)] == 9.9


def test_missing_hours_leave_a_day_unknown_unless_the_others_decide() -> None:
    hourly = weather((12, 8), (12, 8), (12, 0), (9, 8), (12, 8))
    gone = hourly.drop(index=[30, 53, 54, 80])
    days = hutton(gone)
    assert [str(r) for r in days.day] == ["met", "unknown", "not met", "not met", "met"]
    assert days.period[date(2026, 7, 2)] is Risk.UNKNOWN and days.period[date(2026, 7, 3)] is Risk.NOT_MET
    whole_day = hutton(hourly[hourly.time.dt.day != 2])
    assert whole_day.day[date(2026, 7, 2)] is Risk.UNKNOWN and whole_day.hours[date(2026, 7, 2)] == 0


def test_what_stands_is_told_with_its_days_and_no_weather_is_not_no_risk() -> None:
    days = hutton(weather((12, 8), (12, 8), (8, 0), (8, 0), (8, 0), (8, 0), (8, 0), (8, 0), (8, 0), (8, 0)))
    assert standing(days, date(2026, 7, 5))[0] is Risk.MET
    assert standing(days, date(2026, 7, 3))[1] == "a Hutton period ended on 2026-07-02"
    assert standing(days, date(2026, 7, 2), within_days=1)[0] is Risk.UNKNOWN, "the day itself is not over"
    assert standing(days, date(2026, 7, 10))[0] is Risk.NOT_MET
    assert standing(days, date(2026, 7, 20))[0] is Risk.UNKNOWN, "the table ends too early"


ZONES = pd.DataFrame({
    "zone": [1, 2, 3, 4], "label": ["potato_late_blight"] * 3 + ["weed"], "area_ha": [0.4, 0.3, 0.2, 0.1],
    "probability_low": [0.7, 0.3, 0.1, 0.9], "probability_high": [0.9, 0.7, 0.3, 0.95],
})  # fmt: skip


@pytest.mark.parametrize(
    ("risk", "wanted"),
    [
        (Risk.MET, ["spray now", "scout", "scout", "not applicable", "scout", "scout"]),
        (Risk.UNKNOWN, ["scout", "scout", "scout", "not applicable", "scout", "scout"]),
        (Risk.NOT_MET, ["scout", "wait", "wait", "not applicable", "wait", "scout"]),
    ],
)
def test_spraying_needs_both_the_map_and_the_weather_and_the_unseen_is_walked(risk: Risk, wanted: list[str]) -> None:
    found = advise(ZONES, (risk, "said"), threshold=0.5, examined_ha=3.0, not_examined_ha=0.5)
    assert [a.action.value for a in found] == wanted
    assert sum(a.area_ha for a in found) == pytest.approx(3.5), "every hectare has its advice"
    assert found[0].reason.startswith("said; blight is seen for sure") and "NOT EXAMINED" in found[-1].reason
    assert found[3].action is Action.NOT_APPLICABLE and "weed" in found[3].reason


def test_wrong_tables_are_one_sentence() -> None:
    with pytest.raises(DataError, match="needed are time,temperature_c,rh_pct"):
        hutton(pd.DataFrame({"time": []}))
    with pytest.raises(DataError, match="2026-07-01 00:00 is there twice"):
        hutton(pd.concat([weather((12, 8)), weather((12, 8))]))
    with pytest.raises(DataError, match="temperature_c is 140"):
        hutton(weather((140, 8)))
