"""The clinicians' page as it is: started by its real command, judged in a real browser by its real keys."""

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verticals.medical
from shared.data import images
from shared.decisions import Line, Shown
from shared.records import Action, Decision, Finding, Verdict
from shared.review.desk import LOOK_S
from shared.review.store import Store
from verticals.medical.reading import unscored
from verticals.medical.taxonomy import URGENCY
from verticals.medical.triage import DISCLAIMER

pydicom = pytest.importorskip("pydicom")
APP = Path(verticals.medical.__file__).with_name("app.py")
SOON, LATER = 1, 3
pytestmark = pytest.mark.long


def disclaimed(tab: Any) -> bool:
    """Whether the disclaimer can be read without scrolling."""
    box = tab.get_by_text(DISCLAIMER).first.bounding_box()
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= 720


def picture(folder: Path, name: str) -> str:
    path = folder / f"{name}.png"
    images.write_png(path, np.full((240, 320, 3), (214, 168, 148), np.uint8))
    return str(path)


def flagged(folder: Path, name: str, label: str, risk: float, urgency: int) -> Line:
    said = f"suggested urgency: {URGENCY[urgency]} (proposed)"
    finding = Finding(name, label, 0.612, risk, samples=(f"s-{name}",), why=f"{said}; risk {risk:.3f}; {DISCLAIMER}")
    facts = {"urgency": urgency, "probabilities": {label: 0.612, "BKL": 0.388}}
    decision = Decision(name, Verdict.FLAG, (said, DISCLAIMER), (finding,), 1.0, facts)
    return Line(decision, {finding.id: Shown(picture(folder, name), None)}, {})


def unexamined(folder: Path, name: str) -> Line:
    why = "not examined: blurry: take it again; no score is given"
    decision = Decision(name, Verdict.NOT_EXAMINED, (why, DISCLAIMER), (), 0.0)
    return Line(decision, {name: Shown(picture(folder, name), None)}, {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "reviews.sqlite"))


@pytest.fixture
def url(page_server: Any, tmp_path: Path) -> str:
    server = page_server(APP, tmp_path / "reviews.sqlite", tmp_path, reviewer="Dr. Berg")
    server.start()
    return str(server.url)


def opened(tab: Any, url: str) -> None:
    tab.goto(url)
    tab.get_by_role("button", name="Skip").wait_for()
    time.sleep(1)  # the page is drawn a second time once it knows the window's size


def press(tab: Any, key: str, then: str) -> None:
    time.sleep(LOOK_S + 0.3)
    tab.keyboard.press(key)
    tab.get_by_text(then).first.wait_for()


def test_the_more_urgent_comes_first_and_its_urgency_stands_above_every_percentage(
    tab: Any, url: str, store: Store, tmp_path: Path
) -> None:
    store.add([flagged(tmp_path, "wart", "NEVUS", 0.30, LATER), flagged(tmp_path, "spot", "MEL", 0.60, SOON)])
    opened(tab, url)
    words = tab.inner_text("body")
    assert "Suggested urgency: within 2 weeks" in words and "Suggested urgency: routine" not in words
    assert 0 <= words.index("Suggested urgency") < words.index("61 %")
    assert disclaimed(tab)
    assert "nothing there" not in words and "OK" not in words and "benign" not in words.lower()


def test_what_is_possible_and_what_cannot_be_excluded_are_in_sight_without_scrolling(
    tab: Any, page_server: Any, store: Store, tmp_path: Path
) -> None:
    line = flagged(tmp_path, "spot", "BCC", 0.60, 2)
    masses = {"MEL": 0.12, "BCC": 0.612, "AKIEC": 0.14, "NEVUS": 0.1, "VASC": 0.01}
    said = {"probabilities": masses, "possible": ["BCC", "AKIEC", "NEVUS"], "not_excluded": ["MEL", "VASC"]}
    store.add([replace(line, decision=replace(line.decision, facts={**line.decision.facts, **said}))])
    policy = tmp_path / "clinic.toml"
    policy.write_text("study_prevalence = 0.47\n")
    server = page_server(APP, tmp_path / "reviews.sqlite", tmp_path, reviewer="Dr. Berg", policy=policy)
    server.start()
    opened(tab, server.url)
    facts, last = tab.locator(".st-key-facts").bounding_box(), tab.get_by_text("vascular lesion").bounding_box()
    assert facts is not None and last is not None and last["y"] + last["height"] <= facts["y"] + facts["height"]
    words = tab.inner_text("body")
    found = [words.index(w) for w in ("software's default", "possible", "too few cases", "invasive melanoma")]
    assert found == sorted(found)


