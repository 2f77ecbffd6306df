"""Pixel data in, the same picture without what travels beside it out: Exif, GPS, thumbnails, comments, hidden frames.

Photographs that were wrapped into DICOM keep the camera's segments inside the pixel data, where no table of attributes
reaches. JPEG and JPEG-LS: ITU-T T.81 B.1.1, T.87 C.2; JPEG 2000 and HTJ2K: ITU-T T.800 A.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

_KEPT = {0xE0: (b"JFIF\0",), 0xE2: (b"ICC_PROFILE\0",), 0xE8: (b"mrfx",), 0xEE: (b"Adobe",)}
"""Application segments that say how to decode: units, ICC profile, colour transforms of JPEG-LS and of Adobe."""
_RLE = "1.2.840.10008.1.2.5"
_JPEG, _JPEG2000 = "1.2.840.10008.1.2.4.", ("90", "91", "92", "93", "201", "202", "203")
_VIDEO = ("100", "101", "102", "103", "104", "105", "106", "107", "108")
_JFIF_WITHOUT_THUMBNAIL = 14
_BROKEN = "a compressed frame is damaged; get the file again from its source"


def cleaned_pixels(dataset: "Dataset") -> bytes:
    """The value of Pixel Data without segments, hidden frames, and bytes behind the end.

    Raises:
        DataError: A video or another coding that is not looked into, or not as many frames or bytes as the header says.
    """
    from pydicom import encaps

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return _without_padding(dataset)
    strip = _stripper(syntax)
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = [strip(frame) for frame in encaps.generate_frames(dataset.PixelData, number_of_frames=count)]
    if len(frames) != count:
        raise DataError(f"the object holds {len(frames)} frames and says {count}; get it again from its source")
    return encaps.encapsulate(frames)


def _stripper(syntax: str) -> Callable[[bytes], bytes]:
    if syntax == _RLE:
        return lambda frame: frame
    number = syntax.removeprefix(_JPEG).split(".")[0]
    if number in _VIDEO:
        raise DataError("the object is a video stream, which is not looked into; extract its frames as images first")
    if not syntax.startswith(_JPEG):
        raise DataError(f"the object is coded as {syntax}, which is not looked into; export it uncompressed")
    return stripped_jpeg2000 if number in _JPEG2000 else stripped_jpeg


def _without_padding(dataset: "Dataset") -> bytes:
    """Uncompressed pixels, as many bytes as the header says."""
    from pydicom.pixels.utils import get_expected_length

    expected = get_expected_length(dataset)
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        # Some cameras claim chroma of half the width and store all of it; both lengths are right then.
        whole = expected * 3 // 2
        expected = whole if len(dataset.PixelData) >= whole else expected
    if len(dataset.PixelData) < expected:
        raise DataError(
            f"the object holds fewer bytes of pixels ({len(dataset.PixelData)}) than its header says ({expected}); "
            "get it again from its source"
        )
    return bytes(dataset.PixelData[:expected]) + b"\0" * (expected % 2)


def stripped_jpeg(frame: bytes) -> bytes:
    """A JPEG or JPEG-LS frame without comments, foreign application segments, and anything behind its end.

    Raises:
        DataError: The frame is not such a stream, or cut off.
    """
    if frame[:2] != b"\xff\xd8":
        raise DataError(_BROKEN)
    out, at = bytearray(b"\xff\xd8"), 2
    while True:
        if at + 2 > len(frame) or frame[at] != 0xFF:
            raise DataError(_BROKEN)
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xD9:
            return bytes(out) + b"\xff\xd9"
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        segment = frame[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            raise DataError(_BROKEN)
        out += _kept(marker, segment)
        at += len(segment)
        if marker == 0xDA:
            end = _entropy_end(frame, at)
            out += frame[at:end]
            at = end


def _kept(marker: int, segment: bytes) -> bytes:
    if marker == 0xFE:
        return b""
    if not 0xE0 <= marker <= 0xEF:
        return segment
    if not segment[4:].startswith(_KEPT.get(marker, ())):
        return b""
    if marker == 0xE0:  # JFIF carries a thumbnail behind two bytes that say its size
        return b"\xff\xe0\0\x10" + segment[4 : 2 + _JFIF_WITHOUT_THUMBNAIL] + b"\0\0"
    return segment


def _entropy_end(frame: bytes, at: int) -> int:
    """Where the next marker segment starts; restart markers and stuffed bytes (JPEG 00, JPEG-LS below 80) are data."""
    while True:
        at = frame.find(b"\xff", at)
        if at < 0 or at + 1 >= len(frame):
            raise DataError(_BROKEN)
        following = frame[at + 1]
        if following >= 0xC0 and not 0xD0 <= following <= 0xD7 and following != 0xFF:
            return at
        at += 1 if following == 0xFF else 2


def stripped_jpeg2000(frame: bytes) -> bytes:
    """A JPEG 2000 or HTJ2K codestream without comments, file boxes, and anything behind its end.

    Raises:
        DataError: The frame is no codestream, or a comment lies inside of a tile.
    """
    start = frame.find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise DataError(_BROKEN)
    out, at = bytearray(b"\xff\x4f"), start + 2
    while frame[at : at + 2] != b"\xff\x90":
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(frame) or frame[at] != 0xFF:
            raise DataError(_BROKEN)
        if frame[at + 1] != 0x64:
            out += frame[at : at + 2 + length]
        at += 2 + length
    end = _tiles_end(frame, at)
    return bytes(out) + frame[at:end] + b"\xff\xd9"


def _tiles_end(frame: bytes, at: int) -> int:
    """Where the last tile-part ends."""
    while frame[at : at + 2] == b"\xff\x90":
        if at + 12 > len(frame):
            raise DataError(_BROKEN)
        long = int.from_bytes(frame[at + 6 : at + 10], "big")
        end = at + long if long else frame.rfind(b"\xff\xd9")
        inner = at + 12
        while frame[inner : inner + 2] != b"\xff\x93":
            length = int.from_bytes(frame[inner + 2 : inner + 4], "big")
            if length < 2 or inner + 2 + length > end:
                raise DataError(_BROKEN)
            if frame[inner + 1] == 0x64:
                raise DataError("a tile of a JPEG 2000 frame holds a comment; save the image with another encoder")
            inner += 2 + length
        if not at < end <= len(frame):
            raise DataError(_BROKEN)
        at = end
    return at
