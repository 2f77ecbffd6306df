"""What a random split promises and a split by source keeps: the same frozen features, the same head, two divisions.

    python benchmarks/field_gap.py PHOTOGRAPHS [--fields N] [--folds 5] [--seeds 3] [--cache FOLDER]

PHOTOGRAPHS holds the folder ``agriculture`` with one folder per set and ``labels.csv`` (path,label,group). Every image
is answered for by a head that has seen nothing of its fold; folds are drawn at random by image, or keep together what
belongs together: recording day (deepweeds), leaf (plantvillage_apple), cluster of copies (rice_leaf), near copies
(bean_leaf, which has no other). deepweeds has few days per species, so that its gap also holds what a day less leaves
to learn from. N drawn fields (SYNTHETIC) are divided at random, by block and by whole field. Prints
Markdown; the gap is the point. Figures are means over the seeds, the interval is that of the first seed and counts
groups.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import config
from shared.data import images, ingested, sources, splits
from shared.data.manifest import Manifest
from shared.recipe import Recipe
from shared.reporting import paired, rates
from shared.training import features, out_of_fold
from shared.training.out_of_fold import Labelled
from verticals.agriculture import VERTICAL
from verticals.agriculture.taxonomy import terms

SETS = ("bean_leaf", "rice_leaf", "plantvillage_apple", "deepweeds")

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Way:
    """One way of dividing a set: its name, and the component of each image ``(n,)``."""

    name: str
    components: Indices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--fields", type=int, default=6, help="drawn fields, 0 for none")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="feature cache of an earlier run")
    options = parser.parse_args()
    recipe = config.load(Recipe, VERTICAL.folder / "recipe.toml", overrides=[f"folds={options.folds}"])
    print("| set | division | groups | images | accuracy % | macro-F1 % | gap to random, points of accuracy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        cache = options.cache or Path(scratch)
        for name in SETS:
            manifest, _ = sources.read(options.photographs / "agriculture" / name, taxonomy=terms.labels())
            near = splits.near_copies(manifest, recipe.near_duplicate_bits)
            source = Way("by source", splits.components(manifest.rows, near.pairs).astype(np.int64))
            tell(name, manifest, [source], recipe, cache, options)
        if options.fields:
            manifest = drawn(Path(scratch), options.fields)
            groups = [row.sample.group for row in manifest.rows]
            owners = [group.partition(" ")[0] for group in groups]
            ways = [Way("by block", numbered(groups)), Way("by field", numbered(owners))]
            tell("drawn fields (SYNTHETIC)", manifest, ways, recipe, cache, options)


def drawn(folder: Path, fields: int) -> Manifest:
    """Labelled tiles of drawn fields."""
    raw = VERTICAL.synth(folder / "raw", seed=11, small=True, fields=fields)
    ingested.save(VERTICAL.ingest(raw, folder / "tiles"), folder / "tiles", VERTICAL.name)
    manifest, _ = sources.read(folder / "tiles", taxonomy=terms.labels())
    return manifest.with_rows(row for row in manifest.rows if row.label)


def numbered(words: list[str]) -> Indices:
    return np.unique(words, return_inverse=True)[1].astype(np.int64)


def tell(
    name: str, manifest: Manifest, ways: list[Way], recipe: Recipe, cache: Path, options: argparse.Namespace
) -> None:
    """Print the rows of one set: the random division first."""
    known = looked_at(manifest, recipe, cache)
    rows = [i for i, row in enumerate(manifest.rows) if row.sample.id in known]
    words = sorted({manifest.rows[i].label for i in rows})
    data = Labelled(
        np.stack([known[manifest.rows[i].sample.id] for i in rows]).astype(np.float64),
        np.array([words.index(manifest.rows[i].label) for i in rows], np.int64),
        len(words),
        recipe.lambdas,
        recipe.folds,
    )
    alone = Way("random", np.arange(len(manifest.rows)))
    at_random = answers(data, alone.components[rows], options.seeds)
    for way in (alone, *ways):
        said = at_random if way is alone else answers(data, way.components[rows], options.seeds)
        # Images of one source are alike however they were divided: intervals always count the strictest groups.
        groups = [str(c) for c in ways[-1].components[rows]]
        figures = [rates.classification(data.labels, s, words, groups=groups) for s in said]
        gap = "" if way is alone else told_gap(data.labels, at_random, said, groups)
        cells = [told(figures, key) for key in ("accuracy", "macro_f1")]
        count = len(set(way.components[rows].tolist()))
        print(f"| {name} | {way.name} | {count} | {len(rows)} | {cells[0]} | {cells[1]} | {gap} |", flush=True)


def looked_at(manifest: Manifest, recipe: Recipe, cache: Path) -> Mapping[str, NDArray[np.float32]]:
    sample = [images.read(manifest.file(row.sample), window=row.sample.window) for row in manifest.rows[:4]]
    backbone = features.extractor(recipe, sample, cache)
    until = time.monotonic() + 86_400
    return features.extract(backbone, manifest, manifest.rows, cache=cache, threads=recipe.threads, until=until)[0]


def answers(data: Labelled, components: Indices, seeds: int) -> list[Indices]:
    return [out_of_fold.probabilities(data, components, seed).argmax(1) for seed in range(seeds)]


def told(figures: list[dict[str, Any]], key: str) -> str:
    value, first = float(np.mean([f[key]["value"] for f in figures])), figures[0][key]
    return f"{100 * value:.1f} [{100 * first['low']:.1f} .. {100 * first['high']:.1f}]"


def told_gap(labels: Indices, random: list[Indices], kept: list[Indices], groups: list[str]) -> str:
    rows = [asdict(paired.paired(labels, a, b, groups, metric="accuracy")) for a, b in zip(random, kept, strict=True)]
    value = float(np.mean([row["value"] for row in rows]))
    return f"{100 * value:+.1f} [{100 * rows[0]['low']:+.1f} .. {100 * rows[0]['high']:+.1f}]"


if __name__ == "__main__":
    main()
