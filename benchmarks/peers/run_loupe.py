"""Loupe by its command, then the bundle's Python runtime on the test images."""

from exchange import BACKBONE, BACKBONE_ARGS, MEAN, STD, answer, elapsed, task  # isort: skip

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from shared.data import images
from shared.inference import Runtime


def main() -> None:
    todo = task()
    bundle = todo.folder / "peer.bundle"
    settings = {
        "mean": list(MEAN),
        "std": list(STD),
        "backbone_args": "{" + ", ".join(f'{k} = "{v}"' for k, v in BACKBONE_ARGS.items()) + "}",
        "seed": todo.seed,
        "threads": todo.threads,
    }
    line = [Path(sys.executable).parent / "loupe", "build", todo.table, "-o", bundle, "--json"]
    line += ["--backbone", BACKBONE, "--weights", todo.weights, "--cache", todo.folder / "cache"]
    line += ["--budget", f"{todo.left:.1f}s", *(f"--set={k}={v}" for k, v in settings.items()), *todo.options]
    code = subprocess.run(line, stdout=subprocess.DEVNULL).returncode
    if code:
        sys.exit(code)
    seconds = elapsed()
    runtime = Runtime.open(bundle, threads=todo.threads)
    found = runtime.predict([images.read(Path(case.path)) for case in todo.test]).probabilities.argmax(1)
    answer(
        todo,
        [runtime.labels[i] for i in found],
        version=version("loupe-vision"),
        start="ImageNet stand-in",
        trained_seconds=seconds,
        note=" ".join(todo.options),
    )


if __name__ == "__main__":
    main()
