"""What every runner gets and gives: a table of images, a deadline, a file of predictions (standard library only)."""

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STARTED = time.monotonic()
"""Taken before anything heavy is imported: what a tool needs to start counts against its budget."""
BACKBONE = "mobilenetv2_100"
BACKBONE_ARGS = {"pad_type": "same"}
MEAN = STD = (0.5, 0.5, 0.5)
IMAGE_SIZE = 224


@dataclass(frozen=True)
class Case:
    """One image: absolute path, label, component that never lies on both sides of the split."""

    path: str
    label: str
    group: str


@dataclass(frozen=True)
class Task:
    """What a runner has to do.

    Attributes:
        train: Images to learn from.
        validation: Images for early stopping and selection, of labels that are in training.
        test: Images to predict once, at the end.
        table: The same as a CSV file (path,label,group,split).
        weights: Safetensors file of ``BACKBONE``.
        seconds: Time until the model must be ready, counted from the start of the process.
        seed: Seed of everything random.
        threads: CPU threads.
        folder: Empty folder for whatever the tool writes, and for the answer.
        options: Further arguments, as they were given.
    """

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    table: Path
    weights: Path
    seconds: float
    seed: int
    threads: int
    folder: Path
    options: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """Labels in training, sorted."""
        return sorted({case.label for case in self.train})

    @property
    def left(self) -> float:
        """Seconds until the model must be ready."""
        return self.seconds - (time.monotonic() - STARTED)

    def class_weights(self) -> list[float]:
        """Weight of each label so that every label counts the same: n / (labels * n of the label)."""
        counts = Counter(case.label for case in self.train)
        return [len(self.train) / (len(counts) * counts[label]) for label in self.labels]


def task() -> Task:
    """Read the command line of a runner."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, required=True)
    known, options = parser.parse_known_args()
    parts: dict[str, list[Case]] = {"train": [], "validation": [], "test": []}
    with known.table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            parts[row["split"]].append(Case(row["path"], row["label"], row["group"]))
    # Some tools stop at a label that was never trained; a test image of one stays, and is a miss for everybody.
    trained = {case.label for case in parts["train"]}
    parts["validation"] = [case for case in parts["validation"] if case.label in trained]
    return Task(**{k: tuple(v) for k, v in parts.items()}, **vars(known), options=tuple(options))


def answer(
    task: Task, predicted: Sequence[str], *, version: str, start: str, trained_seconds: float, note: str = ""
) -> None:
    """Write ``predictions.csv`` and ``facts.json``.

    Args:
        task: What was to be done.
        predicted: A label for each test image, in order.
        version: Of the tool.
        start: The weights that it started from, for the table.
        trained_seconds: From the start of the process until the model was ready, see :func:`elapsed`.
        note: What a reader of the table must know.
    """
    with (task.folder / "predictions.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "predicted"])
        writer.writerows([c.path, p] for c, p in zip(task.test, predicted, strict=True))
    facts = {"version": version, "start": start, "trained_seconds": round(trained_seconds, 1), "note": note}
    (task.folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def elapsed() -> float:
    """Seconds since the start of the process."""
    return time.monotonic() - STARTED
