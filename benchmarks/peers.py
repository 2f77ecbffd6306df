"""Loupe against what people use today: same images, same split, same cores, same time, same starting weights.

    python benchmarks/peers.py PHOTOGRAPHS --weights FILE [--sets ...] [--tools ...] [--budget 10m] [--envs DIR]
    python benchmarks/peers.py PHOTOGRAPHS --table-only

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group); FILE are the weights of mobilenetv2_100.
Every tool gets the same table: training and validation images to learn from and to stop early, test images to predict
once. What is split is components (equal groups, copies and near-copies). Every tool runs in an environment of its own,
on two cores, and must have its model within the budget, its start included; predicting the test images comes after it.
Results are kept in ``--out``, so that runs can be spread over time; the tables are printed from it.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from shared.data import images, sources, splits
from shared.data.manifest import Manifest
from shared.deadline import parse_seconds
from shared.errors import DataError
from shared.recipe import Recipe

RUNNERS = Path(__file__).parent / "peers"
RESULTS = Path(__file__).parent / "results" / "peers.json"
sys.path.insert(0, str(RUNNERS))
import environments  # noqa: E402
import kept  # noqa: E402
import table  # noqa: E402

SETS = (
    "industrial/magnetic_tile",
    "industrial/neu_surface",
    "industrial/deeppcb",
    "medical/ham10000",
    "medical/isic_7class",
    "agriculture/bean_leaf",
    "agriculture/deepweeds",
    "agriculture/plantvillage_apple",
    "agriculture/rice_leaf",
)
TOOLS = ("loupe", "fastai", "autogluon", "timm", "sklearn")
CORES = 2
GRACE_SECONDS = 300.0
"""After twice the budget and this, a tool is stopped: some predict slowly, some overrun."""


def prepare(data: Path, seed: int, folder: Path) -> Path:
    """Split a set and write the table that every tool gets: absolute path, label, component, split."""
    manifest, problems = sources.read(data)
    manifest, report, components = splits.split(_decodable(manifest), Recipe(seed=seed))
    print(f"{data}: {len(problems)} left out; {report}", file=sys.stderr, flush=True)
    out = folder / "images.csv"
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "group", "split"])
        for row in manifest.rows:
            path = manifest.file(row.sample).resolve()
            writer.writerow([path, row.label, f"component {components[row.sample.id]}", row.split])
    return out


def _decodable(manifest: Manifest) -> Manifest:
    """Without images that cannot be decoded: some tools would stop at them."""
    kept = []
    for row in manifest.rows:
        try:
            images.read(manifest.file(row.sample))
        except DataError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            kept.append(row)
    return manifest.with_rows(kept)


def run(tool: str, listed: Path, folder: Path, options: argparse.Namespace, extra: list[str]) -> dict[str, Any]:
    """Let one tool do its work; what goes wrong is a reason in the table."""
    runner = RUNNERS / f"run_{tool}.py"
    try:
        python = environments.interpreter(runner, options.envs)
    except (RuntimeError, OSError) as error:
        return {"reason": str(error)}
    seconds = parse_seconds(options.budget)
    line = [*_pinned(), str(python), str(runner), str(listed), "--weights", str(options.weights.resolve())]
    line += ["--seconds", str(seconds), "--seed", str(options.seed), "--threads", str(CORES), "--folder", str(folder)]
    started, cpu, busy = time.monotonic(), _cpu_seconds(), _busy_seconds()
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                [*line, *extra],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd=folder,
                timeout=2 * seconds + GRACE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {"reason": f"stopped after {time.monotonic() - started:.0f} s"}
    spent = round(time.monotonic() - started, 1)
    if done.returncode:
        said = [text for text in log.read_text(encoding="utf-8", errors="replace").splitlines() if text.strip()]
        print("\n".join(said[-25:]), file=sys.stderr)
        return {"reason": (said or [f"exit code {done.returncode}"])[-1][:300]}
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    cpu = _cpu_seconds() - cpu
    others = max(0.0, _busy_seconds() - busy - cpu) / spent
    used = {"seconds": spent, "cpu_seconds": round(cpu, 1), "others_cores": round(others, 2)}
    return {**facts, **used, "cases": _cases(listed, folder / "predictions.csv", options.photographs)}


def _cpu_seconds() -> float:
    """Of all children so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _busy_seconds() -> float:
    """CPU seconds of the whole machine so far (proc(5): user, nice, system); 0 where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0.0
    first = stat.read_text(encoding="ascii").split("\n", 1)[0]
    return sum(map(int, first.split()[1:4])) / os.sysconf("SC_CLK_TCK")


def _pinned() -> list[str]:
    """To the first cores that this process may use, where the system can."""
    if shutil.which("taskset") is None:
        return []
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[:CORES]))]


def _environment() -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(CORES))
    return {**os.environ, **threads, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


def _cases(listed: Path, predictions: Path, photographs: Path) -> list[dict[str, str]]:
    """Every test image with its truth and what was said."""
    with predictions.open(encoding="utf-8", newline="") as stream:
        said = {row["path"]: row["predicted"] for row in csv.DictReader(stream)}
    root = photographs.resolve()
    with listed.open(encoding="utf-8", newline="") as stream:
        return [
            {
                "path": Path(row["path"]).relative_to(root).as_posix(),
                "label": row["label"],
                "group": row["group"],
                "predicted": said[row["path"]],
            }
            for row in csv.DictReader(stream)
            if row["split"] == "test"
        ]


def measure_set(name: str, options: argparse.Namespace) -> None:
    """All tools on one set; each result is kept as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        listed = prepare(options.photographs / name / "labels.csv", options.seed, Path(temporary))
        for tool in options.tools:
            folder = Path(temporary) / tool
            folder.mkdir()
            extra = options.loupe.split() if tool == table.LOUPE else []
            record = {
                "set": name,
                "tool": tool,
                "options": " ".join(extra),
                "budget": parse_seconds(options.budget),
                "seed": options.seed,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                **run(tool, listed, folder, options, extra),
            }
            kept.add(options.out, record)
            said = record.get("reason") or f"{100 * table.measure(record)['value']:.1f} % in {record['seconds']} s"
            print(f"{name} {tool}: {said}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--weights", type=Path, help="safetensors file of mobilenetv2_100")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=TOOLS)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--envs", type=Path, default=user_cache_path("loupe") / "peers")
    parser.add_argument("--loupe", default="", help="further arguments of loupe build, as one text")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table-only", action="store_true", help="print what is kept, run nothing")
    options = parser.parse_args()
    if not options.table_only:
        if options.weights is None or not options.weights.is_file():
            parser.error("--weights must be a safetensors file of mobilenetv2_100")
        for name in options.sets:
            measure_set(name, options)
    print(table.markdown(table.newest(kept.read(options.out), options.sets, options.tools)))


if __name__ == "__main__":
    main()
