"""A training on disk, so that a killed one goes on: weights as safetensors, and a JSON file that names them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.errors import require
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training.soup import Member, Score, State
from shared.tuning import Tuning

_PROGRESS = "progress.json"
_PARTS = ("raw", "average", "moments")
_SAID = ("step", "way", "tried", "plan", "seconds")


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        step: Steps done.
        way: How far it is, 0 to 1.
        raw: The weights that learn, by name.
        average: Their moving average.
        members: Candidates of the soup.
        tried: One dictionary per evaluation.
        plan: The plan that was chosen, as a dictionary.
        moments: The optimiser's memory, by parameter and quantity.
        seconds: Time that the steps took, those before an interruption included.
    """

    step: int = 0
    way: float = 0.0
    raw: State = field(default_factory=dict)
    average: State = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    tried: list[dict[str, Any]] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    moments: State = field(default_factory=dict)
    seconds: float = 0.0


def key(
    net: Any, start: Head, labels: NDArray[np.int64], part: NDArray[np.bool_], recipe: Recipe, tuning: Tuning
) -> str:
    """Names the inputs of a training; the starting head stands for the images, whose features it was fitted on."""
    digest = hashlib.sha256(json.dumps([asdict(tuning), recipe.seed, net.image_size, net.mean, net.std]).encode())
    for array in (start.weights, start.bias, start.mean, np.asarray(labels), np.asarray(part)):
        digest.update(np.ascontiguousarray(array).tobytes())
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(folder: Path, named: str, progress: Progress) -> None:
    """Write the weights under new names, then the JSON file that points to them, then delete what it no longer needs.

    A kill at any point leaves a JSON file whose weights are all there.
    """
    files = {f"at-{progress.step}.safetensors": _joined({name: getattr(progress, name) for name in _PARTS})}
    for member in progress.members:
        files[_file(member)] = dict(member.state)
    for name, tensors in files.items():
        if not (folder / name).exists():
            _write(folder / name, tensors)
    members = [{"name": m.name, "file": _file(m), **asdict(m.score)} for m in progress.members]
    said = {name: getattr(progress, name) for name in _SAID}
    atomic.write(folder / _PROGRESS, json.dumps({"key": named, **said, "members": members}, indent=2))
    for old in set(folder.glob("[!.]*.safetensors")) - {folder / name for name in files}:
        old.unlink(missing_ok=True)  # a like build beside this one may have been first; what it is writing has a dot


def load(folder: Path, named: str) -> Progress | None:
    """The training of that key, or None where there is none or its files cannot be read."""
    safetensors = require("safetensors.torch", extra="train")
    try:
        said = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
        if said["key"] != named:
            return None
        both = safetensors.load_file(folder / f"at-{said['step']}.safetensors")
        members = [
            Member(
                m["name"],
                Score(m["balanced_accuracy"], m["loss"], m["temperature"]),
                safetensors.load_file(folder / m["file"]),
            )
            for m in said["members"]
        ]
        rest = {name: said[name] for name in _SAID}
    except (OSError, ValueError, KeyError, require("safetensors", extra="train").SafetensorError):
        return None
    weights: dict[str, Any] = {name: _part(both, name) for name in _PARTS}
    return Progress(members=members, **weights, **rest)


def clear(folder: Path) -> None:
    """Forget another training in this folder: its weights would be taken for this one's."""
    (folder / _PROGRESS).unlink(missing_ok=True)
    for old in folder.glob("*.safetensors"):
        old.unlink()


def _file(member: Member) -> str:
    return f"{member.name.replace(' ', '-')}.safetensors"


def _joined(parts: Mapping[str, State]) -> dict[str, Any]:
    return {f"{part}/{name}": value for part, state in parts.items() for name, value in state.items()}


def _part(tensors: Mapping[str, Any], part: str) -> dict[str, Any]:
    return {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}


def _write(path: Path, tensors: Mapping[str, Any]) -> None:
    safetensors = require("safetensors.torch", extra="train")
    plain: Sequence[tuple[str, Any]] = [(name, value.detach().contiguous().clone()) for name, value in tensors.items()]
    atomic.write(path, safetensors.save(dict(plain)))
