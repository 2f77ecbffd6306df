"""The clinic's verbs as a person types them, in processes of their own."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from verticals.medical.synth import synth

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
LOUPE = Path(sys.executable).parent / "loupe"


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([LOUPE, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synth(tmp_path_factory.mktemp("drawn"), seed=5, small=True, lesions=2)


def test_deidentify_writes_files_without_the_person_and_receipts(drawn: Path, tmp_path: Path) -> None:
    count = len(list(drawn.rglob("*.dcm")))
    done = run("deidentify", drawn, "-o", tmp_path / "out", "--key", tmp_path / "key", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (drawn / "labels.csv").is_file() and facts["problems"] == [], "a table is no picture that was refused"
    assert len(facts["files"]) == count and len(list((tmp_path / "out").glob("*.receipt.json"))) == count
    originals = {str(pydicom.dcmread(f).PatientID) for f in drawn.rglob("*.dcm")}
    made = [pydicom.dcmread(f) for f in facts["files"]]
    assert all(str(m.PatientID) not in originals and m.PatientIdentityRemoved == "YES" for m in made)
    assert any("face" in note for note in facts["remaining"])
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_deidentify_says_that_it_refused_and_where_the_names_are(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    first = pydicom.dcmread(next(drawn.rglob("*.dcm")))
    for name, patient in (("a_Jane.dcm", "P1"), ("b_Jane.dcm", "P1"), ("c_Jane.dcm", "P2")):
        first.PatientID = patient
        first.save_as(tmp_path / "in" / name)
    (tmp_path / "in" / "d_Jane.jpg").write_bytes(b"a photograph that is no DICOM object")
    (tmp_path / "in" / "README.txt").write_text("about Jane")
    line = ("deidentify", tmp_path / "in", "-o", tmp_path / "out", "--key", tmp_path / "key")
    done = run(*line)
    assert done.returncode == 2, "a script must not take what was made for the whole"
    assert done.stdout.startswith("1 files without their person") and "1 had the very content" in done.stdout
    assert "file 3 of 4: another object with the same SOP Instance UID" in done.stdout
    assert done.stderr.startswith("loupe: 2 files were refused") and "key.refused.csv" in done.stderr
    assert "Jane" not in done.stdout + done.stderr and len(done.stderr.splitlines()) == 1
    assert "c_Jane.dcm" in (tmp_path / "key.refused.csv").read_text()
    told = run(*line, "--json")
    facts = json.loads(told.stdout)
    assert told.returncode == 2 and len(facts["files"]) == 1 and len(facts["problems"]) == 2


def test_a_key_beside_the_result_is_refused(drawn: Path, tmp_path: Path) -> None:
    done = run("deidentify", drawn, "-o", tmp_path, "--key", tmp_path / "key")
    assert done.returncode == 2 and "keep it elsewhere" in done.stderr and not list(tmp_path.iterdir())


def test_inbox_receives_over_the_network_and_ends_with_ctrl_c(drawn: Path, tmp_path: Path) -> None:
    storescu = shutil.which("storescu")
    if storescu is None:
        pytest.skip("dcmtk is not installed")
    file = next(
        f for f in sorted(drawn.rglob("*.dcm")) if not pydicom.dcmread(f).file_meta.TransferSyntaxUID.is_compressed
    )
    line = [LOUPE, "inbox", tmp_path / "in", "--port", "0", "--ae-title", "CLINIC", "--allow", "CAMERA", "--json"]
    inbox = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    watch = threading.Timer(60, inbox.kill)
    watch.start()
    try:
        assert inbox.stdout is not None
        port = str(json.loads(inbox.stdout.readline())["port"])
        sent = [storescu, "-aec", "CLINIC", "127.0.0.1", port, str(file)]
        refused = subprocess.run([sent[0], "-aet", "STRANGER", *sent[1:]], capture_output=True, text=True)
        assert refused.returncode != 0 and not list((tmp_path / "in" / "objects").iterdir())
        taken = subprocess.run([sent[0], "-aet", "CAMERA", *sent[1:]], capture_output=True, text=True)
        assert taken.returncode == 0, taken.stderr
        assert len(list((tmp_path / "in" / "objects").glob("*.dcm"))) == 1
        inbox.send_signal(signal.SIGINT)
        assert inbox.wait(timeout=30) == 0
    finally:
        watch.cancel()
        inbox.kill()
        inbox.communicate()


def test_an_inbox_open_to_anyone_beyond_this_machine_is_refused(tmp_path: Path) -> None:
    done = run("inbox", tmp_path / "in", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2 and "AE titles that are allowed" in done.stderr


def test_a_folder_without_files_and_a_port_that_is_none_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("deidentify", tmp_path / "empty", "-o", tmp_path / "out", "--key", tmp_path / "key")
    assert done.returncode == 2 and "holds no picture" in done.stderr and len(done.stderr.splitlines()) == 1
    done = run("inbox", tmp_path / "in", "--port", "99999")
    assert done.returncode == 2 and "choose another port" in done.stderr and len(done.stderr.splitlines()) == 1


def test_triage_without_a_bundle_is_one_sentence(drawn: Path, tmp_path: Path) -> None:
    done = run("triage", tmp_path / "none.bundle", next(drawn.rglob("*.dcm")))
    assert done.returncode == 2 and "none.bundle" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
