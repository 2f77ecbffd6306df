"""Labels that come in five steps: what is kept of the old ones, against naive fine-tuning and against learning jointly.

    python benchmarks/incremental.py PHOTOGRAPHS [--sets ...] [--epochs 6]

Three ways on the same grouped split, backbone and size. Ours adds each step's images to the sums of the closed-form
head. Naive fine-tuning starts from the step before and sees the new labels' images alone. Joint training sees all
labels at once: by the closed form (which ours equals) and by fine-tuning. After each step the test images of all labels
so far are judged. Forgetting: how far the recall of a label has fallen from its best, mean over labels that came before
the last step; backward transfer: the same from its first value, so that it can be above 0. Prints Markdown.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from shared.building.work import some_pictures
from shared.data import images, sources, splits
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training import backbones as networks
from shared.training import features, head, learning, sums, whole
from shared.training.pixels import Pixels
from shared.training.throughput import BATCH, Plan

SETS = ("industrial/magnetic_tile", "medical/ham10000", "agriculture/deepweeds")
STEPS = 5


class Set:
    """One set, split, with features of the frozen backbone, its labels in five steps."""

    def __init__(self, photographs: Path, name: str, seed: int, cache: Path) -> None:
        manifest, _ = sources.read(photographs / name / "labels.csv")
        self.recipe = Recipe(seed=seed)
        divided, _, components = splits.split(manifest, self.recipe)
        self.manifest, self.labels = manifest, sorted(manifest.counts)
        extractor = features.extractor(self.recipe, some_pictures(manifest, manifest.rows), cache)
        known, _ = features.extract(extractor, manifest, manifest.rows, cache=cache, threads=0, until=float("inf"))
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
    kept, said = None, []
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
        kept = sums.of("frozen", *given) if kept is None else kept.add(*given)
        made = kept.head(data.strength)
        order = np.array([data.labels.index(label) for label in kept.labels])
        said.append(order[made.scores(data.x["test"]).argmax(1)])
    return said


def tuned(data: Set, net, start: Head, rows: list[int], epochs: int):
    """A network and head after learning from these training images alone."""
    plan = Plan(data.recipe.image_size, BATCH, 0.0, epochs, False)
    tuning = replace(data.recipe.tuning, epochs=epochs)
    pictures = [data.picture(data.train[i]) for i in rows]
    with learning.threads(data.recipe):
        run = whole.once(net, start, plan, pictures, data.y["train"][rows], data.recipe, tuning, 0, float("inf"), None)
        return learning.finished(run, run.progress.average)


def answers(data: Set, made) -> np.ndarray:
    seen = [data.picture(row) for row in data.test]
    pixels = Pixels(seen.__getitem__, range(len(seen)), data.recipe.image_size)
    with learning.threads(data.recipe):
        return learning.answers(made, made, pixels, float("inf"))


def naive(data: Set, epochs: int) -> list[np.ndarray]:
    net, _ = networks.create(data.recipe)
    classes = len(data.labels)
    first = np.flatnonzero(np.isin(data.y["train"], data.steps[0]))
    _, y = np.unique(data.y["train"][first], return_inverse=True)
    small = next(head.ridge(data.x["train"][first].astype(np.float64), y, len(data.steps[0]), [data.strength]))
    weights = np.zeros((len(small.mean), classes))
    bias = np.zeros(classes)
    weights[:, sorted(data.steps[0])], bias[sorted(data.steps[0])] = small.weights, small.bias
    start, said = Head(small.mean, small.deviation, weights, bias, 1.0), []
    for step, part in enumerate(data.steps):
        made = tuned(data, net, start, np.flatnonzero(np.isin(data.y["train"], part)).tolist(), epochs)
        scores = answers(data, made)
        unseen = [label for label in range(classes) if label not in data.seen(step)]
        scores[:, unseen] = -np.inf
        said.append(scores.argmax(1))
        net, start = made.net, made.head(1.0)
    return said


def told(data: Set, said: list[np.ndarray]) -> str:
    accuracies = [data.accuracy(s, step) for step, s in enumerate(said)]
    by_step = [data.recalls(s) for s in said]
    old = [(label, first) for first, part in enumerate(data.steps[:-1]) for label in part if label in by_step[-1]]
    forgotten = [max(r[label] for r in by_step[first:-1]) - by_step[-1][label] for label, first in old]
    backward = [by_step[-1][label] - by_step[first][label] for label, first in old]
    cells = [np.mean(accuracies), accuracies[-1], np.mean(list(by_step[-1].values()))]
    moved = [np.mean(forgotten), np.mean(backward)]
    return " | ".join([*(f"{100 * c:.1f}" for c in cells), *(f"{100 * m:+.1f}" for m in moved)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| set | way | average accuracy | final | final, labels weighted equally | forgetting | backward transfer |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        with tempfile.TemporaryDirectory() as cache:
            data = Set(options.photographs, name, options.seed, Path(cache))
            print(f"| {name} | ours | {told(data, ours(data))} |", flush=True)
            print(f"| | naive fine-tuning | {told(data, naive(data, options.epochs))} |", flush=True)
            closed = data.joint.scores(data.x["test"]).argmax(1)
            net, _ = networks.create(data.recipe)
            made = tuned(data, net, data.joint, list(range(len(data.train))), options.epochs)
            for way, s in (("joint, closed form", closed), ("joint, fine-tuned", answers(data, made).argmax(1))):
                final = f"{100 * data.accuracy(s, STEPS - 1):.1f} | {100 * np.mean(list(data.recalls(s).values())):.1f}"
                print(f"| | {way} | undefined | {final} | undefined | undefined |", flush=True)


if __name__ == "__main__":
    main()
