import os
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared import decisions
from shared.errors import Problem
from shared.records import Decision, Sample, Verdict
from shared.vertical import Case, Seen

SEEN = Seen(Sample("a", "a.png", 8, 8, frame="a.png"), {"x": 0.7, "y": 0.3}, 0.5)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_was_not_examined_has_no_score(verdict: Verdict) -> None:
    case = Case("a.png", (SEEN,), 1.0, (), None, None)
    written = decisions.line(Decision("a.png", verdict, ("why",)), case, Path("/pictures"))
    assert ("probabilities" in written) == (verdict is not Verdict.NOT_EXAMINED)
    assert written["shown"] == {"a.png": {"image": "/pictures/a.png", "box": None, "file": SEEN.sample.id}}


def unseen(folder: Path, name: str = "part-7.png") -> str:
    case = Case(name, (), 0.0, (Problem(name, "is empty (0 bytes)"),), None, None)
    return str(decisions.line(Decision(name, Verdict.NOT_EXAMINED, ("why",)), case, folder)["content"])


def test_a_frame_that_could_not_be_read_is_another_one_when_another_file_bears_its_name(tmp_path: Path) -> None:
    (tmp_path / "part-7.png").touch()
    monday = unseen(tmp_path)
    assert unseen(tmp_path) == monday, "the same file, looked at again"
    os.utime(tmp_path / "part-7.png", ns=(0, 10**18))
    assert unseen(tmp_path) != monday


def test_a_frame_without_a_file_is_another_one_on_another_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    today = unseen(tmp_path)
    assert unseen(tmp_path) == today

    tomorrow = SimpleNamespace(now=lambda zone: datetime.now(zone) + timedelta(days=1))
    monkeypatch.setattr(decisions, "datetime", tomorrow)
    assert unseen(tmp_path) != today
