"""A free-text descriptor in, the same text out if every word of it is known to name no one, else nothing.

All or nothing, and by a list of what is allowed, because a list of names is never complete: "left forearm, follow up"
stays, "left forearm, Mrs Palm" goes as a whole.
"""

import re
from functools import cache

_WORDS = """
and at before after close closeup up down view views overview detail of on in with without the to left right bilateral
upper lower middle medial lateral anterior posterior dorsal ventral proximal distal central inner outer front side
baseline follow followup control visit first second third series image images photo photograph photography clinical
dermoscopy dermoscopic dermatoscopy dermatoscopic dermatology skin lesion lesions mole nevus naevus macro macroscopic
polarized polarised polarization nonpolarized contact noncontact immersion total body mapping biopsy site scar ruler
scale color colour standard calibrated mm cm x original derived lossy lossless compressed jpeg cropped resized secondary
capture research screening triage consultation teledermatology whole slide confocal microscopy melanoma suspected
"""
_CONTEXT_GROUPS = (4029, 4030, 4031)
"""Anatomic sites: dermatology, and the general regions of which it is a part (DICOM PS3.16)."""
_SEPARATORS = re.compile(r"[\s,;:/()+._-]+")


@cache
def vocabulary() -> frozenset[str]:
    """Words that may stay, in lower case: the words of anatomic sites in DICOM and those of the photographs' trade."""
    from pydicom.sr._cid_dict import cid_concepts

    keywords = (k for group in _CONTEXT_GROUPS for names in cid_concepts.get(group, {}).values() for k in names)
    parts = (part.lower() for keyword in keywords for part in re.findall(r"[A-Z]?[a-z]+", keyword))
    return frozenset(_WORDS.split()) | {part for part in parts if len(part) > 2}


def cleaned(text: str) -> str | None:
    """The text where all of its words are in :func:`vocabulary` and it holds no number; else None."""
    words = [word for word in _SEPARATORS.split(text.lower()) if word]
    return text.strip() if words and all(word in vocabulary() for word in words) else None
