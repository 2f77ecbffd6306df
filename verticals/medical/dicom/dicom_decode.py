"""A DICOM dataset with pixels in, 8-bit RGB frames out: every codec and photometric interpretation, or one sentence."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from PIL import Image

from shared.errors import DataError, MissingDependency, require
from verticals.medical.dicom import codestream, colour
from verticals.medical.dicom.codestream import Codestream
from verticals.medical.dicom.colour import Picture, Samples

if TYPE_CHECKING:
    from pydicom import Dataset

_JPEG = "1.2.840.10008.1.2.4."
_DCT = frozenset({_JPEG + "50", _JPEG + "51", _JPEG + "55"})
"""Lossy JPEG: baseline, extended, and the retired full progression that some cameras still write."""
_LOSSLESS, _LOSSLESS_SV1 = _JPEG + "57", _JPEG + "70"
_RLE = "1.2.840.10008.1.2.5"
_WAVELETS = frozenset({_JPEG + "90", _JPEG + "91"})
"""JPEG 2000, which holds a picture in several resolutions."""
CODECS: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {
        _LOSSLESS: ("gdcm", "gdcm", "python-gdcm", "gdcm"),
        _LOSSLESS_SV1: ("gdcm", "gdcm", "python-gdcm", "gdcm"),
        _JPEG + "80": ("pyjpegls", "jpeg_ls", "pyjpegls", "medical"),
        _JPEG + "81": ("pyjpegls", "jpeg_ls", "pyjpegls", "medical"),
        **{
            _JPEG + end: ("pylibjpeg", "openjpeg", "pylibjpeg-openjpeg", "medical")
            for end in ("90", "91", "201", "202", "203")
        },
        _RLE: ("pylibjpeg", "rle", "pylibjpeg-rle", "medical"),  # ten times as fast as pydicom's own
    }
)
"""Transfer syntax to decoder as pydicom names it, module, package and our extra: one decoder each, so that two machines
with different packages never show different pixels."""
NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"})
PHOTOMETRIC: Mapping[str, int] = MappingProxyType(
    {
        "RGB": 3,
        "YBR_FULL": 3,
        "YBR_FULL_422": 3,
        "YBR_RCT": 3,
        "YBR_ICT": 3,
        "PALETTE COLOR": 1,
        "MONOCHROME1": 1,
        "MONOCHROME2": 1,
    }
)
"""Photometric interpretations that are read, and their samples per pixel (PS3.3 C.7.6.3.1.2)."""
_DEPTHS = (8, 16, 32)
_BROKEN = (
    ValueError,
    RuntimeError,
    AttributeError,
    NotImplementedError,
    EOFError,
    OSError,
    TypeError,
    KeyError,
    IndexError,
    Image.DecompressionBombError,
)
"""What pydicom and its codecs raise on damaged pixels."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Layout:
    """The Image Pixel module (PS3.3 C.7.6.3) of one object, checked.

    Attributes:
        rows: Pixels down.
        columns: Pixels across.
        frames: Number of Frames, 1 where it is not said.
        photometric: Photometric Interpretation, one of :data:`PHOTOMETRIC`.
        allocated: Bits Allocated: 8, 16 or 32.
        stored: Bits Stored, at most ``allocated``.
        signed: Pixel Representation.
    """

    rows: int
    columns: int
    frames: int
    photometric: str
    allocated: int
    stored: int
    signed: bool


def layout(dataset: "Dataset") -> Layout:
    """Read and check the Image Pixel module.

    Raises:
        DataError: Something is missing or outside of what is read.
    """
    missing = [name for name in ("Rows", "Columns", "BitsAllocated") if not dataset.get(name)]
    if missing:
        raise DataError(f"lacks {', '.join(missing)}, without which pixels cannot be read; export it again")
    photometric = str(dataset.get("PhotometricInterpretation", "")).strip()
    if photometric not in PHOTOMETRIC:
        raise DataError(
            f"has photometric interpretation {repeated(photometric)}; readable are {', '.join(PHOTOMETRIC)}"
        )
    samples, wanted = int(dataset.get("SamplesPerPixel") or 1), PHOTOMETRIC[photometric]
    if samples != wanted:
        raise DataError(f"has {samples} samples per pixel with {photometric}, which needs {wanted}; export it again")
    allocated = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    if allocated not in _DEPTHS or not 1 <= stored <= allocated:
        raise DataError(f"has {stored} of {allocated} bits per sample; allowed are 8, 16 and 32; export it with 8")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames < 1:
        raise DataError(f"claims {frames} frames; at least one is needed; export it again")
    signed = bool(dataset.get("PixelRepresentation"))
    return Layout(int(dataset.Rows), int(dataset.Columns), frames, photometric, allocated, stored, signed)


