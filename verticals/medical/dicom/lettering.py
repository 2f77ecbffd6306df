"""Words in, a strip of pixels with all of their letters out: what is measured is what is drawn, and nothing is cut off.

The font is Source Sans, which Streamlit brings (SIL Open Font License): Latin with all its extensions that names need,
Greek and Cyrillic. Where it is not to be had, the font inside Pillow draws plain Latin letters. What a font has no
letter for is not drawn as another sign: ask :func:`drawable` first.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shared.errors import DataError

MARGIN = 0.04
"""Share of the width that stays empty on each side."""
_SEMIBOLD = 600
_NOBODYS = "\U0010fffe"
"""No letter, in any font: it looks as every letter looks that a font does not have."""


def drawable(text: str) -> bool:
    """Whether the font has every letter of a text; marks that no letter carries count as missing."""
    return all(_has(letter) for letter in unicodedata.normalize("NFC", text) if letter != " ")


def size_for(text: str, width: int) -> int:
    """The largest size in pixels at which a text fits between the margins of a strip, at least 1."""
    room = width * (1 - 2 * MARGIN)
    size = max(1, int(100 * room / max(1.0, _wide(text, 100))) + 1)
    while size > 1 and _wide(text, size) > room:
        size -= 1
    return size


def strip(lines: Sequence[str], width: int, size: float, *, ink: int = 255, paper: int = 0) -> NDArray[np.uint8]:
    """Lines of one size below each other, each broken between words where it is wider than the strip.

    Args:
        lines: What is to be read; every letter must be :func:`drawable`.
        width: Of the strip in pixels.
        size: Of the letters in pixels; a word that does not fit by itself is drawn smaller.
        ink: Grey of the letters, 0 to 255.
        paper: Grey behind them.

    Returns:
        ``(rows, width, 3)`` uint8.

    Raises:
        DataError: The font has no such letter.
    """
    pixels = max(1, round(size))
    drawn = [
        _line(part, width, pixels, ink, paper)
        for line in lines
        for part in _broken(unicodedata.normalize("NFC", line), width * (1 - 2 * MARGIN), pixels)
    ]
    return np.concatenate(drawn)


def _broken(line: str, room: float, size: int) -> Iterator[str]:
    """The line in parts that fit, broken between words."""
    part = ""
    for word in line.split():
        longer = f"{part} {word}".strip()
        if part and _wide(longer, size) > room:
            yield part
            longer = word
        part = longer
    yield part


def _line(text: str, width: int, size: int, ink: int, paper: int) -> NDArray[np.uint8]:
    if not drawable(text):
        raise DataError(f"{text!r}: the font has no such letter; write it in Latin, Greek or Cyrillic letters")
    room = width * (1 - 2 * MARGIN)
    while size > 1 and _wide(text, size) > room:
        size -= 1
    font = _font(size)
    ascent, descent = font.getmetrics()
    above = size // 4
    image = Image.new("L", (width, ascent + descent + above), paper)
    ImageDraw.Draw(image).text((MARGIN * width - font.getbbox(text)[0], above // 2), text, fill=ink, font=font)
    return np.repeat(np.asarray(image, np.uint8)[..., None], 3, axis=2)


def _wide(text: str, size: int) -> float:
    left, _, right, _ = _font(size).getbbox(text)
    return right - left


@lru_cache(maxsize=4096)
def _has(letter: str) -> bool:
    if not letter.isprintable() or unicodedata.combining(letter):
        return False
    font = _font(40)
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NOBODYS))


@lru_cache(maxsize=128)
def _font(size: int) -> ImageFont.FreeTypeFont:
    file = _file()
    if file is not None:
        try:
            font = ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
            font.set_variation_by_axes([_SEMIBOLD])
        except OSError:
            pass  # a FreeType that cannot open WOFF2, or one without variations
        else:
            return font
    plain = ImageFont.load_default(size)
    assert isinstance(plain, ImageFont.FreeTypeFont), "Pillow's wheels have FreeType"
    return plain


@lru_cache(maxsize=1)
def _file() -> Path | None:
    found = find_spec("streamlit")
    if found is None or found.origin is None:
        return None
    return next(iter(sorted(Path(found.origin).parent.glob("static/static/media/SourceSansVF-Upright*.woff2"))), None)
