"""A decision and the objects it is about in, a DICOM structured report (PS3.16 TID 1500) for the archive out.

The report is machine-made, PRELIMINARY and UNVERIFIED until a clinician puts a name to it; decision support, never a
diagnosis.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.errors import DataError, require
from shared.records import Decision, Verdict
from verticals.medical.dicom.dicom_read import ACCEPTED
from verticals.medical.dicom.report_content import LONG_STRING, TRIAGE, Algorithm, AtClinic, coding_scheme, content

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_DESCRIPTION = "Decision support, not a diagnosis"
_SERIES_NUMBER = 9000
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_PIXELS = 0x7FE00000


def measurement_report(
    decision: Decision,
    sources: Sequence["Dataset"],
    algorithm: Algorithm,
    at: datetime,
    *,
    probabilities: Mapping[str, float] | None = None,
    frame: int | None = None,
    clinic: AtClinic | None = None,
) -> "Dataset":
    """A TID 1500 measurement report as Comprehensive SR, PRELIMINARY and UNVERIFIED.

    Without ``probabilities`` it holds the decision's own numbers: risk and the probability of the label. With them, the
    probability of cancer (malignant labels alone; the risk holds pre-malignant and uncertain ones too; a label of a
    group counts whole as its gravest disease) and all labels from
    ``LISTED`` of ``report_content``. What was NOT EXAMINED has no number at all, and what is called
    UNKNOWN none either: the score of a picture unlike those of the build is no probability. All numbers are in percent.
    CompletionFlag is COMPLETE where everything was examined, else PARTIAL.

    Args:
        decision: As :func:`verticals.medical.decide.decide` makes it.
        sources: The objects it is about: headers of one study and one lesion, at least one.
        algorithm: What scored them.
        at: When the decision was made, in the site's local time.
        probabilities: Calibrated, by label of the bundle, of the picture named first in the finding; 0 to 1.
        frame: Which frame of a multi-frame source was judged, from 1 (Referenced Frame Number, PS3.3 C.18.4); None
            where every source has one frame alone.
        clinic: What the risk means at the clinic's prevalence; None to say nothing of it.

    Raises:
        DataError: The sources cannot be told apart or belong to different studies, patients or lesions; the frame is
            not named or not there; a number is none; the probabilities are of another picture; or the decision says no
            urgency.
        MissingDependency: highdicom is not installed.
    """
    sr = require("highdicom.sr", extra="medical")
    made = require("pydicom.uid", extra="medical").generate_uid
    headers = _headers(sources)
    _check_frame(headers, frame)
    # Highdicom warns of names of one component, which every pseudonym is: the name goes in afterwards.
    name, headers[0].PatientName = headers[0].PatientName, ""
    done = decision.verdict is not Verdict.NOT_EXAMINED and decision.examined >= 1
    document = sr.ComprehensiveSR(
        evidence=headers,
        content=content(decision, headers, algorithm, probabilities, frame, clinic),
        series_instance_uid=made(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=made(),
        instance_number=1,
        manufacturer="loupe-vision",
        manufacturer_model_name=algorithm.name,
        software_versions=algorithm.version,
        device_serial_number=algorithm.bundle_hash,
        is_complete=done,
        series_description=SERIES_DESCRIPTION,
        specific_character_set="ISO_IR 192",
        coding_schemes=[coding_scheme()],
        content_date=at.date(),
        content_time=at.time(),
    )
    document.PatientName = name
    if not done:
        document.CompletionFlagDescription = "Not examined completely"
    result: Dataset = document
    return result


def verified(report: "Dataset", clinician: str, organisation: str, at: datetime) -> "Dataset":
    """The same report as a new instance that a clinician answers for: FINAL, VERIFIED, and naming its predecessor.

    Args:
        report: As :func:`measurement_report` makes it; it stays as it is.
        clinician: Verifying Observer Name in DICOM form, ``family^given``.
        organisation: Where the clinician answers for it, 1 to 64 characters.
        at: When it was verified; with its offset from UTC where it has one.

    Raises:
        DataError: The report is of another kind, is verified already, or examined nothing; or a name is missing.
    """
    pydicom = require("pydicom", extra="medical")
    _check_verifiable(report, clinician, organisation)
    before, observer = pydicom.Dataset(), pydicom.Dataset()
    before.ReferencedSOPClassUID, before.ReferencedSOPInstanceUID = report.SOPClassUID, report.SOPInstanceUID
    series, study = pydicom.Dataset(), pydicom.Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = report.SeriesInstanceUID, [before]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = report.StudyInstanceUID, [series]
    observer.VerifyingObserverName, observer.VerifyingOrganization = clinician, organisation
    observer.VerificationDateTime = f"{at:%Y%m%d%H%M%S%z}"
    observer.VerifyingObserverIdentificationCodeSequence = []
    result = _copied(report)
    own = require("pydicom.uid", extra="medical").generate_uid()
    result.SOPInstanceUID = result.file_meta.MediaStorageSOPInstanceUID = own
    result.InstanceNumber = int(report.InstanceNumber) + 1
    result.ContentDate = result.InstanceCreationDate = f"{at:%Y%m%d}"
    result.ContentTime = result.InstanceCreationTime = f"{at:%H%M%S}"
    result.CompletionFlag, result.PreliminaryFlag, result.VerificationFlag = "COMPLETE", "FINAL", "VERIFIED"
    result.VerifyingObserverSequence, result.PredecessorDocumentsSequence = [observer], [study]
    return result


def _check_verifiable(report: "Dataset", clinician: str, organisation: str) -> None:
    where = f"report {report.get('SOPInstanceUID', 'without UID')}"
    if report.get("SeriesDescription") != SERIES_DESCRIPTION or "ContentSequence" not in report:
        raise DataError(f"{where} was not made here; allowed are reports of measurement_report")
    if report.VerificationFlag != "UNVERIFIED":
        raise DataError(f"{where} is {report.VerificationFlag} already; verify the one that it succeeds, or leave it")
    if any(code.CodeValue == TRIAGE[Verdict.NOT_EXAMINED][0] for code in _codes(report, "TRIAGE")):
        raise DataError(f"{where} says that nothing was examined, which nobody can verify; take the picture again")
    for what, said in (("clinician", clinician), ("organisation", organisation)):
        plain = said.isprintable() and "\\" not in said and len(said) <= LONG_STRING
        if not said.replace("^", "").strip() or not plain:
            raise DataError(f"{where}: {what} is {said!r}; allowed are 1 to 64 printable characters, no backslash")


def _codes(item: "Dataset", name: str) -> Iterator[Any]:
    """The coded values of all content items whose name has this private code."""
    for child in item.get("ContentSequence", ()):
        named = child.get("ConceptNameCodeSequence")
        if child.ValueType == "CODE" and named and named[0].get("CodeValue") == name:
            yield child.ConceptCodeSequence[0]
        yield from _codes(child, name)


def _copied(report: "Dataset") -> "Dataset":
    """A deep copy as a plain data set; highdicom's classes would keep their own second content."""
    pydicom = require("pydicom", extra="medical")
    result: Dataset = pydicom.Dataset()
    for element in report:
        result.add(deepcopy(element))
    result.file_meta = deepcopy(report.file_meta)
    return result


