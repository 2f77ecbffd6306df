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
