"""The balance begun again from a reading: as pyfao56 goes on itself, and free of what was simulated before it."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from verticals.agriculture.irrigation import balance, crops, probe, restart, soil
from verticals.agriculture.irrigation.weather import Station, Weather

pytest.importorskip("pyfao56")
FIRST = date(2026, 4, 20)
GROUND = soil.Soil((soil.Layer(30, 0.30, 0.12, 0.28), soil.Layer(120, 0.32, 0.14, 0.30)))
POTATO = balance.plant(crops.crop("potato"), on=FIRST)
FARM = """
weather = "weather.csv"
soil = "soil.csv"
readings = "probes.csv"
irrigations = "irrigations.csv"
crop = "potato"
planted = 2026-04-20
[station]
latitude_deg = 50.0
elevation_m = 200.0
"""


def on(day: int) -> date:
    return FIRST + timedelta(days=day)


def weather(days: int, rain_mm: float) -> Weather:
    rng = np.random.default_rng(5)
    rain = np.where(rng.random(days) < 0.1, rain_mm, 0)
    values = {"eto_mm": rng.uniform(2, 7, days), "rain_mm": rain, "tmax_c": 25.0, "tmin_c": 12.0, "rhmin_pct": 45.0,
              "wind2m_m_s": 2.0}  # fmt: skip
    index = pd.Index([on(i) for i in range(days)], name="date")
    return Weather(Station(50, 200), pd.DataFrame(values, index=index))


@pytest.mark.parametrize(("planting", "rain_mm"), [(POTATO, 4.0), (replace(POTATO, root_m=(0.5, 0.5)), 40.0)])
def test_begun_again_from_what_was_simulated_it_goes_on_as_pyfao56_does(planting, rain_mm: float) -> None:
    events = [balance.Event(on(day), 15, efficiency=0.8) for day in (70, 80, 90)]
    daily = balance.dual(weather(110, rain_mm), planting, GROUND, events)
    assert (daily["ks"] < 0.9).any(), "a season with stress"
    for start in range(0, 100, 9):
        then, now = daily.loc[on(start)], daily.loc[on(start + 10)]
        profile_mm = then["profile_depletion"] * then["profile_taw_mm"]
        found = restart.carry(daily, on(start), on(start + 10), then["depletion_mm"], profile_mm)
        assert found.depletion_mm == pytest.approx(now["depletion_mm"], abs=1e-6)
        assert found.profile_mm == pytest.approx(now["profile_depletion"] * now["profile_taw_mm"], abs=1e-6)
        assert found.eta_mm == pytest.approx(daily.loc[on(start + 1) : on(start + 10), "eta_mm"].sum(), abs=1e-6)


def test_a_field_that_was_measured_moist_drinks_although_the_simulation_had_dried_out() -> None:
    daily = balance.dual(weather(100, 0.0), POTATO, GROUND)
    before, after = on(80), on(90)
    assert daily.loc[before, "ks"] < 0.2
    last = probe.situation(daily, GROUND, after, [probe.Reading(before, (0.26, 0.28), morning=False)]).last
    assert last is not None
    since, available = daily.loc[on(81) : after], float(daily.loc[after, "taw_mm"])
    assert last.used > 0.7 * since["etc_mm"].sum() / available > 2 * since["eta_mm"].sum() / available
    assert last.carried == pytest.approx(last.depletion + last.used)


def test_layers_that_no_probe_reached_are_as_simulated_until_the_roots_are_there() -> None:
    daily = balance.dual(weather(100, 4.0), POTATO, GROUND)
    young = probe.situation(daily, GROUND, on(20), [probe.Reading(on(15), (0.25,), morning=False)])
    assert young.last is not None and 0 < young.last.carried_profile < 1


def advised(folder: Path, earlier_mm: int, later_mm: int) -> Any:
    """Advice of a dry July; water is logged nine days before the reading and four days after it."""
    days = [on(i).isoformat() for i in range(90)]
    rows = "".join(f"{day},12,27,{4 if i < 40 and i % 3 == 0 else 0}\n" for i, day in enumerate(days))
    (folder / "farm.toml").write_text(FARM)
    (folder / "weather.csv").write_text("date,tmin_c,tmax_c,rain_mm\n" + rows)
    (folder / "soil.csv").write_text(
        "bottom_cm,field_capacity,wilting_point,initial\n30,0.30,0.12,0.28\n120,0.32,0.14,0.30\n"
    )
    (folder / "probes.csv").write_text("date,bottom_cm,content\n2026-07-10,30,0.20\n2026-07-10,120,0.29\n")
    given = f"date,depth_mm\n2026-07-01,{earlier_mm}\n2026-07-14,{later_mm}\n"
    (folder / "irrigations.csv").write_text(given)
    line = [Path(sys.executable).parent / "loupe", "irrigate", folder / "farm.toml", "--json"]
    return json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)["zones"][0]


def test_water_before_a_reading_is_in_the_reading_and_changes_no_advice_water_after_it_does(tmp_path: Path) -> None:
    none, much = (advised(tmp_path, mm, 0) for mm in (0, 60))
    # The drying of the surface is carried over a reading; here it is worth less than one part in a hundred.
    assert much["probability"] == pytest.approx(none["probability"], abs=0.01)
    assert much["depletion"] == pytest.approx(none["depletion"], abs=0.01)
    watered = advised(tmp_path, 0, 20)
    assert watered["depletion"][0] < none["depletion"][0] - 0.1
