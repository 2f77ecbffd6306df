"""What two processes gain over one, what sharding and checkpointing save, and a batch of 2048.

    python benchmarks/distributed.py [--pairs 12] [--only efficiency memory batch]

Everything is the training's own step (``shared.training``) on noise, under torchrun on this machine, one core to a
process. Efficiency: one process with 16 images, two that know nothing of each other with 16 each (what the machine has
to give), and two that learn together, in turn, so that all meet the same load. Memory: peak of rank 0 over what it had
before the training's state was made, on a ViT-S/16 at 224 px, 8 images to a process, two steps; the C library is told
to give back what is freed (``MALLOC_MMAP_THRESHOLD_``), or holes between blocks are counted too. Batch: 2048 images in
one step of two processes, accumulated 16 at a time. Prints Markdown.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import kept
import numpy as np

from shared.recipe import Recipe
from shared.training import backbones, learning, tunable
from shared.training.backbones import torch
from shared.training.pixels import Pixels
from shared.training.ranks import Ranks
from shared.training.run import Run, Task
from shared.training.soup import Score
from shared.training.throughput import Plan
from shared.tuning import Launch, Tuning

IMAGES, STEPS = 16, 3
ARMS = {
    "DDP": Launch(),
    "DDP, checkpoints": Launch(checkpointing=True),
    "FSDP2": Launch(sharding="full"),
    "FSDP2, checkpoints": Launch(sharding="full", checkpointing=True),
}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
VIT = Recipe("vit_small_patch16_224", "random", image_size=224)


class Steps:
    """A training of which single steps are asked for."""

    def __init__(self, recipe: Recipe, team: Ranks, batch: int, count: int = 512) -> None:
        from shared.export.graph import Head

        net, _ = backbones.create(recipe)
        width, labels = sum(net.stages), np.arange(count) % 2
        start = Head(np.zeros(width), np.ones(width), np.zeros((width, 2)), np.zeros(2), 1.0)
        noise = np.random.default_rng(0).integers(
            256, size=(32, recipe.image_size, recipe.image_size, 3), dtype=np.uint8
        )
        none = np.zeros(0, np.int64)
        task = Task(
            read=lambda i: noise[i % len(noise)],
            labels=labels,
            train=np.arange(count),
            held=none,
            classes=2,
            recipe=recipe,
            tuning=Tuning(batch=batch),
            until=np.inf,
            checkpoint=None,
            key="",
            on_best=None,
            say=print,
            ranks=team,
        )
        learner = tunable.Tunable(tunable.copied(net, recipe, recipe.image_size), start)
        learner.to(memory_format=learner.format)
        plan = Plan(recipe.image_size, batch, 1.0, 1.0, False)
        self.before = peak()
        self.run = Run(task, plan, learner, None, Score(0.0, np.inf), net, start)
        self.average, self.forward, self.optimiser = learning._spread(self.run)
        self.pixels = Pixels(task.read, task.train, round(learning.BETWEEN_SIZES * recipe.image_size))

    def take(self, steps: int) -> tuple[float, float]:
        """Wall and processor seconds of so many steps."""
        begun, own = time.perf_counter(), time.process_time()
        for _ in range(steps):
            assert learning._step(self.run, self.optimiser, self.pixels, self.forward)
            self.run.progress.step += 1
            self.average.update(self.run.learner, self.run.progress.step)
        return time.perf_counter() - begun, time.process_time() - own


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def efficiency(team: Ranks, out: Path, pairs: int) -> None:
    recipe = Recipe()
    both = Steps(recipe, team, IMAGES * team.world)
    alone = Steps(recipe, Ranks(), IMAGES)
    both.take(1)
    alone.take(1)
    for _ in range(pairs):
        team.total(0.0)
        one = alone.take(STEPS) if team.rank == 0 else (0.0, 0.0)
        team.total(0.0)
        apart = alone.take(STEPS)
        slower = max(team.joined(np.array([[apart[0]]]), team.world, team.world))[0]
        team.total(0.0)
        two = both.take(STEPS)
        if team.rank == 0:
            ratios = {"wall": one[0] / two[0], "processor": one[1] / two[1], "apart": one[0] / slower}
            kept.add(out, {**ratios, "shared": slower / two[0], "speed": IMAGES * STEPS / one[0]})


def memory(team: Ranks, out: Path, arm: str) -> None:
    steps = Steps(VIT, replace(team, how=ARMS[arm]), 8 * team.world)
    wall, _ = steps.take(2)
    if team.rank == 0:
        kept.add(out, {"arm": arm, "mb": peak() - steps.before, "seconds": wall / 2})


def batch(team: Ranks, out: Path, images: int) -> None:
    steps = Steps(Recipe(image_size=64), replace(team, how=Launch(micro_batch=16)), images, count=4096)
    wall, _ = steps.take(1)
    passes = len(steps.run.task.ranks.passes(images))
    if team.rank == 0:
        kept.add(out, {"images": images, "passes": passes, "mb": peak() - steps.before, "seconds": wall})


def rank(part: str, out: Path, given: str) -> None:
    """One process under torchrun."""
    number, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", timeout=timedelta(hours=1))
    team = Ranks(number, world, world)
    work: dict[str, Any] = {"efficiency": efficiency, "memory": memory, "batch": batch}
    work[part](team, out, given if part == "memory" else int(given))
    torch.distributed.destroy_process_group()


def measured(part: str, *given: str) -> list[kept.Record]:
    """Records of a part, each of the given in a run of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        environment = os.environ | (ENVIRONMENT if part != "efficiency" else {"OMP_NUM_THREADS": "1"})
        for one in given:
            launcher = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=2"]
            command = [sys.executable, *launcher, __file__, "--rank", part, str(out), one]
            subprocess.run(command, check=True, env=environment)
        return kept.read(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument(
        "--only", nargs="+", choices=["efficiency", "memory", "batch"], default=["efficiency", "memory", "batch"]
    )
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rank:
        rank(chosen.rank[0], Path(chosen.rank[1]), chosen.rank[2])
        return
    if "efficiency" in chosen.only:
        found = measured("efficiency", str(chosen.pairs))
        print("| images per second and process | median | quartiles | pairs |\n| --- | --- | --- | --- |")
        for name, key in (
            ("two that learn together, over one alone", "wall"),
            ("two that learn each for itself at once, over one alone", "apart"),
            ("two that learn together, over two for themselves", "shared"),
            ("two together over one alone, by processor seconds per image", "processor"),
        ):
            ratios = sorted(record[key] for record in found)
            low, high = np.quantile(ratios, [0.25, 0.75])
            print(f"| {name} | {median(ratios):.2f} | {low:.2f} .. {high:.2f} | {len(ratios)} |")
        print(f"\nOne process: {median(record['speed'] for record in found):.1f} images per second.\n", flush=True)
    if "memory" in chosen.only:
        found = measured("memory", *ARMS)
        whole = found[0]["mb"]
        print(
            "| two processes, ViT-S/16 | peak MB of rank 0 | against DDP | seconds a step |\n| --- | --- | --- | --- |"
        )
        for r in found:
            print(f"| {r['arm']} | {r['mb']:.0f} | {r['mb'] / whole - 1:+.0%} | {r['seconds']:.1f} |")
        print(flush=True)
    if "batch" in chosen.only:
        print("| images of a step | passes of each process | peak MB of rank 0 | seconds |\n| --- | --- | --- | --- |")
        for r in measured("batch", "32", "2048"):
            print(f"| {r['images']} | {r['passes']} | {r['mb']:.0f} | {r['seconds']:.1f} |")


if __name__ == "__main__":
    main()
