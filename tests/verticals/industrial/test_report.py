from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from scipy.stats import binomtest

from shared.records import Action, Box, Decision, Finding, Review, Verdict
from shared.reporting.page import write_page
from verticals.industrial.report import report
from verticals.tell import on_page, reported


def defect(frame: str, label: str, region: Box | None = None, length_mm: float | None = None) -> Finding:
    return Finding(frame, label, 1.0, 1.0, region, length_mm)


def flagged(frame: str, *findings: Finding) -> Decision:
    return Decision(frame, Verdict.FLAG, ("why",), findings)


def test_recall_per_type_counts_what_was_shown_and_whether_the_type_was_right() -> None:
    truth = [
        defect("a", "SCR", Box(0, 0, 100, 10), 5.0),
        defect("a", "DEN", Box(200, 200, 240, 240), 2.0),
        defect("b", "SCR", Box(0, 0, 50, 50), 3.0),
    ]
    decisions = [
        flagged("a", defect("a", "SCR", Box(0, 0, 90, 12), 4.5), defect("a", "POR", Box(500, 500, 510, 510))),
        flagged("b", defect("b", "DEN", Box(10, 10, 60, 60), 3.0)),
        Decision("c", Verdict.PASS, ("clean",)),
    ]
    facts = report(decisions, truth, [])
    assert facts["recall"]["n"] == 3 and facts["recall"]["value"] == pytest.approx(2 / 3)
    assert 0 <= facts["recall"]["low"] < 2 / 3 < facts["recall"]["high"] <= 1
    assert facts["recall_per_type"]["SCR"]["value"] == 1.0 and facts["recall_per_type"]["SCR"]["typed_right"] == 1
    assert facts["recall_per_type"]["DEN"]["value"] == 0.0
    assert facts["false_findings"] == 1
    assert facts["length_error_median"] == pytest.approx(median([0.1, 0.0])) and facts["lengths_compared"] == 2


def test_escapes_overkill_and_not_examined_are_counted_over_the_right_parts() -> None:
    truth = [defect("bad1", "SCR"), defect("bad2", "SCR"), defect("bad3", "SCR")]
    truth += [Finding("good1", "OK", 1.0, 0.0), Finding("good2", "OK", 1.0, 0.0)]
    decisions = [
        Decision("bad1", Verdict.PASS, ()),
        flagged("bad2", defect("bad2", "SCR")),
        Decision("bad3", Verdict.NOT_EXAMINED, ()),
        flagged("good1", defect("good1", "DEN")),
        Decision("good2", Verdict.PASS, ()),
        flagged("nobody knows", defect("nobody knows", "DEN")),
    ]
    facts = report(decisions, truth, [])
    assert (facts["escapes"]["value"], facts["escapes"]["n"]) == (pytest.approx(1 / 3), 3)
    assert (facts["overkill"]["value"], facts["overkill"]["n"]) == (0.5, 2)
    assert (facts["not_examined"]["value"], facts["not_examined"]["n"]) == (pytest.approx(1 / 6), 6)
    assert facts["parts"] == {"pass": 2, "flag": 3, "not_examined": 1}
    assert facts["without_truth"] == 1 and facts["false_findings"] == 1
    exact = binomtest(1, 3).proportion_ci(0.95, "exact")
    assert (facts["escapes"]["low"], facts["escapes"]["high"]) == pytest.approx((exact.low, exact.high))


def test_a_part_that_several_cameras_saw_is_one_part_and_passes_only_where_all_of_it_passes() -> None:
    def seen(frame: str, part: str, verdict: Verdict = Verdict.PASS, *findings: Finding) -> Decision:
        return Decision(frame, verdict, (), findings, facts={"part": part})

    truth = [defect("p1/left", "SCR"), defect("p1/right", "SCR"), defect("p4/left", "SCR")]
    truth += [Finding(frame, "OK", 1.0, 0.0) for frame in ("p2/left", "p2/right", "p3/left")]
    decisions = [
        seen("p1/left", "P1", Verdict.FLAG, defect("p1/left", "SCR")), seen("p1/right", "P1"),
        seen("p2/left", "P2"), seen("p2/right", "P2", Verdict.NOT_EXAMINED),
        seen("p3/left", "P3"), seen("p3/right", "P3"), seen("p4/left", "P4"),
    ]  # fmt: skip
    facts = report(decisions, truth, [])
    assert facts["parts"] == {"pass": 2, "flag": 1, "not_examined": 1}
    assert facts["pictures"] == {"pass": 5, "flag": 1, "not_examined": 1}
    assert (facts["escapes"]["value"], facts["escapes"]["n"]) == (0.5, 2), "of P1 somebody sees the left side"
    assert (facts["overkill"]["n"], facts["without_truth"]) == (1, 1), "of P3 the right side is not known to be good"
    assert (facts["not_examined"]["value"], facts["not_examined"]["n"]) == (0.25, 4)
    alone = report([replace(d, facts={}) for d in decisions], truth, [])
    assert "their strips and images: 5 pass, 1 flagged" in reported(facts) and "strips and" not in reported(alone)


