"""Make the embedded backbone again: ``python -m shared.pretraining distilled --teacher FILE --minutes 15 -o OUT``."""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import click

from shared import atomic
from shared.errors import require
from shared.inference.bundle import file_hash
from shared.pretraining import crops, inherit, learn, objectives
from shared.recipe import Recipe
from shared.training import backbones, embedded

TEACHER = Recipe(backbone="mobilenetv2_100", backbone_args={"pad_type": "same"}, mean=embedded.MEAN, std=embedded.STD)
MEASURED = 12
"""Batches on which the narrower network's projections are solved."""


@click.command()
@click.argument("way", type=click.Choice(["distilled", "scratch", "procedural"]))
@click.option("--teacher", type=click.Path(path_type=Path), help="Weights of mobilenetv2_100 (not for procedural).")
@click.option("--minutes", type=float, default=15.0, show_default=True, help="Time to learn.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--threads", type=int, default=0, help="Threads on the CPU, 0 means all cores.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("-o", "out", type=click.Path(path_type=Path), required=True, help="Safetensors file.")
def main(way: str, teacher: Path | None, minutes: float, device: str, threads: int, seed: int, out: Path) -> None:
    """Train the embedded backbone on procedural images.

    distilled: the teacher's channels that matter most, then distillation (this is the embedded one). scratch:
    distillation alone, from random weights. procedural: no teacher at all, self-supervised (VICReg).
    """
    torch = require("torch", extra="train")
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    student = require("timm", extra="train").create_model(embedded.NAME)
    schedule = learn.Schedule(60 * minutes, seed=seed, device=device)
    facts: dict[str, Any] = {"way": way, "seed": seed, "device": device}
    if way == "procedural":
        schedule = learn.Schedule(60 * minutes, views=2, frozen_norm=False, seed=seed, device=device)
        beside = objectives.projector(2 * sum(m.shape[1] for m in _maps(student)))
        loss = objectives.self_supervision(student, beside)
    else:
        if teacher is None:
            raise click.UsageError(f"{way} needs --teacher FILE: the weights of mobilenetv2_100")
        known = backbones.create(Recipe(**{**vars(TEACHER), "weights": str(teacher)}))[0].model.to(device)
        facts["teacher"] = {"name": "mobilenetv2_100", "file": teacher.name, "sha256": file_hash(teacher)}
        measured = _measured(seed, device)
        if way == "distilled":
            inherit.narrowed(student.to(device), known, measured)
        else:
            schedule = learn.Schedule(60 * minutes, frozen_norm=False, learning_rate=2e-3, seed=seed, device=device)
        beside, loss = None, objectives.distillation(student, known, measured)
    facts |= learn.learn(student, beside, loss, schedule, say=lambda text: print(text, file=sys.stderr), save=out)
    learn.write(student, out)
    facts |= {"sha256": file_hash(out), "bytes": out.stat().st_size}
    atomic.write(out.with_suffix(".json"), json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts))


def _maps(student: Any) -> list[Any]:
    torch = require("torch", extra="train")
    return backbones.stage_maps(student.eval(), torch.zeros(1, 3, 64, 64))


def _measured(seed: int, device: str) -> list[Any]:
    stream = crops.batches(seed + 1, batch=16, side=160)
    return [learn.normalised(views[0], device) for views in itertools.islice(stream, MEASURED)]


if __name__ == "__main__":
    main()
