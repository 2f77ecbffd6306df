"""From a memory after its changes to a model with everything that a bundle says about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import config, packing
from shared.building import adopt, card
from shared.building.candidates import Candidate
from shared.building.work import Clock, Work
from shared.data.manifest import Manifest, Row
from shared.deadline import Deadline
from shared.errors import require
from shared.export import graph
from shared.inference import Runtime, bundle, calibration, nearest, novelty
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
class Made:
    """A candidate.

    Attributes:
        model: Taken apart.
        data: Content of ``model.onnx``.
        facts: Content of ``bundle.json``.
        exemplars: Training images as vectors; None where all are part of a sum.
    """

    model: Model
    data: bytes
    facts: dict[str, Any]
    exemplars: Exemplars | None


def opened(path: Path, labels: tuple[str, ...]) -> Model:
    """The model of a bundle, taken apart."""
    onnx = require("onnx", extra="train")
    file = path / bundle.MODEL
    whole = onnx.load(str(file))
    before, head, novel = graph.taken_apart(whole)
    return Model(labels, before, head, novel, file.stat().st_size, len(whole.graph.node))


def features_of(model: Model, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Features ``(n, d)`` of pictures by a model's own graph."""
    session = inference.session(model.before.SerializeToString())
    found = [session.run(["features"], {"image": picture[None]})[0][0] for picture in pictures]
    return np.asarray(found, np.float32)


def make(runtime: Runtime, parent: Model, after: Memory, pictures: Sequence[NDArray[np.uint8]]) -> Made:
    """Fit the head on the sums, measure it on what is held out, and put the model together.

    Args:
        runtime: The parent.
        parent: Its model.
        after: What the candidate is made from.
        pictures: Real images on which the exported model is compared with the head; drawn ones where there are none.
    """
    onnx = require("onnx", extra="train")
    card_before = runtime.bundle.card
    strength = float(card_before["chosen"].get("strength", STRENGTH))
    labels = after.sums.labels
    honest = memory.temperature(after.sums, strength)
    head = after.sums.head(strength, honest or float(card_before["temperature"]))
    z = head.standardise(after.held.features[[s == "validation" for s in after.held.splits]])
    count = sum(block.count for block in after.sums.blocks.values())
    novel = novelty.from_covariance(
        after.sums.covariance(head.deviation), count, z, eight_bits=graph.in_whole_numbers(parent.before)
    )
    work, rows, known = _work(runtime, after)
    extractor = features.Extractor(
        parent.before, {k: v for k, v in card_before["backbone"].items() if k not in ("image_size", "features")},
        card_before["onnx_parity"], after.sums.backbone,
    )  # fmt: skip
    image_size = int(card_before["backbone"]["image_size"])
    about = "ridge, closed form, labels weighted equally, over the sums of old and new images"
    chosen = Candidate("updated head", extractor, image_size, head, known, float("nan"), about, {"strength": strength})
    facts = card.facts(work, [adopt.first(chosen)], rows, (), novel)
    facts["chosen"]["balanced_accuracy_over_folds"] = None
    said = ("labels", "ok_label", "vertical", "temperature", "certificate", "tile", "backbone")
    metadata = {key: facts[key] for key in said}
    metadata |= {"data_hash": work.manifest.hash, "input": "uint8 RGB [N, H, W, 3]"}
    data, agreement = packing.whole_model(
        parent.before, head, novel, metadata, list(pictures) or packing.golden_patterns()
    )
    facts["onnx_parity"] = {**card_before["onnx_parity"], **agreement}
    facts |= {"size_bytes": len(data), "seconds": round(work.deadline.elapsed, 1)}
    facts |= {"first_model_seconds": facts["seconds"], "stages": work.clock.stages()}
    nodes = len(onnx.load_from_string(data).graph.node)
    model = Model(labels, parent.before, head, novel, len(data), nodes)
    return Made(model, data, facts, _exemplars(runtime, after, head))


def _work(runtime: Runtime, after: Memory) -> tuple[Work, list[Row], dict[str, NDArray[np.float32]]]:
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
    work = Work(manifest, components, recipe, labels, ok, deadline, Path(), Clock(), _silent, facts, unsought)
    return work, rows, known


def _silent(_: str) -> None:
    return None


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


def with_paths(exemplars: Exemplars | None, paths: Mapping[str, str]) -> Exemplars | None:
    """Exemplars with paths of images that came in now."""
    if exemplars is None:
        return None
    return replace(exemplars, paths=tuple(paths.get(i, p) for i, p in zip(exemplars.ids, exemplars.paths, strict=True)))
