"""One file in, what a bundle says about it out, at once: nothing is written, and no more decoded than the answer needs.

For the person who stands beside the camera. What goes into a worklist, an archive or a review takes the way of
:mod:`verticals.medical.ingest`, which decodes whole, searches all of it for writing and gives everything a pseudonym.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from shared.data import images
from shared.errors import DataError, MissingDependency, Problem
from shared.inference.runtime import Runtime
from shared.predict import answers, uncertified
from shared.records import Decision, Provenance, Sample
from shared.vertical import Case, Seen
from verticals.medical.decide import NOTED, decide
from verticals.medical.dicom import dicom_read
from verticals.medical.dicom.colour import Picture
from verticals.medical.photograph import gate

WORKING_PX = 512
"""Shorter side that the gate and the classifier can do with: both shrink to half of it or less."""


@dataclass(frozen=True)
class Look:
    """What was seen in one file.

    Attributes:
        decision: As :func:`verticals.medical.decide.decide` makes it.
        pictures: The frames as they were decoded, ``(rows, columns, 3)`` uint8 sRGB; empty where none could be read.
        seen: What the model saw in each of them.
        synthetic: Whether the file says that it was drawn.
    """

    decision: Decision
    pictures: tuple[Picture, ...]
    seen: tuple[Seen, ...]
    synthetic: bool


def look(
    path: Path,
    runtime: Runtime,
    *,
    policy: Path | None = None,
    maps: bool = False,
    done: Callable[[str], None] = lambda _: None,
) -> Look:
    """Decode, gate, classify, decide; a file that cannot be read is NOT EXAMINED, with the reason.

    JPEG 2000 comes at the smallest resolution that has :data:`WORKING_PX`; then writing of less than about 16 pixels of
    that is not looked for, and the decision says so.

    Args:
        path: A DICOM object or an image file.
        runtime: A bundle of the medical vertical.
        policy: The site's policy over the defaults.
        maps: Whether ``seen`` holds class maps.
        done: Is told the name of each step when it is done.

    Raises:
        ConfigError: The policy is not usable.
        MissingDependency: pydicom or a codec is not installed; the sentence names the package.
    """
    bundle, frame = runtime.bundle, path.name
    stated = (bundle.ok_label, bundle.threshold, bundle.unsought, uncertified(bundle))
    try:
        pictures, side_px, synthetic = _read(path)
    except MissingDependency:
        raise
    except DataError as error:
        problem = Problem(frame, str(error).removeprefix(f"{path}: "))
        return Look(decide(Case(frame, (), 0.0, (problem,), *stated), policy), (), (), False)
    done("decode")
    known = [_known(picture, side_px) for picture in pictures]
    done("gate")
    samples = [
        Sample(f"{frame}-{i}", frame, p.shape[1], p.shape[0], frame=frame, group="", provenance=k)
        for i, (p, k) in enumerate(zip(pictures, known, strict=True))
    ]
    small = [_halved(picture) for picture in pictures]
    seen = tuple(each for each in answers(runtime, samples, small, maps=maps) if isinstance(each, Seen))
    done("model")
    decision = decide(Case(frame, seen, 1.0, (), *stated), policy)
    done("decide")
    return Look(decision, pictures, seen, synthetic)


def _read(path: Path) -> tuple[tuple[Picture, ...], int, bool]:
    """The frames, the shorter side as stored, and whether the file says that it was drawn."""
    if dicom_read.is_dicom(path) or path.suffix.lower() in dicom_read.SUFFIXES:
        found = dicom_read.read(path, least_side_px=WORKING_PX)
        return found.frames, found.side_px, found.facts.synthetic
    picture = images.read(path)
    return (picture,), min(picture.shape[:2]), False


def _halved(picture: Picture) -> Picture:
    """As small as :data:`WORKING_PX` allows; of 12 megapixels the model's own shrinking takes five times as long."""
    while min(picture.shape[:2]) >= 2 * WORKING_PX:
        size = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def _known(picture: Picture, side_px: int) -> Provenance:
    """What the gate says; of a smaller copy also that its small writing was not looked for."""
    known, side = dict(gate.examined(picture, side_px=side_px)), min(picture.shape[:2])
    if side < side_px:
        noted = f"looked at with {side} of its {side_px} pixels, in which small writing is not found"
        known[NOTED] = "; ".join(filter(None, (str(known.get(NOTED, "")), noted)))
    return known
