import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DataError
from shared.records import Box, Decision, Finding, Verdict, as_json, decision_from_json

boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(-50, 50),
    st.integers(-50, 50),
    st.integers(1, 40),
    st.integers(1, 40),
)


def test_an_empty_box_is_refused() -> None:
    with pytest.raises(DataError, match="is empty"):
        Box(3, 0, 3, 5)


@given(boxes, boxes)
def test_the_union_holds_both_and_touching_is_symmetric(a: Box, b: Box) -> None:
    union = a.union(b)
    assert union.x0 <= min(a.x0, b.x0) and union.y1 >= max(a.y1, b.y1)
    assert union.width <= a.width + b.width + 100 and a.intersects(b) == b.intersects(a)


def test_boxes_that_share_an_edge_touch_and_a_gap_is_counted() -> None:
    assert Box(0, 0, 10, 10).intersects(Box(10, 0, 20, 10))
    assert not Box(0, 0, 10, 10).intersects(Box(13, 0, 20, 10), gap=2)
    assert Box(0, 0, 10, 10).intersects(Box(13, 0, 20, 10), gap=3)


@given(st.none() | boxes, st.floats(0, 1))
def test_decisions_survive_json(region: Box | None, risk: float) -> None:
    finding = Finding("part 7", "scratch", 0.5, risk, region, 3.5, None, ("a@0,0,9,9", "b"), 0.25)
    facts = {"urgency": 1, "age_years": 43.0, "lesion": "L", "probabilities": {"MEL": risk}}
    decision = Decision("part 7", Verdict.FLAG, ("why", "and why"), (finding,), 0.75, facts)
    assert decision_from_json(json.loads(json.dumps(as_json(decision)))) == decision and hash(decision)
    plain = {name: value for name, value in as_json(decision).items() if name != "facts"}
    assert decision_from_json(plain).facts == {}  # lines that were written before a decision had facts
