import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.data import ingested
from shared.records import Action, Decision, Finding, Review, Verdict, as_json
from shared.reporting.page import write_page
from verticals import tell
from verticals.medical.report import report
from verticals.medical.triage import DISCLAIMER
from verticals.steps import report_findings


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
    area = facts["measured"]["auc"]
    assert area["n"] == 29 and area["value"] == pytest.approx(150 / 180)


def test_numbers_that_are_no_shares_are_told_in_sentences_and_kept_as_numbers() -> None:
    facts = report(DECISIONS, TRUTH, [])
    assert facts["Risk"]["AUC (DeLong)"].startswith("0.833 [")
    assert facts["Lesions referred for one that must not be missed"]["at a prevalence of 35.5 %"].startswith("1.62 [")
    assert next(iter(facts["Net benefit"])) == "referring from 0.02"
    assert facts["measured"]["work_saved"]["ratio"] > 1
    assert facts["The certified threshold alone"] == {
        "refused": "no threshold is certified, so that nothing can be said about it"
    }
    assert "Net benefit" not in report(DECISIONS, [], [])


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


def clinic() -> tuple[list[Decision], list[Finding]]:
    """Two pictures each of lesion 1 and lesion 2 of 40 patients; of a melanoma only the second picture is flagged."""
    decisions, truth = [], []
    for i in range(160):
        patient, lesion, second = i // 4, (i // 2) % 2, i % 2
        grave = lesion == 0
        missed, risk = grave and patient == 7, 0.8 if grave and second else 0.05
        flag = grave and second and not missed
        facts = {
            "patient": f"P{patient}", "lesion": f"L{lesion}", "age_years": 35.0 + (patient % 2) * 40,
            "sex": "M" if patient < 35 else "F", "threshold": 0.5, "urgency": 1, "quality": "checked, no fault noted",
            "probabilities": {"MEL": risk, "NEVUS": 0.9 - risk, "BKL": 0.1}, "thickness_mm": 0.5, "device": "",
        }  # fmt: skip
        found = Finding(f"f{i}", "MEL" if flag else "NEVUS", 0.9, 0.05 if missed else risk)
        decisions.append(Decision(f"f{i}", Verdict.FLAG if flag else Verdict.PASS, ("why",), (found,), 1.0, facts))
        truth.append(known(f"f{i}", "mel" if grave else "nv"))
    return decisions, truth


def test_lesions_patients_and_strata_come_with_the_decisions() -> None:
    """Lesions of two patients may have one name; a lesion is found with any of its pictures."""
    facts = report(*clinic(), [])
    rate, measured = facts["lesion_detection_rate"], facts["measured"]
    assert rate["n"] == 40 and rate["value"] == 39 / 40 and rate["patients"] == 40
    assert facts["patient_detection_rate"]["n"] == 40 and measured["counts"]["lesions"] == 80
    assert facts["escapes"]["n"] == 80  # of pictures, half of which show nothing
    strata = measured["strata"]
    assert set(strata) == {"age band", "sex"} and strata["sex"]["groups"]["male"]["sensitivity"]["n"] == 35
    assert "at least 30" in strata["sex"]["groups"]["female"]["sensitivity"]["hidden"]
    assert facts["By sex (unknown of 0 lesions)"]["hidden, since fewer than 30 lesions"] == "female 10"
    at = measured["at_certified_threshold"]
    assert at["sensitivity"]["value"] == 39 / 40 and at["work_saved"][0]["opened"] == 39
    assert measured["early_lesion_sensitivity"]["melanoma up to 0.8 mm thick"]["n"] == 40
    assert measured["diseases"]["top_3"]["value"] == 1.0 and measured["diseases"]["n"] == 160


def test_terminal_and_page_tell_the_whole_report_in_words(tmp_path: Path) -> None:
    findings, truth = tmp_path / "findings.jsonl", tmp_path / "truth.jsonl"
    made, known_truth = clinic()
    extra = {"shown": {}, "vertical": "medical", "notes": []}
    lines = [{**extra, **as_json(d), "used_in_build": i < 3} for i, d in enumerate(made)]
    findings.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ingested.write_truth(known_truth, truth)
    facts = report_findings(findings, truth=truth, store=None, page=tmp_path / "page.html")
    told, page = tell.reported(facts), (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in (told, page):
        assert DISCLAIMER in text and "hidden, since fewer than 30 lesions" in text and "3 of 160 frames" in text
        assert "{" not in text.rpartition("</style>")[2], "a raw mapping is shown to a clinician"
    assert "'value'" not in told and json.loads(json.dumps(facts))["measured"]["counts"]["patients"] == 40
    assert told.splitlines()[0] == f"!! {DISCLAIMER}"
    assert page.index(DISCLAIMER) < page.index("lesion detection rate"), "it stands above every number"


def test_the_report_and_its_page_carry_the_disclaimer(tmp_path: Path) -> None:
    facts = report(DECISIONS, TRUTH, [])
    assert facts["disclaimer"] == DISCLAIMER
    json.dumps(facts)
    write_page("Loupe report: medical", {**facts, "notes": []}, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert DISCLAIMER in page
    assert "count parts" not in page, "patients are no parts, and not all intervals are Clopper and Pearson's"
    assert page.count("pictures of one patient are alike") == 1


def test_twenty_pictures_of_one_lesion_are_no_twenty_patients() -> None:
    alike = [
        replace(decided(f"a{i}", Verdict.FLAG, 0.9), facts={"patient": f"p{i % 2}", "lesion": "1"}) for i in range(40)
    ]
    facts = report(alike, [known(d.frame, "mel") for d in alike], [])
    for name in ("escapes", "named_right", "not_examined"):
        assert facts[name]["n"] == 40 and facts[name]["high"] - facts[name]["low"] > 0.8, name
    assert facts["detection_by_kind"]["melanoma"]["low"] == pytest.approx(0.025 ** (1 / 2))
