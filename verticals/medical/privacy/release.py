"""A DICOM file in, a file that may be shown to a person for release out, with its receipt beside it.

Pixels are looked at for burned-in text first: a file with text, or with pixels that cannot be looked at, is not
written. A film goes on as single frames, each looked at. One SOP Instance UID is one object: another object under a UID
that is taken is not written either. Messages name files by their number and never by their path, which could name a
patient; which number is which file stands in a table for the owner alone, where one is asked for.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from shared import atomic
from shared.errors import DataError, LoupeError, MissingDependency, Problem, require
from verticals.medical.dicom import dicom_decode, dicom_read, video
from verticals.medical.dicom.colour import Picture
from verticals.medical.ingest import MASK_SUFFIX, NOTES
from verticals.medical.privacy import burned_in, faces, film
from verticals.medical.privacy.deidentify import Receipt, deidentify, silence
from verticals.medical.privacy.pseudonyms import Key
from verticals.medical.privacy.retention import Options

if TYPE_CHECKING:
    from pydicom import Dataset

RECEIPT_SUFFIX = ".receipt.json"
_WAY = "blank or crop it, or accept it after a person has looked"


@dataclass(frozen=True)
class Released:
    """One file made.

    Attributes:
        path: The new file, named by its new SOP Instance UID.
        receipt_path: What was done to which attribute, as JSON.
        receipt: The same.
        again: Whether the very same file was there before: an object that came twice, or an earlier run.
    """

    path: Path
    receipt_path: Path
    receipt: Receipt
    again: bool = False


def release(
    source: Path, out: Path, key: Key, options: Options | None = None, *, accept_text: bool = False
) -> Released:
    """De-identify one file and write it with its receipt, each whole or not at all.

    Where scikit-image is installed, what looks like a face is told in the receipt; it does not stop a file.

    Args:
        source: A DICOM Part 10 file.
        out: Folder of the result.
        key: The secret behind pseudonyms and dates.
        options: None for the defaults.
        accept_text: A person has looked at the picture, and what looks like text in it names no one.

    Raises:
        DataError: Not a DICOM image, text in its pixels, pixels that cannot be looked at, or another object of its SOP
            Instance UID (PS3.3 C.12.1.1.1) lies in ``out``. Nothing is written then.
    """
    pydicom = require("pydicom", extra="medical")
    with silence("cannot be read"):
        dataset = pydicom.dcmread(source)
    if dataset.get("BurnedInAnnotation") == "YES" and not accept_text:
        raise DataError(f"the object says that text is burned into its pixels; {_WAY}")

    def look(frame: Picture, number: int) -> list[str]:
        return _judged(frame, number, accept_text=accept_text)

    if "PixelData" in dataset and video.is_video(str(dataset.file_meta.TransferSyntaxUID)):
        notes = film.taken_apart(dataset, look)
    else:
        notes = _looked_at(dataset, look, accept_text=accept_text)
    made, receipt = deidentify(dataset, key, options)
    receipt = replace(receipt, remaining=(*receipt.remaining, *notes))
    path = out / f"{receipt.instance}.dcm"
    stream = BytesIO()
    with silence("cannot be written"):
        made.save_as(stream, enforce_file_format=True)
    again = path.exists()
    if again and path.read_bytes() != stream.getvalue():
        raise DataError(
            "another object with the same SOP Instance UID and other content is in the result already, and a UID may "
            "name one alone; find out which of the two is right, and release it into an empty folder"
        )
    receipt_path = out / f"{receipt.instance}{RECEIPT_SUFFIX}"
    atomic.write(receipt_path, json.dumps(asdict(receipt), indent=1) + "\n")
    atomic.write(path, stream.getvalue())
    return Released(path, receipt_path, receipt, again)


def release_folder(
    source: Path,
    out: Path,
    key: Key,
    options: Options | None = None,
    *,
    accept_text: bool = False,
    refusals: Path | None = None,
) -> tuple[tuple[Released, ...], tuple[Problem, ...]]:
    """De-identify every picture below a folder.

    Args:
        source: The folder.
        out: Folder of the result.
        key: The secret behind pseudonyms and dates.
        options: None for the defaults.
        accept_text: As for :func:`release`, about all of them.
        refusals: Table (CSV) of which number is which file, for those that were not made; it names paths, so that it
            is for the owner alone and must not go with the result. None for no table.

    Returns:
        Files made, and a Problem for each file that was not: ``"file 3 of 10"`` in the order of their paths. Notes,
        tables, masks of lesions and a DICOMDIR hold nobody's picture and are neither.
    """
    below = sorted(f for f in source.rglob("*") if f.is_file() and not f.resolve().is_relative_to(out.resolve()))
    files = [file for file in below if _may_be_picture(file)]
    made, problems, refused = [], [], []
    for number, file in enumerate(files, 1):
        try:
            made.append(release(file, out, key, options, accept_text=accept_text))
        except LoupeError as error:
            problems.append(Problem(f"file {number} of {len(files)}", str(error)))
            refused.append((number, file.relative_to(source).as_posix(), str(error)))
    if refusals is not None:
        _write_refusals(refused, refusals)
    return tuple(made), tuple(problems)


def _may_be_picture(file: Path) -> bool:
    if dicom_read.is_dicom(file):
        return not dicom_read.is_directory(file)
    return file.suffix.lower() not in NOTES | {".csv"} and not file.name.endswith(MASK_SUFFIX)


def _write_refusals(refused: list[tuple[int, str, str]], table: Path) -> None:
    """One row for each file that was not made; a table of an earlier run would name others."""
    if not refused:
        table.unlink(missing_ok=True)
        return
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("number", "file", "reason"), *refused])
    table.unlink(missing_ok=True)  # made anew, so that at no time anybody else can read it
    with os.fdopen(os.open(table, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text.getvalue())


def _looked_at(dataset: "Dataset", look: Callable[[Picture, int], list[str]], *, accept_text: bool) -> list[str]:
    """Look at every frame; pixels that cannot be decoded pass only where a person has looked at them."""
    if accept_text and not faces.available():
        return []
    frames = dicom_decode.decode(dataset, tell=lambda warning: None)
    number, notes = 0, []
    try:
        while (frame := _next(frames)) is not None:
            number += 1
            notes += look(frame, number)
    except (DataError, MissingDependency):
        if not accept_text:
            raise
    return notes[:1]


def _judged(frame: Picture, number: int, *, accept_text: bool) -> list[str]:
    """What a person has to judge in a frame; text stops the file unless a person has accepted it."""
    if not accept_text and (found := burned_in.find(frame)):
        box = found[0].box
        raise DataError(f"frame {number} shows what looks like text at {box.x0},{box.y0}; {_WAY}")
    if faces.available() and faces.find(frame):
        return [f"A face seems to be in frame {number}: the person can be recognised"]
    return []


def _next(frames: Iterator[Picture]) -> Picture | None:
    """The next frame; what a decoder says of a damaged one may quote the object, and is withheld."""
    try:
        with silence("has pixels that cannot be looked at"):
            return next(frames, None)
    except DataError:
        raise DataError(
            "the object has pixels that cannot be looked at, so that text in them would go out unseen; check the file"
        ) from None
