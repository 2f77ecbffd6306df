import base64
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from shared.reporting import doctor_page
from shared.reporting.diagnosis import findings


def rate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(80):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 255, (200, 300, 3), np.uint8))
    return tmp_path


def facts(**changes: Any) -> dict[str, Any]:
    group = {"paths": [f"{i}.png" for i in range(9)], "labels": ["a"] * 9, "splits": ["train"] * 9, "groups": [""] * 9}
    doubt = {"label": "a<b>", "likely": "c", "probability": 0.91, "given_probability": 0.02, "confident": True}
    odd = {"label": "a", "kind": "blurred", "value": 1.2, "limit": 2.0, "measure": "log10 variance of the Laplacian"}
    prop = {"name": "column camera", **rate(0.9), "recording": True, "named": True, "of_whole": 0.95}
    found = {
        "data": "set.csv", "images": 80, "labels": {"a<b>": 60, "c": 20}, "groups": {"a<b>": 60, "c": 20},
        "problems": [f"{i}.png: is empty" for i in range(70)], "needs": "", "backbone": {"note": "RANDOM"},
        "split": {"sentence": "a sentence", "leaked_before": 0.3, "given": True},
        "price": {"leaky": rate(0.9), "clean": rate(0.8), "points": 10.0, "low": 4.0, "high": 16.0,
                  "images": 20, "seeds": 3, "given": True},
        "whole": rate(0.85), "unmeasured_labels": [], "columns_passed_over": ["boxes"],
        "copies": {"exact": [group] * 20, "near": []},
        "contradictions": {"exact": [{"paths": ["0.png", "1.png"], "what": "two labels"}], "near": []},
        "suspects": [{"path": f"{i}.png", **doubt} for i in range(50)],
        "quality": [{"path": f"{i}.png", **odd} for i in range(30)],
        "shortcuts": {"chance": 0.5, "properties": [prop]}, "fixed": "f.csv", "changes": ["one thing was changed"],
    }  # fmt: skip
    found |= changes
    return found | {"findings": findings(found)}


def written(folder: Path, **changes: Any) -> str:
    doctor_page.write_page(facts(**changes), folder, folder / "page.html")
    return (folder / "page.html").read_text()


def test_the_page_loads_nothing_and_its_pictures_are_small_jpegs(folder: Path) -> None:
    page = written(folder)
    assert "://" not in page and 'src="data:image/jpeg;base64,' in page
    first = re.search(r"base64,([^\"]+)\"", page)
    assert first
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(first[1]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and max(picture.shape) == doctor_page.SIDE and picture.shape[:2] == (96, 144)


def test_lists_are_cut_and_say_how_many_more_there_are(folder: Path) -> None:
    page = written(folder)
    assert (
        page.count("<img")
        == 2 + doctor_page.GROUPS * doctor_page.IN_GROUP + doctor_page.SUSPECTS + doctor_page.OF_A_KIND
    )
    for more in (20 - doctor_page.GROUPS, 50 - doctor_page.SUSPECTS, 30 - doctor_page.OF_A_KIND, 70 - 50, 9 - 4):
        assert f"and {more} more" in page


def test_what_to_do_first_stands_first_and_every_link_has_its_section(folder: Path) -> None:
    page = written(folder)
    assert page.index("column camera 90.0 %") < page.index("have a copy or a sibling") < page.index("doubted")
    assert page.index('<ol class="findings">') < page.index("<h2")
    for section in re.findall(r'href="#(\w+)"', page):
        assert f'id="{section}"' in page


def test_labels_are_text_and_never_markup(folder: Path) -> None:
    page = written(folder)
    assert "a&lt;b&gt;" in page and "a<b>" not in page and "RANDOM" in page


def test_a_set_without_faults_says_so(folder: Path) -> None:
    nothing = {"exact": [], "near": []}
    page = written(
        folder, problems=[], suspects=[], quality=[], copies=nothing, contradictions=nothing, price=None, changes=[],
        shortcuts={"chance": 0.5, "properties": []}, split={"sentence": "s", "leaked_before": 0.0, "given": False},
    )  # fmt: skip
    assert "Nothing was found." in page and "Nothing leaks." in page and "<img" not in page


def test_an_image_that_is_gone_leaves_a_gap_and_not_an_error(folder: Path) -> None:
    (folder / "0.png").unlink()
    assert 'class="missing"' in written(folder)


def test_a_window_of_a_frame_is_cut_out(folder: Path) -> None:
    data = doctor_page.small_picture(folder, "3.png@10,20,50,40").split(",")[1]
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape[:2] == (40, 50)
