from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from shared.data import images
from shared.records import Action, Box, Verdict
from shared.review import desk as desks
from shared.review.items import NOT_EXAMINED, Item
from shared.review.store import Store


def script(store: str, reviewer: str) -> None:
    from shared.review import launch, ui
    from shared.taxonomy import Label, Taxonomy

    labels = (Label("SCR", "scratch"), Label("CRK", "crack", severity=4), Label("OK", "ok", ok=True, severity=0))
    words = ui.Words(frame="Part", how_to_get_items="Run this.", note="A standing note.")
    ui.page("Inspection", Taxonomy("1", labels), options=launch.Options(store, reviewer), words=words)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "LOOK_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    path = tmp_path / "f.png"
    images.write_png(path, np.full((300, 400, 3), 120, np.uint8))
    made = Store.open(str(tmp_path / "r.sqlite"))
    place = Box(50, 60, 90, 80)
    made.add_items(
        [
            Item("f_1*@50", "f_1*", str(path), place, "CRK", 0.8, 0.9, 0.5, 3.25, 0.75, reasons=("CRK above 0.1",)),
            Item("g@50", "g", str(path), place, "SCR", 0.8, 0.9),
            Item("h@50", "h", str(tmp_path / "gone.png"), place, "SCR", 0.7, 0.5),
        ]
    )
    return made


def page(store: Store | str, reviewer: str = "Anna") -> AppTest:
    where = store if isinstance(store, str) else str(store.where).removeprefix("sqlite:///")
    test = AppTest.from_function(script, args=(where, reviewer), default_timeout=20).run()
    assert not test.exception
    return test


def press(test: AppTest, start: str) -> AppTest:
    button = next(b for b in test.button if b.label.startswith(start))
    assert not button.disabled
    button.click().run()
    assert not test.exception
    return test


def shown(test: AppTest) -> str:
    return " ".join([*(m.value for m in test.markdown), *(c.value for c in test.caption)])


def test_three_keys_are_three_verdicts_and_the_page_says_when_it_is_done(store: Store) -> None:
    test = page(store)
    assert "crack" in shown(test)
    assert "CRK above 0\\.1" in shown(test)
    press(test, "It is: crack")
    press(test, "OK")
    press(test, "crack")
    found = {r.item: (r.action, r.label) for r in store.reviews()}
    assert found == {
        "f_1*@50": (Action.CONFIRM, "CRK"),
        "g@50": (Action.REJECT, "OK"),
        "h@50": (Action.RELABEL, "CRK"),
    }
    assert "Everything is judged" in test.success[0].value


def test_a_verdict_can_be_taken_back_while_the_rest_is_on_the_screens_of_others(store: Store) -> None:
    test = page(store)
    assert store.claim("g@50", "Bea", 600) and store.claim("h@50", "Cid", 600)
    press(test, "It is: crack")
    assert "on the screens of others" in test.info[0].value
    press(test, "Undo")
    assert [r.action for r in store.reviews()] == [Action.CONFIRM, Action.UNDO]
    assert any(b.label == "It is: crack" for b in test.button)


def test_what_was_recorded_is_said_in_words_and_not_in_codes(store: Store) -> None:
    test = press(page(store), "It is: crack")
    assert "Recorded as no. 1: crack, for f_1*" in shown(test).replace("\\", "")
    test = press(press(test, "OK"), "Undo")
    assert "Taken back: OK: nothing there, for g" in shown(test).replace("\\", "")


def test_the_numbers_of_the_item_are_beside_the_picture(store: Store) -> None:
    html = " ".join(str(element.proto.body) for element in page(store).get("html"))
    assert all(number in html for number in ("80.0% · 90.0%", "3.25 mm · 0.75 mm²", "0.50"))


def test_running_the_page_again_records_nothing(store: Store) -> None:
    test = press(page(store), "It is: crack")
    test.run()
    test.run()
    assert len(store.reviews()) == 1


