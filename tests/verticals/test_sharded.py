"""Frames shared among processes: each answered once, also when a worker is killed, and taken up by a second run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.errors import Problem
from shared.inference import Runtime
from shared.records import Box, Sample
from shared.vertical import Ingested
from tests.conftest import texture
from verticals import sharded

FLOAT = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
LOUPE = str(Path(sys.executable).parent / "loupe")


def test_every_frame_and_every_problem_is_in_one_shard() -> None:
    samples = tuple(Sample(f"{i}", f"{i}.png", 1, 1, frame=f"f{i // 2}") for i in range(300))
    found = Ingested(samples, {}, (Problem("f3", "torn"), Problem("lost.tif", "empty")), {"f140": 0.5})
    parts = list(sharded.shards(found))
    assert [s for part in parts for s in part.samples] == list(samples)
    assert [len({s.frame for s in part.samples}) for part in parts] == [64, 64, 22, 0]
    assert [len(part.problems) for part in parts] == [1, 0, 0, 1] and parts[2].skipped == {"f140": 0.5}


def test_shards_of_a_killed_run_are_not_those_of_a_corrected_scale_or_part(bundle: Path, tmp_path: Path) -> None:
    opened = Runtime.open(bundle).bundle
    sample = Sample("1", "a.png", 8, 8, frame="a", mm_per_px=(0.05, 0.05), provenance={"camera": "left"})
    found = Ingested((sample,), {}, groups={"a": "roll 1"})
    others = (
        replace(found, samples=(replace(sample, mm_per_px=(0.04, 0.04)),)),
        replace(found, samples=(replace(sample, core=Box(0, 0, 4, 8)),)),
        replace(found, groups={"a": "roll 2"}),
        replace(found, skipped={"a": 0.1}),
    )
    key = sharded._key(opened, found, None)
    assert key == sharded._key(opened, replace(found, samples=(replace(sample),)), None)
    assert key not in {sharded._key(opened, other, None) for other in others}


def workers_of(pid: int) -> list[int]:
    """Processes of Ray's actors below a process."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    below, found = {pid}, []
    for _ in range(6):
        below |= {int(own) for own, parent, _ in rows if int(parent) in below}
    for own, _, command in rows:
        if int(own) in below and command.startswith("ray::MapWorker"):
            found.append(int(own))
    return found


@pytest.mark.long
def test_a_killed_worker_loses_nothing_and_the_answers_are_those_of_one_process(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra scale is not installed")
    images, out = tmp_path / "images", tmp_path / "many.jsonl"
    images.mkdir()
    for i in range(60):
        cv2.imwrite(str(images / f"{i:04}.png"), texture(("ok", "scratch", "spot")[i % 3], i))
    for i in range(60, 2000):
        os.link(images / f"{i % 60:04}.png", images / f"{i:04}.png")
    (images / "torn.png").write_bytes((images / "0000.png").read_bytes()[:300])
    line = [LOUPE, "predict", str(bundle), str(images), "-o", str(out), "--engine", "ray", "--workers", "2"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    shards = out.with_name(out.name + ".shards")
    killed: list[int] = []
    while process.poll() is None and not killed:
        if len(list(shards.glob("*.jsonl"))) >= 5:
            killed = workers_of(process.pid)[:1]
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0 and killed, said
    alone = tmp_path / "alone.jsonl"
    subprocess.run([LOUPE, "predict", str(bundle), str(images), "-o", str(alone)], check=True, capture_output=True)
    together, apart = (FLOAT.sub("#", file.read_text()) for file in (out, alone))
    assert together == apart and not shards.exists()
    # One thread and several may round the last bit of a sum differently, which depends on the processor.
    numbers = [np.array(FLOAT.findall(file.read_text()), float) for file in (out, alone)]
    np.testing.assert_allclose(*numbers, atol=1e-5)
    frames = [json.loads(text)["frame"] for text in out.read_text().splitlines()]
    assert len(frames) == len(set(frames)) == 2001


@pytest.mark.long
def test_a_killed_run_is_taken_up_by_the_next(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra scale is not installed")
    images, out = tmp_path / "images", tmp_path / "many.jsonl"
    images.mkdir()
    for i in range(200):
        cv2.imwrite(str(images / f"{i:04}.png"), texture("ok", i))
    line = [LOUPE, "predict", str(bundle), str(images), "-o", str(out), "--engine", "ray", "--json"]
    subprocess.run(line, check=True, capture_output=True)
    expected = out.read_text().splitlines(keepends=True)
    shards = out.with_name(out.name + ".shards")
    shutil.copytree(bundle, tmp_path / "copy.bundle")
    # As a run leaves it that was killed after two of four shards, one of them recognisable.
    from shared.data import sources
    from shared.inference import bundle as bundles

    samples, _, problems = sources.samples(images)
    key = sharded._key(bundles.load(bundle), Ingested(samples, {}, problems), None)
    sharded._prepare(shards, Ingested(samples, {}, problems), key)
    marked = [text.replace('"notes": []', '"notes": ["kept"]') for text in expected]
    sharded._file(shards, 0).write_text("".join(marked[:64]))
    sharded._file(shards, 2).write_text("".join(expected[128:192]))
    subprocess.run(line, check=True, capture_output=True)
    assert out.read_text().splitlines(keepends=True) == marked[:64] + expected[64:]
