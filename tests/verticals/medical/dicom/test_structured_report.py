"""Reports of decisions about objects that this package writes, judged by dciodvfy, dsrdump and highdicom."""

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import DataError, Problem
from shared.records import Decision, Sample, Verdict
from shared.vertical import Case, Seen
from verticals.medical.decide import NOT_SCORED, NOTED, QUALITY, decide
from verticals.medical.dicom.dicom_write import Code, Exposure, dermoscopic, photographic, save, secondary_capture
from verticals.medical.dicom.report_content import SCHEME, Algorithm, AtClinic
from verticals.medical.dicom.structured_report import measurement_report, verified
from verticals.medical.triage import DISCLAIMER, roll_up

pydicom = pytest.importorskip("pydicom")
sr = pytest.importorskip("highdicom.sr")

BUNDLE = Algorithm("skin of seven", "2026.1", "0123456789abcdef" * 4)
AT = datetime(2026, 3, 4, 10, 30)
LATER = datetime(2026, 3, 5, 9, 0)
GRAVE = {"akiec": 0.02, "bcc": 0.021, "bkl": 0.03, "df": 0.004, "mel": 0.5, "nv": 0.42, "vasc": 0.005}
CLEAR = {"akiec": 0.002, "bcc": 0.002, "bkl": 0.02, "df": 0.005, "mel": 0.006, "nv": 0.96, "vasc": 0.005}
ABOUT = Exposure(
    patient_id="p1",
    patient_name="Doe^Jane",
    acquired=datetime(2026, 3, 4, 10, 20),
    sex="F",
    body_site=Code("77568009", "SCT", "Back"),
    laterality="L",
    lesion_id="mole 1",
    lesion_uid="2.25.123",
)
SOURCES = [photographic, dermoscopic, secondary_capture]


def source(make: Any = dermoscopic, about: Exposure = ABOUT) -> Any:
    return make(np.full((24, 32, 3), 140, np.uint8), about)


def decision(probabilities: dict[str, float] = GRAVE, *, novelty: float = 0.5, **provenance: str) -> Decision:
    sample = Sample("a", "a.png", 32, 24, provenance={QUALITY: "checked", **provenance})
    seen = Seen(sample, probabilities, novelty, possible=("mel", "nv") if probabilities is GRAVE else ("nv",))
    return decide(Case("visit 1", (seen,), 1.0, (), None, 0.1, ("bkl", "df", "nv", "vasc")), None)


def frames(count: int = 2) -> Any:
    """An object of several frames."""
    made = secondary_capture(np.full((24, 32, 3), 140, np.uint8), ABOUT)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    made.NumberOfFrames, made.PixelData = count, made.PixelData * count
    return made


def unexamined() -> Decision:
    return decision(**{NOT_SCORED: "out of focus, take it again"})


def written(dataset: Any, path: Path) -> Any:
    """The report as a reader finds it on the disk."""
    save(dataset, path)
    return sr.srread(path)


def errors(path: Path) -> list[str]:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    assert "ComprehensiveSR" in done.stderr.splitlines(), done.stderr
    return [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]


def dumped(path: Path) -> str:
    if shutil.which("dsrdump") is None:
        pytest.skip("dsrdump (dcmtk) is not installed")
    done = subprocess.run(["dsrdump", "+Pl", "+Pc", str(path)], capture_output=True, check=True)
    assert b"E:" not in done.stderr, done.stderr
    return done.stdout.decode()


def items(dataset: Any) -> list[Any]:
    """All content items, as they lie in the file."""
    found = []
    for child in dataset.get("ContentSequence", ()):
        found += [child, *items(child)]
    return found


def named(dataset: Any, code: str) -> list[Any]:
    return [item for item in items(dataset) if item.ConceptNameCodeSequence[0].CodeValue == code]


