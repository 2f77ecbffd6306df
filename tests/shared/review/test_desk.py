from dataclasses import replace
from pathlib import Path

import pytest

from shared.data import images
from shared.errors import ReviewError
from shared.records import Action, Verdict
from shared.review import log
from shared.review.desk import LOOK_S, Desk
from shared.review.items import FILE, NOT_EXAMINED, Item
from shared.review.store import Store
from shared.taxonomy import Label, Taxonomy


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(str(tmp_path / "r.sqlite"))
    items = [Item(f"i{n}", f"f{n}", "", None, ("SCR", "CRK")[n % 2], 0.9, 0.9 - n / 10) for n in range(4)]
    made.add_items(items)
    return made


def seat(store: Store, clock: Clock, reviewer: str = "Anna") -> Desk:
    desk = Desk(store, severity={"SCR": 1, "CRK": 1}, clock=clock)
    desk.reviewer = reviewer
    look(desk, clock)
    return desk


def look(desk: Desk, clock: Clock, seconds: float = 2.0, *, visible: bool = True) -> str | None:
    """One run of the page, and then the person looks at the picture for a while."""
    desk.refresh()
    upcoming = desk.upcoming()
    if upcoming:
        desk.shown(visible=visible)
    clock.now += seconds
    return upcoming[0].id if upcoming else None


