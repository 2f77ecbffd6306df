import csv
import json
import shutil
import stat
from datetime import date, datetime
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from shared.data import images, ingested
from shared.errors import DataError
from shared.vertical import Ingested
from verticals.medical.dicom import dicom_encode, keep
from verticals.medical.dicom.dicom_write import Code, Exposure, dermoscopic, photographic, save, secondary_capture
from verticals.medical.ingest import ingest
from verticals.medical.reading import visits

pydicom = pytest.importorskip("pydicom")

OWN = Path(pydicom.__file__).parent / "data" / "test_files"
module = import_module("verticals.medical.ingest")
SECRETS = ("Musterfrau", "Erika", "PID-77-1234", "ACME-NATIONAL", "Mole of Erika", "19610203", "20240304", "20240701")


def drawn(seed: int, rows: int = 40, columns: int = 56) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)


def about(day: datetime, patient: str = "PID-77-1234", **more: object) -> Exposure:
    known = {"patient_name": "Musterfrau^Erika", "age_years": 63, "sex": "F", "fitzpatrick": "II", **more}
    return Exposure(patient, day, body_site=Code("77568009", "SCT", "Back"), **known)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Two visits of one patient in several forms, a second patient, photographs, and things that do not belong."""
    source = tmp_path / "Musterfrau_Erika"
    source.mkdir()
    lesion = {"lesion_id": "Mole of Erika", "lesion_uid": "2.25.99"}
    first = dermoscopic(drawn(1), about(datetime(2024, 3, 4, 9), mm_per_px=(0.1, 0.1), **lesion))
    first.IssuerOfPatientID, first.PatientBirthDate = "ACME-NATIONAL", "19610203"
    second = dermoscopic(drawn(2), about(datetime(2024, 7, 1, 9), **lesion), transfer_syntax=dicom_encode.JPEG_LS)
    second.IssuerOfPatientID = "ACME-NATIONAL"
    save(first, source / "Erika visit 1.dcm")
    save(second, source / "IM000002")
    save(photographic(drawn(3), about(datetime(2024, 3, 4), "other")), source / "deep" / "x.DCM")
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Canon", "EOS", 6
    exif.get_ifd(0x8769)[0x9003] = "2024:03:04 10:00:00"
    Image.fromarray(drawn(4)).save(source / "Erika.jpg", exif=exif)
    Image.fromarray(drawn(5)).save(source / "plain.png")
    shutil.copy(OWN / "CT_small.dcm", source / "CT of Erika.dcm")
    shutil.copy(OWN / "dicomdirtests" / "DICOMDIR", source / "DICOMDIR")
    (source / "cut.dcm").write_bytes((source / "IM000002").read_bytes()[:-400])
    (source / "letter to Erika.docx").write_bytes(b"PK\3\4")
    (source / "README.txt").write_text("about these pictures")
    return source


@pytest.fixture
def done(clinic: Path, tmp_path: Path) -> tuple[Ingested, Path]:
    return ingest(clinic, tmp_path / "out"), tmp_path / "out"


def names(out: Path) -> dict[str, str]:
    with (out / "private" / "sources.csv").open(newline="") as stream:
        return {row["file"]: row["name"] for row in csv.DictReader(stream)}


def test_every_file_becomes_a_sample_or_a_problem(done: tuple[Ingested, Path], clinic: Path) -> None:
    found, out = done
    files = {p.relative_to(clinic).as_posix() for p in clinic.rglob("*") if p.is_file() and p.name != "README.txt"}
    known = names(out)
    assert set(known) == files
    frames, told = {s.frame for s in found.samples}, {p.where: p.what for p in (*found.problems, *found.remarks)}
    assert frames | set(told) == set(known.values()) and not frames & set(told)
    assert {file for file, name in known.items() if name in frames} == {
        "Erika visit 1.dcm",
        "IM000002",
        "deep/x.DCM",
        "Erika.jpg",
        "plain.png",
    }
    assert "CT Image Storage" in told[known["CT of Erika.dcm"]]
    assert "DICOMDIR, a table of contents" in told[known["DICOMDIR"]]
    assert "is cut off" in told[known["cut.dcm"]] or "decoded" in told[known["cut.dcm"]]
    assert "not an image that is read" in told[known["letter to Erika.docx"]]
    not_examined = {known[n] for n in ("CT of Erika.dcm", "cut.dcm", "letter to Erika.docx")}
    assert dict(found.skipped) == dict.fromkeys(not_examined, 1.0), "a table of contents holds nothing to examine"


def test_frames_hold_the_pixels_of_their_files(done: tuple[Ingested, Path], clinic: Path) -> None:
    found, out = done
    known = names(out)
    wanted = {"Erika visit 1.dcm": drawn(1), "IM000002": drawn(2), "deep/x.DCM": drawn(3), "plain.png": drawn(5)}
    wanted["Erika.jpg"] = images.read(clinic / "Erika.jpg")
    by_frame = {s.frame: s for s in found.samples}
    for file, picture in wanted.items():
        sample = by_frame[known[file]]
        np.testing.assert_array_equal(images.read(out / sample.path), picture)
        assert sample.id == images.content_hash(out / sample.path)[:16]
        assert sample.provenance["file_sha256"] == images.content_hash(clinic / file)
        assert (sample.height, sample.width) == picture.shape[:2]
    assert by_frame[known["Erika.jpg"]].width == 40, "turned as EXIF says"
    assert by_frame[known["Erika visit 1.dcm"]].mm_per_px == (0.1, 0.1)


def test_no_name_id_or_date_of_a_patient_is_anywhere_but_in_the_private_folder(
    done: tuple[Ingested, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    found, out = done
    ingested.save(found, out, "medical")
    public = [p for p in out.rglob("*") if "private" not in p.relative_to(out).parts]
    text = "\n".join(p.relative_to(out).as_posix() for p in public)
    text += repr(found) + json.dumps(dict(found.summary)) + "".join(capfd.readouterr())
    content = b"".join(p.read_bytes() for p in public if p.is_file())
    for secret in SECRETS:
        assert secret not in text and secret.encode() not in content, secret
    private = out / "private"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in private.iterdir()} == {0o600}


def test_patient_and_lesion_are_one_over_all_visits_and_the_interval_survives(done: tuple[Ingested, Path]) -> None:
    found, out = done
    known, by_frame = names(out), {s.frame: s for s in found.samples}
    first, second, other = (by_frame[known[n]] for n in ("Erika visit 1.dcm", "IM000002", "deep/x.DCM"))
    assert first.group == second.group != other.group
    assert first.provenance["lesion"] == second.provenance["lesion"]
    days = [datetime.strptime(str(s.provenance["visit_date_shifted"]), "%Y%m%d").date() for s in (first, second)]
    assert (days[1] - days[0]).days == (date(2024, 7, 1) - date(2024, 3, 4)).days
    assert first.provenance["age_years"] == 63 and first.provenance["sex"] == "F"
    assert first.provenance["fitzpatrick"] == "II" and first.provenance["body_site"] == "SCT:77568009"
    assert "2.25.99" not in repr(found.samples)


def test_the_same_salt_gives_the_same_names_and_another_salt_others(clinic: Path, tmp_path: Path) -> None:
    first, again, other = (ingest(clinic, tmp_path / out) for out in ("a", "a", "b"))
    assert [s.group for s in first.samples] == [s.group for s in again.samples]
    assert [s.path for s in first.samples] == [s.path for s in again.samples]
    assert not {s.group for s in first.samples} & {s.group for s in other.samples}
    assert [s.id for s in sorted(first.samples, key=lambda s: s.id)] == sorted(s.id for s in other.samples)


def test_an_age_above_89_is_written_as_90(tmp_path: Path) -> None:
    save(dermoscopic(drawn(0), about(datetime(2024, 1, 1), age_years=97)), tmp_path / "in" / "a.dcm")
    assert ingest(tmp_path / "in", tmp_path / "out").samples[0].provenance["age_years"] == 90


def test_labels_beside_the_files_become_codes_of_the_taxonomy(clinic: Path, tmp_path: Path) -> None:
    (clinic / "labels.csv").write_text(
        "path,label,patient,lesion,age,sex,localization\n"
        "Erika visit 1.dcm,mel,,,,,\nIM000002,Melanoma,,,,,\ndeep/x.DCM,nv,,,,,\n"
        "Erika.jpg,wartlike,PID-77-1234,L,71,female,back\n"
        "plain.png,,someone,M,,,\ngone.png,nv,,,,,\nIM000002,nv,,,,,\n"
    )
    found = ingest(clinic, tmp_path / "out")
    known, by_frame = names(tmp_path / "out"), {s.frame: s for s in found.samples}
    labels = {file: found.labels.get(by_frame[name].id) for file, name in known.items() if name in by_frame}
    assert labels == {
        "Erika visit 1.dcm": "MEL",
        "IM000002": "MEL",
        "deep/x.DCM": "NEVUS",
        "Erika.jpg": None,
        "plain.png": None,
    }
    told = {p.where: p.what for p in found.remarks}
    assert "label 'wartlike' is unknown" in told["labels.csv line 5"]
    assert "an earlier line" in told["labels.csv line 8"]
    assert "names 1 files that are not there" in told["labels.csv"]
    photo = by_frame[known["Erika.jpg"]]
    assert (photo.provenance["age_years"], photo.provenance["sex"]) == (71, "F")
    assert photo.provenance["device"] == "Canon EOS" and photo.provenance["body_site_name"] == "back"
    assert {t.label: t.risk for t in found.truth} == {"MEL": 1.0, "NEVUS": 0.0}
    assert "PID-77" not in repr(found)


def test_a_patient_of_the_table_is_the_patient_of_the_header(tmp_path: Path) -> None:
    source = tmp_path / "in"
    save(dermoscopic(drawn(0), about(datetime(2024, 1, 1), "p9")), source / "a.dcm")
    Image.fromarray(drawn(1)).save(source / "b.png")
    (source / "labels.csv").write_text("path,label,patient\nb.png,nv,p9\n")
    assert len({s.group for s in ingest(source, tmp_path / "out").samples}) == 1


def test_a_mask_gives_place_length_and_area_of_the_lesion(tmp_path: Path) -> None:
    source = tmp_path / "in"
    save(dermoscopic(drawn(0), about(datetime(2024, 1, 1), mm_per_px=(0.5, 0.25))), source / "a.dcm")
    save(dermoscopic(drawn(1), about(datetime(2024, 1, 1))), source / "b.dcm")
    mask = np.zeros((40, 56), np.uint8)
    mask[10:30, 20:24] = 255
    images.write_png(source / "a.mask.png", mask)
    images.write_png(source / "b.mask.png", mask[:10])
    (source / "labels.csv").write_text("path,label\na.dcm,bcc\nb.dcm,nv\n")
    found = ingest(source, tmp_path / "out")
    assert len(found.samples) == 2, "a mask is no picture"
    truth = {t.label: t for t in found.truth}
    region = truth["BCC"].region
    assert region is not None and (region.x0, region.y0, region.x1, region.y1) == (20, 10, 24, 30)
    assert truth["BCC"].area_mm2 == 80 * 0.125
    assert truth["BCC"].length_mm == pytest.approx(np.hypot(3 * 0.5, 19 * 0.25) + 0.25, rel=2e-3)
    assert truth["NEVUS"].region is None and "its mask has 56 x 10 pixels" in found.remarks[0].what


def test_frames_of_one_object_become_samples_of_one_patient(tmp_path: Path) -> None:
    dataset = secondary_capture(drawn(0), about(datetime(2024, 1, 1)))
    dataset.SOPClassUID, dataset.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.7.4", 3
    dataset.PixelData = b"".join(drawn(n).tobytes() for n in range(3))
    save(dataset, tmp_path / "in" / "a.dcm")
    found = ingest(tmp_path / "in", tmp_path / "out")
    assert [s.provenance["frame_number"] for s in found.samples] == [1, 2, 3]
    assert len({s.group for s in found.samples}) == 1 and len({s.frame for s in found.samples}) == 3


def test_a_copy_is_told_and_one_under_another_patient_all_the_more(tmp_path: Path) -> None:
    source = tmp_path / "in"
    save(dermoscopic(drawn(0), about(datetime(2024, 1, 1), "one")), source / "a.dcm")
    save(dermoscopic(drawn(0), about(datetime(2024, 1, 1), "one")), source / "b.dcm")
    save(dermoscopic(drawn(0), about(datetime(2024, 1, 1), "two")), source / "c.dcm")
    found = ingest(source, tmp_path / "out")
    assert len(found.samples) == 1 and len(found.problems) == 2
    assert "under another patient" not in found.problems[0].what and "under another patient" in found.problems[1].what
    assert len(found.skipped) == 2


def test_a_copy_without_any_patient_is_not_called_another_patients(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in "ab":
        save(dermoscopic(drawn(0), about(datetime(2024, 1, 1), "")), source / f"{name}.dcm")
    (told,) = ingest(source, tmp_path / "out").problems
    assert "another patient" not in told.what and "not both of them say whose they are" in told.what


def test_different_pictures_under_one_uid_are_none_of_them_examined(tmp_path: Path) -> None:
    source = tmp_path / "in"
    first = dermoscopic(drawn(1), about(datetime(2024, 3, 4)))
    alone = dermoscopic(drawn(9), about(datetime(2024, 3, 4), "P2"))
    for name, each in (("a", first), ("b", dermoscopic(drawn(2), about(datetime(2024, 3, 5)))), ("c", first)):
        each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
        save(each, source / f"{name}.dcm")
    save(alone, source / "d.dcm")
    (source / "labels.csv").write_text("path,label\na.dcm,mel\nd.dcm,nv\n")
    found = ingest(source, tmp_path / "out")
    frame = names(tmp_path / "out")
    assert [s.frame for s in found.samples] == [frame["d.dcm"]] and list(found.labels.values()) == ["NEVUS"]
    told = {p.where: p.what for p in found.problems}
    assert set(told) == {frame[f"{n}.dcm"] for n in "abc"} == set(found.skipped)
    assert all("SOP Instance UID" in what and "neither counts as examined" in what for what in told.values())
    assert len(found.truth) == 1 and len(list((tmp_path / "out" / "frames").glob("*.png"))) == 1
    ingested.save(found, tmp_path / "out", "medical")


def test_what_an_inbox_put_into_quarantine_is_not_lost(tmp_path: Path) -> None:
    """It was acknowledged: the camera has deleted it, and nobody looks into that folder."""
    box = tmp_path / "inbox"
    keep.prepare(box)
    first, corrected = (dermoscopic(drawn(4), about(datetime(2024, 3, 4), patient)) for patient in ("wrong", "right"))
    another = dermoscopic(drawn(5), about(datetime(2024, 3, 4), "third"))
    others = dermoscopic(drawn(6), about(datetime(2024, 3, 4), "third"))
    for each, uid in ((first, "2.25.1"), (corrected, "2.25.1"), (another, "2.25.2"), (others, "2.25.2")):
        each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = uid
        save(each, tmp_path / "sent.dcm")
        keep.keep(box, (tmp_path / "sent.dcm").read_bytes(), uid, "CAMERA")
    found = ingest(box / "objects", tmp_path / "out")
    called = {name: file for file, name in names(tmp_path / "out").items()}
    told = {called[p.where].split("/")[-2] if "/" in called[p.where] else "objects": p.what for p in found.problems}
    assert len(found.samples) == 1 and len(found.problems) == 3 == len(found.skipped)
    assert [p.what for p in found.problems if "filed under another patient" in p.what]
    assert sum("SOP Instance UID" in p.what for p in found.problems) == 2 and set(told) == {"objects", "quarantine"}
    assert len(ingest(box, tmp_path / "whole").problems) == 3, "nor where the inbox itself is given"


def photographed(source: Path, *seeds: int) -> None:
    source.mkdir()
    for number, seed in enumerate(seeds):
        Image.fromarray(drawn(seed)).save(source / f"{number}.png", compress_level=number)


def test_a_group_is_a_patient_and_no_lesion_and_a_lesion_without_a_patient_stays_together(tmp_path: Path) -> None:
    """Taken for a lesion, a patient's many lesions would all be found with one of them."""
    photographed(tmp_path / "in", 0, 1, 2, 3)
    (tmp_path / "in" / "labels.csv").write_text(
        "path,label,group,lesion_id,mel_thick_mm,clin_size_long_diam_mm,age_approx\n"
        "0.png,mel,p,,0.7,95,85+\n1.png,nv,p,,-1,,\n2.png,nv,,l,,,\n3.png,nv,,l,,,\n"
    )
    samples = sorted(ingest(tmp_path / "in", tmp_path / "out").samples, key=lambda s: s.group)
    by_group = {s.group: [o for o in samples if o.group == s.group] for s in samples}
    one, two = sorted(by_group.values(), key=lambda own: "lesion" in own[0].provenance)
    assert len(one) == len(two) == 2 and not any("lesion" in s.provenance for s in one)
    assert two[0].provenance["lesion"] == two[1].provenance["lesion"] == two[0].group
    thick = next(s.provenance for s in one if "thickness_mm" in s.provenance)
    assert (thick["thickness_mm"], thick["diameter_mm"], thick["age_years"]) == (0.7, 95, 85)
    assert sum("thickness_mm" in s.provenance for s in samples) == 1


