"""A photograph or an RGB array and what is known of it in, a DICOM photographic, dermoscopic or captured object out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import atomic
from shared.errors import DataError, require
from verticals.medical.dicom import dicom_encode
from verticals.medical.dicom.colour import Picture
from verticals.medical.dicom.dicom_facts import FITZPATRICK
from verticals.medical.dicom.dicom_read import DERMOSCOPIC, PHOTOGRAPHIC, SECONDARY_CAPTURE

if TYPE_CHECKING:
    from pydicom import Dataset

_IMMERSION = frozenset({"", "ALCOHOL", "WATER", "ULTRASOUND_GEL", "MINERAL_OIL"})


@dataclass(frozen=True)
class Code:
    """A coded concept (PS3.3 8.1): value, scheme, meaning, e.g. ``("38266002", "SCT", "Entire body as a whole")``."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Exposure:
    """What is known about one photograph. Empty text and None are written as empty or left out.

    Attributes:
        patient_id: Patient ID.
        acquired: When the photograph was taken.
        patient_name: DICOM form, ``family^given``.
        age_years: Age, 0 to 999.
        sex: ``M``, ``F``, ``O`` or empty.
        fitzpatrick: Fitzpatrick skin type, ``I`` to ``VI``, or empty.
        body_site: Anatomic region, e.g. of CID 4029.
        laterality: ``R``, ``L``, ``U``, ``B`` or empty; DICOM asks for it where the body site is one of a pair.
        lesion_id: Name of the lesion at the site that writes, the same at every visit.
        lesion_uid: UID of the lesion, likewise.
        study_uid: Study Instance UID; new where empty, as are the next two.
        series_uid: Series Instance UID.
        instance_uid: SOP Instance UID.
        manufacturer: Maker of the camera.
        model: Its model.
        mm_per_px: Millimetres per pixel (across, down), where it was calibrated.
        polarized: Light of a dermoscope.
        contact: Whether a dermoscope touched the skin.
        immersion: ``ALCOHOL``, ``WATER``, ``ULTRASOUND_GEL``, ``MINERAL_OIL`` or empty.
        colour_temperature_k: Of the light, kelvin.
        magnification: Optical magnification of a dermoscope.
        recognizable: Whether a person could be recognised by face or marks; said to be so unless somebody looked.
        drawn: The picture was drawn and photographs nobody; written as fourth value of Image Type and as
            Content Qualification RESEARCH.
    """

    patient_id: str
    acquired: datetime
    patient_name: str = ""
    age_years: int | None = None
    sex: str = ""
    fitzpatrick: str = ""
    body_site: Code | None = None
    laterality: str = ""
    lesion_id: str = ""
    lesion_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    instance_uid: str = ""
    manufacturer: str = ""
    model: str = ""
    mm_per_px: tuple[float, float] | None = None
    polarized: bool = True
    contact: bool = True
    immersion: str = ""
    colour_temperature_k: float | None = None
    magnification: float | None = None
    recognizable: bool = True
    drawn: bool = False

    def __post_init__(self) -> None:
        allowed = {
            "sex": ("", "M", "F", "O"),
            "laterality": ("", "R", "L", "U", "B"),
            "fitzpatrick": ("", *FITZPATRICK.values()),
            "immersion": tuple(sorted(_IMMERSION)),
        }
        for name, words in allowed.items():
            if getattr(self, name) not in words:
                found = getattr(self, name)
                raise DataError(f"{name} is {found!r}; allowed are {', '.join(w or 'nothing' for w in words)}")


def photographic(pixels: Picture | Path, exposure: Exposure, *, transfer_syntax: str | None = None) -> "Dataset":
    """A VL Photographic Image (PS3.3 A.32.4).

    Args:
        pixels: ``(rows, columns, 3)`` uint8 sRGB, or an image file. The bytes of a baseline JPEG that lies upright are
            kept as they are, without its EXIF; other files are decoded, turned as EXIF says and converted to sRGB.
        exposure: What is known about it.
        transfer_syntax: UID, one of :data:`verticals.medical.dicom.dicom_encode.SYNTAXES`; None keeps a JPEG and writes
            everything else as Explicit VR Little Endian.

    Raises:
        DataError: The picture cannot be read, or the transfer syntax is not written.
    """
    dataset = _object(PHOTOGRAPHIC, "XC", exposure)
    _photographed(dataset, exposure)
    return dicom_encode.put(dataset, pixels, transfer_syntax)


