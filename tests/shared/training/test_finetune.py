import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch

from shared.export import parity
from shared.export.graph import Head
from shared.export.parity import torch_features
from shared.inference import calibration
from shared.recipe import Recipe
from shared.training import augment, head, learning, throughput, tunable
from shared.training.backbones import FieldNet
from shared.training.finetune import Tuned, finetune
from shared.training.ranks import Ranks
from shared.training.soup import Score
from shared.tuning import Launch, Tuning

RECIPE = Recipe(image_size=32, threads=1)
PLAIN = Tuning(
    epochs=2,
    learning_rate=5e-3,
    layer_decay=1.0,
    label_smoothing=0.0,
    rotation_degrees=0.0,
    scale=(1.0, 1.0),
    flip_horizontal=False,
)


def discs(n: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Two discs on noise; label 1 where both are equally bright, so that no mean over the picture tells them apart."""
    rng = np.random.default_rng(seed)
    pictures, labels = [], rng.integers(0, 2, n)
    for label in labels:
        picture = rng.normal(120, 25, (32, 32)).astype(np.float32)
        first = rng.choice([40.0, 200.0])
        for value, place in ((first, 8), (first if label else 240 - first, 23)):
            x, y = place + rng.integers(-3, 4, 2)
            cv2.circle(picture, (int(x), int(y)), 5, float(value), -1)
        pictures.append(np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, 2))
    return pictures, labels


def network(name: str = "test_efficientnet", **arguments: Any) -> FieldNet:
    torch.manual_seed(0)
    model = timm.create_model(name, **arguments).train().requires_grad_(False)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # one pass gives the random network the statistics that a trained one would have
    model(torch.from_numpy(np.stack(discs(64, seed=7)[0])).permute(0, 3, 1, 2) / 127.5 - 1)
    for norm in norms:
        norm.momentum = 0.1
    model.eval()
    return FieldNet(model, RECIPE, (0.5,) * 3, (0.5,) * 3).eval()


class Case:
    """A network, pictures with labels, every fourth of them for tuning, and the closed-form head of the others."""

    def __init__(self, name: str = "test_efficientnet", n: int = 96, **arguments: Any) -> None:
        self.net = network(name, **arguments)
        self.pictures, self.labels = discs(n, seed=0)
        self.part = np.arange(n) % 4 == 0
        self.features = torch_features(self.net, self.pictures).astype(np.float64)
        rows = np.flatnonzero(~self.part)
        self.start: Head = head.fit(
            self.features[rows], self.labels[rows], rows, 2, strengths=RECIPE.lambdas, count=3, seed=0
        ).head

    def run(self, tuning: Tuning = PLAIN, *, seconds: float = 60.0, **more: Any) -> Tuned:
        arguments: dict[str, Any] = {
            "pictures": self.pictures,
            "recipe": RECIPE,
            "until": time.monotonic() + seconds,
            "say": lambda text: None,
        } | more
        pictures, recipe = arguments.pop("pictures"), arguments.pop("recipe")
        return finetune(self.net, self.start, pictures, self.labels, self.part, recipe, tuning, **arguments)

    def accuracy(self, tuned: Tuned, pictures: list[np.ndarray], labels: np.ndarray) -> float:
        scores = tuned.head.scores(torch_features(tuned.net, pictures))
        return head.balanced_accuracy(scores.argmax(1), labels)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def state_of(tuned: Tuned) -> np.ndarray:
    return np.concatenate([tuned.head.weights.ravel(), next(tuned.net.parameters()).detach().numpy().ravel()])


def test_step_0_answers_as_the_closed_form_does(case: Case) -> None:
    start = replace(case.start, temperature=0.1)
    learner = tunable.Tunable(case.net, start).eval()
    pixels = torch.from_numpy(np.stack(case.pictures)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        answered = torch.softmax(learner(pixels), 1).numpy()
    expected = calibration.softmax(start.scores(case.features))
    assert np.abs(answered - expected).max() < 1e-3
    again = calibration.softmax(learner.head().scores(case.features))
    assert np.abs(again - expected).max() < 1e-6


def test_it_learns_what_the_frozen_backbone_cannot_tell() -> None:
    case = Case(n=200)
    new, truth = discs(200, seed=1)
    before = head.balanced_accuracy(case.start.scores(torch_features(case.net, new)).argmax(1), truth)
    tuned = case.run(replace(PLAIN, epochs=7))
    assert before < 0.7 and case.accuracy(tuned, new, truth) > 0.95
    assert not tuned.net.training and tuned.facts["chosen"] != "start"


def test_a_tuned_network_is_exported_and_agrees_with_onnxruntime(case: Case) -> None:
    tuned = case.run(replace(PLAIN, epochs=6))
    assert tuned.facts["chosen"] != "start"
    model, found = parity.export(tuned.net, case.pictures[:4])
    expected = tuned.head.scores(parity.torch_features(tuned.net, case.pictures[4:12]))
    answered = tuned.head.scores(parity.onnx_features(model, case.pictures[4:12]))
    assert found.max_difference <= parity.TOLERANCE and np.abs(expected - answered).max() < 0.05


def test_the_network_given_is_not_changed(case: Case) -> None:
    before = {key: value.clone() for key, value in case.net.state_dict().items()}
    case.run()
    assert all(torch.equal(value, before[key]) for key, value in case.net.state_dict().items())
    assert not any(p.requires_grad for p in case.net.parameters())


@pytest.mark.parametrize("seconds", [0.0, 0.5, 4.0])
def test_the_deadline_is_kept(case: Case, seconds: float) -> None:
    begun = time.monotonic()
    tuned = case.run(replace(PLAIN, epochs=1000), seconds=seconds)
    assert time.monotonic() - begun < seconds + 1.5
    assert tuned.head.weights.shape == case.start.weights.shape


def test_the_learning_rate_has_come_down_by_the_deadline(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self, *a, **k: rates.append(self.param_groups[-1]["lr"]) or step(self, *a, **k),
    )
    case.run(replace(PLAIN, epochs=1000), seconds=5.0)
    assert len(rates) > 5 and rates[-1] < 0.15 * max(rates) and rates[0] < max(rates)


def test_equal_runs_are_equal_and_another_seed_is_another_run(case: Case) -> None:
    first, second = case.run(), case.run()
    other = case.run(recipe=replace(RECIPE, seed=1))
    losses = [[entry["loss"] for entry in tuned.tried] for tuned in (first, second, other)]
    assert losses[0] == losses[1] and np.array_equal(state_of(first), state_of(second))
    assert losses[0] != losses[2]


def test_images_of_the_tuning_part_are_never_trained_on(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their pictures may be looked at, but what is learnt does not depend on their labels."""
    weights: list[np.ndarray] = []
    evaluate, original = learning._evaluate, case.labels

    def kept(run: Any, judge: Any, kind: str, learner: Any) -> None:
        weights.append(learner.weights.detach().numpy().copy())
        evaluate(run, judge, kind, learner)

    monkeypatch.setattr(learning, "_evaluate", kept)
    for flip in (False, True):
        monkeypatch.setattr(case, "labels", np.where(case.part & flip, 1 - original, original))
        case.run()
    half = len(weights) // 2
    assert half and np.array_equal(weights[:half], weights[half:])


def test_pictures_of_the_tuning_part_are_read_once_each_and_training_ones_too(case: Case) -> None:
    asked: list[int] = []

    def read(i: int) -> np.ndarray:
        asked.append(i)
        return case.pictures[i]

    case.run(pictures=read)
    assert set(asked) >= set(np.flatnonzero(case.part)) and len(asked) == len(set(asked))


@pytest.mark.parametrize("balanced", [True, False])
def test_mixing_stops_before_the_end(case: Case, balanced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed: list[float] = []
    mixing = augment.mixing
    step, ways = learning._step, []
    monkeypatch.setattr(learning, "_step", lambda run, *a: ways.append(run.progress.way) or step(run, *a))
    monkeypatch.setattr(augment, "mixing", lambda *a: mixed.append(ways[-1]) or mixing(*a))
    case.run(replace(PLAIN, epochs=4, mixup=0.2, cutmix=1.0, mix_off=0.5, balanced=balanced))
    assert mixed and max(mixed) < 0.5 <= max(ways)
    assert len(mixed) == sum(way < 0.5 for way in ways)


def test_the_result_is_never_worse_on_the_tuning_part(case: Case) -> None:
    for rate in (1e-3, 1.0):
        tuned = case.run(replace(PLAIN, learning_rate=rate, head_rate=1.0))
        start, score = Score(**tuned.facts["start"]), Score(**tuned.facts["score"])
        assert score.loss <= start.loss and score.balanced_accuracy >= start.balanced_accuracy
        rows = np.flatnonzero(case.part)
        measured = case.accuracy(tuned, [case.pictures[i] for i in rows], case.labels[rows])
        assert measured == pytest.approx(score.balanced_accuracy)


def test_a_loss_that_is_not_a_number_gives_the_start_back(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    broken: Callable[..., Any] = lambda *a, **k: torch.tensor(float("nan"), requires_grad=True)  # noqa: E731
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", broken)
    tuned = case.run(say=said.append)
    assert tuned.head is case.start and tuned.net is case.net
    assert "no longer a number" in said[-1] and "nothing was better than the start" in said[-1]


def test_better_models_are_handed_out_on_the_way(case: Case) -> None:
    handed: list[Tuned] = []
    tuned = case.run(replace(PLAIN, epochs=8), on_best=lambda net, linear: handed.append(Tuned(net, linear, [], {})))
    assert len(handed) > 1
    rows = np.flatnonzero(case.part)
    pictures = [case.pictures[i] for i in rows]
    known = {round(entry["balanced_accuracy"], 9) for entry in tuned.tried}
    assert all(round(case.accuracy(h, pictures, case.labels[rows]), 9) in known for h in handed)


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_where_it_was(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    often = Ranks(how=Launch(checkpoint_seconds=1e-9))
    tuning, step, done = replace(PLAIN, epochs=3), learning._step, []

    def killed(run: Any, *more: Any) -> bool:
        if run.progress.step == 7:
            raise Killed
        return step(run, *more)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(learning, "_step", killed)
        case.run(tuning, checkpoint=tmp_path / "run", team=often)
    monkeypatch.setattr(learning, "_step", lambda run, *a: done.append(run.progress.step) or step(run, *a))
    progress = tmp_path / "run" / "progress.json"
    left = json.loads(progress.read_text())
    assert left["seconds"] > 0
    progress.write_text(json.dumps({**left, "seconds": 1000.0}))
    tuned = case.run(tuning, checkpoint=tmp_path / "run")
    whole = case.run(tuning)
    assert done[0] == 7 and tuned.facts["resumed_at_step"] == 7 and tuned.facts["steps"] == whole.facts["steps"]
    assert tuned.facts["seconds"] >= 1000 > whole.facts["seconds"]
    names = [entry["name"] for entry in tuned.tried if not entry["name"].startswith("soup")]
    assert names == [entry["name"] for entry in whole.tried if not entry["name"].startswith("soup")]
    assert np.array_equal(state_of(tuned), state_of(whole))


def test_a_finished_run_is_taken_up_as_it_is_and_other_inputs_start_anew(case: Case, tmp_path: Path) -> None:
    first = case.run(checkpoint=tmp_path / "run")
    again = case.run(checkpoint=tmp_path / "run")
    assert again.facts["resumed_at_step"] == first.facts["steps"] == again.facts["steps"]
    assert np.array_equal(state_of(first), state_of(again))
    other = case.run(replace(PLAIN, learning_rate=1e-3), checkpoint=tmp_path / "run")
    assert other.facts["resumed_at_step"] == 0


def test_a_damaged_checkpoint_is_no_checkpoint(case: Case, tmp_path: Path) -> None:
    case.run(checkpoint=tmp_path / "run")
    for file in (tmp_path / "run").glob("at-*.safetensors"):
        file.write_bytes(b"\x00" * 100)
    assert case.run(checkpoint=tmp_path / "run").facts["resumed_at_step"] == 0


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "lcnet_050", "mobileone_s0"])
def test_other_families_of_networks_learn_too(name: str) -> None:
    arguments = {"img_size": 32} if name == "test_vit" else {}
    tuned = Case(name, n=48, **arguments).run(replace(PLAIN, freeze_norm=False, balanced=False))
    assert tuned.facts["steps"] > 0 and all(np.isfinite(entry["loss"]) for entry in tuned.tried)


def test_a_network_whose_first_layer_crashes_in_channels_last_gets_the_other_format() -> None:
    assert tunable.memory_format(timm.create_model("mobileone_s0")) == torch.contiguous_format
    assert tunable.memory_format(timm.create_model("lcnet_050")) == torch.channels_last


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_norms_keep_their_statistics_and_free_ones_do_not(
    case: Case, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    evaluate = learning._evaluate
    monkeypatch.setattr(learning, "_evaluate", lambda run, *more: runs.append(run) or evaluate(run, *more))
    case.run(replace(PLAIN, freeze_norm=frozen))
    before, after = case.net.state_dict(), runs[-1].learner.net.state_dict()
    kept = [torch.equal(before[name], after[name]) for name in before if name.endswith("running_mean")]
    assert kept and all(kept) == frozen


def test_where_time_is_short_a_smaller_size_is_chosen_and_then_less_of_the_network(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(image_size=224, threads=1)
    model = timm.create_model("lcnet_050").eval()
    net = FieldNet(model, recipe, (0.5,) * 3, (0.5,) * 3)
    asked: list[tuple[int, bool]] = []

    def speed(make: Any, size: int, batch: int, tuning: Tuning, last_half: bool, team: Any) -> float:
        asked.append((size, last_half))
        return (2 if last_half else 1) * 10.0 * (224 / size) ** 2

    monkeypatch.setattr(throughput, "measured", speed)
    plans = [throughput.choose(net, case.start, recipe, PLAIN, images=100, seconds=s) for s in (100, 60, 30, 3)]
    assert [plan.image_size for plan in plans] == [224, 192, 128, 128]
    assert [plan.last_half for plan in plans] == [False, False, False, True]
    fixed = throughput.choose(net, case.start, recipe, replace(PLAIN, image_size=192, batch=8), images=100, seconds=3)
    assert (fixed.image_size, fixed.batch) == (192, 8)


def test_at_another_size_the_head_is_fitted_again_and_the_network_answers_at_that_size(case: Case) -> None:
    tuned = case.run(replace(PLAIN, image_size=64, epochs=6))
    rows = np.flatnonzero(case.part)
    assert tuned.facts["chosen"] != "start" and tuned.net.image_size == 64 and tuned.net.grid == 4
    measured = case.accuracy(tuned, [case.pictures[i] for i in rows], case.labels[rows])
    assert measured == pytest.approx(tuned.facts["score"]["balanced_accuracy"])


def test_with_less_of_the_network_learning_the_early_layers_stay(case: Case) -> None:
    learner = tunable.Tunable(tunable.copied(case.net, RECIPE, 32), case.start)
    tunable.thaw(learner, last_half=True)
    model = learner.net.model
    assert not model.conv_stem.weight.requires_grad and not next(model.blocks[0].parameters()).requires_grad
    assert next(model.blocks[-1].parameters()).requires_grad and learner.weights.requires_grad
