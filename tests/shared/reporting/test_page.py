from dataclasses import asdict
from pathlib import Path

from shared.reporting.page import write_page
from shared.reporting.rates import proportion


def test_the_page_shows_each_rate_with_count_and_interval_and_loads_nothing(tmp_path: Path) -> None:
    facts = {
        "recall": asdict(proportion(19, 20)),
        "overkill": asdict(proportion(0, 0)),
        "recall_per_type": {
            "SCR": {**asdict(proportion(3, 4)), "typed_right": 2},
            "DEN": {**asdict(proportion(0, 0)), "typed_right": 0},
        },
        "parts": {"pass": 1},
        "notes": ["SYNTHETIC <b>image</b>"],
        "without_answer": [],
        "length": 0.123456,
    }
    write_page("Report", facts, tmp_path / "page.html", names={"SCR": "scratch"})
    page = (tmp_path / "page.html").read_text()
    assert "95.0 %" in page and "75.1 .. 99.9 %" in page and ">20<" in page
    assert "no cases: nothing can be said" in page and "SCR scratch" in page
    assert "<th>typed right</th>" in page and '<td class="number">2</td>' in page
    assert "&lt;b&gt;image" in page and "[]" not in page and "0.123<" in page
    assert "src=" not in page and "href=" not in page


def test_keys_are_read_as_words_and_a_code_that_is_its_name_stands_once(tmp_path: Path) -> None:
    facts = {
        "treated_area_saved_at_95_recall": asdict(proportion(3, 4)),
        "recall_per_label": {"SCR": asdict(proportion(3, 4)), "late_blight": asdict(proportion(1, 2))},
    }
    write_page("Report", facts, tmp_path / "page.html", names={"SCR": "scratch", "late_blight": "late blight"})
    page = (tmp_path / "page.html").read_text()
    assert "treated area saved at 95 % recall" in page and "<h2>recall per label</h2>" in page
    assert "SCR scratch" in page and "late_blight" not in page and page.count("late blight") == 1
