import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from verticals.medical.dicom import colour

pydicom = pytest.importorskip("pydicom")


def with_palette(table: np.ndarray, syntax: str, bits: int, first: int = 0, vr_bytes: int = 2) -> "pydicom.Dataset":
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    for place, name in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [len(table), first, bits])
        column = table[:, place]
        data = column.astype(f"{order}u2").tobytes() if vr_bytes == 2 else column.astype(np.uint8).tobytes()
        if vr_bytes == 1 and order == ">":
            data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
        setattr(dataset, f"{name}PaletteColorLookupTableData", data)
    return dataset


LITTLE, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


@pytest.mark.parametrize("syntax", [LITTLE, BIG])
@pytest.mark.parametrize("factor", [256, 257])
def test_palettes_of_16_bits_give_the_8_bits_they_were_made_from_in_either_byte_order(syntax: str, factor: int) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, (200, 3))
    indices = np.random.default_rng(1).integers(0, 200, (9, 7)).astype(np.uint8)
    picture, warning = colour.palette(indices, with_palette(wanted * factor, syntax, 16))
    np.testing.assert_array_equal(picture, wanted[indices])
    assert warning == ""


@pytest.mark.parametrize("syntax", [LITTLE, BIG])
def test_palettes_of_8_bits_may_be_packed_two_to_a_word(syntax: str) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, (256, 3))
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture, _ = colour.palette(indices, with_palette(wanted, syntax, 8, vr_bytes=1))
    np.testing.assert_array_equal(picture, wanted[indices])


def test_a_palette_that_claims_16_bits_and_uses_8_is_taken_as_8_with_a_warning() -> None:
    wanted = np.random.default_rng(0).integers(0, 256, (256, 3))
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture, warning = colour.palette(indices, with_palette(wanted, LITTLE, 16))
    np.testing.assert_array_equal(picture, wanted[indices])
    assert "claims 16 bits and uses 8" in warning


def test_indices_outside_of_the_palette_take_its_first_and_last_colour() -> None:
    wanted = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]]) * 257
    indices = np.array([[0, 99, 100, 101, 102, 60_000]], np.uint16)
    picture, _ = colour.palette(indices, with_palette(wanted, LITTLE, 16, first=100))
    assert picture[0, :, 0].tolist() == [10, 10, 10, 40, 70, 70]


@pytest.mark.parametrize("bits", [8, 10, 12, 16, 32])
def test_any_depth_becomes_8_bits_with_black_and_white_kept(bits: int) -> None:
    full = 2**bits - 1
    values = np.array([0, full // 4, full // 2 - (bits > 8), full], np.uint32)
    assert colour.scaled(values, bits).tolist() == [0, 64 if bits > 8 else 63, 127, 255]


def test_monochrome1_is_turned_over_and_windows_are_applied() -> None:
    dataset = pydicom.Dataset()
    values = np.array([[0, 100, 200, 255]], np.uint8)
    plain = colour.grey(values, dataset, bits=8, signed=False, negative=False)
    np.testing.assert_array_equal(plain, np.repeat(values[..., None], 3, 2))
    turned = colour.grey(values, dataset, bits=8, signed=False, negative=True)
    np.testing.assert_array_equal(turned, 255 - plain)
    dataset.WindowCenter, dataset.WindowWidth = 150, 101
    dataset.BitsStored, dataset.PixelRepresentation, dataset.PhotometricInterpretation = 8, 0, "MONOCHROME2"
    shown = colour.grey(values, dataset, bits=8, signed=False, negative=False)[0, :, 0]
    # PS3.3 C.11.2.1.2: below c - 0.5 - (w - 1) / 2 = 99.5 black, above 199.5 white, linear between.
    assert shown.tolist() == [0, round((100 - 149.5) / 100 * 255 + 127.5), 255, 255]


def test_a_wide_profile_changes_colours_as_littlecms_does_and_srgb_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    same, done = colour.to_srgb(picture, colour.srgb_profile())
    assert done == "srgb" and same is picture
    # Red and blue primaries change places: every picture comes out with its channels swapped.
    profile = colour.srgb_profile()
    swapped = profile.replace(b"rXYZ", b"tmp.", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tmp.", b"bXYZ", 1)
    changed, done = colour.to_srgb(picture, swapped)
    source = ImageCms.ImageCmsProfile(io.BytesIO(swapped))
    wanted = ImageCms.profileToProfile(Image.fromarray(picture), source, ImageCms.createProfile("sRGB"))
    assert done == "applied" and (changed != picture).any()
    np.testing.assert_array_equal(changed, np.asarray(wanted))
    assert np.abs(changed.astype(int) - picture[..., ::-1]).max() <= 1


@pytest.mark.parametrize(
    "profile", [b"nonsense" * 40, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_profile_that_cannot_be_used_leaves_the_pixels_and_says_so(profile: bytes) -> None:
    picture = np.full((4, 4, 3), 77, np.uint8)
    assert colour.to_srgb(picture, profile)[1] == "unusable"
    assert colour.to_srgb(picture, b"")[1] == "none"


def test_the_profile_that_is_written_is_the_same_every_time() -> None:
    assert colour.srgb_profile() == colour.srgb_profile()
    assert ImageCms.ImageCmsProfile(io.BytesIO(colour.srgb_profile())).profile.xcolor_space.strip() == "RGB"
