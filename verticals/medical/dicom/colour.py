"""Decoded samples of any depth and photometric interpretation in, 8-bit RGB in the sRGB colour space out."""

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from shared.errors import require

if TYPE_CHECKING:
    from pydicom import Dataset

Picture = NDArray[np.uint8]
Samples = NDArray[np.generic]

_PROBE_STEPS = 9
"""Levels of each channel that an ICC profile is tried on, 729 colours in all."""


def scaled(values: Samples, bits: int) -> Picture:
    """Unsigned samples of ``bits`` bits as uint8 of the same shape, linearly: 0 stays 0, the largest becomes 255."""
    if bits == 8 and values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    full = 2.0**bits - 1
    return np.rint(np.clip(np.asarray(values, np.float64), 0, full) * (255.0 / full)).astype(np.uint8)


def palette(indices: Samples, dataset: "Dataset") -> tuple[Picture, str]:
    """Look indices up in the Palette Color Lookup Table of the dataset (PS3.3 C.7.9, segmented tables, too).

    Entries of 16 bits give their upper byte: the table may hold 8-bit values shifted left or repeated, and both come
    out exactly so. Tables that claim 16 bits and use 8 are a known defect and are taken as 8 bits.

    Args:
        indices: ``(rows, columns)`` as stored.
        dataset: Holds the table.

    Returns:
        ``(rows, columns, 3)`` uint8 RGB, and a warning, empty where there is none.
    """
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        pixels = require("pydicom.pixels", extra="medical")
        found = np.asarray(pixels.apply_color_lut(indices, dataset))[..., :3]
        return (found if found.dtype == np.uint8 else found >> 8).astype(np.uint8), ""
    # Not by pydicom 3.0: it takes 16-bit entries of big endian files in the wrong byte order, and wraps large indices.
    tables = [_table(dataset, name) for name in ("Red", "Green", "Blue")]
    narrow = all(bits == 16 and int(table.max(initial=0)) < 256 for table, _, bits in tables)
    channels = []
    for table, first, bits in tables:
        place = np.clip(np.asarray(indices, np.int64) - first, 0, len(table) - 1)
        channels.append((table if bits == 8 or narrow else table >> 8)[place].astype(np.uint8))
    warning = "has a palette that claims 16 bits and uses 8; it is taken as 8 bits" if narrow else ""
    return np.stack(channels, axis=-1), warning


def _table(dataset: "Dataset", name: str) -> tuple[NDArray[np.uint16], int, int]:
    """Entries of one channel, the pixel value of the first, and bits of an entry."""
    count, first, bits = (int(v) for v in dataset[f"{name}PaletteColorLookupTableDescriptor"].value)
    data, count = bytes(dataset[f"{name}PaletteColorLookupTableData"].value), count or 65536
    order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    if len(data) >= 2 * count:
        return np.frombuffer(data, f"{order}u2", count).astype(np.uint16), first, bits
    if len(data) < count:
        raise ValueError(f"a palette of {len(data)} bytes for {count} colours")
    # Two entries to a word, the first in its lower byte.
    packed = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2").astype("<u2").view(np.uint8)
    packed = np.concatenate([packed, np.frombuffer(data[len(packed) :], np.uint8)])
    return packed[:count].astype(np.uint16), first, 8


def grey(values: Samples, dataset: "Dataset", *, bits: int, signed: bool, negative: bool) -> Picture:
    """Greyscale as it is meant to be seen: modality LUT, then VOI LUT or window where there is one, then 8 bits.

    Args:
        values: ``(rows, columns)`` as stored.
        dataset: Holds the transforms (PS3.3 C.11.1 and C.11.2); the first of several windows counts.
        bits: Bits Stored, of which the range follows where nothing else gives it.
        signed: Pixel Representation.
        negative: MONOCHROME1, where 0 is white.

    Returns:
        ``(rows, columns, 3)`` uint8, three equal channels.
    """
    pixels = require("pydicom.pixels", extra="medical")
    if values.dtype == np.uint8 and bits == 8 and not signed and not _shown_otherwise(dataset):
        shown = np.asarray(values, np.uint8)
    else:
        low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
        seen = np.asarray(pixels.apply_modality_lut(values, dataset), np.float64)
        if dataset.get("ModalityLUTSequence"):
            low, high = 0.0, 2.0 ** _entry_bits(dataset.ModalityLUTSequence[0]) - 1
        else:
            slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
            low, high = sorted((low * slope + intercept, high * slope + intercept))
        if dataset.get("VOILUTSequence"):
            seen = np.asarray(pixels.apply_voi_lut(np.rint(seen).astype(np.int64), dataset), np.float64)
            low, high = 0.0, 2.0 ** _entry_bits(dataset.VOILUTSequence[0]) - 1
        elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
            seen = np.asarray(pixels.apply_voi_lut(seen, dataset), np.float64)
        shown = np.rint(np.clip((seen - low) * (255.0 / max(high - low, 1e-9)), 0, 255)).astype(np.uint8)
    return np.repeat((255 - shown if negative else shown)[..., None], 3, axis=2)


def _shown_otherwise(dataset: "Dataset") -> bool:
    return any(
        dataset.get(name) not in (None, "")
        for name in ("ModalityLUTSequence", "RescaleSlope", "VOILUTSequence", "WindowCenter")
    )


def _entry_bits(item: Any) -> int:
    return int(item.LUTDescriptor[2]) or 16


def profile_of(dataset: "Dataset") -> bytes:
    """The ICC profile of a dataset (PS3.3 C.11.15), also from its optical path; empty where there is none."""
    for place in (dataset, *(dataset.get("OpticalPathSequence") or ())):
        found = place.get("ICCProfile")
        if found:
            return bytes(found)
    return b""


def to_srgb(picture: Picture, profile: bytes) -> tuple[Picture, str]:
    """Colours through an ICC profile into sRGB, perceptual intent.

    A profile that changes none of 729 colours by more than one level is sRGB itself, and the pixels are left untouched.

    Args:
        picture: ``(rows, columns, 3)`` uint8 RGB.
        profile: Bytes of the profile; empty means none.

    Returns:
        The picture, and what was done: ``none``, ``srgb`` (pixels unchanged), ``applied``, or ``unusable`` (a profile
        that is broken or not for RGB; pixels unchanged).
    """
    if not profile:
        return picture, "none"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != "RGB":
            return picture, "unusable"
        intent = ImageCms.Intent.PERCEPTUAL
        change = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB", renderingIntent=intent)
        steps = np.linspace(0, 255, _PROBE_STEPS).round().astype(np.uint8)
        probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_PROBE_STEPS, -1, 3)
        if np.abs(_through(change, probe).astype(int) - probe).max() <= 1:
            return picture, "srgb"
        return _through(change, picture), "applied"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture, "unusable"


def _through(change: ImageCms.ImageCmsTransform, picture: Picture) -> Picture:
    image = ImageCms.applyTransform(Image.fromarray(picture), change)
    assert image is not None, "applyTransform gives None only where it works in place"
    return np.array(image, np.uint8)


def srgb_profile() -> bytes:
    """An sRGB profile to put into objects that are written; the same bytes every time."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # LittleCMS writes the time of day into the header (ICC.1:2010, 7.2.8); a fixed one instead.
    return made[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + made[36:]
