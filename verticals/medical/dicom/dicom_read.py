"""One DICOM file in, decoded RGB frames and the facts of its header out; what is no photograph of skin is refused."""

import io
import logging
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shared.data import images
from shared.errors import DataError, LoupeError, require
from verticals.medical.dicom import colour, dicom_decode, video
from verticals.medical.dicom.colour import Picture
from verticals.medical.dicom.dicom_facts import Facts, facts

if TYPE_CHECKING:
    from pydicom import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1."
PHOTOGRAPHIC, DERMOSCOPIC, VIDEO = f"{_STORAGE}77.1.4", f"{_STORAGE}77.1.7", f"{_STORAGE}77.1.4.1"
SECONDARY_CAPTURE = f"{_STORAGE}7"
ACCEPTED: Mapping[str, str] = MappingProxyType(
    {
        PHOTOGRAPHIC: "VL Photographic Image",
        VIDEO: "Video Photographic Image",
        DERMOSCOPIC: "Dermoscopic Photography Image",
        SECONDARY_CAPTURE: "Secondary Capture Image",
        f"{_STORAGE}7.2": "Multi-frame Grayscale Byte Secondary Capture Image",
        f"{_STORAGE}7.3": "Multi-frame Grayscale Word Secondary Capture Image",
        f"{_STORAGE}7.4": "Multi-frame True Color Secondary Capture Image",
    }
)
"""SOP classes that can hold a photograph of skin (PS3.4 B.5); everything else is refused by name."""
_CONFOCAL = frozenset({f"{_STORAGE}77.1.8", f"{_STORAGE}77.1.9"})
_DIRECTORY = "1.2.840.10008.1.3.10"
_UNDEFINED = 0xFFFFFFFF
_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SECONDARY_FROM = frozenset(
    {"CT", "MR", "US", "CR", "DX", "MG", "NM", "PT", "XA", "RF", "OPT", "IVUS", "ECG", "RTIMAGE"}
)
"""Modalities that a Secondary Capture names when it is a copy of such a picture."""
SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
"""Endings that claim DICOM; the content decides."""
MAX_BYTES = 2**30
"""Largest file that is read, and largest data set that a deflated one may become: 1 GiB."""
MAX_FRAMES = 4096
VIDEO_FRAMES = 8
"""Stills that are taken from a film."""


@dataclass(frozen=True)
class Photographs:
    """The frames of one file.

    Attributes:
        frames: Each ``(rows, columns, 3)`` uint8 sRGB.
        side_px: Shorter side as stored; frames that were asked for smaller are smaller.
        numbers: The DICOM frame number of each, from 1.
        total: Frames in the file; more than ``frames`` only for films.
        facts: What the header says.
        transfer_syntax: Its UID.
        icc: What was done about the ICC profile: ``none``, ``srgb``, ``applied`` or ``unusable``
            (:func:`verticals.medical.dicom.colour.to_srgb`).
        warnings: What was corrected or passed over, one sentence each, without any value of the header.
    """

    frames: tuple[Picture, ...]
    side_px: int
    numbers: tuple[int, ...]
    total: int
    facts: Facts
    transfer_syntax: str
    icc: str
    warnings: tuple[str, ...]


