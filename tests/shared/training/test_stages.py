"""The first stage of a fine-tuning: two tries judged on the same images."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shared.recipe import Recipe
from shared.training import backbones, head, stages
from shared.training.stages import Job
from shared.tuning import Tuning
from tests.shared.training.test_finetune import discs

COUNT = 48
TUNING = Tuning(epochs=2, batch=12, image_size=32, soup=1)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    pictures, labels = discs(COUNT, seed=0)
    files = []
    for i, picture in enumerate(pictures):
        file = tmp_path / f"{i:03}.png"
        Image.fromarray(picture).save(file)
        files.append((file, None))
    recipe = Recipe("test_efficientnet", "random", image_size=32, threads=1, tuning=TUNING)
    net, _ = backbones.create(recipe)
    part = np.arange(COUNT) % 4 == 0
    with torch.no_grad():
        x = net(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1)[0].double().numpy()
    start = next(head.ridge(x[~part], labels[~part], 2, [1.0]))
    now = time.monotonic()
    return Job(net, start, start, tuple(files), labels, part, recipe, now + 60, now + 120, tmp_path / "state")


def tuned(job: Job, **tuning: float) -> tuple[list[dict[str, float]], list[str]]:
    said: list[str] = []
    how = replace(job.recipe.tuning, **tuning)
    made = stages.tune(replace(job, recipe=replace(job.recipe, tuning=how)), say=said.append)
    return made.facts.get("tries", []), said


def test_the_try_of_the_smaller_loss_is_kept_and_both_are_told(job: Job) -> None:
    tries, said = tuned(job)
    assert [t["learning_rate"] for t in tries] == [1e-3, pytest.approx(3e-3)]
    assert [t["layer_decay"] for t in tries] == [0.8, 1.0] and [t["epochs"] for t in tries] == [2, 4]
    kept = "first" if tries[0]["loss"] <= tries[1]["loss"] else "second"
    assert any(f"the {kept} is kept" in line for line in said)


@pytest.mark.parametrize(("first", "second", "epochs"), [(0.5, 0.4, 4), (0.4, 0.5, 2)])
def test_from_all_images_is_learnt_as_the_try_that_was_kept(
    job: Job, monkeypatch: pytest.MonkeyPatch, first: float, second: float, epochs: int
) -> None:
    losses = iter((first, second))
    monkeypatch.setattr(stages, "_loss", lambda made: next(losses))
    _, said = tuned(job, soup=2)
    assert any(f"all 48 training images, {epochs} epochs with 2 ends" in line for line in said)


def test_a_try_that_diverges_is_not_kept(job: Job) -> None:
    tries, said = tuned(job, bolder=1000.0)
    assert tries[1]["learning_rate"] == 1.0 and tries[0]["loss"] <= tries[1]["loss"]
    assert any("the first is kept" in line for line in said)


def test_a_single_stage_tries_twice_too_where_its_time_is_not_used_up(job: Job) -> None:
    tries, said = tuned(replace(job, first_until=None))
    assert len(tries) == 2 and not any("all 48 training images" in line for line in said)


def test_one_try_where_no_second_is_wanted_or_time_is_short(job: Job) -> None:
    assert tuned(job, bolder=0.0)[0] == []
    now = time.monotonic()
    assert tuned(replace(job, first_until=now + 4.0, until=now + 8.0), epochs=10_000)[0] == []


def test_a_second_try_takes_time_from_the_runs_on_all_images_while_one_of_them_still_fits(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, took = stages._first, []

    def first(job: Job, tuning: Tuning, until: float, *rest: object) -> object:
        made = real(job, tuning, until, *rest)  # type: ignore[arg-type]
        took.append(until - time.monotonic())
        return replace(made, facts=made.facts | {"seconds": 20.1})

    monkeypatch.setattr(stages, "_first", first)
    now = time.monotonic()
    assert len(tuned(replace(job, first_until=now + 15, until=now + 120))[0]) == 2 and took[1] > took[0]
    took.clear()
    assert tuned(replace(job, first_until=now + 15, until=now + 45))[0] == [] and len(took) == 1
