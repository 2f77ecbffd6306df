"""A bundle opened to be made smaller: its model taken apart, with the features of the images that it was built from."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared import config
from shared.building import candidates
from shared.building.candidates import Candidate
from shared.building.work import Clock, Part, Vectors, Work, parts, some_pictures
from shared.data.manifest import SPLITS, Manifest, Row
from shared.deadline import Deadline
from shared.errors import DataError, Problem
from shared.evaluate import SAMPLES
from shared.export.graph import Head
from shared.inference import Bundle, Runtime, calibration
from shared.recipe import Recipe
from shared.training import features, kept_backbone
from shared.training.features import Extractor
from shared.updating import candidate as taken

Say = Callable[[str], None]


@dataclass(frozen=True)
class Parent:
    """What every method of compression starts from.

    Attributes:
        bundle: The larger model.
        work: Its images with the splits of its build; ``work.recipe`` is the recipe of the build.
        rows: The images that could be decoded.
        problems: Those that could not.
        candidate: Its graph from image to features, its head with its temperature, its features of every image.
        size: Bytes of its ``model.onnx``.
    """

    bundle: Bundle
    work: Work
    rows: list[Row]
    problems: tuple[Problem, ...]
    candidate: Candidate
    size: int

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Training, validation and test images with the parent's features."""
        return parts(self.work, self.rows, self.candidate.known)

    @cached_property
    def pictures(self) -> list[NDArray[np.uint8]]:
        """A few training images, to compare runtimes on."""
        return some_pictures(self.work.manifest, [row for row in self.rows if row.split == "train"])

    def network(self) -> tuple[Any, Recipe]:
        """The torch network, see :func:`shared.training.kept_backbone.load`."""
        return kept_backbone.load(self.bundle)

    def of(self, known: Vectors) -> dict[str, Part]:
        """The same images with other features."""
        return parts(self.work, self.rows, known)

    def features(self, extractor: Extractor) -> Vectors:
        """Features of every image by another graph."""
        known, _ = features.compute(
            extractor, self.work.manifest, self.rows, threads=self.work.recipe.threads, until=np.inf
        )
        return known


def opened(bundle: Path, manifest: Manifest, *, cache: Path, budget_seconds: float, threads: int, say: Say) -> Parent:
    """Open a bundle together with the images that it was built from.

    Args:
        bundle: Folder of the bundle.
        manifest: Those images, read from where they lie; the splits are the bundle's own, whatever the manifest says.
        cache: Folder of computed features.
        budget_seconds: Time for everything.
        threads: 0 means all cores.
        say: Told what was found.

    Raises:
        BundleError: It is none, or damaged.
        DataError: The images are not those of the bundle.
    """
    deadline = Deadline(budget_seconds)
    runtime = Runtime.open(bundle, threads=threads)
    card = runtime.bundle.card
    rows, components = _own(runtime.bundle, manifest, say)
    recipe = replace(config.build(Recipe, card["recipe"], where=f"{bundle}: recipe"), threads=threads)
    facts = {key: card[key] for key in ("vertical", "taxonomy_version", "tile", "notes", "data")} | {"left_out": []}
    work = Work(
        manifest.with_rows(rows), components, recipe, runtime.labels, runtime.bundle.ok_label,
        deadline, cache, Clock(), say, facts, runtime.bundle.unsought,
    )  # fmt: skip
    model = taken.opened(runtime.bundle)
    data = model.before.SerializeToString()
    origin = {k: v for k, v in card["backbone"].items() if k not in ("image_size", "features")}
    extractor = Extractor(model.before, origin, card["onnx_parity"], hashlib.sha256(data).hexdigest()[:24])
    known, problems = features.extract(extractor, work.manifest, rows, cache=cache, threads=threads, until=np.inf)
    usable = [row for row in rows if row.sample.id in known]
    temperature = float(card["temperature"])
    head = replace(
        model.head,
        weights=model.head.weights * temperature,
        bias=model.head.bias * temperature,
        temperature=temperature,
    )
    chosen = card["chosen"]
    details = {"strength": chosen["strength"]} if "strength" in chosen else {}
    own = Candidate(
        "parent",
        extractor,
        int(card["backbone"]["image_size"]),
        head,
        known,
        chosen.get("balanced_accuracy_over_folds") or float("nan"),
        chosen["head"],
        details,
    )
    return Parent(runtime.bundle, work, usable, problems, own, model.size)


