"""Many frames over many processes by Ray: shards that are answered whole or not at all, and taken up after a kill.

Each shard's answers are one file. A shard that is there is not looked at again, so that a worker may die and a second
run goes on where the first one ended; every frame is in exactly one shard and in the result exactly once.
"""

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared import atomic, decisions
from shared.data import ingested
from shared.errors import DataError, require
from shared.inference import Bundle, Runtime
from shared.records import Sample, Verdict
from shared.vertical import Ingested
from verticals.answering import answered

FRAMES = 64
"""Frames of a shard: seconds of work, so that little is lost with a worker."""
KEY, WORK = "key", "work"


def predict(
    bundle: Bundle, found: Ingested, folder: Path, out: Path, *, policy: Path | None, workers: int
) -> Counter[str]:
    """Decide about every frame; the lines go to ``out`` in the order of the frames.

    Ray is started on this machine, or joined where the environment names a cluster (``RAY_ADDRESS``); on a cluster all
    machines must see ``bundle``, ``folder`` and ``out`` under the same paths.

    Args:
        bundle: A checked bundle.
        found: What was ingested.
        folder: Where its Samples' paths start.
        out: File of JSON lines.
        policy: The site's policy.
        workers: Processes, each with one thread.

    Returns:
        Frames by verdict.

    Raises:
        DataError: A shard is missing at the end.
    """
    home = out.with_name(out.name + ".shards")
    parts = list(shards(found))
    _prepare(home, found, _key(bundle, found, policy))
    wanted = [i for i in range(len(parts)) if not _file(home, i).is_file()]
    if wanted:
        _run(bundle.path, wanted, folder, home, policy, workers)
    missing = [i for i in wanted if not _file(home, i).is_file()]
    if missing:
        raise DataError(f"{home}: {len(missing)} of {len(parts)} shards were not answered; run it again, it goes on")
    counts: Counter[str] = Counter()
    with decisions.writer(out) as stream:
        for i in range(len(parts)):
            text = _file(home, i).read_text(encoding="utf-8")
            stream.write(text)
            counts.update(Verdict(json.loads(line)["verdict"]) for line in text.splitlines())
    shutil.rmtree(home)
    return counts


def shards(found: Ingested) -> Iterator[Ingested]:
    """Parts of at most :data:`FRAMES` frames, in order; problems about frames without Samples make the last one."""
    frames: dict[str, list[Sample]] = defaultdict(list)
    for sample in found.samples:
        frames[sample.frame].append(sample)
    names = list(frames)
    for start in range(0, len(names), FRAMES):
        own = set(names[start : start + FRAMES])
        yield replace(
            found,
            samples=tuple(s for name in names[start : start + FRAMES] for s in frames[name]),
            skipped={name: share for name, share in found.skipped.items() if name in own},
            problems=tuple(p for p in found.problems if p.where in own),
            truth=(),
        )
    rest = tuple(p for p in found.problems if p.where not in frames)
    if rest:
        yield replace(found, samples=(), skipped={}, problems=rest, truth=())


class Looker:
    """A worker: one open bundle, shard after shard. What it works on lies in files, so that it can be started again."""

    def __init__(self, bundle: str, folder: str, home: str, policy: str) -> None:
        self._runtime = Runtime.open(Path(bundle), threads=1)
        self._folder, self._home = Path(folder), Path(home)
        self._policy = Path(policy) if policy else None
        self._parts = list(shards(ingested.load(self._home / WORK)))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer the shards of a batch; what is there already stays."""
        for number in batch["shard"].tolist():
            file = _file(self._home, number)
            if not file.is_file():
                part = self._parts[number]
                lines = [json.dumps(line) for _, line in answered(self._runtime, part, self._folder, self._policy)]
                atomic.write(file, "".join(line + "\n" for line in lines))
        return {"shard": batch["shard"]}


def _run(bundle: Path, wanted: list[int], folder: Path, home: Path, policy: Path | None, workers: int) -> None:
    ray = require("ray", extra="scale")
    data = require("ray.data", extra="scale")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    local: dict[str, Any] = {}
    if "RAY_ADDRESS" not in os.environ:
        local = {"num_cpus": workers, "include_dashboard": False}
        # On one machine a node that does not answer is busy, not gone.
        os.environ.setdefault("RAY_health_check_failure_threshold", "120")
        # Ray would make its workers nicer than the process that waits for them.
        os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(**local, log_to_driver=False, logging_level="ERROR")
    try:
        arguments = tuple(map(str, (bundle.resolve(), folder.resolve(), home.resolve(), policy or "")))
        looked = data.from_items([{"shard": i} for i in wanted], override_num_blocks=len(wanted)).map_batches(
            Looker,
            fn_constructor_args=arguments,
            batch_size=1,
            compute=data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        for _ in looked.iter_batches(batch_size=None):
            pass
    finally:
        ray.shutdown()


def _file(home: Path, number: int) -> Path:
    return home / f"{number:06}.jsonl"


def _key(bundle: Bundle, found: Ingested, policy: Path | None) -> str:
    """Names the work: other images, scales or parts, another bundle or policy must not take up these shards."""
    said = [bundle.hash, policy.read_text(encoding="utf-8") if policy else ""]
    said += [repr(s) for s in found.samples] + [str(p) for p in found.problems]
    said += [repr(sorted(facts.items())) for facts in (found.skipped, found.groups)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def _prepare(home: Path, found: Ingested, key: str) -> None:
    if home.is_dir() and (not (home / KEY).is_file() or (home / KEY).read_text(encoding="utf-8") != key):
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    ingested.save(found, home / WORK, "")
    atomic.write(home / KEY, key)
