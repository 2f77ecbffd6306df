"""Seeded identities go in; nothing of them may come out, and what medicine needs must."""

import itertools
import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit

from shared.errors import DataError
from verticals.medical.privacy import dates, descriptors, pseudonyms
from verticals.medical.privacy.confidentiality import table
from verticals.medical.privacy.deidentify import deidentify
from verticals.medical.privacy.pseudonyms import Key
from verticals.medical.privacy.retention import Options

KEY = Key(bytes(range(32)))
DERMOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.7"
_serial = itertools.count(1)


def photograph(**attributes: Any) -> Dataset:
    """A valid small dermoscopic object."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = DERMOSCOPIC, f"1.2.3.{next(_serial)}"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3.88", "1.2.3.99"
    image.PatientID, image.PatientName, image.Modality = "4711", "Doe^Jane", "DMS"
    image.StudyDate, image.StudyTime = "20230215", "101112"
    image.Rows = image.Columns = 16
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = np.full((16, 16, 3), 180, np.uint8).tobytes()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def written(image: Dataset, path: Path) -> bytes:
    image.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def elements(dataset: Dataset) -> Iterator[DataElement]:
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def seeded(tag: int, vr: str, n: int) -> Any:
    """A value of this VR that occurs nowhere else, and the text to look for."""
    mark = f"Zq{n:04}x"
    long_ago = date(1931, 1, 1).toordinal() + n
    day = f"{date.fromordinal(long_ago):%Y%m%d}"
    values: dict[str, tuple[Any, str]] = {
        "DA": (day, day),
        "DT": (f"{day}123456.5+0145", day),
        "TM": (f"{mark}", mark),
        "UI": (f"1.2.826.0.1.{n}.99", f"1.2.826.0.1.{n}.99"),
        "OB": (mark.encode() + b"\0" * (len(mark) % 2), mark),
        "UN": (mark.encode() + b"\0" * (len(mark) % 2), mark),
        "AS": ("077Y", ""),
        "DS": (f"{n}.77123", f"{n}.77123"),
        "IS": (f"{n}77123", f"{n}77123"),
        "US": (7701, ""),
    }
    return values.get(vr, (mark if vr != "CS" else mark.upper(), mark))


def seed_all(into: Dataset, numbers: Iterator[int]) -> dict[str, int]:
    """Put a marker into every attribute of the table that can hold one; gives the markers and their tags."""
    marks = {}
    for row in table().values():
        if row.tag >> 16 < 8 or row.vr in ("SQ",):
            continue
        value, mark = seeded(row.tag, row.vr or "LO", next(numbers))
        into[row.tag] = DataElement(row.tag, row.vr or "LO", value, validation_mode=0)
        if mark:
            marks[mark] = row.tag
    return marks


def test_no_marker_seeded_into_any_attribute_of_the_table_survives_in_the_file(tmp_path: Path) -> None:
    numbers = iter(range(1, 10_000))
    image = photograph()
    marks = seed_all(image, numbers)
    sequences = [row for row in table().values() if row.vr == "SQ"]
    item = Dataset()
    marks |= seed_all(item, numbers)
    for row in sequences:
        image[row.tag] = DataElement(row.tag, "SQ", [item])
    deep, deeper = Dataset(), Dataset()
    marks |= seed_all(deeper, numbers)
    deep.ReferencedImageSequence = [deeper]
    image.SharedFunctionalGroupsSequence = [deep]
    assert len(marks) > 1500
    before = written(image, tmp_path / "before.dcm")
    assert sum(mark.encode() in before or mark.upper().encode() in before for mark in marks) == len(marks)

    made, receipt = deidentify(dcmread(tmp_path / "before.dcm"), KEY)
    after = written(made, tmp_path / "after.dcm")
    values = " ".join(str(e.value) for e in elements(dcmread(tmp_path / "after.dcm")))
    left = [m for m in marks if m.encode() in after or m.upper().encode() in after or m in values]
    assert left == []
    told = str(receipt)
    assert not [m for m in marks if m in told or m.upper() in told]


def test_private_graphics_unknown_and_padding_attributes_go_at_every_depth(tmp_path: Path) -> None:
    image = photograph(StudyDescription="Jane's mole")
    inner = Dataset()
    for where in (image, inner):
        block = where.private_block(0x0099, "ACME", create=True)
        block.add_new(1, "LO", "secret Jane")
        where.add_new(0x60000010, "US", 16)
        where.add_new(0x60004000, "LT", "Jane")
        where.add_new(0x50003000, "OB", b"Jane")
        where.add_new(0x00081FFE, "LO", "Jane")
        where.add_new(0x0040A160, "UT", "Jane")
        where.add_new(tag_for_keyword("EncryptedContent"), "OB", b"Jane")
        where.add_new(tag_for_keyword("SecondaryReviewerName"), "PN", "Jane")
    image.ReferencedInstanceSequence = [inner]
    image.add_new(0xFFFCFFFC, "OB", b"Jane")
    image.PixelData += b"Jane"
    image.preamble = b"Jane" * 32
    image.file_meta.SourceApplicationEntityTitle = "JANE"
    before = written(image, tmp_path / "before.dcm")
    assert before.upper().count(b"JANE") > 40
    made, _ = deidentify(dcmread(tmp_path / "before.dcm"), KEY)
    assert b"JANE" not in written(made, tmp_path / "after.dcm").upper()
    assert len(made.PixelData) == 16 * 16 * 3


def test_intervals_between_visits_survive_and_differ_in_nothing_but_the_shift() -> None:
    visits = ["20200229", "20200301", "20211231", "20240615"]
    made = []
    for day in visits:
        image = photograph(StudyDate=day, AcquisitionDateTime=f"{day}235959.25", ContentDate=day, ContentTime="0830")
        made.append(deidentify(image, KEY)[0])

    def days(values: list[str]) -> list[int]:
        return [date.fromisoformat(v[:8]).toordinal() - date.fromisoformat(values[0][:8]).toordinal() for v in values]

    assert days([m.StudyDate for m in made]) == days(visits)
    assert days([m.AcquisitionDateTime for m in made]) == days(visits)
    assert all(
        m.StudyDate == m.ContentDate == m.AcquisitionDateTime[:8] != v for m, v in zip(made, visits, strict=True)
    )
    assert {m.ContentTime for m in made} == {"0830"} and all(m.AcquisitionDateTime[8:] == "235959.25" for m in made)
    assert {m.LongitudinalTemporalInformationModified for m in made} == {"MODIFIED"}
    other = deidentify(photograph(StudyDate=visits[0], PatientID="4712"), KEY)[0]
    elsewhere = deidentify(photograph(StudyDate=visits[0]), Key(bytes(32)))[0]
    assert len({made[0].StudyDate, other.StudyDate, elsewhere.StudyDate}) == 3
    assert len({made[0].PatientID, other.PatientID, elsewhere.PatientID}) == 3


def test_references_between_files_still_meet_and_registered_uids_stay() -> None:
    first, second = photograph(), photograph()
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = DERMOSCOPIC, first.SOPInstanceUID
    second.SourceImageSequence = [reference]
    first.TrackingID = second.TrackingID = "mole on Jane's arm"
    first.TrackingUID = second.TrackingUID = "1.2.3.4.5"
    a, b = deidentify(first, KEY)[0], deidentify(second, KEY)[0]
    assert (
        b.SourceImageSequence[0].ReferencedSOPInstanceUID == a.SOPInstanceUID == a.file_meta.MediaStorageSOPInstanceUID
    )
    assert b.SourceImageSequence[0].ReferencedSOPClassUID == a.SOPClassUID == DERMOSCOPIC
    assert a.StudyInstanceUID == b.StudyInstanceUID != "1.2.3.88"
    assert a.TrackingUID == b.TrackingUID and a.TrackingID == b.TrackingID and "Jane" not in a.TrackingID
    assert all(u.startswith("2.25.") and len(u) <= 64 for u in (a.SOPInstanceUID, a.TrackingUID, a.StudyInstanceUID))
    assert first.PatientID == "4711", "the object that came in stays as it is"


def test_what_fairness_needs_stays_and_what_identifies_in_it_goes() -> None:
    given = {"PatientAge": "093Y", "PatientSex": "F", "PatientSize": "1.6837", "PatientWeight": "61.7"}
    made = deidentify(photograph(**given, PatientBirthDate="19300101"), KEY)[0]
    assert (made.PatientAge, made.PatientSex, made.PatientSize, made.PatientWeight) == ("090Y", "F", 1.68, 62)
    assert made["PatientBirthDate"].is_empty
    bare = deidentify(photograph(**given), KEY, Options(patient_characteristics=False))[0]
    assert "PatientAge" not in bare and "PatientSize" not in bare and bare["PatientSex"].is_empty
    lens = {"LensMake": "ACME", "LensSerialNumber": "77", "DeviceSerialNumber": "88", "StationName": "Ward 3"}
    kept = deidentify(photograph(**lens), KEY, Options(device_identity=True))[0]
    assert kept.LensMake == "ACME" and "LensSerialNumber" not in kept
    assert kept.DeviceSerialNumber == kept.StationName == "REMOVED"


def test_descriptions_stay_only_where_every_word_is_known_to_name_no_one() -> None:
    assert descriptors.cleaned("Left forearm, dermoscopy - follow up") == "Left forearm, dermoscopy - follow up"
    for text in ("Left forearm Smith", "forearm 4711", "12.03.2020", "Dr. Skin", "", "...", "Müller"):
        assert descriptors.cleaned(text) is None
    made = deidentify(photograph(SeriesDescription="Left forearm", StudyDescription="Left forearm of Jane"), KEY)[0]
    assert made.SeriesDescription == "Left forearm" and "StudyDescription" not in made
    plain = deidentify(photograph(SeriesDescription="Left forearm"), KEY, Options(clean_descriptors=False))[0]
    assert "SeriesDescription" not in plain


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), {"113100", "113105", "113107", "113108"}),
        (Options(device_identity=True), {"113100", "113105", "113107", "113108", "113109"}),
        (Options(False, False, False, False), {"113100"}),
    ],
)
def test_the_attestation_names_exactly_the_options_used(options: Options, expected: set[str]) -> None:
    made, receipt = deidentify(photograph(), KEY, options)
    codes = {item.CodeValue for item in made.DeidentificationMethodCodeSequence}
    assert codes == expected == {value for value, _ in receipt.codes}
    assert all(item.CodingSchemeDesignator == "DCM" for item in made.DeidentificationMethodCodeSequence)
    assert made.PatientIdentityRemoved == "YES" and all(len(m) <= 64 for m in made.DeidentificationMethod)
    assert made.LongitudinalTemporalInformationModified == ("MODIFIED" if options.modified_dates else "REMOVED")
    assert made.StudyDate != "20230215" and bool(made.StudyDate) == options.modified_dates


def test_dicom_codes_are_those_of_the_standards_dictionary() -> None:
    from pydicom.sr.codedict import codes

    known = {getattr(codes.cid7050, name).value: getattr(codes.cid7050, name).meaning for name in codes.cid7050.dir()}
    _, receipt = deidentify(photograph(), KEY, Options(device_identity=True))
    assert all(value in known for value, _ in receipt.codes)
    assert {v: known[v] for v, _ in receipt.codes} == dict(receipt.codes)


def test_the_table_is_that_of_the_oracle_but_for_what_it_forgets() -> None:
    oracle = pytest.importorskip("dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c")
    names = {"D": "D", "Z": "Z", "X": "X", "U": "U", "Z_D": "Z/D", "X_Z": "X/Z", "X_D": "X/D", "X_Z_D": "X/Z/D"}
    theirs = {
        group << 16 | element: action
        for name, action in {**names, "X_Z_U_STAR": "X/Z/U*"}.items()
        for group, element, *mask in getattr(oracle, f"{name}_TAGS")
        if not mask
    }
    ours = {row.tag: row.action for row in table().values() if not row.added}
    assert ours == theirs and len(ours) == 652
    assert {row.keyword for row in table().values() if row.added} == {"TrackingID", "TextValue"}
    wrong = [
        r for r in table().values() if r.vr and (tag_for_keyword(r.keyword), dictionary_VR(r.tag)) != (r.tag, r.vr)
    ]
    assert wrong == []


def test_what_the_oracle_takes_away_we_take_away(tmp_path: Path) -> None:
    """The same object through the other library, attribute by attribute, without the options that it does not have."""
    theirs_module = pytest.importorskip("dicomanonymizer.simpledicomanonymizer")
    image = photograph()
    seed_all(image, iter(range(1, 2000)))
    written(image, tmp_path / "before.dcm")
    ours = deidentify(dcmread(tmp_path / "before.dcm"), KEY, Options(False, False, False, False))[0]
    theirs = dcmread(tmp_path / "before.dcm")
    rules = theirs_module.initialize_actions("dicomfields_2026c")
    theirs_module.anonymize_dataset(theirs, base_rules_gen=lambda: rules)
    rows = [row for row in table().values() if row.vr and row.tag >> 16 >= 8]
    only_theirs = {row.keyword for row in rows if row.tag in theirs and row.tag not in ours}
    # Agreed: where the table says X they give dates a dummy and we remove them; a value whose writer did not know its
    # form gets no dummy; and we take one text that the table forgets.
    dates_removed = {row.keyword for row in rows if row.chosen == "X" and row.vr == "DA"}
    assert only_theirs == dates_removed | {"SelectorUNValue", "TextValue"}
    assert not [row.keyword for row in rows if row.tag in ours and row.tag not in theirs]
    both = [row for row in rows if row.tag in ours and row.tag in theirs and not ours[row.tag].is_empty]
    same = {row.keyword for row in both if ours[row.tag].value == image[row.tag].value}
    assert len(both) > 150 and same == set()


def test_errors_and_logs_hold_nothing_of_the_patient(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    report = photograph(PatientName="Jane^Secretname")
    del report.PixelData
    with pytest.raises(DataError, match="no Pixel Data") as told:
        deidentify(report, KEY)
    assert "Secret" not in str(told.value)
    broken = photograph(PatientName="Jane^Secretname")
    broken["BitsAllocated"] = DataElement(0x00280100, "CS", "Secretname", validation_mode=0)
    with pytest.raises(DataError, match="cannot be understood") as told:
        deidentify(broken, KEY)
    assert "Secret" not in str(told.value) and told.value.__cause__ is None
    assert "Secret" not in caplog.text and "Secret" not in repr(KEY) and KEY.secret.hex() not in repr(KEY)


def test_chroma_that_is_stored_whole_stays_whole() -> None:
    image = photograph(PhotometricInterpretation="YBR_FULL_422")
    assert deidentify(image, KEY)[0].PixelData == image.PixelData
    image.PixelData = image.PixelData[: 16 * 16 * 2] + b"Jane"
    assert deidentify(image, KEY)[0].PixelData == image.PixelData[: 16 * 16 * 2]


def test_hidden_frames_and_lost_frames_do_not_pass() -> None:
    frame = b"\xff\xd8" + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + b"scan" + b"\xff\xd9"
    image = photograph(PixelData=encapsulate([frame, frame.replace(b"scan", b"Jane")], has_bot=False))
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert b"Jane" not in deidentify(image, KEY)[0].PixelData
    image.NumberOfFrames = 3
    with pytest.raises(DataError, match=r"frames|cannot be understood"):
        deidentify(image, KEY)
    image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100.1")
    with pytest.raises(DataError, match="video stream"):
        deidentify(image, KEY)


def test_pixels_that_are_cut_off_are_refused() -> None:
    image = photograph()
    image.PixelData = image.PixelData[:-10]
    with pytest.raises(DataError, match="fewer bytes"):
        deidentify(image, KEY)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("20240301", "20240229"), ("2024.03.01", "20240229"), ("20241301", None), ("2024", None), ("Jane", None)],
)
def test_a_date_moves_by_days_or_is_no_date(value: str, expected: str | None) -> None:
    assert dates.shifted_date(value, -1) == expected


def test_a_datetime_keeps_its_time_and_loses_its_place_on_earth() -> None:
    assert dates.shifted_datetime("20240301235959.123456+0530", -1) == "20240229235959.123456"
    assert dates.shifted_datetime("202403", -1) is None and dates.shifted_datetime("20240301996060", -1) is None
    assert dates.kept_time("235959.5") == "235959.5" and dates.kept_time("Jane") is None


@pytest.mark.parametrize(
    ("age", "kept"), [("089Y", "089Y"), ("090Y", "090Y"), ("101Y", "090Y"), ("018M", "018M"), ("old", None)]
)
def test_ages_above_89_are_all_the_same(age: str, kept: str | None) -> None:
    assert dates.capped_age(age) == kept


def test_pseudonyms_depend_on_key_purpose_and_every_part() -> None:
    assert pseudonyms.patient(KEY, "a", "bc") != pseudonyms.patient(KEY, "ab", "c")
    assert pseudonyms.patient(KEY, " a ") == pseudonyms.patient(KEY, "a")
    assert -3680 <= pseudonyms.days(KEY, "a") <= -30
