import numpy as np
import pytest
from scipy.stats import beta

from shared.records import Verdict
from verticals.medical.evidence.detection import detection_rate, early_sensitivity, number_needed_to_refer, patient_rate
from verticals.medical.evidence.readings import Lesion, Reading, lesions
from verticals.medical.taxonomy import resolve

PASS, FLAG, NOT_EXAMINED = Verdict.PASS, Verdict.FLAG, Verdict.NOT_EXAMINED


def picture(name: str, lesion: str, patient: str, verdict: Verdict, risk: float | None, truth: str = "mel") -> Reading:
    return Reading(name, resolve(truth), verdict, risk, lesion=lesion, patient=patient)


def lesion(i: int, verdict: Verdict, truth: str = "mel", patient: str = "", **sizes: float) -> Lesion:
    return Lesion(f"l{i}", patient or f"p{i}", resolve(truth), None, verdict, **sizes)


def test_a_lesion_is_found_with_any_of_its_pictures_and_its_risk_is_the_greatest() -> None:
    found = lesions(
        [
            picture("1", "a", "p", PASS, 0.1),
            picture("2", "a", "p", FLAG, 0.7),
            picture("3", "a", "p", NOT_EXAMINED, None),
            picture("4", "b", "p", PASS, 0.2, "nv"),
            picture("5", "b", "p", PASS, 0.05, "blue nevus"),
            picture("6", "", "", NOT_EXAMINED, None),
        ]
    )
    assert [(x.name, x.verdict, x.risk) for x in found] == [
        ("picture 1", FLAG, 0.7),
        ("picture 4", PASS, 0.2),
        ("picture 6", NOT_EXAMINED, None),
    ]
    assert found[1].truth.code == "NEVUS-BLUE" and found[2].patient == "picture 6"


def test_a_lesion_of_which_a_picture_was_not_examined_did_not_pass() -> None:
    (found,) = lesions([picture("1", "a", "p", PASS, 0.1), picture("2", "a", "p", NOT_EXAMINED, None)])
    assert found.verdict is NOT_EXAMINED and not found.flagged


def test_the_detection_rate_has_clopper_and_pearsons_interval_in_closed_form() -> None:
    own = [lesion(i, FLAG if i < 57 else PASS if i < 59 else NOT_EXAMINED) for i in range(60)]
    found = detection_rate(own)
    assert found["value"] == 57 / 60 and found["n"] == 60 and found["passed"] == 2 and found["not_examined"] == 1
    assert found["low"] == pytest.approx(beta.ppf(0.025, 57, 4), abs=1e-9)
    assert found["high"] == pytest.approx(beta.ppf(0.975, 58, 3), abs=1e-9)


def test_its_bootstrap_counts_patients() -> None:
    """Ten patients of whom nine were found with all their lesions: the lesions prove no more than the patients."""
    clustered = [lesion(10 * i + j, PASS if i == 0 else FLAG, patient=f"p{i}") for i in range(10) for j in range(10)]
    found = detection_rate(clustered)
    assert found["patients"] == 10 and found["low"] < 0.6 and found["n"] == 100
    assert found["bootstrap_low"] == pytest.approx(0.7) and found["bootstrap_high"] == 1.0
    alone = detection_rate([lesion(i, PASS if i < 10 else FLAG) for i in range(100)])
    assert alone["bootstrap_low"] > 0.8


def test_one_patient_has_no_resampled_interval() -> None:
    own = [lesion(i, FLAG if i % 3 else PASS, "mel" if i % 2 else "nv", patient="p") for i in range(30)]
    found = number_needed_to_refer(own)
    assert found["referrals"] == pytest.approx(2.0) and found["low"] is None and found["high"] is None
    assert detection_rate(own)["bootstrap_low"] is None and detection_rate(own)["low"] == 0


def test_many_lesions_of_two_faultless_patients_prove_no_more_than_two_patients() -> None:
    own = [lesion(i, FLAG, patient=f"p{i % 2}", diameter_mm=5.0) for i in range(40)]
    assert detection_rate(own)["low"] == pytest.approx(0.025 ** (1 / 2))
    assert early_sensitivity(own)["malignant lesion below 6 mm in diameter"]["low"] == pytest.approx(0.025 ** (1 / 2))