def dermoscopic(pixels: Picture | Path, exposure: Exposure, *, transfer_syntax: str | None = None) -> "Dataset":
    """A Dermoscopic Photography Image (PS3.3 A.32.11, Supplement 221); arguments as for :func:`photographic`."""
    uid = require("pydicom.uid", extra="medical")
    dataset = _object(DERMOSCOPIC, "DMS", exposure)
    _photographed(dataset, exposure)
    # The lesion is the frame of reference: pictures of one lesion share it, and no two lesions do.
    frame = uid.generate_uid(entropy_srcs=["frame", exposure.lesion_uid]) if exposure.lesion_uid else uid.generate_uid()
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = frame, ""
    dataset.LightSourcePolarization = "POLARIZED" if exposure.polarized else "NON_POLARIZED"
    dataset.EmitterColorTemperature = exposure.colour_temperature_k
    dataset.ContactMethod = "CONTACT" if exposure.contact else "NON_CONTACT"
    if exposure.contact:
        dataset.ImmersionMedia = exposure.immersion  # type 2C: empty is "not known"
    dataset.OpticalMagnificationFactor = exposure.magnification
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "unknown", "unknown"
    dataset.Manufacturer = exposure.manufacturer or "unknown"
    dataset.ManufacturerModelName = exposure.model or "unknown"
    return dicom_encode.put(dataset, pixels, transfer_syntax)


def secondary_capture(
    pixels: Picture | Path, exposure: Exposure, *, transfer_syntax: str | None = None, palette: bool = False
) -> "Dataset":
    """A Secondary Capture Image (PS3.3 A.8.1), the form in which most exported photographs arrive.

    Args:
        pixels: As for :func:`photographic`.
        exposure: As for :func:`photographic`.
        transfer_syntax: As for :func:`photographic`; of an uncompressed kind or RLE with ``palette``.
        palette: Write 255 colours as PALETTE COLOR.
    """
    dataset = _object(SECONDARY_CAPTURE, "OT", exposure)
    dataset.ConversionType = "DI"
    if palette:
        return dicom_encode.put_palette(dataset, pixels, transfer_syntax)
    return dicom_encode.put(dataset, pixels, transfer_syntax)


def save(dataset: "Dataset", path: Path) -> None:
    """Write an object with preamble and file meta information (PS3.10), whole or not at all."""
    with atomic.file(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def _object(sop_class: str, modality: str, exposure: Exposure) -> "Dataset":
    """The modules that all three have: Patient, Study, Series, Equipment, General Image, SOP Common."""
    pydicom = require("pydicom", extra="medical")
    made: Callable[[], str] = require("pydicom.uid", extra="medical").generate_uid
    dataset: Dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, exposure.instance_uid or made()
    dataset.StudyInstanceUID = exposure.study_uid or made()
    dataset.SeriesInstanceUID = exposure.series_uid or made()
    day, time = f"{exposure.acquired:%Y%m%d}", f"{exposure.acquired:%H%M%S}"
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{name}Date", day)
        setattr(dataset, f"{name}Time", time)
    dataset.AcquisitionDateTime = day + time
    dataset.PatientName, dataset.PatientID = exposure.patient_name, exposure.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "", exposure.sex
    if exposure.age_years is not None:
        dataset.PatientAge = f"{exposure.age_years:03d}Y"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 1, 1
    dataset.Manufacturer, dataset.ManufacturerModelName = exposure.manufacturer, exposure.model
    dataset.PatientOrientation = ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "", "DRAWN"] if exposure.drawn else ["ORIGINAL", "PRIMARY"]
    if exposure.drawn:
        dataset.ContentQualification, dataset.BurnedInAnnotation = "RESEARCH", "NO"
    if exposure.lesion_id or exposure.lesion_uid:
        dataset.TrackingID = exposure.lesion_id or exposure.lesion_uid
        dataset.TrackingUID = exposure.lesion_uid or made()
    if exposure.mm_per_px:
        across, down = exposure.mm_per_px
        as_text = require("pydicom.valuerep", extra="medical").format_number_as_ds  # a DS has at most 16 characters
        dataset.PixelSpacing = [as_text(float(down)), as_text(float(across))]
    _anatomy(dataset, exposure)
    return dataset


def _anatomy(dataset: Any, exposure: Exposure) -> None:
    if exposure.body_site is not None:
        dataset.AnatomicRegionSequence = [_coded(exposure.body_site)]
    if exposure.laterality:
        dataset.ImageLaterality = exposure.laterality
    elif exposure.body_site is None:
        dataset.Laterality = ""  # type 2C: empty is "not known"


def _photographed(dataset: Any, exposure: Exposure) -> None:
    """VL Image, Acquisition Context, and whether somebody could be recognised."""
    dataset.AcquisitionContextSequence = []
    dataset.RecognizableVisualFeatures = "YES" if exposure.recognizable else "NO"
    if exposure.fitzpatrick:
        pydicom = require("pydicom", extra="medical")
        value = next(code for code, skin in FITZPATRICK.items() if skin == exposure.fitzpatrick)
        item = pydicom.Dataset()
        item.ValueType = "CODE"
        # The question as pydicom's copy of PS3.16 has it, and the answer of CID 4401.
        question = Code("443635002", "SCT", "Fitzpatrick classification of skin type")
        item.ConceptNameCodeSequence = [_coded(question)]
        item.ConceptCodeSequence = [_coded(Code(value, "LN", f"Fitzpatrick Skin Type {exposure.fitzpatrick}"))]
        dataset.AcquisitionContextSequence = [item]


def _coded(code: Code) -> Any:
    item = require("pydicom", extra="medical").Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item
