"""Image files in, RGB arrays out: every common mode, size limits before anything is decoded, one sentence per fault."""

import hashlib
import os
import struct
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from shared import atomic
from shared.data import rgb, strict
from shared.data.rgb import Picture
from shared.errors import DataError, require
from shared.records import Box

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
MAX_PIXELS = 268_435_456
"""Largest image that is decoded, 2^28 pixels (0.8 GB as RGB): beyond it, cut the frame into pieces."""

# Named, so that a stranger's file never reaches Pillow's readers of PostScript, fonts or film.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG = ("JPEG", "MPO")
_BROKEN = (
    Image.DecompressionBombError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
)
"""What Pillow raises on damaged bytes, found by feeding it some."""
# Baseline TIFF 6.0 tags.
_SUBFILE, _OLD_SUBFILE, _BITS, _ORIENTATION, _PLANAR = 254, 255, 258, 274, 284

_pillow_lock = threading.Lock()
_cache: "OrderedDict[tuple[int, int, int, int], Picture]" = OrderedDict()
_cache_lock = threading.Lock()
_CACHED, _CACHED_BYTES = 2, 2**29
_decoding = tuple(threading.Lock() for _ in range(16))
"""Two threads that want the same file wait for one decoding; other files rarely share a lock."""


def content_hash(path: Path) -> str:
    """SHA-256 of the file's bytes, hexadecimal.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height after the EXIF orientation, from the header alone.

    Raises:
        DataError: Missing, not an image, of several pages, or larger than ``max_pixels``.
    """
    with _header(path, max_pixels) as (image, orientation):
        return (image.height, image.width) if orientation > 4 else (image.width, image.height)


