"""An attribute that would have to go in, what an option of the profile lets stay of it out (DICOM PS3.15 E.3)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verticals.medical.privacy import dates, descriptors
from verticals.medical.privacy.confidentiality import Row

if TYPE_CHECKING:
    from pydicom import DataElement

_CODES = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "clean_descriptors": ("113105", "Clean Descriptors Option"),
    "modified_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "patient_characteristics": ("113108", "Retain Patient Characteristics Option"),
    "device_identity": ("113109", "Retain Device Identity Option"),
}
"""DICOM CID 7050, De-identification Method."""
_SEXES, _YES_NO = ("M", "F", "O"), ("YES", "NO", "UNKNOWN")


@dataclass(frozen=True)
class Options:
    """Which options of PS3.15 are used, beside the basic profile.

    Attributes:
        modified_dates: Dates move by a number of days that is secret and the same for all files of a patient.
        patient_characteristics: Age (above 89 as 90), sex, size and weight (rounded), smoking and pregnancy
            status stay.
        device_identity: Make and model of lens and source stay; serial numbers and names of stations never do.
        clean_descriptors: Descriptions stay where all of their words are known to name no one.
    """

    modified_dates: bool = True
    patient_characteristics: bool = True
    device_identity: bool = False
    clean_descriptors: bool = True

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code value and meaning of CID 7050 for exactly what is used."""
        return (_CODES["basic"], *(code for name, code in _CODES.items() if getattr(self, name, False)))


def retained(element: "DataElement", row: Row, options: Options, days: int) -> tuple[Any, str] | None:
    """The value that an option lets stay, and what that is called; None where it must not."""
    values = [str(v) for v in element.value] if element.VM > 1 else [str(element.value)]
    kept: list[Any]
    if row.option == "dates" and options.modified_dates:
        kept, action = [moved(v, row.vr, days) for v in values], "kept" if row.vr == "TM" else "shifted"
    elif row.option == "descriptors" and options.clean_descriptors:
        kept, action = [descriptors.cleaned(v) for v in values], "cleaned"
    elif row.option == "patient" and options.patient_characteristics:
        kept, action = [_characteristic(v, row.keyword) for v in values], "kept"
    elif row.option == "device" and options.device_identity:
        kept, action = list(values), "kept"
    else:
        return None
    if any(v is None for v in kept):
        return None
    return (kept if len(kept) > 1 else kept[0]), action


def moved(value: str, vr: str, days: int) -> str | None:
    """A DA or DT value moved by ``days``, a TM value as it is; None where it does not have the form of its VR."""
    if vr == "TM":
        return dates.kept_time(value)
    return dates.shifted_date(value, days) if vr == "DA" else dates.shifted_datetime(value, days)


def _characteristic(value: str, keyword: str) -> Any:
    """A characteristic in the form that the standard gives it; anything else could be a name."""
    if keyword == "PatientAge":
        return dates.capped_age(value)
    if keyword in ("PatientSize", "PatientWeight"):
        digits, top = (2, 2.5) if keyword == "PatientSize" else (0, 400)
        try:
            number = round(float(value), digits)
        except ValueError:
            return None
        return f"{number:g}" if 0 < number <= top else None
    if keyword == "PregnancyStatus":
        return int(value) if value in ("1", "2", "3", "4") else None
    allowed = {"PatientSex": _SEXES, "PatientSexNeutered": ("ALTERED", "UNALTERED"), "SmokingStatus": _YES_NO}
    return value if value in allowed[keyword] else None
