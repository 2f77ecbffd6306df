from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.building import adopt, measure
from shared.building.candidates import Candidate
from shared.building.second_opinion import Opinion
from shared.building.work import Clock, Work, by_need, parts
from shared.data.manifest import Manifest, Row
from shared.deadline import Deadline
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.records import Sample

LABELS = ("ok", "spot")


def work(n: int = 80) -> tuple[Work, list[Row]]:
    rows = [
        Row(Sample(id=f"{i:03}", path=f"{i:03}.png", width=8, height=8, group=str(i)), LABELS[i % 2], split=split)
        for i, split in zip(range(n), ["train", "validation", "validation", "test", "test"] * n, strict=False)
    ]
    manifest = Manifest(tuple(rows), Path())
    components = {row.sample.id: i for i, row in enumerate(rows)}
    said: list[str] = []
    return Work(manifest, components, Recipe(), LABELS, "ok", Deadline(60), Path(), Clock(), said.append, {}), rows


def candidate(name: str, rows: Sequence[Row], right: float, seed: int = 0) -> Candidate:
    """A model that is right about so many images; its one feature is its answer."""
    rng = np.random.default_rng(seed)
    known = {}
    for row in rows:
        truth = 1.0 if row.label == "spot" else -1.0
        known[row.sample.id] = np.array([truth if rng.random() < right else -truth], np.float32)
    head = Head(np.zeros(1), np.ones(1), np.array([[-1.0, 1.0]]), np.zeros(2), 1.0)
    return Candidate(name, None, 8, head, known, right, name, {})  # type: ignore[arg-type]


def test_a_clearly_better_challenger_is_adopted_and_the_sentence_says_by_how_much() -> None:
    job, rows = work(200)
    trial = adopt.against(job, candidate("old", rows, 0.6), candidate("new", rows, 0.95), rows)
    assert trial.adopted and trial.difference is not None and trial.difference.low > 0
    assert "points" in trial.why and trial.facts()["difference"]["groups"] == 80


@pytest.mark.parametrize("right", [0.6, 0.8])
def test_a_challenger_that_answers_the_same_or_worse_is_not_adopted(right: float) -> None:
    job, rows = work(200)
    old = candidate("old", rows, 0.8)
    new = old if right == 0.8 else candidate("new", rows, right, seed=1)
    trial = adopt.against(job, old, new, rows)
    assert not trial.adopted and "not adopted" in trial.why


def test_equal_labels_with_surely_better_probabilities_are_adopted() -> None:
    job, rows = work(200)
    old = candidate("old", rows, 0.8)
    honest = Head(old.head.mean, old.head.deviation, old.head.weights / 3, old.head.bias, 1.0)
    trial = adopt.against(job, old, replace(old, name="new", head=honest), rows)
    assert trial.difference is not None and trial.difference.value == 0
    sharper = Head(old.head.mean, old.head.deviation, old.head.weights * 9, old.head.bias, 1.0)
    bold = adopt.against(job, old, replace(old, name="bold", head=sharper), rows)
    assert trial.adopted is not bold.adopted and "Brier score" in trial.why


def test_what_a_few_validation_images_cannot_tell_is_told_by_further_images() -> None:
    job, rows = work(40)
    old, new = candidate("old", rows, 0.8), candidate("new", rows, 0.8)
    alone = adopt.against(job, old, new, rows)
    assert not alone.adopted and adopt.undecided(alone)
    y = np.arange(60) % 2
    right, wrong = np.eye(2)[y] * 0.8 + 0.1, np.eye(2)[1 - y] * 0.8 + 0.1
    half = np.where((np.arange(60) % 4 < 2)[:, None], right, wrong)
    groups = [f"train {i}" for i in range(60)]
    better = adopt.against(job, old, new, rows, Opinion(y, groups, half, right))
    assert better.adopted and better.difference is not None and better.difference.n == 60 + 16
    assert better.difference.groups == 60 + 16 and "on 60 training images" in better.why
    worse = adopt.against(job, old, new, rows, Opinion(y, groups, right, half))
    assert not worse.adopted and not adopt.undecided(worse) and not adopt.undecided(better)
    assert not adopt.undecided(adopt.nothing(job, "search", "no time"))


def test_a_certificate_pays_for_every_candidate_that_was_compared() -> None:
    job, rows = work(400)
    sure = candidate("sure", rows, 1.0)
    own = parts(job, rows, sure.known)
    alone, chosen = (measure.certificate(job, sure, own, n) for n in (1, 3))
    assert alone is not None and chosen is not None
    assert alone.confidence == chosen.confidence and chosen.certified_recall < alone.certified_recall
    assert chosen.more_needed > alone.more_needed


def test_what_has_a_sibling_in_training_proves_nothing() -> None:
    job, rows = work(40)
    sure = candidate("sure", rows, 1.0)
    twins = dict(job.components)
    for row in rows:
        if row.split == "validation":
            twins[row.sample.id] = twins[rows[0].sample.id]
    leaky = Work(**{**vars(job), "components": twins})
    found = measure.certificate(leaky, sure, parts(leaky, rows, sure.known), 1)
    assert found is not None and found.positives == 0 and found.threshold == 0.0


def test_every_beginning_of_the_wanted_rows_holds_every_split_and_label() -> None:
    _, rows = work(100)
    start = by_need(rows)[:32]
    assert {(row.split, row.label) for row in start} == {(row.split, row.label) for row in rows}
