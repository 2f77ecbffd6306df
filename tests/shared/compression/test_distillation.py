"""A student learns what its parent answers, and becomes a bundle of its own."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.compress import compress
from shared.compression import distillation, losses, teaching
from shared.compression.parent import Parent
from shared.compression.recipe import Allowed, Compression, Distil
from shared.data import images, sources
from shared.errors import BundleError, ConfigError
from shared.export import parity
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.training import kept_backbone, learning, whole
from shared.training.backbones import torch
from shared.training.throughput import Plan
from shared.updating import candidate
from shared.updating.gate import Refused

WIDE = Allowed(drop=0.9, label_drop=0.99, brier=0.99)


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def distilled(bundle: Path, pictures: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("distilled") / "student.bundle"
    manifest, _ = sources.read(pictures)
    recipe = Compression(allowed=WIDE, threads=1, distil=Distil(epochs=2, baseline=False))
    compress(bundle, manifest, recipe, "distil", out, cache=cache, budget_seconds=3000, say=quiet)
    return out


def test_the_student_is_a_bundle_that_says_what_it_lost(distilled: Path, bundle: Path, pictures: Path) -> None:
    card, before = bundles.load(distilled).card, bundles.load(bundle)
    step = card["compression"][-1]
    assert step["method"] == "distil" and step["parent"] == before.hash
    assert step["size_bytes"]["after"] < 0.65 * step["size_bytes"]["before"]
    assert step["details"]["learning"]["epochs"] == 2 and card["backbone"]["weights"].endswith("distilled")
    answers = Runtime.open(distilled, threads=1).predict([images.read(pictures / "spot" / "000.png")])
    assert answers.probabilities.shape == (1, 3)
    told = step["test"]
    assert told["n"] == 28 and len(told["flips"]) < 14


def test_the_network_that_it_keeps_is_the_one_that_answers(distilled: Path, pictures: Path) -> None:
    opened = bundles.load(distilled)
    net, recipe = kept_backbone.load(opened)
    some = [images.read(path) for path in sorted((pictures / "spot").iterdir())[:6]]
    expected = candidate.features_of(candidate.opened(opened), some)
    assert recipe.backbone_args == {"expansion": "2"}
    assert parity.relative_difference(expected, parity.torch_features(net, some)) < parity.TOLERANCE


def test_a_student_that_is_no_smaller_is_one_sentence(
    distilled: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    manifest, _ = sources.read(pictures)
    with pytest.raises(ConfigError, match=r"is no wider than the default student; name a smaller one"):
        compress(distilled, manifest, Compression(threads=1), "distil", tmp_path / "b", cache=cache, say=quiet)
    with pytest.raises(ConfigError, match=r"timm .* does not know it"):
        recipe = Compression(threads=1, distil=Distil(student="no_such_net", weights="random"))
        compress(distilled, manifest, recipe, "distil", tmp_path / "b", cache=cache, say=quiet)
    assert not (tmp_path / "b").exists()


def test_where_the_limits_do_not_hold_nothing_is_written(
    bundle: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    manifest, _ = sources.read(pictures)
    own = Distil(student="test_efficientnet", weights="random", epochs=1)
    recipe = Compression(allowed=replace(WIDE, size=0.001), threads=1, distil=own)
    with pytest.raises(Refused, match=r"no smaller model kept the limits .*distilled: .*bytes.*nothing was written"):
        compress(bundle, manifest, recipe, "distil", tmp_path / "b", cache=cache, budget_seconds=40, say=quiet)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("spoilt", ["distilled", "trained alone", ""])
def test_a_student_never_stands_below_itself_trained_alone(
    spoilt: str, parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two is better on the validation images comes first; the teacher's wins a draw."""
    seconds = {}

    def taught(parent: Parent, name: str, *given: Any, **settings: Any) -> Any:
        seconds[name], own = settings["seconds"], parent.candidate
        assert settings["loss"] == ("none" if name == "trained alone" else "dist")
        only_one = replace(own.head, bias=own.head.bias + np.array([1000.0, 0.0, 0.0]))
        return replace(own, name=name, head=only_one if name == spoilt else own.head)

    monkeypatch.setattr(teaching, "taught", taught)
    found = list(distillation.rungs(parent, Compression(threads=1)))
    expected = ["distilled", "trained alone"]
    assert [c.name for c in found] == (expected[::-1] if spoilt == "distilled" else expected)
    worth = found[0].details["teacher_was_worth"]
    assert np.sign(worth["value"]) == {"distilled": -1, "trained alone": 1, "": 0}[spoilt]
    assert seconds["distilled"] == pytest.approx(seconds["trained alone"] / 2, rel=0.01)  # no time passes


