"""A seed in, a folder of drawn dermoscopic pictures as real DICOM objects with masks and labels out."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared import atomic
from shared.data import images
from verticals.medical.dicom import dicom_encode, dicom_write
from verticals.medical.dicom.colour import Picture
from verticals.medical.dicom.dicom_write import Code, Exposure
from verticals.medical.drawing import artefacts
from verticals.medical.drawing.lesions import DRAW, GROWTH
from verticals.medical.drawing.skin_optics import Layers, Rng, moved, seen
from verticals.medical.ingest import MASK_SUFFIX
from verticals.medical.labels_table import TABLE

if TYPE_CHECKING:
    from pydicom import Dataset

FIELD_MM = 10.0
"""Width of the field of view, as of a common handheld dermoscope."""
_TONES, _TONE_SHARES = ("I", "II", "III", "IV", "V", "VI"), (0.14, 0.24, 0.24, 0.16, 0.12, 0.10)
_SITES = (
    Code("77568009", "SCT", "Back"),
    Code("51185008", "SCT", "Chest"),
    Code("69536005", "SCT", "Head"),
    Code("53120007", "SCT", "Upper limb"),
    Code("61685007", "SCT", "Lower limb"),
)
"""Anatomic regions of CID 4031 as pydicom ships them."""
_LESIONS_EACH = 3
"""Lesions of one patient."""
_VISITS = (1, 1, 2, 3)
_FIRST_DAY = datetime(2021, 3, 1, 9, 0)

Make = Callable[[Picture, Exposure], "Dataset"]


def _as(make: Callable[..., "Dataset"], syntax: str) -> Make:
    return partial(make, transfer_syntax=syntax)


FORMS: Mapping[str, Make] = MappingProxyType(
    {
        "dermoscopic, uncompressed": dicom_write.dermoscopic,
        "dermoscopic, RLE": _as(dicom_write.dermoscopic, dicom_encode.RLE),
        "dermoscopic, JPEG-LS": _as(dicom_write.dermoscopic, dicom_encode.JPEG_LS),
        "dermoscopic, JPEG 2000": _as(dicom_write.dermoscopic, dicom_encode.JPEG_2000),
        "dermoscopic, JPEG": _as(dicom_write.dermoscopic, dicom_encode.JPEG_BASELINE),
        "photographic, implicit": _as(dicom_write.photographic, dicom_encode.IMPLICIT_LITTLE),
        "photographic, JPEG-LS near": _as(dicom_write.photographic, dicom_encode.JPEG_LS_NEAR),
        "photographic, JPEG 2000 lossy": _as(dicom_write.photographic, dicom_encode.JPEG_2000_LOSSY),
        "captured, palette": partial(dicom_write.secondary_capture, palette=True),
    }
)
"""What a clinic's archive holds: how the objects are written, in turn."""


@dataclass(frozen=True)
class Lesion:
    """One drawn lesion.

    Attributes:
        number: Its place in the set, from 0.
        label: A label of HAM10000.
        patient: Number of the patient, from 0.
        visits: How often it is photographed.
    """

    number: int
    label: str
    patient: int
    visits: int