def test_verdicts_by_keyboard_are_signed_and_the_disclaimer_stays(
    tab: Any, url: str, store: Store, tmp_path: Path
) -> None:
    names = ("first", "second", "third")
    store.add([flagged(tmp_path, n, "MEL", 0.9 - i / 10, SOON) for i, n in enumerate(names)])
    opened(tab, url)
    press(tab, "d", "Recorded as no. 1")
    assert disclaimed(tab)
    press(tab, "o", "Recorded as no. 2")
    press(tab, "2", "Recorded as no. 3")
    press(tab, "u", "Taken back")
    assert disclaimed(tab)
    verdicts = [(r.action, r.label, r.reviewer) for r in store.standing().values()]
    assert verdicts == [(Action.CONFIRM, "MEL", "Dr. Berg"), (Action.REJECT, "NO-TRIGGER", "Dr. Berg")]
    assert [r.action for r in store.reviews()][2:] == [Action.RELABEL, Action.UNDO]
    assert store.reviews()[2].label == "BCC"
    store.verify()


def test_an_answer_that_was_seen_is_no_blind_reading_after_the_page_is_loaded_again(
    tab: Any, url: str, store: Store, tmp_path: Path
) -> None:
    store.add([flagged(tmp_path, "a seen one", "MEL", 0.9, SOON), flagged(tmp_path, "new", "BCC", 0.5, SOON)])
    opened(tab, url)
    tab.goto(f"{url}/?blind=1")
    tab.get_by_text("Blind first: on").wait_for()
    tab.get_by_text("Suggested urgency").first.wait_for()
    time.sleep(LOOK_S + 0.3)
    tab.keyboard.press("n")
    tab.get_by_text("Suggested urgency").first.wait_for(state="detached")
    wait_for(tab, "Skip")
    assert "Suggested urgency" not in tab.inner_text("body") and disclaimed(tab)


def test_what_was_not_examined_says_so_and_how_to_take_it_again(
    tab: Any, url: str, store: Store, tmp_path: Path
) -> None:
    store.add([unexamined(tmp_path, "blurred")])
    opened(tab, url)
    words = tab.inner_text("body")
    assert "NOT EXAMINED" in words and "take it again" in words and "%" not in words


def test_without_items_or_model_the_page_opens_with_the_disclaimer(tab: Any, url: str) -> None:
    tab.goto(url)
    tab.get_by_text("There is nothing to review").wait_for()
    words = tab.inner_text("body")
    assert "loupe review medical --findings findings.jsonl" in words and disclaimed(tab)


def wait_for(tab: Any, button: str) -> None:
    """Until the keys of a step are there; the server may be slow, the person is not asked to be."""
    tab.get_by_role("button", name=button).last.wait_for()
    time.sleep(LOOK_S + 0.4)


def focus(tab: Any, label: str) -> None:
    """Move to a field or button as a person without a mouse does."""
    for _ in range(60):
        tab.keyboard.press("Tab")
        seen = "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
        if str(tab.evaluate(seen)).startswith(label):
            return
    raise AssertionError(f"{label} cannot be reached by the Tab key")


