"""Faults planted into copies of real sets, and how many of them `loupe check` finds.

    python benchmarks/doctor.py PHOTOGRAPHS [--weights FILE] [--sets agriculture/bean_leaf ...] [--cache FOLDER]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group). The sets are copied to a temporary folder;
planted are exact copies and near copies of training images among the test images, 5 % wrong labels, and (in a second
copy) one blurred and one brighter label. Then the findings on the sets as they are. Prints Markdown.
"""

import argparse
import csv
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.check import check
from shared.data import images, sources
from shared.data.manifest import Manifest
from shared.recipe import Recipe

SETS = ("agriculture/bean_leaf", "industrial/neu_surface", "medical/ham10000")
COPIED, FLIPPED = 0.1, 0.05
Picture = NDArray[np.uint8]
NEAR: dict[str, tuple[Callable[[Picture], Picture], int]] = {
    "jpeg": (lambda p: p, 60),
    "resize": (lambda p: np.asarray(cv2.resize(p, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA), np.uint8), 90),
    "brightness": (lambda p: np.asarray(cv2.convertScaleAbs(p, alpha=1.1, beta=10), np.uint8), 90),
    "rotation": (lambda p: np.ascontiguousarray(np.rot90(p)), 90),
    "mirror": (lambda p: np.ascontiguousarray(p[:, ::-1]), 90),
}
"""How a near copy is made, and the quality of its JPEG."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--weights", type=Path, help="of mobilenetv2_100; without, the default backbone is used")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--cache", type=Path, help="folder that keeps the features")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    recipe = Recipe(threads=options.threads)
    if options.weights:
        half = (0.5, 0.5, 0.5)
        named = {"backbone": "mobilenetv2_100", "weights": str(options.weights), "backbone_args": {"pad_type": "same"}}
        recipe = replace(recipe, **named, mean=half, std=half)
    head = "| set | images | exact | near |", " false near groups | flips in the top 10 % | suspects |"
    print(head[0] + head[1] + " worth of the leaks | blur before, after | brightness before, after |")
    print("| --- " * 10 + "|")
    plain = {}
    with tempfile.TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary) / "cache"
        for name in options.sets:
            found, _ = sources.read(options.photographs / name / "labels.csv")
            plain[name] = check(options.photographs / name / "labels.csv", cache=cache, recipe=recipe)
            print(row(name, found, plain[name], Path(temporary), cache, recipe), flush=True)
    for name, facts in plain.items():
        print(f"\n{name} as it is ({facts['images']} images, {facts['seconds']} s):\n")
        for finding in facts["findings"]:
            points = "" if finding["points"] is None else f" (up to {finding['points']:.1f} points)"
            print(f"- {'' if finding['certain'] else 'look: '}{finding['what']}{points}")


def row(name: str, found: Manifest, plain: dict[str, Any], folder: Path, cache: Path, recipe: Recipe) -> str:
    """One line of the table."""
    home = folder / name
    exact, near, flipped = plant(found, home, np.random.default_rng(recipe.seed))
    facts = check(home / "labels.csv", cache=cache, recipe=recipe)
    group_of = {p: i for i, g in enumerate([*facts["copies"]["exact"], *facts["copies"]["near"]]) for p in g["paths"]}
    exact_of = {p: i for i, g in enumerate(facts["copies"]["exact"]) for p in g["paths"]}
    exactly = sum(a in exact_of and exact_of[a] == exact_of.get(b) for a, b in exact)
    kinds = {
        kind: (sum(a in group_of and group_of[a] == group_of.get(b) for a, b in pairs), len(pairs))
        for kind, pairs in near.items()
    }
    planted = {p for pairs in near.values() for pair in pairs for p in pair}
    false = [g for g in facts["copies"]["near"] if not planted & set(g["paths"])]
    already = len(plain["copies"]["near"])
    top = {s["path"] for s in facts["suspects"][: round(0.1 * facts["images"])]}
    hits = sum(path in top for path in flipped)
    said = ", ".join(f"{kind} {a}/{b}" for kind, (a, b) in kinds.items())
    all_near = sum(a for a, _ in kinds.values()), sum(b for _, b in kinds.values())
    after = spoil(found, folder / f"{name}-spoilt", cache, recipe)
    shortcut = [f"{percent(plain, kind)}, {percent(after, kind)}" for kind in ("blur", "brightness")]
    return (
        f"| {name} | {facts['images']} | {exactly}/{len(exact)} | {all_near[0]}/{all_near[1]} ({said}) | "
        f"{len(false)} ({already} before planting) | {hits}/{len(flipped)} | {len(facts['suspects'])} | "
        f"{worth(facts['price'])} | {shortcut[0]} | {shortcut[1]} |"
    )


def worth(price: dict[str, Any]) -> str:
    return f"{price['points']:+.1f} points [{price['low']:+.1f} .. {price['high']:+.1f}]"


def percent(facts: dict[str, Any], kind: str) -> str:
    for prop in facts["shortcuts"]["properties"]:
        if prop["name"] == kind:
            return f"{100 * prop['value']:.0f} % {'named' if prop['named'] else 'not named'}"
    return "the same for all"


def plant(
    found: Manifest, home: Path, rng: np.random.Generator
) -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]], list[str]]:
    """Copy a set and plant copies and wrong labels; gives the planted pairs of paths and the paths of wrong labels."""
    home.mkdir(parents=True)
    names = sorted(found.counts)
    n = len(found.rows)
    order = rng.permutation(n)
    train = order[: round(0.7 * n)]
    split = np.full(n, "test", dtype="U5")
    split[train] = "train"
    flipped, copied = np.split(train[: round((FLIPPED + COPIED) * n)], [round(FLIPPED * n)])
    lines, paths = [], []
    for i, one in enumerate(found.rows):
        path = f"{i:05}{Path(one.sample.path).suffix}"
        shutil.copyfile(found.file(one.sample), home / path)
        label = str(rng.choice([c for c in names if c != one.label])) if i in flipped else one.label
        lines.append((path, label, one.sample.group, split[i]))
        paths.append(path)
    exact, near = [], {kind: list[tuple[str, str]]() for kind in NEAR}
    for number, i in enumerate(copied):
        kind = ("exact", *NEAR)[number % (1 + len(NEAR))]
        path = f"copy{i:05}{Path(paths[i]).suffix if kind == 'exact' else '.jpg'}"
        if kind == "exact":
            shutil.copyfile(home / paths[i], home / path)
            exact.append((paths[i], path))
        else:
            change, q = NEAR[kind]
            write(home / path, change(images.read(home / paths[i])), q)
            near[kind].append((paths[i], path))
        lines.append((path, found.rows[i].label, "", "test"))
    save(home, lines)
    return exact, near, [paths[i] for i in flipped]


def spoil(found: Manifest, home: Path, cache: Path, recipe: Recipe) -> dict[str, Any]:
    """Blur every image of the first label and brighten every image of the second, then look."""
    home.mkdir(parents=True)
    names = sorted(found.counts)
    lines = []
    for i, one in enumerate(found.rows):
        path = f"{i:05}.png"
        picture = np.array(images.read(found.file(one.sample)))
        if one.label == names[0]:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)
        elif one.label == names[1]:
            picture = np.asarray(cv2.convertScaleAbs(picture, alpha=1.2, beta=25), np.uint8)
        images.write_png(home / path, picture)
        lines.append((path, one.label, one.sample.group, ""))
    save(home, lines)
    return check(home / "labels.csv", cache=cache, recipe=recipe)


def write(path: Path, picture: Picture, q: int) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, q])


def save(home: Path, lines: list[tuple[str, str, str, str]]) -> None:
    with (home / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "group", "split"])
        writer.writerows(lines)


if __name__ == "__main__":
    main()