def test_nothing_can_be_judged_before_a_name_is_given(store: Store) -> None:
    test = page(store, reviewer="")
    verdicts = [b for b in test.button if b.label.startswith(("It is", "OK", "crack", "Undo", "Skip"))]
    assert len(verdicts) == 5
    assert all(b.disabled for b in verdicts)
    test.text_input(key="name").input(" Bea ").run()
    press(test, "It is: crack")
    assert [r.reviewer for r in store.reviews()] == ["Bea"]


def test_a_missing_picture_is_one_line_and_can_be_anything_but_ok(store: Store) -> None:
    test = press(press(page(store), "Skip"), "Skip")
    (error,) = test.error
    assert "gone" in error.value
    assert next(b for b in test.button if b.label.startswith("OK")).disabled
    press(test, "It is: scratch")
    assert [r.item for r in store.reviews()] == ["h@50"]


def test_a_picture_that_was_changed_since_it_was_examined_is_one_line_and_can_be_anything_but_ok(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "f.png"
    seen = {"samples": [images.content_hash(path)[:16]]}
    store.add_items([Item("a", "a", str(path), None, "CRK", 1.0, 1.0, 2.0, payload=seen)])
    test = page(store)
    ok = next(b for b in test.button if b.label.startswith("OK"))
    images.write_png(path, np.full((300, 400, 3), 99, np.uint8))
    ok.click().run()
    assert not test.exception and store.reviews() == []
    (error,) = test.error
    assert "was changed after it was examined as a" in error.value
    assert next(b for b in test.button if b.label.startswith("OK")).disabled
    press(test, "It is: crack")
    assert [(r.item, r.action) for r in store.reviews()] == [("a", Action.CONFIRM)]


def test_undo_brings_the_item_back(store: Store) -> None:
    test = press(press(page(store), "OK"), "Undo")
    assert store.standing() == {}
    assert "crack" in test.markdown[1].value


def test_the_list_of_other_types_relabels_at_once(store: Store) -> None:
    test = page(store)
    test.selectbox(key=f"other-{test.session_state['desk'].turn}").select("SCR").run()
    assert store.reviews()[0].label == "SCR"


def test_a_note_goes_with_the_verdict_and_not_with_the_next(store: Store) -> None:
    test = page(store)
    test.text_input(key=f"note-{test.session_state['desk'].turn}").input("rim").run()
    press(press(test, "It is"), "It is")
    assert [r.note for r in store.reviews()] == ["rim", ""]


def test_a_filter_keeps_one_label(store: Store) -> None:
    test = page(store)
    test.selectbox(key="only").select("SCR").run()
    assert "scratch" in test.markdown[1].value
    assert "Part g" in test.markdown[2].value


def test_an_unexamined_frame_is_ok_only_by_a_key_of_its_own(store: Store, tmp_path: Path) -> None:
    image = str(tmp_path / "f.png")
    store.add_items([Item("p", "p", image, None, NOT_EXAMINED, 0.0, 1.0, verdict=Verdict.NOT_EXAMINED, examined=0.5)])
    test = page(store)
    assert "NOT EXAMINED" in shown(test)
    ok = next(b for b in test.button if b.label.startswith("OK"))
    assert (ok.label, ok.proto.shortcut.lower()) == ("OK: I inspected the part itself", "shift+o")
    press(test, "Stays not examined")
    assert store.standing()["p"].label == NOT_EXAMINED


def test_the_export_can_be_downloaded(store: Store) -> None:
    test = press(page(store), "It is")
    test.toggle[0].set_value(True).run()
    assert not test.exception
    assert [e.proto.label for e in test.get("download_button")] == ["Download CSV", "Download JSONL"]


def test_an_empty_store_says_in_one_line_how_to_get_items(tmp_path: Path) -> None:
    test = page(str(tmp_path / "new.sqlite"))
    assert "nothing to review" in test.info[0].value
    assert "Run this." in test.info[0].value
    assert not test.button


def test_a_file_that_is_no_store_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("no database, " * 100)
    test = page(str(tmp_path / "x.txt"))
    assert "cannot be opened" in test.error[0].value
    assert not test.button