def decode(dataset: "Dataset", tell: Tell, *, least_side_px: int = 0) -> Iterator[Picture]:
    """All frames, one after the other, ``(rows, columns, 3)`` uint8 RGB; the ICC profile is not applied.

    Either every frame comes out whole or an error is raised: a frame that is cut off, another size or fewer frames than
    the header says are refused.

    Args:
        dataset: With pixels; its ``file_meta`` names the transfer syntax. Photometric Interpretation is corrected in it
            where the pixels prove it wrong.
        tell: Takes warnings, one sentence each.
        least_side_px: Where above 0, JPEG 2000 in colours of 8 bits comes in the smallest of its resolutions of which
            the shorter side is as long; everything else comes whole.

    Raises:
        DataError: The pixels cannot be decoded, and why.
        MissingDependency: The codec is not installed; the sentence names its package.
    """
    image, syntax = layout(dataset), str(dataset.file_meta.TransferSyntaxUID)
    try:
        if syntax in NATIVE:
            yield from _native(dataset, image, syntax, tell)
        elif syntax in _DCT:
            yield from (_dct(data, dataset, image, tell) for data in _coded(dataset, image))
        elif syntax in _WAVELETS and (halvings := _halvings(dataset, image, least_side_px)):
            yield from (_smaller(data, halvings) for data in _coded(dataset, image))
        else:
            yield from _by_plugin(dataset, image, syntax, tell)
    except MissingDependency:
        raise
    except MemoryError as error:
        raise DataError("does not fit into memory; export it smaller or with fewer frames") from error
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"has pixels that cannot be decoded whole ({reason}); export it again") from error


def _native(dataset: "Dataset", image: Layout, syntax: str, tell: Tell) -> Iterator[Picture]:
    whole = image.rows * image.columns * image.frames * 3
    if image.photometric == "YBR_FULL_422" and len(dataset.PixelData) in (whole, whole + whole % 2):
        tell("claims YBR_FULL_422 and holds three bytes a pixel; it is taken as YBR_FULL")
        dataset.PhotometricInterpretation = "YBR_FULL"
    frames = require("pydicom.pixels", extra="medical").get_decoder(syntax).iter_array(dataset)
    yield from _finished(dataset, image, frames, tell)


def repeated(value: object) -> str:
    """A value of a header as a message may repeat it.

    A damaged length lets a value swallow what stands behind it, the patient's name among it; such a value is not shown.
    """
    text = str(value) or "none"
    plain = re.fullmatch(r"[A-Za-z0-9 _.,:()&/-]{1,100}", text)
    return text if plain else f"a value of {len(text):,} characters that can be none"


def _by_plugin(dataset: "Dataset", image: Layout, syntax: str, tell: Tell) -> Iterator[Picture]:
    if syntax not in CODECS:
        name = getattr(dataset.file_meta.TransferSyntaxUID, "name", syntax)
        raise DataError(f"is coded as {repeated(name)}, which is not read; export it uncompressed or as JPEG 2000")
    plugin, module, package, extra = CODECS[syntax]
    try:
        require(module, extra=extra)
    except MissingDependency as error:
        name = dataset.file_meta.TransferSyntaxUID.name
        raise MissingDependency(
            f"is coded as {name}, which the package {package} decodes; "
            f"it comes with: pip install 'loupe-vision[{extra}]'"
        ) from error
    decoder = require("pydicom.pixels", extra="medical").get_decoder(syntax)
    if syntax != _RLE:
        _check_streams(dataset, image, tell)
    frames = decoder.iter_array(dataset, decoding_plugin=plugin)
    yield from _finished(dataset, image, frames, tell)


