"""From a memory after its changes to a model with everything that a bundle says about itself."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import config, packing
from shared.building import adopt, card
from shared.building.candidates import Candidate
from shared.building.work import Clock, Say, Work
from shared.data.manifest import Manifest, Row
from shared.deadline import Deadline
from shared.errors import require
from shared.export import graph
from shared.inference import Bundle, Runtime, bundle, calibration, nearest, novelty
from shared.inference import runtime as inference
from shared.inference.nearest import Exemplars
from shared.inference.novelty import Novelty
from shared.recipe import Recipe
from shared.records import Sample
from shared.training import features
from shared.training.held_out import HeldOut
from shared.updating import memory
from shared.updating.gate import Judged
from shared.updating.memory import Memory

STRENGTH = 1.0
"""Ridge strength where the parent names none, because its head was another one."""


@dataclass(frozen=True)
class Model:
    """A model taken apart.

    Attributes:
        labels: In the order of the probabilities.
        before: Graph from image to features and field.
        head: On the features.
        novel: On the standardised features.
        size: Bytes of its file.
        nodes: Nodes of its graph.
    """

    labels: tuple[str, ...]
    before: Any
    head: graph.Head
    novel: Novelty
    size: int
    nodes: int

    def answers(self, held: HeldOut) -> Judged:
        """What it says about images of which the features are known."""
        probabilities = calibration.softmax(self.head.scores(held.features))
        return Judged(probabilities, self.novel.score(self.head.standardise(held.features)), self.size, self.nodes)


@dataclass(frozen=True)
class Fitted:
    """A head over one backbone, ready to be compared with others.

    Attributes:
        after: What it was fitted on, in features of its own backbone.
        candidate: Backbone, head and features, as in a build.
        novel: Its novelty statistics.
        work: The update as a build sees its work.
        rows: Its images, without files.
    """

    after: Memory
    candidate: Candidate
    novel: Novelty
    work: Work
    rows: list[Row]


@dataclass(frozen=True)
class Made:
    """A candidate.

    Attributes:
        after: Sums, held-out vectors and table to be kept.
        model: Taken apart.
        data: Content of ``model.onnx``.
        facts: Content of ``bundle.json``.
        exemplars: Training images as vectors; None where all are part of a sum.
        network: The torch network, where the recipe does not give it.
    """

    after: Memory
    model: Model
    data: bytes
    facts: dict[str, Any]
    exemplars: Exemplars | None
    network: packing.Kept | None

    @property
    def kept(self) -> tuple[packing.Kept, ...]:
        """What the bundle keeps beside the model, each a file."""
        parts = (self.exemplars, self.after.sums, self.after.held, self.network)
        return tuple(part for part in parts if part is not None)

    def with_paths(self, paths: Mapping[str, str]) -> "Made":
        """With the paths of images that came in now, by id."""
        old = self.exemplars
        if old is None:
            return self
        known = tuple(paths.get(i, p) for i, p in zip(old.ids, old.paths, strict=True))
        return replace(self, exemplars=replace(old, paths=known))


@dataclass(frozen=True)
class Carried:
    """A file of the parent that stays as it is.

    Attributes:
        file: Where it lies.
    """

    file: Path

    def save(self, folder: Path) -> Path:
        """Copy it into a folder."""
        return Path(shutil.copyfile(self.file, folder / self.file.name))


def opened(of: Bundle) -> Model:
    """The model of a bundle, taken apart.

    Raises:
        BundleError: Another bundle has taken the folder's place since this one was checked.
    """
    onnx = require("onnx", extra="train")
    data = of.content(bundle.MODEL)
    whole = onnx.load_from_string(data)
    before, head, novel = graph.taken_apart(whole)
    return Model(of.labels, before, head, novel, len(data), len(whole.graph.node))


def features_of(model: Model, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Features ``(n, d)`` of pictures by a model's own graph."""
    session = inference.session(model.before.SerializeToString())
    found = [session.run(["features"], {"image": picture[None]})[0][0] for picture in pictures]
    return np.asarray(found, np.float32)


def extractor(runtime: Runtime, parent: Model, key: str) -> features.Extractor:
    """The parent's own backbone.

    Args:
        runtime: The parent.
        parent: Its model.
        key: Names the backbone, see :func:`shared.updating.memory.key`.
    """
    card_before = runtime.bundle.card
    origin = {k: v for k, v in card_before["backbone"].items() if k not in ("image_size", "features")}
    return features.Extractor(parent.before, origin, card_before["onnx_parity"], key)


