"""The header of one DICOM image in, what triage needs of it out: patient, lesion, date, site, skin type, device."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

FITZPATRICK = {"C74569": "I", "C74570": "II", "C74571": "III", "C74572": "IV", "C74573": "V", "C74574": "VI"}
"""CID 4401, Fitzpatrick Skin Type (PS3.16)."""
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.2425 / 12, "Y": 365.2425}
_DATES = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")
"""The first that is filled is the day of the photograph: closest to the shutter first."""


@dataclass(frozen=True)
class Facts:
    """What the header says. Empty text or None is "not said"; nothing is guessed.

    Attributes:
        sop_class: SOP Class UID.
        sop_instance: SOP Instance UID.
        study_instance: Study Instance UID.
        patient_id: Patient ID as stored; identifies a person, and must be replaced before anything is written.
        patient_issuer: Issuer of Patient ID, likewise.
        lesion: Tracking UID, or where there is none Tracking ID; the same lesion has the same one at every visit.
        acquired: Day of the photograph, ``YYYYMMDD``.
        age_years: Age at the photograph; from the birth date where Patient's Age is not filled.
        sex: ``M``, ``F`` or ``O``.
        body_site: Code of the anatomic region as ``scheme:value``.
        body_site_name: Its meaning, or Body Part Examined where there is no code.
        laterality: ``R``, ``L``, ``B`` or ``U``.
        fitzpatrick: Fitzpatrick skin type, ``I`` to ``VI``.
        modality: E.g. ``XC``, ``DMS``, ``OT``.
        device: Manufacturer and model.
        mm_per_px: Millimetres per pixel (across, down) from Pixel Spacing.
        recognizable: Recognizable Visual Features: ``YES`` where a person could be recognised, ``NO`` or empty.
        burned_in: Burned In Annotation: ``YES`` where text lies in the pixels, ``NO`` or empty.
        synthetic: The object says that it was drawn.
    """

    sop_class: str
    sop_instance: str = field(repr=False)
    study_instance: str = field(repr=False)
    patient_id: str = field(repr=False)
    patient_issuer: str = field(repr=False)
    lesion: str = field(repr=False)
    acquired: str
    age_years: float | None
    sex: str
    body_site: str
    body_site_name: str
    laterality: str
    fitzpatrick: str
    modality: str
    device: str
    mm_per_px: tuple[float, float] | None
    recognizable: str
    burned_in: str
    synthetic: bool


def facts(dataset: "Dataset") -> Facts:
    """Read the header; what cannot be understood counts as not said."""
    acquired = next((day for name in _DATES if (day := _day(_text(dataset, name)))), "")
    site, site_name = _site(dataset)
    maker = " ".join(t for t in (_text(dataset, "Manufacturer"), _text(dataset, "ManufacturerModelName")) if t)
    sex = _text(dataset, "PatientSex").upper()
    return Facts(
        sop_class=_text(dataset, "SOPClassUID"),
        sop_instance=_text(dataset, "SOPInstanceUID"),
        study_instance=_text(dataset, "StudyInstanceUID"),
        patient_id=_text(dataset, "PatientID"),
        patient_issuer=_text(dataset, "IssuerOfPatientID"),
        lesion=_text(dataset, "TrackingUID") or _text(dataset, "TrackingID"),
        acquired=acquired,
        age_years=_age(dataset, acquired),
        sex=sex if sex in ("M", "F", "O") else "",
        body_site=site,
        body_site_name=site_name or _text(dataset, "BodyPartExamined").lower(),
        laterality=_text(dataset, "ImageLaterality") or _text(dataset, "Laterality"),
        fitzpatrick=_fitzpatrick(dataset),
        modality=_text(dataset, "Modality"),
        device=maker,
        mm_per_px=_spacing(dataset),
        recognizable=_text(dataset, "RecognizableVisualFeatures"),
        burned_in=_text(dataset, "BurnedInAnnotation"),
        synthetic=_text(dataset, "ContentQualification") == "RESEARCH" and "DRAWN" in _values(dataset, "ImageType"),
    )


def _value(dataset: "Dataset", name: str) -> Any:
    try:
        return dataset.get(name)
    except (ValueError, TypeError, OverflowError, NotImplementedError):
        return None


def _text(dataset: "Dataset", name: str) -> str:
    found = _value(dataset, name)
    return "" if found is None else str(found).strip(" \0")


def _values(dataset: "Dataset", name: str) -> tuple[str, ...]:
    found = _value(dataset, name)
    return () if found is None or isinstance(found, str) else tuple(str(v) for v in found)


def _items(dataset: "Dataset", name: str) -> "Iterator[Dataset]":
    found = _value(dataset, name)
    yield from () if found is None else found


def _code(item: "Dataset") -> tuple[str, str]:
    """Value and scheme; a code may stand in any of three attributes by its length (PS3.3 8.1)."""
    value = _text(item, "CodeValue") or _text(item, "LongCodeValue") or _text(item, "URNCodeValue")
    return value, _text(item, "CodingSchemeDesignator")


def _day(text: str) -> str:
    digits = text.replace(".", "") if re.fullmatch(r"\d{4}\.\d\d\.\d\d", text) else text[:8]
    try:
        return f"{date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])):%Y%m%d}"
    except ValueError:
        return ""


def _age(dataset: "Dataset", acquired: str) -> float | None:
    found = _AGE.fullmatch(_text(dataset, "PatientAge").upper())
    if found:
        return round(int(found[1]) * _DAYS[found[2]] / _DAYS["Y"], 2)
    born = _day(_text(dataset, "PatientBirthDate"))
    if not born or not acquired:
        return None
    first, last = (date(int(d[:4]), int(d[4:6]), int(d[6:])) for d in (born, acquired))
    years = (last - first).days / _DAYS["Y"]
    return round(years, 2) if 0 <= years < 130 else None


def _site(dataset: "Dataset") -> tuple[str, str]:
    for name in ("PrimaryAnatomicStructureSequence", "AnatomicRegionSequence"):
        for item in _items(dataset, name):
            value, scheme = _code(item)
            if value:
                return f"{scheme}:{value}", _text(item, "CodeMeaning")
    return "", ""


def _fitzpatrick(dataset: "Dataset") -> str:
    """From the acquisition context, by the code of the answer: the question is coded in more than one way."""
    for item in _items(dataset, "AcquisitionContextSequence"):
        for answer in _items(item, "ConceptCodeSequence"):
            value, _ = _code(answer)
            if value in FITZPATRICK:
                return FITZPATRICK[value]
    return ""


def _spacing(dataset: "Dataset") -> tuple[float, float] | None:
    """Pixel Spacing is (between rows, between columns); ours is (across, down)."""
    found = _values(dataset, "PixelSpacing")
    try:
        down, across = (float(v) for v in found)
    except ValueError:
        return None
    return (across, down) if 0 < across < 100 and 0 < down < 100 else None
