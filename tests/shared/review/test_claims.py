"""An item is on one reviewer's screen at a time, and nobody waits for a person who went home."""

import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.records import Action, Review
from shared.review import claims
from shared.review.desk import LEASE_S, LOOK_S, Desk
from shared.review.items import Item
from shared.review.log import now
from shared.review.store import Store

Done = tuple[str, list[str], int]
"""Reviewer, items that were on the screen, and how often the store did not answer."""
ENDING = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'loupe'"
)


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def filled(url: str, n: int) -> Store:
    store = Store.open(url)
    store.add_items([Item(f"i{k:04}", f"f{k:04}", "p.png", None, "SCR", 0.9, 0.9) for k in range(n)])
    return store


def at_work(store: Store, who: str, clock: Clock) -> Desk:
    desk = Desk(store, severity={}, clock=clock)
    desk.reviewer = who
    return desk


def present(desk: Desk) -> str | None:
    desk.refresh()
    upcoming = desk.upcoming()
    desk.shown(visible=True)
    return upcoming[0].id if upcoming else None


def test_two_reviewers_get_two_items_and_a_reload_gives_back_ones_own(tmp_path: Path) -> None:
    store, clock = filled(str(tmp_path / "r.sqlite"), 3), Clock()
    anna, berg = at_work(store, "Anna", clock), at_work(store, "Berg", clock)
    first, second = present(anna), present(berg)
    assert {first, second} == {"i0000", "i0001"} and present(anna) == first
    assert present(at_work(store, "Anna", clock)) == first
    clock.now += 2 * LOOK_S
    assert berg.judge(berg.turn, Action.CONFIRM)
    assert present(berg) == "i0002"
    clock.now += 2 * LOOK_S
    assert berg.judge(berg.turn, Action.CONFIRM)
    assert present(berg) is None and berg.elsewhere == 1
    anna.reviewer = "Cem"  # Anna leaves her seat to him
    assert present(anna) == first


def test_a_verdict_that_is_taken_back_brings_an_item_that_is_again_on_one_screen_alone(tmp_path: Path) -> None:
    store, clock = filled(str(tmp_path / "r.sqlite"), 3), Clock()
    anna = at_work(store, "Anna", clock)
    first = present(anna)
    clock.now += 2 * LOOK_S
    assert anna.judge(anna.turn, Action.CONFIRM) and present(anna) == "i0001"
    anna.undo(anna.turn)
    assert present(anna) == first
    assert present(at_work(store, "Berg", clock)) == "i0001"


def test_a_claim_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(str(tmp_path / "r.sqlite"), 1)
    assert store.claim("i0000", "Anna", LEASE_S) and not store.claim("i0000", "Berg", LEASE_S)
    later = time.time() + LEASE_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.claim("i0000", "Berg", LEASE_S) and not store.claim("i0000", "Anna", LEASE_S)
    store.release("Berg")
    assert store.claim("i0000", "Anna", LEASE_S)


def test_an_item_that_is_judged_and_let_go_while_another_asks_for_it_is_not_shown_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = filled(postgres_url, 2), Store.open(postgres_url)
    assert other.claim("i0000", "Berg", LEASE_S)
    take = claims.take

    def late(c: sa.Connection, item: str, holder: str, *more: float) -> bool:
        if holder == "Anna" and item == "i0000":
            other.record(Review("i0000", Action.CONFIRM, "SCR", "Berg", now(), 1.0))
            assert other.claim("i0001", "Berg", LEASE_S)
        return take(c, item, holder, *more)

    monkeypatch.setattr(claims, "take", late)
    assert not store.claim("i0000", "Anna", LEASE_S)
    monkeypatch.undo()
    assert not store.claim("i0001", "Anna", LEASE_S)
    store.close()
    other.close()


def test_before_a_name_is_given_nothing_is_kept_from_others(tmp_path: Path) -> None:
    store, clock = filled(str(tmp_path / "r.sqlite"), 1), Clock()
    assert present(at_work(store, "", clock)) == "i0000" and present(at_work(store, "Anna", clock)) == "i0000"


def review_all(
    url: str, who: str, barrier: Barrier, answers: "multiprocessing.Queue[tuple[str, list[str], int]]"
) -> None:
    """One reviewer at work until nothing waits; a cut connection is a message, and the key is pressed again."""
    store, clock = Store.open(url), Clock()
    desk = at_work(store, who, clock)
    seen: list[str] = []
    cut = 0
    barrier.wait()
    while True:
        try:
            item = present(desk)
            if item is None:
                if not desk.elsewhere:
                    break
                time.sleep(0.01)
                continue
        except Exception as error:
            assert "does not answer" in str(error), error
            cut += 1
            continue
        if not seen or seen[-1] != item:
            seen.append(item)
        clock.now += 2 * LOOK_S
        if not desk.judge(desk.turn, Action.CONFIRM):
            cut += 1
    answers.put((who, seen, cut))


@pytest.mark.long
def test_eight_reviewers_share_two_thousand_items_while_connections_are_cut(postgres_url: str) -> None:
    store = filled(postgres_url, 2000)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(9), context.Queue()
    names = [f"R{k}" for k in range(8)]
    workers = [context.Process(target=review_all, args=(postgres_url, who, barrier, answers)) for who in names]
    for worker in workers:
        worker.start()
    barrier.wait()
    engine, cuts = sa.create_engine(postgres_url), 0
    done: list[Done] = []
    while len(done) < 8:
        if cuts < 5:
            time.sleep(0.5)
            with engine.connect() as connection:
                cuts += int(connection.execute(sa.text(ENDING)).scalar() or 0) > 0
        try:
            done.append(answers.get(timeout=0.1 if cuts < 5 else 120))
        except Exception:
            assert any(worker.is_alive() for worker in workers) or not answers.empty()
    for worker in workers:
        worker.join()
    shown = [item for _, seen, _ in done for item in seen]
    assert len(shown) == len(set(shown)) == 2000
    assert sum(cut for _, _, cut in done) > 0, "no connection was cut while somebody worked"
    engine.dispose()
    store.verify()
    standing = store.standing()
    assert len(standing) == store.head().count == 2000
    store.close()
    by_reviewer = {who: set(seen) for who, seen, _ in done}
    assert all(review.item in by_reviewer[review.reviewer] for review in standing.values())
    assert min(len(seen) for _, seen, _ in done) > 20
