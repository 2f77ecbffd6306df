"""The inbox against the senders of dcmtk on the loopback: what is acknowledged is on disk, whole and once."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from shared.errors import ConfigError, DataError
from verticals.medical.dicom import keep
from verticals.medical.dicom.inbox import SOP_CLASSES, listening

# Where an abort meets a connection that is closing already, pynetdicom's state machine raises in its own thread
# (event Evt15 in state Sta13): nothing is left to be done there. What our handlers raise is not in that thread.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception in thread .*run_reactor:pytest.PytestUnhandledThreadExceptionWarning"
)

ROOT = Path(__file__).resolve().parents[4]
VL, DERMOSCOPIC, CT = "1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.5.1.4.1.1.77.1.7", "1.2.840.10008.5.1.4.1.1.2"
SC = "1.2.840.10008.5.1.4.1.1.7"


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} of dcmtk is not installed")
    return found


def objekt(uid: str, *, sop_class: str = VL, side: int = 8, seed: int = 0) -> Dataset:
    """A small colour image."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = sop_class, uid
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    image.PatientID, image.PatientName, image.Modality = "PAT-4711", "Doe^Jane", "XC"
    image.Rows = image.Columns = side
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def saved(image: Dataset, path: Path) -> Path:
    image.save_as(path, enforce_file_format=True)
    return path


