"""A read of pixels in, an error out wherever the codec only complained and made something up.

GDAL's ``GDAL_ERROR_ON_LIBJPEG_WARNING`` is of its JPEG driver and changes nothing for JPEG inside a TIFF. What libjpeg
does not complain about nobody can tell: JPEG has no checksum, and a few changed bytes are often another valid picture.
Of 1,200 blocks damaged at random (zeros, ones, noise, flipped bits) all with 64 or more zeroed bytes were found, of
those with 1 to 16 changed bytes of any kind six in ten.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import require

_LOGGER = "rasterio._err"
_CODEC = "JPEGLib:"
"""libtiff passes libjpeg's complaints (bad Huffman code, premature end ...) on as warnings and fills up with grey."""


class _Complaints(logging.Filter):
    """Counts the codec's complaints and keeps them out of the log; the caller tells them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if _CODEC not in message:
            return True
        self.found.append(message.partition(_CODEC)[2])
        return False


@contextmanager
def watched() -> Iterator[None]:
    """Make damage that GDAL reads over an error.

    Raises:
        RasterioIOError: While the block ran, a codec complained. Blocks that GDAL has in its cache complain no more.
    """
    logger, complaints = logging.getLogger(_LOGGER), _Complaints()
    level = logger.level
    # A program that wants fewer messages still gets damaged pixels told.
    logger.setLevel(logging.WARNING)
    logger.addFilter(complaints)
    try:
        yield
    finally:
        logger.removeFilter(complaints)
        logger.setLevel(level)
    if complaints.found:
        raise require("rasterio.errors", extra="agriculture").RasterioIOError(complaints.found[0])