def test_defects_on_two_pictures_of_one_part_are_no_two_independent_cases() -> None:
    defects = [defect("left", "SCR"), defect("right", "SCR")]
    two = report([flagged(d.frame, d) for d in defects], defects, [])["recall"]
    one = report([replace(flagged(d.frame, d), facts={"part": "P1"}) for d in defects], defects, [])["recall"]
    assert (one["value"], one["n"]) == (two["value"], two["n"]) == (1.0, 2) and one["low"] == 0.0 < two["low"]


def test_a_sliver_of_a_defect_does_not_count_as_found() -> None:
    truth = [defect("a", "SCR", Box(0, 0, 100, 100))]
    assert report([flagged("a", defect("a", "SCR", Box(0, 0, 100, 10)))], truth, [])["recall"]["value"] == 0.0
    halves = (defect("a", "SCR", Box(0, 0, 100, 10)), defect("a", "SCR", Box(0, 50, 100, 65)))
    assert report([flagged("a", *halves)], truth, [])["recall"]["value"] == 1.0


def test_a_defective_part_that_nobody_answered_for_counts_as_missed_and_is_named() -> None:
    facts = report([Decision("a", Verdict.PASS, ())], [defect("lost", "SCR")], [])
    assert facts["recall"]["value"] == 0.0 and facts["without_answer"] == ["lost"]


def test_a_part_that_is_known_to_be_good_does_not_vanish_where_no_decision_is_about_it() -> None:
    known = [Finding("seen", "OK", 1.0, 0.0), Finding("never seen", "OK", 1.0, 0.0)]
    facts = report([Decision("seen", Verdict.PASS, ())], known, [])
    assert facts["without_answer"] == ["never seen"] and facts["overkill"]["n"] == 1
    assert "no decision at all about 1: never seen" in reported(facts)


def test_what_stays_not_examined_is_no_confirmed_finding() -> None:
    rows = [
        Review("i1", Action.CONFIRM, "SCR", "ann", "2026-01-01T00:00:00Z", 2.0),
        Review("i2", Action.CONFIRM, "not_examined", "ann", "2026-01-01T00:00:00Z", 2.0),
    ]
    facts = report([], [], rows)
    assert (facts["review"]["confirm"], facts["review"]["stays_not_examined"]) == (1, 1)
    assert "1 confirmed, 0 rejected, 0 relabelled, 1 stay NOT EXAMINED" in reported(facts)


def test_two_escapes_among_five_thousand_parts_are_not_none(tmp_path: Path) -> None:
    known = [defect(f"{n}", "SCR") for n in range(5000)]
    made = [Decision(d.frame, Verdict.PASS, ()) if n < 2 else flagged(d.frame, d) for n, d in enumerate(known)]
    facts = report(made, known, [])
    assert "escapes (defective, passed)  < 0.1 %" in reported(facts)
    write_page("report", on_page(facts | {"notes": []}), tmp_path / "page.html")
    assert '<td>escapes</td>\n<td class="number">&lt; 0.1 %</td>' in (tmp_path / "page.html").read_text()


def test_without_truth_the_page_does_not_praise_with_no_false_finding() -> None:
    facts = report([flagged("a", defect("a", "SCR"))], [], []) | {"notes": []}
    assert "false_findings" not in on_page(facts | {"truth": None})
    assert on_page(facts | {"truth": "truth.jsonl"})["false_findings"] == 0


def test_without_parts_nothing_is_claimed() -> None:
    facts = report([], [], [])
    assert facts["recall"]["n"] == 0 and facts["recall"]["high"] == 1.0 and facts["length_error_median"] is None


def test_reviews_are_counted_with_their_time() -> None:
    rows = [
        Review("i1", Action.CONFIRM, "SCR", "ann", "2026-01-01T00:00:00Z", 2.0),
        Review("i2", Action.REJECT, "OK", "ben", "2026-01-01T00:00:00Z", 4.0),
        Review("i2", Action.UNDO, "", "ben", "2026-01-01T00:00:00Z", 1.0, undoes=2),
    ]
    facts = report([], [], rows)["review"]
    assert facts["confirm"] == 1 and facts["undo"] == 1 and facts["seconds_median"] == 3.0
    assert facts["reviewers"] == ["ann", "ben"]


def test_the_page_says_the_unit_of_the_median_error_of_lengths() -> None:
    truth = [defect("a", "SCR", Box(0, 0, 100, 10), 5.0)]
    facts = report([flagged("a", defect("a", "SCR", Box(0, 0, 90, 12), 3.01))], truth, []) | {"notes": []}
    assert facts["length_error_median"] == pytest.approx(0.398)
    assert on_page(facts)["length_error_median"] == "40 % of the true length"
