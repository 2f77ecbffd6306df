"""A bundle gives its torch network back: the one of its recipe, or the one that it keeps."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.data import images
from shared.errors import BundleError
from shared.export import graph, parity
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.training import backbones, kept_backbone
from shared.training.backbones import torch
from shared.training.kept_backbone import KeptBackbone
from shared.updating import candidate

SMALL = Recipe(image_size=64, threads=1)


@pytest.fixture(scope="module")
def some(pictures: Path) -> list[np.ndarray]:
    return [images.read(path) for path in sorted((pictures / "spot").iterdir())[:4]]


def test_a_bundle_without_a_file_gives_the_network_of_its_recipe(bundle: Path, some: list[np.ndarray]) -> None:
    opened = bundles.load(bundle)
    net, _ = kept_backbone.load(opened)
    model = candidate.opened(opened)
    expected = candidate.features_of(model, some)
    assert parity.relative_difference(expected, parity.torch_features(net, some)) < parity.TOLERANCE


def test_other_weights_than_those_of_the_build_are_refused(bundle: Path, tmp_path: Path) -> None:
    opened = bundles.load(bundle)
    card = {**opened.card, "backbone": {**opened.card["backbone"], "sha256": "0" * 64}}
    with pytest.raises(BundleError, match=r"made with other weights of loupe_mobile .* build it again"):
        kept_backbone.load(replace(opened, card=card))


def _kept(bundle: Path, folder: Path, net: backbones.FieldNet) -> bundles.Bundle:
    shutil.copytree(bundle, folder)
    card = bundles.load(folder).card
    KeptBackbone(net, SMALL).save(folder)
    bundles.seal(folder, {k: v for k, v in card.items() if k not in ("bundle_hash", "files")})
    return bundles.load(folder)


def _answers(net: backbones.FieldNet) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(net(torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64))[0])


def test_a_network_that_has_learnt_comes_back_as_it_was(bundle: Path, tmp_path: Path) -> None:
    net, _ = backbones.create(SMALL)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    back, recipe = kept_backbone.load(_kept(bundle, tmp_path / "b", net))
    assert np.array_equal(_answers(back), _answers(net)) and recipe.image_size == 64
    assert not back.training and not any(p.requires_grad for p in back.parameters())


def test_a_narrower_network_comes_back_by_the_shapes_of_its_tensors(bundle: Path, tmp_path: Path) -> None:
    """Every inverted residual block loses every second hidden channel, as pruning would do it."""
    net, _ = backbones.create(SMALL)
    for block in (b for stage in net.model.blocks for b in stage if hasattr(b, "conv_pwl")):
        kept = torch.arange(0, block.conv_pw.out_channels, 2)
        state = {}
        for name in ("conv_pw", "bn1", "conv_dw", "bn2"):
            own = getattr(block, name).state_dict()
            state |= {f"{name}.{k}": v[kept] if v.ndim else v for k, v in own.items()}
        state["conv_pwl.weight"] = block.conv_pwl.weight[:, kept]
        kept_backbone.fit_shapes(block, state)
        block.load_state_dict({**block.state_dict(), **state})
    with torch.no_grad():
        net.eval().requires_grad_(False)
    back, _ = kept_backbone.load(_kept(bundle, tmp_path / "b", net))
    full, _ = backbones.create(SMALL)
    assert np.array_equal(_answers(back), _answers(net)) and not np.allclose(_answers(back), _answers(full))
    few, many = (sum(p.numel() for p in n.parameters()) for n in (back, full))
    assert few < 0.6 * many
    exported, _ = parity.export(back, [np.full((64, 64, 3), v, np.uint8) for v in (0, 90, 200)])
    assert exported.opset_import[0].version == graph.OPSET


def test_a_damaged_file_is_one_sentence(bundle: Path, tmp_path: Path) -> None:
    net, _ = backbones.create(SMALL)
    opened = _kept(bundle, tmp_path / "b", net)
    (opened.path / kept_backbone.FILE).write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00broken")
    with pytest.raises(BundleError, match="cannot be read"):
        kept_backbone.load(opened)
