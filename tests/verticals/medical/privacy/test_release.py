"""Real files in a folder in; de-identified files with receipts, or one sentence that names nobody, out."""

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit

from shared.errors import DataError
from verticals.medical.privacy.pseudonyms import Key
from verticals.medical.privacy.release import RECEIPT_SUFFIX, release, release_folder

KEY = Key(bytes(range(32)))


def skin(seed: int = 0, text: str = "") -> np.ndarray:
    """A drawn patch of skin with a mole, ``(200, 260, 3)`` uint8 RGB, perhaps with text over it."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(0, 12, (200, 260)).astype(np.float32), (0, 0), 3)
    picture = np.stack([205 + noise, 160 + noise, 140 + noise], -1).clip(0, 255).astype(np.uint8)
    cv2.circle(picture, (130, 110), 40, (110, 70, 60), -1)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.2)
    cv2.putText(picture, text, (12, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def wrapped(folder: Path, name: str, picture: np.ndarray) -> Path:
    """A VL Photographic object made by dcmtk from a JPEG that holds a comment."""
    if not shutil.which("img2dcm"):
        pytest.skip("img2dcm of dcmtk is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    jpeg = folder / "photo.jpg"
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    jpeg.write_bytes(data[:2] + b"\xff\xfe\0\x0cJane Doe42" + data[2:])
    said = ("PatientName=Doe^Jane", "PatientID=PATIENT-4711-K", "StudyDate=20240301", "StudyTime=1200")
    keys = [part for one in said for part in ("-k", one)]
    subprocess.run(["img2dcm", "-vlp", *keys, str(jpeg), str(folder / name)], check=True, capture_output=True)
    jpeg.unlink()
    return folder / name


def test_a_wrapped_photograph_comes_out_without_its_person_and_valid(tmp_path: Path) -> None:
    source = wrapped(tmp_path / "in", "Doe_Jane.dcm", skin())
    assert b"Jane Doe42" in source.read_bytes()
    made = release(source, tmp_path / "out", KEY)
    data = made.path.read_bytes() + made.receipt_path.read_bytes()
    assert b"Jane" not in data and b"PATIENT-4711" not in data and b"20240301" not in data
    assert made.path.name == f"{made.receipt.instance}.dcm" and made.receipt_path.name.endswith(RECEIPT_SUFFIX)
    before, after = dcmread(source), dcmread(made.path)
    np.testing.assert_array_equal(before.pixel_array, after.pixel_array)
    told = json.loads(made.receipt_path.read_text())
    assert {"where": "PatientName", "tag": "(0010,0010)", "action": "pseudonym"} in told["acts"]
    assert {a["action"] for a in told["acts"]} <= {
        "removed",
        "emptied",
        "dummy",
        "pseudonym",
        "new UID",
        "shifted",
        "kept",
        "cleaned",
    }
    if shutil.which("dciodvfy"):
        faults = [
            {
                line
                for line in subprocess.run(["dciodvfy", str(p)], capture_output=True, text=True).stderr.splitlines()
                if line.startswith("Error")
            }
            for p in (source, made.path)
        ]
        assert faults[1] <= faults[0]


def test_text_in_the_pixels_stops_a_file_until_a_person_accepts_it(tmp_path: Path) -> None:
    source = wrapped(tmp_path / "in", "a.dcm", skin(text="DOE JANE 4711"))
    with pytest.raises(DataError, match="frame 1 shows what looks like text at"):
        release(source, tmp_path / "out", KEY)
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
    assert release(source, tmp_path / "out", KEY, accept_text=True).path.is_file()
    said = dcmread(wrapped(tmp_path / "in", "b.dcm", skin()))
    said.BurnedInAnnotation = "YES"
    said.save_as(tmp_path / "in" / "b.dcm")
    with pytest.raises(DataError, match="says that text is burned into"):
        release(tmp_path / "in" / "b.dcm", tmp_path / "out", KEY)


def test_a_folder_goes_on_past_what_cannot_be_released_and_names_no_path(tmp_path: Path) -> None:
    source = tmp_path / "Doe_Jane"
    wrapped(source, "b.dcm", skin(1))
    wrapped(source, "d.dcm", skin(2))
    (source / "a_Jane.jpg").write_text("Jane")
    (source / "notes.txt").write_text("nobody's picture, no file that had to be made")
    cut = wrapped(source, "c_Jane.dcm", skin(3)).read_bytes()
    (source / "c_Jane.dcm").write_bytes(cut[: len(cut) // 2])
    made, problems = release_folder(source, tmp_path / "out", KEY)
    assert len(made) == 2 and [p.where for p in problems] == ["file 1 of 4", "file 3 of 4"]
    assert "Jane" not in " ".join(map(str, problems))
    assert len({m.receipt.patient for m in made}) == 1 and len(list((tmp_path / "out").iterdir())) == 4


def test_another_object_under_a_uid_that_is_taken_is_refused_and_the_same_content_counts_once(tmp_path: Path) -> None:
    source, table = tmp_path / "in", tmp_path / "refused.csv"
    first = dcmread(wrapped(source, "a_Jane.dcm", skin(1)))
    other = dcmread(wrapped(source, "b_Jane.dcm", skin(2)))
    for each, name in ((other, "b_Jane.dcm"), (first, "c_Jane.dcm")):
        each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
        each.StudyInstanceUID, each.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
        each.save_as(source / name)
    made, problems = release_folder(source, tmp_path / "out", KEY, refusals=table)
    assert [p.where for p in problems] == ["file 2 of 3"] and "same SOP Instance UID" in problems[0].what
    assert [m.again for m in made] == [False, True] and len({m.path for m in made}) == 1
    np.testing.assert_array_equal(dcmread(made[0].path).pixel_array, first.pixel_array)
    assert "2,b_Jane.dcm," in table.read_text() and table.stat().st_mode & 0o077 == 0
    again, _ = release_folder(source, tmp_path / "out", KEY, refusals=table)
    assert [m.again for m in again] == [True, True], "a second run changes nothing"
    (source / "b_Jane.dcm").unlink()
    assert release_folder(source, tmp_path / "out", KEY, refusals=table)[1] == () and not table.exists()


@pytest.mark.long
def test_every_real_sample_is_released_whole_or_refused_with_a_sentence(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "medical" / "dicom_samples" / "files"
    made, problems = release_folder(folder, tmp_path / "out", KEY)
    files = [f for f in folder.rglob("*") if f.is_file()]
    assert len(made) + len(problems) == len(files) and len(made) >= 10
    for one in made:
        dataset = dcmread(one.path)
        assert dataset.PatientIdentityRemoved == "YES" and dataset.PatientID == one.receipt.patient
        assert not [e for e in dataset if e.tag.is_private]


def film(path: Path, count: int, text_from: int | None = None) -> Path:
    """A Video Photographic object of an MPEG-2 stream with words beside its frames, perhaps with text from one on."""
    writer = cv2.VideoWriter(str(path.with_suffix(".mpg")), cv2.VideoWriter_fourcc(*"MPEG"), 25, (260, 200))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MPEG")
    for number in range(count):
        shown = text_from is not None and number >= text_from
        writer.write(np.ascontiguousarray(skin(number, "DOE JANE 4711" if shown else "")[..., ::-1]))
    writer.release()
    # Private stream 1 (ISO 13818-1, 2.4.3.7) is where a container puts what is neither picture nor sound.
    said = b"\x00\x00\x01\xbd\x00\x10Jane Doe is here"
    stream = path.with_suffix(".mpg").read_bytes() + said
    dataset = dcmread(wrapped(path.parent, path.name, skin()))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.77.1.4.1")
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")
    dataset.PixelData, dataset.NumberOfFrames = encapsulate([stream + b"\0" * (len(stream) % 2)]), count
    dataset.save_as(path)
    return path


def test_a_film_goes_out_as_its_frames_and_nothing_else_of_its_stream(tmp_path: Path) -> None:
    source = film(tmp_path / "a.dcm", 6)
    assert b"Jane Doe is here" in source.read_bytes()
    made = release(source, tmp_path / "out", KEY)
    after = dcmread(made.path)
    assert b"Jane" not in made.path.read_bytes() and after.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert after.NumberOfFrames == 6 and len(after.LossyImageCompressionRatio) == 2
    for number, frame in enumerate(after.pixel_array):
        assert np.abs(frame.astype(float) - skin(number)).mean() < 8, "each frame is its own"
    assert any("without its sound" in note for note in made.receipt.remaining)


def test_a_film_with_text_in_its_last_frame_or_shorter_than_it_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="frame 5 shows what looks like text"):
        release(film(tmp_path / "a.dcm", 5, text_from=4), tmp_path / "out", KEY)
    short = dcmread(film(tmp_path / "b.dcm", 4))
    short.NumberOfFrames = 9
    short.save_as(tmp_path / "b.dcm")
    with pytest.raises(DataError, match="cannot be decoded as far as its header says"):
        release(tmp_path / "b.dcm", tmp_path / "out", KEY)
    short.NumberOfFrames = 5000
    short.save_as(tmp_path / "b.dcm")
    with pytest.raises(DataError, match="a film of 5000 frames; up to 1500"):
        release(tmp_path / "b.dcm", tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists()
