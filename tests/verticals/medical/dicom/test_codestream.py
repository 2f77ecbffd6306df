import io

import numpy as np
import pytest
from PIL import Image

from verticals.medical.dicom import codestream


def picture(side: int = 48) -> Image.Image:
    y, x = np.mgrid[:side, :side]
    return Image.fromarray(np.stack([x * 5 % 256, y * 5 % 256, (x + y) * 3 % 256], -1).astype(np.uint8))


def jpeg(**options: object) -> bytes:
    stream = io.BytesIO()
    picture().save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize(("subsampling", "coarser"), [("4:4:4", False), ("4:2:2", True), ("4:2:0", True)])
def test_a_jpeg_says_its_size_its_colour_and_whether_chroma_is_coarser(subsampling: str, coarser: bool) -> None:
    found = codestream.describe(jpeg(subsampling=subsampling))
    assert found is not None
    assert (found.width, found.height, found.precision, found.components) == (48, 48, 8, 3)
    assert (found.ycbcr, found.subsampled, found.complete) == (True, coarser, True)
    assert found.process == codestream.BASELINE


def test_components_named_r_g_b_are_rgb_and_unmarked_ones_say_nothing() -> None:
    data = bytearray(jpeg(subsampling="4:4:4"))
    del data[2:20]  # the JFIF segment
    start = data.index(b"\xff\xc0")
    unmarked = codestream.describe(bytes(data))
    for place, letter in enumerate(b"RGB"):
        data[start + 10 + 3 * place] = letter
    named = codestream.describe(bytes(data))
    assert unmarked is not None and unmarked.ycbcr is None
    assert named is not None and named.ycbcr is False


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_jpeg_that_is_cut_off_is_not_complete(kept: float) -> None:
    data = jpeg()
    found = codestream.describe(data[: int(len(data) * kept)])
    assert found is None or not found.complete


def test_fill_bytes_behind_the_end_do_not_make_it_incomplete() -> None:
    for fill in (b"\0", b"\xff", b"\0\0\0"):
        found = codestream.describe(jpeg() + fill)
        assert found is not None and found.complete


def test_jpeg_2000_says_its_size_and_depth_also_inside_of_jp2_boxes() -> None:
    for options in ({}, {"no_jp2": True}):
        stream = io.BytesIO()
        picture().resize((40, 30)).save(stream, "JPEG2000", **options)
        found = codestream.describe(stream.getvalue())
        assert found is not None and found.process == codestream.JPEG_2000
        assert (found.width, found.height, found.precision, found.components, found.complete) == (40, 30, 8, 3, True)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\x00\x05", b"\xffO\xffQ\0", b"PNG" * 50])
def test_other_bytes_are_none_of_the_three(data: bytes) -> None:
    assert codestream.describe(data) is None


@pytest.mark.parametrize("resolutions", [1, 3, 6])
def test_jpeg_2000_says_how_often_it_can_be_halved(resolutions: int) -> None:
    stream = io.BytesIO()
    picture(128).save(stream, "JPEG2000", num_resolutions=resolutions, no_jp2=True)
    found = codestream.describe(stream.getvalue())
    assert found is not None and found.halvings == resolutions - 1 and found.width == 128
    cut = codestream.describe(stream.getvalue()[:60])
    assert cut is not None and cut.halvings == 0