def _own(bundle: Bundle, manifest: Manifest, say: Say) -> tuple[list[Row], dict[str, int]]:
    """The rows that the bundle was built from, in its splits, and the component of each."""
    table = pd.read_csv(bundle.path / SAMPLES, dtype="string", keep_default_na=False)
    split = dict(zip(table["id"], table["split"], strict=True))
    numbers = {c: i for i, c in enumerate(sorted(set(table["component"])))}
    components = {i: numbers[c] for i, c in zip(table["id"], table["component"], strict=True)}
    rows = [
        replace(row, split=split[row.sample.id])
        for row in manifest.rows
        if row.sample.id in split and row.label in bundle.labels
    ]
    for part in ("train", "validation"):
        found = {row.sample.id for row in rows if row.split == part}
        wanted = sum(s == part for s in split.values())
        if not found:
            raise DataError(
                f"{manifest.folder}: holds none of the {wanted} {part} images that {bundle.path} was built from; "
                "give the images of its build"
            )
        if len(found) < wanted:
            say(f"{wanted - len(found)} of {wanted} {part} images of the build are not in {manifest.folder}")
    if strangers := len(manifest.rows) - len(rows):
        say(f"left out: {strangers} images that the bundle was not built from")
    assert all(row.split in SPLITS for row in rows)
    return rows, components


def refitted(parent: Parent, name: str, extractor: Extractor, image_size: int, known: Vectors) -> Candidate:
    """A candidate whose closed-form head is fitted on the features of another graph, its temperature on folds."""
    made = candidates.closed_form(parent.work, extractor, known, parent.rows)
    return replace(made, name=name, image_size=image_size)


def with_head_kept(
    parent: Parent, name: str, extractor: Extractor, known: Vectors, head: Head | None = None
) -> Candidate:
    """A candidate with the parent's head, or one made from it, on almost the same features.

    Its temperature is the one at which its probabilities for the training images are closest to the parent's: the
    smaller model is as sure as its parent, and no held-out image was needed to find out.
    """
    old, new = parent.parts["train"], parent.of(known)["train"]
    target = calibration.softmax(parent.candidate.head.scores(old.x))
    head = head or parent.candidate.head
    temperature = head.temperature * matching_temperature(head.scores(new.x), target)
    return replace(
        parent.candidate,
        name=name,
        extractor=extractor,
        head=replace(head, temperature=temperature),
        known=known,
    )


def matching_temperature(scores: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """The factor by which scores are divided to come closest to given probabilities, by cross-entropy; 0.2 to 5.

    Args:
        scores: ``(n, labels)``.
        target: ``(n, labels)`` probabilities.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_factor: float) -> float:
        return -float((target * np.log(calibration.softmax(scores / np.exp(log_factor)) + 1e-12)).sum(1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded").x))


def extractor_of(parent: Parent, model: Any, changed: str) -> Extractor:
    """A changed graph as an extractor, its origin saying what was changed.

    Args:
        parent: Where the graph comes from.
        model: ModelProto from image to features and field.
        changed: E.g. ``int8``.
    """
    before = parent.candidate.extractor
    sha256 = hashlib.sha256(model.SerializeToString()).hexdigest()
    origin = {**before.origin, "weights": f"{before.origin['weights']}, {changed}", "sha256": sha256}
    return Extractor(model, origin, before.parity, sha256[:24])


def seconds_left(parent: Parent) -> float:
    """Until the budget is spent."""
    return parent.work.deadline.left


def until(parent: Parent, share: float) -> float:
    """The ``time.monotonic()`` at which a share of the time that is left will be spent."""
    return time.monotonic() + share * max(seconds_left(parent), 0.0)
