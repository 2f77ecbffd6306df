"""Labels that come in five steps: what is kept of the old ones, against naive fine-tuning and against learning jointly.

    python benchmarks/incremental.py PHOTOGRAPHS [--sets ...] [--epochs 6] [--results FILE] [--ways ...]

All ways have the same grouped split, backbone and size. Ours adds each step's images to the sums of the closed-form
head. Rehearsal (`loupe update --rehearse`) lets the backbone learn too, from the new images and 20 herded exemplars of
each old label with the answers of the step before, and fits the closed-form head anew on all images so far. Naive
fine-tuning starts from the step before and sees the new labels' images alone; its head has a column for every label so
far, and labels are drawn equally often. Joint training sees all labels at once: by the closed form (which ours equals)
and by fine-tuning. After each step the test images of all labels so far are judged. Forgetting: how far the recall of a
label has fallen from its best, mean over labels that came before the last step; backward transfer: the same from its
first value, so that it can be above 0. What was learnt is kept in the results file, so that the program can be stopped
and started again. Prints Markdown.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import kept
import numpy as np

from shared.building.work import some_pictures
from shared.data import images, sources, splits
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import backbones as networks
from shared.training import features, head, learning, rehearsal, sums, tunable, whole
from shared.training.pixels import Pixels
from shared.training.run import answers as given_by
from shared.training.throughput import BATCH, Plan
from shared.updating.rehearsed import PER_LABEL

SETS = ("industrial/neu_surface", "medical/isic_7class", "agriculture/deepweeds")
STEPS = 5


class Set:
    """One set, split, with features of the frozen backbone, its labels in five steps."""

    def __init__(self, photographs: Path, name: str, seed: int, threads: int, cache: Path) -> None:
        manifest, _ = sources.read(photographs / name / "labels.csv")
        self.recipe = Recipe(seed=seed, threads=threads)
        divided, _, components = splits.split(manifest, self.recipe)
        self.manifest, self.labels = manifest, sorted(manifest.counts)
        extractor = features.extractor(self.recipe, some_pictures(manifest, manifest.rows), cache)
        known, _ = features.extract(
            extractor, manifest, manifest.rows, cache=cache, threads=threads, until=float("inf")
        )
        self.train = [r for r in divided.rows if r.split != "test" and r.sample.id in known]
        self.test = [r for r in divided.rows if r.split == "test" and r.sample.id in known]
        self.x = {k: np.stack([known[r.sample.id] for r in rows]) for k, rows in self._parts()}
        self.y = {k: np.array([self.labels.index(r.label) for r in rows]) for k, rows in self._parts()}
        self.components = [str(components[r.sample.id]) for r in self.train]
        order = np.random.default_rng(seed).permutation(len(self.labels))
        self.steps = [part.tolist() for part in np.array_split(order, STEPS)]
        fitted = head.fit(
            self.x["train"].astype(np.float64),
            self.y["train"],
            np.unique(self.components, return_inverse=True)[1],
            len(self.labels),
            strengths=self.recipe.lambdas,
            count=self.recipe.folds,
            seed=seed,
        )
        self.joint, self.strength = fitted.head, fitted.strength

    def _parts(self):
        return ("train", self.train), ("test", self.test)

    def picture(self, row) -> np.ndarray:
        """Decoded."""
        return images.read(self.manifest.file(row.sample), window=row.sample.window)

    def seen(self, step: int) -> list[int]:
        """Labels up to a step."""
        return [label for part in self.steps[: step + 1] for label in part]

    def recalls(self, said: np.ndarray) -> dict[int, float]:
        """Recall of every label by its index."""
        truth = self.y["test"]
        return {label: float((said[truth == label] == label).mean()) for label in np.unique(truth).tolist()}

    def accuracy(self, said: np.ndarray, step: int) -> float:
        """Over the test images of the labels up to a step."""
        inside = np.isin(self.y["test"], self.seen(step))
        return float((said[inside] == self.y["test"][inside]).mean())


def ours(data: Set) -> list[np.ndarray]:
    """What is said about the test images after each step, in labels of the whole set."""
    pooled, said = None, []
    for part in data.steps:
        own = np.flatnonzero(np.isin(data.y["train"], part))
        given = (
            data.x["train"][own],
            [data.labels[label] for label in data.y["train"][own]],
            [data.train[i].sample.id for i in own],
            [data.components[i] for i in own],
        )
        # Copies of one image share an id and are one image to the sums.
        _, first = np.unique(given[2], return_index=True)
        given = (given[0][first], *([g[i] for i in first] for g in given[1:]))
        pooled = sums.of("frozen", *given) if pooled is None else pooled.add(*given)
        made = pooled.head(data.strength)
        order = np.array([data.labels.index(label) for label in pooled.labels])
        said.append(order[made.scores(data.x["test"]).argmax(1)])
    return said


def tuned(data: Set, net, start: Head, rows: list[int], order: list[int], epochs: int):
    """A network and head after learning from these training images alone; the head's columns are ``order``."""
    plan = Plan(data.recipe.image_size, BATCH, 0.0, epochs, False)
    tuning = replace(data.recipe.tuning, epochs=epochs, balanced=True)
    pictures = [data.picture(data.train[i]) for i in rows]
    y = np.array([order.index(label) for label in data.y["train"][rows]])
    with learning.threads(data.recipe):
        run = whole.once(net, start, plan, pictures, y, data.recipe, tuning, 0, float("inf"), None)
        return learning.finished(run, run.progress.average)


