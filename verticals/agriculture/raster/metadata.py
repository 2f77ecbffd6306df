"""A camera frame's file in, its EXIF and XMP as plain values out."""

import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from PIL import ExifTags, Image, UnidentifiedImageError

from shared.errors import DataError

NAMESPACES: Mapping[str, str] = {
    "http://www.dji.com/drone-dji/": "drone-dji",
    "http://pix4d.com/": "Camera",
    "http://micasense.com/MicaSense/": "MicaSense",
}
"""Prefixes used here, by what their namespace begins with; writers are free in their prefixes and in the version."""
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
MAX_XMP_BYTES = 1_000_000
"""DJI and MicaSense write 2 to 10 kB."""


@dataclass(frozen=True)
class Metadata:
    """What a frame's file says.

    Attributes:
        width: Pixels across, as stored.
        height: Pixels down, as stored.
        exif: EXIF by tag name, main and camera directory together.
        gps: GPS directory by tag name.
        xmp: XMP by ``prefix:name``, text; items of a list joined with ", ".
        remarks: What could not be understood.
    """

    width: int
    height: int
    exif: Mapping[str, Any]
    gps: Mapping[str, Any]
    xmp: Mapping[str, str]
    remarks: tuple[str, ...] = ()

    def number(self, name: str) -> float | None:
        """An XMP value as a number, None where it is absent or none ("+39.80" is 39.8)."""
        try:
            return float(self.xmp[name])
        except (KeyError, ValueError):
            return None


def read(path: Path) -> Metadata:
    """Read a JPEG or TIFF frame's metadata; pixels are not decoded.

    Raises:
        DataError: It is no image, or its EXIF is damaged.
    """
    try:
        with _opened(path) as image:
            width, height = image.size
            tags = image.getexif()
            exif = dict(tags) | dict(tags.get_ifd(ExifTags.IFD.Exif))
            gps = dict(tags.get_ifd(ExifTags.IFD.GPSInfo))
            packet = image.info.get("xmp") or b""
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist; give a JPEG or TIFF frame of a drone's camera") from error
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(
            f"{path}: is no JPEG or TIFF that can be read ({error}); copy it from the card again"
        ) from error
    xmp, remarks = _xmp(packet if isinstance(packet, bytes) else str(packet).encode())
    return Metadata(
        width,
        height,
        {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in exif.items()},
        {ExifTags.GPSTAGS.get(tag, str(tag)): value for tag, value in gps.items()},
        xmp,
        remarks,
    )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Pixels stay in the file, so their number does no harm.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=("JPEG", "TIFF"))
    with image:
        yield image


def _xmp(packet: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    """Properties of an XMP packet (ISO 16684-1: attributes or elements of rdf:Description)."""
    from defusedxml import DefusedXmlException, ElementTree

    packet = packet.strip(b"\0 \n\r\t")
    if not packet:
        return {}, ()
    if len(packet) > MAX_XMP_BYTES:
        return {}, (f"its XMP has {len(packet)} bytes; read are at most {MAX_XMP_BYTES}",)
    try:
        root: Element = ElementTree.fromstring(packet)
    except (ParseError, DefusedXmlException, ValueError) as error:
        return {}, (f"its XMP cannot be understood ({error})",)
    found: dict[str, str] = {}
    for description in root.iter(f"{_RDF}Description"):
        for name, text in description.attrib.items():
            _keep(found, name, text)
        for child in description:
            items = [item.text or "" for item in child.iter(f"{_RDF}li")]
            _keep(found, child.tag, ", ".join(items) if items else child.text or "")
    return found, ()


def _keep(found: dict[str, str], name: str, text: str) -> None:
    space, _, local = name[1:].rpartition("}")
    prefix = next((prefix for start, prefix in NAMESPACES.items() if space.startswith(start)), None)
    if prefix:
        found[f"{prefix}:{local}"] = text.strip()
