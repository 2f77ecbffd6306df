"""Training on many ranks, through real torchrun processes: what is learnt is what one process learns."""

import json
import math
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from shared.errors import LaunchError
from shared.recipe import Recipe
from shared.training import backbones, head, stages
from shared.training.launch import agent
from shared.training.stages import Job
from shared.tuning import Launch, Tuning
from tests.shared.training.test_finetune import discs

ROOT = Path(__file__).resolve().parents[3]
TUNING = Tuning(epochs=2, batch=15, mixup=0.2, cutmix=1.0, mix_off=0.5, label_smoothing=0.1, image_size=32)
"""Views, mixing, and batches that no number of ranks divides."""
EXACT = Launch(nproc=2, device="cpu", precision="float64")
COUNT = 64


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(discs(COUNT, seed=0)[0]):
        Image.fromarray(picture).save(folder / f"{i:03}.png")
    return folder


def job(pictures: Path, checkpoint: Path, tuning: Tuning = TUNING, how: Launch | None = None) -> Job:
    recipe = Recipe("test_efficientnet", "random", image_size=32, threads=1, tuning=tuning, launch=how)
    net, _ = backbones.create(recipe)
    files = tuple((file, None) for file in sorted(pictures.glob("*.png")))
    labels, part = discs(COUNT, seed=0)[1], np.arange(COUNT) % 4 == 0
    seen = np.stack([np.asarray(Image.open(file)) for file, _ in files])
    with torch.no_grad():
        x = net(torch.from_numpy(seen).permute(0, 3, 1, 2) / 127.5 - 1)[0].double().numpy()
    start = next(head.ridge(x[~part], labels[~part], 2, [1.0]))
    return Job(net, start, start, files, labels, part, recipe, None, math.inf, checkpoint)


@pytest.fixture
def alone(pictures: Path, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """One process in double precision; gives the folder in which its last state lies."""

    def run(tuning: Tuning, folder: str = "alone") -> Path:
        one = job(pictures, tmp_path / folder, tuning)
        torch.set_default_dtype(torch.float64)
        try:
            stages.tune(replace(one, net=one.net.double()), say=lambda text: None)
        finally:
            torch.set_default_dtype(torch.float32)
        return one.checkpoint

    yield run


def last_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Weights, their average, and the optimiser's moments."""
    step = json.loads((checkpoint / "progress.json").read_text())["step"]
    return load_file(checkpoint / f"at-{step}.safetensors")


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "freeze_norm"),
    [
        (replace(EXACT, micro_batch=3), True),
        (EXACT, False),
        (replace(EXACT, sharding="full", micro_batch=3, checkpointing=True), True),
        (replace(EXACT, sharding="hybrid", replicas=2), False),
    ],
    ids=["DDP, accumulated", "DDP, norms learn", "FSDP2, accumulated, checkpoints", "HSDP, norms learn"],
)
def test_two_ranks_learn_what_one_process_learns_from_the_same_batches(
    how: Launch, freeze_norm: bool, pictures: Path, tmp_path: Path, alone: Callable[..., Path]
) -> None:
    tuning, said = replace(TUNING, freeze_norm=freeze_norm), []
    many = job(pictures, tmp_path / "many", tuning, how)
    made = agent.tune(many, how, say=said.append)
    one, two = last_state(alone(tuning)), last_state(many.checkpoint)
    before = dict(many.net.model.named_parameters())
    moved = [float((two[f"raw/net.model.{name}"] - value).abs().max()) for name, value in before.items()]
    assert max(moved) > 1e-3
    assert largest_difference(one, two) < 1e-10
    assert made.facts["steps"] == 6 and made.facts["batch"] == 15 and made.facts["launch"]["ranks"] == 2
    assert made.facts["launch"]["probe"]["bottleneck"] and any("probe of 20 steps" in text for text in said)
    assert said[0].startswith("fine-tuning on 2 processes") and len(said) == len(set(said))


