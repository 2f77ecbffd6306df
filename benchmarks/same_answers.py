"""The same images through the command, the Python runtime and a bare onnxruntime session: same answers, and how fast.

python benchmarks/same_answers.py BUNDLE IMAGES [--n 200]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from shared.data import images, sources
from shared.inference import Runtime


def by_command(bundle: Path, folder: Path) -> tuple[dict[str, np.ndarray], float, float]:
    out = folder.parent / "findings.jsonl"
    line = [str(Path(sys.executable).parent / "loupe"), "predict", str(bundle), str(folder), "-o", str(out), "--json"]
    started = time.monotonic()
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    wall = time.monotonic() - started
    rows = [json.loads(text) for text in out.read_text().splitlines()]
    answers = {Path(r["frame"]).name: np.array(list(r["probabilities"].values())) for r in rows}
    return answers, wall, json.loads(done.stdout)["images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--n", type=int, default=200)
    options = parser.parse_args()
    samples, root, _ = sources.samples(options.images)
    step = max(1, len(samples) // options.n)
    chosen = [root / s.path for s in samples[::step]][: options.n]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        folder.mkdir()
        for i, path in enumerate(chosen):
            (folder / f"{i:04}{path.suffix}").write_bytes(path.read_bytes())
        names = sorted(p.name for p in folder.iterdir())
        command, wall, rate = by_command(options.bundle, folder)
        pictures = [images.read(folder / name) for name in names]
        runtime = Runtime.open(options.bundle)
        started = time.monotonic()
        python = runtime.predict(pictures).probabilities
        runtime_rate = len(pictures) / (time.monotonic() - started)
        session = onnxruntime.InferenceSession(str(options.bundle / "model.onnx"), providers=["CPUExecutionProvider"])
        started = time.monotonic()
        bare = np.concatenate([session.run(["probabilities"], {"image": p[None]})[0] for p in pictures])
        bare_rate = len(pictures) / (time.monotonic() - started)
    cli = np.array([command[name] for name in names])
    print(f"{len(names)} images, {len(runtime.labels)} labels")
    for name, other in (("Python runtime", python), ("bare onnxruntime", bare)):
        flips = int((cli.argmax(1) != other.argmax(1)).sum())
        difference = np.abs(cli - other).max()
        print(f"command against {name}: largest difference of a probability {difference:.2g}, {flips} flips")
    print(f"command: {rate} images per second from file to decision ({wall:.1f} s with start and self-test)")
    print(f"Python runtime: {runtime_rate:.0f} decoded images per second; bare session: {bare_rate:.0f}; ", end="")
    print(f"ratio {runtime_rate / bare_rate:.2f}")


if __name__ == "__main__":
    main()
