"""A picture in, what a Sample's provenance says about it, out: fit for a score, only noted, or to be taken again."""

from shared.errors import DataError
from shared.records import Provenance
from verticals.medical.decide import NOT_SCORED, NOTED, QUALITY
from verticals.medical.dicom.colour import Picture
from verticals.medical.photograph import measures, quality, skin
from verticals.medical.privacy import burned_in, faces

TEXT = "writing seems to be burned into the picture and may name the patient: look before it leaves the site"
FACE = "a face may be in it, by which the patient can be recognised: look before it leaves the site"
LARGER = "take it again with the camera's full size"
NO_SKIN = "its colours or its roughness are not those of skin: photograph the skin alone, in colour and in white light"


def examined(picture: Picture, *, side_px: int | None = None) -> Provenance:
    """What must stand beside a picture before anything may be said about it.

    A blocking fault, colours unlike skin, or a picture too small to be looked at: the sentence why and how to take it
    again, and nothing scores it. Lesser faults and writing in the picture are noted, and a face where scikit-image is
    installed. Nothing here is about disease.

    Args:
        picture: ``(rows, columns, 3)`` uint8 sRGB.
        side_px: Shorter side of the photograph where ``picture`` is a smaller copy of it; None where it is not.

    Returns:
        ``quality``, and where there is something to say ``not_scored`` and ``noted``.
    """
    try:
        small = measures.shrunk(picture)  # once: of 12 megapixels it takes as long as all measures together
        blocking, noted = _faults(small, side_px or min(picture.shape[:2]))
    except DataError as error:
        return {QUALITY: "checked", NOT_SCORED: f"{error}; {LARGER}"}
    if burned_in.find(picture, quick=True):
        noted.append(TEXT)
    if faces.available() and faces.find(small):
        noted.append(FACE)
    told = {QUALITY: "checked", NOT_SCORED: "; ".join(blocking), NOTED: "; ".join(noted)}
    return {name: words for name, words in told.items() if words}


def unfit(picture: Picture) -> str | None:
    """Why nothing may score a picture ``(rows, columns, 3)`` uint8 sRGB; None where it may be scored."""
    try:
        blocking, _ = _faults(measures.shrunk(picture), min(picture.shape[:2]))
    except DataError as error:
        return f"below the quality gate: {error}; {LARGER}"
    return f"below the quality gate: {'; '.join(blocking)}" if blocking else None


def _faults(small: Picture, side_px: int) -> tuple[list[str], list[str]]:
    """What forbids a score, and what is only noted."""
    faults = quality.examine(small, side_px=side_px)
    blocking = [_words(f) for f in faults if f.blocking] + ([NO_SKIN] if skin.colour(small).refused else [])
    return blocking, [_words(f) for f in faults if not f.blocking]


def _words(fault: quality.Fault) -> str:
    beyond = f"{fault.name.replace('_', ' ')} ({fault.score:.2g}, a fault from {fault.limit:g})"
    return f"{beyond}: {fault.advice[0].lower()}{fault.advice[1:].rstrip('.')}"
