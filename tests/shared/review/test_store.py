import json
import multiprocessing
import sqlite3
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.decisions import Line, Shown
from shared.errors import ReviewError
from shared.records import Action, Box, Decision, Finding, Review, Verdict
from shared.review import export
from shared.review.chain import Head
from shared.review.items import NOT_EXAMINED
from shared.review.log import Added
from shared.review.store import Store


def line(frame: str, *, sample: str = "s", probability: float = 0.9, examined: float = 1.0) -> Line:
    finding = Finding(frame, "SCR", probability, 0.95, Box(10, 10, 40, 20), 1.5, 0.3, (sample,))
    decision = Decision(frame, Verdict.FLAG, ("SCR: risk 0.95",), (finding,), examined)
    return Line(decision, {finding.id: Shown(f"/p/{frame}.png", finding.region), frame: Shown(f"/p/{frame}.png")}, {})


def bare(frame: str, verdict: Verdict, *, examined: float = 1.0) -> Line:
    return Line(Decision(frame, verdict, ("because",), (), examined), {}, {})


def item(number: int) -> str:
    return f"f{number}@10,10,30,10"


def verdict(number: int, action: Action = Action.CONFIRM, *, who: str = "Anna", **change: object) -> Review:
    fields = {"item": item(number), "label": "SCR", "at": "2026-11-23T08:00:00+00:00", "seconds": 2.5, **change}
    return Review(action=action, reviewer=who, **fields)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.sqlite"


@pytest.fixture
def store(path: Path) -> Store:
    made = Store.open(str(path))
    made.add([line(f"f{i}") for i in range(5)])
    return made


