"""What a camera writes beside the picture must go, and no bit of the picture with it."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames

from shared.errors import DataError
from verticals.medical.dicom import codestream
from verticals.medical.privacy.segments import stripped_jpeg, stripped_jpeg2000


def photo(kind: str, **options: object) -> bytes:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (48, 64, 3)).astype(np.uint8))
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def with_segment(data: bytes, marker: int, body: bytes, at: int = 2) -> bytes:
    return data[:at] + bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body + data[at:]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("marker", [0xE1, 0xE3, 0xED, 0xEF, 0xFE])
def test_exif_comments_and_what_follows_the_end_go_and_the_pixels_stay(marker: int, progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET Jane"
    data = photo("JPEG", exif=exif, progressive=progressive, icc_profile=b"profile" * 9)
    between = data.rfind(b"\xff\xda")  # a comment between two scans of a progressive picture
    dirty = with_segment(with_segment(data, 0xFE, b"SECRET", between), marker, b"SECRET") + b"SECRET second picture"
    clean = stripped_jpeg(dirty)
    assert dirty.count(b"SECRET") >= 4 and b"SECRET" not in clean
    assert b"ICC_PROFILE" in clean and clean.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(pixels(clean), pixels(data))


def test_a_profile_in_several_segments_stays_whole_while_a_second_picture_goes() -> None:
    profile = b"x" * 70_000
    clean = stripped_jpeg(photo("JPEG", icc_profile=profile) + photo("JPEG", comment=b"SECRET"))
    found = codestream.describe(clean)
    assert found is not None and found.icc == profile and found.complete and b"SECRET" not in clean


def test_a_thumbnail_in_the_first_segment_goes() -> None:
    data = photo("JPEG")
    length = int.from_bytes(data[4:6], "big")
    header = data[6 : 4 + length - 2] + b"\x02\x01" + b"SECRET"  # 2 x 1 pixels
    dirty = with_segment(data[:2] + data[4 + length :], 0xE0, header)
    clean = stripped_jpeg(dirty)
    assert b"SECRET" in dirty and b"SECRET" not in clean
    np.testing.assert_array_equal(pixels(clean), pixels(data))


def test_comments_and_boxes_of_jpeg_2000_go_and_the_pixels_stay() -> None:
    boxed = photo("JPEG2000", irreversible=False, comment="SECRET", no_jp2=False)
    clean = stripped_jpeg2000(boxed + b"SECRET")
    assert b"SECRET" in boxed and b"SECRET" not in clean and clean.startswith(b"\xff\x4f\xff\x51")
    np.testing.assert_array_equal(pixels(clean), pixels(boxed))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0", b"Jane" * 9])
def test_a_damaged_frame_is_refused(data: bytes) -> None:
    for strip in (stripped_jpeg, stripped_jpeg2000):
        with pytest.raises(DataError, match="damaged"):
            strip(data)
    with pytest.raises(DataError, match="damaged"):
        stripped_jpeg(photo("JPEG")[:-200])


def test_every_compressed_sample_decodes_to_the_same_pixels_afterwards(real_data: Path) -> None:
    seen = 0
    for path in sorted((real_data / "medical" / "dicom_samples" / "files").glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some are broken on purpose
            dataset = dcmread(path, force=True)
            syntax = str(getattr(dataset.get("file_meta"), "TransferSyntaxUID", ""))
            if not syntax.startswith("1.2.840.10008.1.2.4.") or "PixelData" not in dataset:
                continue
            try:
                before = dataset.pixel_array
            except (ValueError, RuntimeError, NotImplementedError, EOFError):
                continue
        strip = stripped_jpeg2000 if syntax[20:] in ("90", "91", "201", "202", "203") else stripped_jpeg
        frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
        dataset.PixelData = encapsulate([strip(frame) for frame in frames])
        np.testing.assert_array_equal(dataset.pixel_array, before)
        seen += 1
    assert seen >= 5
