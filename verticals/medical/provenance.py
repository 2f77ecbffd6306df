"""What a header or table says about one photograph in, what may stand beside it in a manifest out: no name, no id."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shared.data import images
from shared.records import Provenance
from verticals.medical.dicom import dicom_read
from verticals.medical.dicom.colour import Picture
from verticals.medical.dicom.dicom_facts import Facts
from verticals.medical.dicom.dicom_read import ACCEPTED, Photographs
from verticals.medical.labels_table import LabelRow
from verticals.medical.privacy import dates, pseudonyms
from verticals.medical.privacy.pseudonyms import Key

OLDEST_YEARS = 90.0
"""Ages above 89 identify by themselves (45 CFR 164.514(b)(2)(i)(C)); all are written as 90."""
_MAKE, _MODEL, _EXIF, _TAKEN = 0x010F, 0x0110, 0x8769, 0x9003
"""EXIF 2.3: Make, Model, the EXIF directory and DateTimeOriginal."""


@dataclass(frozen=True)
class Photograph:
    """One frame, and what may be told about it.

    Attributes:
        picture: ``(rows, columns, 3)`` uint8 sRGB.
        number: Frame number, from 1.
        frames: Frames in the file.
        patient: Pseudonym of the patient, or of the study, which has one patient, where nobody said whose it is.
        told: Whether somebody said whose it is.
        mm_per_px: Millimetres per pixel (across, down).
        provenance: Facts without any identifier.
        warnings: What was corrected in reading.
    """

    picture: Picture
    number: int
    frames: int
    patient: str
    mm_per_px: tuple[float, float] | None
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    told: bool = False


def photographs(path: Path, row: LabelRow, key: Key) -> tuple[Photograph, ...]:
    """Read a DICOM object or an image file.

    Args:
        path: The file.
        row: What the table of labels says about it.
        key: Makes the pseudonyms.

    Raises:
        DataError: It cannot be read; the sentence starts with the path.
        MissingDependency: pydicom or a codec is not installed.
    """
    if dicom_read.is_dicom(path) or path.suffix.lower() in dicom_read.SUFFIXES:
        return _of_dicom(path, dicom_read.read(path), row, key)
    picture = images.read(path)
    patient = pseudonyms.patient(key, row.patient) if row.patient else ""
    device, taken = _exif(path)
    known: dict[str, str | float] = {
        "file_sha256": images.content_hash(path),
        "kind": "photograph",
        "device": device,
        "visit_date_shifted": _shifted(taken, key, row.patient, ""),
        "lesion": pseudonyms.opaque(key, "lesion", row.lesion) if row.lesion else "",
        **row.facts,
    }
    if "age_years" in row.facts:
        known["age_years"] = min(float(row.facts["age_years"]), OLDEST_YEARS)
    facts = {k: v for k, v in known.items() if v != ""}
    return (Photograph(picture, 1, 1, patient, None, facts, told=bool(row.patient)),)


def _of_dicom(path: Path, read: Photographs, row: LabelRow, key: Key) -> tuple[Photograph, ...]:
    said, content = read.facts, images.content_hash(path)
    patient = _patient(said, row, key)
    shared: dict[str, str | int | float] = {
        "file_sha256": content,
        "kind": ACCEPTED[said.sop_class],
        "sop_instance": pseudonyms.uid(key, said.sop_instance) if said.sop_instance else "",
        "study": pseudonyms.uid(key, said.study_instance) if said.study_instance else "",
        "lesion": pseudonyms.opaque(key, "lesion", said.lesion or row.lesion) if said.lesion or row.lesion else "",
        "visit_date_shifted": _shifted(said.acquired, key, said.patient_id or row.patient, said.patient_issuer),
        "sex": said.sex or row.facts.get("sex", ""),
        "body_site": said.body_site,
        "body_site_name": said.body_site_name or row.facts.get("body_site_name", ""),
        "laterality": said.laterality,
        "fitzpatrick": said.fitzpatrick or row.facts.get("fitzpatrick", ""),
        "modality": said.modality,
        "device": said.device,
        "recognizable": said.recognizable,
        "burned_in": said.burned_in,
        "transfer_syntax": read.transfer_syntax,
        "icc": read.icc,
        "corrected": "; ".join(read.warnings),
    }
    shared |= {name: row.facts[name] for name in ("thickness_mm", "diameter_mm") if name in row.facts}
    age = said.age_years if said.age_years is not None else row.facts.get("age_years")
    if age is not None:
        shared["age_years"] = min(float(age), OLDEST_YEARS)
    if said.synthetic:
        shared["synthetic"] = True
    told = {k: v for k, v in shared.items() if v != ""}
    return tuple(
        Photograph(
            picture,
            number,
            read.total,
            patient,
            said.mm_per_px,
            {**told, "frame_number": number, "frames": read.total} if read.total > 1 else told,
            read.warnings,
            bool(said.patient_id or row.patient),
        )
        for picture, number in zip(read.frames, read.numbers, strict=True)
    )


def _patient(said: Facts, row: LabelRow, key: Key) -> str:
    """By Patient ID, else by the table (the same id is the same patient), else by the study, which has one patient."""
    if said.patient_id:
        return pseudonyms.patient(key, said.patient_id, said.patient_issuer)
    if row.patient:
        return pseudonyms.patient(key, row.patient)
    return pseudonyms.patient(key, said.study_instance, "study") if said.study_instance else ""


def _shifted(day: str, key: Key, patient: str, issuer: str) -> str:
    """The day, moved by the patient's own constant; empty where either is not known."""
    if not day or not patient:
        return ""
    return dates.shifted_date(day, pseudonyms.days(key, patient, issuer)) or ""


def _exif(path: Path) -> tuple[str, str]:
    """Camera, and day of exposure as ``YYYYMMDD``; place and serial numbers are never looked at."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            words = (str(exif.get(tag, "")).strip(" \0") for tag in (_MAKE, _MODEL))
            taken = str(exif.get_ifd(_EXIF).get(_TAKEN, ""))[:10].replace(":", "")
    except (OSError, ValueError, SyntaxError, KeyError, TypeError):
        return "", ""
    return " ".join(word for word in words if word), taken if taken.isdigit() and len(taken) == 8 else ""
