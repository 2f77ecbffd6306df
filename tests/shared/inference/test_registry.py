"""The registry names a whole bundle after every step and every kill, and comes back to the one before."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from shared.errors import BundleError
from shared.inference import Runtime, registry
from shared.inference import bundle as bundles
from tests.conftest import texture


def versions(bundle: Path, folder: Path, n: int) -> list[Path]:
    """The same model under ``n`` hashes."""
    made = []
    for i in range(n):
        path = folder / f"v{i}.bundle"
        shutil.copytree(bundle, path)
        (path / "MODEL_CARD.md").write_text(f"version {i}")
        bundles.seal(path, {k: v for k, v in bundles.load(bundle).card.items() if k not in ("files", "bundle_hash")})
        made.append(path)
    return made


def test_the_last_two_versions_are_kept_and_rolling_back_gives_the_same_answers(bundle: Path, tmp_path: Path) -> None:
    made, path = versions(bundle, tmp_path, 3), tmp_path / "registry"
    picture = [texture("scratch", 5)]
    said = []
    for version in made:
        registry.promote(path, version, {"gate": "g"})
        said.append(Runtime.open(registry.resolve(path)).predict(picture).probabilities)
    kept = sorted(p.name for p in (path / registry.VERSIONS).iterdir())
    assert kept == sorted(bundles.load(v).hash[:12] for v in made[1:])
    back = registry.roll_back(path)
    assert back.current == bundles.load(made[1]).hash and back.previous == bundles.load(made[2]).hash
    np.testing.assert_array_equal(Runtime.open(registry.resolve(path)).predict(picture).probabilities, said[1])
    assert (back.bundle / "model.onnx").read_bytes() == (made[1] / "model.onnx").read_bytes()
    assert [e["step"] for e in registry.history(path)] == ["promote", "promote", "promote", "roll back"]


def test_an_altered_record_or_a_missing_version_is_named(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "registry"
    for version in versions(bundle, tmp_path, 2):
        registry.promote(path, version, {})
    record = path / registry.RECORD
    whole = record.read_text()
    record.write_text(whole.replace("promote", "approve", 1))
    with pytest.raises(BundleError, match=r"record.jsonl line 1: was altered"):
        registry.history(path)
    record.write_text(whole.split("\n", 1)[1])
    with pytest.raises(BundleError, match="line 1"):
        registry.roll_back(path)
    record.write_text(whole)
    shutil.rmtree(registry.resolve(path))
    with pytest.raises(BundleError, match="is missing; restore"):
        registry.read(path)


def test_with_one_version_there_is_nothing_to_roll_back_to(bundle: Path, tmp_path: Path) -> None:
    registry.promote(tmp_path / "registry", bundle, {})
    with pytest.raises(BundleError, match="no version before"):
        registry.roll_back(tmp_path / "registry")


WRITER = """
import sys
from pathlib import Path
from shared.inference import registry
path, *made = map(Path, sys.argv[1:])
print("ready", flush=True)
while True:
    for version in made:
        registry.promote(path, version, {"gate": "g"})
    registry.roll_back(path)
"""


@pytest.mark.long
def test_killed_at_every_step_the_registry_names_a_whole_bundle(bundle: Path, tmp_path: Path) -> None:
    made, path = versions(bundle, tmp_path, 3), tmp_path / "registry"
    registry.promote(path, made[0], {})
    steps = 0
    for i in range(12):
        line = [sys.executable, "-c", WRITER, str(path), *map(str, made)]
        writer = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        time.sleep(0.01 + 0.037 * i)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        found = registry.read(path)
        assert bundles.load(found.bundle).hash == found.current
        entries = registry.history(path)
        assert found.current in {e["to"] for e in entries[-2:]}
        steps = len(entries)
    assert steps > 12