def dcmsend(port: int, *files: Path, title: str = "INBOX", caller: str = "CAMERA") -> subprocess.CompletedProcess[str]:
    command = [
        tool("dcmsend"),
        "-v",
        "-nh",
        "--decompress-never",
        "-aec",
        title,
        "-aet",
        caller,
        "127.0.0.1",
        str(port),
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def objects(folder: Path) -> list[Path]:
    return sorted((folder / keep.OBJECTS).iterdir())


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    folder = tmp_path / "inbox"
    with listening(folder, 0, "INBOX", allowed=["CAMERA"]) as port:
        yield port, folder


@contextmanager
def server_process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The inbox as its verb runs it, in a process of its own, that can be killed."""
    code = "from verticals.cli import main; main()"
    words = ["inbox", str(folder), "--port", "0", "--ae-title", "INBOX", "--allow", "CAMERA", "--json"]
    folder.mkdir(parents=True, exist_ok=True)
    with said_by(folder).open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
        )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, said_by(folder).read_text()
            yield process, int(json.loads(line)["port"])
        finally:
            process.kill()


def said_by(folder: Path) -> Path:
    """Where the process's log goes: a pipe that nobody reads would stop it."""
    return folder.with_suffix(".log")


def test_an_echo_is_answered_and_a_stranger_or_a_wrong_title_is_not(inbox: tuple[int, Path]) -> None:
    port, _ = inbox

    def echo(caller: str, called: str) -> int:
        command = [tool("echoscu"), "-aet", caller, "-aec", called, "127.0.0.1", str(port)]
        return subprocess.run(command, capture_output=True, timeout=60).returncode

    assert echo("CAMERA", "INBOX") == 0
    assert echo("STRANGER", "INBOX") != 0
    assert echo("CAMERA", "OTHER") != 0


@pytest.mark.parametrize(
    "encoder", ["", "dcmcjpeg +eb", "dcmcjpeg +e1", "dcmcjpls", "dcmcrle", "dcmconv +ti", "dcmconv +td"]
)
@pytest.mark.parametrize("sop_class", [VL, DERMOSCOPIC, SC])
def test_every_encoding_arrives_bit_by_bit(
    inbox: tuple[int, Path], tmp_path: Path, encoder: str, sop_class: str
) -> None:
    port, folder = inbox
    sent = saved(objekt("1.2.3.77", sop_class=sop_class, side=32), tmp_path / "plain.dcm")
    if encoder:
        name, *options = encoder.split()
        coded = tmp_path / "coded.dcm"
        subprocess.run([tool(name), *options, str(sent), str(coded)], check=True, capture_output=True)
        sent = coded
    before = dcmread(sent)
    if encoder == "dcmconv +ti":
        command = [tool("storescu"), "-R", "-xi", "-aet", "CAMERA", "-aec", "INBOX", "127.0.0.1", str(port), str(sent)]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    else:
        done = dcmsend(port, sent)
        assert done.returncode == 0, done.stderr
    (path,) = objects(folder)
    after = dcmread(path)
    # Of the uncompressed syntaxes dcmsend offers several at once, and the first is taken.
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID or not encoder
    assert after.PixelData == before.PixelData and after.PatientName == "Doe^Jane"
    assert path.name == keep.name(str(before.SOPInstanceUID))


def test_other_objects_are_refused_by_name_and_the_images_beside_them_go_through(
    inbox: tuple[int, Path], tmp_path: Path
) -> None:
    port, folder = inbox
    files = [
        saved(objekt("1.2.3.1"), tmp_path / "a.dcm"),
        saved(objekt("1.2.3.2", sop_class=CT), tmp_path / "b.dcm"),
        saved(objekt("1.2.3.3", sop_class=DERMOSCOPIC), tmp_path / "c.dcm"),
    ]
    done = dcmsend(port, *files)
    assert re.search(r"NOT sent to the peer\s+: 1$", done.stderr, re.MULTILINE), done.stderr
    assert {p.name for p in objects(folder)} == {keep.name("1.2.3.1"), keep.name("1.2.3.3")}
    ae = AE(ae_title="CAMERA")
    ae.add_requested_context(CT)
    ae.add_requested_context(VL)
    association = ae.associate("127.0.0.1", port, ae_title="INBOX")
    assert [(str(c.abstract_syntax), c.result) for c in association.rejected_contexts] == [(CT, 3)]
    association.release()


def test_a_duplicate_is_kept_once_and_another_object_of_the_same_uid_is_put_aside(
    inbox: tuple[int, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, folder = inbox
    caplog.set_level(logging.INFO, "verticals")
    first, other = saved(objekt("1.2.3.1"), tmp_path / "a.dcm"), saved(objekt("1.2.3.1", seed=1), tmp_path / "b.dcm")
    for file in (first, first, other, other, first):
        assert dcmsend(port, file).returncode == 0
    (kept,) = objects(folder)
    assert dcmread(kept).PixelData == dcmread(first).PixelData
    aside = sorted(p.suffix for p in (folder / keep.QUARANTINE).iterdir())
    assert aside == [".dcm", ".json"]
    (note,) = (folder / keep.QUARANTINE).glob("*.json")
    assert json.loads(note.read_text())["kept"] == kept.name and "same SOP Instance UID" in note.read_text()
    assert dcmread(note.with_suffix(".dcm")).PixelData == dcmread(other).PixelData
    assert "stored" in caplog.text and "known" in caplog.text and "quarantined" in caplog.text
    assert "Doe" not in caplog.text and "PAT-4711" not in caplog.text and "1.2.3.1" not in caplog.text
    modes = {p.stat().st_mode & 0o777 for p in folder.rglob("*") if p.is_file()}
    assert modes == {0o600}, "objects name patients"
    assert {p.stat().st_mode & 0o777 for p in (folder, *folder.iterdir()) if p.is_dir()} == {0o700}


def test_folders_of_an_earlier_inbox_are_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / keep.OBJECTS).mkdir()
    (tmp_path / keep.OBJECTS).chmod(0o755)
    keep.prepare(tmp_path)
    assert (tmp_path / keep.OBJECTS).stat().st_mode & 0o777 == 0o700


def test_an_object_that_is_too_large_is_not_received(tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    with listening(folder, 0, "INBOX", allowed=["CAMERA"], max_bytes=100_000) as port:
        small = [saved(objekt(f"1.2.3.{i}", side=64, seed=i), tmp_path / f"{i}.dcm") for i in range(1, 13)]
        large = saved(objekt("1.2.3.99", side=600), tmp_path / "large.dcm")
        assert dcmsend(port, *small).returncode == 0, "the limit is for each object, not for their sum"
        assert re.search(r"NOT sent to the peer\s+: 1$", dcmsend(port, large).stderr, re.MULTILINE)
    assert len(objects(folder)) == 12 and keep.name("1.2.3.99") not in {p.name for p in objects(folder)}


def test_a_full_disk_is_told_to_the_sender_and_nothing_half_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "inbox"

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with listening(folder, 0, "INBOX", allowed=["CAMERA"]) as port:
        ae = AE(ae_title="CAMERA")
        ae.add_requested_context(VL)
        association = ae.associate("127.0.0.1", port, ae_title="INBOX")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            assert association.send_c_store(objekt("1.2.3.1")).Status == 0xA700
        assert objects(folder) == [] and list((folder / keep.INCOMING).iterdir()) == []
        assert association.send_c_store(objekt("1.2.3.1")).Status == 0x0000
        association.release()
    assert len(objects(folder)) == 1


def test_bytes_that_are_no_object_are_refused_without_being_quoted() -> None:
    with pytest.raises(DataError, match="cannot be parsed") as told:
        keep.identity(b"Jane Doe" * 99)
    assert "Jane" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ae_title": "A" * 17, "allowed": ["X"]}, "1 to 16 printable"),
        ({"ae_title": "INBOX", "allowed": []}, "is empty"),
        ({"ae_title": "INBOX", "allowed": None, "host": "0.0.0.0"}, "anyone on the network"),
    ],
)
def test_an_open_or_nonsensical_inbox_is_refused(tmp_path: Path, given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said), listening(tmp_path / "inbox", 0, **given):  # type: ignore[arg-type]
        pass


def test_a_port_that_is_taken_is_one_sentence(inbox: tuple[int, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen"), listening(tmp_path / "b", inbox[0], "B", allowed=["X"]):
        pass


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_ends_the_server_without_a_traceback(tmp_path: Path) -> None:
    with server_process(tmp_path / "inbox") as (process, port):
        assert dcmsend(port, saved(objekt("1.2.3.1"), tmp_path / "a.dcm")).returncode == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert "Traceback" not in said_by(tmp_path / "inbox").read_text()
    assert len(objects(tmp_path / "inbox")) == 1


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_server_killed_under_eight_associations_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    folder, out = tmp_path / "inbox", tmp_path / "sent"
    out.mkdir()
    files = [saved(objekt(f"1.2.3.{i}", side=64, seed=i), out / f"{i:03}.dcm") for i in range(500)]

    def send(port: int) -> list[subprocess.Popen[str]]:
        options = ["-v", "-R", "-aet", "CAMERA", "-aec", "INBOX", "127.0.0.1", str(port)]
        return [
            subprocess.Popen(
                [tool("storescu"), *options, *map(str, files[i::8])],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for i in range(8)
        ]

    with server_process(folder) as (process, port):
        senders = send(port)
        while len(list((folder / keep.OBJECTS).iterdir())) < 60:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        told = [sender.communicate(timeout=120)[0] for sender in senders]
    acknowledged = [
        name
        for text in told
        for name in re.findall(r"Sending file: (\S+)(?:(?!Sending file)[\s\S])*?Store Response \(Success\)", text)
    ]
    assert 0 < len(acknowledged) < 500
    for sent in acknowledged:
        before = dcmread(sent)
        after = dcmread(folder / keep.OBJECTS / keep.name(str(before.SOPInstanceUID)))
        assert after.PixelData == before.PixelData
    for path in objects(folder):
        assert len(dcmread(path).PixelData) == 64 * 64 * 3, "no file under a final name is ever half"

    with server_process(folder) as (_, port):
        told = [sender.communicate(timeout=300)[0] for sender in send(port)]
        assert sum(text.count("Store Response (Success)") for text in told) == 500
    assert {p.name for p in objects(folder)} == {keep.name(f"1.2.3.{i}") for i in range(500)}
    assert list((folder / keep.QUARANTINE).iterdir()) == [] and list((folder / keep.INCOMING).iterdir()) == []


def test_the_accepted_classes_are_those_of_the_dictionary() -> None:
    from pydicom.uid import UID

    assert {UID(uid).name for uid in SOP_CLASSES} == set(SOP_CLASSES.values())
