"""The weather table: what is read, what is estimated and said, and what is refused."""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from shared.errors import DataError
from verticals.agriculture.drawing import weather as drawn
from verticals.agriculture.irrigation import weather

STATION = weather.Station(latitude_deg=50.8, elevation_m=100, wind_height_m=10)
LYON = weather.Station(latitude_deg=45.72, elevation_m=200)
MARICOPA = Path(__file__).resolve().parents[4].parent / "shared/data/agriculture/cotton_irrigation/cotton2018.wth"


def table(days: int = 6, **changes: object) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "date": [(date(2026, 7, 3) + timedelta(days=i)).isoformat() for i in range(days)],
            "tmin_c": 12.3, "tmax_c": 21.5, "rhmin_pct": 63.0, "rhmax_pct": 84.0,
            "wind_m_s": 10 / 3.6, "sunshine_h": 9.25, "rain_mm": [float(i) for i in range(days)],
        }
    )  # fmt: skip
    return rows.assign(**changes)


def read(rows: pd.DataFrame, tmp_path: Path, **options: int) -> weather.Weather:
    rows.to_csv(tmp_path / "station.csv", index=False)
    return weather.read(tmp_path / "station.csv", STATION, **options)


def test_a_station_s_table_gives_the_printed_eto_of_example_18_whatever_the_order_of_rows(tmp_path) -> None:
    found = read(table().iloc[::-1], tmp_path)
    assert round(found.days.at[date(2026, 7, 6), "eto_mm"], 2) == 3.88
    assert list(found.days["rain_mm"]) == [0, 1, 2, 3, 4, 5]
    assert found.remarks == ()


def test_example_20_only_temperatures_are_known_in_lyon_and_every_estimate_is_told() -> None:
    rows = pd.DataFrame([{"date": "2026-07-15", "tmin_c": 14.8, "tmax_c": 26.6, "rain_mm": 0}])
    found = weather.checked(rows, LYON)
    assert round(found.days["eto_mm"].iloc[0], 2) == 4.56
    assert [remark.split(" estimated")[0] for remark in found.remarks] == ["humidity", "wind", "radiation"]


def test_a_gap_is_named_by_its_dates_and_bridged_only_if_the_user_says_so(tmp_path) -> None:
    gap = table().drop(index=[2, 3]).assign(tmax_c=[20.0, 20.0, 26.0, 26.0])
    with pytest.raises(
        DataError, match=r"from 2026-07-05 to 2026-07-06 \(2 days\).*set bridge_days = 2 in the farm's file"
    ):
        read(gap, tmp_path, bridge_days=1)
    found = read(gap, tmp_path, bridge_days=2)
    assert list(found.days["tmax_c"].round(6)) == [20, 20, 22, 24, 26, 26]
    assert found.days["rain_mm"].iloc[2:4].tolist() == [0, 0]
    assert found.bridged == (date(2026, 7, 5), date(2026, 7, 6))
    assert "rain taken as none" in found.remarks[-1]


def test_at_an_end_of_the_table_there_is_nothing_to_bridge_to(tmp_path) -> None:
    rows = table()
    rows.loc[5, "tmax_c"] = None
    with pytest.raises(DataError, match=r"\(1 days\).*or leave those rows out"):
        read(rows, tmp_path, bridge_days=3)


def test_an_empty_cell_is_a_gap_too_and_bridging_touches_no_measured_day(tmp_path) -> None:
    rows = table()
    rows.loc[3, "tmax_c"] = None
    rows.loc[4, "rhmin_pct"] = None
    with pytest.raises(DataError, match="from 2026-07-06 to 2026-07-06"):
        read(rows, tmp_path)
    found = read(rows, tmp_path, bridge_days=1)
    assert found.bridged == (date(2026, 7, 6),)
    assert any("humidity estimated" in remark and "1 of 6" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (table().assign(tdew_c=30.0), "station.csv: 2026-07-03: dew point 30 C is above"),
        (pd.concat([table(), table(1)]), "2026-07-03 is there twice"),
        (table().assign(tmax_c=70.7, tmin_c=54.1), "2026-07-03: greatest temperature is 70.7 C.*Fahrenheit"),
        (table().rename(columns={"tmax_c": "tmax_f"}), "column tmax_c is missing, found date.*tmax_f"),
        (table().assign(date="07/03/2026"), "allowed: ISO 8601"),
        (table().assign(rain_mm="trace"), "2026-07-03: rain_mm is 'trace', not a number"),
        (table().assign(rain_mm=-1.0), "rain is -1 mm"),
        (table().assign(rhmax_pct=840.0), "greatest relative humidity is 840 %"),
        (table().iloc[:0], "has no rows"),
    ],
)
def test_a_wrong_table_is_one_sentence_with_file_and_day(tmp_path, rows, sentence) -> None:
    with pytest.raises(DataError, match=sentence):
        read(rows, tmp_path)


def test_a_drawn_season_is_read_without_any_estimate() -> None:
    found = weather.checked(drawn.season(4), weather.Station(latitude_deg=50, elevation_m=200))
    assert found.remarks == ("columns not used: hours_rh90",)
    assert len(found.days) == 140 and 1 < found.days["eto_mm"].mean() < 6


def test_a_station_in_feet_or_without_a_latitude_is_refused() -> None:
    with pytest.raises(DataError, match="looks like feet"):
        weather.Station(latitude_deg=40, elevation_m=6500)
    with pytest.raises(DataError, match="south negative"):
        weather.Station(latitude_deg=-3320.0, elevation_m=100)
    with pytest.raises(DataError, match="anemometer"):
        weather.Station(latitude_deg=40, elevation_m=100, wind_height_m=0)


def test_the_wrong_hemisphere_is_found_out_by_the_sun() -> None:
    summer = table(1, date="2026-12-21", solar_mj_m2=30.0).drop(columns="sunshine_h")
    with pytest.raises(DataError, match="look at unit and latitude"):
        weather.checked(summer, STATION)


@pytest.mark.skipif(not MARICOPA.exists(), reason="the cotton season of pyfao56 is not beside the checkout")
def test_196_days_of_a_real_station_agree_with_its_own_eto_within_a_hundredth_of_a_millimetre() -> None:
    lines = MARICOPA.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Year-DOY"))
    rows = pd.DataFrame([line.split() for line in lines[start + 1 :]], columns=lines[start].split())
    names = {"Srad": "solar_mj_m2", "Tmax": "tmax_c", "Tmin": "tmin_c", "Tdew": "tdew_c", "Wndsp": "wind_m_s"}
    ours = rows.rename(columns=names | {"Rain": "rain_mm"}).assign(
        date=pd.to_datetime(rows["Year-DOY"], format="%Y-%j").dt.strftime("%Y-%m-%d")
    )
    found = weather.checked(ours, weather.Station(33.069, 361, 3.0))
    assert len(found.days) == 196
    assert abs(found.days["eto_mm"].to_numpy() - rows["ETref"].astype(float).to_numpy()).max() < 0.011
