import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from shared.records import Action, Review
from shared.review.store import Store
from verticals import tell
from verticals.medical.reading.agreement import EVERYBODY, pairs, statistics
from verticals.medical.reading.blind import NO_TRIGGER, Answer, answer_of, note
from verticals.medical.taxonomy import resolve
from verticals.medical.triage import DISCLAIMER
from verticals.steps import report_findings

AT = "2026-03-04T10:00:00+00:00"


def read(item: str, who: str, before: str, after: str, urgency: tuple[int, int] = (1, 1)) -> list[Review]:
    first = Review(item, Action.READ, before, who, AT, 8.0, note(Answer(before, urgency[0], 4)))
    action = Action.REJECT if after == NO_TRIGGER else Action.RELABEL
    return [first, Review(item, action, after, who, AT, 3.0, note(Answer(after, urgency[1])))]


def rows() -> list[Review]:
    """Anna: 10 melanomas, 4 called naevus first and 3 of those mended; 10 naevi, 2 right ones spoilt. Otto: 2."""
    found = []
    for i in range(10):
        before = "NEVUS" if i < 4 else "MEL"
        found += read(f"m{i}", "Anna", before, "MEL" if i != 3 else "NEVUS")
        found += read(f"n{i}", "Anna", "NEVUS", "MEL" if i < 2 else "NEVUS")
    return found + read("m0", "Otto", "MEL", "MEL") + read("n0", "Otto", NO_TRIGGER, NO_TRIGGER)


TRUTH = {f"{kind}{i}": resolve(label) for kind, label in (("m", "MEL"), ("n", "NEVUS")) for i in range(10)}


def test_changes_for_better_and_worse_are_counted_per_reader_with_exact_intervals() -> None:
    told = statistics(pairs(rows()), model={f"m{i}": "MEL" for i in range(10)}, truth=TRUTH)
    assert list(told) == [EVERYBODY, "Anna", "Otto"]
    anna, seconds = told["Anna"]["rates"], told["Anna"]["counts"]
    shares = {name: (anna[name]["value"], anna[name]["n"]) for name in anna}
    assert shares["changed_for_better"] == (3 / 20, 20) and shares["changed_for_worse"] == (2 / 20, 20)
    assert shares["right_before"] == (16 / 20, 20) and shares["right_after"] == (17 / 20, 20)
    assert shares["agreed_with_model_before"] == (0.6, 10) and shares["agreed_with_model_after"] == (0.9, 10)
    assert shares["referral_sensitivity_before"] == (0.6, 10) and shares["referral_sensitivity_after"] == (0.9, 10)
    assert shares["referral_specificity_before"] == (1.0, 10) and shares["referral_specificity_after"] == (0.8, 10)
    exact = binomtest(3, 20).proportion_ci(0.95, method="exact")
    # Groups of one: the grouped interval is Clopper and Pearson's but for n / (n - 1).
    assert anna["changed_for_better"]["low"] == pytest.approx(exact.low, abs=0.01)
    assert anna["changed_for_better"]["high"] == pytest.approx(exact.high, abs=0.02)
    assert seconds == {"readings": 20, "seconds_before": 8.0, "seconds_after": 3.0}
    assert told["Otto"]["rates"]["right_after"]["value"] == 0.5, "no trigger names no disease"
    assert told["Otto"]["rates"]["referral_specificity_after"]["value"] == 1.0


def test_a_verdict_without_a_reading_or_by_another_reader_is_no_pair() -> None:
    alone = Review("x", Action.CONFIRM, "MEL", "Anna", AT, 2.0)
    first = Review("y", Action.READ, "MEL", "Anna", AT, 2.0)
    assert pairs([alone, first, Review("y", Action.CONFIRM, "MEL", "Otto", AT, 2.0)]) == ()


def test_a_note_comes_back_and_typed_text_is_never_taken_for_an_answer() -> None:
    said = Answer("MEL", 1, 4, "near the eye")
    assert answer_of(Review("x", Action.READ, "MEL", "A", AT, 1.0, note(said))) == said
    for typed in ("free text", "{not json", '{"urgency": 9}', '{"urgency": "soon"}', "[1]", ""):
        assert answer_of(Review("x", Action.CONFIRM, "MEL", "A", AT, 1.0, typed)) == Answer("MEL", text=typed)


def test_the_room_needs_no_torch_and_no_streamlit(tmp_path: Path) -> None:
    import subprocess
    import sys

    names = "agreement blind frequency page_policy reports sign_off telling timeline visits worklist known unscored"
    code = f"import sys; from verticals.medical.reading import {', '.join(names.split())}; "
    code += "sys.exit(' '.join({'torch', 'streamlit', 'highdicom'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_report_tells_it_at_the_terminal_and_on_its_page(five: Any, tmp_path: Path) -> None:
    store = Store.open(str(five.store))
    store.add(five.lines)
    for frame in ("CASE0", "CASE1"):
        for row in read(frame, "Anna", "NEVUS", "MEL", (3, 1)):
            (store.remark if row.action is Action.READ else store.record)(row)
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label\nCASE0,mel\nCASE1,nv\n")
    facts = report_findings(five.findings, truth=truth, store=str(five.store), page=tmp_path / "page.html")
    told = facts["blind first, Anna"]
    assert told["changed_for_better"]["value"] == told["changed_for_worse"]["value"] == 0.5
    assert facts["blind first, Anna: readings"]["readings"] == 2
    page, text = (tmp_path / "page.html").read_text(encoding="utf-8"), tell.reported(facts)
    for words in (page, text):
        assert "changed for better" in words.replace("_", " ") and "blind first, Anna" in words and DISCLAIMER in words
    json.dumps(facts)