def test_a_lesion_1_of_another_patient_is_no_visit_of_this_one(tmp_path: Path) -> None:
    """By the table, and by Tracking ID, which unlike a Tracking UID is only told apart within its patient."""
    photographed(tmp_path / "in", 0, 1, 2)
    for name, day, patient in (("a", 4, "one"), ("b", 5, "one"), ("c", 6, "two")):
        seen = about(datetime(2024, 3, day), patient, lesion_id="1", lesion_uid="2.25.7")
        dataset = dermoscopic(drawn(day), seen)
        del dataset.TrackingUID
        save(dataset, tmp_path / "in" / f"{name}.dcm")
    (tmp_path / "in" / "labels.csv").write_text("path,label,patient,lesion\n0.png,,p,1\n1.png,,p,1\n2.png,,q,1\n")
    out = tmp_path / "out"
    found = ingest(tmp_path / "in", out)
    ingested.save(found, out, "medical")
    frame, image = names(out), {s.frame: str(out / s.path) for s in found.samples}
    pairs = [("0.png", "1.png"), ("2.png",), ("a.dcm", "b.dcm"), ("c.dcm",)]
    for files in pairs:
        own = [frame[file] for file in files]
        assert [sorted(v.frame for v in visits.visits(image[f], f)) for f in own] == [sorted(own)] * len(own), files
    assert found.summary["lesions"] == len(pairs)


