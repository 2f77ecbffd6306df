from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.records import Action, Review, Verdict
from shared.review import order
from shared.review.items import Item


def item(name: str, *, risk: float = 0.5, probability: float = 1.0, label: str = "SCR", novelty: float = 0.0) -> Item:
    return Item(name, name, "", None, label, probability, risk, novelty)


def review(name: str, seconds: float = 2.0, at: int = 0) -> Review:
    return Review(name, Action.CONFIRM, "SCR", "Anna", f"2026-11-23T08:{at:02d}:00+00:00", seconds)


SEVERITY = {"SCR": 2, "CRK": 4, "STA": 1}


def test_what_nobody_has_looked_at_comes_before_every_finding() -> None:
    unseen = replace(item("z", risk=0.0), verdict=Verdict.NOT_EXAMINED)
    assert order.ordered([item("a", risk=1.0, label="CRK"), unseen], SEVERITY)[0] is unseen


def test_among_findings_risk_times_severity_leads() -> None:
    items = [
        item("stain", risk=0.9, label="STA"),
        item("low", risk=0.4, label="CRK"),
        item("high", risk=0.8, label="CRK"),
    ]
    assert [i.id for i in order.ordered(items, SEVERITY)] == ["high", "low", "stain"]


def test_at_equal_cost_the_doubtful_and_then_the_novel_come_first() -> None:
    items = [item("plain"), item("novel", novelty=1.5), item("doubtful", probability=0.5)]
    assert [i.id for i in order.ordered(items, SEVERITY)] == ["doubtful", "novel", "plain"]


def test_a_label_of_unknown_severity_counts_as_critical() -> None:
    assert order.urgency(item("a", label="NEW"), SEVERITY) == order.urgency(item("a", label="CRK"), SEVERITY)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12), st.randoms())
def test_the_order_does_not_depend_on_how_items_arrive(numbers: list[tuple[float, float]], random) -> None:
    items = [item(f"i{n}", risk=r, probability=p) for n, (r, p) in enumerate(numbers)]
    mixed = items.copy()
    random.shuffle(mixed)
    assert order.ordered(items) == order.ordered(mixed)


def test_uncertainty_is_one_bit_at_a_half_and_none_at_the_ends() -> None:
    assert [order.uncertainty(item("a", probability=p)) for p in (0.0, 0.5, 1.0)] == [0.0, 1.0, 0.0]


def test_judged_items_wait_no_longer_and_a_label_keeps_its_own() -> None:
    items = [item("a"), item("b", label="CRK"), item("c")]
    assert [i.id for i in order.waiting(items, {"a": review("a")})] == ["b", "c"]
    assert [i.id for i in order.waiting(items, {}, label="CRK")] == ["b"]
    assert order.labels(items) == {"SCR": 2, "CRK": 1}


def test_progress_tells_pace_and_time_left_by_the_median() -> None:
    items = [item(n) for n in "abcdefgh"]
    standing = {n: review(n, seconds, at) for at, (n, seconds) in enumerate([("a", 2.0), ("b", 4.0), ("c", 3600.0)])}
    done = order.progress(items, standing)
    assert (done.done, done.total, done.seconds_median, done.seconds_left) == (3, 8, 4.0, 20.0)


def test_progress_promises_no_time_before_the_first_verdict() -> None:
    assert order.progress([item("a")], {}) == order.Progress(0, 1, None, None)