def answers(data: Set, made) -> np.ndarray:
    seen = [data.picture(row) for row in data.test]
    pixels = Pixels(seen.__getitem__, range(len(seen)), data.recipe.image_size)
    with learning.threads(data.recipe):
        return given_by(made, made, pixels, float("inf"))


def naive(data: Set, epochs: int) -> list[np.ndarray]:
    """What is said after each step by a network that goes on learning from the new labels' images alone."""
    net, _ = networks.create(data.recipe)
    first = np.flatnonzero(np.isin(data.y["train"], data.steps[0]))
    order = sorted(data.steps[0])
    y = np.array([order.index(label) for label in data.y["train"][first]])
    start = next(head.ridge(data.x["train"][first].astype(np.float64), y, len(order), [data.strength]))
    said = []
    for step, part in enumerate(data.steps):
        if step:
            order += part
            weights = np.hstack([start.weights, np.zeros((len(start.mean), len(part)))])
            start = replace(start, weights=weights, bias=np.append(start.bias, np.zeros(len(part))))
        made = tuned(data, net, start, np.flatnonzero(np.isin(data.y["train"], part)).tolist(), order, epochs)
        said.append(np.array(order)[answers(data, made).argmax(1)])
        net, start = made.net, _as_start(made.head())
    return said


def _as_start(learnt: Head) -> Head:
    """A head that gives the same scores when learning goes on from it; else its scores would grow at every step."""
    scale = tunable.LEAST_SURE
    return replace(learnt, weights=scale * learnt.weights, bias=scale * learnt.bias, temperature=scale)


def rehearsed(data: Set, epochs: int) -> list[np.ndarray]:
    """What is said after each step by a backbone that learns with exemplars, and the closed-form head on it."""
    net, _ = networks.create(data.recipe)
    recipe = replace(data.recipe, tuning=replace(data.recipe.tuning, epochs=epochs))
    order: list[int] = []
    known, said = None, []
    for part in data.steps:
        old, order = list(order), order + part
        rows = np.flatnonzero(np.isin(data.y["train"], order))
        y = np.array([order.index(label) for label in data.y["train"][rows]])
        x = features_by(data, net, [data.train[i] for i in rows])
        start = next(head.ridge(x, y, len(order), [data.strength]))
        if known is None:
            net = tuned(data, net, start, rows.tolist(), order, epochs).net
        else:
            members = [np.flatnonzero(y == column) for column in range(len(old))]
            herd = [own[i] for own in members for i in rehearsal.herded(x[own], PER_LABEL)]
            learnt = [*herd, *np.flatnonzero(y >= len(old))]
            pictures = [data.picture(data.train[rows[i]]) for i in learnt]
            teacher = rehearsal.Teacher(net, known, tuple(range(len(old))))
            net = rehearsal.learn(net, start, teacher, pictures, y[learnt], recipe, until=float("inf")).net
        x = features_by(data, net, [data.train[i] for i in rows])
        closed = next(head.ridge(x, y, len(order), [data.strength]))
        said.append(np.array(order)[closed.scores(features_by(data, net, data.test)).argmax(1)])
        sure = tunable.LEAST_SURE
        known = replace(closed, weights=closed.weights / sure, bias=closed.bias / sure)
    return said