def test_a_picture_filed_under_two_labels_keeps_none(tmp_path: Path) -> None:
    photographed(tmp_path / "in", 0, 0, 0, 1)
    (tmp_path / "in" / "labels.csv").write_text("path,label\n0.png,mel\n1.png,nv\n2.png,mel\n3.png,nv\n")
    found = ingest(tmp_path / "in", tmp_path / "out")
    assert len(found.samples) == 2 and list(found.labels.values()) == ["NEVUS"] and len(found.truth) == 1
    assert "filed under NEVUS, the other under MEL: neither counts" in found.problems[0].what
    assert "neither counts" not in found.problems[1].what and found.summary["contradicting_labels"] == 1


def test_without_patient_id_the_study_keeps_its_pictures_together(tmp_path: Path) -> None:
    for n in range(2):
        dataset = dermoscopic(drawn(n), about(datetime(2024, 1, 1), "", study_uid="1.2.3"))
        save(dataset, tmp_path / "in" / f"{n}.dcm")
    assert len({s.group for s in ingest(tmp_path / "in", tmp_path / "out").samples}) == 1


def test_the_result_can_be_saved_and_loaded(done: tuple[Ingested, Path]) -> None:
    found, out = done
    ingested.save(found, out, "medical")
    again = ingested.load(out)
    assert again.samples == found.samples and again.problems == found.problems and again.truth == found.truth


