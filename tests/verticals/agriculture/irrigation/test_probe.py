"""The correction by soil-water readings: what it is before anything is learned, what it learns, what it is worth."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shared.errors import DataError
from verticals.agriculture.irrigation import probe, soil
from verticals.agriculture.irrigation.advice import Rule
from verticals.agriculture.irrigation.agreement import Agreement, agreement
from verticals.agriculture.irrigation.balance import DAYS

COTTON = Path(__file__).resolve().parents[4].parent / "shared/data/agriculture/cotton_irrigation/plots"
FIRST = date(2026, 6, 1)
GROUND = soil.Soil((soil.Layer(50, 0.30, 0.10, 0.30), soil.Layer(100, 0.30, 0.10, 0.30)))


def simulated(days: int = 30, root_m: float = 0.5) -> pd.DataFrame:
    """A root zone of 100 mm per 0.5 m that dries by 2 mm a day."""
    depletion = 2.0 * np.arange(1, days + 1)
    values = {
        "depletion_mm": depletion, "depletion": depletion / 100, "profile_depletion": depletion / 200,
        "taw_mm": 100.0, "raw_mm": 80.0, "profile_taw_mm": 200.0, "root_m": root_m, "eto_mm": 2.0, "etc_mm": 2.0,
        "kcb": 1.0, "ke": 0.0, "irrigation_mm": 0.0, "irrigation_loss_mm": 0.0, "rain_mm": 0.0,
    }  # fmt: skip
    return pd.DataFrame(values, index=pd.Index([FIRST + timedelta(days=i) for i in range(days)], name="date"))


def on(day: int) -> date:
    return FIRST + timedelta(days=day)


def read(day: int, content: float = 0.25, **how: bool) -> probe.Reading:
    return probe.Reading(on(day), (content, content), **how)


def test_before_anything_is_learned_the_balance_goes_on_from_the_reading() -> None:
    where = probe.situation(simulated(), GROUND, on(17), [read(10, morning=False)])
    found = probe.estimate(where, probe.learn([], []))
    assert found.mean == pytest.approx((25 + 7 * 2) / 100)
    assert found.sd == pytest.approx(probe.SPREAD_WITH_READING, rel=1)
    low, high = found.interval()
    assert found.probability(high) == pytest.approx(0.05) and found.probability(low) == pytest.approx(0.95)


def test_without_a_reading_the_simulation_stands_alone_and_is_much_less_sure() -> None:
    unlearned = probe.learn([], [])
    bare = probe.estimate(probe.situation(simulated(), GROUND, on(17)), unlearned)
    probed = probe.estimate(probe.situation(simulated(), GROUND, on(17), [read(10)]), unlearned)
    assert bare.mean == pytest.approx(0.36)
    assert bare.sd > 1.5 * probed.sd


def test_a_morning_reading_stands_for_the_end_of_the_day_before() -> None:
    assert read(10).stands_for == on(9)
    assert read(10, morning=False).stands_for == on(10)
    where = probe.situation(simulated(), GROUND, on(10), [read(10)])
    assert where.last is not None and where.last.age_days == 1


def test_a_later_reading_is_never_looked_at_and_an_old_one_is_not_trusted() -> None:
    later = probe.situation(simulated(), GROUND, on(17), [read(10), read(19)])
    assert later == probe.situation(simulated(), GROUND, on(17), [read(10)])
    stale = [read(10)]
    assert probe.situation(simulated(), GROUND, on(9 + probe.STALEST_DAYS), stale).last is not None
    assert probe.situation(simulated(), GROUND, on(10 + probe.STALEST_DAYS), stale).last is None


def test_a_reading_of_today_is_hardly_corrected_whatever_was_learned_about_weeks() -> None:
    daily = simulated()
    weeks = [probe.situation(daily, GROUND, on(day + 7), [read(day, morning=False)]) for day in range(2, 22)]
    learned = probe.learn(weeks, [0.9] * len(weeks))
    week = probe.estimate(weeks[8], learned)
    today = probe.estimate(probe.situation(daily, GROUND, on(17), [read(17, morning=False)]), learned)
    assert week.mean > 0.75
    assert today.mean == pytest.approx(0.25)
    assert today.sd < week.sd


def test_roots_that_grew_find_the_water_that_the_reading_saw_below_them() -> None:
    daily = simulated()
    daily.loc[on(15) :, ["root_m", "taw_mm"]] = [1.0, 200.0]
    reading = probe.Reading(on(10), (0.20, 0.30), morning=False)
    last = probe.situation(daily, GROUND, on(17), [reading]).last
    assert last is not None
    assert (last.depletion, last.profile) == (pytest.approx(50 / 100), pytest.approx(50 / 200))


def test_a_simulation_that_is_always_too_dry_is_found_out_from_other_plots_the_surer_the_more_there_are() -> None:
    shares = np.tile(np.linspace(0.1, 0.9, 40), 10)
    situations = [probe.Situation(FIRST, simulated=s, simulated_profile=s, available_mm=100) for s in shares]
    dry = replace(situations[0], simulated=0.7, simulated_profile=0.7)
    few, many = (probe.learn(situations[:n], list(0.6 * shares[:n])) for n in (40, 400))
    assert probe.estimate(dry, many).mean == pytest.approx(0.42, abs=0.02)
    assert 0.42 < probe.estimate(dry, few).mean < 0.6
    assert many.without.sd < few.without.sd < 0.6 * probe.SPREAD_WITHOUT
    assert (many.without.pairs, many.with_reading.pairs) == (400, 0)


def days_apart(places: int, days: int, common: float) -> tuple[list[probe.Situation], list[float], np.ndarray]:
    """Places whose simulation errs by 0.05 each, and by ``common`` together on each day."""
    random = np.random.default_rng(3)
    errors = random.normal(0, common, days)
    situations, depletions = [], []
    for day, error in enumerate(errors):
        for share in random.uniform(0.2, 0.8, places):
            situations.append(probe.Situation(on(day), simulated=share, simulated_profile=share, available_mm=100))
            depletions.append(float(share + error + random.normal(0, 0.05)))
    return situations, depletions, errors


def test_what_readings_elsewhere_on_the_same_day_have_in_common_corrects_a_place_that_was_not_read() -> None:
    situations, depletions, errors = days_apart(12, 15, 0.15)
    learned = probe.learn(situations, depletions)
    place = probe.Situation(on(0), simulated=0.5, simulated_profile=0.5, available_mm=100)
    found = [probe.estimate(replace(place, on=on(day)), learned) for day in range(15)]
    off = np.array([state.mean for state in found]) - (0.5 + errors)
    assert np.sqrt(np.mean(off**2)) < 0.04 < 0.1 < np.std(errors)
    assert all(0.03 < state.sd < 0.08 for state in found)
    later = probe.estimate(replace(place, on=on(20)), learned)
    assert later.sd > 0.12 and later.mean == pytest.approx(0.5 + errors.mean(), abs=0.05)


def test_days_without_an_error_of_their_own_correct_nothing_and_one_day_cannot_tell() -> None:
    situations, depletions, _ = days_apart(30, 20, 0.0)
    effects = probe.learn(situations, depletions).without.days.values()
    assert all(abs(day.error) < 0.02 and day.left > 0.9 for day in effects)
    assert probe.learn(situations[:30], depletions[:30]).without.days == {}
    one_each = [replace(s, on=on(i)) for i, s in enumerate(situations[:40])]
    assert probe.learn(one_each, depletions[:40]).without.days == {}


def test_a_day_that_was_not_simulated_and_a_reading_in_per_cent_are_refused() -> None:
    with pytest.raises(DataError, match="2026-08-01 was not simulated; the balance runs from 2026-06-01"):
        probe.situation(simulated(), GROUND, date(2026, 8, 1))
    with pytest.raises(DataError, match="2026-07-10 was not simulated"):
        probe.measured(simulated(), GROUND, read(40))
    with pytest.raises(DataError, match="looks like per cent"):
        probe.situation(simulated(), GROUND, on(17), [read(10, content=25.0)])
    with pytest.raises(DataError, match="measured depletion fraction is 45"):
        probe.learn([probe.situation(simulated(), GROUND, on(17))], [45.0])


def rows_of(path: Path) -> list[list[str]]:
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(("Year-DOY", "Depth")))
    return [line.split() for line in lines[start:] if line.strip()]


def plot(stem: str) -> tuple[pd.DataFrame, soil.Soil, list[probe.Reading]]:
    """A measured plot: its authors' simulation, its soil and its readings."""
    layers = [soil.Layer(int(d), *map(float, rest)) for d, *rest in rows_of(COTTON / f"{stem}.sol")[1:]]
    head, *body = rows_of(COTTON / f"{stem}case00.out")
    columns = {ours: [float(row[head.index(theirs)]) for row in body] for ours, theirs in DAYS.items()}
    index = pd.Index([pd.to_datetime(row[0], format="%Y-%j").date() for row in body], name="date")
    readings = []
    for when, count, *rest in rows_of(COTTON / f"{stem}.sws")[1:]:
        contents = tuple(float(value) for value in rest[int(count) : 2 * int(count)])
        # The file's days are already the day before the probe was read.
        readings.append(probe.Reading(pd.to_datetime(when, format="%Y-%j").date(), contents, morning=False))
    return pd.DataFrame(columns, index=index), soil.Soil(tuple(layers)), readings


