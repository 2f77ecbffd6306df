from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import verticals.medical
from shared.errors import ConfigError, DataError
from shared.records import Verdict
from shared.review.items import NOT_EXAMINED, Item
from shared.review.store import Store
from verticals.medical.reading import frequency, page_policy, telling, timeline, visits, worklist
from verticals.medical.triage import DISCLAIMER

CLINIC = frequency.Clinic(0.03)
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def item(name: str, urgency: int | None, risk: float = 0.5, label: str = "MEL") -> Item:
    facts = {"facts": {"urgency": urgency, "probabilities": {label: 0.61, "NEVUS": 0.37, "DF": 0.001, "BCC": 0.02}}}
    payload = {**facts, "possible": ["MEL", "NEVUS"], "samples": [name]}
    return Item(name, name, "", None, label, 0.61, risk, reasons=(f"risk; {DISCLAIMER}",), payload=payload)


def test_the_urgent_come_first_then_who_waits_longest_and_blind_the_longest_waiting_alone() -> None:
    unseen = Item("u", "u", "", None, NOT_EXAMINED, 0.0, 1.0, verdict=Verdict.NOT_EXAMINED)
    items = [item("a", 3), item("b", 1), item("c", 1), item("d", 0), unseen, item("e", 1)]
    arrived = {n: f"2026-03-0{d}T10:00:00+00:00" for n, d in zip("abcdu", (1, 3, 2, 4, 4), strict=True)}
    assert [i.id for i in worklist.by_urgency(items, arrived)] == ["u", "d", "e", "c", "b", "a"]
    assert [i.id for i in worklist.by_waiting(items, arrived)] == ["e", "a", "c", "b", "d", "u"]
    hidden = worklist.table(items, arrived, hidden=True)
    assert all(set(row) == {"#", "picture", "waiting"} for row in hidden)
    assert worklist.table([unseen], arrived, hidden=False)[0]["suggested urgency"] == "NOT EXAMINED"
    skipped = worklist.table([items[0], unseen, items[1]], arrived, hidden=False)
    assert [(row["#"], row["picture"]) for row in skipped] == [("2", "u"), ("3", "b"), ("1", "a")], "by urgency as said"
    waited = [worklist.waited(f"2026-03-0{d}T0{h}:30:00+00:00", NOW) for d, h in ((4, 9), (2, 9))]
    assert waited == ["2 h 30 min", "2 d 2 h"] and worklist.waited(None) == "not known"


def test_a_risk_means_less_where_malignant_pictures_are_rare() -> None:
    # 40 of 100 in the build, 3 of 100 here: odds 1 become (3/97) / (40/60) = 0.0464, a share of 44 in 1,000.
    assert frequency.shifted(0.5, 0.4, 0.03) == pytest.approx(0.0443, abs=1e-4)
    assert frequency.shifted(0.3, 0.2, 0.2) == pytest.approx(0.3)
    said = frequency.of_item(item("a", 1), 0.4, CLINIC)
    assert "Of 1,000 pictures" in said and "3 of 100 are" in said and "about 44 are" in said and "40 of 100" in said
    assert "fewer than 1" in frequency.sentence(0.001, 0.4, CLINIC)
    assert (
        frequency.of_item(item("a", 1, label="UNKNOWN"), 0.4, CLINIC)
        == ""
        == frequency.of_item(item("a", 1), 0.0, CLINIC)
    )
    with pytest.raises(DataError):
        frequency.shifted(0.5, 0.4, 0.0)


def test_a_prevalence_that_nobody_set_is_called_the_default(tmp_path: Path) -> None:
    site = tmp_path / "clinic.toml"
    site.write_text("prevalence = 0.03\n")
    said = [frequency.sentence(0.5, 0.4, page_policy.load(file).clinic) for file in ("", str(site))]
    assert "about 44 are" in said[0] and "about 44 are" in said[1]
    assert "software's default: set prevalence for this clinic" in said[0] and "default" not in said[1]
    assert "where 47 of 100 pictures" in frequency.as_built(0.773, 0.47) and "77.3 %" in frequency.as_built(0.773, 0.47)
    assert "not known" in frequency.as_built(0.773, 0.0)


def test_the_tier_stands_before_the_name_and_the_percentage_last_and_file_words_are_no_markup() -> None:
    table = telling.set_table(item("a", 1))
    assert table.index("within 2 weeks") < table.index("melanoma") < table.index("61 %") < table.index("37 %")
    assert table.index("37 %") < table.index("outside the prediction set") < table.index("basal cell")
    assert "dermatofibroma" not in table
    assert "<b>" not in telling.table([{"picture": "<b>x"}])
    assert telling.headline(item("a", 1)) == "Suggested urgency: within 2 weeks"


