"""Bundles made smaller on real photographs: distilled, pruned, in whole numbers, and all of it in a row.

    python benchmarks/compression.py PHOTOGRAPHS --keep FOLDER [--standin FILE] [--sets ...] [--backbones ...]
        [--steps ...] [--budget 10m] [--parent-budget 2m] [--set KEY=VALUE ...]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group). For each backbone and set a parent is
built, then every step is made by its command (``loupe distil``, ``loupe prune``, ``loupe quantize``) from the parent
or, in a chain, from the bundle before it; a student, which is faster already, is pruned to 1.5 times its own speed
instead of twice. ``student alone`` and ``plain KL`` are the same student, for the same time,
without a teacher and with plain divergence; the command itself trains both and takes the better one, which is switched
off here. The limits are opened wide, so that what would be refused is seen too
(whole numbers only after every rung of their ladder was refused); the last column but one says whether the default
limits would have held. Balanced accuracy, worst label and flips are of the test images, which chose nothing, against
the parent; times are measured in turns on one core. Bundles lie in ``--keep`` and results in ``--out``, so that the
measurement can be spread over several sittings. Prints Markdown.

``embedded`` needs nothing, ``mobilenetv2_100`` needs ``--standin`` (ImageNet weights), ``efficientnet_b0`` starts from
random weights, as no others are at hand, and learns from the set itself.
"""

import argparse
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import kept
import numpy as np
from real_sets import SETS, loupe, percent

from shared.compression import latency
from shared.compression.recipe import Allowed
from shared.data import images, sources
from shared.evaluate import unseen
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.reporting.paired import paired, per_label

BACKBONES = ("embedded", "mobilenetv2_100", "efficientnet_b0")
CHOSEN = ("agriculture/bean_leaf", "industrial/neu_surface", "medical/isic_7class")
STEPS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "student alone": ("parent", "distil", ("distil.loss=none",)),
    "plain KL": ("parent", "distil", ("distil.loss=kl", "distil.baseline=false")),
    "distilled": ("parent", "distil", ("distil.baseline=false",)),
    "pruned": ("parent", "prune", ()),
    "int8": ("parent", "quantize", ()),
    "pruned, int8": ("pruned", "quantize", ()),
    "distilled, pruned": ("distilled", "prune", ("prune.speedup=1.5",)),
    "distilled, pruned, int8": ("distilled, pruned", "quantize", ()),
}
"""What each is made from, by which command, with which settings."""
OPEN = ("allowed.drop=0.99", "allowed.label_drop=0.99", "allowed.brier=0.99", "prune.steps=1")


def built(options: argparse.Namespace, name: str, backbone: str) -> Path:
    """The parent, from an earlier sitting where there is one."""
    out = folder(options, name, backbone) / "parent.bundle"
    if out.exists():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    more: list[Any] = []
    if backbone == "mobilenetv2_100":
        more = ["--backbone", backbone, "--weights", options.standin, "--set", "backbone_args.pad_type=same"]
        more += ["--set", "mean=[0.5, 0.5, 0.5]", "--set", "std=[0.5, 0.5, 0.5]"]
    elif backbone == "efficientnet_b0":
        more = ["--backbone", backbone, "--weights", "random", "--set", "tuning.freeze_norm=false"]
    vertical = ["--vertical", SETS[name]] if SETS.get(name) else []
    data = options.photographs / name / "labels.csv"
    loupe("build", data, "-o", out, "--budget", options.parent_budget, *vertical, *more, *cache(options))
    return out


def made(options: argparse.Namespace, name: str, backbone: str, step: str) -> Path:
    """The bundle of a step, with all that it is made from."""
    if step == "parent":
        return built(options, name, backbone)
    before, verb, settings = STEPS[step]
    source = made(options, name, backbone, before)
    out = folder(options, name, backbone) / f"{step.replace(', ', '-').replace(' ', '-')}.bundle"
    if not out.exists():
        data = options.photographs / name / "labels.csv"
        whole = [verb, source, data, "-o", out, "--budget", options.budget, *cache(options)]
        own = [part for value in (*settings, *options.set) for part in ("--set", value)]
        opened = [part for value in OPEN for part in ("--set", value)]
        try:
            # A ladder with open limits would stop at its first rung.
            loupe(*whole, *(own if verb == "quantize" else [*opened, *own]))
        except subprocess.CalledProcessError:
            if verb != "quantize":
                raise
            loupe(*whole, *opened, *own)
    return out


