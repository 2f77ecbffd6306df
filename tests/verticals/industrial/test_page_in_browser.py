"""The inspectors' page as it is: started by its real command, judged in a real browser by its real keys."""

import random
import re
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import verticals.industrial
from shared.data import images
from shared.decisions import Line, Shown
from shared.records import Action, Box, Decision, Finding, Verdict
from shared.review.desk import LOOK_S
from shared.review.store import Store

APP = Path(verticals.industrial.__file__).with_name("app.py")
ACKNOWLEDGED = re.compile(r"Recorded as no\. (\d+)")
pytestmark = pytest.mark.long


def findings(folder: Path, count: int) -> list[Line]:
    """Grey plates with one dark line each."""
    lines = []
    for number in range(count):
        pixels = np.full((400, 600), 150, np.uint8)
        cv2.line(pixels, (100 + number, 120), (160 + number, 180), 60, 2)
        path, box, frame = folder / f"plate{number}.png", Box(96, 116, 230, 186), f"plate{number}"
        images.write_png(path, pixels)
        finding = Finding(frame, "SCR", 0.9, 0.95 - number / 1000, box, 4.2, 0.4, (f"s{number}",))
        decision = Decision(frame, Verdict.FLAG, ("SCR: risk 0.95",), (finding,))
        lines.append(Line(decision, {finding.id: Shown(str(path), box)}, {}))
    return lines


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.sqlite"


@pytest.fixture
def server(page_server: Any, store_path: Path, tmp_path: Path) -> Any:
    # A folder that is called like ours, in the directory where the page is started, must not get in the way.
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "shared").mkdir(parents=True)
    (elsewhere / "shared" / "__init__.py").write_text("raise ImportError('the wrong one')")
    return page_server(APP, store_path, elsewhere, reviewer="Anna")


def open_page(tab: Any, server: Any) -> None:
    tab.goto(server.url)
    tab.get_by_role("button", name="It is: scratch").wait_for()
    time.sleep(1)  # the page is drawn a second time once it knows the window's size


def press(tab: Any, key: str, then: str) -> None:
    """Look at the picture, press a key, and wait for the words that acknowledge it."""
    time.sleep(LOOK_S + 0.3)
    tab.keyboard.press(key)
    tab.get_by_text(then).first.wait_for()


def test_three_findings_judged_by_keyboard_and_one_taken_back_are_two_verdicts(
    tab: Any, server: Any, store_path: Path, tmp_path: Path
) -> None:
    store = Store.open(str(store_path))
    store.add(findings(tmp_path, 4))
    server.start()
    open_page(tab, server)
    press(tab, "d", "Recorded as no. 1")
    press(tab, "o", "Recorded as no. 2")
    press(tab, "3", "Recorded as no. 3")
    press(tab, "u", "Taken back")
    open_page(tab, server)
    tab.get_by_text("2 of 4 done").wait_for()

    standing = store.standing()
    assert [(r.action, r.label) for r in standing.values()] == [(Action.CONFIRM, "SCR"), (Action.REJECT, "OK")]
    assert all(r.reviewer == "Anna" and 0.3 < r.seconds < 60 and r.at.endswith("+00:00") for r in standing.values())
    assert [r.action for r in store.reviews()] == [Action.CONFIRM, Action.REJECT, Action.RELABEL, Action.UNDO]
    store.verify()


def test_a_held_or_hammered_key_is_one_verdict(tab: Any, server: Any, store_path: Path, tmp_path: Path) -> None:
    store = Store.open(str(store_path))
    store.add(findings(tmp_path, 6))
    server.start()
    open_page(tab, server)
    time.sleep(LOOK_S)
    tab.keyboard.down("d")
    tab.get_by_text("Recorded as no. 1").wait_for()
    time.sleep(LOOK_S + 0.3)  # a keyboard waits about half a second before it repeats
    for _ in range(20):
        tab.keyboard.down("d")  # pressed again without being let go: what a held key sends
        time.sleep(0.03)
    tab.keyboard.up("d")
    tab.get_by_text("1 of 6 done").wait_for()
    time.sleep(1)
    assert len(store.reviews()) == 1
    tab.keyboard.press("d")
    tab.keyboard.press("d")
    tab.get_by_text("2 of 6 done").wait_for()
    time.sleep(1)
    assert len(store.reviews()) == 2


def test_the_picture_follows_the_keys(tab: Any, server: Any, store_path: Path, tmp_path: Path) -> None:
    Store.open(str(store_path)).add(findings(tmp_path, 1))
    server.start()
    open_page(tab, server)
    for key, words in (("w", "Place"), ("w", "Whole"), ("z", "3 : 1"), ("z", "4 : 1"), ("x", "3 : 1")):
        press(tab, key, words)
    source = tab.locator(".stImage img").get_attribute("src")
    tab.keyboard.press("b")
    tab.wait_for_function(f"document.querySelector('.stImage img').getAttribute('src') != {source!r}")
    assert not Store.open(str(store_path)).reviews(), "looking is not judging"


def test_without_items_the_page_opens_and_says_how_to_get_some(tab: Any, server: Any) -> None:
    server.start()
    tab.goto(server.url)
    tab.get_by_text("There is nothing to review").wait_for()
    assert "loupe review industrial --findings findings.jsonl" in tab.inner_text("body")


def test_a_killed_server_loses_no_verdict_that_the_page_acknowledged(
    tab: Any, server: Any, store_path: Path, tmp_path: Path
) -> None:
    store = Store.open(str(store_path))
    store.add(findings(tmp_path, 60))
    chance = random.Random(7)
    pressed = 0
    for _ in range(10):
        server.start()
        open_page(tab, server)
        before = len(store.reviews())
        tab.get_by_text(f"{before} of 60 done").wait_for()
        press(tab, "d", f"Recorded as no. {before + 1}")
        time.sleep(LOOK_S + 0.3)
        tab.keyboard.press("o")
        time.sleep(chance.uniform(0, 0.2))
        server.kill()
        pressed += 2
        acknowledged = max(int(number) for number in ACKNOWLEDGED.findall(tab.inner_text("body")))
        store.verify()
        assert acknowledged <= len(store.reviews()) <= before + 2
    server.start()
    open_page(tab, server)
    before = len(store.reviews())
    press(tab, "d", f"Recorded as no. {before + 1}")
    assert 11 <= before + 1 <= pressed + 1
    store.verify()