def test_the_certificate_of_a_student_pays_for_the_one_that_it_was_chosen_over(
    bundle: Path, pictures: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parent, student and the student trained alone: the validation images chose among three."""
    monkeypatch.setattr(
        teaching, "taught", lambda parent, name, *given, **settings: replace(parent.candidate, name=name)
    )
    recipe = Compression(allowed=replace(WIDE, size=2.0, latency=0.0), threads=1)
    manifest, before = sources.read(pictures)[0], bundles.load(bundle).card["candidates"]
    compress(bundle, manifest, recipe, "distil", tmp_path / "b", cache=cache, budget_seconds=600, say=quiet)
    card = bundles.load(tmp_path / "b").card
    assert card["candidates"] == before + 2 and card["compression"][-1]["chosen"] == "distilled"


def test_the_student_and_its_baseline_learn_from_the_same_start(parent: Parent) -> None:
    told: list[str] = []
    work = replace(parent.work, say=told.append)
    found = list(distillation.rungs(replace(parent, work=work), Compression(threads=1, distil=Distil(epochs=1))))
    assert {c.details["learning"]["loss"] for c in found} == {"dist", "none"}
    assert len({c.details["learning"]["steps"] for c in found}) == 1
    assert found[0].extractor.key != found[1].extractor.key
    assert any("what the teacher was worth, same student, same time: balanced accuracy" in text for text in told)


@pytest.mark.parametrize("change", [{"loss": "cosine"}, {"image_size": 100}, {"epochs": 0}])
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))} is .* allowed is"):
        Distil(**change)


def test_dist_is_one_minus_pearsons_correlations_of_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7, 4))
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (a, b))
    images_, labels = (
        np.mean([1 - np.corrcoef(x, y)[0, 1] for x, y in zip(*pair, strict=True)]) for pair in ((p, q), (p.T, q.T))
    )
    found = losses.dist(torch.from_numpy(a), torch.from_numpy(b))
    assert float(found) == pytest.approx(images_ + labels, abs=1e-6)
    assert float(losses.dist(torch.from_numpy(a), torch.from_numpy(a))) == pytest.approx(0, abs=1e-6)


def test_plain_divergence_is_that_of_scipy() -> None:
    from scipy.special import softmax
    from scipy.stats import entropy

    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 5, 3))
    t = losses.KL_TEMPERATURE
    expected = t * t * entropy(softmax(b / t, axis=1), softmax(a / t, axis=1), axis=1).mean()
    assert float(losses.plain_divergence(torch.from_numpy(a), torch.from_numpy(b))) == pytest.approx(expected)


def test_a_parent_without_a_torch_network_teaches_by_its_graph(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    part = parent.parts["train"]
    read = teaching.reader(parent, part)
    views = torch.from_numpy(np.stack([read(i) for i in range(6)])).permute(0, 3, 1, 2).float()
    by_network = teaching.teacher(parent)(views).numpy()

    def none(self: Parent) -> Any:
        raise BundleError("in whole numbers")

    monkeypatch.setattr(Parent, "network", none)
    by_graph = teaching.teacher(parent)(views).numpy()
    assert parity.relative_difference(by_network, by_graph) < parity.TOLERANCE
    assert parity.relative_difference(part.x[:6].astype(np.float32), by_graph) < parity.TOLERANCE
    scores = teaching.answer(parent)(torch.from_numpy(by_graph)).softmax(1).numpy()
    np.testing.assert_allclose(scores, parent.candidate.probabilities(part)[:6], atol=1e-3)


def test_a_student_begins_close_to_its_parent(parent: Parent) -> None:
    """What it inherits and solves is worth more than the embedded weights cut to half their width."""
    net, of = distillation.student(parent, Distil())
    blank = replace(of, weights="random")
    from shared.training import backbones

    wide = parent.network()[0]
    with torch.inference_mode():
        batch = teaching.batches(parent, wide)[0]
        goal = wide(batch)[0]
        near, far = (float((n(batch)[0] - goal).square().mean()) for n in (net, backbones.create(blank)[0]))
    assert near < 0.2 * far
    assert distillation.parameters(net) < 0.6 * distillation.parameters(wide)


def test_with_the_teacher_the_students_features_come_closer_to_the_teachers(
    opened: Callable[[float], Parent],
) -> None:
    parent = opened(600.0)
    net, of = distillation.student(parent, Distil())
    part, held = parent.parts["train"], parent.parts["validation"]
    left = {}
    for loss in ("none", "dist"):
        features = parity.torch_features(net, _pictures(parent, part)).astype(np.float64)
        start = teaching.first_head(parent, features)
        theirs, ours, variance = teaching.component_views(parent, features)
        further = teaching.further(parent, features, loss)
        plan = Plan(net.image_size, 16, 0.0, 4, False)
        tuning = replace(of.tuning, epochs=4)
        run = whole.once(net, start, plan, teaching.reader(parent, part), part.y, of, tuning, 0, np.inf, None, further)
        made = learning.finished(run, run.progress.average).net
        unseen = torch.from_numpy(parity.torch_features(made, _pictures(parent, held)))
        distance = ours(unseen) - theirs(torch.from_numpy(held.x).float())
        left[loss] = float(distance.square().sum(1).mean()) / variance
    assert left["dist"] < 0.95 * left["none"], json.dumps(left)


def _pictures(parent: Parent, part: Any) -> list[np.ndarray]:
    read = teaching.reader(parent, part)
    return [read(i) for i in range(len(part.rows))]
