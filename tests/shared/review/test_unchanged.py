"""From a prediction to a verdict with real files: judged is what was examined, whatever lies under its name by then."""

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared import decisions
from shared.data import images, sources
from shared.decide import decide
from shared.errors import DataError
from shared.policy import Policy
from shared.records import Action
from shared.review.desk import Desk
from shared.review.store import Store
from shared.review.view import Camera, Viewer
from shared.vertical import Case, Seen

CLEAN = np.full((64, 64, 3), 120, np.uint8)
SCRATCHED = cv2.line(CLEAN.copy(), (8, 8), (50, 40), (250, 250, 250), 3)


def predicted(folder: Path, examined: Sequence[float]) -> tuple[decisions.Line, ...]:
    """The findings of a folder, written and read back; ``examined`` is the share of each frame that was looked at."""
    found, where, _ = sources.samples(folder)
    out = folder.with_suffix(".jsonl")
    with decisions.writer(out) as stream:
        for sample, share in zip(sorted(found, key=lambda s: s.path), examined, strict=True):
            # Below 1 the frame is NOT EXAMINED as a whole, and its item carries the picture and no finding.
            p_ok = 0.1 if share == 1 else 0.99
            case = Case(
                sample.frame, (Seen(sample, {"ok": p_ok, "SCR": 1 - p_ok}, 0.1),), share, (), "ok", 0.5, ("ok",)
            )
            stream.write(json.dumps(decisions.line(decide(case, Policy()), case, where)) + "\n")
    return decisions.read(out)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    frames = tmp_path / "lot"
    frames.mkdir()
    images.write_png(frames / "flagged.png", SCRATCHED)
    images.write_png(frames / "unexamined.png", SCRATCHED[::-1])
    store = Store.open(str(tmp_path / "r.sqlite"))
    assert store.add(predicted(frames, (1.0, 0.5))).new == 2
    desk = Desk(store, severity={}, clock=count(0, 5).__next__)
    desk.reviewer = "Anna"
    return desk


def judged_ok(desk: Desk) -> bool:
    """As the page does it: the picture is drawn where it can be, then the person says OK."""
    desk.refresh()
    (item, *_) = desk.upcoming()
    try:
        Viewer().get(item, Camera(), (480, 360))
        desk.shown(visible=True)
    except DataError:
        desk.shown(visible=False)
    return desk.judge(desk.turn, Action.REJECT)


def test_the_next_part_under_the_name_of_the_last_is_not_judged_in_its_place(desk: Desk, tmp_path: Path) -> None:
    for name in ("flagged", "unexamined"):
        images.write_png(tmp_path / "lot" / f"{name}.png", CLEAN)
    for _ in range(2):
        assert not judged_ok(desk) and "was changed after it was examined" in desk.message
        desk.skip(desk.turn)
    assert desk.store.reviews() == []


def test_what_is_still_as_it_was_examined_is_judged(desk: Desk) -> None:
    assert judged_ok(desk) and judged_ok(desk) and len(desk.store.standing()) == 2
