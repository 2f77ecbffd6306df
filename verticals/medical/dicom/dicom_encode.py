"""Pixels in, the Image Pixel module of a DICOM object in a chosen transfer syntax out."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from shared.data import images
from shared.errors import DataError, require
from verticals.medical.dicom import codestream, colour
from verticals.medical.dicom.colour import Picture
from verticals.medical.privacy import segments

if TYPE_CHECKING:
    from pydicom import Dataset

IMPLICIT_LITTLE, EXPLICIT_LITTLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
JPEG_2000, JPEG_2000_LOSSY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
JPEG_QUALITY, NEAR, J2K_PSNR = 92, 2, 45.0
"""Of lossy forms: quality of JPEG, largest difference of JPEG-LS in grey levels, decibels of JPEG 2000."""
_METHODS = {JPEG_BASELINE: "ISO_10918_1", JPEG_LS_NEAR: "ISO_14495_1", JPEG_2000_LOSSY: "ISO_15444_1"}


def put(dataset: "Dataset", pixels: Picture | Path, syntax: str | None) -> "Dataset":
    """Fill the Image Pixel and ICC Profile modules; gives the same dataset.

    Raises:
        DataError: The picture cannot be read or has another shape, or the transfer syntax is not written.
    """
    kept = _kept_jpeg(pixels) if isinstance(pixels, Path) and syntax is None else None
    if kept is not None:
        data, header = kept
        shape = (header.height, header.width, header.components)
        _describe(dataset, shape, JPEG_BASELINE, header.icc)
        if header.components == 3:
            dataset.PhotometricInterpretation = "RGB" if header.ycbcr is False else "YBR_FULL_422"
        _encapsulate(dataset, data)
        return dataset
    picture, history = _decoded(pixels)
    chosen = syntax or EXPLICIT_LITTLE
    if chosen not in SYNTAXES:
        raise DataError(f"transfer syntax {chosen} is not written; allowed are {', '.join(SYNTAXES)}")
    _describe(dataset, picture.shape, chosen, b"")
    SYNTAXES[chosen](dataset, picture)
    if history:
        dataset.LossyImageCompression = "01"
    return dataset


def put_palette(dataset: "Dataset", pixels: Picture | Path, syntax: str | None) -> "Dataset":
    """The same with 255 colours and white, and a Palette Color Lookup Table of 16 bits (PS3.3 C.7.9).

    Raises:
        DataError: As for :func:`put`; only uncompressed transfer syntaxes and RLE can hold a palette here.
    """
    chosen = syntax or EXPLICIT_LITTLE
    if chosen not in (IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, RLE):
        raise DataError(f"transfer syntax {chosen} is not written with a palette; use uncompressed or RLE")
    picture, _ = _decoded(pixels)
    drawn = Image.fromarray(picture).quantize(255, dither=Image.Dither.NONE)
    _describe(dataset, (*picture.shape[:2], 1), chosen, b"")
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    # The last entry stays white: a table that leaves its upper bits unused looks damaged to validators.
    table = np.full((256, 3), 65535, np.uint16)
    colours = np.asarray(drawn.getpalette("RGB"), np.uint16).reshape(-1, 3)
    table[:255] = (colours * 257)[:255] if len(colours) >= 255 else np.resize(colours * 257, (255, 3))
    for place, name in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", table[:, place].astype("<u2").tobytes())
    SYNTAXES[chosen](dataset, np.asarray(drawn, np.uint8))
    return dataset


def _kept_jpeg(path: Path) -> tuple[bytes, codestream.Codestream] | None:
    """The bytes of a JPEG that can go into an object as they are, without its private segments."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    header = codestream.describe(data) if data[:2] == b"\xff\xd8" else None
    if header is None or header.process != codestream.BASELINE or header.components not in (1, 3):
        return None
    width, height = images.size(path)
    with Image.open(path, formats=("JPEG",)) as image:
        upright = image.getexif().get(0x0112, 1) == 1
    if not upright or (width, height) != (header.width, header.height):
        return None
    try:
        return segments.stripped_jpeg(data), header
    except DataError:  # cut off: read as a picture, which tells what is wrong
        return None


