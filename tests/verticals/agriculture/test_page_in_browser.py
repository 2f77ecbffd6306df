"""The agronomists' page as it is: started by its real command, driven in a real browser, with every request watched."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import verticals.agriculture
from shared.records import Action
from shared.review.store import Store
from tests.conftest import WEBGL, PageServer
from verticals.agriculture.mapping import field_map
from verticals.agriculture.mapping.painting import provenance
from verticals.agriculture.spraying import terminals
from verticals.agriculture.spraying.terminal_profiles import named

pytest.importorskip("geopandas")
pytest.importorskip("pydeck")
rasterio = pytest.importorskip("rasterio")
APP = Path(verticals.agriculture.__file__).with_name("app.py")
LABELS = ("healthy", "potato_late_blight", "weed")
UTM, WEST, NORTH = "EPSG:32632", 565000.0, 5540040.0
pytestmark = [pytest.mark.long, pytest.mark.parametrize("tab", [WEBGL], indirect=True, ids=["webgl"])]


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

    def pick(self, box: str, option: str) -> None:
        """Choose from a list by the words before it; typing brings what is far down."""
        self.settled()
        field = self.tab.get_by_role("combobox", name=box)
        field.click()
        field.fill(option)
        self.tab.get_by_role("option", name=option, exact=True).click()
        self.settled()

    def panel(self, name: str) -> None:
        self.tab.get_by_test_id("stButtonGroup").get_by_text(name).click()
        self.settled()


def drawn_map(folder: Path, patches: int = 1) -> Path:
    """60 m x 40 m in cells of 0.4 m: blight in the north-west, weeds in the south-east, the last 6 m NOT EXAMINED.

    Blight comes in one patch, or in several with healthy strips of 0.8 m between them.
    """
    rgb = np.random.default_rng(0).integers(60, 120, (3, 400, 600), dtype=np.uint8)
    raster = folder / "field.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "width": 600, "height": 400, "crs": UTM}
    with rasterio.open(raster, "w", **profile, transform=rasterio.Affine(0.1, 0, WEST, 0, -0.1, NORTH)) as target:
        target.write(rgb)
    blight, weeds = np.full((100, 150), 0.01, np.float32), np.full((100, 150), 0.03, np.float32)
    blight[10:40, 15:60], weeds[70:90, 95:125] = 0.9, 0.8
    for i in range(1, patches):
        blight[10:40, 15 + 45 * i // patches : 17 + 45 * i // patches] = 0.01
    validity = np.full((100, 150), field_map.EXAMINED, np.uint8)
    validity[:, 135:] = field_map.NOT_EXAMINED
    rows = field_map.Rows(0, np.stack([1 - blight - weeds, blight, weeds]), validity)
    grid = field_map.Grid(UTM, (0.4, 0.0, WEST, 0.0, -0.4, NORTH), 150, 100)
    facts = {"raster": provenance(raster), "bundle": {"name": "b", "hash": "b2" * 32}}
    field_map.write(folder / "map", [rows], grid, LABELS, ok_label="healthy", facts=facts)
    return folder / "map"


@pytest.fixture
def opened(tab: Any, page_server: Callable[..., PageServer], tmp_path: Path) -> Callable[..., Page]:
    """Starts the page and opens it in a tab whose requests beyond it are refused and written down."""

    def start(*more: str, reviewer: str = "Dr. Feld") -> Page:
        server = page_server(APP, tmp_path / "reviews.sqlite", tmp_path, reviewer=reviewer, more=more)
        server.start()
        url, page = server.url, Page(tab, [])

        def judge(route: Any) -> None:
            if route.request.url.startswith(url):
                route.continue_()
            else:
                page.beyond.append(route.request.url)
                route.abort()

        def socket(opened: Any) -> None:
            if not opened.url.startswith(url.replace("http", "ws")):
                page.beyond.append(opened.url)

        tab.set_viewport_size({"width": 1366, "height": 800})
        tab.route(re.compile("^(?!data:|blob:)"), judge)
        tab.on("websocket", socket)
        tab.goto(url)
        return page

    return start


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
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened(f"--map={drawn_map(tmp_path)}")
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
    for _ in range(6):  # what was hit is read from a picture that WebGL draws when it has time
        chart.click(position={"x": int(np.median(xs)), "y": int(np.median(ys))})
        page.settled()
        if "Zone 2 of 2" in page.text():
            break
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
    box = page.tab.get_by_role("combobox", name="Terminal")
    assert box.input_value() == "ISOBUS task controller, TASKDATA V3.3"
    wide, seen = box.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide <= seen, "the name of the terminal is cut"
    page.tab.get_by_role("button", name="Export the prescription").click()
    page.tab.get_by_text("no reason found why ISOBUS task controller").wait_for()
    out = tmp_path / "map-prescription-isoxml3"
    ordered = json.loads((tmp_path / "map-prescription-isoxml3.json").read_text())
    assert (ordered["ordered_by"], ordered["zones"], ordered["zones_judged"]) == ("Dr. Feld", 2, 1)
    assert (out / "TASKDATA" / "TASKDATA.XML").is_file() and terminals.check(out, named("isoxml_v3")) == ()
    page.panel("Irrigation")
    page.tab.get_by_text("Not claimed: a gain in yield").wait_for()
    assert "NOT EXAMINED 0.024 ha" in page.text()
    assert page.beyond == []


def test_an_order_has_a_name_and_says_what_it_rests_on(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened(f"--map={drawn_map(tmp_path)}")
    page.tab.get_by_text("Zone 1 of 2").wait_for()
    page.panel("Spraying")
    page.tab.get_by_text("Ordered by Dr. Feld: 0 of 2 zones judged by a person; the rest is").wait_for()
    assert "not measured in the field" in page.text() and "This saves nothing" in page.text()
    name = page.tab.get_by_label("Your name")
    name.fill("")
    name.press("Enter")
    page.tab.get_by_text("an order is signed").wait_for()
    assert page.tab.get_by_role("button", name="Export the prescription").is_disabled()
    assert not list(tmp_path.glob("map-prescription*"))


def test_a_name_that_was_given_takes_no_key_of_a_verdict(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened(f"--map={drawn_map(tmp_path)}", reviewer="")
    page.tab.get_by_text("Zone 1 of 2").wait_for()
    name = page.tab.get_by_label("Your name")
    name.fill("A. Groß")
    name.press("Enter")
    page.tab.get_by_role("button", name="Undo my last", disabled=False).wait_for()
    page.tab.keyboard.press("u")
    page.tab.get_by_text("There is nothing to take back").wait_for()
    page.panel("Spraying")
    page.tab.get_by_text("Ordered by A. Groß: 0 of 2 zones").wait_for()
    assert page.tab.get_by_label("Your name").input_value() == "A. Groß"
    assert Store.open(str(tmp_path / "reviews.sqlite")).reviews() == []


def test_labels_are_merged_and_split_and_taken_back_whole(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened(f"--map={drawn_map(tmp_path, patches=3)}")
    page.tab.get_by_text("Zone 1 of 4").wait_for()
    store = Store.open(str(tmp_path / "reviews.sqlite"))

    def said() -> list[tuple[str, str]]:
        return sorted((review.label, review.note) for review in store.standing().values())

    page.tab.get_by_text("Merge or split labels").click()
    page.settled()
    assert page.tab.get_by_role("button", name="Choose what they become").is_disabled()
    page.pick("Zones now called", "potato late blight")
    page.pick("become", "weed")
    page.tab.get_by_role("button", name="Merge 3 zones into weed").click()
    page.tab.get_by_text("3 zones recorded, 0 were judged before and stay").wait_for()
    page.tab.get_by_text("0.000 ha as judged").wait_for()
    assert "potato late blight 0.020 ha by the model, 0.000 ha as judged" in page.text()
    assert said() == 3 * [("weed", "merged: potato_late_blight to weed, 3 zones")]
    page.press("u", "Taken back: 3 zones")
    assert said() == [] and len(store.reviews()) == 6
    store.verify()

    # One zone is split off; then a merge of the rest leaves it as it was judged.
    page.pick("Zones now called", "potato late blight")
    page.pick("Only these zones", "2")
    page.tab.keyboard.press("Escape")
    page.pick("become", "healthy")
    page.tab.get_by_role("button", name="Split off 1 zone into healthy").click()
    page.tab.get_by_text("1 zone recorded, 0 were judged before and stay").wait_for()
    assert said() == [("healthy", "split off: potato_late_blight to healthy, 1 zones")]
    page.pick("Zones now called", "potato late blight")
    page.pick("become", "weed")
    page.tab.get_by_role("button", name="Merge 2 zones into weed").click()
    page.tab.get_by_text("2 zones recorded, 0 were judged before and stay").wait_for()
    assert [label for label, _ in said()] == ["healthy", "weed", "weed"]
    assert page.beyond == []


def test_an_orthomosaic_alone_is_shown_without_a_model_and_is_all_not_examined(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    drawn_map(tmp_path)
    page = opened()
    place = page.tab.get_by_label("Folder of a map, or an orthomosaic")
    place.fill(str(tmp_path / "field.tif"))
    place.press("Enter")
    page.tab.get_by_text("NOT EXAMINED 0.240 ha").first.wait_for()
    page.tab.get_by_text("This raster has not been mapped.").wait_for()
    assert page.beyond == []
