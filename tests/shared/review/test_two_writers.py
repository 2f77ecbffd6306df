"""Two writers at one PostgreSQL: what one looks at holds until its row stands, whatever the other does meanwhile."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from shared.errors import ReviewError
from shared.records import Action, Review
from shared.review import log
from shared.review.items import Item
from shared.review.log import Added, now
from shared.review.store import Store

ITEM = Item("a", "a", "a.png", None, "SCR", 0.9, 0.9, payload={"samples": ["0123456789abcdef"]})
HELD_S = 0.5


def verdict(who: str, action: Action, label: str, item: str = "a") -> Review:
    return Review(item, action, label, who, now(), 1.0)


@pytest.fixture
def stores(postgres_url: str) -> Iterator[tuple[Store, Store]]:
    two = Store.open(postgres_url), Store.open(postgres_url)
    two[0].add_items([ITEM])
    yield two
    for store in two:
        store.close()


def meanwhile(monkeypatch: pytest.MonkeyPatch, slow: Callable[[], Any], quick: Callable[[], Any]) -> list[Any]:
    """``slow`` pauses between its look and its row, and ``quick`` begins in that pause; what each gave or raised."""
    append, looked = log.append, threading.Event()

    def paused(c: sa.Connection, review: Review, shown: str) -> int:
        if threading.current_thread() is not threading.main_thread():
            looked.set()
            time.sleep(HELD_S)
        return append(c, review, shown)

    def tried(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except ReviewError as error:
            return str(error)

    monkeypatch.setattr(log, "append", paused)
    gave: list[Any] = []
    other = threading.Thread(target=lambda: gave.append(tried(slow)))
    other.start()
    assert looked.wait(20)
    answer = tried(quick)
    other.join()
    return [*gave, answer]


def test_two_verdicts_on_one_item_at_once_are_one_verdict_and_one_refusal(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bea = stores
    first, second = meanwhile(
        monkeypatch,
        lambda: anna.record(verdict("Anna", Action.REJECT, "OK")),
        lambda: bea.record(verdict("Bea", Action.CONFIRM, "SCR")),
    )
    assert first == 1 and "was judged by Anna" in str(second)
    assert [(row["reviewer"], row["standing"]) for row in anna.table()] == [("Anna", True)]


def test_a_site_whose_transactions_are_stricter_by_default_gets_the_same_answer(
    stores: tuple[Store, Store], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = [Store.open(f"{postgres_url}?options=-cdefault_transaction_isolation%3Dserializable") for _ in stores]
    first, second = meanwhile(
        monkeypatch,
        lambda: strict[0].record(verdict("Anna", Action.REJECT, "OK")),
        lambda: strict[1].record(verdict("Bea", Action.CONFIRM, "SCR")),
    )
    assert first == 1 and "was judged by Anna" in str(second)
    for store in strict:
        store.close()


def test_an_item_is_not_renewed_under_the_verdict_that_is_being_recorded(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, other = stores
    renewed = replace(ITEM, probability=0.2)
    recorded, added = meanwhile(
        monkeypatch,
        lambda: anna.record(verdict("Anna", Action.REJECT, "OK"), shown=ITEM.digest),
        lambda: other.add_items([renewed]),
    )
    assert (recorded, added) == (1, Added(new=0, replaced=0, kept=1))
    anna.verify()


def test_two_first_readings_by_one_person_at_once_are_one(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = verdict("Anna", Action.READ, "SCR")
    first, second = meanwhile(monkeypatch, lambda: stores[0].remark(read), lambda: stores[1].remark(read))
    assert first == 1 and "has read or judged it already" in str(second)


@pytest.mark.long
def test_two_reviewers_who_judge_the_same_items_at_the_same_instant_never_both_stand(
    stores: tuple[Store, Store],
) -> None:
    ids = [f"r{n}" for n in range(300)]
    stores[0].add_items([replace(ITEM, id=i, frame=i) for i in ids])
    together = threading.Barrier(2)
    refused: Counter[str] = Counter()

    def judge(store: Store, who: str, action: Action, label: str) -> None:
        for item in ids:
            together.wait(60)
            try:
                store.record(verdict(who, action, label, item))
            except ReviewError as error:
                assert "was judged by" in str(error)
                refused[item] += 1

    said = (("Anna", Action.REJECT, "OK"), ("Bea", Action.CONFIRM, "SCR"))
    threads = [threading.Thread(target=judge, args=(s, *what)) for s, what in zip(stores, said, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    standing = Counter(row["item"] for row in stores[0].table() if row["standing"])
    assert standing == refused == Counter(ids)
    stores[0].verify()
