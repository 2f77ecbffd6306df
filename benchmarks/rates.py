"""How boldly to fine-tune: rates and lengths side by side, judged on training images that were set aside.

    python benchmarks/rates.py PHOTOGRAPHS [--sets ...] [--tries ...]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group). The test part is not looked at. Of the
other images a quarter, by group, judges what was learnt from the rest (at most 420), without any choice on the way.
Balanced accuracy and, after a temperature was fitted, loss in nats with all labels of equal weight. Results lie in
``--out``, so that the measurement can be spread over several sittings. Prints Markdown.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import kept
import numpy as np

from shared.building.work import some_pictures
from shared.data import images, sources, splits
from shared.recipe import Recipe
from shared.training import backbones, features, head, learning, soup, whole
from shared.training.pixels import Pixels
from shared.training.run import answers
from shared.training.throughput import BATCH, Plan

SETS = (
    "medical/isic_7class",
    "medical/ham10000",
    "agriculture/bean_leaf",
    "agriculture/rice_leaf",
    "agriculture/deepweeds",
    "industrial/magnetic_tile",
)
TRIES: dict[str, dict[str, Any]] = {
    "default": {},
    "default, twice as long": {"epochs": 24},
    "three times the rate, layers alike": {"learning_rate": 3e-3, "layer_decay": 1.0},
    "three times the rate, layers alike, twice as long": {"learning_rate": 3e-3, "layer_decay": 1.0, "epochs": 24},
    "the same with mixup": {"learning_rate": 3e-3, "layer_decay": 1.0, "epochs": 24, "mixup": 1.0, "mix_off": 0.1},
    "six times the rate with mixup": {
        "learning_rate": 6e-3,
        "layer_decay": 1.0,
        "epochs": 24,
        "mixup": 1.0,
        "mix_off": 0.1,
    },
}
MOST = 420
FOLDS = 4


def measured(data: Path, settings: dict[str, Any], cache: Path) -> dict[str, list[float]]:
    """Balanced accuracy and loss on the part set aside, of the closed-form head and of what was learnt."""
    manifest, _ = sources.read(data)
    labels, recipe = sorted(manifest.counts), Recipe(seed=0)
    divided, _, components = splits.split(manifest, recipe)
    rows = [row for row in divided.rows if row.split != "test"]
    y = np.array([labels.index(row.label) for row in rows])
    groups = np.array([components[row.sample.id] for row in rows])
    extractor = features.extractor(recipe, some_pictures(manifest, rows), cache)
    known, _ = features.extract(extractor, divided, rows, cache=cache, threads=0, until=float("inf"))
    x = np.stack([known[row.sample.id] for row in rows]).astype(np.float64)
    held = head.folds(groups, y, FOLDS, 0) == 0
    core = np.flatnonzero(~held)
    if len(core) > MOST:
        core = np.sort(np.random.default_rng(0).permutation(core)[:MOST])
    start = head.fit(
        x[core], y[core], groups[core], len(labels), strengths=recipe.lambdas, count=recipe.folds, seed=0
    ).head
    tuning = replace(recipe.tuning, **settings)
    net, _ = backbones.create(recipe)

    def read(i: int) -> Any:
        return images.read(manifest.file(rows[i].sample), window=rows[i].sample.window)

    plan = Plan(recipe.image_size, BATCH, 0.0, tuning.epochs, False)
    with learning.threads(recipe):
        run = whole.once(net, start, plan, [read(i) for i in core], y[core], recipe, tuning, 0, float("inf"), None)
        made = learning.finished(run, run.progress.average)
        pixels = Pixels(read, np.flatnonzero(held), recipe.image_size)
        scores = answers(made, made, pixels, float("inf"))
    before, after = soup.judge(start.scores(x[held]), y[held]), soup.judge(scores, y[held])
    return {
        "before": [before.balanced_accuracy, before.loss],
        "after": [after.balanced_accuracy, after.loss],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--tries", nargs="*", default=list(TRIES), choices=list(TRIES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "rates.json")
    options = parser.parse_args()
    print("| set | closed-form head | " + " | ".join(options.tries) + " |")
    print("| --- | --- | " + " | ".join("---" for _ in options.tries) + " |")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            cells = []
            for given in options.tries:
                key = {"set": name, "try": given}
                found = kept.find(kept.read(options.out), **key)
                if found is None:
                    made = measured(options.photographs / name / "labels.csv", TRIES[given], Path(temporary))
                    found = {**key, **made}
                    kept.add(options.out, found)
                cells.append(found)
            texts = [cell(*pair) for pair in (cells[0]["before"], *(found["after"] for found in cells))]
            print(f"| {name} | {' | '.join(texts)} |", flush=True)


def cell(balanced_accuracy: float, loss: float) -> str:
    return f"{100 * balanced_accuracy:.1f} %, {loss:.2f}"


if __name__ == "__main__":
    main()