def season(positions: range) -> tuple[list[probe.Situation], list[float], list[str]]:
    """Every reading of some positions but the first, as one that nobody has looked at yet."""
    known: list[probe.Situation] = []
    truth: list[float] = []
    names: list[str] = []
    for position in positions:
        for stem in (f"cotton2018p{position:02d}-{repeat}" for repeat in (1, 2, 3, 4)):
            daily, ground, readings = plot(stem)
            before, depletions = probe.pairs(daily, ground, readings)
            known += before
            truth += depletions
            names += [stem] * len(before)
    return known, truth, names


@pytest.mark.skipif(not COTTON.exists(), reason="the cotton season of pyfao56 is not beside the checkout")
def test_on_measured_plots_of_other_positions_the_advice_agrees_better_than_with_the_last_reading_alone() -> None:
    known, truth, _ = season(range(1, 11, 2))
    learned = probe.learn(known, truth)
    judged, measured, names = season(range(2, 11, 2))
    bare = [replace(s, last=None) for s in judged]
    rule, needed = Rule(depletion_limit=0.5), np.array(measured) >= 0.5

    def score(advised: list[bool]) -> Agreement:
        return agreement(np.array(advised), needed, names)

    def ours(situations: list[probe.Situation]) -> Agreement:
        return score([probe.estimate(s, learned).probability(0.5) >= rule.threshold for s in situations])

    carried = score([s.last is not None and s.last.carried >= 0.5 for s in judged])
    alone = score([s.simulated >= 0.5 for s in judged])
    assert ours(judged).kappa.value >= 0.72 > carried.kappa.value
    assert ours(judged).balanced_accuracy.value >= 0.87 > carried.balanced_accuracy.value
    assert ours(bare).kappa.value >= 0.45 > alone.kappa.value
    inside = [low <= y <= high for (low, high), y in zip(
        (probe.estimate(s, learned).interval() for s in judged), measured, strict=True)]  # fmt: skip
    assert 0.85 <= np.mean(inside) <= 0.95
