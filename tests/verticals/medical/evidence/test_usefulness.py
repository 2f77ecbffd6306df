import numpy as np
import pandas as pd
import pytest

from shared.records import Verdict
from verticals.medical.evidence.readings import Reading
from verticals.medical.evidence.usefulness import SIMULATED, net_benefit, work_saved
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
