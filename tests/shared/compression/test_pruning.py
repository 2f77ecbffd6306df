"""Channels are taken out wherever they are used, what is left is solved anew, and the answers recover."""

import copy
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.compress import compress
from shared.compression import pruning, reconstruction, teaching
from shared.compression.latency import Latency
from shared.compression.parent import Parent
from shared.compression.recipe import Allowed, Compression, Prune
from shared.data import images, sources
from shared.errors import BundleError, ConfigError
from shared.export import parity
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.training import backbones, kept_backbone
from shared.training.backbones import FieldNet, torch
from shared.training.kept_backbone import KeptBackbone
from shared.updating import candidate
from shared.updating.gate import Refused

WIDE = Allowed(drop=0.9, label_drop=0.99, brier=0.99)
EMBEDDED = Recipe(image_size=64, threads=1)
RESIDUAL = replace(EMBEDDED, backbone="resnet10t", weights="random")
SQUEEZED = replace(EMBEDDED, backbone="mobilenetv3_small_050", weights="random")
WITH_LAST = replace(EMBEDDED, backbone="mobilenetv2_035", weights="random", backbone_args={"pad_type": "same"})
KINDS = {"embedded": EMBEDDED, "residual": RESIDUAL, "squeeze and excite": SQUEEZED, "last layers": WITH_LAST}


def quiet(text: str) -> None:
    pass


def pixels(seed: int = 0, n: int = 4) -> Any:
    return torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def network(recipe: Recipe) -> FieldNet:
    """With statistics of batch normalisation as if it had been trained on noise."""
    net, _ = backbones.create(recipe)
    if recipe.weights:
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            net.train()(pixels(9, 16))
    return net.eval()


def flat_need(net: FieldNet) -> dict[str, Any]:
    """Every weight counts by its size alone."""
    return {name: torch.ones_like(p) for name, p in net.named_parameters()}


def weights(net: FieldNet) -> int:
    """Of its convolutions."""
    return sum(m.weight.numel() for m in net.modules() if isinstance(m, torch.nn.Conv2d))