def synth(out: Path, *, seed: int = 0, small: bool = False, lesions: int | None = None) -> Path:
    """Draw lesions of the seven families of HAM10000, some at several visits, and write them as DICOM.

    One file per photograph in ``out/<patient>/``; beside it ``<stem>.mask.png`` (255 inside of the lesion), and in
    ``out`` the table ``labels.csv``. The form of a file has nothing to do with its label. The same arguments give the
    same bytes. Each object says that it was drawn (Image Type, Content Qualification RESEARCH); a number measured on
    these pictures is no accuracy on patients.

    Args:
        out: Folder; made where it does not exist, files of the same names are replaced.
        seed: Seed of everything random.
        small: 42 lesions of 224 x 224 pixels instead of 210 of 320 x 320.
        lesions: Number of lesions, instead of 42 or 210.

    Returns:
        ``out``.
    """
    side, count = (224, 42) if small else (320, 210)
    plan = _plan(np.random.default_rng([seed, 0]), count if lesions is None else lesions)
    forms = _deck(np.random.default_rng([seed, 1]), sum(lesion.visits for lesion in plan))
    rows = []
    for lesion in tqdm(plan, desc="drawing lesions", unit="lesion", disable=None, leave=False):
        layers = DRAW[lesion.label](np.random.default_rng([seed, 2, lesion.number]), side, side / FIELD_MM)
        for visit in range(lesion.visits):
            rng = np.random.default_rng([seed, 3, lesion.number, visit])
            exposure = _exposure(seed, lesion, visit, side)
            picture, mask = photograph(rng, layers, exposure.fitzpatrick, growth=GROWTH.get(lesion.label, 1.0) ** visit)
            stem = out / exposure.patient_id / f"lesion{lesion.number + 1:03d}-visit{visit + 1}"
            form = next(forms)
            images.write_png(stem.with_name(stem.name + MASK_SUFFIX), mask)
            dicom_write.save(FORMS[form](picture, exposure), stem.with_suffix(".dcm"))
            rows.append([stem.with_suffix(".dcm").relative_to(out).as_posix(), lesion.label, exposure.patient_id])
            rows[-1] += [exposure.lesion_id, str(visit + 1), exposure.fitzpatrick, form]
    columns = ["path", "label", "patient", "lesion", "visit", "fitzpatrick", "form"]
    atomic.write(out / TABLE, pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n"))
    return out


def photograph(rng: Rng, layers: Layers, tone: str, *, growth: float) -> tuple[Picture, NDArray[np.uint8]]:
    """One look at a lesion through a dermoscope.

    Args:
        rng: Of this visit: place, turn, hair, bubbles, light.
        layers: The lesion, ``(side, side)`` each.
        tone: Fitzpatrick type of the skin.
        growth: How many times as wide the lesion is as when it was drawn.

    Returns:
        ``(side, side, 3)`` uint8 sRGB, and the mask of the lesion, ``(side, side)`` uint8 of 0 and 255.
    """
    side = layers.inside.shape[0]
    px_per_mm = side / FIELD_MM
    place = (float(rng.normal(0, 0.04 * side)), float(rng.normal(0, 0.04 * side)))
    layers = moved(layers, angle=float(rng.uniform(-0.5, 0.5)), growth=growth, shift=place)
    picture = seen(layers, tone) * artefacts.texture(rng, side, px_per_mm)[..., None]
    if rng.random() < 0.25:
        artefacts.ruler(picture, px_per_mm)
    if rng.random() < 0.45:
        artefacts.hair(rng, picture, int(rng.integers(2, 14)), px_per_mm)
    if rng.random() < 0.25:
        artefacts.bubbles(rng, picture, int(rng.integers(2, 9)), px_per_mm)
    light = artefacts.exposed(rng, picture, round_field=bool(rng.random() < 0.2))
    return np.rint(light * 255).astype(np.uint8), ((layers.inside > 0) * 255).astype(np.uint8)


def _plan(rng: Rng, count: int) -> tuple[Lesion, ...]:
    """Families in shuffled rounds, so that all occur equally often; a patient has several lesions."""
    rounds = [rng.permutation(list(DRAW)) for _ in range(-(-count // len(DRAW)))]
    words = [str(word) for word in np.concatenate(rounds)[:count]] if count else []
    return tuple(Lesion(n, word, n // _LESIONS_EACH, int(rng.choice(_VISITS))) for n, word in enumerate(words))


def _deck(rng: Rng, count: int) -> Iterator[str]:
    """Names of :data:`FORMS`, likewise."""
    for _ in range(-(-count // len(FORMS))):
        yield from (str(form) for form in rng.permutation(list(FORMS)))


def _exposure(seed: int, lesion: Lesion, visit: int, side: int) -> Exposure:
    person = np.random.default_rng([seed, 4, lesion.patient])
    sex, age = str(person.choice(["M", "F"])), int(person.integers(18, 92))
    tone = str(person.choice(_TONES, p=_TONE_SHARES))
    own = np.random.default_rng([seed, 5, lesion.number])
    first = _FIRST_DAY + timedelta(days=int(own.integers(0, 700)), minutes=int(own.integers(0, 480)))
    site = _SITES[int(own.integers(len(_SITES)))]
    taken = first + timedelta(days=visit * int(own.integers(80, 200)))

    def uid(*parts: object) -> str:
        """UIDs of drawn objects depend on the seed alone: ``2.25.`` and 128 bits (X.667)."""
        digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"

    return Exposure(
        patient_id=f"DRAWN{lesion.patient + 1:03d}",
        patient_name=f"Drawn^{lesion.patient + 1:03d}",
        acquired=taken,
        age_years=age,
        sex=sex,
        fitzpatrick=tone,
        body_site=site,
        laterality=str(own.choice(["R", "L"])) if "limb" in site.meaning else "",
        lesion_id=f"L{lesion.number + 1:03d}",
        lesion_uid=uid("lesion", lesion.number),
        study_uid=uid("study", lesion.number, visit),
        series_uid=uid("series", lesion.number, visit),
        instance_uid=uid("instance", lesion.number, visit),
        manufacturer="drawn",
        model="none",
        mm_per_px=(FIELD_MM / side, FIELD_MM / side),
        immersion="ULTRASOUND_GEL",
        colour_temperature_k=5500.0,
        magnification=10.0,
        recognizable=False,
        drawn=True,
    )
