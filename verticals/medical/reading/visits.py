"""The picture of an item in, what its ingest knows of it out: its patient's facts, and all pictures of its lesion."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

from shared.data import ingested
from shared.errors import DataError
from shared.records import Provenance, Sample

_FACTS: Mapping[str, str] = {
    "age_years": "age", "sex": "sex", "body_site_name": "site", "laterality": "side", "fitzpatrick": "skin type",
    "kind": "kind",
}  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """One photograph of a lesion.

    Attributes:
        frame: Its name.
        image: The file.
        day: When it was taken, moved by the patient's own constant: only differences mean something. None if unknown.
        mm_per_px: Millimetres per pixel (across, down), None where unknown.
    """

    frame: str
    image: Path
    day: date | None
    mm_per_px: tuple[float, float] | None


def facts(image: str, frame: str) -> dict[str, str]:
    """What a clinician wants to know of the patient and the place, as far as the ingest knows it; no identifier."""
    known = _provenance(samples_of(image).get(frame))
    return {word: _said(known[key]) for key, word in _FACTS.items() if known.get(key) not in (None, "")}


def visits(image: str, frame: str) -> tuple[Visit, ...]:
    """All pictures of the lesion that a picture shows, the earliest first; those without a day come first.

    Lesions are known by the tracking id of their objects or of the table of labels, as pseudonyms, and are one
    patient's: two patients may each have a lesion 1. A picture of which no lesion is known has only itself.
    """
    samples = samples_of(image)
    own = samples.get(frame)
    lesion = _provenance(own).get("lesion", "")
    same = [
        s for s in samples.values() if own and lesion and (s.group, s.provenance.get("lesion")) == (own.group, lesion)
    ]
    home = Path(image).parent.parent
    found = [Visit(s.frame, home / s.path, _day(s.provenance), s.mm_per_px) for s in same]
    return tuple(sorted(found, key=lambda visit: (visit.day or date.min, visit.frame)))


def samples_of(image: str) -> Mapping[str, Sample]:
    """Samples by frame of the ingest beside which a frame lies; none where it does not come from an ingest."""
    home = Path(image).parent.parent
    record = home / ingested.RECORD
    if not image or not record.is_file():
        return {}
    return _loaded(home, record.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _loaded(home: Path, _written: int) -> Mapping[str, Sample]:
    try:
        return {sample.frame: sample for sample in ingested.load(home).samples}
    except DataError:
        # Facts beside the picture are a help; without them the picture is still there to be read.
        return {}


def _provenance(sample: Sample | None) -> Provenance:
    return sample.provenance if sample is not None else {}


def _day(provenance: Provenance) -> date | None:
    said = str(provenance.get("visit_date_shifted", ""))
    try:
        return date.fromisoformat(f"{said[:4]}-{said[4:6]}-{said[6:8]}")
    except ValueError:
        return None


def _said(value: str | int | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
