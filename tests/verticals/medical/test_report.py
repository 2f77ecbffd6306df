import json
from pathlib import Path

import pytest

from shared.records import Action, Decision, Finding, Review, Verdict
from shared.reporting.page import write_page
from verticals.medical.report import report
from verticals.medical.triage import DISCLAIMER


def decided(frame: str, verdict: Verdict, risk: float, label: str = "MEL") -> Decision:
    found = () if verdict is Verdict.NOT_EXAMINED else (Finding(frame, label, risk, risk),)
    return Decision(frame, verdict, ("why",), found)


def known(frame: str, label: str) -> Finding:
    return Finding(frame, label, 1.0, 1.0)


DECISIONS = [
    *(decided(f"m{i}", Verdict.FLAG if i < 8 else Verdict.PASS, 0.9 - 0.1 * i) for i in range(9)),
    decided("m9", Verdict.NOT_EXAMINED, 0.0),
    *(decided(f"n{i}", Verdict.PASS if i < 15 else Verdict.FLAG, 0.02 * i, "NEVUS") for i in range(20)),
    decided("nobody knows", Verdict.FLAG, 0.5),
]
TRUTH = [*(known(f"m{i}", "mel") for i in range(10)), *(known(f"n{i}", "nv") for i in range(20)), known("gone", "bcc")]


def test_recall_counts_what_was_flagged_and_what_was_not_answered_is_missed() -> None:
    facts = report(DECISIONS, TRUTH, [])
    assert facts["lesion_detection_rate"]["value"] == pytest.approx(8 / 11) and facts["without_answer"] == ["gone"]
    assert facts["escapes"]["value"] == pytest.approx(1 / 11) and facts["escapes"]["n"] == 11
    assert facts["specificity"]["value"] == 0.75 and facts["detection_by_kind"]["melanoma"]["n"] == 10
    assert facts["not_examined"]["value"] == pytest.approx(1 / 31) and facts["without_truth"] == 1
    assert facts["named_right"]["value"] == 1.0 and facts["named_right"]["n"] == 13
    assert facts["pictures"] == {"pass": 16, "flag": 14, "not_examined": 1}
    assert facts["auc"]["n"] == 29 and facts["auc"]["value"] == pytest.approx(150 / 180)


def test_numbers_that_are_no_shares_are_sentences() -> None:
    facts = report(DECISIONS, TRUTH, [])
    assert facts["number_needed_to_refer"]["at a prevalence of 35.5%"].startswith("1.62 [")
    assert next(iter(facts["net_benefit"])) == "referring from 0.02" and facts["work_saved"]["ratio"] > 1
    assert report(DECISIONS, [], [])["net_benefit"] == {}


def test_a_bundles_own_words_and_codes_of_the_taxonomy_are_the_same_truth() -> None:
    again = [known(t.frame, {"mel": "melanoma", "nv": "NEVUS", "bcc": "Basal Cell Carcinoma"}[t.label]) for t in TRUTH]
    assert report(DECISIONS, again, []) == report(DECISIONS, TRUTH, [])


def test_of_several_truths_of_one_picture_the_gravest_counts_and_foreign_words_are_told() -> None:
    facts = report(DECISIONS[:1], [known("m0", "nv"), known("m0", "mel"), known("m0", "toe deformity")], [])
    assert facts["lesion_detection_rate"]["n"] == 1 and facts["unknown_labels"] == ["toe deformity"]


def test_without_truth_nothing_is_claimed() -> None:
    facts = report(DECISIONS, [], [])
    assert facts["lesion_detection_rate"]["value"] is None and facts["without_truth"] == 31
    assert facts["lesion_detection_rate"]["low"] == 0 and facts["lesion_detection_rate"]["high"] == 1


def test_what_clinicians_did_is_counted() -> None:
    at = "2026-01-01T00:00:00Z"
    reviews = [
        Review("m0", Action.CONFIRM, "MEL", "a", at, 4.0),
        Review("m1", Action.RELABEL, "NEVUS", "b", at, 8.0),
        Review("m2", Action.UNDO, "MEL", "b", at, 1.0),
    ]
    found = report(DECISIONS, TRUTH, reviews)["review"]
    assert found["confirm"] == found["relabel"] == found["undo"] == 1 and found["reviewers"] == ["a", "b"]
    assert found["seconds_median"] == 6.0 and found["agreed_with_the_name"].startswith("50.0%")


def test_the_report_and_its_page_carry_the_disclaimer(tmp_path: Path) -> None:
    facts = report(DECISIONS, TRUTH, [])
    assert facts["disclaimer"] == DISCLAIMER and "every picture counts as a lesion" in facts["not_carried"]
    json.dumps(facts)
    write_page("Loupe report: medical", {**facts, "notes": []}, tmp_path / "page.html")
    assert DISCLAIMER in (tmp_path / "page.html").read_text(encoding="utf-8")
