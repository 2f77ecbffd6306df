import copy
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from shared.inference.bundle import file_hash
from shared.pretraining import inherit, learn, objectives
from shared.pretraining.__main__ import main
from shared.recipe import EMBEDDED_WEIGHTS, Recipe
from shared.training import backbones, embedded


@pytest.fixture(scope="module")
def wide() -> torch.nn.Module:
    """A teacher of the embedded one's shape with the ends of a classifier, and statistics as a trained one has them."""
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv2_100", pad_type="same", num_classes=7)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(pixels(0, 8))
    return model.eval().requires_grad_(False)


def pixels(seed: int, n: int = 6, side: int = 64) -> torch.Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def last(model: torch.nn.Module, seed: int) -> torch.Tensor:
    with torch.no_grad():
        return backbones.stage_maps(model.eval(), pixels(seed))[-1]


def test_a_copy_of_equal_width_computes_the_same(wide: torch.nn.Module) -> None:
    twin = timm.create_model(embedded.NAME, expansion=6).train().requires_grad_(False)
    inherit.narrowed(twin, wide, [pixels(1), pixels(2)])
    assert torch.allclose(last(twin, 9), last(wide, 9), atol=0.05 * float(last(wide, 9).std()))


def test_a_narrower_copy_leaves_out_what_the_output_does_not_need(wide: torch.nn.Module) -> None:
    spare = copy.deepcopy(wide)
    for block in (b for stage in spare.blocks for b in stage if hasattr(b, "conv_pwl")):
        width = block.conv_pwl.in_channels
        block.conv_pwl.weight[:, torch.randperm(width)[: width // 3]] = 0
    narrow = timm.create_model(embedded.NAME).eval().requires_grad_(False)
    inherit.narrowed(narrow, spare, [pixels(1), pixels(2)])
    left = (last(narrow, 9) - last(spare, 9)).square().mean() / last(spare, 9).var()
    assert left < 0.02, "rounding, which a deep random network makes larger"


def test_distillation_asks_nothing_of_a_perfect_student(wide: torch.nn.Module) -> None:
    loss = objectives.distillation(wide, wide, [pixels(1)])
    assert float(loss(pixels(3)[None])) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.long
def test_learning_brings_the_student_nearer_to_its_teacher(wide: torch.nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(1)
    student = timm.create_model(embedded.NAME).eval().requires_grad_(False)
    inherit.narrowed(student, wide, [pixels(1), pixels(2)])
    loss = objectives.distillation(student, wide, [pixels(1), pixels(2)])
    schedule = learn.Schedule(seconds=0, steps=80, batch=8, side=64)
    told: list[str] = []
    facts = learn.learn(student, None, loss, schedule, say=told.append)
    assert facts["steps"] == 80 and facts["last_loss"] < 0.9 * facts["first_loss"]
    learn.write(student, tmp_path / "w.safetensors")
    net, origin = backbones.create(
        Recipe(backbone=embedded.NAME, weights=str(tmp_path / "w.safetensors"), image_size=64)
    )
    assert origin.weights == "file w.safetensors" and not net.training


def test_the_recipe_runs_without_a_teacher_and_says_what_it_did(tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    done = CliRunner().invoke(main, ["procedural", "--minutes", "0.03", "--threads", "1", "-o", str(out)])
    assert done.exit_code == 0, done.output
    facts = json.loads(out.with_suffix(".json").read_text())
    assert facts["way"] == "procedural" and facts["steps"] >= 1 and facts["sha256"] == file_hash(out)


def test_a_way_that_needs_a_teacher_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["distilled", "-o", str(tmp_path / "x.safetensors")])
    assert done.exit_code == 2 and "--teacher FILE" in done.output


def test_the_embedded_weights_are_small_fit_their_network_and_are_the_ones_of_the_data_sheet() -> None:
    assert EMBEDDED_WEIGHTS.stat().st_size <= 12e6
    state = load_file(EMBEDDED_WEIGHTS)
    assert all(torch.isfinite(v).all() for v in state.values() if v.is_floating_point())
    net, origin = backbones.create(Recipe())
    assert origin.name == embedded.NAME and origin.weights.startswith("embedded") and not origin.note
    assert sum(net.stages) == 944
    sheet = EMBEDDED_WEIGHTS.with_name("embedded.md").read_text(encoding="utf-8")
    assert file_hash(EMBEDDED_WEIGHTS) in sheet


def test_random_weights_have_to_be_asked_for_and_are_marked() -> None:
    _, origin = backbones.create(Recipe(weights="random", image_size=64))
    assert origin.weights == "random" and "RANDOMLY INITIALISED" in origin.note


def test_normalised_pixels_run_from_minus_one_to_one() -> None:
    ends = np.zeros((1, 2, 4, 4, 3), np.uint8)
    ends[0, 1] = 255
    made = learn.normalised(ends, "cpu")
    assert made.shape == (1, 2, 3, 4, 4) and made.min() == -1 and made.max() == 1