def read(path: Path, *, window: Box | None = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode an image, or a window of it.

    EXIF orientation is applied, grey becomes three equal channels, and an embedded ICC profile is converted to sRGB
    (perceptual intent; a broken profile is passed over, and 16-bit samples are taken as they are). Transparency is laid
    over white, as a page shows it.

    Samples of 16 bits become 8 bits linearly from the depth that was really used, taken as the smallest of 8, 10, 12,
    14 and 16 bits that holds the image's largest value: scientific cameras store 12 bits in 16, and dividing those by
    256 would give a black image. The depth, and not the largest value itself, so that the brightness of two frames
    of one camera stays comparable. Floating point samples within 0 to 1 are scaled by 255, others by the rule above;
    samples that are negative or not a finite number become 0. Values beyond 16 bits are scaled by the largest.

    A file of which a part is lost is refused as far as its format lets that be told: BMP and WebP carry no check of
    their pixels.

    A file with several pages or frames is refused, since all but one would be lost; smaller copies of the first page
    (pyramids, thumbnails) and the second picture in a phone's JPEG do not count as pages.

    Args:
        path: The file.
        window: Part to return, in pixels after the EXIF orientation.
        max_pixels: Larger images are refused before they are decoded.

    Returns:
        ``(height, width, 3)`` uint8 RGB; the whole image is read-only, because the last two are kept for the next call.

    Raises:
        DataError: Missing, not an image, truncated, of several pages, too large, or the window lies outside.
    """
    picture = _cached(path, max_pixels)
    if window is None:
        return picture
    height, width = picture.shape[:2]
    if window.x0 < 0 or window.y0 < 0 or window.x1 > width or window.y1 > height:
        raise DataError(
            f"{path}: the window {window.x0},{window.y0} .. {window.x1},{window.y1} lies outside of its "
            f"{width} x {height} pixels; ingest again"
        )
    return picture[window.y0 : window.y1, window.x0 : window.x1].copy()


def decode(data: bytes, *, where: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode an image that is in memory, with the same result as :func:`read` gives for its file.

    Args:
        data: The file's bytes.
        where: How a fault names it.
        max_pixels: Larger images are refused before they are decoded.

    Raises:
        DataError: Not an image, truncated, of several pages, or too large.
    """
    # The readers want a path (TIFF by memory map, PNG's late chunks); a small file costs a tenth of a millisecond.
    number, name = tempfile.mkstemp(prefix="loupe-")
    path = Path(name)
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(data)
        return _decode(path, max_pixels)
    except DataError as error:
        raise DataError(str(error).replace(str(path), where)) from error
    finally:
        path.unlink()


def write_png(path: Path, array: Picture) -> None:
    """Write ``(H, W)`` grey or ``(H, W, 3)`` RGB uint8 as PNG, whole or not at all.

    Raises:
        DataError: Another shape or dtype.
    """
    fits = array.dtype == np.uint8 and array.size > 0 and array.shape[2:] in ((), (3,)) and array.ndim >= 2
    if not fits:
        raise DataError(
            f"{path}: an array of shape {array.shape} and dtype {array.dtype} cannot be written; "
            "allowed are (H, W) and (H, W, 3) of uint8"
        )
    pixels = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, "OpenCV writes every uint8 array as PNG"
    atomic.write(path, data.tobytes())


def _cached(path: Path, max_pixels: int) -> Picture:
    """The whole image; the last two are kept, because windows of one frame are read one after the other."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    with _decoding[hash(key) % len(_decoding)]:
        with _cache_lock:
            picture = _cache.get(key)
            if picture is not None:
                _cache.move_to_end(key)
        if picture is not None:
            _check_limit(path, picture.shape[1], picture.shape[0], max_pixels)
            return picture
        picture = _decode(path, max_pixels)
        picture.flags.writeable = False
        with _cache_lock:
            _cache[key] = picture
            while len(_cache) > _CACHED or (len(_cache) > 1 and sum(p.nbytes for p in _cache.values()) > _CACHED_BYTES):
                _cache.popitem(last=False)
    return picture


def _decode(path: Path, max_pixels: int) -> Picture:
    with _header(path, max_pixels) as (image, orientation):
        tags = getattr(image, "tag_v2", {})
        deep = max(tags[_BITS]) > 8 if _BITS in tags else ";16" in str(getattr(image, "tile", ""))
        wide = deep and image.mode in ("RGB", "RGBA", "LA")
        odd = wide or "icc_profile" in image.info or "transparency" in image.info
        plain = orientation == 1 and image.mode in ("L", "RGB") and not odd
        if plain and image.format == "PNG" and (picture := strict.png(path.read_bytes(), image.size)) is not None:
            return picture
        if image.format in _JPEG:
            samples = strict.jpeg(path.read_bytes(), "RGB" if plain else image.mode, where=str(path))
            if plain:
                return samples
            if image.mode in ("L", "RGB"):
                return np.ascontiguousarray(rgb.turned(rgb.from_image(_with_samples(image, samples)), orientation))
        try:
            # Of the readers, that of TIFF alone asks for the limit once more (for the size of a tile), and warns.
            with _pillow_limit(max_pixels) if image.format == "TIFF" else nullcontext():
                image.load()
            if wide:
                # Pillow has turned its own pixels of a TIFF, and not these.
                picture = rgb.turned(rgb.from_wide(_wide(path, tags)), max(orientation, tags.get(_ORIENTATION, 1)))
            else:
                picture = rgb.turned(rgb.from_image(image), orientation)
        except _BROKEN as error:
            raise DataError(f"{path}: is damaged or cut off ({error}); copy it again from its source") from error
        except MemoryError as error:
            raise DataError(f"{path}: does not fit into memory; cut it into pieces") from error
    return np.ascontiguousarray(picture)


def _with_samples(image: Image.Image, samples: Picture) -> Image.Image:
    """What is known about an opened image, and its samples from elsewhere."""
    found = Image.fromarray(samples[..., 0] if image.mode == "L" else samples)
    found.info = image.info
    return found


def _wide(path: Path, tags: dict[int, int]) -> NDArray[np.uint16]:
    """``(H, W, 3 or 4)`` uint16 RGB or RGBA, not yet turned; Pillow would keep the upper 8 bits only."""
    if tags.get(_PLANAR, 1) != 1 or tags.get(_ORIENTATION, 1) != 1:  # OpenCV mixes the planes up, or stops
        values = np.asarray(require("tifffile", extra="industrial").imread(path), np.uint16)
        return np.moveaxis(values, 0, -1) if tags.get(_PLANAR, 1) != 1 else values
    found = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        raise ValueError("its 16-bit samples cannot be decoded")
    order = cv2.COLOR_BGR2RGB if found.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(found, order), np.uint16)


@contextmanager
def _header(path: Path, max_pixels: int) -> Iterator[tuple[Image.Image, int]]:
    """An image that is opened and not decoded, checked, and the orientation that is still to be applied."""
    try:
        with _pillow_limit(None):
            image = Image.open(path, formats=_FORMATS)
            try:
                _check_limit(path, image.width, image.height, max_pixels)
                _check_pages(path, image)
                orientation = _orientation(path, image)
            except BaseException:
                image.close()
                raise
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: {_not_an_image(path)}") from error
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); check the file") from error
    with image:
        yield image, orientation


@contextmanager
def _pillow_limit(pixels: int | None) -> Iterator[None]:
    """Set Pillow's limit, which would refuse large frames, and its warnings aside: a damaged tag leaves the pixels.

    Both are global to the process, so that one thread at a time may do this, and both are put back.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _not_an_image(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(8)
    if not start:
        return "is empty (0 bytes); copy it again from its source"
    if start.startswith(_TIFF_STARTS):
        return "is a TIFF with a sample type or layout that is not read; save it with 8 or 16 bits as grey or RGB"
    return f"is not an image that is read, whatever its name says (starts with {start!r}); remove it or save it as PNG"


def _check_limit(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        found = f"{width} x {height} pixels ({width * height:,})"
        raise DataError(f"{path}: has {found}, allowed are {max_pixels:,} in all; cut it into pieces")


def _check_pages(path: Path, image: Image.Image) -> None:
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1 and image.format == "TIFF":
        pages = 0
        for number in range(frames):
            image.seek(number)
            tags = getattr(image, "tag_v2", {})
            # Bit 0 marks a smaller copy, bit 2 a transparency mask; in the older tag, 2 marks a smaller copy.
            pages += not (tags.get(_SUBFILE, 0) & 0b101 or tags.get(_OLD_SUBFILE, 1) == 2)
        image.seek(0)
        frames = pages
    if frames > 1:
        raise DataError(f"{path}: holds {frames} pages or frames, allowed is 1; save each as a file of its own")


def _orientation(path: Path, image: Image.Image) -> int:
    if image.format == "TIFF":
        return 1  # Pillow has turned the size already, and turns the pixels as it loads them
    exif = Image.Image.getexif(image)  # PngImageFile.getexif would decode the whole image first
    if image.format == "PNG" and "exif" not in image.info:
        exif.load(_png_exif(path))
    found = exif.get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _png_exif(path: Path) -> bytes:
    """The chunk ``eXIf``, wherever it stands: behind the pixels, Pillow does not see it before it has decoded them."""
    with path.open("rb") as stream:
        stream.seek(8)
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return b"Exif\0\0" + stream.read(min(length, 2**16))
            stream.seek(length + 4, 1)
    return b""
