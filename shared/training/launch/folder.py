"""A fine-tuning's job and its result as files, so that processes on several machines can work on one."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from shared import atomic, config
from shared.errors import LaunchError, require
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.records import Box
from shared.training import backbones, tunable
from shared.training.backbones import FieldNet
from shared.training.finetune import Tuned
from shared.training.stages import Job

JOB, RESULT, SAID, LOGS = "job", "result", "said.jsonl", "logs"
_NUMBERS = ("mean", "deviation", "weights", "bias")


def write_job(folder: Path, job: Job) -> None:
    """Write a job; its ends become times of the day, because every machine counts seconds from a start of its own."""
    (folder / SAID).unlink(missing_ok=True)
    clock = time.time() - time.monotonic()
    said = {
        "recipe": asdict(job.recipe),
        "image_size": job.net.image_size,
        "mean": job.net.mean,
        "std": job.net.std,
        "pictures": [[str(path.resolve()), window and asdict(window)] for path, window in job.pictures],
        "labels": job.labels.tolist(),
        "tuning_part": job.tuning_part.tolist(),
        "temperatures": [job.start.temperature, job.start_of_all.temperature],
        "first_until": None if job.first_until is None else job.first_until + clock,
        "until": job.until + clock,
        "checkpoint": str(job.checkpoint.resolve()),
    }
    tensors = {f"net/{name}": value for name, value in job.net.model.state_dict().items()}
    tensors |= _head("start", job.start) | _head("start_of_all", job.start_of_all)
    _write(folder, JOB, said, tensors)


def read_job(folder: Path) -> Job:
    """The job of a folder.

    Raises:
        LaunchError: There is none, or it cannot be read.
    """
    said, tensors = _read(folder, JOB)
    recipe = config.build(Recipe, said["recipe"], where=str(folder))
    model = backbones.bare(recipe)
    model.load_state_dict(_part(tensors, "net"))
    model.eval().requires_grad_(False)
    clock = time.monotonic() - time.time()
    first = said["first_until"]
    return Job(
        FieldNet(model, recipe, said["mean"], said["std"]).eval(),
        _as_head(_part(tensors, "start"), said["temperatures"][0]),
        _as_head(_part(tensors, "start_of_all"), said["temperatures"][1]),
        tuple((Path(path), Box(**window) if window else None) for path, window in said["pictures"]),
        np.array(said["labels"], np.int64),
        np.array(said["tuning_part"], bool),
        recipe,
        None if first is None else first + clock,
        said["until"] + clock,
        Path(said["checkpoint"]),
    )


def write_result(folder: Path, made: Tuned) -> None:
    """Write what a fine-tuning has made."""
    said = {
        "image_size": made.net.image_size,
        "temperature": made.head.temperature,
        "tried": made.tried,
        "facts": made.facts,
    }
    _write(
        folder, RESULT, said, {f"net/{k}": v for k, v in made.net.model.state_dict().items()} | _head("head", made.head)
    )


def read_result(folder: Path, job: Job) -> Tuned:
    """What a fine-tuning of a job has made.

    Raises:
        LaunchError: It made nothing, or it cannot be read.
    """
    said, tensors = _read(folder, RESULT)
    net = tunable.copied(job.net, job.recipe, said["image_size"])
    net.model.load_state_dict(_part(tensors, "net"))
    return Tuned(net, _as_head(_part(tensors, "head"), said["temperature"]), said["tried"], said["facts"])


def _head(name: str, head: Head) -> dict[str, Any]:
    return {f"{name}/{number}": backbones.torch.from_numpy(getattr(head, number)) for number in _NUMBERS}


def _as_head(tensors: Mapping[str, Any], temperature: float) -> Head:
    mean, deviation, weights, bias = (tensors[number].numpy() for number in _NUMBERS)
    return Head(mean, deviation, weights, bias, temperature)


def _part(tensors: Mapping[str, Any], part: str) -> dict[str, Any]:
    return {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}


def _write(folder: Path, name: str, said: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """The words come last: where they are, the numbers are too."""
    (folder / f"{name}.json").unlink(missing_ok=True)
    pack = require("safetensors.torch", extra="train").save
    atomic.write(folder / f"{name}.safetensors", pack({k: v.detach().contiguous().clone() for k, v in tensors.items()}))
    atomic.write(folder / f"{name}.json", json.dumps(said))


def _read(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    safetensors = require("safetensors", extra="train")
    try:
        said: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        tensors = require("safetensors.torch", extra="train").load_file(folder / f"{name}.safetensors")
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise LaunchError(f"{folder}: its {name} cannot be read ({error}); run the build again") from error
    return said, tensors
