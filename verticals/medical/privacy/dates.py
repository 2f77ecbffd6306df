"""DICOM dates and times in, the same moved by a whole number of days out.

A whole number, because then an attribute that holds a date alone, one that holds a time alone and one that holds both
stay in step, no midnight is crossed, and every interval between two of them survives exactly. The price is that times
of day stay what they were. An offset from UTC says where in the world somebody is, and is dropped.
"""

import re
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_DATETIME = re.compile(r"(\d{8})((?:\d{2}){0,3}(?:\.\d{1,6})?)([+-]\d{4})?")
_TIME = re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?([0-5]\d|60)(\.\d{1,6})?)?)?")


def shifted_date(value: str, days: int) -> str | None:
    """A DA value (``YYYYMMDD``, or ``YYYY.MM.DD`` of ACR-NEMA) ``days`` later; None where it is no date."""
    found = _DATE.fullmatch(value.strip())
    if not found:
        return None
    try:
        moved = date(*(int(part) for part in found.groups())) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved:%Y%m%d}" if moved.year >= 1000 else None


def shifted_datetime(value: str, days: int) -> str | None:
    """A DT value ``days`` later, without offset from UTC; None where it names no day or is not a DT."""
    found = _DATETIME.fullmatch(value.strip())
    moved = shifted_date(found[1], days) if found else None
    if not found or moved is None or (found[2] and not _TIME.fullmatch(found[2])):
        return None
    return moved + found[2]


def kept_time(value: str) -> str | None:
    """A TM value as it is; None where it is no time of day, and could be anything."""
    return value.strip() if _TIME.fullmatch(value.strip()) else None


def capped_age(value: str) -> str | None:
    """An AS value; above 89 years ``090Y``, None where it is no age.

    Ages over 89 identify by themselves (HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C)).
    """
    found = re.fullmatch(r"(\d{3})([DWMY])", value.strip())
    if not found:
        return None
    years = int(found[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[found[2]]
    return "090Y" if years >= 90 else found[0]
