"""Many images by Ray: one worker is killed half-way, and every image must be answered once; then the throughput.

    python benchmarks/sharded.py PHOTOGRAPHS [--images 20000] [--pairs 2] [--pair-images 4000] [--image-size 96]

Crops of 96 px are drawn from photographs into a temporary folder and answered by `loupe predict` with a bundle built
from one set. First `--engine ray --workers 2` looks at all of them, and one of its two workers is killed with SIGKILL
as soon as half of the shards are there. Then runs of two Ray workers and of one process with two threads alternate over
a part of the images; the ratio is of whole commands, start of Ray included, and of pairs, since the machine's speed
changes. Prints Markdown.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from shared.data import images, sources

SIDE = 96
BUILT_FROM = "industrial/neu_surface"
LOUPE = str(Path(sys.executable).parent / "loupe")


def crops(photographs: Path, folder: Path, count: int) -> None:
    """Crops as JPEG files, as many from every photograph; a thousand to a folder."""
    files = sorted({p for s in photographs.glob("*/*/labels.csv") for p in _listed(s)})
    files = [f for f in files if min(images.size(f)) >= SIDE]
    rng = np.random.default_rng(0)
    number = 0
    each = -(-count // len(files))
    for file in files:
        picture = images.read(file)
        for _ in range(min(each, count - number)):
            y, x = (int(rng.integers(0, side - SIDE + 1)) for side in picture.shape[:2])
            path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture[y : y + SIDE, x : x + SIDE, ::-1])
            number += 1


def _listed(table: Path) -> list[Path]:
    manifest, _ = sources.read(table)
    return [manifest.file(row.sample) for row in manifest.rows]


def command(bundle: Path, source: Path, out: Path, *engine: str) -> list[str]:
    """One `loupe predict`."""
    return [LOUPE, "predict", str(bundle), str(source), "-o", str(out), *engine]


RAY = ("--engine", "ray", "--workers", "2")
ALONE = ("--threads", "2")


def ray_workers(pid: int) -> list[int]:
    """Processes of Ray's actors below a process."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    below = {pid}
    for _ in range(6):
        below |= {int(own) for own, parent, _ in rows if int(parent) in below}
    return [int(own) for own, _, said in rows if int(own) in below and said.startswith("ray::MapWorker")]


def killed_half_way(bundle: Path, source: Path, out: Path, count: int) -> str:
    """A run whose worker is killed, and what became of its answers."""
    begun = time.monotonic()
    process = subprocess.Popen(command(bundle, source, out, *RAY), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shards = out.with_name(out.name + ".shards")
    half, killed, there = -(-count // 64) // 2, 0, 0
    while process.poll() is None and not killed:
        there = len(list(shards.glob("*.jsonl")))
        if there >= half and (workers := ray_workers(process.pid)):
            killed = workers[0]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.05)
    code, took = process.wait(), time.monotonic() - begun
    frames = Counter(json.loads(line)["frame"] for line in out.read_text().splitlines())
    once = sum(n == 1 for n in frames.values())
    return (
        f"{count:,} images, worker killed after {there} of {-(-count // 64)} shards: exit {code} after "
        f"{took:.0f} s, {once:,} images answered once, {len(frames) - once} more than once, "
        f"{count - len(frames)} not at all"
    )


def seconds(bundle: Path, source: Path, out: Path, engine: tuple[str, ...]) -> float:
    """Wall-clock time of a whole command."""
    begun = time.monotonic()
    subprocess.run(command(bundle, source, out, *engine), check=True, capture_output=True)
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--pair-images", type=int, default=4000)
    parser.add_argument("--image-size", type=int, default=96)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        many, bundle, out = Path(work) / "many", Path(work) / "small.bundle", Path(work) / "answers.jsonl"
        crops(options.photographs, many, options.images)
        recipe = [f"image_size={options.image_size}", "search=false", "finetune=false"]
        line = [LOUPE, "build", str(options.photographs / BUILT_FROM), "-o", str(bundle), "--cache", f"{work}/cache"]
        subprocess.run([*line, *(part for r in recipe for part in ("--set", r))], check=True, capture_output=True)
        print(killed_half_way(bundle, many, out, options.images), flush=True)
        few = Path(work) / "few"
        few.mkdir()
        for file in sorted(many.rglob("*.jpg"))[: options.pair_images]:
            os.link(file, few / file.name)
        count = len(list(few.iterdir()))
        print("\n| pair | one process, 2 threads | 2 Ray workers | ratio |\n| --- | --- | --- | --- |")
        ratios = []
        for pair in range(options.pairs):
            order = (ALONE, RAY) if pair % 2 else (RAY, ALONE)
            took = {engine: seconds(bundle, few, out, engine) for engine in order}
            ratios.append(took[ALONE] / took[RAY])
            rates = " | ".join(f"{count / took[engine]:.0f} images/s" for engine in (ALONE, RAY))
            print(f"| {pair + 1} | {rates} | {ratios[-1]:.2f} |", flush=True)
        print(f"\nRay over one process: {np.exp(np.mean(np.log(ratios))):.2f} (geometric mean of {len(ratios)} pairs)")


if __name__ == "__main__":
    main()