def _decoded(pixels: Picture | Path) -> tuple[Picture, bool]:
    """``(rows, columns, 3)`` uint8 sRGB, and whether it has been through lossy compression."""
    if isinstance(pixels, Path):
        with pixels.open("rb") as stream:
            return images.read(pixels), stream.read(2) == b"\xff\xd8"
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(
            f"pixels have shape {pixels.shape} and dtype {pixels.dtype}; allowed is (rows, columns, 3) uint8"
        )
    return pixels, False


def _describe(dataset: Any, shape: tuple[int, ...], syntax: str, profile: bytes) -> None:
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = shape
    if max(shape[:2]) > 65535:
        raise DataError(f"pixels have shape {shape}; DICOM holds at most 65535 rows and columns; make them smaller")
    dataset.PhotometricInterpretation = "RGB" if shape[2] == 3 else "MONOCHROME2"
    if shape[2] == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.ICCProfile = profile or colour.srgb_profile()
    if not profile:
        dataset.ColorSpace = "SRGB"
    dataset.LossyImageCompression = "00"
    dataset.file_meta.TransferSyntaxUID = require("pydicom.uid", extra="medical").UID(syntax)


def _native(dataset: "Dataset", picture: Picture) -> None:
    data = picture.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if dataset.file_meta.TransferSyntaxUID == IMPLICIT_LITTLE else "OB"


def _compressed(plugin: str, photometric: str, **options: Any) -> Callable[["Dataset", Picture], None]:
    """By one of pydicom's encoders, named: gdcm, its first choice, ends the process on RLE of an odd size."""

    def encode(dataset: "Dataset", picture: Picture) -> None:
        instance, syntax = dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID
        if picture.ndim == 3 and photometric:
            dataset.PhotometricInterpretation = photometric
        dataset.compress(syntax, picture, encoding_plugin=plugin, generate_instance_uid=False, **options)
        dataset.SOPInstanceUID = instance
        _note_loss(dataset, picture, syntax, len(dataset.PixelData))

    return encode


def _jpeg(dataset: "Dataset", picture: Picture) -> None:
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:2")
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    _encapsulate(dataset, stream.getvalue())


def _encapsulate(dataset: "Dataset", data: bytes) -> None:
    encaps = require("pydicom.encaps", extra="medical")
    dataset.PixelData = encaps.encapsulate([data])
    dataset["PixelData"].VR = "OB"
    raw = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    _note(dataset, JPEG_BASELINE, raw / len(data))


def _note_loss(dataset: "Dataset", picture: Picture, syntax: str, size: int) -> None:
    if syntax in _METHODS:
        _note(dataset, syntax, picture.size / size)


def _note(dataset: Any, syntax: str, ratio: float) -> None:
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = round(ratio, 3)
    dataset.LossyImageCompressionMethod = _METHODS[syntax]


SYNTAXES: Mapping[str, Callable[["Dataset", Picture], None]] = MappingProxyType(
    {
        IMPLICIT_LITTLE: _native,
        EXPLICIT_LITTLE: _native,
        DEFLATED: _native,
        RLE: _compressed("pydicom", ""),
        JPEG_BASELINE: _jpeg,
        JPEG_LS: _compressed("pyjpegls", ""),
        JPEG_LS_NEAR: _compressed("pyjpegls", "", jls_error=NEAR),
        JPEG_2000: _compressed("pylibjpeg", "YBR_RCT"),
        JPEG_2000_LOSSY: _compressed("pylibjpeg", "YBR_ICT", j2k_psnr=[J2K_PSNR]),
    }
)
"""Transfer syntaxes that are written, and who fills the pixels in."""