def read(
    path: Path,
    *,
    max_pixels: int = images.MAX_PIXELS,
    video_frames: int = VIDEO_FRAMES,
    least_side_px: int = 0,
) -> Photographs:
    """Read a photograph of skin.

    The SOP class, the size and the number of frames are checked before any pixel is touched. A file that is cut off,
    or of which one frame cannot be decoded, is refused as a whole. (Altered bytes within the coded data of a frame that
    still decodes to its end cannot be told from a picture: no format here carries a checksum.)

    Args:
        path: The file; its name does not matter.
        max_pixels: Rows x columns x frames that are decoded at most.
        video_frames: Stills that are taken from a film.
        least_side_px: As for :func:`verticals.medical.dicom.dicom_decode.decode`, for a quick look.

    Raises:
        DataError: Not DICOM, another kind of object, damaged, cut off or too large; one sentence.
        MissingDependency: pydicom or a codec is not installed; the sentence names the package.
    """
    try:
        with _quiet():
            header = _open(path, pixels=False)
            _refuse_others(header)
            total = _check_size(header, max_pixels=max_pixels, video_frames=video_frames)
            dataset = _open(path, pixels=True)
            _check_end(path, dataset)
            return _photographs(dataset, total, video_frames, least_side_px)
    except LoupeError as error:
        raise type(error)(f"{path}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into memory; export it smaller or with fewer frames") from error
    except Exception as error:  # pydicom looks at values late, and raises nearly anything on damaged ones
        what = f"has a damaged header ({type(error).__name__}); copy it again from its source"
        raise DataError(f"{path}: {what}") from error


def is_dicom(path: Path) -> bool:
    """Whether the file starts like DICOM: with a preamble, or without one with group 0002 or 0008 (little endian)."""
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (
        start[:2] in (b"\x02\x00", b"\x08\x00") and start[2:4] < b"\x20\x00" and len(start) == 132
    )


def is_directory(path: Path) -> bool:
    """Whether the file is a DICOMDIR: a table of contents, with nothing in it to look at."""
    if not is_dicom(path):
        return False
    try:
        with _quiet():
            meta = require("pydicom.filereader", extra="medical").read_file_meta_info(path)
            return bool(meta.get("MediaStorageSOPClassUID") == _DIRECTORY)
    except Exception:  # pydicom raises nearly anything on a damaged header
        return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Set pydicom's log and warnings aside: they quote values, and a value may be a patient's name."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _open(path: Path, *, pixels: bool) -> "Dataset":
    pydicom = require("pydicom", extra="medical")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"has {path.stat().st_size:,} bytes, allowed are {MAX_BYTES:,}; export it compressed")
        if not is_dicom(path):
            raise DataError("is not DICOM, whatever its name says; remove it or export it again")
        _check_deflated(path, pydicom)
        dataset = pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
        dataset.get("SOPClassUID")  # the first look at a value is where a damaged header shows
        return dataset  # type: ignore[no-any-return]
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or 'it ends too early'}); copy it again") from error


def _check_deflated(path: Path, pydicom: Any) -> None:
    """A deflated data set can be a thousand times its file; it is measured before pydicom unpacks it as a whole."""
    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != _DEFLATED:
            return
        stream.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
        inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while not inflate.eof and (block := inflate.unconsumed_tail or stream.read(io.DEFAULT_BUFFER_SIZE)):
            size += len(inflate.decompress(block, 2**20))
            if size > MAX_BYTES:
                raise DataError(f"unpacks to more than {MAX_BYTES:,} bytes; export it without deflation")
        if not inflate.eof:
            raise DataError("is deflated and cut off; copy it again from its source")


def _check_end(path: Path, dataset: "Dataset") -> None:
    """Compressed pixels must end with their delimiter (PS3.5 A.4); pydicom reads on without."""
    element: Any = dataset.get_item("PixelData")  # as it lies in the file, with its place
    if element is None or element.length != _UNDEFINED:
        return
    with path.open("rb") as stream:
        stream.seek(element.value_tell + len(element.value or b""))
        if stream.read(8) != _DELIMITER:
            raise DataError("is cut off within its compressed pixels; copy it again from its source")


