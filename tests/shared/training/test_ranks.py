import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared import config
from shared.errors import ConfigError
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import augment, bottleneck, gradients, ranks, tunable
from shared.training.backbones import FieldNet
from shared.training.bottleneck import Parts
from shared.training.launch import agent
from shared.training.launch.__main__ import choose_device
from shared.training.pixels import Pixels
from shared.training.ranks import Ranks
from shared.training.run import Run, Task
from shared.training.soup import Score
from shared.training.throughput import Plan
from shared.tuning import Launch, Tuning

COUNTS = st.integers(1, 300)
WORLDS = st.integers(1, 9)


@given(COUNTS, WORLDS, st.integers(0, 40))
def test_every_image_of_a_batch_is_in_one_pass_of_one_rank_and_all_ranks_make_as_many(n: int, w: int, m: int) -> None:
    teams = [Ranks(rank, w, how=Launch(micro_batch=m)) for rank in range(w)]
    passes = [team.passes(n) for team in teams]
    assert [i for own in passes for part in own for i in part] == list(range(n))
    assert len({len(own) for own in passes}) == 1
    assert all(len(part) <= (m or n) for own in passes for part in own)


def test_a_batch_of_2048_is_accumulated() -> None:
    passes = Ranks(3, 8, how=Launch(micro_batch=32)).passes(2048)
    assert [len(part) for part in passes] == [32] * 8 and passes[0].start == 3 * 256


@given(st.integers(2, 40), st.integers(1, 40))
def test_mixing_in_parts_mixes_the_same_images_as_in_one(n: int, size: int) -> None:
    images, labels = torch.arange(float(n))[:, None, None, None].expand(n, 3, 8, 8), torch.arange(n)
    mix = augment.mixing(Tuning(mixup=0.5, cutmix=1.0), n)
    assert mix is not None
    state = torch.get_rng_state()
    expected = mix(images, labels)
    for start in range(0, n, size):
        own = range(start, min(start + size, n))
        rows = gradients._with_neighbour(own, n, True)
        torch.set_rng_state(state)
        for whole, part in zip(expected, mix(images[rows], labels[rows]), strict=True):
            assert torch.equal(part[len(rows) - len(own) :], whole[list(own)])


@pytest.mark.parametrize(
    ("changes", "named", "advised"),
    [
        ({"loader": 2.0}, "loader", "smaller"),
        ({"transfer": 2.0}, "transfer", "image_size"),
        ({"all_reduce": 2.0}, "all-reduce", "launch.micro_batch"),
        ({"double": 1.1}, "small batch", "tuning.batch: 16 images"),
        ({}, "none", "nothing"),
    ],
)
def test_the_dearest_part_of_a_step_is_named_with_what_to_change(
    changes: dict[str, float], named: str, advised: str
) -> None:
    parts = Parts(**{**dict(loader=0.01, transfer=0.0, compute=1.0, all_reduce=0.02, double=2.0, images=16), **changes})
    name, advice = bottleneck.verdict(parts)
    assert name == named and advised in advice and advice in bottleneck.told(parts)


def blank_head(width: int) -> Head:
    return Head(np.zeros(width), np.ones(width), np.zeros((width, 2)), np.zeros(2), 1.0)


def test_pictures_that_take_long_to_read_are_the_bottleneck_and_the_probe_changes_nothing() -> None:
    recipe = Recipe(image_size=32, threads=1)
    net = FieldNet(timm.create_model("test_efficientnet").eval(), recipe, (0.5,) * 3, (0.5,) * 3).eval()
    start, rows, none = blank_head(sum(net.stages)), np.arange(400), np.zeros(0, np.int64)
    said: list[str] = []

    def read(i: int) -> Any:
        time.sleep(0.02)
        return np.zeros((32, 32, 3), np.uint8)

    task = Task(read, rows % 2, rows, none, 2, recipe, Tuning(epochs=1), np.inf, None, "", None, said.append)
    run = Run(task, Plan(32, 16, 1e3, 1.0, False), tunable.Tunable(net, start), None, Score(0.0, np.inf), net, start)
    before = {name: value.clone() for name, value in run.learner.state_dict().items()}
    tunable.thaw(run.learner, last_half=False)
    told = bottleneck.probe(run, Pixels(read, task.train, 37), run.learner)
    assert told["bottleneck"] == "loader" and "the bottleneck is loader" in said[0]
    assert all(torch.equal(value, before[name]) for name, value in run.learner.state_dict().items())
    assert all(parameter.grad is None for parameter in run.learner.parameters())
    late = replace(run, task=replace(task, until=time.monotonic() + 1.0))
    assert bottleneck.probe(late, Pixels(read, task.train, 37), run.learner) == {}