def answers(net: FieldNet, seed: int = 0) -> Any:
    with torch.inference_mode():
        return net(pixels(seed))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_without_some_channels_is_saved_as_numbers_and_comes_back_equal(
    kind: str, bundle: Path, tmp_path: Path
) -> None:
    of = KINDS[kind]
    net = network(of)
    before = answers(net)
    cut = pruning.taken_out(net, of, flat_need(net), 0.5)
    assert weights(cut.net) < 0.75 * weights(net) and sum(cut.net.stages) < sum(net.stages)
    assert torch.equal(answers(net), before)  # the network given stays whole
    widths = {n: m.out_channels for n, m in cut.net.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert {name: len(channels) for name, channels in cut.kept.items()} == widths
    shutil.copytree(bundle, tmp_path / "b")
    card = bundles.load(tmp_path / "b").card
    KeptBackbone(cut.net, of).save(tmp_path / "b")
    bundles.seal(tmp_path / "b", {k: v for k, v in card.items() if k not in ("bundle_hash", "files")})
    back, _ = kept_backbone.load(bundles.load(tmp_path / "b"))
    assert back.stages == cut.net.stages
    np.testing.assert_allclose(answers(back).numpy(), answers(cut.net).numpy(), rtol=0, atol=1e-6)
    exported, _ = parity.export(back, [np.full((64, 64, 3), v, np.uint8) for v in (0, 90, 200)])
    assert exported.graph.output[0].name == "features"


@pytest.mark.parametrize("kind", KINDS)
def test_more_taken_out_is_never_less_and_no_layer_that_can_be_narrowed_stays_whole(kind: str) -> None:
    of = KINDS[kind]
    net = network(of)
    need = flat_need(net)
    sizes = []
    for ratio in (0.2, 0.5, 0.7, 0.9):
        cut = pruning.taken_out(net, of, need, ratio)
        sizes.append(weights(cut.net))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.6 * weights(net)
    wide = {n: m.out_channels for n, m in net.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert all(len(cut.kept[name]) >= min(8, width) for name, width in wide.items())


def test_layers_that_no_answer_needs_are_narrowed_first() -> None:
    net = network(EMBEDDED)
    needless = ("model.blocks.5.", "model.blocks.6.")
    need = {n: torch.zeros_like(v) if n.startswith(needless) else v for n, v in flat_need(net).items()}
    cut = pruning.taken_out(net, EMBEDDED, need, 0.3)
    wide = {n: m.out_channels for n, m in net.named_modules() if isinstance(m, torch.nn.Conv2d)}
    within = {name: width for name, width in wide.items() if name.startswith(needless)}
    assert len(within) > 8
    for name, width in within.items():
        assert len(cut.kept[name]) == 8 * math.ceil((1 - pruning.MOST) * width / 8), name


def test_the_channels_that_stay_are_those_that_are_needed(parent: Parent) -> None:
    net, of = parent.network()
    first = net.model.conv_stem
    need = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    wanted = torch.arange(0, first.out_channels, 2)
    need["model.conv_stem.weight"][wanted] = 1.0
    cut = pruning.taken_out(net, of, need, 0.5)
    kept = cut.kept["model.conv_stem"]
    assert set(kept.tolist()) <= set(wanted.tolist()) or set(wanted.tolist()) <= set(kept.tolist())
    assert torch.equal(cut.net.model.conv_stem.weight, first.weight[kept])


def test_needs_are_the_squared_gradients_of_the_scores(parent: Parent) -> None:
    """Against finite differences of one bias that the answers hang on; the signs are random, so within a factor."""
    net, _ = parent.network()
    batches = [b[:8] for b in teaching.batches(parent, net)[:4]]
    name = "model.blocks.6.0.bn3.bias"
    need = pruning.needs(parent, net, batches)[name]
    says = teaching.answer(parent)
    moved = copy.deepcopy(net).double()
    bias = dict(moved.named_parameters())[name]
    channels = need.argsort(descending=True)[[0, 1, 2, 100, 200, 300]]
    found = []
    with torch.no_grad():
        images_ = torch.cat(batches).double()
        for channel in channels:
            scores = []
            for step in (1e-4, -2e-4):
                bias[channel] += step
                scores.append(says(moved(images_)[0].float()).double())
            bias[channel] += 1e-4
            found.append(((scores[0] - scores[1]) / 2e-4).square().sum(1).mean())
    ratio = torch.stack(found).log() - need[channels].log()
    assert ratio[:3].abs().max() < np.log(3)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_solved_anew_give_what_the_wide_network_gave(kind: str) -> None:
    """On noise that they were not solved on, at the last convolution that is reached."""
    of = KINDS[kind]
    net = network(of)
    cut = pruning.taken_out(net, of, flat_need(net), 0.3)

    def reached(some: FieldNet) -> dict[str, Any]:
        found: dict[str, Any] = {}
        hooks = [
            module.register_forward_hook(lambda m, given, made, name=name: found.update({name: made}))
            for name, module in some.named_modules()
            if isinstance(module, torch.nn.Conv2d)
        ]
        answers(some, 5)
        for hook in hooks:
            hook.remove()
        return found

    goal, before = reached(net), reached(cut.net)
    solved = reconstruction.solve(cut.net, net, cut.kept, [pixels(s, 16) for s in range(10, 22)])
    after = reached(cut.net)
    last = list(after)[-1]
    errors = [float((found[last] - goal[last][:, cut.kept[last]]).square().mean()) for found in (before, after)]
    assert solved > 3 and errors[1] < errors[0]


def test_solving_brings_features_of_pictures_back(parent: Parent) -> None:
    net, of = parent.network()
    batches = teaching.batches(parent, net)
    cut = pruning.taken_out(net, of, pruning.needs(parent, net, batches[:2]), 0.3)
    last = cut.kept["model.blocks.6.0.conv_pwl"]
    columns = torch.cat([last, last + net.model.blocks[6][0].conv_pwl.out_channels]) + sum(net.stages[:-1])

    def distance() -> float:
        with torch.inference_mode():
            return float(
                (cut.net(batches[-1])[0][:, -len(columns) :] - net(batches[-1])[0][:, columns]).square().mean()
            )

    before = distance()
    reconstruction.solve(cut.net, net, cut.kept, batches[:-1])
    assert distance() < 0.5 * before


def test_the_fewest_channels_for_the_speed_asked_for_are_found(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that reads the size of the file, and 1 ms for what stands around the network."""

    def by_size(models: Sequence[bytes], pictures: Any, *, seconds: float) -> list[Latency]:
        _, bare, new = (1e-5 * len(m) for m in models)
        return [Latency(t, t, 1) for t in (bare + 1.0, bare, new)]

    monkeypatch.setattr(pruning.latency, "compared", by_size)
    net, of = parent.network()
    need = flat_need(net)
    bare = 1e-5 * len(parent.candidate.extractor.model.SerializeToString())
    cut = pruning.as_fast(parent, net, of, need, 2.0)
    assert cut is not None and cut.speedup >= 2.0
    milder = pruning.taken_out(net, of, need, cut.ratio - 2 * pruning.MOST / 2**pruning.HALVINGS)
    model, _ = parity.export(milder.net, parent.pictures)
    assert (bare + 1.0) / (1e-5 * len(model.SerializeToString()) + 1.0) < 2.0
    assert pruning.as_fast(parent, net, of, need, (bare + 1.0) / 0.9) is None  # more than all of the network


def test_a_network_whose_channels_cannot_be_followed_is_one_sentence() -> None:
    of = replace(EMBEDDED, backbone="convnext_atto", weights="random")
    net, _ = backbones.create(of)
    with pytest.raises(ConfigError, match=r"prune: the channels of convnext_atto cannot be taken out"):
        pruning.taken_out(net, of, flat_need(net), 0.5)


def test_a_transformer_loses_hidden_channels_alone() -> None:
    """Between its blocks it stays as wide as it was; what is given out has been seen to come back by its shapes."""
    of = replace(EMBEDDED, backbone="vit_tiny_patch16_224", weights="random")
    net, _ = backbones.create(of)
    cut = pruning.taken_out(net, of, flat_need(net), 0.5)
    few, many = (sum(p.numel() for p in n.parameters()) for n in (cut.net, net))
    assert few < 0.9 * many and cut.net.stages == net.stages


def test_a_bundle_without_a_torch_network_is_one_sentence(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: Parent) -> Any:
        raise BundleError("its weights are whole numbers")

    monkeypatch.setattr(Parent, "network", none)
    with pytest.raises(ConfigError, match=r"needs the .*torch network.*; prune before quantize"):
        next(pruning.rungs(parent, Compression()))


@pytest.mark.parametrize("change", [{"speedup": 1.0}, {"steps": 0}, {"epochs": 0}, {"loss": "mse"}])
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(change))} is .* allowed is"):
        Prune(**change)


@pytest.mark.long
def test_a_pruned_bundle_answers_keeps_its_network_and_is_pruned_again(
    bundle: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    manifest, _ = sources.read(pictures)
    own = Prune(speedup=1.3, steps=1, epochs=2)
    recipe = Compression(allowed=WIDE, threads=1, prune=own)
    sizes = [(bundle / bundles.MODEL).stat().st_size]
    before = bundle
    for step in range(2):
        out = tmp_path / f"{step}.bundle"
        facts = compress(before, manifest, recipe, "prune", out, cache=cache, budget_seconds=3000, say=quiet)
        told = facts["compression"][-1]["details"]
        assert told["learning"]["epochs"] == 2 and told["pruning"]["speedup"] >= 1.3
        opened = bundles.load(out)
        net, _ = kept_backbone.load(opened)
        some = [images.read(path) for path in sorted((pictures / "spot").iterdir())[:6]]
        expected = candidate.features_of(candidate.opened(opened), some)
        assert parity.relative_difference(expected, parity.torch_features(net, some)) < parity.TOLERANCE
        assert Runtime.open(out, threads=1).predict(some).probabilities.shape == (6, 3)
        sizes.append((out / bundles.MODEL).stat().st_size)
        before = out
    assert sizes[0] > 1.2 * sizes[1] > 1.2**2 * sizes[2]
    assert [s["method"] for s in facts["compression"]] == ["prune", "prune"]


@pytest.mark.long
def test_gentler_speeds_are_tried_and_where_none_keeps_the_limits_nothing_is_written(
    bundle: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    manifest, _ = sources.read(pictures)
    own = Prune(speedup=1.5, steps=2, epochs=1)
    recipe = Compression(allowed=replace(WIDE, size=0.001), threads=1, prune=own)
    with pytest.raises(Refused, match=r"1.50 times as fast: .*1.22 times as fast: .*nothing was written"):
        compress(bundle, manifest, recipe, "prune", tmp_path / "b", cache=cache, budget_seconds=200, say=quiet)
    assert not (tmp_path / "b").exists()
