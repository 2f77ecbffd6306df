"""Advice: the depth, the confidence, what bounds them, and NOT ASSESSED."""

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from shared.errors import DataError
from verticals.agriculture.irrigation import advice, probe, soil

ON = date(2026, 7, 1)
UNLEARNED = probe.learn([], [])
SYSTEM = advice.System(efficiency=0.8, least_mm=5, most_mm=40)
RULE = advice.Rule(depletion_limit=0.5)
LAST = probe.Last(
    depletion=0.5, profile=0.5, carried=0.6, carried_profile=0.5, used=0.3, given=0.2, age_days=7
)  # fmt: skip
DRY = probe.Situation(ON, simulated=0.6, simulated_profile=0.5, available_mm=50, last=LAST)


def advise(where: probe.Situation = DRY, **changes: object) -> advice.Advice:
    return advice.advise("7", where, UNLEARNED, **({"system": SYSTEM, "rule": RULE} | changes))  # type: ignore[arg-type]


def test_a_dry_zone_gets_back_what_it_lacks_over_the_efficiency_of_the_system() -> None:
    found = advise()
    assert found.answer is advice.Answer.IRRIGATE
    assert found.depth_mm == pytest.approx(0.6 * 50 / 0.8)
    assert found.confidence == found.probability > 0.7
    assert found.depletion[0] < 0.6 < found.depletion[1]
    assert "depletion 60% of 50 mm" in found.reason


def test_a_moist_zone_waits_and_is_as_confident_as_it_is_far_from_the_limit() -> None:
    moist, nearer = (advise(replace(DRY, last=replace(LAST, carried=share))) for share in (0.1, 0.4))
    assert moist.answer is nearer.answer is advice.Answer.WAIT
    assert moist.depth_mm == 0
    assert moist.confidence > nearer.confidence > 0.6


def test_the_dearer_a_missed_irrigation_the_earlier_water_is_given() -> None:
    doubtful = replace(DRY, last=replace(LAST, carried=0.45))
    assert advise(doubtful).answer is advice.Answer.WAIT
    careful = replace(RULE, cost_missed=4.0)
    assert careful.threshold == pytest.approx(0.2)
    assert advise(doubtful, rule=careful).answer is advice.Answer.IRRIGATE


def test_rain_that_is_coming_lessens_the_depth_and_may_spare_it() -> None:
    assert advise(forecast_rain_mm=10).depth_mm == pytest.approx((30 - 10) / 0.8)
    spared = advise(forecast_rain_mm=28)
    assert spared.answer is advice.Answer.WAIT
    assert "28 mm of rain are forecast" in spared.reason and "least depth" in spared.reason


def test_the_system_s_greatest_depth_is_not_exceeded_and_the_rest_is_said() -> None:
    found = advise(replace(DRY, available_mm=150))
    assert found.depth_mm == 40
    assert "at most 40 mm of 112 mm: go on the next day" in found.reason


def test_without_a_probe_the_same_depletion_is_less_sure_and_says_so() -> None:
    bare = advise(replace(DRY, last=None))
    assert bare.probability < advise().probability
    assert bare.depletion[1] - bare.depletion[0] > 0.7
    assert advice.NO_PROBE in bare.reason and advice.NO_PROBE not in advise().reason


def test_no_more_than_the_available_water_is_said_to_be_missing_and_never_less_than_none() -> None:
    parched, soaked = (advise(replace(DRY, last=replace(LAST, carried=share))) for share in (0.98, 0.02))
    assert parched.depletion[1] == 1 and soaked.depletion[0] == 0
    assert "to 100%)" in parched.reason and "interval 0% to" in soaked.reason
    assert all(advice.AT_THE_ENDS in found.reason for found in (parched, soaked))
    assert advice.AT_THE_ENDS not in advise().reason
    beyond = advise(replace(DRY, available_mm=20, last=None, simulated=1.2))
    assert beyond.depth_mm == pytest.approx(20 / 0.8)


def test_a_zone_without_data_is_not_assessed_with_the_reason_and_never_told_to_wait() -> None:
    def broken() -> pd.DataFrame:
        raise DataError("weather.csv: no temperature or rain from 2026-06-01 to 2026-06-09 (9 days)")

    ground = soil.Soil((soil.Layer(100, 0.3, 0.1, 0.2),))
    found = advice.advise_zone("7", ON, broken, ground, [], UNLEARNED, system=SYSTEM, rule=RULE)
    assert found.answer is advice.Answer.NOT_ASSESSED
    assert (found.confidence, found.probability, found.depletion) == (None, None, None)
    assert found.reason.startswith("NOT ASSESSED: weather.csv: no temperature or rain from 2026-06-01")


def test_per_cent_for_fractions_are_refused_and_a_gain_in_yield_is_not_claimed() -> None:
    with pytest.raises(DataError, match="give a fraction, not per cent"):
        advice.System(efficiency=85)
    with pytest.raises(DataError, match="give a fraction, not per cent"):
        advice.Rule(depletion_limit=50)
    with pytest.raises(DataError, match="forecast rain is -1"):
        advise(forecast_rain_mm=-1)
    assert advice.NOT_CLAIMED.startswith("Not claimed: a gain in yield")
