"""Which small network tells most apart with random weights: the default where there is no hub and there are no weights.

python benchmarks/random_backbones.py LABELS.csv [--image-size 224] [--names resnet10t lcnet_050 ...]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from shared.data import sources, splits
from shared.recipe import Recipe
from shared.training import backbones, features, head

NAMES = ("resnet10t", "mobilenetv3_small_100", "lcnet_050")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--names", nargs="*", default=list(NAMES))
    options = parser.parse_args()
    manifest, _ = sources.read(options.labels)
    manifest, _, components = splits.split(manifest, Recipe())
    labels = sorted(manifest.counts)
    y = np.array([labels.index(r.label) for r in manifest.rows])
    groups = np.array([components[r.sample.id] for r in manifest.rows])
    print("| backbone, random weights | features | balanced accuracy over folds % | images per second |")
    print("| --- | --- | --- | --- |")
    for name in options.names:
        with tempfile.TemporaryDirectory() as temporary:
            recipe = Recipe(image_size=options.image_size)
            backbones.DEFAULT_BACKBONE = features.DEFAULT_BACKBONE = name
            pictures = [picture(manifest, i) for i in range(0, len(manifest.rows), len(manifest.rows) // 8)]
            extractor = features.extractor(recipe, pictures, Path(temporary))
            started = time.monotonic()
            known, _ = features.extract(
                extractor, manifest, manifest.rows, cache=Path(temporary), threads=0, until=float("inf")
            )
            rate = len(known) / (time.monotonic() - started)
            x = np.stack([known[r.sample.id] for r in manifest.rows]).astype(np.float64)
            fitted = head.fit(x, y, groups, len(labels), strengths=recipe.lambdas, count=4, seed=0)
            print(f"| {name} | {x.shape[1]} | {100 * max(fitted.tried.values()):.1f} | {rate:.0f} |", flush=True)


def picture(manifest: sources.Manifest, i: int) -> np.ndarray:
    from shared.data import images

    return images.read(manifest.file(manifest.rows[i].sample))


if __name__ == "__main__":
    main()