def test_a_verdict_takes_the_time_since_the_picture_came_up(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    look(desk, clock, 1.5)
    assert desk.judge(desk.turn, Action.CONFIRM)
    (review,) = store.reviews()
    assert (review.item, review.label, review.seconds, review.reviewer) == ("i0", "SCR", 3.5, "Anna")


def test_a_bundle_that_says_labels_in_other_words_leaves_one_vocabulary_in_the_log(
    tmp_path: Path, clock: Clock
) -> None:
    labels = Taxonomy("1", (Label("DST", "dust", severity=0), Label("CRK", "crack", severity=4, aliases=("break",))))
    made = Store.open(str(tmp_path / "r.sqlite"))
    made.add_items([Item(f"i{n}", f"f{n}", "", None, ("dust", "break")[n], 0.9, 0.9) for n in range(2)])
    desk = Desk(made, severity={label.code: label.severity for label in labels.labels}, code=labels.code, clock=clock)
    desk.reviewer = "Anna"
    assert look(desk, clock) == "i1", "the graver first"
    assert desk.judge(desk.turn, Action.CONFIRM) and look(desk, clock) == "i0"
    assert desk.judge(desk.turn, Action.RELABEL, "DST")
    assert [(r.action, r.label) for r in made.reviews()] == [(Action.CONFIRM, "CRK"), (Action.CONFIRM, "DST")]


def test_the_same_press_twice_is_one_verdict(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    turn = desk.turn
    assert [desk.judge(turn, Action.CONFIRM), desk.judge(turn, Action.CONFIRM)] == [True, False]
    look(desk, clock)
    assert not desk.judge(turn, Action.REJECT)
    assert len(store.reviews()) == 1


def test_a_press_before_the_next_picture_could_be_seen_is_no_verdict(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    desk.judge(desk.turn, Action.REJECT)
    look(desk, clock, LOOK_S / 2)
    assert not desk.judge(desk.turn, Action.REJECT)
    assert "before the picture" in desk.message
    clock.now += LOOK_S
    assert desk.judge(desk.turn, Action.REJECT)
    assert [r.item for r in store.reviews()] == ["i0", "i1"]


def test_without_a_name_nothing_is_recorded(store: Store, clock: Clock) -> None:
    desk = seat(store, clock, reviewer="")
    assert not desk.judge(desk.turn, Action.CONFIRM)
    assert "name" in desk.message
    assert store.reviews() == []


def test_what_cannot_be_seen_is_never_ok_but_may_be_anything_else(store: Store, clock: Clock) -> None:
    desk = Desk(store, severity={}, clock=clock)
    desk.reviewer = "Anna"
    look(desk, clock, visible=False)
    assert not desk.judge(desk.turn, Action.REJECT)
    assert store.reviews() == []
    assert not desk.judge(desk.turn, Action.RELABEL, "OK") and "cannot be called OK" in desk.message
    assert store.reviews() == []
    assert desk.judge(desk.turn, Action.RELABEL, "CRK")
    look(desk, clock, visible=False)
    assert not desk.judge(desk.turn, Action.REJECT)


def test_an_unexamined_frame_comes_first_shown_whole_and_stays_unexamined_when_confirmed(
    store: Store, clock: Clock
) -> None:
    unseen = Item("part", "part", "", None, NOT_EXAMINED, 0.0, 1.0, verdict=Verdict.NOT_EXAMINED, examined=0.5)
    store.add_items([unseen])
    desk = seat(store, clock)
    assert desk.camera.whole
    desk.judge(desk.turn, Action.CONFIRM)
    assert store.standing()["part"].label == NOT_EXAMINED
    look(desk, clock)
    assert not desk.camera.whole


def test_the_label_that_was_proposed_is_a_confirmation_by_any_key(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    desk.judge(desk.turn, Action.RELABEL, "SCR")
    look(desk, clock)
    desk.judge(desk.turn, Action.RELABEL, "STA", note=" on the rim ")
    first, second = store.reviews()
    assert (first.action, second.action) == (Action.CONFIRM, Action.RELABEL)
    assert (second.label, second.note) == ("STA", "on the rim")


def test_skipped_items_come_back_last_and_keep_their_time(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    order = []
    for _ in range(4):
        desk.skip(desk.turn)
        order.append(look(desk, clock))
    assert order == ["i1", "i2", "i3", "i0"]
    desk.judge(desk.turn, Action.CONFIRM)
    assert store.reviews()[0].seconds == 4.0


def test_undo_brings_the_item_back_to_be_judged_again(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    desk.judge(desk.turn, Action.REJECT)
    assert look(desk, clock) == "i1"
    desk.undo(desk.turn)
    assert look(desk, clock) == "i0"
    assert desk.judge(desk.turn, Action.CONFIRM)
    assert store.standing()["i0"].action is Action.CONFIRM
    assert [r.action for r in store.reviews()] == [Action.REJECT, Action.UNDO, Action.CONFIRM]


def test_undo_with_nothing_to_take_back_says_so(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    desk.undo(desk.turn)
    assert "no verdict of Anna" in desk.message


def test_an_item_that_a_colleague_judged_meanwhile_is_told_and_left(store: Store, clock: Clock) -> None:
    anna = seat(store, clock)
    store.release("Anna")  # as after her time was up
    bea = seat(store, clock, "Bea")
    assert anna.judge(anna.turn, Action.CONFIRM)
    assert not bea.judge(bea.turn, Action.REJECT)
    assert "was judged by Anna" in bea.message
    assert look(bea, clock) == "i1"
    assert len(store.reviews()) == 1


def test_a_filter_shows_one_label_only(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    desk.label = "CRK"
    assert look(desk, clock) == "i1"
    desk.judge(desk.turn, Action.CONFIRM)
    assert look(desk, clock) == "i3"
    desk.judge(desk.turn, Action.CONFIRM)
    assert look(desk, clock) is None


def test_a_store_that_fails_loses_the_press_and_says_so(store: Store, clock: Clock, monkeypatch) -> None:
    desk = seat(store, clock)

    def fail(_review: object, **_options: object) -> int:
        raise ReviewError("store x: does not answer (disk full); nothing was recorded")

    monkeypatch.setattr(store, "record", fail)
    assert not desk.judge(desk.turn, Action.CONFIRM)
    assert "disk full" in desk.message
    assert look(desk, clock) == "i0"


def test_a_reading_keeps_the_item_in_a_new_turn_and_times_both_looks(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    turn = desk.turn
    assert desk.commit(turn, "CRK", "sure")
    assert not desk.judge(turn, Action.CONFIRM), "a key of the first look is no verdict"
    assert look(desk, clock, 3.0) == "i0"
    assert desk.reading(desk.items[0]) == store.readings()[0]
    assert desk.judge(desk.turn, Action.CONFIRM)
    assert [(r.action, r.seconds) for r in store.reviews()] == [(Action.READ, 2.0), (Action.CONFIRM, 3.0)]


def test_a_reading_without_an_answer_is_the_verdict_too(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    assert desk.commit(desk.turn, "CRK", "sure", verdict=Action.RELABEL)
    assert [(r.action, r.note) for r in store.reviews()] == [(Action.READ, "sure"), (Action.RELABEL, "sure")]
    assert look(desk, clock) == "i1"


def test_a_reading_that_is_the_verdict_too_is_recorded_with_it_or_not_at_all(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = seat(store, clock)

    def fail(*_arguments: object) -> int:
        raise ReviewError("the machine stops here")

    with monkeypatch.context() as stopped:
        stopped.setattr(log, "record", fail)
        assert not desk.commit(desk.turn, "CRK", "sure", verdict=Action.RELABEL)
    assert store.reviews() == []
    look(desk, clock)
    assert desk.commit(desk.turn, "CRK", "sure", verdict=Action.RELABEL)
    assert store.standing()["i0"].label == "CRK"


def test_what_cannot_be_seen_is_not_read(store: Store, clock: Clock) -> None:
    desk = Desk(store, severity={}, clock=clock)
    desk.reviewer = "Anna"
    look(desk, clock, visible=False)
    assert not desk.commit(desk.turn, "CRK", "") and "cannot be read" in desk.message and not store.reviews()


def test_an_item_that_was_renewed_on_the_screen_is_shown_anew_and_judged_then(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    (present,) = (i for i in store.items() if i.id == "i0")
    assert store.add_items([replace(present, label="CRK")]).replaced == 1
    assert not desk.judge(desk.turn, Action.CONFIRM) and "look at it again" in desk.message
    turn = desk.turn
    assert look(desk, clock) == "i0"
    assert not desk.judge(turn, Action.CONFIRM), "a key that was meant for the old finding"
    assert desk.judge(desk.turn, Action.CONFIRM) and store.standing()["i0"].label == "CRK"


@pytest.mark.parametrize("becomes", ["another picture", None])
def test_a_picture_that_was_changed_or_is_gone_since_it_was_shown_is_not_ok_and_not_read(
    store: Store, clock: Clock, tmp_path: Path, becomes: str | None
) -> None:
    file = tmp_path / "part.png"
    file.write_text("the part with the scratch")
    known = images.content_hash(file)[:16]
    place, whole = Item("a@1", "a", str(file), None, "SCR", 0.9, 1.0), Item("b", "b", str(file), None, "SCR", 0.9, 1.0)
    payloads = {"samples": [f"{known}@0,0,64,64"]}, {"samples": ["f" * 64], FILE: known}
    store.add_items([replace(i, payload=p) for i, p in zip((place, whole), payloads, strict=True)])
    desk = seat(store, clock)
    file.unlink() if becomes is None else file.write_text(becomes)
    for item in ("a@1", "b"):
        assert look(desk, clock) == item
        assert not desk.judge(desk.turn, Action.REJECT) and not desk.judge(desk.turn, Action.RELABEL, "OK")
        assert not desk.commit(desk.turn, "SCR", "")
        assert ("holds another picture now" if becomes else "cannot be read") in desk.message
        desk.skip(desk.turn)
    assert store.reviews() == []
    file.write_text("the part with the scratch")
    while look(desk, clock) != "a@1":
        desk.skip(desk.turn)
    assert desk.judge(desk.turn, Action.REJECT)


def test_another_order_keeps_the_present_item(store: Store, clock: Clock) -> None:
    desk = seat(store, clock)
    desk.rearrange(lambda items, arrivals: sorted(items, key=lambda i: i.id, reverse=True))
    assert [i.id for i in desk.upcoming()] == ["i0", "i3", "i2", "i1"] and set(desk.arrivals) == {
        "i0",
        "i1",
        "i2",
        "i3",
    }
