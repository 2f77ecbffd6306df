"""A picture and where the model looked in, a DICOM secondary capture for the archive out; never a diagnosis.

The words that say so lie in the pixels, because a viewer shows pixels and seldom a header. They stand beside the
picture and cover nothing of it.
"""

from copy import deepcopy
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError, require
from shared.inference.explanation import overlay
from shared.records import Decision, Verdict
from verticals.medical import taxonomy
from verticals.medical.dicom import dicom_write, lettering
from verticals.medical.dicom.colour import Picture
from verticals.medical.dicom.dicom_write import Exposure
from verticals.medical.dicom.report_content import Algorithm
from verticals.medical.taxonomy import UNKNOWN

if TYPE_CHECKING:
    from pydicom import Dataset

BURNED_IN = "DECISION SUPPORT, NOT A DIAGNOSIS"
SERIES_DESCRIPTION = "Where the model looked; not a diagnosis"
_SERIES_NUMBER = 9001
_NARROWEST = 480
"""Width in pixels on which the words can be read; narrower pictures get a black margin."""
_SMALLER = 0.6
"""Size of the lines below, as a share of the warning's."""
_INHERITED = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate",
    "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "AnatomicRegionSequence",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "ImageLaterality",
    "TrackingID", "TrackingUID", "RecognizableVisualFeatures", "ContentQualification", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
"""What is as true of the overlay as of its source; what was once lossy stays so (PS3.3 C.7.6.1.1.5)."""


def overlay_capture(
    source: "Dataset",
    picture: Picture,
    places: NDArray[np.floating],
    decision: Decision,
    algorithm: Algorithm,
    at: datetime,
    frame: int | None = None,
) -> "Dataset":
    """A Secondary Capture Image (PS3.3 A.8.1), RGB, of the map over its picture, between two strips of words.

    Args:
        source: The object the picture is from, its pixels not needed.
        picture: ``(rows, columns, 3)`` uint8 sRGB, as :func:`verticals.medical.dicom.dicom_read.read` gives it.
        places: What speaks for the decision's label, see :func:`shared.inference.explanation.contrast`; any
            ``(rows, columns)``.
        decision: About this picture alone.
        algorithm: What scored it.
        at: When, in the site's local time.
        frame: Which frame of a multi-frame source the picture is, from 1 (Referenced Frame Number, PS3.3 C.7.6.2.1);
            None where the source has one alone.

    Raises:
        DataError: Nothing was examined, no disease is named, or the picture is not as large as its source.
    """
    label = _label(decision)
    shape = (int(source.get("Rows", 0)), int(source.get("Columns", 0)), 3)
    if picture.shape != shape or picture.dtype != np.uint8:
        raise DataError(
            f"{decision.frame}: the picture is {picture.shape} {picture.dtype} and its source {shape}; give the "
            "decoded picture of this very object as uint8 RGB"
        )
    drawn = "DRAWN" in (source.get("ImageType") or ())
    about = Exposure(str(source.get("PatientID", "")), at, study_uid=str(source.StudyInstanceUID), drawn=drawn)
    name = algorithm.name if lettering.drawable(algorithm.name) else f"bundle {algorithm.bundle_hash[:16]}"
    lines = (BURNED_IN, f"Where the model looked for: {label}", f"{name} {algorithm.version}")
    result = dicom_write.secondary_capture(captioned(overlay(picture, places), lines), about)
    _describe(result, source, algorithm, drawn)
    if frame is not None:
        result.SourceImageSequence[0].ReferencedFrameNumber = frame
    return result


def captioned(picture: Picture, lines: tuple[str, str, str]) -> Picture:
    """The picture with the first line on a black strip above it, as wide as fits, and the others smaller below it.

    Args:
        picture: ``(rows, columns, 3)`` uint8 RGB; it is covered nowhere.
        lines: Of letters that :func:`verticals.medical.dicom.lettering.drawable` knows.

    Raises:
        DataError: The font has no such letter.
    """
    rows, columns = picture.shape[:2]
    width = max(columns, _NARROWEST)
    size = lettering.size_for(BURNED_IN, width)
    above, below = lettering.strip(lines[:1], width, size), lettering.strip(lines[1:], width, _SMALLER * size)
    result = np.zeros((above.shape[0] + rows + below.shape[0], width, 3), np.uint8)
    left = (width - columns) // 2
    result[: above.shape[0]] = above
    result[above.shape[0] : above.shape[0] + rows, left : left + columns] = picture
    result[above.shape[0] + rows :] = below
    return result


def _label(decision: Decision) -> str:
    if decision.verdict is Verdict.NOT_EXAMINED or not decision.findings:
        raise DataError(f"{decision.frame}: nothing was examined, so that no map is shown; take the picture again")
    label = decision.findings[0].label
    if label == UNKNOWN:
        raise DataError(f"{decision.frame}: no disease is named, so that a map would explain nothing; show none")
    return taxonomy.resolve(label).name


def _describe(result: Any, source: Any, algorithm: Algorithm, drawn: bool) -> None:
    """What makes it a derived image with words in it, of the same patient and study as its source."""
    pydicom = require("pydicom", extra="medical")
    for name in _INHERITED:
        if name in source:
            result[name] = deepcopy(source[name])
    if result.get("ImageLaterality") and "Laterality" in result:
        del result.Laterality
    result.ImageType = ["DERIVED", "SECONDARY", "", "DRAWN"] if drawn else ["DERIVED", "SECONDARY"]
    result.BurnedInAnnotation, result.ConversionType = "YES", "WSD"
    result.SeriesDescription, result.SeriesNumber = SERIES_DESCRIPTION, _SERIES_NUMBER
    result.DerivationDescription = f"Map of what speaks for a label, laid over the picture. {BURNED_IN}"
    result.Manufacturer, result.ManufacturerModelName = "loupe-vision", algorithm.name
    result.SoftwareVersions, result.DeviceSerialNumber = algorithm.version, algorithm.bundle_hash
    reference, purpose = pydicom.Dataset(), pydicom.Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [purpose]
    result.SourceImageSequence = [reference]