def _refuse_others(header: "Dataset") -> None:
    """The guard against other modalities: named, and refused before anything is decoded."""
    uid = header.get("SOPClassUID") or getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID")
    if not uid:
        raise DataError("names no SOP class, so nobody can say what it shows; export it again")
    name = dicom_decode.repeated(getattr(uid, "name", str(uid)))
    if uid == _DIRECTORY:
        raise DataError("is a DICOMDIR, a table of contents without pixels; the images it lists are read by themselves")
    if uid in _CONFOCAL:
        raise DataError(
            f"has the SOP class {name}: cells in depth, no photograph of skin; not classified; leave it out"
        )
    if uid not in ACCEPTED:
        kinds = "VL and Video Photographic, Dermoscopic and Secondary Capture images"
        raise DataError(f"has the SOP class {name}, which is no photograph of skin; accepted are {kinds}; leave it out")
    modality = str(header.get("Modality") or "")
    if "Secondary" in ACCEPTED[uid] and modality in _SECONDARY_FROM:
        raise DataError(f"is a {ACCEPTED[uid]} of modality {modality}, which is no photograph of skin; leave it out")


def _check_size(header: "Dataset", *, max_pixels: int, video_frames: int) -> int:
    """Number of frames; sizes and counts come from the header alone."""
    meta = getattr(header, "file_meta", {})
    image = dicom_decode.layout(header)
    film = video.is_video(str(meta.get("TransferSyntaxUID", "")))
    decoded = min(image.frames, video_frames) if film else image.frames
    pixels = image.rows * image.columns * decoded
    if pixels > max_pixels or (image.frames > MAX_FRAMES and not film):
        found = f"{image.columns} x {image.rows} pixels in {image.frames} frames"
        raise DataError(
            f"has {found}, allowed are {max_pixels:,} pixels in all and {MAX_FRAMES} frames; export fewer frames"
        )
    return image.frames


def _photographs(dataset: "Dataset", total: int, video_frames: int, least_side_px: int) -> Photographs:
    told: list[str] = []
    if "PixelData" not in dataset or not dataset["PixelData"].value:
        raise DataError("has no pixels or is cut off before them; copy it again from its source")
    syntax = _settle_syntax(dataset, told)
    if video.is_video(syntax):
        chosen, size = video.evenly(total, video_frames), (int(dataset.Rows), int(dataset.Columns))
        encaps, film = require("pydicom.encaps", extra="medical"), io.BytesIO(dataset.PixelData)
        encaps.parse_basic_offsets(film)
        frames = video.stills(encaps.generate_fragments(film), chosen, size)
        numbers = tuple(n + 1 for n in chosen)
    else:
        frames = list(dicom_decode.decode(dataset, told.append, least_side_px=least_side_px))
        numbers = tuple(range(1, len(frames) + 1))
    ratio = dataset.get("PixelAspectRatio")
    if ratio and len(ratio) == 2 and ratio[0] != ratio[1]:
        told.append("has pixels that are not square; they are shown as squares")
    known, icc, profile = facts(dataset), "none", colour.profile_of(dataset)
    if profile and str(dataset.PhotometricInterpretation).startswith("MONOCHROME"):
        icc = "unusable"
    elif profile:
        converted = [colour.to_srgb(frame, profile) for frame in frames]
        frames, icc = [picture for picture, _ in converted], converted[0][1]
    if icc == "unusable":
        told.append("has an ICC profile that cannot be used; its colours are taken as sRGB")
    side_px = min(int(dataset.Rows), int(dataset.Columns))
    return Photographs(tuple(frames), side_px, numbers, total, known, syntax, icc, tuple(dict.fromkeys(told)))


def _settle_syntax(dataset: "Dataset", told: list[str]) -> str:
    """The transfer syntax; files without a header of their own get the one that pydicom has read them with."""
    uids = require("pydicom.uid", extra="medical")
    pydicom = require("pydicom", extra="medical")
    found = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if found:
        return str(found)
    if dataset["PixelData"].is_undefined_length:
        raise DataError("names no transfer syntax, so its compressed pixels cannot be decoded; export it again")
    implicit, little = dataset.original_encoding
    guess = uids.ImplicitVRLittleEndian if implicit else uids.ExplicitVRLittleEndian
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = guess if little else uids.ExplicitVRBigEndian
    told.append("names no transfer syntax; it was found out from its bytes")
    return str(dataset.file_meta.TransferSyntaxUID)
