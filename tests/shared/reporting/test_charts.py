import re
from xml.etree import ElementTree

import pytest

from shared.reporting import charts

BINS = [
    {"confidence": 0.5, "accuracy": 0.25, "low": 0.1, "high": 0.6, "n": 8},
    {"confidence": 0.9, "accuracy": 1.0, "low": 0.7, "high": 1.0, "n": 8},
]


def test_a_bar_reaches_its_share_and_the_whisker_its_interval() -> None:
    chart = ElementTree.fromstring(charts.interval_bar(0.5, 0.25, 0.75, "half"))
    assert chart.findall("rect")[1].get("width") == "100"
    assert chart.find("path").get("d").startswith("M50 8H150")  # type: ignore[union-attr]


def test_no_cases_have_no_bar() -> None:
    assert len(ElementTree.fromstring(charts.interval_bar(None, 0, 1, "none"))) == 1


def test_words_never_become_markup() -> None:
    said = "a \"b\" <c> & 'd'"
    assert ElementTree.fromstring(charts.interval_bar(0.5, 0.2, 0.7, said)).get("aria-label") == said
    stages = [{"name": said, "seconds": 2.0}]
    assert said in ElementTree.fromstring(charts.time_bar(stages, 0)).get("aria-label", "")


def test_the_reliability_curve_stands_on_the_diagonal_where_confidence_is_right() -> None:
    right = [{**b, "accuracy": b["confidence"]} for b in BINS]
    for dot in ElementTree.fromstring(charts.reliability([], right)).findall("circle"):
        x, y = float(dot.get("cx", "")), float(dot.get("cy", ""))
        assert (x - 46) == pytest.approx(260 - (y - 10))


def test_before_and_after_differ_in_more_than_colour() -> None:
    chart = ElementTree.fromstring(charts.reliability(BINS, BINS))
    assert len(chart.findall("circle")) == 2 and len(chart.findall("rect")) == 2
    assert "50% stated, 25% right of 8" in chart.get("aria-label", "") and "Before: 50%" in chart.get("aria-label", "")


@pytest.mark.parametrize("low", [0.0, 0.55, 1.0])
def test_a_learning_curve_stays_inside_its_frame(low: float) -> None:
    points = [{"n": n, "balanced_accuracy": (low + 1) / 2, "low": low, "high": 1.0} for n in (400, 100, 102)]
    chart = ElementTree.fromstring(charts.learning_curve(points))
    inside = [float(c.get("cy", "")) for c in chart.findall("circle")]
    assert all(10 <= y <= 270 for y in inside)
    xs = [float(c.get("cx", "")) for c in chart.findall("circle")]
    assert xs == sorted(xs)
    band = [float(v) for v in re.findall(r",([\d.]+)", chart.find("polygon").get("points"))]  # type: ignore[union-attr]
    assert all(10 <= y <= 270 for y in band)


def test_parts_of_the_time_add_up_to_the_budget() -> None:
    chart = ElementTree.fromstring(charts.time_bar([{"name": "a", "seconds": 30}, {"name": "b", "seconds": 10}], 80))
    assert [r.get("width") for r in chart.findall("rect")] == ["700", "262.5", "87.5", "700"]
    over = ElementTree.fromstring(charts.time_bar([{"name": "a", "seconds": 100}], 80))
    assert [r.get("width") for r in over.findall("rect")] == ["700", "700"]


def test_a_heat_map_draws_what_was_counted() -> None:
    chart = ElementTree.fromstring(charts.heat_map([[3, 1], [0, 0]], "map"))
    cells = [(c.get("x"), c.get("y"), c.get("fill-opacity")) for c in chart.findall("rect")[1:]]
    assert cells == [("0", "0", "0.81"), ("1", "0", "0.44")]


@pytest.mark.parametrize("colour", [*charts.STAGE_COLOURS, charts.INK, charts.STRONG, charts.SECOND])
def test_colours_have_the_contrast_that_is_claimed(colour: str) -> None:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) > 4.5
