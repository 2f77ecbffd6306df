"""The clinicians' page as it is: started by its real command, judged in a real browser by its real keys."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verticals.medical
from shared.data import images
from shared.decisions import Line, Shown
from shared.records import Action, Decision, Finding, Verdict
from shared.review import launch
from shared.review.desk import LOOK_S
from shared.review.store import Store
from verticals.medical.triage import DISCLAIMER

APP = Path(verticals.medical.__file__).with_name("app.py")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SOON, LATER = "suggested urgency: within 2 weeks (proposed)", "suggested urgency: routine (proposed)"
pytestmark = pytest.mark.long


def disclaimed(tab: Any) -> bool:
    """Whether the disclaimer can be read without scrolling."""
    box = tab.get_by_text(DISCLAIMER).first.bounding_box()
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= 720


def picture(folder: Path, name: str) -> str:
    path = folder / f"{name}.png"
    images.write_png(path, np.full((240, 320, 3), (214, 168, 148), np.uint8))
    return str(path)


def flagged(folder: Path, name: str, label: str, risk: float, urgency: str) -> Line:
    finding = Finding(name, label, 0.612, risk, samples=(f"s-{name}",), why=f"{urgency}; risk {risk:.3f}; {DISCLAIMER}")
    decision = Decision(name, Verdict.FLAG, (urgency, DISCLAIMER), (finding,))
    return Line(decision, {finding.id: Shown(picture(folder, name), None)}, {})


def unexamined(folder: Path, name: str) -> Line:
    why = "not examined: blurry: take it again; no score is given"
    decision = Decision(name, Verdict.NOT_EXAMINED, (why, DISCLAIMER), (), 0.0)
    return Line(decision, {name: Shown(picture(folder, name), None)}, {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "reviews.sqlite"))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = launch.command(APP, store=str(tmp_path / "reviews.sqlite"), reviewer="Dr. Berg", port=port)
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                    break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.05)
        yield address
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def tab() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1366, "height": 720})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


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
    assert "within 2 weeks" in words and "routine (" not in words
    assert 0 <= words.index("Suggested urgency") < words.index("60.0%")
    assert disclaimed(tab)
    assert "nothing there" not in words and "OK" not in words and "benign" not in words.lower()


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


def test_what_was_not_examined_says_so_and_how_to_take_it_again(
    tab: Any, url: str, store: Store, tmp_path: Path
) -> None:
    store.add([unexamined(tmp_path, "blurred")])
    opened(tab, url)
    words = tab.inner_text("body")
    assert "NOT EXAMINED" in words and "take it again" in words and "%" not in words.replace("examined\t0.0%", "")


def test_without_items_or_model_the_page_opens_with_the_disclaimer(tab: Any, url: str) -> None:
    tab.goto(url)
    tab.get_by_text("There is nothing to review").wait_for()
    words = tab.inner_text("body")
    assert "loupe review medical --findings findings.jsonl" in words and disclaimed(tab)
