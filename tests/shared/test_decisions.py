from pathlib import Path

import pytest

from shared import decisions
from shared.records import Decision, Sample, Verdict
from shared.vertical import Case, Seen

SEEN = Seen(Sample("a", "a.png", 8, 8, frame="a.png"), {"x": 0.7, "y": 0.3}, 0.5)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_was_not_examined_has_no_score(verdict: Verdict) -> None:
    case = Case("a.png", (SEEN,), 1.0, (), None, None)
    written = decisions.line(Decision("a.png", verdict, ("why",)), case, Path("/pictures"))
    assert ("probabilities" in written) == (verdict is not Verdict.NOT_EXAMINED)
    assert written["shown"] == {"a.png": {"image": "/pictures/a.png", "box": None}}
