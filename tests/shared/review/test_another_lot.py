"""A lot whose frames are called like those of another never takes their place in the queue."""

import json
from pathlib import Path

import pytest

from shared import decisions
from shared.decide import decide
from shared.decisions import Line
from shared.errors import Problem, ReviewError
from shared.policy import Policy
from shared.records import Action, Box, Decision, Finding, Review, Sample, Verdict
from shared.review.items import NOT_EXAMINED
from shared.review.log import Added, now
from shared.review.store import Store
from shared.vertical import Case, Seen

A, B = "a" * 16, "b" * 16


def predicted(frame: str, sample: str, p_ok: float = 0.1, *, problem: str = "") -> Line:
    """What a prediction of one whole picture is read back as; with a problem, of one that could not be read."""
    seen = (Seen(Sample(sample, f"{frame}.png", 64, 64, frame=frame), {"ok": p_ok, "SCR": 1 - p_ok}, 0.1),)
    problems = (Problem(frame, problem),) if problem else ()
    case = Case(frame, () if problem else seen, float(not problem), problems, "ok", 0.5, ("ok",))
    record = json.loads(json.dumps(decisions.line(decide(case, Policy()), case, Path("/lot"))))
    shown = {key: decisions.Shown(value["image"]) for key, value in record["shown"].items()}
    return Line(decisions.decision_from_json(record), shown, record)


def tiled(*samples: str) -> Line:
    finding = Finding("strip", "SCR", 0.9, 0.9, Box(10, 10, 40, 20), samples=samples)
    return Line(Decision("strip", Verdict.FLAG, ("SCR",), (finding,)), {}, {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "r.sqlite"))


@pytest.mark.parametrize("judged", [True, False])
def test_another_picture_under_a_name_that_is_there_is_refused_and_nothing_is_added(store: Store, judged: bool) -> None:
    store.add([predicted("001", A), predicted("002", A)])
    if judged:
        store.record(Review("001", Action.CONFIRM, "SCR", "Anna", now(), 1.0))
    with pytest.raises(ReviewError, match=rf"'001'.*\({int(judged)} judged already\); nothing was added.*--store"):
        store.add([predicted("new", B), predicted("002", A, 0.2), predicted("001", B)])
    assert {i.id: (i.samples, i.risk) for i in store.items()} == {"001": ((A,), 0.9), "002": ((A,), 0.9)}


def test_one_file_of_findings_with_two_pictures_of_one_name_is_refused(store: Store) -> None:
    with pytest.raises(ReviewError, match="1 of the 1 items, first '001'"):
        store.add([predicted("001", A), predicted("001", B)])
    assert store.count_items() == 0


def test_a_file_that_could_not_be_read_and_what_comes_under_its_name_are_both_asked_about(store: Store) -> None:
    """Its reason says to copy it again: whoever did could not queue the lot any more."""
    cut, empty = predicted("001", A, problem="is cut off"), predicted("001", A, problem="is empty")
    assert [store.add([line]) for line in (cut, cut, empty)] == [Added(1, 0, 0), Added(0, 0, 1), Added(1, 0, 0)]
    assert store.add([predicted("001", A)]) == Added(1, 0, 0)
    unseen = [item for item in store.items() if item.label == NOT_EXAMINED]
    assert {item.frame for item in unseen} == {"001"} and len({item.id for item in unseen}) == 2
    store.record(Review(unseen[0].id, Action.CONFIRM, NOT_EXAMINED, "Anna", now(), 1.0))
    assert {i.id for i in store.items()} - set(store.standing()) == {"001", unseen[1].id}


@pytest.mark.parametrize("again", [tiled(f"{A}@0,0,64,64"), tiled(f"{A}@8,0,64,64", f"{A}@72,0,64,64")])
def test_the_same_picture_is_renewed_however_it_was_cut(store: Store, again: Line) -> None:
    store.add([tiled(f"{A}@0,0,64,64", f"{A}@64,0,64,64")])
    assert store.add([again]) == Added(0, 1, 0)
    with pytest.raises(ReviewError, match="another picture"):
        store.add([tiled(f"{A}@0,0,64,64", f"{B}@0,0,64,64")])


def test_the_same_picture_is_renewed_when_it_is_a_finding_now_and_was_a_whole_frame(store: Store) -> None:
    found = predicted("001", A)
    bare = Decision("001", Verdict.FLAG, ("risk 0.9 is flagged, though nothing shows where",))
    for line in (Line(bare, found.shown, found.extra), found, Line(bare, found.shown, found.extra)):
        added = store.add([line])
    assert added == Added(0, 1, 0)


def test_findings_that_share_an_id_are_items_of_their_own_in_any_order(store: Store) -> None:
    findings = [Finding("f", label, 0.9, 0.9, None, samples=(s,)) for label, s in (("SCR", A), ("CRK", B))]
    for order in (findings, findings[::-1]):
        added = store.add([Line(Decision("f", Verdict.FLAG, ("why",), tuple(order), 0.5), {}, {"content": "c"})])
    assert added == Added(0, 0, 3)
    assert {i.id: i.label for i in store.items()} == {f"f#SCR:{A}": "SCR", f"f#CRK:{B}": "CRK", "f#c": NOT_EXAMINED}