def test_a_bootstrap_that_cannot_vary_is_not_shown() -> None:
    found = detection_rate([lesion(i, FLAG) for i in range(30)])
    assert found["bootstrap_low"] is None and found["low"] == pytest.approx(0.025 ** (1 / 30))
    assert detection_rate([])["value"] is None


def test_a_patient_is_found_with_any_of_the_lesions_that_must_not_be_missed() -> None:
    own = [lesion(0, FLAG, patient="a"), lesion(1, PASS, patient="a"), lesion(2, PASS, patient="b")]
    assert patient_rate(own).value == 0.5 and patient_rate(own).n == 2


def test_early_lesions_are_counted_by_stratum_and_refused_under_twenty() -> None:
    in_situ = [lesion(i, FLAG if i < 18 else PASS, "melanoma in situ") for i in range(20)]
    thin = [lesion(100 + i, FLAG, thickness_mm=0.8) for i in range(19)]
    thick = [lesion(200 + i, FLAG, thickness_mm=0.81) for i in range(30)]
    small = [lesion(300 + i, PASS if i else FLAG, "bcc", diameter_mm=5.9) for i in range(25)]
    other = [lesion(400 + i, FLAG, "ak", diameter_mm=3.0) for i in range(25)] + [
        lesion(500, FLAG, "bcc", diameter_mm=6.0)
    ]
    found = early_sensitivity([*in_situ, *thin, *thick, *small, *other])
    assert found["melanoma in situ"]["value"] == 0.9 and found["melanoma in situ"]["n"] == 20
    assert found["melanoma up to 0.8 mm thick"]["value"] is None
    assert "n = 19, at least 20" in found["melanoma up to 0.8 mm thick"]["refused"]
    assert found["malignant lesion below 6 mm in diameter"]["n"] == 25
    assert found["malignant lesion below 6 mm in diameter"]["value"] == pytest.approx(1 / 25)


def study() -> list[Lesion]:
    """100 lesions: 20 malignant of which 18 are flagged, 80 others of which 24 are."""
    grave = [lesion(i, FLAG if i < 18 else PASS) for i in range(20)]
    return grave + [lesion(100 + i, FLAG if i < 24 else PASS, "nv") for i in range(80)]


def test_referrals_per_finding_at_the_prevalence_of_the_study_and_of_the_clinic() -> None:
    here = number_needed_to_refer(study())
    assert here["referrals"] == pytest.approx(42 / 18) and here["prevalence"] == 0.2 and here["n"] == 100
    there = number_needed_to_refer(study(), prevalence=0.02)
    ppv = 0.9 * 0.02 / (0.9 * 0.02 + 0.3 * 0.98)
    assert there["referrals"] == pytest.approx(1 / ppv)
    assert here["low"] < here["referrals"] < here["high"]  # type: ignore[operator]
    same = number_needed_to_refer(study(), prevalence=0.2)
    assert same["referrals"] == pytest.approx(here["referrals"])


def test_without_a_true_finding_no_number_is_made_up() -> None:
    assert number_needed_to_refer([lesion(0, FLAG, "nv")])["referrals"] is None
    assert number_needed_to_refer([], prevalence=0.1)["referrals"] is None


def test_the_interval_of_referrals_covers_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(60):
        truth = rng.random(250) < 0.2
        flagged = rng.random(250) < np.where(truth, 0.9, 0.3)
        own = [
            lesion(i, FLAG if f else PASS, "mel" if t else "nv")
            for i, (t, f) in enumerate(zip(truth, flagged, strict=True))
        ]
        found = number_needed_to_refer(own, prevalence=0.05)
        true = (0.9 * 0.05 + 0.3 * 0.95) / (0.9 * 0.05)
        hits += found["low"] <= true <= found["high"]  # type: ignore[operator]
    assert hits >= 53  # 95 % of 60 less three deviations