def ranks_of(parent: int) -> dict[int, int]:
    """Process of each rank that has this parent."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{parent}\n" in (folder / "status").read_text():
                environment = (folder / "environ").read_bytes().split(b"\0")
                found |= {
                    int(e.removeprefix(b"RANK=")): int(folder.name) for e in environment if e.startswith(b"RANK=")
                }
        except OSError:
            continue  # it ended meanwhile
    return found


def steps_done(checkpoint: Path) -> int:
    file = checkpoint / "progress.json"
    return int(json.loads(file.read_text())["step"]) if file.exists() else 0


def wait_for(true: Callable[[], bool], seconds: float = 180.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.long
def test_a_killed_rank_ends_the_run_with_a_sentence_and_one_process_goes_on_to_the_same_end(
    pictures: Path, tmp_path: Path, alone: Callable[..., Path]
) -> None:
    how = replace(EXACT, checkpoint_seconds=1e-9)
    tuning = replace(TUNING, epochs=40)
    many = job(pictures, tmp_path / "many", tuning, how)

    def kill() -> None:
        wait_for(lambda: steps_done(many.checkpoint) >= 5)
        os.kill(ranks_of(os.getpid())[1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(LaunchError, match=r"rank 1 was ended by SIGKILL.* run the same command again, it goes on"):
        agent.tune(many, how, say=lambda text: None)
    killer.join()
    assert not ranks_of(os.getpid()) and 5 <= steps_done(many.checkpoint) < 120
    assert largest_difference(last_state(alone(tuning, "many")), last_state(alone(tuning))) < 1e-10
    assert steps_done(many.checkpoint) == 120


@pytest.mark.long
def test_ranks_whose_build_is_killed_end_too(pictures: Path, tmp_path: Path) -> None:
    code = f"""
from dataclasses import replace
from pathlib import Path
from shared.training.launch import agent
from tests.shared.training.test_launch import EXACT, TUNING, job
how = replace(EXACT, checkpoint_seconds=1e-9)
many = job(Path({str(pictures)!r}), Path({str(tmp_path / "many")!r}), replace(TUNING, epochs=10000), how)
agent.tune(many, how, say=print)
"""
    build = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: steps_done(tmp_path / "many") >= 2)
    ranks = ranks_of(build.pid)
    assert sorted(ranks) == [0, 1]
    build.kill()
    build.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks.values()))


@pytest.mark.long
def test_a_picture_that_a_rank_cannot_read_is_the_sentence_it_is_without_ranks(pictures: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes((pictures / "001.png").read_bytes()[:60])
    many = job(pictures, tmp_path / "many", how=EXACT)
    files = (many.pictures[0], (torn, None), *many.pictures[2:])
    with pytest.raises(LaunchError, match="torn"):
        agent.tune(replace(many, pictures=files), EXACT, say=lambda text: None)


@pytest.mark.long
def test_another_machine_joins_with_the_line_that_is_told(
    pictures: Path, tmp_path: Path, alone: Callable[..., Path]
) -> None:
    """Both machines are this one: a process each, over torchrun's rendezvous."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    both = ("--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", "--rdzv-id=7", "--local-addr=127.0.0.1")
    how = replace(EXACT, nproc=1, sharding="hybrid", torchrun=both)
    many, others = job(pictures, tmp_path / "many", how=how), []

    def say(text: str) -> None:
        if "torchrun --nproc-per-node=8 " in text:
            line = shlex.split(text.partition("torchrun --nproc-per-node=8 ")[2])
            command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1", *line]
            others.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL))

    made = agent.tune(many, how, say=say)
    assert [other.wait(timeout=180) for other in others] == [0]
    assert made.facts["launch"]["ranks"] == 2
    assert largest_difference(last_state(alone(TUNING)), last_state(many.checkpoint)) < 1e-10


@pytest.mark.parametrize("passed_over", [False, True])
def test_a_timer_of_torchrun_that_ends_in_its_own_thread_says_nothing(
    passed_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed.elastic.rendezvous.utils import _PeriodicTimer

    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda said: heard.append(str(said.exc_value)))
    if passed_over:
        agent.pass_over_timers()
    timers: list[Any] = []
    timer = _PeriodicTimer(timedelta(milliseconds=50), timers.clear)
    timer.start()
    thread = timer._thread
    timers.append(timer)
    del timer  # its own thread lets go of the last reference
    assert thread is not None
    thread.join(10)
    assert heard == ([] if passed_over else ["cannot join current thread"])
    sys.unraisablehook(SimpleNamespace(exc_value=ValueError("another")))  # type: ignore[arg-type]
    assert heard[-1] == "another"
