"""What each part of the build is worth, and what corruptions cost: one row per variant and set.

    python benchmarks/ablation.py PHOTOGRAPHS [--budget 4m] [--sets ...] [--variants ...]

Every variant is a build with one ``--set``; the same grouped test images judge all of them, and are then blurred, made
noisy, compressed and wrongly exposed. Differences to the full build are paired. Prints Markdown.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from shared.data import images, sources
from shared.evaluate import unseen
from shared.inference import Runtime
from shared.reporting.paired import paired
from shared.training.head import balanced_accuracy

SETS = ("industrial/magnetic_tile", "medical/ham10000", "agriculture/bean_leaf")
VARIANTS = {
    "full": [],
    "search off": ["search=false"],
    "fine-tuning off": ["finetune=false"],
    "soup off": ["tuning.soup=1"],
    "mixup and CutMix on": ["tuning.mixup=0.2", "tuning.cutmix=1.0"],
    "drawn as counted": ["tuning.balanced=false"],
    "last stage only": ["stages=1"],
}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--budget", default="4m")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    names = ["clean", "blur", "noise", "JPEG", "dark", "bright"]
    print(f"| set | variant | {' | '.join(names)} | to the full build, clean, points |")
    print(f"| --- | --- | {' | '.join('---' for _ in names)} | --- |")
    loupe = str(Path(sys.executable).parent / "loupe")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            data = options.photographs / name / "labels.csv"
            reference = None
            for variant in options.variants:
                bundle = Path(temporary) / f"{Path(name).name} {variant}.bundle"
                changes = [part for change in VARIANTS[variant] for part in ("--set", change)]
                line = [loupe, "build", data, "-o", bundle, "--budget", options.budget, *changes]
                cache = ["--cache", Path(temporary) / "cache" / variant]
                subprocess.run(list(map(str, line + cache)), check=True, capture_output=True)
                manifest, _ = sources.read(data)
                built = Runtime.open(bundle).bundle
                rows = [row for row in unseen(built, manifest) if row.label in built.labels]
                groups, labels = [row.sample.group for row in rows], list(built.labels)
                y = np.array([labels.index(row.label) for row in rows])
                said = answers(bundle, manifest, rows)
                reference = said["clean"] if reference is None else reference
                cells = [f"{100 * balanced_accuracy(said[n], y):.1f}" for n in names]
                d = paired(y, reference, said["clean"], groups)
                over = f"{100 * d.value:+.1f} [{100 * d.low:+.1f} .. {100 * d.high:+.1f}]"
                print(f"| {name} | {variant} | {' | '.join(cells)} | {over} |", flush=True)


if __name__ == "__main__":
    main()