def fitted(
    runtime: Runtime,
    backbone: features.Extractor,
    after: Memory,
    *,
    name: str,
    say: Say,
    details: Mapping[str, Any] | None = None,
    network: packing.Kept | None = None,
) -> Fitted:
    """Fit the closed-form head on the sums of one backbone.

    Args:
        runtime: The parent.
        backbone: Gave the features of ``after``.
        after: What the candidate is made from.
        name: What it is called.
        say: Told what is decided about it.
        details: What else is worth keeping about it.
        network: The torch network, where it is neither the parent's nor the recipe's.
    """
    card_before = runtime.bundle.card
    strength = float(card_before["chosen"].get("strength", STRENGTH))
    honest = memory.temperature(after.sums, strength)
    head = after.sums.head(strength, honest or float(card_before["temperature"]))
    z = head.standardise(after.held.features[[s == "validation" for s in after.held.splits]])
    count = sum(block.count for block in after.sums.blocks.values())
    eight_bits = graph.in_whole_numbers(backbone.model)
    novel = novelty.from_covariance(after.sums.covariance(head.deviation), count, z, eight_bits=eight_bits)
    work, rows, known = _work(runtime, after, say)
    image_size = int(card_before["backbone"]["image_size"])
    about = "ridge, closed form, labels weighted equally, over the sums of old and new images"
    own = {"strength": strength, **(details or {})}
    file = runtime.bundle.path / bundle.NETWORK
    network = network or (Carried(file) if file.is_file() else None)
    chosen = Candidate(name, backbone, image_size, head, known, float("nan"), about, own, network)
    return Fitted(after, chosen, novel, work, rows)


def packed(
    runtime: Runtime,
    own: Fitted,
    trials: Sequence[adopt.Trial],
    pictures: Sequence[NDArray[np.uint8]],
    *,
    earlier: int,
) -> Made:
    """Measure a fitted head on what is held out, and put its model together.

    Args:
        runtime: The parent.
        own: The head that the last adopted trial is about.
        trials: What was compared, the closed form on the parent's backbone first.
        pictures: Real images on which the exported model is compared with the head; drawn ones where there are none.
        earlier: Models among which the same validation images had chosen before.
    """
    onnx = require("onnx", extra="train")
    chosen, work = own.candidate, own.work
    facts = card.facts(work, trials, own.rows, (), own.novel, earlier=earlier)
    facts["chosen"]["balanced_accuracy_over_folds"] = None
    facts["tried"] = [{**tried, "inner": None} for tried in facts["tried"]]
    said = ("labels", "ok_label", "vertical", "temperature", "certificate", "tile", "backbone")
    metadata = {key: facts[key] for key in said}
    metadata |= {"data_hash": work.manifest.hash, "input": "uint8 RGB [N, H, W, 3]"}
    before = chosen.extractor.model
    data, agreement = packing.whole_model(
        before, chosen.head, own.novel, metadata, list(pictures) or packing.golden_patterns()
    )
    facts["onnx_parity"] = {**chosen.extractor.parity, **agreement}
    facts |= {"size_bytes": len(data), "seconds": round(work.deadline.elapsed, 1)}
    facts |= {"first_model_seconds": facts["seconds"], "stages": work.clock.stages()}
    nodes = len(onnx.load_from_string(data).graph.node)
    model = Model(own.after.sums.labels, before, chosen.head, own.novel, len(data), nodes)
    return Made(own.after, model, data, facts, _exemplars(runtime, own.after, chosen.head), chosen.kept)


def _work(runtime: Runtime, after: Memory, say: Say) -> tuple[Work, list[Row], dict[str, NDArray[np.float32]]]:
    """The update as a build sees its work: rows without files, and features of those that are kept one by one."""
    said, before = after.labels, runtime.bundle.card
    lines = [line for line in after.images if line["id"] in said]
    names = {c: i for i, c in enumerate(sorted({line["component"] for line in lines}))}
    rows = [
        Row(Sample(line["id"], line["id"], 0, 0, group=line["group"]), said[line["id"]], line["split"])
        for line in lines
    ]
    components = {line["id"]: names[line["component"]] for line in lines}
    known = dict(zip(after.held.ids, after.held.features, strict=True))
    for block in after.sums.blocks.values():
        known |= dict(zip(block.ids, block.rows, strict=True))
    recipe = config.build(Recipe, before["recipe"], where=f"{runtime.bundle.path}: recipe")
    labels = after.sums.labels
    manifest = Manifest(tuple(rows), Path(), runtime.bundle.vertical)
    counts = dict(manifest.counts)
    facts = {
        **{key: before[key] for key in ("vertical", "taxonomy_version", "tile", "notes")},
        "data": {**before["data"], "hash": manifest.hash, "labels": counts},
        "left_out": [],
    }
    unsought = tuple(label for label in labels if label in runtime.bundle.unsought)
    ok = runtime.bundle.ok_label if runtime.bundle.ok_label in labels else None
    deadline = Deadline(float(before["budget_seconds"]))
    work = Work(manifest, components, recipe, labels, ok, deadline, Path(), Clock(), say, facts, unsought)
    return work, rows, known


def _exemplars(runtime: Runtime, after: Memory, head: graph.Head) -> Exemplars | None:
    blocks = after.sums.blocks.items()
    rows = [(label, i, x) for label, block in blocks for i, x in zip(block.ids, block.rows, strict=True)]
    if not rows:
        return None
    old = nearest.load(runtime.bundle.path)
    paths = dict(zip(old.ids, old.paths, strict=True)) if old else {}
    return nearest.fit(
        np.stack([x for _, _, x in rows]),
        [i for _, i, _ in rows],
        [label for label, _, _ in rows],
        mean=head.mean,
        deviation=head.deviation,
        paths=[paths.get(i, "") for _, i, _ in rows],
    )
