"""The agronomists' page as it is: started by its real command, driven in a real browser, with every request watched."""

import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import verticals.agriculture
from shared.records import Action
from shared.review import launch
from shared.review.store import Store
from verticals.agriculture.mapping import field_map
from verticals.agriculture.mapping.painting import provenance
from verticals.agriculture.spraying import terminals
from verticals.agriculture.spraying.terminal_profiles import named

pytest.importorskip("geopandas")
pytest.importorskip("pydeck")
rasterio = pytest.importorskip("rasterio")
APP = Path(verticals.agriculture.__file__).with_name("app.py")
# WebGL by software: the machine that tests has no graphics card.
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--use-gl=angle",
         "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # fmt: skip
LABELS = ("healthy", "potato_late_blight", "weed")
UTM, WEST, NORTH = "EPSG:32632", 565000.0, 5540040.0
pytestmark = pytest.mark.long


@dataclass
class Page:
    """A browser's tab, and the addresses beyond this machine that it asked for."""

    tab: Any
    beyond: list[str]

    def text(self) -> str:
        found: str = self.tab.inner_text("body")
        return found

    def settled(self) -> None:
        """Until the page has stopped running."""
        time.sleep(0.7)
        self.tab.get_by_test_id("stStatusWidget").wait_for(state="detached")

    def press(self, key: str, then: str) -> None:
        self.settled()
        self.tab.keyboard.press(key)
        self.tab.get_by_text(then).first.wait_for()

    def panel(self, name: str) -> None:
        self.tab.get_by_test_id("stButtonGroup").get_by_text(name).click()
        self.settled()


def drawn_map(folder: Path) -> Path:
    """60 m x 40 m in cells of 0.4 m: blight in the north-west, weeds in the south-east, the last 6 m NOT EXAMINED."""
    rgb = np.random.default_rng(0).integers(60, 120, (3, 400, 600), dtype=np.uint8)
    raster = folder / "field.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "width": 600, "height": 400, "crs": UTM}
    with rasterio.open(raster, "w", **profile, transform=rasterio.Affine(0.1, 0, WEST, 0, -0.1, NORTH)) as target:
        target.write(rgb)
    blight, weeds = np.full((100, 150), 0.01, np.float32), np.full((100, 150), 0.03, np.float32)
    blight[10:40, 15:60], weeds[70:90, 95:125] = 0.9, 0.8
    validity = np.full((100, 150), field_map.EXAMINED, np.uint8)
    validity[:, 135:] = field_map.NOT_EXAMINED
    rows = field_map.Rows(0, np.stack([1 - blight - weeds, blight, weeds]), validity)
    grid = field_map.Grid(UTM, (0.4, 0.0, WEST, 0.0, -0.4, NORTH), 150, 100)
    facts = {"raster": provenance(raster), "bundle": {"name": "b", "hash": "b2" * 32}}
    field_map.write(folder / "map", [rows], grid, LABELS, ok_label="healthy", facts=facts)
    return folder / "map"


def served(folder: Path, *more: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = launch.command(APP, store=str(folder / "reviews.sqlite"), reviewer="Dr. Feld", port=port)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([*command, *more], cwd=folder, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                    break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.05)
        yield address
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


def opened(browser: Any, url: str) -> Page:
    """A tab whose requests beyond this page are refused and written down."""
    tab = browser.new_page(viewport={"width": 1366, "height": 800})
    tab.set_default_timeout(60_000)
    page = Page(tab, [])

    def judge(route: Any) -> None:
        if route.request.url.startswith(url):
            route.continue_()
        else:
            page.beyond.append(route.request.url)
            route.abort()

    tab.route(re.compile("^(?!data:|blob:)"), judge)
    tab.on("websocket", lambda w: None if w.url.startswith(url.replace("http", "ws")) else page.beyond.append(w.url))
    tab.goto(url)
    return page


def picture(page: Page) -> Any:
    shot = np.frombuffer(page.tab.get_by_test_id("stDeckGlJsonChart").screenshot(), np.uint8)
    return cv2.imdecode(shot, cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def drawn(page: Page) -> Any:
    """The map's picture once the classes are on it: WebGL draws when it has time."""
    for _ in range(120):
        seen = picture(page)
        orange = (seen[..., 0] - seen[..., 2] > 60).mean()
        if orange > 0.02:
            return seen
        time.sleep(0.5)
    raise AssertionError("the map stays empty")


def test_a_zone_is_clicked_corrected_and_prescribed_and_nothing_leaves_the_machine(
    browser: Any, tmp_path: Path
) -> None:
    for url in served(tmp_path, f"--map={drawn_map(tmp_path)}"):
        page = opened(browser, url)
        page.tab.get_by_text("Zone 1 of 2").wait_for()
        words = page.text()
        assert "NOT EXAMINED 0.024 ha" in words and "potato late blight" in words
        assert "0.90" in words and "0.0216 ha" in words
        seen = drawn(page)
        # The weeds lie in the south-east and are blue; a click on them chooses their zone.
        ys, xs = np.nonzero(seen[..., 2] - seen[..., 0] > 40)
        assert len(ys) > 500, "the weeds are not on the map"
        page.settled()
        chart = page.tab.get_by_test_id("stDeckGlJsonChart")
        chart.click(position={"x": int(np.median(xs)), "y": int(np.median(ys))})
        page.tab.get_by_text("Zone 2 of 2").wait_for()
        page.press("1", "Recorded as no. 1")
        page.press("ArrowLeft", "Zone 1 of 2")
        page.press("2", "Recorded as no. 2")
        page.press("u", "Taken back")
        store = Store.open(str(tmp_path / "reviews.sqlite"))
        (verdict,) = store.standing().values()
        assert (verdict.action, verdict.label, verdict.reviewer) == (Action.REJECT, "healthy", "Dr. Feld")
        assert verdict.at and verdict.seconds > 0 and len(store.reviews()) == 3
        store.verify()

        page.panel("Spraying")
        page.tab.get_by_text("zones as a person judged them: 1").wait_for()
        assert "ceiling at 100 % recall" in page.text() and "% saved" in page.text()
        page.tab.get_by_role("button", name="Export the prescription").click()
        page.tab.get_by_text("no reason found why ISOBUS task controller").wait_for()
        out = tmp_path / "map-prescription-isoxml3"
        assert (out / "TASKDATA" / "TASKDATA.XML").is_file() and terminals.check(out, named("isoxml_v3")) == ()
        page.panel("Irrigation")
        page.tab.get_by_text("Not claimed: a gain in yield").wait_for()
        assert "NOT EXAMINED 0.024 ha" in page.text()
        assert page.beyond == []


def test_an_orthomosaic_alone_is_shown_without_a_model_and_is_all_not_examined(browser: Any, tmp_path: Path) -> None:
    drawn_map(tmp_path)
    for url in served(tmp_path):
        page = opened(browser, url)
        place = page.tab.get_by_label("Folder of a map, or an orthomosaic")
        place.fill(str(tmp_path / "field.tif"))
        place.press("Enter")
        page.tab.get_by_text("NOT EXAMINED 0.240 ha").first.wait_for()
        page.tab.get_by_text("This raster has not been mapped.").wait_for()
        assert page.beyond == []
