"""Herding finds the few that stand for all, and distillation keeps what was known while other things are learnt."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import backbones, head, rehearsal
from shared.training.backbones import FieldNet, torch
from shared.training.pixels import Picture, Pixels
from shared.training.run import answers
from shared.training.tunable import Tunable
from shared.tuning import Tuning
from tests.conftest import texture


def test_the_first_of_the_herd_have_the_mean_of_all() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(0, 1, (150, 12)), rng.normal(3, 1, (50, 12))]) + 4
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    chosen = rehearsal.herded(x, 20)
    assert len(set(chosen)) == 20 and rehearsal.herded(x, 7) == chosen[:7]
    off = np.linalg.norm(unit[chosen].mean(0) - unit.mean(0))
    by_lot = [np.linalg.norm(unit[rng.permutation(200)[:20]].mean(0) - unit.mean(0)) for _ in range(50)]
    assert off < min(by_lot)
    assert sorted(rehearsal.herded(x[:5], 20)) == [0, 1, 2, 3, 4]


@dataclass(frozen=True)
class Started:
    """A frozen backbone with a head over ok, spot and scratch, and 24 pictures of each."""

    recipe: Recipe
    net: FieldNet
    start: Head
    pictures: list[Picture]
    y: NDArray[np.int64]

    def features(self, net: FieldNet) -> NDArray[np.float64]:
        """Of all pictures by a backbone."""
        shown = Tunable(net, self.start)
        return answers(shown, shown.features, Pixels(self.pictures.__getitem__, range(72), 64), np.inf)


@pytest.fixture(scope="module")
def started() -> Started:
    recipe = Recipe(image_size=64, threads=1, tuning=Tuning(epochs=6, learning_rate=3e-3))
    net, _ = backbones.create(recipe)
    pictures = [texture(name, 100 * k + i) for k, name in enumerate(("ok", "spot", "scratch")) for i in range(24)]
    y = np.repeat(np.arange(3), 24)
    # Of a head only mean and deviation matter to features, and they only to scores.
    blank = Head(np.zeros(1), np.ones(1), np.zeros((1, 3)), np.zeros(3), 1.0)
    x = Started(recipe, net, blank, pictures, y).features(net)
    return Started(recipe, net, replace(next(head.ridge(x, y, 3, [1.0])), temperature=0.2), pictures, y)


def of_labels(start: Head, columns: tuple[int, ...]) -> Head:
    """A parent that knew these labels alone, its temperature divided into its weights."""
    kept = list(columns)
    t = start.temperature
    return replace(start, weights=start.weights[:, kept] / t, bias=start.bias[kept] / t, temperature=1.0)


def test_distillation_is_nothing_where_the_old_labels_get_the_teachers_answers(started: Started) -> None:
    columns = (0, 2)
    teaching = of_labels(started.start, columns)
    loss = rehearsal.distillation(rehearsal.Teacher(started.net, teaching, columns), started.recipe)
    learner = Tunable(started.net, started.start)
    views = Pixels(started.pictures.__getitem__, range(12), 64).take(range(12)).float()
    scores = torch.zeros(12, 3)
    scores[:, [0, 2]] = torch.tensor(teaching.scores(started.features(started.net)[:12]), dtype=torch.float32)
    scores[:, 1] = 7
    assert float(loss(learner, views, scores)) == pytest.approx(0, abs=1e-4)
    assert float(loss(learner, views, scores.flip(1))) > 0.1


def test_the_teachers_answers_are_kept_better_where_they_are_learnt_from(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = rehearsal.Teacher(started.net, of_labels(started.start, (0, 1)), (0, 1))
    rows = [*np.flatnonzero(started.y < 2)[::12].tolist(), *np.flatnonzero(started.y == 2).tolist()]
    before = {name: value.clone() for name, value in started.net.state_dict().items()}
    own = rehearsal.distillation(teacher, started.recipe)
    ended = []
    for share in (1.0, 0.0):
        losses: list[float] = []

        def watched(learner: Any, views: Any, scores: Any, share: float = share, losses: list[float] = losses) -> Any:
            loss = own(learner, views, scores)
            losses.append(float(loss.detach()))
            return share * loss

        monkeypatch.setattr(rehearsal, "distillation", lambda *_, watched=watched: watched)
        learnt = [started.pictures[i] for i in rows], started.y[rows]
        made = rehearsal.learn(
            started.net, started.start, teacher, *learnt, started.recipe, until=time.monotonic() + 300
        )
        assert made.finite and made.why == "the schedule was done" and made.steps == len(losses)
        ended.append(np.mean(losses[len(losses) // 2 :]))
    assert ended[0] < ended[1]
    assert all(torch.equal(value, before[name]) for name, value in started.net.state_dict().items())
