"""How a tile's class map becomes probabilities of places: ways compared by IoU on drawn fields. SYNTHETIC, no accuracy.

python benchmarks/agriculture_places.py [--side 32] [--image-size 64] [--fields 6] [--unseen 2] [--overlap 0.5]

Tiles of some drawn fields, labelled by what is in them (a disease from 10 % of the pixels, weeds from 15 %, soil from
70 %, else healthy), make a bundle; the fields it has not seen are mapped in each way, and each cell is compared with
the class that most of its pixels have.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from shared.build import build
from shared.inference import Runtime
from shared.recipe import Recipe
from verticals.agriculture.drawing import files
from verticals.agriculture.drawing.field import SimulatedField, draw
from verticals.agriculture.drawing.setting import Setting
from verticals.agriculture.mapping import blend, tiles
from verticals.agriculture.mapping.painter import place_probabilities
from verticals.agriculture.raster.rasters import open_raster

STAGES = (31, 35, 39, 25)
KEPT = 0.35
"""Share of the tiles that are used of healthy and diseased plants, of which there are many."""


def field(seed: int) -> SimulatedField:
    return draw(Setting(infestation=0.35, weeds=0.08, patch_m=4.0, bbch=STAGES[seed % len(STAGES)]), seed=seed)


def label_of(truth: np.ndarray, labels: tuple[str, ...]) -> str | None:
    inside = truth[truth != 255]
    if inside.size < truth.size / 2:
        return None
    share = dict(zip(labels, np.bincount(inside, minlength=len(labels)) / inside.size, strict=True))
    sick = max((name for name in labels if "blight" in name), key=lambda name: share[name])
    if share[sick] >= 0.10:
        return sick
    return "weed" if share["weed"] >= 0.15 else "bare_soil" if share["bare_soil"] >= 0.7 else "healthy"


def cut(drawn: SimulatedField, side: int, out: Path, rng: np.random.Generator) -> None:
    height, width = drawn.truth.shape
    for y in range(0, height - side, side):
        for x in range(0, width - side, side):
            place = np.s_[y : y + side, x : x + side]
            label = label_of(drawn.truth[place], drawn.labels) if drawn.valid[place].all() else None
            if label is None or (label not in ("weed", "bare_soil") and rng.random() > KEPT):
                continue
            (out / label).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(out / label / f"{drawn.seed}_{y}_{x}.png"), drawn.bands[place][..., ::-1])


def softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max(1, keepdims=True))
    result: np.ndarray = odds / odds.sum(1, keepdims=True)
    return result


def divided(class_map: np.ndarray, by: float) -> np.ndarray:
    mean = class_map.mean((2, 3), keepdims=True)
    return softmax(mean + (class_map - mean) / by)


def arithmetic(class_map: np.ndarray, by: float) -> np.ndarray:
    """Scaled until the mean over the places is the tile's probability (iterative proportional fitting)."""
    found, tile = divided(class_map, by), softmax(class_map.mean((2, 3)))
    for _ in range(12):
        found = found * (tile / np.maximum(found.mean((2, 3)), 1e-9))[:, :, None, None]
        found /= found.sum(1, keepdims=True)
    return found


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the tile's probabilities everywhere": lambda m: divided(m, np.inf),
    "deviations as they are": lambda m: divided(m, 1),
    "deviations / 2": lambda m: divided(m, 2),
    "deviations / 5": lambda m: divided(m, 5),
    "deviations / 10": lambda m: divided(m, 10),
    "arithmetic means agree, deviations / 5": lambda m: arithmetic(m, 5),
    "arithmetic means agree, deviations / 10": lambda m: arithmetic(m, 10),
    "deviations / root of places (used)": place_probabilities,
}


def confusion(
    drawn: SimulatedField, folder: Path, runtime: Runtime, side: int, overlap: float
) -> dict[str, np.ndarray]:
    """Per way: cells by true and found class."""
    order = [drawn.labels.index(label) for label in runtime.labels]
    answers: dict[bytes, np.ndarray] = {}

    def class_map(images: np.ndarray) -> np.ndarray:
        key = images.tobytes()
        if key not in answers:
            found = runtime.predict(list(images), class_map=True).class_map
            assert found is not None
            answers[key] = found
        return answers[key]

    places = class_map(np.zeros((1, side, side, 3), np.uint8)).shape[2]
    result = {}
    for name, way in WAYS.items():
        with open_raster(files.write(drawn, folder) / "field.tif") as raster:
            laid = tiles.layout(
                raster.facts.width, raster.facts.height, side=side, overlap=overlap, stride=side // places
            )
            strips = list(
                blend.blended(raster, lambda x, way=way: way(class_map(x)).astype(np.float32), laid, labels=len(order))
            )
        found = np.concatenate([s.probabilities for s in strips], 1)[np.argsort(order)].argmax(0)
        truth, whole = majority(drawn.truth, laid, len(order))
        seen = whole & (np.concatenate([s.read for s in strips]) >= 0.5)
        result[name] = np.zeros((len(order), len(order)))
        np.add.at(result[name], (truth[seen], found[seen]), 1)
    return result


def majority(truth: np.ndarray, laid: tiles.Layout, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """The commonest class of each cell, and whether most of the cell has one."""
    k = laid.stride
    padded = np.full((laid.rows * k, laid.columns * k), 255, np.uint8)
    padded[: truth.shape[0], : truth.shape[1]] = truth
    cells = padded.reshape(laid.rows, k, laid.columns, k)
    counts = np.stack([(cells == i).sum((1, 3)) for i in range(labels)])
    return counts.argmax(0), counts.sum(0) > k * k / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--unseen", type=int, default=2)
    parser.add_argument("--overlap", type=float, default=0.5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for seed in range(options.fields):
            cut(field(seed), options.side, folder / "tiles", rng)
        recipe = Recipe(image_size=options.image_size, search=False, finetune=False)
        build(folder / "tiles", folder / "bundle", recipe=recipe, budget_seconds=600, cache=folder / "cache")
        runtime = Runtime.open(folder / "bundle")
        total: dict[str, np.ndarray] = {}
        for seed in range(options.fields, options.fields + options.unseen):
            found = confusion(field(seed), folder / "field", runtime, options.side, options.overlap)
            total = {name: total.get(name, 0) + cells for name, cells in found.items()}
        print(f"{options.unseen} drawn fields, tiles of {options.side} px, overlap {options.overlap}")
        print(f"IoU in brackets: {', '.join(runtime.labels)}")
        labels = field(0).labels
        for name, cells in total.items():
            both = np.diag(cells)
            iou = dict(zip(labels, both / np.maximum(cells.sum(0) + cells.sum(1) - both, 1), strict=True))
            area = np.abs(cells.sum(0) - cells.sum(1)).sum() / 2 / cells.sum()
            each = " ".join(f"{iou[label]:.2f}" for label in runtime.labels)
            print(f"{name:42s} mean IoU {np.mean(list(iou.values())):.3f} [{each}], {area:.0%} of the area misplaced")


if __name__ == "__main__":
    main()
