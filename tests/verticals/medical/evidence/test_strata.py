from dataclasses import replace

import numpy as np
import pytest

from shared.records import Verdict
from verticals.medical.evidence.readings import Lesion
from verticals.medical.evidence.strata import by_strata
from verticals.medical.taxonomy import resolve

pytest.importorskip("fairlearn")


def cohort(tone: str, malignant: int, found: int, others: int, alarms: int) -> list[Lesion]:
    """Lesions of one skin tone with so many found and so many false alarms."""
    rng = np.random.default_rng(len(tone))
    return [
        Lesion(
            f"{tone} {i}",
            f"{tone} {i}",
            resolve("mel" if i < malignant else "nv"),
            float(rng.uniform(0.5, 1) if i < malignant else rng.uniform(0, 0.6)),
            Verdict.FLAG if i < found or malignant <= i < malignant + alarms else Verdict.PASS,
            {"skin tone": tone} if tone else {},
        )
        for i in range(malignant + others)
    ]


LESIONS = [
    *cohort("I-II", 40, 38, 100, 20),
    *cohort("III-IV", 30, 27, 60, 15),
    *cohort("V-VI", 12, 6, 50, 25),
    *cohort("", 5, 5, 5, 0),
]


def test_rates_stand_by_stratum_and_small_ones_are_hidden_with_the_reason() -> None:
    found = by_strata(LESIONS)
    assert list(found) == ["skin tone"] and found["skin tone"]["unknown"] == 10
    groups = found["skin tone"]["groups"]
    assert groups["I-II"]["sensitivity"]["value"] == pytest.approx(0.95) and groups["I-II"]["n"] == 140
    assert groups["I-II"]["specificity"]["value"] == pytest.approx(0.8)
    assert groups["III-IV"]["sensitivity"]["n"] == 30 and groups["I-II"]["auc"]["value"] > 0.9
    assert groups["V-VI"]["sensitivity"] == {"hidden": "n = 12 malignant lesions, at least 30 are needed", "n": 12}
    assert groups["V-VI"]["specificity"]["value"] == pytest.approx(0.5)
    low, high = groups["I-II"]["sensitivity"]["low"], groups["I-II"]["sensitivity"]["high"]
    assert low < 0.95 < high


def test_what_was_not_examined_is_in_no_stratum_found_or_spared() -> None:
    """Where the gate refuses many pictures of dark skin, that must not look like a good specificity there."""
    seen = [*cohort("I-II", 40, 38, 100, 20), *cohort("V-VI", 40, 38, 100, 20)]
    dark = [i for i, lesion in enumerate(seen) if lesion.strata["skin tone"] == "V-VI"]
    for i in (*dark[:8], *dark[-30:]):
        seen[i] = replace(seen[i], risk=None, verdict=Verdict.NOT_EXAMINED)
    found = by_strata(seen)["skin tone"]
    assert found["groups"]["V-VI"]["sensitivity"]["value"] == pytest.approx(30 / 40)
    assert found["groups"]["V-VI"]["specificity"]["value"] == pytest.approx(50 / 100)
    assert found["gap"]["specificity"]["value"] == pytest.approx(0.3)


def test_the_gap_is_that_of_fairlearn_over_the_strata_shown() -> None:
    gap = by_strata(LESIONS)["skin tone"]["gap"]
    assert gap["sensitivity"]["value"] == pytest.approx(0.95 - 0.9) and gap["specificity"]["value"] == pytest.approx(
        0.3
    )
    assert gap["specificity"]["low"] < 0.3 < gap["specificity"]["high"]


def test_one_stratum_is_compared_with_nothing() -> None:
    gap = by_strata(cohort("I-II", 40, 38, 100, 20))["skin tone"]["gap"]
    assert gap["sensitivity"]["hidden"].startswith("1 strata are large enough")


def test_a_stratum_too_small_as_a_whole_shows_no_number_at_all() -> None:
    group = by_strata(cohort("I-II", 10, 9, 19, 2))["skin tone"]["groups"]["I-II"]
    assert group["n"] == 29 and all("hidden" in group[name] for name in ("sensitivity", "specificity", "auc"))


def test_nothing_known_of_any_lesion_is_no_stratum() -> None:
    assert by_strata(cohort("", 40, 38, 40, 2)) == {}


def test_a_gap_of_nothing_is_not_called_certain() -> None:
    faultless = [*cohort("I-II", 40, 40, 40, 0), *cohort("V-VI", 30, 30, 40, 0)]
    gap = by_strata(faultless)["skin tone"]["gap"]["sensitivity"]
    assert gap["value"] == 0 and gap["high"] == pytest.approx(1 - 0.025 ** (1 / 30))
