"""The bytes of one JPEG, JPEG-LS or JPEG 2000 frame in, what its own header says out: size, depth, colour, end."""

import struct
from dataclasses import dataclass

_APP0, _APP2, _APP14, _SOS, _EOI = 0xE0, 0xE2, 0xEE, 0xDA, 0xD9
_ICC = b"ICC_PROFILE\0"
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers: ISO/IEC 10918-1 table B.1, and SOF55 of ISO/IEC 14495-1 (JPEG-LS)."""
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: TEM and RST0 to RST7, SOI."""
_J2K_START = b"\xff\x4f\xff\x51"
"""SOC and SIZ, ISO/IEC 15444-1 annex A; behind the boxes of a JP2 where somebody has stored one whole."""
_J2K_CODING, _J2K_TILE = b"\xff\x52", b"\xff\x90"
_J2K_SIZE = struct.Struct(">HHIIIIIIIIHB")
BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, JPEG_LS = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7
JPEG_2000 = 0x4F


@dataclass(frozen=True)
class Codestream:
    """What the header of one coded frame says.

    Attributes:
        process: Start-of-frame marker (:data:`BASELINE` ... :data:`JPEG_LS`), or :data:`JPEG_2000`.
        width: Pixels across.
        height: Pixels down.
        precision: Bits of a sample.
        components: Samples of a pixel.
        ycbcr: Whether three components are luma and chroma, None where nothing in the stream says so.
        subsampled: Whether chroma is stored coarser than luma.
        complete: Whether the end marker is there.
        icc: The ICC profile in the APP2 segments, empty where there is none.
        halvings: How often JPEG 2000 can be decoded at half the size (decomposition levels), 0 for the others.
    """

    process: int
    width: int
    height: int
    precision: int
    components: int
    ycbcr: bool | None
    subsampled: bool
    complete: bool
    icc: bytes = b""
    halvings: int = 0


def describe(data: bytes) -> Codestream | None:
    """Read the header of a frame; None where the bytes are none of the three families.

    The colour follows the rules that libjpeg has made the practice: a JFIF segment means YCbCr; else an Adobe segment
    (APP14) says which; else components named R, G, B are RGB; else chroma stored coarser than luma is YCbCr.
    """
    # Frames have an even length; writers fill up with 00, some with FF.
    end = data.rstrip(b"\0\xff")[-1:] == b"\xd9" and b"\xff\xd9" in data[-16:]
    start = data[:4096].find(_J2K_START)
    if start >= 0 and (start == 0 or data[4:8] == b"jP  "):
        return _jpeg_2000(data[start + 4 :], end)
    if data[:2] != b"\xff\xd8":
        return None
    segments = _segments(data)
    frame = next(((marker, body) for marker, body in segments if marker in _FRAMES), None)
    if frame is None or len(frame[1]) < 6 or len(frame[1]) < 6 + 3 * frame[1][5]:
        return None
    marker, body = frame
    precision, height, width, components = struct.unpack(">BHHB", body[:6])
    sampling = {body[7 + 3 * i] for i in range(components)}
    names = bytes(body[6 + 3 * i] for i in range(components))
    ycbcr = _is_ycbcr(segments, names, subsampled=len(sampling) > 1) if components == 3 else None
    icc = b"".join(text[14:] for kind, text in segments if kind == _APP2 and text.startswith(_ICC))
    return Codestream(marker, width, height, precision, components, ycbcr, len(sampling) > 1, end, icc)


def _segments(data: bytes) -> list[tuple[int, bytes]]:
    """Marker and body of each segment from the second byte to the first scan's header."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            length = struct.unpack(">H", data[at + 2 : at + 4])[0]
            if length < 2 or marker == _EOI:
                break
            found.append((marker, data[at + 4 : at + 2 + length]))
            at += 2 + length
            if marker == _SOS:
                break
    return found


def _is_ycbcr(segments: list[tuple[int, bytes]], names: bytes, *, subsampled: bool) -> bool | None:
    if any(marker == _APP0 and body.startswith(b"JFIF") for marker, body in segments):
        return True
    adobe = next((b for marker, b in segments if marker == _APP14 and b.startswith(b"Adobe") and len(b) >= 12), None)
    if adobe is not None:
        return adobe[11] != 0
    if names.upper() == b"RGB":
        return False
    return True if subsampled else None


def _jpeg_2000(data: bytes, complete: bool) -> Codestream | None:
    if len(data) < _J2K_SIZE.size:
        return None
    _, _, right, bottom, left, top, _, _, _, _, components, depth = _J2K_SIZE.unpack(data[: _J2K_SIZE.size])
    precision = (depth & 0x7F) + 1
    size = (right - left, bottom - top)
    return Codestream(
        JPEG_2000, *size, precision, components, None, False, complete, halvings=_decomposition_levels(data)
    )


def _decomposition_levels(data: bytes) -> int:
    """From the marker segment COD of the main header (ISO/IEC 15444-1 A.6.1); ``data`` starts behind the marker SIZ."""
    at, marker = 0, b""
    while at + 12 <= len(data) and marker != _J2K_TILE:
        if marker == _J2K_CODING:
            return data[at + 7]
        at += struct.unpack(">H", data[at : at + 2])[0]
        marker, at = data[at : at + 2], at + 2
    return 0