def test_checkpointing_keeps_less_for_the_backward_pass_and_gives_the_same_gradients() -> None:
    recipe = Recipe(image_size=32)
    torch.manual_seed(0)
    net = FieldNet(timm.create_model("test_vit", img_size=32).eval(), recipe, (0.5,) * 3, (0.5,) * 3).eval()
    pixels = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    kept, slopes = {}, {}
    for wanted in (False, True):
        start = replace(blank_head(sum(net.stages)), weights=np.ones((sum(net.stages), 2)))
        learner = tunable.Tunable(tunable.copied(net, recipe, 32), start)
        learner.requires_grad_(True)
        team = Ranks(how=Launch(checkpointing=wanted))
        forward = team.spread(learner, tunable.Tunable(net, start), Tuning(), 32)
        bytes_kept = [0]

        def pack(tensor: Any, count: list[int] = bytes_kept) -> Any:
            count[0] += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = forward(pixels).square().sum()
        loss.backward()
        kept[wanted] = bytes_kept[0]
        slopes[wanted] = torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None])
    assert kept[True] < 0.5 * kept[False]
    assert torch.allclose(slopes[True], slopes[False], rtol=1e-5)


@pytest.mark.parametrize(
    ("how", "here", "gpus", "device"),
    [
        (Launch(), 8, 8, "cuda:3"),
        (Launch(), 8, 4, "cpu"),
        (Launch(), 2, 0, "cpu"),
        (Launch(device="cpu"), 8, 8, "cpu"),
        (Launch(device="cuda"), 8, 8, "cuda:3"),
    ],
)
def test_a_rank_gets_a_gpu_of_its_own_where_each_has_one(how: Launch, here: int, gpus: int, device: str) -> None:
    assert str(choose_device(how, 3, here, gpus)) == device


@pytest.mark.parametrize(
    ("how", "gpus", "count"),
    [(Launch(), 8, 8), (Launch(), 0, 2), (Launch(nproc=4), 8, 4), (Launch(device="cpu"), 8, 2)],
)
def test_without_a_number_every_gpu_gets_a_process(how: Launch, gpus: int, count: int) -> None:
    assert agent.processes(how, gpus) == count


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Launch(torchrun=("--nodes-of-mine=2",)), "torchrun says 'unrecognized arguments: --nodes-of-mine=2'"),
        (Launch(torchrun=("--nnodes=many",)), "--nnodes=many; allowed is a number of machines"),
        (Launch(torchrun=("--nnodes=1:4",)), "--nnodes=1:4; allowed is one number"),
        (Launch(nproc=3, sharding="hybrid", replicas=2), "launch.replicas is 2; allowed are divisors of 3"),
        (Launch(device="cuda", nproc=512), r"512 processes, and this machine has \d+ GPUs"),
    ],
    ids=["argument", "machines", "elastic", "replicas", "GPUs"],
)
def test_what_cannot_be_launched_is_said_in_a_sentence(
    how: Launch, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=said):
        agent.check(how)
    assert capsys.readouterr().err == ""


def test_bfloat16_is_for_accelerators_alone() -> None:
    gpu = Ranks(device=torch.device("cuda", 0))
    assert gpu.bfloat16 and not Ranks().bfloat16 and not replace(gpu, how=Launch(precision="float64")).bfloat16
    with Ranks().arithmetic():
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    "wrong", ["launch.nproc=-1", "launch.sharding='half'", "launch.device='tpu'", "launch.checkpoint_seconds=0.0"]
)
def test_a_launch_that_cannot_be_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        config.load(Recipe, overrides=[wrong])


def test_blocks_are_those_that_checkpoints_go_around() -> None:
    for name, least in (("test_vit", 6), ("test_efficientnet", 4), ("test_convnext", 4)):
        model = timm.create_model(name)
        blocks = ranks._blocks(model)
        assert len(blocks) >= least and not any(isinstance(b, torch.nn.Sequential) for b in blocks)
        inside = [id(p) for b in blocks for p in b.parameters()]
        assert len(inside) == len(set(inside)), "a parameter is in one block"
