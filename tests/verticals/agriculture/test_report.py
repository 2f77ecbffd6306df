"""The agronomists' numbers against fields small enough to count by hand."""

from pathlib import Path

import pytest

from shared.records import Action, Decision, Finding, Review, Verdict
from shared.reporting.page import write_page
from verticals.agriculture.report import NOT_CLAIMED, report
from verticals.tell import reported

M2 = 1e6


def tile(n: int, **areas_m2: float) -> list[Finding]:
    sought = {"potato_late_blight", "potato_early_blight", "weed"}
    return [
        Finding(f"home/r{n // 10:04}c{n % 10:04}", c, 1.0, float(c in sought), area_mm2=a * M2)
        for c, a in areas_m2.items()
    ]


def said(n: int, verdict: Verdict, label: str, risk: float, done: str, examined: float = 1.0) -> Decision:
    frame = f"home/r{n // 10:04}c{n % 10:04}"
    found = (Finding(frame, label, risk, risk, area_mm2=10 * M2),) if label else ()
    return Decision(frame, verdict, (f"{done}: because",), found, examined)


def perfect(n: int, truth: list[Finding]) -> Decision:
    worst = max(truth, key=lambda t: (t.risk, t.area_mm2 or 0))
    sick = worst.risk > 0
    return said(
        n, Verdict.FLAG if sick else Verdict.PASS, worst.label, 0.99 if sick else 0.01, "spray" if sick else "leave"
    )


FIELD = [
    tile(n, healthy=6, bare_soil=2, potato_late_blight=2) if n % 4 == 0 else tile(n, healthy=8, bare_soil=2)
    for n in range(40)
]
KNOWN = [t for truth in FIELD for t in truth]


def test_perfect_decisions_reach_everything_and_save_what_the_ceiling_allows() -> None:
    facts = report([perfect(n, truth) for n, truth in enumerate(FIELD)], KNOWN, [])
    assert facts["recall"]["value"] == 1 and facts["escapes"]["value"] == 0 and facts["overkill"]["value"] == 0
    assert facts["base_rate"]["value"] == 0.25 and facts["macro_f1"]["value"] == 1
    assert facts["commonest_label"]["value"] == 0.75, "what always saying healthy would get"
    assert {label: row["value"] for label, row in facts["map_iou"].items()} == {"healthy": 1, "potato_late_blight": 1}
    assert facts["area_error"]["potato_late_blight"].startswith("+0.0 %")
    treated = facts["treated_area"]
    assert treated["diseased_area"]["value"] == pytest.approx(20 / 400)
    assert treated["diseased_area_reached"]["value"] == 1 and treated["treated_area_saved"]["value"] == 0.75
    # 10 tiles hold the disease; 95 % of its area takes all ten.
    assert treated["ceiling_at_95_recall"]["value"] == treated["treated_area_saved_at_95_recall"]["value"] == 0.75
    assert facts["hectares"] == {
        "examined": 0.04, "not_examined": 0.0, "to_spray": 0.01, "to_scout": 0.0, "to_leave": 0.03,
    }  # fmt: skip


def test_frames_of_a_flight_that_show_the_same_ground_have_no_hectares() -> None:
    frames = [f"flight/DJI_{i:04}" for i in range(3)]
    found = [tuple(Finding(f, "weed", 0.9, 0.9, area_mm2=4 * M2) for _ in range(50)) for f in frames]
    made = [Decision(f, Verdict.FLAG, ("spray: weed",), own, 1.0) for f, own in zip(frames, found, strict=True)]
    made.append(Decision("flight/DJI_0004", Verdict.PASS, ("leave: examined",), found[0][:1], 1.0))
    facts = report(made, [Finding(f, "weed", 1.0, 1.0) for f in frames], [])
    assert facts["hectares"] == {} and facts["recall"]["value"] == 1
    on_a_map = report([*made, *(perfect(n, truth) for n, truth in enumerate(FIELD))], KNOWN, [])
    assert on_a_map["hectares"]["to_spray"] == 0.01 and on_a_map["hectares"]["examined"] == 0.04


