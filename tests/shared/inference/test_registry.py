"""The registry names a whole bundle after every step and every kill, and comes back to the one before."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.errors import BundleError
from shared.inference import Runtime, registry
from shared.inference import bundle as bundles
from tests.conftest import ROOT, texture


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
        said.append(Runtime.open(path).predict(picture).probabilities)
    kept = sorted(p.name for p in (path / registry.VERSIONS).iterdir())
    assert kept == sorted(bundles.load(v).hash[:12] for v in made[1:])
    back = registry.roll_back(path)
    assert back.current == bundles.load(made[1]).hash and back.previous == bundles.load(made[2]).hash
    np.testing.assert_array_equal(Runtime.open(path).predict(picture).probabilities, said[1])
    assert (back.bundle / "model.onnx").read_bytes() == (made[1] / "model.onnx").read_bytes()
    assert [e["step"] for e in registry.history(path)] == ["promote", "promote", "promote", "roll back"]


def test_a_version_that_does_not_fit_on_the_disk_is_one_fault_and_the_one_before_answers(
    bundle: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of a file")
    first, second = versions(bundle, tmp_path, 2)
    path = tmp_path / "registry"
    before = registry.promote(path, first, {})
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            registry.promote(path, second, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert caught.value.strerror and str(path) in str(caught.value.filename2), "one file, where it was to be written"
    assert registry.read(path).current == before.current and Runtime.open(path).labels
    assert [p.name for p in (path / registry.VERSIONS).iterdir()] == [before.current[:12]]


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


PROMOTING = """
import sys
from pathlib import Path
from shared.inference import registry

print("ready", flush=True)
sys.stdin.readline()
for name in sys.argv[2:]:
    registry.promote(Path(sys.argv[1]), Path(name), {})
"""


def test_two_that_promote_at_once_leave_a_whole_registry_and_every_step_in_its_record(
    bundle: Path, tmp_path: Path
) -> None:
    made, path, rounds = versions(bundle, tmp_path, 4), tmp_path / "registry", 8
    # Small, so that more of the time goes to what the two could do to each other.
    for version in made:
        (version / bundles.MODEL).write_bytes(b"no model")
        card = json.loads((version / bundles.CARD).read_text())
        bundles.seal(version, {k: v for k, v in card.items() if k not in ("files", "bundle_hash")})
    start = [sys.executable, "-c", PROMOTING, str(path)]
    both = [
        subprocess.Popen([*start, *map(str, made[i::2] * rounds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, cwd=ROOT)
        for i in (0, 1)
    ]  # fmt: skip
    for one in both:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    ended = []
    for one in both:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in both:
        ended.append((one.communicate(timeout=120)[1], one.returncode))
    assert ended == [("", 0), ("", 0)]
    found = registry.read(path)
    kept = sorted(p.name for p in (path / registry.VERSIONS).iterdir())
    assert kept == sorted({found.current[:12], found.previous[:12]})
    assert [e["n"] for e in registry.history(path)] == list(range(1, 4 * rounds + 1))


KILLED = """
import os, signal, sys
from pathlib import Path
from shared.inference import registry

STEPS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.copyfile")


def killed_before(number, path):
    \"""Kill this process before its so manyth change of a file below a folder.\"""
    done = 0

    def watch(event, arguments):
        nonlocal done
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in STEPS) and any(path in str(a) for a in arguments[:2]):
            done += 1
            if done == number:
                print(event, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


for line in sys.stdin:
    path, what, number = line.split()
    child = os.fork()
    if not child:
        killed_before(int(number), path)
        registry.roll_back(Path(path)) if what == "back" else registry.promote(Path(path), Path(what), {"gate": "g"})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else f"done {status}", flush=True)
"""


@pytest.mark.long
@pytest.mark.parametrize("versions_before", [0, 1, 3, "back"])
def test_killed_before_every_change_of_a_file_the_registry_is_whole(
    versions_before: int | str, bundle: Path, tmp_path: Path
) -> None:
    rolling = versions_before == "back"
    before = 2 if rolling else int(versions_before)
    made, start = versions(bundle, tmp_path, before + 1), tmp_path / "start"
    for version in made[:before]:
        registry.promote(start, version, {})
    old = registry.read(start) if before else None
    wanted = old.previous if rolling and old else bundles.load(made[-1]).hash
    helper = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert helper.stdin is not None and helper.stdout is not None
    seen, number, ended = [], 0, ""
    while ended != "done 0":
        number += 1
        path = tmp_path / f"killed{number}"
        shutil.copytree(start, path) if before else path.mkdir()
        print(path, "back" if rolling else made[-1], number, file=helper.stdin, flush=True)
        said = helper.stdout.readline().strip()
        ended = said if said.startswith("done") else helper.stdout.readline().strip()
        seen.append(said)
        assert ended in ("killed", "done 0"), ended
        found = registry.read(path)
        assert found.current in {old.current if old else "", wanted}
        entries = registry.history(path)
        if found.current:
            assert bundles.load(found.bundle).hash == found.current
            assert found.current in {e["to"] for e in entries[-2:]}
        if found.previous:
            assert bundles.load(path / registry.VERSIONS / found.previous[:12]).hash == found.previous
        # The next one is not in the way of what the killed one left.
        again = registry.promote(path, made[-1], {})
        assert bundles.load(again.bundle).hash == bundles.load(made[-1]).hash
        shutil.rmtree(path)
    helper.communicate(timeout=30)
    assert found.current == wanted and "os.rename" in seen and "open" in seen
    assert (before < 3) or "os.rmdir" in seen  # the version that is no longer kept