def _halvings(dataset: "Dataset", image: Layout, least_side_px: int) -> int:
    """How often the frames can be halved and keep as long a shorter side; 0 where they are to be decoded whole."""
    if least_side_px <= 0 or image.photometric not in ("RGB", "YBR_RCT", "YBR_ICT") or image.stored != 8:
        return 0
    most = max(0, (min(image.rows, image.columns) // least_side_px).bit_length() - 1)
    found = [_stream(data, image) for data in _coded(dataset, image)]
    return min(most, *(each.halvings if each.precision == 8 else 0 for each in found))


def _smaller(data: bytes, halvings: int) -> Picture:
    """One frame of JPEG 2000 at a smaller resolution, by Pillow, which has the same decoder and lets one choose it."""
    with Image.open(BytesIO(data), formats=("JPEG2000",)) as picture:
        picture.reduce = halvings  # type: ignore[method-assign, assignment]  # as Pillow documents for this format
        return np.array(picture.convert("RGB"), np.uint8)


def _finished(
    dataset: "Dataset", image: Layout, frames: Iterable[tuple[Samples, Any]], tell: Tell
) -> Iterator[Picture]:
    """Frames of stored samples (RGB already converted from YBR by pydicom) as 8-bit RGB."""
    done = 0
    for values, meta in frames:
        if values.shape[:2] != (image.rows, image.columns):
            raise ValueError(f"a frame of {values.shape[1]} x {values.shape[0]} pixels")
        if done < image.frames:
            yield _eight_bits(values, str(meta["photometric_interpretation"]), dataset, image, tell)
        done += 1
    if done < image.frames:
        raise ValueError(f"{done} frames are there, {image.frames} are claimed")


def _eight_bits(values: Samples, photometric: str, dataset: "Dataset", image: Layout, tell: Tell) -> Picture:
    if photometric == "PALETTE COLOR":
        picture, warning = colour.palette(values, dataset)
        if warning:
            tell(warning)
        return picture
    if photometric.startswith("MONOCHROME"):
        negative = photometric == "MONOCHROME1"
        return colour.grey(values, dataset, bits=image.stored, signed=image.signed, negative=negative)
    return colour.scaled(values, image.stored)


def _coded(dataset: "Dataset", image: Layout) -> list[bytes]:
    """The coded frames; exactly as many as the header says."""
    encaps = require("pydicom.encaps", extra="medical")
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    frames = list(encaps.generate_frames(dataset.PixelData, number_of_frames=image.frames, extended_offsets=offsets))
    if len(frames) != image.frames:
        raise ValueError(f"{len(frames)} frames are there, {image.frames} are claimed")
    return frames


def _stream(data: bytes, image: Layout) -> Codestream:
    """The header of a coded frame, held against that of the object: nothing larger is ever decoded."""
    found = codestream.describe(data)
    if found is None:
        raise ValueError("a frame is not coded as its transfer syntax says")
    if (found.width, found.height) != (image.columns, image.rows):
        raise ValueError(
            f"a frame is coded with {found.width} x {found.height} pixels, claimed are {image.columns} x {image.rows}"
        )
    if found.components != PHOTOMETRIC[image.photometric]:
        raise ValueError(f"a frame is coded with {found.components} samples per pixel")
    if not found.complete:
        raise ValueError("a frame is cut off: its end marker is missing")
    return found


def _check_streams(dataset: "Dataset", image: Layout, tell: Tell) -> None:
    found, *_ = [_stream(data, image) for data in _coded(dataset, image)]
    if found.ycbcr is False and image.photometric.startswith("YBR"):
        tell(f"claims {image.photometric}, its coded frames say RGB; they are believed")
        dataset.PhotometricInterpretation = "RGB"


def _dct(data: bytes, dataset: "Dataset", image: Layout, tell: Tell) -> Picture:
    """One frame of lossy JPEG, by Pillow alone: what its bytes say about colour outranks the header's claim."""
    found = _stream(data, image)
    if found.precision != 8:
        raise ValueError(
            f"JPEG with {found.precision} bits, for which no decoder under a permissive licence is known; convert it "
            "with dcmdjpeg first"
        )
    simplejpeg.decode_jpeg(data, "GRAY", strict=True)  # refuses what is damaged; Pillow would fill it with grey
    claimed = image.photometric != "RGB"
    ycbcr = claimed if found.ycbcr is None else found.ycbcr
    with Image.open(BytesIO(data), formats=("JPEG",)) as picture:
        if found.components == 3 and not ycbcr and found.ycbcr is None:
            # libjpeg takes unmarked components for YCbCr; asked for YCbCr, it hands them out as they are.
            picture.draft("YCbCr", picture.size)
            return np.array(picture, np.uint8)
        picture.load()
        values = np.array(picture, np.uint8)
    if found.components == 1:
        return _eight_bits(values, image.photometric, dataset, image, tell)
    if ycbcr != claimed:
        coded, said = ("YCbCr", image.photometric) if ycbcr else ("RGB", image.photometric)
        tell(f"claims {said}, its JPEG says {coded}; the JPEG is believed")
    return values
