"""An object with a film in it in, the same with its frames one by one as JPEG out.

A coded stream can carry what no table of attributes reaches: sound in which somebody is called by name, subtitles, the
place and the time of a phone. So nothing of the stream goes on but the pictures. The object stays a Video Photographic
Image (PS3.3 A.32.7), coded frame by frame; it becomes larger, and loses a little once more.
"""

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from shared.errors import DataError, require
from verticals.medical.dicom import dicom_encode, video
from verticals.medical.dicom.colour import Picture
from verticals.medical.privacy.deidentify import silence

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_FRAMES = 1500
"""A minute at 25 frames a second: as JPEG every frame is a picture of its own."""
MOST_BYTES = 2**29
"""Of all frames as JPEG, 512 MiB: they are held in memory."""
QUALITY = 95
"""Of the JPEG."""
_METHODS = {"100": "ISO_13818_2", "101": "ISO_13818_2", "107": "ISO_23008_2", "108": "ISO_23008_2"}
"""Defined terms of Lossy Image Compression Method by the end of the transfer syntax; all others are H.264."""


def taken_apart(dataset: "Dataset", look: Callable[[Picture, int], list[str]]) -> list[str]:
    """Replace a film by its frames, in place.

    Args:
        dataset: With a film as its pixels.
        look: Given each frame and its number from 1; says what a person has to judge, or raises.

    Returns:
        What ``look`` said of the first frame with something to say, and that the film was coded again.

    Raises:
        DataError: The film is too long or too large, ends before its header says, or cannot be decoded.
    """
    encaps = require("pydicom.encaps", extra="medical")
    count, size = int(dataset.get("NumberOfFrames") or 1), (int(dataset.Rows), int(dataset.Columns))
    if count > MOST_FRAMES:
        raise DataError(f"the object is a film of {count} frames; up to {MOST_FRAMES} are taken; export a shorter one")
    coded: list[bytes] = []
    notes: list[str] = []
    written = 0
    with silence("has pixels that cannot be looked at"):
        stream = BytesIO(dataset.PixelData)
        encaps.parse_basic_offsets(stream)
        for number, frame in enumerate(video.every(encaps.generate_fragments(stream), count, size), 1):
            notes += look(frame, number)
            coded.append(_jpeg(frame))
            if (written := written + len(coded[-1])) > MOST_BYTES:
                raise DataError(
                    f"the object is a film of more than {MOST_BYTES >> 20} MiB as frames; export it smaller"
                )
        _refill(dataset, coded, raw=size[0] * size[1] * 3 * count)
    return [*notes[:1], "The film was coded again frame by frame, without its sound"]


def _jpeg(frame: Picture) -> bytes:
    stream = BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=QUALITY, subsampling="4:2:2")
    return stream.getvalue()


def _refill(dataset: Any, coded: list[bytes], *, raw: int) -> None:
    """Pixels and what describes them; both compressions are named (PS3.3 C.7.6.1.1.5)."""
    end = str(dataset.file_meta.TransferSyntaxUID).split(".1.2.4.")[1].split(".")[0]
    ratios = _listed(dataset.get("LossyImageCompressionRatio")) or [round(raw / max(len(dataset.PixelData), 1), 3)]
    methods = _listed(dataset.get("LossyImageCompressionMethod")) or [_METHODS.get(end, "ISO_14496_10")]
    dataset.PixelData = require("pydicom.encaps", extra="medical").encapsulate(coded)
    dataset["PixelData"].VR = "OB"
    uid = require("pydicom.uid", extra="medical").UID
    dataset.file_meta.TransferSyntaxUID = uid(dicom_encode.JPEG_BASELINE)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "YBR_FULL_422", 0
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = [*ratios, round(raw / sum(map(len, coded)), 3)]
    dataset.LossyImageCompressionMethod = [*methods, "ISO_10918_1"]
    dataset.pop("MultiplexedAudioChannelsDescriptionCodeSequence", None)


def _listed(value: Any) -> list[Any]:
    if value in (None, ""):
        return []
    return [value] if isinstance(value, (str, float)) else list(value)