def test_one_file_alone_can_be_taken(clinic: Path, tmp_path: Path) -> None:
    assert len(ingest(clinic / "IM000002", tmp_path / "out").samples) == 1


def test_pictures_that_no_ingest_wrote_are_never_replaced(clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "frames").mkdir(parents=True)
    (tmp_path / "out" / "frames" / "holiday.png").write_bytes(b"mine")
    with pytest.raises(DataError, match="holds something that no ingest wrote"):
        ingest(clinic, tmp_path / "out")
    assert (tmp_path / "out" / "frames" / "holiday.png").read_bytes() == b"mine"


def test_an_interrupted_run_leaves_nothing_and_the_next_one_is_whole(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = images.write_png, []

    def stop_at_the_third(path: Path, array: np.ndarray) -> None:
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(path, array)

    monkeypatch.setattr(images, "write_png", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ingest(clinic, tmp_path / "out")
    assert not (tmp_path / "out" / "frames").exists()
    assert len(ingest(clinic, tmp_path / "out").samples) == 5


def test_nothing_to_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        ingest(tmp_path / "no", tmp_path / "out")
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="holds neither"):
        ingest(tmp_path / "in", tmp_path / "out")


def test_links_that_lead_nowhere_are_problems_under_a_pseudonym(clinic: Path, tmp_path: Path) -> None:
    (clinic / "Erika visit 2.dcm").symlink_to(tmp_path / "gone.dcm")
    (clinic / "deep" / "Erika at home").symlink_to(tmp_path)
    found = ingest(clinic, tmp_path / "out")
    called = {name: file for file, name in names(tmp_path / "out").items()}
    said = {called[p.where]: p.what for p in found.problems if "link" in p.what}
    assert set(said) == {"Erika visit 2.dcm", "deep/Erika at home"} and "to nothing" in said["Erika visit 2.dcm"]
    assert not any("Erika" in str(p) for p in found.problems)