def _headers(sources: Sequence["Dataset"]) -> list["Dataset"]:
    """The sources without their pixels, complete in what a report inherits."""
    if not sources:
        raise DataError("the report has no source; allowed is the header of at least one object")
    headers = [_header(source) for source in sources]
    for names in (("StudyInstanceUID",), ("PatientID",), ("TrackingUID", "TrackingID")):
        found = {next((str(h[name].value) for name in names if h.get(name)), "") for h in headers}
        if len(found) > 1:
            raise DataError(f"the sources of one report have {len(found)} values of {names[0]}; make one report each")
    return headers


def _check_frame(headers: Sequence["Dataset"], frame: int | None) -> None:
    """A report on a whole multi-frame object would say of every frame what was seen in one."""
    most = max(int(header.get("NumberOfFrames") or 1) for header in headers)
    if frame is None and most > 1:
        raise DataError(f"a source has {most} frames and none is named; give the number of the one that was judged")
    if frame is not None and (len(headers) > 1 or not 1 <= frame <= most):
        raise DataError(f"frame {frame} of {len(headers)} sources with up to {most} frames; allowed is one of its own")


def _header(source: "Dataset") -> "Dataset":
    header: Dataset = require("pydicom", extra="medical").Dataset()
    missing = [name for name in _IDENTITY if not source.get(name)]
    if missing:
        raise DataError(f"a source has no {', '.join(missing)}; give the header of a whole DICOM object")
    wrong = [
        name for name in _IDENTITY if not require("pydicom.uid", extra="medical").UID(str(source[name].value)).is_valid
    ]
    if wrong:
        raise DataError(f"a source's {', '.join(wrong)} is no UID; allowed are digits and dots, at most 64 characters")
    if source.SOPClassUID not in ACCEPTED:
        raise DataError(f"a source is of SOP class {source.SOPClassUID}; allowed are {', '.join(ACCEPTED.values())}")
    for element in source:
        if element.tag < _PIXELS:
            header.add(deepcopy(element))
    for name in _MAY_BE_EMPTY:
        if name not in header:
            setattr(header, name, "")
    for name, read in (("StudyDate", "DA"), ("PatientBirthDate", "DA"), ("StudyTime", "TM")):
        setattr(header, name, _moment(str(header[name].value or ""), read))
    return header


def _moment(said: str, read: str) -> str:
    """A date or time as PS3.5 writes it now; before DICOM it had dots or colons, and what is neither is not known."""
    plain = said.replace(".", "") if read == "DA" else said.replace(":", "")
    try:
        getattr(require("pydicom.valuerep", extra="medical"), read)(plain)
    except ValueError:
        return ""
    return plain
