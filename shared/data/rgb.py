"""Decoded samples of any mode and depth in, 8-bit RGB in the sRGB colour space out."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Picture = NDArray[np.uint8]

_DEPTHS = (8, 10, 12, 14, 16)
_PHOTOMETRIC = 262
"""Tag of TIFF 6.0 that says whether 0 is black or white."""


def from_wide(values: NDArray[np.uint16]) -> Picture:
    """``(H, W, 3)`` uint8 of ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA with 16 bits; transparency is laid over white."""
    colour = _eight_bits(values[..., :3])
    if values.shape[2] == 3:
        return colour
    alpha = values[..., 3:].astype(np.float64) / 65535
    return np.rint(colour * alpha + 255 * (1 - alpha)).astype(np.uint8)


def from_image(image: Image.Image) -> Picture:
    """``(H, W, 3)`` uint8 of a loaded image of any mode."""
    if image.mode.startswith(("I", "F")):
        white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0  # Pillow turns over 8 bits, and not 16
        return np.repeat(_eight_bits(np.asarray(image), negative=white_is_zero)[..., None], 3, axis=2)
    profile = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        layered = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        image, alpha = layered.convert("L" if layered.mode == "LA" else "RGB"), layered.getchannel("A")
    elif image.mode not in ("L", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    picture = _to_srgb(image, profile).convert("RGB")
    if alpha is not None:
        picture = Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)
    return np.array(picture, np.uint8)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Through the profile, where it is one for this kind of image."""
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if (image.mode, space) == ("L", "RGB"):
            image = image.convert("RGB")
        if {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}.get(image.mode) != space:
            return image
        target, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.PERCEPTUAL
        converted = ImageCms.profileToProfile(image, source, target, renderingIntent=intent, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile says nothing; the pixels do
    return image if converted is None else converted


def _eight_bits(values: NDArray[np.generic], *, negative: bool = False) -> Picture:
    """The rule for deep samples that :func:`shared.data.images.read` describes; same shape, uint8."""
    numbers = np.nan_to_num(np.asarray(values, np.float64), posinf=0).clip(0)
    peak = float(numbers.max(initial=0))
    if values.dtype.kind == "f" and peak <= 1:
        full = 1.0
    else:
        full = next((2.0**depth - 1 for depth in _DEPTHS if peak < 2**depth), peak)
    return np.rint((full - numbers if negative else numbers) * (255.0 / full)).astype(np.uint8)


def turned(picture: Picture, orientation: int) -> Picture:
    """Apply an EXIF orientation (TIFF 6.0, tag 274)."""
    if orientation > 4:
        picture = picture.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return picture[:, ::-1] if orientation in (2, 3, 6, 7) else picture