def test_five_cases_are_read_blind_by_keyboard_and_signed_so_that_the_reports_are_verified(
    tab: Any, page_server: Any, reported: Any
) -> None:
    store = Store.open(str(reported.store))
    store.add(reported.lines)
    server = page_server(APP, reported.store, reported.folder, reviewer="Dr. Berg")
    server.start()
    tab.goto(f"{server.url}/?blind=1")
    wait_for(tab, "Skip")
    time.sleep(1)
    for number in range(5):
        tab.get_by_text("What is it?").wait_for()
        # What is left of the picture before goes when the page is drawn to its end.
        for left in ("Agree, looks like", "Suggested urgency", "%"):
            tab.wait_for_function(f"!document.body.innerText.includes('{left}')")
        wait_for(tab, "unknown")
        words = tab.inner_text("body")
        assert "Suggested urgency" not in words and "Agree" not in words and disclaimed(tab)
        tab.keyboard.press("15"[number % 2])  # melanoma or naevus
        wait_for(tab, "reassurance or self-care")
        tab.keyboard.press("2")  # within 2 weeks
        wait_for(tab, "certain")
        assert "Suggested urgency" not in tab.inner_text("body")
        tab.keyboard.press("4")
        tab.get_by_text("Suggested urgency: within 2 weeks").wait_for()
        wait_for(tab, "Keep mine")
        words = tab.inner_text("body")
        assert words.index("Suggested urgency") < words.index("Of 1,000 pictures") < words.index("%") and disclaimed(
            tab
        )
        tab.keyboard.press("k" if number < 4 else "d")
        tab.get_by_text(f"{number + 1} of 5 done").wait_for()
    tab.keyboard.press("s")
    tab.get_by_text("I have looked at each of these pictures").wait_for()
    assert disclaimed(tab)
    for label, said in (("Family name", "Berg"), ("Given names", "Anna"), ("Organisation", "Hautklinik")):
        focus(tab, label)
        tab.keyboard.type(said)
        time.sleep(0.3)
    focus(tab, "Sign 5 reports")
    time.sleep(1)
    tab.keyboard.press("Enter")
    tab.get_by_text("5 reports are VERIFIED in the name of Anna Berg").wait_for()
    read_back(store, reported.reports)
    tab.keyboard.press("l")
    tab.get_by_text("changed name").wait_for()
    assert disclaimed(tab)
    tab.keyboard.press("l")
    tab.get_by_text("Everything is judged").wait_for()
    time.sleep(1)
    tab.keyboard.press("u")
    tab.get_by_text("is VERIFIED by Berg, Anna and still states").wait_for()
    tab.keyboard.press("s")
    tab.get_by_text("A signature cannot be undone").wait_for()


def read_back(store: Store, folder: Path) -> None:
    """The log proves the order, and the files are what an archive takes."""
    store.verify()
    rows = store.reviews()
    assert [r.action for r in rows[:2]] == [Action.READ, Action.RELABEL if rows[1].label == "NEVUS" else rows[1].action]
    for item in {r.item for r in rows}:
        own = [r.action for r in rows if r.item == item]
        assert own[0] is Action.READ and own[-1] is Action.SIGN and len(own) == 3
    files = sorted(folder.glob("*.verified-*.dcm"))
    assert len(files) == 5
    for file in files:
        report = pydicom.dcmread(file)
        assert report.VerificationFlag == "VERIFIED"
        assert report.VerifyingObserverSequence[0].VerifyingObserverName == "Berg^Anna"
        if shutil.which("dciodvfy"):
            done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True)
            assert not [line for line in done.stderr.splitlines() if line.startswith("Error")]


def test_with_no_model_a_reading_is_the_verdict_and_visits_stand_side_by_side(
    tab: Any, page_server: Any, five: Any
) -> None:
    store = Store.open(str(five.store))
    store.add_items(unscored.items(five.folder / "findings.jsonl.frames"))
    server = page_server(APP, five.store, five.folder, reviewer="Dr. Berg")
    server.start()
    tab.goto(f"{server.url}/?blind=1")
    wait_for(tab, "Skip")
    for key, then in (("o", "reassurance or self-care"), ("4", "certain"), ("5", "unknown")):
        tab.keyboard.press(key)
        wait_for(tab, then)
    tab.get_by_text("1 of 5 done").wait_for()
    assert [(r.action, r.label) for r in store.reviews()] == [
        (Action.READ, "NO-TRIGGER"),
        (Action.REJECT, "NO-TRIGGER"),
    ]
    for _ in range(4):
        if tab.get_by_role("button", name="Visits (2)").count():
            break
        tab.keyboard.press("n")
        time.sleep(2)
    tab.keyboard.press("t")
    tab.get_by_text("this picture").first.wait_for()
    assert "registered" in tab.inner_text("body") and disclaimed(tab)