def number(item: Any) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def test_a_report_on_one_frame_names_it_and_one_on_none_of_several_is_refused(tmp_path: Path) -> None:
    several = frames()
    report = measurement_report(decision(), [several], BUNDLE, AT, probabilities=GRAVE, frame=2)
    save(report, tmp_path / "a.dcm")
    assert "frame 2" in dumped(tmp_path / "a.dcm").lower() or ",2)" in dumped(tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []
    save(verified(report, "Berg^Eva", "Clinic", LATER), tmp_path / "b.dcm")
    for name in ("a.dcm", "b.dcm"):
        (image,) = [i for i in items(pydicom.dcmread(tmp_path / name)) if i.ValueType == "IMAGE"]
        assert image.ReferencedSOPSequence[0].ReferencedFrameNumber == 2
    assert errors(tmp_path / "b.dcm") == []
    for wrong in (None, 0, 3):
        with pytest.raises(DataError, match="frame"):
            measurement_report(decision(), [several], BUNDLE, AT, frame=wrong)
    with pytest.raises(DataError, match="frame 2"):
        measurement_report(decision(), [source()], BUNDLE, AT, frame=2)


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("kind", ["flag", "pass", "unlike the build", "not examined"])
def test_dciodvfy_finds_no_error_in_the_report_of_any_decision_about_any_source(make, kind, tmp_path: Path) -> None:
    said, scores = {
        "flag": (decision(), GRAVE),
        "pass": (decision(CLEAR), CLEAR),
        "unlike the build": (decision(novelty=3.0), GRAVE),
        "not examined": (unexamined(), None),
    }[kind]
    save(measurement_report(said, [source(make)], BUNDLE, AT, probabilities=scores), tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("at", [LATER, LATER.replace(tzinfo=UTC)])
def test_dciodvfy_finds_no_error_in_a_verified_report(make, at: datetime, tmp_path: Path) -> None:
    report = measurement_report(decision(), [source(make)], BUNDLE, AT, probabilities=GRAVE)
    save(verified(report, "Müller^Eva", "Clinic", at), tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []


@pytest.mark.parametrize("make", SOURCES)
def test_dciodvfy_finds_no_error_where_next_to_nothing_is_known_of_the_source(make, tmp_path: Path) -> None:
    header = source(make, Exposure("p", datetime(2024, 1, 1)))
    for name in ("PatientBirthDate", "AccessionNumber", "StudyID", "StudyTime", "ReferringPhysicianName"):
        delattr(header, name)
    report = written(measurement_report(decision(), [header], BUNDLE, AT), tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []
    (group,) = report.content.get_image_measurement_groups()
    assert not group.finding_sites and header.SOPInstanceUID in group.tracking_identifier
    again = measurement_report(decision(), [header], BUNDLE, AT)
    assert group.tracking_uid == named(again, "112040")[0].UID


def test_dsrdump_shows_a_clinician_the_whole_content(tmp_path: Path) -> None:
    save(measurement_report(decision(), [source()], BUNDLE, AT, probabilities=GRAVE), tmp_path / "a.dcm")
    shown = dumped(tmp_path / "a.dcm")
    for words in (
        'Patient             : Doe^Jane (F, #p1)',
        "Series              : Decision support, not a diagnosis",
        "PRELIMINARY",
        "UNVERIFIED",
        '(121058,DCM,"Procedure reported")=(446078004,SCT,"Dermoscopic photography',
        '(363698007,SCT,"Finding Site")=(77568009,SCT,"Back")',
        '(272741003,SCT,"Laterality")=(7771000,SCT,"Left")',
        '(112039,DCM,"Tracking Identifier")="mole 1"',
        '(111001,DCM,"Algorithm Name")="skin of seven"',
        BUNDLE.bundle_hash,
        '(111047,DCM,"Probability of cancer")="52.1" (%,UCUM,"Percent")',
        '=(1162635006,SCT,"Malignant melanoma")',
        '=(MEL,99DVVS,"invasive melanoma")',
        '=(URGENCY-1,99DVVS,"Within 2 weeks")',
        '(121106,DCM,"Comment")="Suggested; proposed, needs a dermatologist\'s sign-off"',
        '(111101,DCM,"Image Quality")="checked, no fault noted"',
        DISCLAIMER,
    ):  # fmt: skip
        assert words in shown, words


def test_numbers_read_back_are_those_of_the_decision(tmp_path: Path) -> None:
    said = decision()
    report = measurement_report(said, [source()], BUNDLE, AT, probabilities=GRAVE)
    (group,) = written(report, tmp_path / "a.dcm").content.get_image_measurement_groups()
    values = {m.name.value: m.value for m in group.get_measurements()}
    assert values == {"RISK": pytest.approx(100 * said.findings[0].risk), "111047": pytest.approx(52.1)}
    assert (group.tracking_uid, group.tracking_identifier) == ("2.25.123", "mole 1")
    listed = named(report, "111023")
    certain = {
        (item.ConceptCodeSequence[0].CodingSchemeDesignator, item.ConceptCodeSequence[0].CodeValue): number(
            item.ContentSequence[0]
        )
        for item in listed
    }
    expected = {code: 100 * p for code, p in roll_up(GRAVE).labels.items() if p >= 0.01}
    expected[("SCT", "1162635006")] = expected.pop("MEL")
    assert certain == pytest.approx(
        {key if isinstance(key, tuple) else (SCHEME, key): p for key, p in expected.items()}
    )
    assert list(certain.values()) == sorted(certain.values(), reverse=True)


def test_each_label_of_the_differential_says_where_it_stands(tmp_path: Path) -> None:
    sample = Sample("a", "a.png", 32, 24, provenance={QUALITY: "checked"})
    seen = Seen(sample, CLEAR, 0.5, possible=("mel", "nv", "vasc"))
    unproven = ("mel", "vasc")
    said = decide(Case("a", (seen,), 1.0, (), None, 0.1, ("bkl", "df", "nv", "vasc"), unproven), None)
    assert said.verdict is Verdict.PASS
    report = measurement_report(said, [source()], BUNDLE, AT, probabilities=CLEAR)
    save(report, tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []
    standing = {
        item.ConceptCodeSequence[0].CodeMeaning: named(item, "STANDING")[0].ConceptCodeSequence[0].CodeValue
        for item in named(report, "111023")
    }
    assert standing == {
        "common nevus": "POSSIBLE",
        "seborrheic keratosis, solar lentigo or lichenoid keratosis": "OUTSIDE-SET",
        "Malignant melanoma": "NOT-EXCLUDED", "vascular lesion": "NOT-EXCLUDED",
    }  # fmt: skip
    assert "too few cases" in dumped(tmp_path / "a.dcm")


def test_a_risk_stands_as_built_and_at_the_clinics_prevalence(tmp_path: Path) -> None:
    here = AtClinic(0.0443, "All percentages are as built, where 47 of 100 are; in a clinic where 3 of 100 are, 44.")
    report = measurement_report(decision(), [source()], BUNDLE, AT, probabilities=GRAVE, clinic=here)
    save(report, tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []
    assert '(RISK-CLINIC,99DVVS,"The same at the clinic\'s prevalence")="4.43"' in dumped(tmp_path / "a.dcm")
    assert [item.TextValue for item in named(report, "PREVALENCE")] == [here.said]
    for said in (unexamined(), decision(novelty=3.0)):
        nothing = measurement_report(said, [source()], BUNDLE, AT, clinic=here)
        assert not named(nothing, "PREVALENCE") and not named(nothing, "RISK-CLINIC")


def test_without_probabilities_only_the_numbers_of_the_decision_are_reported() -> None:
    report = measurement_report(decision(), [source()], BUNDLE, AT)
    assert [number(item) for item in items(report) if item.ValueType == "NUM"] == pytest.approx([54.1, 50.0])
    assert not named(report, "111047")


def test_every_report_holds_the_disclaimer_and_every_reason_once(tmp_path: Path) -> None:
    for said in (decision(), decision(CLEAR), unexamined()):
        report = written(measurement_report(said, [source()], BUNDLE, AT), tmp_path / "a.dcm")
        assert [item.TextValue for item in named(report, "DISCLAIMER")] == [DISCLAIMER]
        reasons = [item.TextValue for item in named(report, "REASON")]
        assert [*reasons, DISCLAIMER] == list(said.reasons)
        assert "not a diagnosis" in report.SeriesDescription


def test_a_not_examined_decision_gives_its_reason_and_no_number_disease_or_urgency() -> None:
    report = measurement_report(unexamined(), [source()], BUNDLE, AT, probabilities=GRAVE)
    assert not [item for item in items(report) if item.ValueType == "NUM"]
    assert not named(report, "111023") and not named(report, "103391001")
    assert [item.TextValue for item in named(report, "111101")] == [
        "below the quality gate: out of focus, take it again"
    ]
    assert named(report, "TRIAGE")[0].ConceptCodeSequence[0].CodeMeaning == "Not examined"
    assert "out of focus" in named(report, "REASON")[0].TextValue
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "PARTIAL", "UNVERIFIED", "PRELIMINARY",
    )  # fmt: skip


def test_a_picture_unlike_the_build_has_no_number_and_no_disease() -> None:
    said = decision(novelty=3.0)
    assert said.verdict is Verdict.FLAG
    report = measurement_report(said, [source()], BUNDLE, AT, probabilities=GRAVE)
    assert not [item for item in items(report) if item.ValueType == "NUM"]
    assert [item.ConceptCodeSequence[0].CodeValue for item in named(report, "111023")] == ["UNKNOWN"]


def test_what_was_examined_in_part_is_partial() -> None:
    seen = Seen(Sample("a", "a.png", 32, 24, provenance={QUALITY: "checked"}), GRAVE, 0.5, possible=("mel",))
    said = decide(Case("v", (seen,), 0.5, (Problem("b", "cut off"),), None, 0.1, ("bkl", "df", "nv", "vasc")), None)
    report = measurement_report(said, [source()], BUNDLE, AT)
    assert said.verdict is Verdict.FLAG and report.CompletionFlag == "PARTIAL" and not named(report, "111101")


def test_noted_faults_and_a_missing_check_are_told_as_image_quality() -> None:
    report = measurement_report(decision(**{NOTED: "hair covers the skin"}), [source()], BUNDLE, AT)
    assert [item.TextValue for item in named(report, "111101")] == ["noted: hair covers the skin"]
    report = measurement_report(decision(**{QUALITY: ""}), [source()], BUNDLE, AT)
    assert [item.TextValue for item in named(report, "111101")] == ["image quality was not checked"]


def test_sources_are_referenced_as_images_and_as_evidence() -> None:
    first = source()
    second = source(about=replace(ABOUT, study_uid=first.StudyInstanceUID))
    report = measurement_report(decision(), [first, second], BUNDLE, AT)
    pictures = {first.SOPInstanceUID, second.SOPInstanceUID}
    seen = [item.ReferencedSOPSequence[0] for item in named(report, "121112")]
    assert {item.ReferencedSOPInstanceUID for item in seen} == pictures
    assert {item.ReferencedSOPClassUID for item in seen} == {first.SOPClassUID}
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    evidence = [image for series in study.ReferencedSeriesSequence for image in series.ReferencedSOPSequence]
    assert {item.ReferencedSOPInstanceUID for item in evidence} == pictures
    assert report.StudyInstanceUID == first.StudyInstanceUID != report.SeriesInstanceUID


def test_a_verified_report_is_the_same_content_under_a_name_and_names_its_predecessor(tmp_path: Path) -> None:
    before = written(measurement_report(decision(), [source()], BUNDLE, AT, probabilities=GRAVE), tmp_path / "a.dcm")
    own = before.to_json()
    after = written(verified(before, "Müller^Eva", "Hautklinik Süd", LATER.replace(tzinfo=UTC)), tmp_path / "b.dcm")
    assert before.to_json() == own
    assert (after.PreliminaryFlag, after.VerificationFlag, after.CompletionFlag) == ("FINAL", "VERIFIED", "COMPLETE")
    (observer,) = after.VerifyingObserverSequence
    assert observer.VerifyingObserverName == "Müller^Eva" and observer.VerifyingOrganization == "Hautklinik Süd"
    assert observer.VerificationDateTime == "20260305090000+0000"
    (study,) = after.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (before.StudyInstanceUID, before.SeriesInstanceUID)
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID != after.SOPInstanceUID
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert (after.InstanceNumber, after.SeriesInstanceUID) == (before.InstanceNumber + 1, before.SeriesInstanceUID)
    assert [item.to_json() for item in items(after)] == [item.to_json() for item in items(before)]
    shown = dumped(tmp_path / "b.dcm")
    assert "Müller^Eva" in shown and "VERIFIED" in shown and DISCLAIMER in shown


@pytest.mark.parametrize(("charset", "name"), [("ISO_IR 100", "Größe^Ångström"), ("ISO_IR 144", "Люкceмбypг")])
def test_a_name_in_another_character_set_comes_back_as_it_was(charset: str, name: str, tmp_path: Path) -> None:
    header = source()
    header.SpecificCharacterSet, header.PatientName = charset, name
    save(header, tmp_path / "source.dcm")
    read = pydicom.dcmread(tmp_path / "source.dcm", stop_before_pixels=True)
    report = measurement_report(decision(), [read], BUNDLE, AT)
    assert written(report, tmp_path / "a.dcm").PatientName == name
    assert written(verified(report, name, "Clinic", LATER), tmp_path / "b.dcm").PatientName == name


def test_the_source_stays_as_it_is() -> None:
    header = source()
    before = header.to_json()
    report = measurement_report(decision(), [header], BUNDLE, AT, probabilities=GRAVE)
    assert header.to_json() == before and report.PatientName == header.PatientName and "PixelData" not in report


def test_a_drawn_picture_is_told_to_be_one() -> None:
    report = measurement_report(decision(), [source(about=replace(ABOUT, drawn=True))], BUNDLE, AT)
    assert [item.TextValue for item in named(report, "121106")][1:] == ["The picture was drawn and shows nobody."]


def test_real_headers_of_other_makers_give_reports_without_an_error(real_data: Path, tmp_path: Path) -> None:
    for name in ("SC_rgb.dcm", "SC_rgb_2frame.dcm", "SC_ybr_full_uncompressed.dcm"):
        path = real_data / "medical" / "dicom_samples" / "files" / name
        header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        frame = 1 if header.get("NumberOfFrames") else None
        report = measurement_report(decision(), [header], BUNDLE, AT, probabilities=GRAVE, frame=frame)
        again = written(verified(report, "Eva^A", "Clinic", LATER), tmp_path / "a.dcm")
        # Two frames in an object of a class for one: the frame is named all the same.
        known = "not multi-frame - attribute <ReferencedFrameNumber>" if frame else "no error"
        assert [e for e in errors(tmp_path / "a.dcm") if known not in e] == [], name
        assert again.PatientID == header.PatientID and DISCLAIMER in dumped(tmp_path / "a.dcm")
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    with pytest.raises(DataError, match="allowed are VL Photographic Image"):
        measurement_report(decision(), [header], BUNDLE, AT)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_dates_and_times_from_before_dicom_are_written_as_now_and_nonsense_as_not_known() -> None:
    header = source()
    with pydicom.config.disable_value_validation():
        header.StudyDate, header.StudyTime, header.PatientBirthDate = "1994.11.05", "11:20:00", "unknown"
        report = measurement_report(decision(), [header], BUNDLE, AT)
    assert (report.StudyDate, report.StudyTime, report.PatientBirthDate) == ("19941105", "112000", "")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_source_whose_uid_is_none_is_refused() -> None:
    header = source()
    with pydicom.config.disable_value_validation():
        header.StudyInstanceUID = "05fa52f0"
    with pytest.raises(DataError, match="StudyInstanceUID is no UID"):
        measurement_report(decision(), [header], BUNDLE, AT)


def test_pictures_of_two_studies_patients_or_lesions_are_refused() -> None:
    first = source()
    same = replace(ABOUT, study_uid=first.StudyInstanceUID)
    for other, word in (
        (ABOUT, "StudyInstanceUID"),
        (replace(same, patient_id="p2"), "PatientID"),
        (replace(same, lesion_uid="2.25.9"), "TrackingUID"),
    ):
        with pytest.raises(DataError, match=word):
            measurement_report(decision(), [first, source(about=other)], BUNDLE, AT)
    with pytest.raises(DataError, match="no source"):
        measurement_report(decision(), [], BUNDLE, AT)
    del first.SOPInstanceUID
    with pytest.raises(DataError, match="SOPInstanceUID"):
        measurement_report(decision(), [first], BUNDLE, AT)


def test_probabilities_of_another_picture_are_refused() -> None:
    with pytest.raises(DataError, match="picture named first"):
        measurement_report(decision(), [source()], BUNDLE, AT, probabilities=CLEAR)


def test_a_risk_that_is_no_number_is_refused() -> None:
    said = decision()
    broken = replace(said, findings=(replace(said.findings[0], risk=float("nan")),))
    with pytest.raises(DataError, match="nan"):
        measurement_report(broken, [source()], BUNDLE, AT)


def test_a_decision_without_urgency_is_refused() -> None:
    with pytest.raises(DataError, match="'urgency' is None, allowed is 0 to 4"):
        measurement_report(replace(decision(), facts={}), [source()], BUNDLE, AT)


def test_the_urgency_is_that_of_the_decisions_facts_whatever_its_sentences_say() -> None:
    said = decision()
    told = replace(said, reasons=("suggested urgency: same day (a stranger's words)", *said.reasons[1:]))
    (item,) = named(measurement_report(told, [source()], BUNDLE, AT), "103391001")
    assert item.ConceptCodeSequence[0].CodeValue == "URGENCY-1"
    assert item.ContentSequence[0].TextValue == "Suggested; proposed, needs a dermatologist's sign-off"


@pytest.mark.parametrize("name", ["", "^", "a\\b", "x" * 65, "line\nbreak"])
def test_a_report_is_verified_by_a_name_or_not_at_all(name: str) -> None:
    report = measurement_report(decision(), [source()], BUNDLE, AT)
    with pytest.raises(DataError, match="clinician"):
        verified(report, name, "Clinic", LATER)
    with pytest.raises(DataError, match="organisation"):
        verified(report, "Eva", name, LATER)


def test_nobody_verifies_twice_nor_what_was_not_examined_nor_a_photograph() -> None:
    once = verified(measurement_report(decision(), [source()], BUNDLE, AT), "Eva", "Clinic", LATER)
    with pytest.raises(DataError, match="VERIFIED already"):
        verified(once, "Eva", "Clinic", LATER)
    with pytest.raises(DataError, match="nothing was examined"):
        verified(measurement_report(unexamined(), [source()], BUNDLE, AT), "Eva", "Clinic", LATER)
    with pytest.raises(DataError, match="not made here"):
        verified(source(), "Eva", "Clinic", LATER)


@pytest.mark.parametrize("wrong", ["", "x" * 65, "a\\b"])
def test_an_algorithm_has_a_name_that_fits_the_standard(wrong: str) -> None:
    with pytest.raises(DataError, match="name of the algorithm"):
        Algorithm(wrong, "1", "0")
