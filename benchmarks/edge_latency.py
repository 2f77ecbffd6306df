"""From a photograph's file to its label on one core, beside bare onnxruntime on a prepared tensor.

    python benchmarks/edge_latency.py BUNDLE IMAGES [--images 100] [--rounds 3] [--core 0]

Runs in a process that is bound to one core, with one thread. For each photograph in turn: the whole way (read and check
the file, decode, predict, take the likeliest label); the decoding alone; and an onnxruntime session that begins behind
resize and normalisation and gives the probabilities alone, on a tensor that was prepared before. So all three meet the
same load of the machine; processor time leaves out what others took. Prints Markdown.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import onnx

from shared.data import images
from shared.inference import Runtime, runtime


def bare(model: onnx.ModelProto) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The graph up to the normalised pixels, and the graph from there to the probabilities."""
    parts = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    end = next(n.output[0] for n in model.graph.node if "loupe_shift" in n.input)
    return parts.extract_model(["image"], [end]), parts.extract_model([end], ["probabilities"])


class Clock:
    """Wall and processor milliseconds of a block; one thread works, so that its processor time is all there is."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def __enter__(self) -> None:
        self.started = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.wall.append(1000 * (time.perf_counter() - self.started[0]))
        self.cpu.append(1000 * (time.thread_time() - self.started[1]))


def measure(bundle: Path, files: list[Path], rounds: int) -> dict[str, Clock]:
    """The time of each way for each photograph and round."""
    opened = Runtime.open(bundle, threads=1)
    before, behind = bare(onnx.load(bundle / "model.onnx"))
    prepare = runtime.session(before.SerializeToString(), threads=1)
    session = runtime.session(behind.SerializeToString(), threads=1)
    (name,) = (i.name for i in session.get_inputs())
    labels = opened.labels
    found = {way: Clock() for way in ("file to label", "decoding", "bare onnxruntime")}
    for _ in range(rounds):
        for file in files[2:]:
            tensor = prepare.run(None, {"image": images.read(file)[None]})[0]
            _forget(files)
            with found["file to label"]:
                labels[int(opened.predict([images.read(file)]).probabilities[0].argmax())]
            with found["bare onnxruntime"]:
                session.run(["probabilities"], {name: tensor})
            _forget(files)
            with found["decoding"]:
                images.read(file)
    return found


def _forget(files: list[Path]) -> None:
    """The last two images are kept decoded, which must not help here."""
    images.read(files[0]), images.read(files[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--images", dest="count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    found = sorted(f for f in options.images.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg"))
    files = found[:: max(1, len(found) // options.count)][: options.count + 2]
    side = Runtime.open(options.bundle, threads=1).bundle.card["backbone"]["image_size"]
    width, height = images.size(files[2])
    times = measure(options.bundle, files, options.rounds)
    print(f"{options.bundle.name}, network at {side} px, JPEG of {width} x {height} px, batch 1, one core,", end=" ")
    print(f"{len(files) - 2} photographs, {options.rounds} rounds:\n")
    print("| way | p50 ms | p95 ms | processor p50 ms | processor p95 ms |\n| --- | --- | --- | --- | --- |")
    for way, clock in times.items():
        columns = [np.quantile(values, q) for values in (clock.wall, clock.cpu) for q in (0.5, 0.95)]
        print(f"| {way} | {' | '.join(f'{c:.2f}' for c in columns)} |")
    for what in ("wall", "cpu"):
        whole, alone = (np.array(getattr(times[way], what)) for way in ("file to label", "bare onnxruntime"))
        parts = [np.median(r) for r in np.array_split(whole / alone, 10)]
        name = "wall" if what == "wall" else "processor"
        print(f"\nratio of {name} time, median over photographs: {np.median(whole / alone):.2f} ", end="")
        print(f"[{min(parts):.2f} .. {max(parts):.2f} over tenths of the run]")


if __name__ == "__main__":
    main()
