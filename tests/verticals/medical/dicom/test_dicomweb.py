"""The DICOMweb client against an archive that the test starts, on the loopback."""

import json
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from shared.errors import ConfigError, DataError
from verticals.medical.dicom import keep
from verticals.medical.dicom.dicomweb import Series, connect, query, retrieve, store

VL, CT = "1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.5.1.4.1.1.2"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Orthanc."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if not program or not PLUGIN.is_file():
        pytest.skip("Orthanc or its DICOMweb plugin is not installed")
    home = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    settings = {
        "StorageDirectory": str(home),
        "IndexDirectory": str(home),
        "HttpPort": port,
        "DicomPort": free_port(),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (home / "orthanc.json").write_text(json.dumps(settings))
    with (home / "log").open("w") as log:
        process = subprocess.Popen([program, str(home / "orthanc.json")], stdout=log, stderr=log)
        try:
            for _ in range(600):
                with socket.socket() as tried:
                    if tried.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (home / "log").read_text()[-2000:]
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/dicom-web"
        finally:
            process.terminate()
            process.wait()


def saved(path: Path, uid: str, *, series: str = "1.2.3.4.5", sop_class: str = VL, jpeg: bool = False) -> Path:
    import cv2

    picture = np.random.default_rng(len(uid)).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = sop_class, uid
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{series}.1", series
    image.PatientID, image.PatientName, image.Modality, image.StudyDate = "PAT-4711", "Doe^Jane", "XC", "20240301"
    image.Rows = image.Columns = 16
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = picture.tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if jpeg:
        image.PhotometricInterpretation = "YBR_FULL_422"
        image.PixelData = encapsulate([cv2.imencode(".jpg", picture)[1].tobytes()])
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.save_as(path, enforce_file_format=True)
    return path


def test_files_go_to_the_archive_and_come_back_into_the_inbox_as_they_were(archive: str, tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{i}.dcm", f"1.2.3.{i}", jpeg=i == 3) for i in (1, 2, 3)]
    client = connect(archive)
    assert store(client, files).kept == {"sent": 3}
    (series,) = (s for s in query(client, modality="XC", since=date(2024, 1, 1)) if s.series == "1.2.3.4.5")
    assert (series.study, series.modality) == ("1.2.3.4.5.1", "XC") and series.instances in (3, None)
    folder = tmp_path / "inbox"
    assert retrieve(client, series, folder).kept == {"stored": 3}
    assert retrieve(client, series, folder).kept == {"known": 3}
    for file in files:
        before = dcmread(file)
        after = dcmread(folder / keep.OBJECTS / keep.name(str(before.SOPInstanceUID)))
        assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
        assert after.PixelData == before.PixelData and after.PatientName == "Doe^Jane"
    assert query(client, patient_id="nobody") == () and query(client, since=date(2025, 1, 1)) == ()


def test_what_is_no_photograph_is_left_in_the_archive_with_its_reason(archive: str, tmp_path: Path) -> None:
    client = connect(archive)
    files = [
        saved(tmp_path / "a.dcm", "1.2.9.1", series="1.2.9"),
        saved(tmp_path / "b.dcm", "1.2.9.2", series="1.2.9", sop_class=CT),
    ]
    (tmp_path / "c.dcm").write_bytes(b"Jane Doe")
    sent = store(client, [files[0], tmp_path / "c.dcm", files[1]])
    assert sent.kept == {"sent": 2} and [p.where for p in sent.problems] == ["file 2"]
    got = retrieve(client, Series("1.2.9.1", "1.2.9", "XC", 2), tmp_path / "inbox")
    assert got.kept == {"stored": 1}
    (problem,) = got.problems
    assert problem.where == keep.name("1.2.9.2") and "CT Image Storage" in problem.what and "Jane" not in str(sent)


def test_an_archive_that_is_not_there_or_refuses_is_one_sentence_without_the_question(
    archive: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(DataError, match="HTTP status 404") as told:
        query(connect(archive + "/nowhere"), patient_id="PAT-4711")
    assert "PAT-4711" not in str(told.value) and told.value.__cause__ is None
    with pytest.raises(DataError, match="does not answer") as told:
        query(connect(f"http://127.0.0.1:{free_port()}/dicom-web"), patient_id="PAT-4711")
    assert "PAT-4711" not in str(told.value) and "PAT-4711" not in caplog.text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://x/y", "no http or https"),
        ("http://pacs.example/dicom-web", "could be read by others"),
        ("https://me:secret@pacs.example/", "holds a name or password"),
    ],
)
def test_an_unsafe_address_is_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        connect(url)
    assert "secret" not in str(told.value)
    assert isinstance(connect("https://pacs.example/dicom-web", headers={"Authorization": "x"}), DICOMwebClient)