def test_misses_false_alarms_and_wrong_names_are_counted_where_they_belong() -> None:
    made = [perfect(n, truth) for n, truth in enumerate(FIELD)]
    made[0] = said(0, Verdict.PASS, "healthy", 0.02, "leave")
    made[4] = said(4, Verdict.FLAG, "potato_early_blight", 0.9, "spray")
    made[1] = said(1, Verdict.FLAG, "potato_late_blight", 0.8, "spray")
    facts = report(made, KNOWN, [])
    assert facts["recall"]["value"] == 0.9 and facts["escapes"]["value"] == 0.1
    blight = facts["recall_per_condition"]["potato_late_blight"]
    assert (blight["n"], blight["value"], blight["named_right"]) == (10, 0.9, 8)
    assert facts["overkill"]["value"] == pytest.approx(1 / 30)
    # Called late blight: 8 right, 1 wrong; there: 10.
    assert facts["map_iou"]["potato_late_blight"]["value"] == pytest.approx(8 / 11)
    assert facts["area_error"]["potato_late_blight"].startswith("-10.0 %")
    treated = facts["treated_area"]
    assert treated["diseased_area_reached"]["value"] == pytest.approx(0.9)
    assert treated["treated_area_saved"]["value"] == pytest.approx(0.75)
    # The missed tile has the risk 0.02: to reach 95 % all tiles above it are treated, and none below.
    assert treated["treated_area_saved_at_95_recall"]["value"] == pytest.approx(29 / 40)


def test_what_nobody_examined_is_no_success_and_its_hectares_stand_there() -> None:
    made = [perfect(n, truth) for n, truth in enumerate(FIELD) if n]
    lost = Decision(
        "home/home not flown",
        Verdict.NOT_EXAMINED,
        ("scout: 100.0% of it is not examined (0.0123 ha of the field were not flown)",),
        (),
        0.0,
    )
    facts = report([*made, lost], KNOWN, [])
    assert facts["recall"]["value"] == 0.9 and facts["without_answer"] == ["home/r0000c0000"]
    assert facts["hectares"]["not_examined"] == pytest.approx(0.0123 + 0.001)
    assert facts["not_examined"]["n"] == 40 and facts["without_truth"] == 1


def test_photographs_have_no_map_and_claims_that_nothing_measures_are_named_as_such() -> None:
    truth = [Finding(f"{n}", "bean_rust" if n % 2 else "healthy", 1.0, float(n % 2)) for n in range(8)]
    made = [Decision(f"{n}", Verdict.FLAG, ("spray: x",), (Finding(f"{n}", "bean_rust", 0.9, 0.9),)) for n in range(8)]
    facts = report(made, truth, [])
    assert "map_iou" not in facts and facts["recall"]["value"] == 1 and facts["overkill"]["value"] == 1
    assert facts["accuracy"]["value"] == 0.5 == facts["commonest_label"]["value"]
    assert any(text.startswith("yield") for text in facts["not_claimed"])


def test_a_person_reads_no_empty_line_and_no_sentence_that_runs_into_the_next() -> None:
    told = reported(report([perfect(n, truth) for n, truth in enumerate(FIELD)], KNOWN, []))
    assert not any(line.rstrip().endswith(":") and line.startswith("review") for line in told.splitlines())
    assert "; ".join(NOT_CLAIMED) in told, "each claim has commas of its own"


def test_the_page_says_how_the_intervals_of_fields_are_made(tmp_path: Path) -> None:
    facts = report([perfect(n, truth) for n, truth in enumerate(FIELD)], KNOWN, [])
    write_page("Loupe report: agriculture", facts, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "count parts" not in page and page.count("of resampled groups") == 1


def test_a_place_flagged_for_safety_alone_is_not_called_diseased_on_the_map() -> None:
    made = [said(n, Verdict.FLAG, "potato_late_blight", 0.1, "scout") for n in range(40)]
    facts = report(made, KNOWN, [])
    assert facts["overkill"]["value"] == 1 and facts["map_iou"]["healthy"]["value"] == 0.75
    assert facts["treated_area"]["treated_area_saved"]["value"] == 1


def test_a_first_reading_is_no_verdict() -> None:
    when = "2026-07-01T08:00:00+00:00"
    log = [Review("a", Action.READ, "weed", "Bo", when, 90.0), Review("a", Action.CONFIRM, "weed", "Ada", when, 4.0)]
    told = report([], [], log)["review"]
    assert (told["read"], told["confirm"], told["reviewers"], told["seconds_median"]) == (1, 1, ["Ada"], 4.0)


def test_the_areas_of_one_neighbourhood_have_no_interval_and_perfect_ones_no_certainty() -> None:
    near = [n for n in range(40) if n < 4]
    facts = report([perfect(n, FIELD[n]) for n in near], [t for n in near for t in FIELD[n]], [])
    shares = {**facts["map_iou"], **facts["treated_area"]}
    assert all((row["low"], row["high"]) == (0, 1) for row in shares.values())
    assert "[one group alone: no interval]" in facts["area_error"]["potato_late_blight"]
    whole = report([perfect(n, truth) for n, truth in enumerate(FIELD)], KNOWN, [])
    assert whole["treated_area"]["diseased_area_reached"]["low"] < 0.7 and whole["map_iou"]["healthy"]["low"] < 0.7