def test_what_only_cannot_be_excluded_is_shown_as_such_and_never_as_possible() -> None:
    said = (
        "suggested urgency: routine; possible: common nevus; unlikely, but the build had too few cases to exclude mel"
    )
    facts = {"urgency": 3, "probabilities": {"MEL": 0.004, "NEVUS": 0.9, "BCC": 0.05}, "possible": ["NEVUS"]}
    payload = {"facts": {**facts, "not_excluded": ["MEL"]}, "possible": ["MEL", "NEVUS"]}
    passed = Item("a", "a", "", None, "NEVUS", 0.9, 0.06, reasons=(said,), payload=payload)
    table = telling.set_table(passed)
    heads = [table.index(w) for w in ("possible", "common nevus", "too few cases", "invasive melanoma", "outside")]
    assert "&lt; 1 %" in table and ">0 %" not in table, "what cannot be excluded is not said to be impossible"
    assert heads == sorted(heads) and table.count("invasive melanoma") == 1 and table.count("possible") == 1
    assert telling.reasons(passed, DISCLAIMER) == [], "what the table says is not said twice"
    bare = Item("a", "a", "", None, "NEVUS", 0.9, 0.06, payload={"facts": {"probabilities": {"NEVUS": 0.9}}})
    assert "possible" not in telling.set_table(bare), "without a set nothing is called possible"


def test_visits_of_a_lesion_are_found_dated_by_difference_and_laid_side_by_side(five, tmp_path: Path) -> None:
    image = str(tmp_path / "findings.jsonl.frames" / "frames" / "CASE4.png")
    found = visits.visits(image, "CASE4")
    assert [v.frame for v in found] == ["CASE3", "CASE4"]
    assert visits.facts(image, "CASE4") == {"age": "61", "sex": "F"}
    made = timeline.beside(found, "CASE4")
    assert made.notes[0].startswith("30 days before") and made.notes[1] == "this picture"
    assert made.picture.shape[1] == 2 * 224 + 6
    many = [replace(found[0], frame=f"v{i}") for i in range(5)] + [found[1]]
    told = timeline.beside(many, "CASE4").notes
    assert len(told) == 5 and told[-1].startswith("2 of 6 pictures of this lesion are not shown")
    path, notes = timeline.draw(found, "CASE4", tmp_path)
    assert path.is_file() and notes == made.notes
    assert visits.visits("", "x") == () and visits.visits(str(tmp_path / "a.png"), "x") == ()
    with pytest.raises(DataError, match="one picture of this lesion only"):
        timeline.draw(found[:1], "CASE3", tmp_path)


def test_a_policy_of_the_page_is_read_strictly(tmp_path: Path) -> None:
    site = tmp_path / "clinic.toml"
    site.write_text("prevalence = 0.1\nblind_first = true\n")
    assert page_policy.load(str(site)).blind_first and page_policy.load(str(site)).prevalence == 0.1
    assert page_policy.load("").reports_beside(str(tmp_path / "r.sqlite")) == tmp_path / "reports"
    for wrong in ("prevalence = 3", "prevalence = -0.1", "prevalance = 0.1"):
        site.write_text(wrong)
        with pytest.raises(ConfigError):
            page_policy.load(str(site))


def test_what_could_not_be_read_can_be_judged_where_every_reading_is_blind_first(tmp_path: Path) -> None:
    """Nobody can say first what it is, so that it would wait for ever."""
    from streamlit.testing.v1 import AppTest

    store, policy = tmp_path / "reviews.sqlite", tmp_path / "clinic.toml"
    policy.write_text("blind_first = true\n")
    lost = Item("u", "u", "", None, NOT_EXAMINED, 0.0, 1.0, verdict=Verdict.NOT_EXAMINED, reasons=("is cut off",))
    Store.open(str(store)).add_items([lost])
    page = AppTest.from_file(verticals.medical.__path__[0] + "/app.py", default_timeout=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["app.py", "--store", str(store), "--policy", str(policy), "--reviewer", "Eva"])
        page.run()
    assert not page.exception and "NOT EXAMINED" in "".join(m.value for m in page.markdown)
    keys = {button.label: button.disabled for button in page.button}
    assert keys["Stays not examined"] is False
