from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from shared.records import Verdict
from verticals.medical.evidence.readings import Reading
from verticals.medical.evidence.usefulness import (
    REWEIGHTED,
    SIMULATED,
    at_certified_threshold,
    net_benefit,
    prevalence_for,
    work_saved,
)
from verticals.medical.taxonomy import resolve


def pictures(truths: str, risks: list[float | None], *, lesions: str = "", arrived: bool = True) -> list[Reading]:
    """One picture per letter: m is a melanoma, n a nevus; the same letter of ``lesions`` is the same lesion."""
    return [
        Reading(
            image=str(i),
            truth=resolve("mel" if letter == "m" else "nv"),
            verdict=Verdict.NOT_EXAMINED if risk is None else Verdict.FLAG,
            risk=risk,
            lesion=lesions[i] if lesions else str(i),
            patient=lesions[i] if lesions else str(i),
            arrived=float(i) if arrived else None,
        )
        for i, (letter, risk) in enumerate(zip(truths, risks, strict=True))
    ]


def test_net_benefit_is_that_of_dcurves() -> None:
    dcurves = pytest.importorskip("dcurves")
    rng = np.random.default_rng(1)
    truth = rng.random(500) < 0.2
    risk = np.clip(rng.beta(1 + 4 * truth, 5), 0.001, 0.999)
    thresholds = [0.02, 0.05, 0.1, 0.2, 0.3]
    table = pd.DataFrame({"truth": truth.astype(int), "risk": risk})
    theirs = dcurves.dca(table, "truth", ["risk"], thresholds=thresholds)
    for ours in net_benefit(truth, risk, [""] * 500, thresholds):
        row = theirs[np.isclose(theirs["threshold"], ours["threshold"])].set_index("model")["net_benefit"]
        assert ours["model"] == pytest.approx(row["risk"], abs=1e-6)
        assert ours["all"] == pytest.approx(row["all"], abs=1e-6) and ours["none"] == row["none"] == 0
        assert ours["low"] < ours["model"] < ours["high"]


def test_work_saved_is_counted_by_hand() -> None:
    """Two melanomas arrive as the 5th and 10th picture; the model shows them as the 1st and 2nd."""
    found = work_saved(pictures("nnnnmnnnnm", [0.1] * 4 + [0.9] + [0.1] * 4 + [0.8]))
    assert found["arrival"] == 10 and found["model"] == 2 and found["ratio"] == 5
    assert found["lesions"] == 2 and found["n"] == 10 and found["order"] == "order of arrival"
    assert found["label"] == SIMULATED and "not measured reading time" in SIMULATED


def test_a_lesion_is_met_with_its_first_picture() -> None:
    found = work_saved(pictures("mmnnm", [0.2, 0.9, 0.8, 0.7, 0.1], lesions="aabcd"))
    # By the model: a with the 1st picture, d with the last; by arrival: a with the 1st, d with the 5th.
    assert found["lesions"] == 2 and found["model"] == 5 and found["arrival"] == 5


def test_what_has_no_score_is_opened_first_and_is_no_saving() -> None:
    found = work_saved(pictures("nnnm", [None, None, 0.1, 0.9]))
    assert found["model"] == 3 and found["arrival"] == 4


def test_of_twenty_lesions_the_last_need_not_be_met() -> None:
    found = work_saved(pictures("m" * 20 + "n" * 80, [0.9] * 19 + [0.0] + [0.1] * 80))
    assert found["model"] == 19 and found["arrival"] == 19


def test_a_model_that_knows_nothing_saves_nothing() -> None:
    rng = np.random.default_rng(0)
    truths = "".join("m" if t else "n" for t in rng.random(600) < 0.1)
    found = work_saved(pictures(truths, rng.random(600).tolist(), arrived=False))
    assert found["low"] < 1.0 < found["high"] and "random orders" in found["order"]


def test_a_good_model_saves_what_the_interval_says() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(600) < 0.1
    risks = (1 / (1 + np.exp(-rng.normal(np.where(truth, 2.5, -1.5), 1.0)))).tolist()
    found = work_saved(pictures("".join("m" if t else "n" for t in truth), risks, arrived=False))
    assert 1.5 < found["low"] < found["ratio"] < found["high"]


def test_without_anything_to_find_no_ratio_is_made_up() -> None:
    assert work_saved(pictures("nn", [0.1, 0.2]))["ratio"] is None and work_saved([])["ratio"] is None


def test_a_simulated_prevalence_is_that_of_copies_of_the_pictures() -> None:
    rng = np.random.default_rng(2)
    risks = [*rng.beta(4, 2, 40).tolist(), *rng.beta(2, 4, 40).tolist()]
    few = pictures("m" * 40 + "n" * 40, risks, arrived=False)
    copies = [
        *few[:40],
        *(replace(r, image=f"{r.image}-{k}", lesion=f"{r.lesion}-{k}") for r in few[40:] for k in range(19)),
    ]
    simulated, counted = work_saved(few, prevalence=0.05), work_saved(copies)
    assert counted["prevalence"] == pytest.approx(0.05) and REWEIGHTED in simulated["label"]
    assert simulated["model"] / 80 == pytest.approx(counted["model"] / 800, rel=0.02)
    assert simulated["ratio"] == pytest.approx(counted["ratio"], rel=0.05)
    assert work_saved(pictures("mm", [0.1, 0.2]), prevalence=0.05)["ratio"] is None
    flagged = [replace(r, threshold=0.4) for r in few], [replace(r, threshold=0.4) for r in copies]
    one, all_of_them = (at_certified_threshold(own, [0.05])["work_saved"] for own in flagged)
    assert one[1]["ratio"] == pytest.approx(all_of_them[0]["ratio"], abs=1e-9)


def test_the_certified_threshold_is_counted_by_hand() -> None:
    """Of lesions a to d the melanomas are a and b; a is found by its second picture, one picture has no score."""
    risks = [0.1, 0.7, 0.2, 0.6, None, 0.1]
    own = [replace(r, threshold=0.5) for r in pictures("mmmnnn", risks, lesions="aabcde")]
    found = at_certified_threshold(own, [0.01])
    assert found["sensitivity"]["value"] == 0.5 and found["sensitivity"]["n"] == 2
    assert found["specificity"]["value"] == pytest.approx(1 / 3)  # what has no score is not spared
    here, screening = found["work_saved"]
    assert here["opened"] == 3 and here["ratio"] == 2 and here["low"] <= 2 <= here["high"]
    assert screening["ratio"] == pytest.approx(1 / (0.01 / 3 + 0.99 * 2 / 3)) and REWEIGHTED in screening["label"]
    assert "2 thresholds" in at_certified_threshold([*own, replace(own[0], threshold=0.4)])["refused"]
    assert "no threshold is certified" in at_certified_threshold(pictures("mn", [0.1, 0.2]))["refused"]


def test_the_prevalence_for_a_third_of_the_work_is_where_a_third_is_opened() -> None:
    truth = np.array([True] * 10 + [False] * 10)
    opened = np.array([True] * 9 + [False] + [True] * 2 + [False] * 8)
    share = prevalence_for(truth, opened)
    assert share is not None and share * 0.9 + (1 - share) * 0.2 == pytest.approx(1 / 3)
    assert prevalence_for(truth, np.array([True] * 14 + [False] * 6)) is None  # 4 of 10 harmless ones are opened
    assert prevalence_for(truth, ~truth & False) == 1.0 and prevalence_for(truth[:10], opened[:10]) is None
