"""What each part of the build is worth, and what corruptions cost: one row per variant and set.

    python benchmarks/ablation.py PHOTOGRAPHS [--budget 10m] [--sets ...] [--variants ...] [--table-only]

Every variant is a build with one ``--set``; the same grouped test images judge all of them, and are then blurred, made
noisy, compressed and wrongly exposed. Differences to the full build are paired. Results are kept in ``--out``: what is
there is not measured again. Prints Markdown.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import kept
import numpy as np

from shared.data import images, sources
from shared.evaluate import unseen
from shared.inference import Runtime
from shared.reporting.paired import paired
from shared.training.head import balanced_accuracy

SETS = ("medical/isic_7class", "agriculture/bean_leaf", "agriculture/rice_leaf")
"""Where fine-tuning is adopted: elsewhere all variants but the last are the closed-form head (magnetic_tile, seen)."""
VARIANTS = {
    "full": [],
    "search off": ["search=false"],
    "fine-tuning off": ["finetune=false"],
    "soup off": ["tuning.soup=1"],
    "mixup and CutMix on": ["tuning.mixup=0.2", "tuning.cutmix=1.0"],
    "drawn balanced": ["tuning.balanced=true"],
    "last stage only": ["stages=1"],
}


CORRUPTIONS = ("clean", "blur", "noise", "JPEG", "dark", "bright")


def corruptions(image: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Blur (sigma 2), noise (deviation 20), JPEG (quality 20), exposure (half and one and a half)."""
    shaken = image + rng.normal(0, 20, image.shape)
    packed = cv2.imencode(".jpg", image, [int(cv2.IMWRITE_JPEG_QUALITY), 20])[1]
    changed = {
        "clean": image,
        "blur": cv2.GaussianBlur(image, (0, 0), 2),
        "noise": shaken,
        "JPEG": cv2.imdecode(packed, cv2.IMREAD_COLOR),
        "dark": image * 0.5,
        "bright": image * 1.5,
    }
    return {name: np.clip(picture, 0, 255).astype(np.uint8) for name, picture in changed.items()}


def answers(bundle: Path, manifest: sources.Manifest, rows: list) -> dict[str, np.ndarray]:
    """Predicted label of every row under each corruption."""
    runtime, rng = Runtime.open(bundle), np.random.default_rng(0)
    found: dict[str, list[int]] = {}
    for row in rows:
        picture = images.read(manifest.file(row.sample), window=row.sample.window)
        for name, changed in corruptions(picture, rng).items():
            found.setdefault(name, []).append(int(runtime.predict([changed]).probabilities[0].argmax()))
    return {name: np.array(said) for name, said in found.items()}


def measured(data: Path, variant: str, budget: str, cache: Path) -> dict:
    """Build one variant and ask it about all test images, clean and spoilt."""
    bundle = cache.with_suffix(".bundle")
    changes = [part for change in VARIANTS[variant] for part in ("--set", change)]
    loupe = str(Path(sys.executable).parent / "loupe")
    line = [loupe, "build", data, "-o", bundle, "--budget", budget, *changes, "--cache", cache, "--json"]
    built = json.loads(subprocess.run(list(map(str, line)), check=True, capture_output=True).stdout)
    manifest, _ = sources.read(data)
    opened = Runtime.open(bundle).bundle
    rows = [row for row in unseen(opened, manifest) if row.label in opened.labels]
    labels = list(opened.labels)
    return {
        "chosen": built["chosen"]["name"],
        "tried": built["tried"],
        "seconds": built["seconds"],
        "truth": [labels.index(row.label) for row in rows],
        "groups": [row.sample.group for row in rows],
        "said": {name: found.tolist() for name, found in answers(bundle, manifest, rows).items()},
    }


def row(record: dict, reference: dict) -> str:
    y = np.array(record["truth"])
    cells = [f"{100 * balanced_accuracy(np.array(record['said'][name]), y):.1f}" for name in CORRUPTIONS]
    d = paired(y, np.array(reference["said"]["clean"]), np.array(record["said"]["clean"]), record["groups"])
    over = f"{100 * d.value:+.1f} [{100 * d.low:+.1f} .. {100 * d.high:+.1f}]"
    head = f"{record['set']} | {record['variant']} | {record['chosen']} | {tuned(record)}"
    return f"| {head} | {' | '.join(cells)} | {over} |"


def tuned(record: dict) -> str:
    """What the validation images said of the fine-tuned candidate."""
    trial = next((t for t in record["tried"] if t["name"].startswith("fine-tun")), None)
    if trial is None or trial["difference"] is None:
        return "none" if trial is None else trial["why"]
    d = trial["difference"]
    said = f"{100 * d['value']:+.1f} [{100 * d['low']:+.1f} .. {100 * d['high']:+.1f}]"
    return f"{said} {'adopted' if trial['adopted'] else 'refused'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ablation.json")
    parser.add_argument("--table-only", action="store_true", help="print what is kept, measure nothing")
    options = parser.parse_args()
    asked = " | ".join(("fine-tuned, on validation, points", *CORRUPTIONS, "to the full build, clean, points"))
    print(f"| set | variant | chosen | {asked} |")
    print("| --- " * (5 + len(CORRUPTIONS)) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            reference = None
            for variant in options.variants:
                key = {"set": name, "variant": variant, "budget": options.budget}
                record = kept.find(kept.read(options.out), **key)
                if record is None and not options.table_only:
                    data = options.photographs / name / "labels.csv"
                    folder = Path(temporary) / f"{Path(name).name} {variant}"
                    record = key | measured(data, variant, options.budget, folder)
                    kept.add(options.out, record)
                if record is not None:
                    reference = reference or record
                    print(row(record, reference), flush=True)


if __name__ == "__main__":
    main()
