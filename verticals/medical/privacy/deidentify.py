"""An image object with a person in it in, one without, with attestation and receipt, out (DICOM PS3.15 annex E).

Basic Application Level Confidentiality Profile, with the options Clean Descriptors, Retain Longitudinal Temporal
Information with Modified Dates, Retain Patient Characteristics, and on request Retain Device Identity. Stricter than
the profile asks: overlays, curves, graphics and private attributes always go, so do attributes that no dictionary
knows, and names and long texts that the table forgets; a retained value must have the form that the standard gives it.

What it cannot do: tell surely whether a face, a tattoo or jewellery is seen. A person looks at every image before it
leaves.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import DataError, MissingDependency, require
from verticals.medical.privacy import pseudonyms, segments
from verticals.medical.privacy.confidentiality import EDITION, Row, table
from verticals.medical.privacy.pseudonyms import Key
from verticals.medical.privacy.retention import Options, moved, retained

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

_DUMMIES: dict[str, Any] = {
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "http://removed.invalid",
    "OB": b"\0\0",
} | dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "REMOVED")
"""What a D of the table becomes, by VR; another VR gets nothing and the attribute goes."""
_OPAQUE = frozenset({"PN", "LT", "ST", "UT", "UC", "UR", "OB", "UN"})
"""Of attributes that the table does not list: names, long texts and bytes that can hold anything."""
_CODING_SCHEMES = ("CodingSchemeName", "CodingSchemeURL", "CodingSchemeExternalID")
_HARMLESS = frozenset({"LongCodeValue", "URNCodeValue", "EXIFVersion", "PixelData", "ICCProfile", *_CODING_SCHEMES})
_NOT_INSTANCES = ("SOPClassUID", "TransferSyntaxUID", "CodingSchemeUID", "ContextUID", "MappingResourceUID")


@dataclass(frozen=True)
class Act:
    """What was done to one attribute; never its old value.

    Attributes:
        where: Place in the object, e.g. ``"ReferencedStudySequence[0].StudyDate"``.
        tag: ``"(0008,0020)"``.
        action: ``removed``, ``emptied``, ``dummy``, ``pseudonym``, ``new UID``, ``shifted``, ``kept`` or ``cleaned``.
    """

    where: str
    tag: str
    action: str


@dataclass(frozen=True)
class Receipt:
    """What happened to one object; holds nothing of what was removed.

    Attributes:
        instance: The new SOP Instance UID.
        patient: The patient's pseudonym.
        edition: The standard's table.
        codes: Of the profile and options used.
        acts: One per attribute touched.
        remaining: What a person has to judge before the object leaves, one sentence each.
    """

    instance: str
    patient: str
    edition: str
    codes: tuple[tuple[str, str], ...]
    acts: tuple[Act, ...]
    remaining: tuple[str, ...]


@dataclass
class _Work:
    """What one object is cleaned with, and what was done so far."""

    key: Key
    options: Options
    days: int
    patient: str
    acts: list[Act] = field(default_factory=list)


def deidentify(dataset: "Dataset", key: Key, options: Options | None = None) -> tuple["Dataset", Receipt]:
    """Take the person out of one image object.

    Args:
        dataset: An object with pixel data and file meta information; it stays as it is.
        key: The secret behind pseudonyms and dates.
        options: None for the defaults.

    Returns:
        The new object, to be written with its new file meta information, and the receipt.

    Raises:
        DataError: It has no pixel data (reports hold persons in their content), is a video, or cannot be understood.
            The sentence holds nothing of the object.
    """
    with silence("cannot be understood"):
        _check(dataset)
        made = copy.deepcopy(dataset)
        known, issuer = str(made.get("PatientID", "")).strip(), str(made.get("IssuerOfPatientID", "")).strip()
        remaining = _remaining(made, known)
        if not known:
            known, issuer = str(made.get("StudyInstanceUID", "")), "study"
        pseudonym = pseudonyms.patient(key, known, issuer)
        work = _Work(key, options or Options(), pseudonyms.days(key, known, issuer), pseudonym)
        _clean(made, work, "")
        made.PixelData = segments.cleaned_pixels(made)
        made.pop("ExtendedOffsetTable", None)
        made.pop("ExtendedOffsetTableLengths", None)
        work.acts.append(Act("PixelData", "(7FE0,0010)", "cleaned"))
        made.PatientID = pseudonym
        _attest(made, work.options)
        _renew_meta(made)
        instance = str(made.SOPInstanceUID)
    return made, Receipt(instance, pseudonym, EDITION, work.options.codes, tuple(work.acts), remaining)


@contextmanager
def silence(what: str) -> Iterator[None]:
    """Nothing of a patient's object reaches a log, a warning or an error's text; errors become one sentence."""
    import logging
    import warnings

    config = require("pydicom.config", extra="medical")
    log = logging.getLogger("pydicom")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except (DataError, MissingDependency):
        raise
    except Exception as error:
        raise DataError(
            f"the object {what} ({type(error).__name__}; its text is withheld, because it could name the patient); "
            "check the file with a DICOM validator"
        ) from None
    finally:
        log.disabled = before


def _check(dataset: "Dataset") -> None:
    if "PixelData" not in dataset or "SOPInstanceUID" not in dataset:
        raise DataError(
            "the object has no Pixel Data or no SOP Instance UID; only images are de-identified, because reports and "
            "documents hold persons in their content"
        )


def _remaining(dataset: "Dataset", patient_id: str) -> tuple[str, ...]:
    notes = ["A face, a tattoo or jewellery in the picture is not surely recognised; a person has to look"]
    if dataset.get("RecognizableVisualFeatures") == "YES":
        notes.append("Recognizable Visual Features is YES: the sender says that the person can be recognised")
    if not patient_id:
        notes.append("Patient ID is empty: dates and pseudonym are constant within the study only")
    return tuple(notes)


def _clean(dataset: "Dataset", work: _Work, where: str) -> None:
    from pydicom.datadict import dictionary_has_tag, keyword_for_tag

    for tag in list(dataset.keys()):
        name = where + (keyword_for_tag(tag) or (table()[tag].keyword if tag in table() else "unknown"))
        group = int(tag) >> 16
        graphics = 0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF
        nested_pixels = bool(where) and group == 0x7FE0
        if tag.is_private or graphics or nested_pixels or int(tag) & 0xFFFF == 0 or group < 8:
            action = _remove(dataset, tag)
        elif tag in table():
            action = _by_row(dataset, dataset[tag], table()[tag], work, name)
        elif not dictionary_has_tag(tag):
            action = _remove(dataset, tag)
        else:
            action = _unlisted(dataset, dataset[tag], work, name)
        if action:
            work.acts.append(Act(name, f"({group:04X},{int(tag) & 0xFFFF:04X})", action))


def _remove(dataset: "Dataset", tag: int) -> str:
    del dataset[tag]
    return "removed"


def _by_row(dataset: "Dataset", element: "DataElement", row: Row, work: _Work, name: str) -> str:
    """Do what the table or one of its options says."""
    if row.keyword in ("PatientID", "PatientName"):
        element.value = work.patient
        return "pseudonym"
    if row.keyword == "TrackingID":
        element.value = pseudonyms.opaque(work.key, "tracking", str(element.value))
        return "pseudonym"
    if element.VR == "UN" or (row.chosen == "X" and not row.option):
        return _remove(dataset, element.tag)
    if row.chosen == "U":
        return _descend(element, work, name) if element.VR == "SQ" else _renew(element, work.key)
    if element.is_empty:
        return _remove(dataset, element.tag) if row.chosen == "X" else ""
    stays = retained(element, row, work.options, work.days)
    if stays is not None:
        element.value, action = stays
        return action
    if row.chosen == "Z":
        element.value = [] if element.VR == "SQ" else None
        return "emptied"
    if element.VR == "UI":
        return _renew(element, work.key)
    if row.chosen == "X" or element.VR not in _DUMMIES:
        return _remove(dataset, element.tag)
    element.value = _DUMMIES[element.VR]
    return "dummy"


def _unlisted(dataset: "Dataset", element: "DataElement", work: _Work, name: str) -> str:
    """An attribute of the standard that its table does not list."""
    if element.VR == "SQ":
        return _descend(element, work, name)
    if element.VR == "UI":
        registered = name.endswith(_NOT_INSTANCES)
        return "" if registered or element.is_empty else _renew(element, work.key)
    if element.VR in ("DA", "DT") and not element.is_empty:
        later = moved(str(element.value), element.VR, work.days) if work.options.modified_dates else None
        if later is None:
            return _remove(dataset, element.tag)
        element.value = later
        return "shifted"
    if element.VR in _OPAQUE and element.keyword not in _HARMLESS:
        return _remove(dataset, element.tag)
    return ""


def _descend(element: "DataElement", work: _Work, name: str) -> str:
    for number, item in enumerate(element.value):
        _clean(item, work, f"{name}[{number}].")
    return ""


def _renew(element: "DataElement", key: Key) -> str:
    """Another UID for one that names an instance; those that the standard itself registers name no one."""
    from pydicom.uid import UID

    def new(value: str) -> str:
        registered = UID(value).name != value
        return value if registered or not value else pseudonyms.uid(key, value)

    element.value = [new(str(v)) for v in element.value] if element.VM > 1 else new(str(element.value))
    return "new UID"


def _attest(dataset: "Dataset", options: Options) -> None:
    from pydicom import Dataset

    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = [EDITION, *(meaning[:64] for _, meaning in options.codes)]
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if options.modified_dates else "REMOVED"
    items = []
    for value, meaning in options.codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    dataset.DeidentificationMethodCodeSequence = items


def _renew_meta(dataset: "Dataset") -> None:
    """File meta information names senders and their software; only what is needed to read the file stays."""
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