def tampered(path: Path, *statements: str) -> None:
    """Somebody with write access takes the triggers away and changes rows behind the store's back."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DROP TRIGGER reviews_no_update")
        connection.execute("DROP TRIGGER reviews_no_delete")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_flagged_and_unexamined_frames_are_queued_and_passed_ones_are_not(path: Path) -> None:
    store = Store.open(str(path))
    rows = [line("a"), line("b", examined=0.8), bare("c", Verdict.PASS), bare("d", Verdict.NOT_EXAMINED, examined=0.0)]
    assert store.add([*rows, bare("e", Verdict.FLAG)]) == Added(new=5, replaced=0, kept=0)
    found = {i.id: i for i in store.items()}
    assert set(found) == {"a@10,10,30,10", "b@10,10,30,10", "b", "d", "e"}
    assert found["b"].label == found["d"].label == NOT_EXAMINED
    assert found["a@10,10,30,10"].box == Box(10, 10, 40, 20)
    assert found["a@10,10,30,10"].payload["length_mm"] == 1.5


def test_adding_the_same_decisions_again_changes_nothing(store: Store) -> None:
    assert store.add([line(f"f{i}") for i in range(5)]) == Added(0, 0, 5)
    assert store.count_items() == 5


def test_a_new_prediction_replaces_an_item_until_it_is_judged(store: Store) -> None:
    store.record(verdict(0))
    assert store.add([line("f0", probability=0.2), line("f1", probability=0.2)]) == Added(0, 1, 1)
    assert {i.id: i.probability for i in store.items()}[item(1)] == 0.2
    store.verify()


def test_a_verdict_comes_back_as_it_was_given_with_the_number_of_its_row(store: Store) -> None:
    given = verdict(2, Action.RELABEL, label="CRK", note="see lot 7, 'Ü'")
    assert [store.record(verdict(1)), store.record(given)] == [1, 2]
    assert store.reviews()[1] == given
    assert store.reviews(after=1) == [given]
    assert store.standing() == {item(1): verdict(1), item(2): given}
    store.verify()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"item": "nowhere"}, "has no item"),
        ({"who": " "}, "has no reviewer"),
        ({"label": ""}, "has no label"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": -1.0}, "seconds"),
        ({"at": "2026-11-23T08:00:00"}, "UTC"),
        ({"at": "yesterday"}, "UTC"),
        ({"action": Action.UNDO}, "call undo"),
    ],
)
def test_an_incomplete_verdict_is_refused_in_one_sentence(store: Store, change: dict[str, object], says: str) -> None:
    with pytest.raises(ReviewError, match=says):
        store.record(verdict(0, **change))  # type: ignore[arg-type]
    assert store.reviews() == []


def test_an_item_has_at_most_one_standing_verdict(store: Store) -> None:
    store.record(verdict(0))
    with pytest.raises(ReviewError, match="was judged by Anna"):
        store.record(verdict(0, Action.REJECT, who="Bea", label="OK"))
    assert len(store.reviews()) == 1


def test_undo_takes_back_the_latest_standing_verdict_of_that_reviewer_only(store: Store) -> None:
    for number, who in ((0, "Anna"), (1, "Anna"), (2, "Bea")):
        store.record(verdict(number, who=who))
    assert store.undo("Anna", 1.0) == verdict(1)
    assert store.undo("Anna", 1.0) == verdict(0)
    assert store.undo("Anna", 1.0) is None
    assert list(store.standing()) == [item(2)]
    assert [(r.action, r.undoes) for r in store.reviews()[3:]] == [(Action.UNDO, 2), (Action.UNDO, 1)]
    assert store.record(verdict(1, who="Bea")) == 6
    store.verify()


@pytest.mark.parametrize("change", ["UPDATE reviews SET label = 'OK'", "DELETE FROM reviews"])
def test_the_database_itself_refuses_to_change_the_log(store: Store, path: Path, change: str) -> None:
    store.record(verdict(0))
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change)
    connection.close()


_SWAP = (
    "UPDATE reviews SET seq = 99 WHERE seq = 2",
    "UPDATE reviews SET seq = 2 WHERE seq = 3",
    "UPDATE reviews SET seq = 3 WHERE seq = 99",
)


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (("UPDATE reviews SET label = 'OK' WHERE seq = 2",), "row 2 .*altered"),
        (("UPDATE reviews SET seconds = 2.501 WHERE seq = 3",), "row 3 .*altered"),
        (("DELETE FROM reviews WHERE seq = 2",), "row 2 is missing"),
        (("DELETE FROM reviews WHERE seq = 1",), "row 1 is missing"),
        (_SWAP, "row 2 does not follow"),
        (("DELETE FROM reviews WHERE seq >= 3",), "row 3 is the first that is missing"),
        (("DELETE FROM reviews",), "row 1 is the first that is missing"),
        (("UPDATE items SET probability = 0.1 WHERE id = 'f1@10,10,30,10'",), "row 2: its item .*altered"),
        (("UPDATE head SET length = 2",), "4 rows, 2 were written"),
    ],
)
def test_verify_names_the_first_row_that_is_not_as_written(
    store: Store, path: Path, statements: tuple[str, ...], says: str
) -> None:
    for number in range(4):
        store.record(verdict(number))
    store.verify()
    tampered(path, *statements)
    with pytest.raises(ReviewError, match=says):
        store.verify()


def test_a_log_made_anew_is_found_by_a_head_that_was_written_down(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        store.record(verdict(number))
    known = store.head()
    store.record(verdict(3))
    store.verify(known=known)
    forged = Store.open(str(tmp_path / "forged.sqlite"))
    forged.add([line(f"f{i}") for i in range(5)])
    for number in range(3):
        forged.record(verdict(number, Action.REJECT, label="OK"))
    forged.verify()
    with pytest.raises(ReviewError, match="another hash than was written down"):
        forged.verify(known=known)
    with pytest.raises(ReviewError, match="3 rows, 9 were written down"):
        forged.verify(known=Head(9, known.hash))


def _write_many(url: str, who: str, numbers: range, together: Barrier) -> None:
    store = Store.open(url)
    together.wait(60)
    for number in numbers:
        store.record(verdict(number, who=who))


def write_from_two_processes(url: str) -> Store:
    store = Store.open(url)
    store.add([line(f"f{i}") for i in range(200)])
    context = multiprocessing.get_context("spawn")
    jobs = [("Anna", range(100)), ("Bea", range(100, 200))]
    together = context.Barrier(2)
    writers = [context.Process(target=_write_many, args=(url, who, numbers, together)) for who, numbers in jobs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    return store


def test_two_processes_lose_nothing_and_make_no_fork(path: Path) -> None:
    store = write_from_two_processes(str(path))
    assert set(store.standing()) == {item(i) for i in range(200)}
    assert store.head().count == 200
    store.verify()


def test_a_locked_store_says_so_in_one_sentence(store: Store, path: Path) -> None:
    impatient = Store.open(str(path), wait_s=0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(ReviewError, match=r"does not answer \(database is locked\); nothing was recorded"):
        impatient.record(verdict(0))
    holder.execute("ROLLBACK")
    holder.close()
    assert impatient.record(verdict(0)) == 1


@pytest.mark.parametrize(
    "url", ["sqlite:///file:{path}?mode=ro&uri=true", "nosuchbase://x", "sqlite:////dev/null/x.sqlite", "a://b://c"]
)
def test_an_unusable_address_is_one_sentence(store: Store, path: Path, url: str) -> None:
    with pytest.raises(ReviewError) as caught:
        Store.open(url.format(path=path)).record(verdict(0))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    note = tmp_path / "notes.txt"
    note.write_text("not a database, " * 100)
    with pytest.raises(ReviewError, match="cannot be opened"):
        Store.open(str(note))
    assert note.read_text().startswith("not a database")


@pytest.mark.parametrize("ending", export.FORMATS)
def test_an_export_holds_every_row_and_says_which_stand(store: Store, tmp_path: Path, ending: str) -> None:
    store.record(verdict(0))
    store.record(verdict(1, note="with, comma\nand line"))
    store.undo("Anna", 0.5)
    target = tmp_path / f"log.{ending}"
    assert export.write(store, target) == 3
    if ending == "jsonl":
        rows = [json.loads(row) for row in target.read_text().splitlines()]
        assert [row["standing"] for row in rows] == [True, False, False]
        assert rows[-1]["hash"] == store.head().hash
        assert rows[0]["image"] == "/p/f0.png"
    else:
        import pandas as pd

        table = pd.read_csv(target)
        assert table["standing"].tolist() == [True, False, False]
        assert table["note"].tolist()[1] == "with, comma\nand line"


def test_an_export_to_an_unknown_ending_writes_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="allowed are csv, jsonl"):
        export.write(store, tmp_path / "log.xlsx")
    assert not (tmp_path / "log.xlsx").exists()


@pytest.mark.long
def test_postgresql_keeps_the_same_promises(postgres_url: str) -> None:
    store = write_from_two_processes(postgres_url)
    assert set(store.standing()) == {item(i) for i in range(200)}
    store.verify()
    assert store.undo("Bea", 1.0) is not None
    engine = sa.create_engine(postgres_url)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM reviews")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER reviews_no_change ON reviews")
        connection.exec_driver_sql("UPDATE reviews SET label = 'OK' WHERE seq = 7")
    with pytest.raises(ReviewError, match=r"row 7 .*altered"):
        store.verify()
    engine.dispose()
    store.close()


def test_a_reading_stands_before_the_verdict_in_one_chain_and_cannot_be_taken_back(store: Store) -> None:
    store.remark(verdict(0, Action.READ, label="CRK", note="sure"))
    with pytest.raises(ReviewError, match="has read or judged it already"):
        store.remark(verdict(0, Action.READ))
    assert store.standing() == {} and store.undo("Anna") is None
    store.record(verdict(0))
    store.verify()
    assert [(r.action, r.label) for r in store.reviews()] == [(Action.READ, "CRK"), (Action.CONFIRM, "SCR")]
    assert [r.label for r in store.readings()] == ["CRK"]
    assert [row["standing"] for row in store.table()] == [False, True]


def test_who_has_seen_the_answer_makes_no_first_reading_any_more(store: Store) -> None:
    store.record(verdict(0))
    with pytest.raises(ReviewError, match="a first reading comes before that"):
        store.remark(verdict(0, Action.READ, who="Bea"))
    store.undo("Anna")
    with pytest.raises(ReviewError, match="Anna has read or judged it already"):
        store.remark(verdict(0, Action.READ))
    store.remark(verdict(0, Action.READ, who="Bea"))


def test_only_the_person_whose_verdict_stands_signs(store: Store) -> None:
    with pytest.raises(ReviewError, match="no verdict of Anna to sign"):
        store.remark(verdict(0, Action.SIGN))
    store.record(verdict(0))
    with pytest.raises(ReviewError, match="no verdict of Bea to sign"):
        store.remark(verdict(0, Action.SIGN, who="Bea"))
    assert store.remark(verdict(0, Action.SIGN)) == 2
    with pytest.raises(ReviewError, match="is no verdict"):
        store.record(verdict(1, Action.READ))


def test_arrival_is_when_an_item_came_first_and_older_stores_have_none(store: Store, path: Path) -> None:
    first = store.arrivals()
    assert set(first) == {item(n) for n in range(5)}
    time.sleep(0.01)
    store.add([line("f0", probability=0.5), line("f9")])
    assert store.arrivals()[item(0)] == first[item(0)] < store.arrivals()[item(9)]
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE arrivals")
    connection.close()
    assert Store.open(str(path)).arrivals() == {}
