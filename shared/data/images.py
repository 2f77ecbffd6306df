"""Image files in, RGB arrays out: every common mode, size limits before anything is decoded, one sentence per fault."""

import hashlib
import io
import threading
import warnings
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from shared import atomic
from shared.errors import DataError
from shared.records import Box

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 268_435_456
"""Largest image that is decoded, 2^28 pixels (0.8 GB as RGB): beyond it, cut the frame into pieces."""

Picture = NDArray[np.uint8]

# Our own limit is checked from the header, in every path, before Pillow's.
Image.MAX_IMAGE_PIXELS = None
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
"""How a complete file ends."""
_DEPTHS = (8, 10, 12, 14, 16)
_cache: "OrderedDict[tuple[str, int, int], Picture]" = OrderedDict()
_cache_lock = threading.Lock()
_CACHED = 2


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
        DataError: Not an image, or larger than ``max_pixels``.
    """
    with _open(path, max_pixels) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else (image.width, image.height)


def read(path: Path, *, window: Box | None = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode an image, or a window of it.

    EXIF orientation is applied; grey becomes three equal channels; an embedded ICC profile is converted to sRGB;
    alpha is laid over white, as a viewer shows it. Of files with several frames the first is read. 16-bit samples
    become 8-bit linearly from the depth that was really used, taken as the smallest of 8, 10, 12, 14 and 16 bits that
    holds the image's largest value: scientific cameras store 12 bits in 16, and dividing those by 256 would give a
    black image.

    Args:
        path: The file.
        window: Part to return, in pixels after the EXIF orientation.
        max_pixels: Larger images are refused before they are decoded.

    Returns:
        ``(height, width, 3)`` uint8 RGB.

    Raises:
        DataError: Missing, not an image, truncated, too large, or the window lies outside.
    """
    picture = _decoded(path, max_pixels)
    if window is None:
        return picture
    height, width = picture.shape[:2]
    if window.x0 < 0 or window.y0 < 0 or window.x1 > width or window.y1 > height:
        raise DataError(
            f"{path}: the window {window.x0},{window.y0} .. {window.x1},{window.y1} lies outside of its "
            f"{width} x {height} pixels; ingest again"
        )
    return np.ascontiguousarray(picture[window.y0 : window.y1, window.x0 : window.x1])


def write_png(path: Path, array: Picture) -> None:
    """Write ``(H, W)`` grey or ``(H, W, 3)`` RGB uint8 as PNG, whole or not at all."""
    pixels = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise DataError(f"{path}: an array of shape {array.shape} and dtype {array.dtype} cannot be written as PNG")
    atomic.write(path, data.tobytes())


def _decoded(path: Path, max_pixels: int) -> Picture:
    """The whole image; the last two are kept, because windows of one frame are read one after the other."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    key = (str(path), status.st_mtime_ns, status.st_size)
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    picture = _decode(path, max_pixels)
    picture.flags.writeable = False
    with _cache_lock:
        _cache[key] = picture
        while len(_cache) > _CACHED:
            _cache.popitem(last=False)
    return picture


def _decode(path: Path, max_pixels: int) -> Picture:
    with _open(path, max_pixels) as image:
        plain = image.format in _ENDS and image.mode in ("L", "RGB") and "icc_profile" not in image.info
        if plain and not image.getexif().get(0x0112, 1) > 1 and "transparency" not in image.info:
            data = np.frombuffer(path.read_bytes(), np.uint8)
            # OpenCV fills what is missing of a cut-off file with grey and says nothing; Pillow refuses it.
            if data.tobytes().endswith(_ENDS[image.format or ""]):
                fast = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
                if fast is not None and fast.shape[:2] == (image.height, image.width):
                    return np.asarray(fast, np.uint8)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a damaged tag is no reason to refuse the pixels
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
            raise DataError(f"{path}: is damaged or cut off ({error}); copy it again from its source") from error


def _to_rgb(image: Image.Image) -> Picture:
    if image.mode.startswith(("I", "F")):
        return _grey_to_rgb(np.asarray(image))
    image = _to_srgb(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        image = Image.alpha_composite(white, layered)
    return np.array(image.convert("RGB"), np.uint8)


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "L", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile says nothing; the pixels do
    return image if converted is None else converted


def _grey_to_rgb(values: NDArray[np.generic]) -> Picture:
    numbers = np.nan_to_num(np.asarray(values, np.float64)).clip(0)
    peak = numbers.max(initial=0)
    depth = next((d for d in _DEPTHS if peak < 2**d), None)
    full = 2**depth - 1 if depth else peak
    grey = np.rint(numbers * (255.0 / full)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _open(path: Path, max_pixels: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: is not an image, whatever its name says; remove it or save it as PNG") from error
    except (OSError, ValueError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); check the file") from error
    if image.width * image.height > max_pixels:
        found = f"{image.width} x {image.height} pixels"
        image.close()
        raise DataError(f"{path}: has {found}, allowed are {max_pixels:,} in all; cut it into pieces")
    return image
