"""What can be held against the trust that a bundle asks for, measured on real photographs.

    python benchmarks/trust.py PHOTOGRAPHS [--weights FILE] [--cache DIR] [--threads N]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group). Prints Markdown: how well novelty tells
other kinds of images and unknown labels, how often prediction sets and certificates keep their promise over random
splits by group, and whether the nearest exemplars have the right label. Features are computed once; heads are
cross-fitted over groups, so that no image is scored by a head that has trained on it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score

from shared.data import images, sources, splits
from shared.inference import calibration, conformal, nearest, novelty, risk
from shared.recipe import Recipe
from shared.training import features, head

SETS = {
    "agriculture/bean_leaf": "healthy",
    "industrial/neu_surface": "",
    "medical/ham10000": "nv",
    "industrial/magnetic_tile": "free",
    "agriculture/deepweeds": "negative",
}
"""Label that stands for OK. In ham10000 none means OK; naevi stand in for it here, to have a large set to count on."""
SPLITS = 200
ALPHA = 0.1
RECALL, CONFIDENCE = 0.9, 0.95
STRENGTH = 1.0
FOLDS = 5


@dataclass(frozen=True)
class Set:
    """Features of one set, ``x`` (n, features), with label indices ``y``, group numbers and splits (n,)."""

    name: str
    labels: list[str]
    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    split: np.ndarray

    @property
    def vertical(self) -> str:
        """First part of the name."""
        return self.name.split("/")[0]

    @property
    def short(self) -> str:
        """Last part of the name."""
        return self.name.split("/")[1]


def read(folder: Path, name: str, recipe: Recipe, cache: Path) -> Set:
    manifest, _ = sources.read(folder / name / "labels.csv")
    manifest, _, components = splits.split(manifest, recipe)
    pictures = [images.read(manifest.file(row.sample)) for row in manifest.rows[: features.PARITY_IMAGES]]
    extractor = features.extractor(recipe, pictures, cache)
    known, _ = features.extract(
        extractor, manifest, manifest.rows, cache=cache, threads=recipe.threads, until=float("inf")
    )
    rows = [row for row in manifest.rows if row.sample.id in known]
    labels = sorted({row.label for row in rows})
    return Set(
        name,
        labels,
        np.stack([known[row.sample.id] for row in rows]).astype(np.float64),
        np.array([labels.index(row.label) for row in rows]),
        np.array([components[row.sample.id] for row in rows]),
        np.array([row.split for row in rows]),
    )


Scorer = Callable[[np.ndarray], np.ndarray]


def novelty_of(data: Set, train: np.ndarray, held_out: np.ndarray) -> Scorer:
    """Novelty of features, fitted on the images ``train`` and scaled on ``held_out`` (n,) bool."""
    _, y = np.unique(data.y[train], return_inverse=True)
    fitted = next(head.ridge(data.x[train], y, y.max() + 1, [STRENGTH]))
    found = novelty.fit(fitted.standardise(data.x[train]), fitted.standardise(data.x[held_out]))
    return lambda x: found.score(fitted.standardise(x))


def auroc(known: np.ndarray, strange: np.ndarray) -> float:
    truth = np.repeat([0, 1], [len(known), len(strange)])
    return float(roc_auc_score(truth, np.concatenate([known, strange])))


def table(title: str, *columns: str) -> None:
    print(f"\n### {title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")


def line(*cells: object) -> None:
    print("| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


def far(sets: list[Set]) -> None:
    table(
        "Novelty: images of other verticals",
        *("built on", "looked at", "AUROC", "rejected at limit 1", "rejected at limit 2"),
    )
    values = []
    for data in sets:
        score = novelty_of(data, data.split == "train", data.split == "validation")
        known, test = score(data.x[data.split != "train"]), score(data.x[data.split == "test"])
        for other in sets:
            if other.vertical != data.vertical:
                strange = score(other.x)
                values.append(auroc(known, strange))
                line(data.short, other.short, values[-1], *(float((strange > limit).mean()) for limit in (1, 2)))
        line(data.short, "its own test images", "", *(float((test > limit).mean()) for limit in (1, 2)))
    line("mean", "", float(np.mean(values)), "", "")
    line("worst", "", min(values), "", "")


def near(sets: list[Set]) -> None:
    table("Novelty: a label left out of the build", "built on", "label left out", "images", "AUROC")
    values = []
    for data in sets:
        for i, label in enumerate(data.labels):
            other = data.y != i
            train, held_out = other & (data.split == "train"), other & (data.split != "train")
            score = novelty_of(data, train, held_out)
            values.append(auroc(score(data.x[held_out]), score(data.x[~other])))
            line(data.short, label, int((~other).sum()), values[-1])
    line("mean", "", "", float(np.mean(values)))
    line("worst", "", "", min(values))


def cross_fitted(data: Set) -> np.ndarray:
    """Probabilities of each image by a head that has not seen its group, ``(n, labels)``."""
    fitted = head.fit(data.x, data.y, data.groups, len(data.labels), strengths=[STRENGTH], count=FOLDS, seed=0)
    return calibration.softmax(fitted.held_out_scores / fitted.head.temperature)


def random_splits(groups: np.ndarray, share: float) -> Iterator[tuple[int, np.ndarray]]:
    """Seed, and for each image whether its group calibrates, as ``share`` of the groups do."""
    unique, inverse = np.unique(groups, return_inverse=True)
    for seed in range(SPLITS):
        chosen = np.random.default_rng(seed).permutation(len(unique)) < round(share * len(unique))
        yield seed, chosen[inverse]


def coverage(data: Set, probabilities: np.ndarray, kind: str, *, per_label: bool) -> None:
    """Coverage of images of new groups, one from each group (per label, one from each group of the label)."""
    groups, labels = data.groups.astype(str), range(len(data.labels))
    covered: list[list[float]] = [[] for _ in labels] if per_label else [[]]
    sizes, empty, certifiable = [], [], []
    for seed, calibrates in random_splits(data.groups, 0.5):
        found = conformal.fit(
            probabilities[calibrates],
            data.y[calibrates],
            data.labels,
            alpha=ALPHA,
            kind=kind,
            per_label=per_label,
            groups=groups[calibrates].tolist(),
            seed=seed,
        )
        rest = np.flatnonzero(~calibrates)
        certifiable.append(sum(found.certifiable))
        for c in range(len(covered)):
            asked = rest[data.y[rest] == c] if per_label else rest
            if found.certifiable[c] and len(asked):
                one = asked[conformal.one_per_group(groups[asked].tolist(), seed)]
                covered[c].append(float(found.sets(probabilities[one])[np.arange(len(one)), data.y[one]].mean()))
        size = found.sets(probabilities[rest]).sum(1)
        sizes.append(size.mean())
        empty.append((size == 0).mean())
    # Labels that can be certified in few splits only say nothing about an average.
    enough = [values for values in covered if len(values) >= SPLITS / 4]
    means = [float(np.mean(values)) for values in enough]
    worst = int(np.argmin(means)) if means else -1
    error = float(np.std(enough[worst]) / np.sqrt(len(enough[worst]))) if means else 0.0
    line(
        data.short,
        f"{kind}, {'each label' if per_label else 'all labels'}",
        f"{means[worst]:.3f} ± {2 * error:.3f}" if means else "nothing to measure",
        "" if not means else "yes" if means[worst] >= 1 - ALPHA - 2 * error else "NO",
        f"{np.mean(certifiable):.1f} of {len(data.labels)}",
        float(np.mean(sizes)),
        float(np.mean(empty)),
    )


def certificates(data: Set, probabilities: np.ndarray, ok: int) -> None:
    """How often the recall on the rest was at least the certified one, and how often an exact bound would have it."""
    positives = np.flatnonzero(data.y != ok)
    risks, groups = 1 - probabilities[positives, ok], data.groups[positives].astype(str)
    held, expected, certified, measured = [], [], [], []
    for seed, calibrates in random_splits(data.groups[positives], 0.2):
        found = risk.certify(
            risks[calibrates],
            np.zeros(0),
            recall=RECALL,
            confidence=CONFIDENCE,
            groups=groups[calibrates].tolist(),
            seed=seed,
        )
        rest = risks[~calibrates][conformal.one_per_group(groups[~calibrates].tolist(), seed)]
        drawn = risks[calibrates][conformal.one_per_group(groups[calibrates].tolist(), seed)]
        k = int((drawn < found.threshold).sum()) + 1
        allowed = np.floor(len(rest) * (1 - found.certified_recall) + 1e-9)
        measured.append(float((rest >= found.threshold).mean()))
        held.append((rest < found.threshold).sum() <= allowed)
        # The rest is a sample too: misses in it follow a beta-binomial law when the bound is exact.
        expected.append(betabinom.cdf(allowed, len(rest), k, len(drawn) - k + 1))
        certified.append(found.certified_recall)
    line(
        data.short,
        data.labels[ok],
        f"{len(drawn)} + {len(rest)}",
        *(float(np.mean(values)) for values in (certified, measured, held, expected)),
    )


def neighbours(data: Set) -> None:
    folds = head.folds(data.groups, data.y, FOLDS, 0)
    right: dict[str, list[float]] = {"all": [], "exemplars": []}
    for fold in range(FOLDS):
        train, rest = folds != fold, folds == fold
        fitted = next(head.ridge(data.x[train], data.y[train], len(data.labels), [STRENGTH]))
        z = fitted.standardise(data.x)
        z -= z[train].mean(0)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        right["all"].append(float((data.y[train][(z[rest] @ z[train].T).argmax(1)] == data.y[rest]).mean()))
        names = [data.labels[i] for i in data.y[train]]
        made = nearest.fit(data.x[train], names, names, mean=fitted.mean, deviation=fitted.deviation)
        found = made.nearest(data.x[rest], 1)
        truth = [data.labels[i] for i in data.y[rest]]
        right["exemplars"].append(float(np.mean([n[0].label == t for n, t in zip(found, truth, strict=True)])))
    line(data.short, float(np.mean(right["all"])), float(np.mean(right["exemplars"])))


def report(sets: list[Set]) -> None:
    far(sets)
    near(sets)
    probabilities = {data.name: cross_fitted(data) for data in sets}
    table(
        f"Prediction sets: {1 - ALPHA:.0%} promised, {SPLITS} random halves by group",
        *(
            "set",
            "score, promise for",
            "coverage (worst label)",
            "kept",
            "labels certifiable",
            "labels in a set",
            "empty",
        ),
    )
    for data in sets:
        for kind in (conformal.LAC, conformal.APS):
            for per_label in (False, True):
                coverage(data, probabilities[data.name], kind, per_label=per_label)
    table(
        f"Certificates: recall {RECALL:.0%} wanted at {CONFIDENCE:.0%} confidence, {SPLITS} random fifths by group",
        *("set", "OK is", "groups", "certified", "recall on the rest", "held", "held if the bound is exact"),
    )
    for data in sets:
        if SETS[data.name]:
            certificates(data, probabilities[data.name], data.labels.index(SETS[data.name]))
    table(
        "Nearest image has the right label", "set", "all features", f"{nearest.COMPONENTS} components, half precision"
    )
    for data in sets:
        neighbours(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--weights", type=Path, help="of mobilenetv2_100; without, the default backbone is used")
    parser.add_argument("--cache", type=Path, help="folder that keeps the features")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    half = (0.5, 0.5, 0.5)
    named = {"backbone": "mobilenetv2_100", "weights": str(options.weights), "mean": half, "std": half}
    recipe = Recipe(threads=options.threads)
    if options.weights:
        recipe = Recipe(threads=options.threads, backbone_args={"pad_type": "same"}, **named)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary)
        sets = [read(options.photographs, name, recipe, cache) for name in SETS]
    print(f"features after {time.monotonic() - started:.0f} s", file=sys.stderr)
    report(sets)
    print(f"done after {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
