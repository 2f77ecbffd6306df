"""A defect that reaches into two pieces of one strip, from the ingest to the reviewer."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from shared import decisions
from shared.records import Action, Review
from shared.review.items import Item
from shared.review.log import now
from shared.review.store import Store
from shared.review.view import Camera, render
from shared.updating import verdicts
from shared.vertical import Case, Seen
from verticals.industrial.decide import decide

module = import_module("verticals.industrial.ingest")  # the package's attribute of that name is the function
SCRATCH = range(100, 380)
SPECK = range(188, 196)


def queued(tmp_path: Path, lines: range) -> list[Item]:
    """What is asked about a defect in these lines of a strip whose pieces are lines 0 to 207 and 176 to 399."""
    pixels = np.random.default_rng(0).integers(90, 110, (400, 128)).astype(np.uint8)
    pixels[lines.start : lines.stop, 60:68] = 255
    (tmp_path / "roll.raw").write_bytes(pixels.tobytes())
    note = 'width = 128\npixel_format = "Mono8"\nline_rate_hz = 9000\nmm_per_px = [0.05, 0.05]\n'
    (tmp_path / "roll.toml").write_text(note)
    ingested = module.ingest(tmp_path / "roll.raw", tmp_path / "out")
    assert len({sample.path for sample in ingested.samples}) == 2
    seen = []
    for sample in ingested.samples:
        top = sample.origin[1]
        cells = np.zeros((16, 16), bool)
        cells[[y for y in range(16) if any(top + 8 * y <= line < top + 8 * y + 8 for line in lines)], 7:9] = True
        risk = 0.9 if cells.any() else 0.01
        place = np.stack([np.ones((16, 16)), np.where(cells, 9.0, 0.0)]).astype(np.float32)
        seen.append(Seen(sample, {"OK": 1 - risk, "SCR": risk}, 0.1, place))
    case = Case("roll", tuple(seen), 1.0, (), "OK", 0.5)
    record = decisions.line(decide(case, None), case, tmp_path / "out")
    (tmp_path / "findings.jsonl").write_text(json.dumps(record))
    store = Store.open(str(tmp_path / "reviews.sqlite"))
    store.add(decisions.read(tmp_path / "findings.jsonl"))
    return sorted(store.items(), key=lambda item: item.id)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIECE_PIXELS", 128 * 96 * 2)


def test_a_scratch_across_two_pieces_is_shown_in_both_and_called_ok_in_neither_by_the_other(tmp_path: Path) -> None:
    first, second = queued(tmp_path, SCRATCH)
    assert (first.id + "/2", first.length_mm) == (second.id, second.length_mm)
    lines = []
    for item in (first, second):
        assert item.box is not None
        top = int(Path(item.image).stem.rpartition(".")[2])
        height = render(item, Camera(whole=True), (500, 500)).size_wh[1]
        lines += range(top + item.box.y0, top + min(item.box.y1, height))
    assert set(lines) >= set(SCRATCH), "every line of it is outlined in one of the pictures"
    store = Store.open(str(tmp_path / "reviews.sqlite"))
    store.record(Review(first.id, Action.REJECT, "OK", "Anna", now(), 1.0), shown=first.digest)
    assert {item.id for item in store.items()} - set(store.standing()) == {second.id}
    taught, problems = verdicts.read(tmp_path / "reviews.sqlite", None)
    assert {str(row.sample.path) for row in taught.rows} == {first.image} and problems == ()


def test_a_defect_that_one_piece_shows_whole_is_asked_about_once(tmp_path: Path) -> None:
    (item,) = queued(tmp_path, SPECK)
    assert item.box is not None and not any("reaches into" in reason for reason in item.reasons)
