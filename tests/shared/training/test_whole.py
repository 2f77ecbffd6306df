import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.export.parity import torch_features
from shared.training import gradients, head, learning, whole
from shared.training.finetune import Tuned
from shared.training.ranks import Ranks
from shared.training.throughput import Plan
from shared.tuning import Launch
from tests.shared.training.test_finetune import PLAIN, RECIPE, Case, Killed, discs, state_of

TUNING = replace(PLAIN, epochs=6, soup=2)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(n=120)


@pytest.fixture(scope="module")
def first(case: Case) -> Tuned:
    return case.run(TUNING)


def again(case: Case, first: Tuned, *, seconds: float = 120.0, **more: Any) -> Tuned:
    start = head.fit(
        case.features, case.labels, np.arange(len(case.labels)), 2, strengths=RECIPE.lambdas, count=3, seed=0
    ).head
    said = more.pop("say", lambda text: None)
    return whole.learn(
        case.net,
        start,
        first,
        case.pictures,
        case.labels,
        RECIPE,
        TUNING,
        until=time.monotonic() + seconds,
        say=said,
        **more,
    )


def test_it_learns_from_all_images_and_keeps_the_temperature_of_the_first(case: Case, first: Tuned) -> None:
    made = again(case, first)
    new, truth = discs(200, seed=1)
    before = head.balanced_accuracy(case.start.scores(torch_features(case.net, new)).argmax(1), truth)
    assert made.facts["runs"] == 2 and "on all training images" in made.facts["chosen"]
    assert case.accuracy(made, new, truth) > before + 0.1
    assert made.head.temperature == first.head.temperature and not made.net.training


@pytest.mark.parametrize(("allowed", "used"), [(np.inf, "mean of 2 runs"), (-np.inf, "one run")])
def test_the_mean_is_taken_only_where_it_has_not_forgotten(
    case: Case, first: Tuned, allowed: float, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "FORGOTTEN", allowed)
    assert again(case, first).facts["chosen"].startswith(used)


def test_images_set_aside_before_are_learnt_from_now(case: Case, first: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[int] = set()
    original = gradients.drawn_at

    def kept(run: Any, step: int) -> Any:
        positions = original(run, step)
        drawn.update(run.task.train[positions].tolist())
        return positions

    monkeypatch.setattr(gradients, "drawn_at", kept)
    again(case, first)
    assert drawn >= set(np.flatnonzero(case.part).tolist())


def test_without_time_for_a_run_the_first_model_stays(case: Case, first: Tuned) -> None:
    said: list[str] = []
    assert again(case, first, seconds=0.01, say=said.append) is first
    assert "the model that learned from some of them stays" in said[-1]


def test_the_runs_share_their_beginning_and_end_apart(
    case: Case, first: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, runs, began = whole.once, [], []
    monkeypatch.setattr(whole, "once", lambda *a, **more: runs.append(once(*a, **more)) or runs[-1])
    learn = learning.learn
    monkeypatch.setattr(learning, "learn", lambda run: began.append(run.progress.step) or learn(run))
    again(case, first)
    trunk, branch = runs
    assert began == [0, trunk.middle.step] and whole.BRANCH <= trunk.middle.way < whole.BRANCH + 0.1
    assert trunk.progress.step == branch.progress.step and branch.middle is None
    ends = [run.progress.average["weights"] for run in runs]
    assert not np.array_equal(*ends)
    # The copy is not what the branch learnt on.
    assert not np.array_equal(trunk.middle.average["weights"], ends[1])
    assert trunk.middle.step < branch.progress.step


def test_a_run_that_was_killed_after_its_middle_is_still_left_there(
    case: Case, first: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, step = again(case, first, checkpoint=tmp_path / "whole"), learning._step

    def killed(run: Any, *more: Any) -> bool:
        if run.progress.way > whole.BRANCH + 0.1:
            raise Killed
        return step(run, *more)

    often = Ranks(how=Launch(checkpoint_seconds=1e-9))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(learning, "_step", killed)
        again(case, first, checkpoint=tmp_path / "run", team=often)
    taken = again(case, first, checkpoint=tmp_path / "run")
    assert taken.facts["runs"] == 2 and np.array_equal(state_of(taken), state_of(expected))


def test_a_run_that_breaks_is_no_part_of_the_mean(case: Case, first: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    step = learning._step
    monkeypatch.setattr(learning, "_step", lambda run, *a: run.task.recipe.seed != 2 and step(run, *a))
    assert again(case, first).facts["runs"] == 1
    monkeypatch.setattr(learning, "_step", lambda run, *a: False)
    assert again(case, first) is first


def test_finished_runs_are_taken_up_after_a_kill(
    case: Case, first: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = again(case, first, checkpoint=tmp_path / "run")
    monkeypatch.setattr(learning, "_step", lambda run, *a: pytest.fail("it was finished before"))
    taken = again(case, first, checkpoint=tmp_path / "run")
    assert np.array_equal(state_of(taken), state_of(expected))


def test_a_further_loss_is_told_learner_views_and_scores_and_is_heeded(case: Case) -> None:
    """One that asks for equal scores holds the learning back."""
    told = []

    def equal(learner: Any, views: Any, scores: Any) -> Any:
        told.append((tuple(views.shape[1:]), tuple(scores.shape[1:]), learner.net.image_size))
        return 100 * scores.diff(dim=1).square().mean()

    spread = []
    for further in (None, equal):
        plan = Plan(32, 16, 0.0, 2, False)
        run = whole.once(
            case.net, case.start, plan, case.pictures, case.labels, RECIPE, PLAIN, 0, np.inf, None, further
        )
        made = learning.finished(run, run.progress.average)
        scores = made.head().scores(torch_features(made.net, case.pictures))
        spread.append(np.abs(np.diff(scores, axis=1)).mean())
    assert spread[1] < 0.7 * spread[0]
    assert set(told) == {((3, 32, 32), (2,), 32)}
