"""What a spreadsheet makes of an exported log: texts stay texts, numbers stay numbers."""

import csv
import json
from pathlib import Path

import pytest

from shared.records import Action, Review
from shared.review import export
from shared.review.items import Item
from shared.review.log import now
from shared.review.store import Store

TEXTS = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "see = 3", "see\r=1", "'", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_is_run_as_a_formula_and_numbers_stay_numbers(tmp_path: Path, text: str) -> None:
    store = Store.open(str(tmp_path / "r.sqlite"))
    store.add_items([Item(f"{text}.png", f"{text}.png", f"{text}.png", None, "SCR", 0.25, 0.5, batch=text)])
    store.record(Review(f"{text}.png", Action.CONFIRM, "SCR", text + "Anna", now(), 1.5, note=text))
    for ending in export.FORMATS:
        assert export.write(store, tmp_path / f"log.{ending}") == 1
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert not [v for v in row.values() if v.startswith(tuple("=+-@\t\r\n＝"))]
    assert row["note"].removeprefix("'") == text.removeprefix("'")
    assert row["note"].startswith("'") == (not text.startswith("see") and text != "")
    assert [float(row[name]) for name in ("seq", "seconds", "probability", "risk")] == [1, 1.5, 0.25, 0.5]
    assert json.loads((tmp_path / "log.jsonl").read_text())["note"] == text