def folder(options: argparse.Namespace, name: str, backbone: str) -> Path:
    place: Path = options.keep / name.replace("/", "-") / backbone
    return place


def cache(options: argparse.Namespace) -> list[Any]:
    return ["--cache", options.keep / "cache"]


def compared(options: argparse.Namespace, name: str, parent: Path, smaller: Path) -> dict[str, Any]:
    """The smaller bundle against the parent: answers on images of the test part, sizes, and times in turns."""
    before, after = (Runtime.open(path, threads=1) for path in (parent, smaller))
    manifest, _ = sources.read(options.photographs / name / "labels.csv")
    rows = unseen(before.bundle, manifest)
    pictures = [images.read(manifest.file(row.sample), window=row.sample.window) for row in rows]
    y = np.array([before.labels.index(row.label) for row in rows])
    groups = [row.sample.group for row in rows]
    a, b = (runtime.predict(pictures).probabilities.argmax(1) for runtime in (before, after))
    by_label = {before.labels[i]: asdict(d) for i, d in per_label(y, a, b, groups).items()}
    worst = min(by_label, key=lambda label: by_label[label]["value"])
    files = [(path / bundles.MODEL).read_bytes() for path in (parent, smaller)]
    times = latency.compared(files, pictures[:8])
    recall = [np.mean([(said[y == k] == k).mean() for k in np.unique(y)]) for said in (a, b)]
    return {
        "n": len(rows),
        "balanced_accuracy": [float(r) for r in recall],
        "difference": asdict(paired(y, a, b, groups)),
        "worst": {"label": worst, **by_label[worst]},
        "flips": int((a != b).sum()),
        "bytes": [len(file) for file in files],
        "ms": [asdict(t) for t in times],
        "kept_limits": within_limits(after.bundle.card),
        "learning": after.bundle.card["compression"][-1]["details"].get("learning", {}),
    }


def within_limits(card: dict[str, Any]) -> bool:
    """Whether validation would have let the last step pass with the default limits, its intervals left aside."""
    told, allowed = card["compression"][-1]["validation"], Allowed()
    worst = told["per_label"][told["worst_label"]]["value"]
    return bool(told["balanced_accuracy"]["value"] >= -allowed.drop and worst >= -allowed.label_drop)


def row(name: str, backbone: str, step: str, found: dict[str, Any]) -> str:
    (large, small), (before, after) = found["bytes"], found["ms"]
    cells = [
        name,
        backbone,
        step,
        f"{100 * found['balanced_accuracy'][0]:.1f} -> {100 * found['balanced_accuracy'][1]:.1f}",
        percent(found["difference"]),
        f"{found['worst']['label']} {100 * found['worst']['value']:+.1f}",
        f"{found['flips']} of {found['n']}",
        f"{small / 1e6:.2f} ({large / small:.1f}x)",
        f"{after['p50']:.1f} / {after['p95']:.1f} ({before['p50'] / after['p50']:.1f}x)",
        "yes" if found["kept_limits"] else "no",
        f"{found['learning'].get('epochs', 0):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="folder of the bundles")
    parser.add_argument("--standin", type=Path, help="weights of mobilenetv2_100")
    parser.add_argument("--sets", nargs="*", default=list(CHOSEN))
    parser.add_argument("--backbones", nargs="*", default=list(BACKBONES), choices=BACKBONES)
    parser.add_argument("--steps", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--budget", default="10m", help="of each step")
    parser.add_argument("--parent-budget", default="4m")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as loupe prune --set")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "compression.json")
    options = parser.parse_args()
    print(
        "| set | backbone | step | balanced accuracy % | difference, points | worst label | flips | MB | "
        "p50 / p95 ms | default limits kept | passes |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        for backbone in options.backbones:
            if backbone == "mobilenetv2_100" and not options.standin:
                continue
            for step in options.steps:
                key = {"set": name, "backbone": backbone, "step": step}
                found = kept.find(kept.read(options.out), **key)
                if found is None:
                    try:
                        smaller = made(options, name, backbone, step)
                    except subprocess.CalledProcessError as error:
                        print(f"{name}, {backbone}, {step}: {' '.join(map(str, error.cmd))} failed", file=sys.stderr)
                        continue
                    found = {**key, **compared(options, name, built(options, name, backbone), smaller)}
                    kept.add(options.out, found)
                print(row(name, backbone, step, found), flush=True)


if __name__ == "__main__":
    main()
