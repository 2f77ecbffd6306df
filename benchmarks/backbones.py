"""Backbones side by side on real photographs: balanced accuracy with frozen features, and fine-tuned.

    python benchmarks/backbones.py PHOTOGRAPHS --standin FILE [--procedural FILE] [--scratch FILE] [--seeds 5] [--tuned]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group). FILEs are made by ``python -m
shared.pretraining``; the stand-in is mobilenetv2_100 with ImageNet weights. Every seed is another grouped split; the
head is fitted on four fifths and judged on the rest. ``--tuned`` fine-tunes each from that head instead, six passes
over the four fifths, and keeps every result in ``--out``: hours, which can be spread over several sittings. Prints
Markdown.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import kept
import numpy as np
from scipy import stats

from shared.building.work import some_pictures
from shared.data import images, sources, splits
from shared.data.manifest import Manifest
from shared.recipe import Recipe
from shared.training import features, head

SETS = (
    "industrial/magnetic_tile",
    "industrial/neu_surface",
    "industrial/deeppcb",
    "medical/ham10000",
    "medical/isic_7class",
    "medical/ham10000 malignant",
    "agriculture/bean_leaf",
    "agriculture/deepweeds",
    "agriculture/rice_leaf",
)
"""Two medical sets are at hand; the third is the first with two labels, malignant (mel, bcc, akiec) or not."""
MALIGNANT = {"mel", "bcc", "akiec"}


def backbones(options: argparse.Namespace) -> dict[str, Recipe]:
    standin = Recipe(
        backbone="mobilenetv2_100", backbone_args={"pad_type": "same"}, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    found = {"random weights": Recipe(weights="random")}
    for name, file in (("procedural only", options.procedural), ("distilled from scratch", options.scratch)):
        if file:
            found[name] = Recipe(weights=str(file))
    found["embedded"] = Recipe()
    if options.standin:
        found["ImageNet stand-in"] = replace(standin, weights=str(options.standin))
    return found


def read(photographs: Path, name: str) -> Manifest:
    folder, _, binary = name.partition(" ")
    manifest, _ = sources.read(photographs / folder / "labels.csv")
    if not binary:
        return manifest
    return manifest.with_rows(
        replace(row, label="malignant" if row.label in MALIGNANT else "other") for row in manifest.rows
    )


def probe(manifest: Manifest, x: np.ndarray, seeds: int) -> list[float]:
    """Balanced accuracy on the test part for each seed of the split."""
    labels = sorted(manifest.counts)
    place = {row.sample.id: i for i, row in enumerate(manifest.rows)}
    found = []
    for seed in range(seeds):
        recipe = Recipe(seed=seed)
        divided, _, components = splits.split(manifest, recipe)
        rows = {s: [r for r in divided.rows if (r.split == "test") == (s == "test")] for s in ("rest", "test")}
        y = {s: np.array([labels.index(r.label) for r in part]) for s, part in rows.items()}
        own = {s: x[[place[r.sample.id] for r in part]] for s, part in rows.items()}
        groups = np.array([components[r.sample.id] for r in rows["rest"]])
        fitted = head.fit(
            own["rest"], y["rest"], groups, len(labels), strengths=recipe.lambdas, count=recipe.folds, seed=seed
        )
        found.append(head.balanced_accuracy(fitted.head.scores(own["test"]).argmax(1), y["test"]))
    return found


EPOCHS = 6


def tuned(manifest: Manifest, x: np.ndarray, recipe: Recipe, seed: int) -> float:
    """Balanced accuracy on the test part of one split after fine-tuning on all the rest, without any choice."""
    from shared.training import backbones as networks
    from shared.training import learning, whole
    from shared.training.pixels import Pixels
    from shared.training.run import answers
    from shared.training.throughput import BATCH, Plan

    labels = sorted(manifest.counts)
    place = {row.sample.id: i for i, row in enumerate(manifest.rows)}
    divided, _, components = splits.split(manifest, replace(Recipe(), seed=seed))
    rest = [r for r in divided.rows if r.split != "test"]
    test = [r for r in divided.rows if r.split == "test"]
    y, truth = (np.array([labels.index(r.label) for r in part]) for part in (rest, test))
    start = head.fit(
        x[[place[r.sample.id] for r in rest]],
        y,
        np.array([components[r.sample.id] for r in rest]),
        len(labels),
        strengths=recipe.lambdas,
        count=recipe.folds,
        seed=seed,
    ).head
    recipe = replace(recipe, seed=seed)
    net, _ = networks.create(recipe)
    plan = Plan(recipe.image_size, BATCH, 0.0, EPOCHS, False)
    tuning = replace(recipe.tuning, epochs=EPOCHS)
    reader = [images.read(manifest.file(r.sample), window=r.sample.window) for r in rest]
    with learning.threads(recipe):
        run = whole.once(net, start, plan, reader, y, recipe, tuning, 0, float("inf"), None)
        made = learning.finished(run, run.progress.average)
        seen = [images.read(manifest.file(r.sample), window=r.sample.window) for r in test]
        pixels = Pixels(seen.__getitem__, range(len(seen)), recipe.image_size)
        scores = answers(made, made, pixels, float("inf"))
    return head.balanced_accuracy(scores.argmax(1), truth)


def tuned_all(
    manifest: Manifest, x: np.ndarray, recipe: Recipe, options: argparse.Namespace, **key: str
) -> list[float]:
    """One value for each seed, taken from the file where it was measured before."""
    found = []
    for seed in range(options.seeds):
        record = kept.find(kept.read(options.out), **key, seed=seed)
        if record is None:
            record = {**key, "seed": seed, "balanced_accuracy": tuned(manifest, x, recipe, seed)}
            kept.add(options.out, record)
        found.append(record["balanced_accuracy"])
    return found


def interval(values: Sequence[float]) -> str:
    """Mean with the 95 % interval of Student's t over seeds."""
    mean, error = float(np.mean(values)), float(stats.sem(values)) if len(values) > 1 else 0.0
    reach = error * float(stats.t.ppf(0.975, max(len(values) - 1, 1)))
    return f"{100 * mean:.1f} ± {100 * reach:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--standin", type=Path)
    parser.add_argument("--procedural", type=Path)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=Recipe.image_size, help="side in pixels")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--tuned", action="store_true", help="fine-tune each instead of fitting a head alone")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tuned_backbones.json")
    options = parser.parse_args()
    known = {name: replace(recipe, image_size=options.size) for name, recipe in backbones(options).items()}
    print(f"| set (labels) | {' | '.join(known)} |")
    print(f"| --- | {' | '.join('---' for _ in known)} |")
    speed: dict[str, list[float]] = {name: [] for name in known}
    means: dict[str, list[float]] = {name: [] for name in known}
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            manifest = read(options.photographs, name)
            cells = []
            for backbone, recipe in known.items():
                extractor = features.extractor(recipe, some_pictures(manifest, manifest.rows), Path(temporary))
                before = time.process_time()
                vectors, _ = features.compute(
                    extractor, manifest, manifest.rows, threads=options.threads, until=float("inf")
                )
                speed[backbone].append(len(vectors) / (time.process_time() - before))
                x = np.stack([vectors[r.sample.id] for r in manifest.rows]).astype(np.float64)
                if options.tuned:
                    values = tuned_all(
                        manifest, x, recipe, options, set=name, backbone=backbone, size=str(options.size)
                    )
                else:
                    values = probe(manifest, x, options.seeds)
                means[backbone].append(float(np.mean(values)))
                cells.append(interval(values))
            print(f"| {name} ({len(manifest.counts)}) | {' | '.join(cells)} |", flush=True)
    print(f"| **mean** | {' | '.join(f'{100 * np.mean(v):.1f}' for v in means.values())} |")
    if options.standin:
        reference = np.array(means["ImageNet stand-in"])
        kept = [f"{100 * float(np.mean(np.array(v) / reference)):.1f}" for v in means.values()]
        print(f"| mean share of the stand-in's, % | {' | '.join(kept)} |")
    print(f"| images per second of CPU time | {' | '.join(f'{np.mean(v):.0f}' for v in speed.values())} |")


if __name__ == "__main__":
    main()
