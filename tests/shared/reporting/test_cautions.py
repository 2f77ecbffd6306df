from typing import Any

import pytest

from shared.reporting.cautions import cautions, unmeasured

GOOD: dict[str, Any] = {
    "vertical": "industrial",
    "backbone": {"note": ""},
    "certificate": {"wanted_recall": 0.98, "more_needed": 0},
    "data": {"labels": {"ok": 200, "rust": 200}, "split": {"leaked_after": 0.0, "unmeasured": []}},
    "used_images": 400,
    "test": {
        "n": 80,
        "groups": 80,
        "per_label": {"ok": {"n": 40}, "rust": {"n": 40}},
        "reliability": [{"confidence": 0.9, "accuracy": 0.9, "low": 0.8, "high": 1.0, "n": 80}],
    },
}


def test_a_sound_build_needs_no_caution() -> None:
    assert cautions(GOOD) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vertical": "medical"}, "Not a diagnosis"),
        ({"backbone": {"note": "RANDOMLY INITIALISED"}}, "RANDOMLY"),
        ({"certificate": {"wanted_recall": 0.98, "more_needed": 1}}, "98.0 % is not certified: it takes 1 more indep"),
        ({"test": {"n": 0}}, "nothing was measured"),
        ({"test": {**GOOD["test"], "groups": 29}}, "only 29 independent groups"),
        ({"test": {**GOOD["test"], "per_label": {"ok": {"n": 0}}}}, "No recall can be stated for 'ok'"),
        ({"data": {**GOOD["data"], "split": {"leaked_after": 0.1}}}, "10.0 % of the test images share"),
        ({"used_images": 399}, "399 of 400"),
        (
            {"left_out": [*(f"{i}.jpg: label 'rusty' is unknown" for i in range(60)), "a.png: is empty"]},
            "61 left out (60 times: label 'rusty' is unknown; 1 times: is empty): whatever",
        ),
        ({"notes": ["SYNTHETIC image"]}, "SYNTHETIC"),
    ],
)
def test_each_weakness_is_one_sentence(change: dict[str, Any], said: str) -> None:
    (sentence,) = cautions({**GOOD, **change})
    assert said in sentence


def test_a_gap_that_chance_explains_is_no_caution_and_a_larger_one_is() -> None:
    def with_bins(n: int) -> list[str]:
        bins = [{"confidence": 0.9, "accuracy": 0.8, "low": 0.0, "high": 1.0, "n": n}]
        return cautions({**GOOD, "test": {**GOOD["test"], "reliability": bins}})

    assert with_bins(10) == []
    (sentence,) = with_bins(1000)
    assert "off by 10.0 %" in sentence


def test_a_long_list_of_labels_is_cut_and_counted() -> None:
    per_label = {f"label {i:02}": {"n": 0} for i in range(40)}
    given = {**GOOD, "test": {**GOOD["test"], "per_label": per_label}}
    (sentence,) = cautions(given)
    assert "'label 11' and 28 more labels" in sentence and len(unmeasured(given)) == 40