def features_by(data: Set, net, rows) -> np.ndarray:
    """Features of images by a network."""
    pictures = [data.picture(row) for row in rows]
    seen = Pixels(pictures.__getitem__, range(len(rows)), data.recipe.image_size)
    nothing = Head(np.zeros(1), np.ones(1), np.zeros((1, 1)), np.zeros(1), 1.0)
    shown = tunable.Tunable(net, nothing)
    with learning.threads(data.recipe):
        return given_by(shown, shown.features, seen, float("inf"))


def joint_tuned(data: Set, epochs: int) -> list[np.ndarray]:
    """What is said by a network that learnt from all images at once."""
    net, _ = networks.create(data.recipe)
    made = tuned(data, net, data.joint, list(range(len(data.train))), list(range(len(data.labels))), epochs)
    return [answers(data, made).argmax(1)]


WAYS: dict[str, Callable[[Set, int], list[np.ndarray]]] = {
    "ours": lambda data, _: ours(data),
    "ours, rehearsal": rehearsed,
    "naive fine-tuning": naive,
    "joint, closed form": lambda data, _: [data.joint.scores(data.x["test"]).argmax(1)],
    "joint, fine-tuned": joint_tuned,
}
"""Each gives what is said about the test images after each step, or after the last one alone."""


def measured(data: Set, said: list[np.ndarray]) -> dict[str, object]:
    """The numbers of one way, 0 to 1; None where one is undefined."""
    by_step = [data.recalls(s) for s in said]
    last = {"final": data.accuracy(said[-1], STEPS - 1), "balanced": float(np.mean(list(by_step[-1].values())))}
    if len(said) < STEPS:
        return {"average": None, **last, "forgetting": None, "backward": None}
    old = [(label, first) for first, part in enumerate(data.steps[:-1]) for label in part if label in by_step[-1]]
    forgotten = [max(r[label] for r in by_step[first:-1]) - by_step[-1][label] for label, first in old]
    backward = [by_step[-1][label] - by_step[first][label] for label, first in old]
    average = float(np.mean([data.accuracy(s, step) for step, s in enumerate(said)]))
    return {"average": average, **last, "forgetting": float(np.mean(forgotten)), "backward": float(np.mean(backward))}


def told(record: kept.Record) -> str:
    """One line of the table."""
    plain = ["undefined" if record[k] is None else f"{100 * record[k]:.1f}" for k in ("average", "final", "balanced")]
    moved = ["undefined" if record[k] is None else f"{100 * record[k]:+.1f}" for k in ("forgetting", "backward")]
    return " | ".join([f"| {record['set']}", record["way"], *plain, *moved]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--epochs", type=int, default=6, help="of each fine-tuning")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path.home() / ".cache" / "loupe" / "incremental.json")
    options = parser.parse_args()
    print("| set | way | average accuracy | final | final, labels weighted equally | forgetting | backward transfer |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        with tempfile.TemporaryDirectory() as cache:
            data = None
            for way in options.ways:
                key = {"set": name, "way": way, "epochs": options.epochs, "seed": options.seed}
                record = kept.find(kept.read(options.results), **key)
                if record is None:
                    data = data or Set(options.photographs, name, options.seed, options.threads, Path(cache))
                    record = key | measured(data, WAYS[way](data, options.epochs))
                    kept.add(options.results, record)
                print(told(record), flush=True)


if __name__ == "__main__":
    main()
