"""The daily balance: against pyfao56's own season, against the books of water, and against wrong inputs."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shared.errors import DataError
from verticals.agriculture.irrigation import balance, crops, soil
from verticals.agriculture.irrigation.weather import Station, Weather

pyfao56 = pytest.importorskip("pyfao56")

COTTON = Path(__file__).resolve().parents[4].parent / "shared/data/agriculture/cotton_irrigation"
FIRST = date(2026, 4, 1)
GROUND = soil.Soil(tuple(soil.Layer(depth, 0.30, 0.12, 0.28) for depth in (30, 60, 100, 200)))
METHODS = (balance.dual, balance.single)
MAIZE = balance.plant(crops.crop("maize-grain"), on=FIRST)


def weather(days: int = 150, **changes: float) -> Weather:
    rng = np.random.default_rng(3)
    rain = np.where(rng.random(days) < 0.15, rng.gamma(1, 12, days), 0)
    values = {"eto_mm": rng.uniform(2, 7, days), "rain_mm": rain, "tmax_c": 25.0, "tmin_c": 12.0, "rhmin_pct": 45.0,
              "wind2m_m_s": 2.0}  # fmt: skip
    index = pd.Index([FIRST + timedelta(days=i) for i in range(days)], name="date")
    return Weather(Station(45, 100), pd.DataFrame(values | changes, index=index))


def day(key: str) -> date:
    return datetime.strptime(key, "%Y-%j").date()


def cotton_weather() -> Weather:
    read = pyfao56.Weather(str(COTTON / "cotton2018.wth"))
    names = {"ETref": "eto_mm", "Rain": "rain_mm", "Tmax": "tmax_c", "Tmin": "tmin_c", "RHmin": "rhmin_pct"}
    days = read.wdata.rename(columns=names)[list(names.values())].astype(float)
    days["wind2m_m_s"] = read.wdata["Wndsp"].to_numpy(float) * 4.87 / np.log(67.8 * read.wndht - 5.42)
    return Weather(Station(read.lat, read.z), days.set_axis(pd.Index([day(key) for key in days.index], name="date")))


def cotton_plot(name: str) -> tuple[balance.Planting, soil.Soil, list[balance.Event]]:
    stem, par = str(COTTON / "plots" / f"cotton2018{name}"), pyfao56.Parameters()
    par.loadfile(stem + ".par")
    rows = pyfao56.SoilProfile(stem + ".sol").sdata
    layers = [soil.Layer(int(depth), *row) for depth, row in zip(rows.index, rows.to_numpy(), strict=True)]
    planting = balance.Planting(
        day("2018-108"), (par.Lini, par.Ldev, par.Lmid, par.Lend), (par.Kcmini, par.Kcmmid, par.Kcmend),
        (par.Kcbini, par.Kcbmid, par.Kcbend), (par.hini, par.hmax), (par.Zrini, par.Zrmax), par.pbase,
    )  # fmt: skip
    given = pd.read_csv(COTTON / "irrigation.csv")
    events = [
        balance.Event(day(f"{year}-{doy}"), depth)
        for year, doy, depth in zip(given["Year"], given["DOY"], given[name], strict=True)
    ]
    return planting, soil.Soil(tuple(layers), par.Ze, par.REW), events


@pytest.mark.skipif(not COTTON.exists(), reason="the cotton season of pyfao56 is not beside the checkout")
@pytest.mark.parametrize("name", ["p04-3"])
def test_a_measured_season_is_simulated_as_its_authors_did_within_a_tenth_of_a_millimetre(name) -> None:
    lines = (COTTON / "plots" / f"cotton2018{name}case00.out").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Year-DOY"))
    column = lines[start].split().index("Dr")
    theirs = np.array([float(line.split()[column]) for line in lines[start + 1 :] if line.strip()])
    ours = balance.dual(cotton_weather(), *cotton_plot(name))["depletion_mm"].to_numpy()
    assert len(ours) == len(theirs) == 196
    assert np.mean(np.abs(ours - theirs) <= 0.1) >= 0.995


@pytest.mark.parametrize("method", METHODS)
def test_no_water_is_lost_or_made_over_a_season(method) -> None:
    events = [balance.Event(FIRST + timedelta(days=d), 60, efficiency=0.8) for d in (40, 41, 90)]
    full = replace(MAIZE, root_m=(1.0, 1.0))
    found = method(weather(), full, GROUND, events)
    start = soil.depletion(GROUND, [0.28] * 4, 1.0)
    given = found["rain_mm"].sum() + 0.8 * 180
    change = found["eta_mm"].sum() + found["percolation_mm"].sum() - given
    assert found["depletion_mm"].iloc[-1] == pytest.approx(start + change, abs=1e-6)
    assert found["percolation_mm"].sum() > 0


def test_both_methods_agree_about_how_dry_a_season_without_water_becomes() -> None:
    dry = weather(rain_mm=0.0)
    two = [method(dry, MAIZE, GROUND)["depletion"] for method in METHODS]
    assert all(0.8 < found.iloc[-1] <= 1 for found in two)
    assert abs(two[0] - two[1]).iloc[40:].mean() < 0.1


def test_stress_begins_where_the_readily_available_water_ends() -> None:
    found = balance.single(weather(rain_mm=0.0), replace(MAIZE, root_m=(1.0, 1.0)), GROUND)
    before = found["depletion_mm"].shift(1).iloc[1:]
    stressed = found["ks"].iloc[1:] < 1
    assert (stressed == (before > found["raw_mm"].iloc[1:])).all()
    assert stressed.any() and not stressed.iloc[0]


def test_every_crop_of_the_tables_can_be_planted_everywhere_and_a_season_may_cross_the_new_year() -> None:
    for name in crops.names():
        for where in range(len(crops.crop(name).lengths)):
            assert balance.plant(crops.crop(name), on=FIRST, where=where).lengths
    sky = weather(60)
    sky.days.index = pd.Index([date(2026, 12, 1) + timedelta(days=i) for i in range(60)], name="date")
    given = [balance.Event(date(2027, 1, 5), 20)]
    found = [method(sky, replace(MAIZE, planted=date(2026, 12, 1)), GROUND, given) for method in METHODS]
    assert all(season.at[date(2027, 1, 5), "irrigation_mm"] == 20 and len(season) == 60 for season in found)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: balance.dual(weather(50), replace(MAIZE, planted=date(2026, 3, 1)), GROUND), "give weather for every"),
        (
            lambda: balance.dual(weather(), MAIZE, GROUND, last=date(2026, 3, 20)),
            "planted on 2026-04-01, after 2026-03-20.*planted",
        ),
        (lambda: balance.dual(weather(), MAIZE, soil.Soil(GROUND.layers[:2])), "0.6 m deep, the roots reach 1 m"),
        (
            lambda: balance.dual(weather(), MAIZE, GROUND, [balance.Event(date(2027, 1, 1), 20)]),
            "irrigation on 2027-01-01 is outside",
        ),
        (lambda: balance.dual(weather(), MAIZE, GROUND, [balance.Event(FIRST, 20)] * 2), "is there twice"),
        (lambda: balance.Event(FIRST, 20, efficiency=85), "give a fraction, not per cent"),
        (lambda: balance.Event(FIRST, -5), "allowed: 0 to 500 mm"),
        (lambda: replace(MAIZE, root_m=(0.2, 120.0)), "looks like centimetres"),
        (lambda: replace(MAIZE, kcb=(1.15, 0.15, 0.15)), "give initial, mid-season, end"),
        (lambda: replace(MAIZE, p=55), "depletion fraction p is 55"),
    ],
)
def test_what_pyfao56_would_take_without_a_word_is_refused_before_it(call, sentence) -> None:
    with pytest.raises(DataError, match=sentence):
        call()
