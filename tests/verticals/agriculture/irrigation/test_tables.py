"""Soil, irrigation and readings from CSV, joined into advice for a zone; and what is refused."""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from shared.errors import DataError
from verticals.agriculture.irrigation import advice, balance, crops, probe, tables
from verticals.agriculture.irrigation.weather import Station, checked
from verticals.agriculture.viewing import watering

FIRST = date(2026, 5, 1)
SOIL = "zone,bottom_cm,field_capacity,wilting_point,initial\nA,30,0.30,0.12,0.28\nA,100,0.28,0.12,0.26\n"
READINGS = "zone,date,bottom_cm,content\nA,2026-07-20,100,0.21\nA,2026-07-20,30,0.17\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_tables_of_a_zone_become_advice_that_turns_on_what_the_probe_read(tmp_path: Path) -> None:
    soils = tables.read_soils(written(tmp_path, SOIL))
    events = tables.read_irrigations(written(tmp_path, "zone,date,depth_mm\nA,2026-06-20,30\nA,2026-06-01,25\n"), 0.8)
    assert [event.on.month for event in events["A"]] == [6, 6] and events["A"][0].depth_mm == 25
    assert events["A"][0].efficiency == 0.8
    rows = {"date": [(FIRST + timedelta(days=i)).isoformat() for i in range(90)], "tmin_c": 14.0, "tmax_c": 27.0,
            "rain_mm": 4.0}  # fmt: skip
    weather = checked(pd.DataFrame(rows), Station(45.0, 100))
    maize = balance.plant(crops.crop("maize-grain"), on=FIRST)
    daily = balance.single(weather, maize, soils["A"], events["A"])
    found = {}
    for name, text in {"dry": READINGS, "wet": READINGS.replace("0.21", "0.28").replace("0.17", "0.30")}.items():
        readings = tables.read_readings(written(tmp_path, text), soils)["A"]
        assert readings[0].stands_for == date(2026, 7, 19)
        found[name] = advice.advise_zone(
            "A", date(2026, 7, 22), lambda: daily, soils["A"], readings, probe.learn([], []),
            system=advice.System(), rule=advice.Rule(),
        )  # fmt: skip
    assert found["dry"].answer is advice.Answer.IRRIGATE and found["dry"].depth_mm > 20
    assert found["wet"].answer is advice.Answer.WAIT


def test_of_water_that_was_given_only_what_the_system_brings_to_the_roots_counts_as_in_the_advice(
    tmp_path: Path,
) -> None:
    pytest.importorskip("pyfao56")
    days = [(FIRST + timedelta(days=i)).isoformat() for i in range(70)]
    (tmp_path / "weather.csv").write_text("date,tmin_c,tmax_c,rain_mm\n" + "".join(f"{d},14,27,1\n" for d in days))
    (tmp_path / "soil.csv").write_text(SOIL)
    (tmp_path / "farm.toml").write_text(
        f'weather = "weather.csv"\nsoil = "soil.csv"\nirrigations = "given.csv"\ncrop = "maize-grain"\n'
        f"planted = {FIRST}\n[station]\nlatitude_deg = 45.0\nelevation_m = 100.0\n"
    )

    def depletion(depth_mm: float, efficiency: float) -> tuple[float, float]:
        given = "".join(f"A,{days[i]},{depth_mm}\n" for i in (45, 52, 59, 66))
        (tmp_path / "given.csv").write_text(f"zone,date,depth_mm\n{given}")
        farm = watering.load(tmp_path / "farm.toml", (f"system.efficiency={efficiency}",))
        found = watering.advised(farm, tmp_path).advice[0].depletion
        assert found is not None
        return found

    assert depletion(40, 0.5) == pytest.approx(depletion(20, 1.0), abs=0.02)
    assert depletion(40, 0.5)[1] > depletion(40, 1.0)[1] + 0.05


def test_a_table_without_zones_holds_for_one_and_an_unread_layer_stays_unread(tmp_path: Path) -> None:
    soils = tables.read_soils(written(tmp_path, SOIL.replace("zone,", "").replace("A,", "")))
    assert list(soils) == [""] and soils[""].depth_m == 1.0
    readings = tables.read_readings(written(tmp_path, "date,bottom_cm,content\n2026-07-20,30,0.17\n"), soils)
    assert readings[""][0].contents == pytest.approx((0.17, float("nan")), nan_ok=True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (READINGS.replace("A,", "B,"), "zone B: has readings and no soil; allowed: A"),
        (READINGS.replace(",30,", ",40,"), "zone A: 2026-07-20: 40 cm; allowed.*30, 100 cm"),
        (READINGS.replace(",30,", ",100,"), "a depth that is there twice"),
        (READINGS.replace("0.21", "wet"), "row 2: content is 'wet'"),
        (READINGS.replace("2026-07-20", "20.7.2026"), "allowed: ISO 8601"),
        (READINGS.replace("content", "theta"), "column content is missing"),
    ],
)
def test_a_wrong_table_of_readings_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    soils = tables.read_soils(written(tmp_path, SOIL))
    with pytest.raises(DataError, match=sentence):
        tables.read_readings(written(tmp_path, text), soils)


def test_soil_in_per_cent_and_water_taken_away_are_refused_with_the_zone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"zone A: soil layer down to 30 cm: field capacity is 30"):
        tables.read_soils(written(tmp_path, SOIL.replace("0.30", "30")))
    with pytest.raises(DataError, match=r"irrigation on 2026-06-20 is -30 mm"):
        tables.read_irrigations(written(tmp_path, "date,depth_mm\n2026-06-20,-30\n"), 0.8)
