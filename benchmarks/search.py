"""What the search over heads brings beside the default, on real photographs that neither has seen.

    python benchmarks/search.py PHOTOGRAPHS --weights FILE [--sets agriculture/bean_leaf ...] [--sizes 224 320]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group); FILE holds weights of mobilenetv2_100. The
first size is the default's; with more sizes the search may choose among them. Prints Markdown.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from shared.data import images, sources, splits
from shared.data.manifest import Manifest
from shared.recipe import Recipe
from shared.reporting.paired import paired
from shared.training import features, head
from shared.training.heads import Choice
from shared.training.judge import Config, Source
from shared.training.search import search

SETS = (
    "agriculture/bean_leaf",
    "industrial/neu_surface",
    "medical/ham10000",
    "industrial/magnetic_tile",
    "agriculture/deepweeds",
)


def source(manifest: Manifest, recipe: Recipe, cache: Path) -> Source:
    rows = manifest.rows
    pictures = [images.read(manifest.file(row.sample), window=row.sample.window) for row in rows[:: len(rows) // 8]]
    extractor = features.extractor(recipe, pictures[:8], cache)
    known, _ = features.extract(extractor, manifest, rows, cache=cache, threads=recipe.threads, until=float("inf"))
    return Source(np.stack([known[row.sample.id] for row in rows]).astype(np.float64), extractor.stages)


def one(data: Path, sizes: list[int], weights: Path, seconds: float, trials: int, cache: Path) -> str:
    recipes = {
        f"{size} px": Recipe(
            backbone="mobilenetv2_100",
            weights=str(weights),
            backbone_args={"pad_type": "same"},
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            image_size=size,
            threads=1,
        )
        for size in sizes
    }
    first = next(iter(recipes))
    manifest, _ = sources.read(data)
    manifest, _, components = splits.split(manifest, recipes[first])
    found = {name: source(manifest, recipe, cache) for name, recipe in recipes.items()}
    part = np.array([row.split for row in manifest.rows])
    train, test = part == "train", part == "test"
    labels = sorted(manifest.counts)
    y = np.array([labels.index(row.label) for row in manifest.rows])
    group = np.array([components[row.sample.id] for row in manifest.rows])
    lambdas = recipes[first].lambdas
    x = found[first].features
    default = head.fit(x[train], y[train], group[train], len(labels), strengths=lambdas, count=5, seed=0)
    result = search(
        {name: Source(s.features[train], s.widths) for name, s in found.items()},
        y[train],
        group[train],
        len(labels),
        default=Config(first, Choice("ridge", default.strength)),
        until=time.monotonic() + seconds,
        trials=trials,
        count=5,
        seed=0,
        say=lambda text: None,
    )
    before = default.head.scores(x[test]).argmax(1)
    after = result.head.scores(found[result.config.source].features[test]).argmax(1)
    difference = paired(y[test], before, after, [str(g) for g in group[test]])
    low, high = 100 * difference.low, 100 * difference.high
    return (
        f"{100 * head.balanced_accuracy(before, y[test]):.1f} | {100 * head.balanced_accuracy(after, y[test]):.1f} | "
        f"{100 * difference.value:+.1f} [{low:+.1f} .. {high:+.1f}] | {difference.p_better:.2f} | "
        f"{result.config} | {result.seconds:.0f} | {len(result.tried) / result.seconds:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[224])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--cache", type=Path, help="folder that keeps the features")
    options = parser.parse_args()
    print("| set | default % | found % | difference | confidence that it is better | chosen | s | trials per s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary)
        for name in options.sets:
            data = options.photographs / name / "labels.csv"
            row = one(data, options.sizes, options.weights, options.seconds, options.trials, cache)
            print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
