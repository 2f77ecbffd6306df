import hashlib
import io
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, MpoImagePlugin, PngImagePlugin

from shared.data import images
from shared.errors import DataError
from shared.records import Box

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"
RNG = np.random.default_rng(7)


def noise(*shape: int, high: int = 256, dtype: type = np.uint8) -> NDArray[np.integer]:
    return RNG.integers(0, high, shape).astype(dtype)


def smooth(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3, y * 4, x + y], -1).astype(np.uint8)


def save(path: Path, array: NDArray[np.integer], **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_lossless_colour_comes_back_exactly(tmp_path: Path, name: str) -> None:
    picture = noise(9, 13, 3)
    options = {"lossless": True} if name == "a.webp" else {}
    path = save(tmp_path / name, picture, **options)
    assert np.array_equal(images.read(path), picture)
    assert images.size(path) == (13, 9)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.gif"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, name: str) -> None:
    grey = noise(9, 13)
    assert np.array_equal(images.read(save(tmp_path / name, grey)), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 75, "progressive": True}, {"subsampling": 0}])
def test_jpeg_is_decoded_as_pillow_decodes_it_to_within_the_tolerance_of_decoders(
    tmp_path: Path, options: dict[str, int]
) -> None:
    path = save(tmp_path / "a.jpg", smooth(), **options)
    difference = images.read(path).astype(int) - np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(difference).max() <= 4 and np.abs(difference).mean() < 0.5


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_the_exif_orientation_is_applied_to_pixels_and_size(tmp_path: Path, name: str, value: int) -> None:
    path = tmp_path / name
    options: dict[str, object] = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}.get(
        path.suffix, {}
    )
    save(path, smooth(), exif=orientation(value), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")).astype(int)
    assert (expected.shape == (64, 48, 3)) == (value > 4)
    found = images.read(path)
    assert np.abs(found.astype(int) - expected).max() <= 2
    assert images.size(path) == (found.shape[1], found.shape[0])


def test_an_orientation_behind_the_pixels_of_a_png_counts_for_the_size_as_well(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", smooth())
    plain = path.read_bytes()
    path.write_bytes(plain[:-12] + chunk(b"eXIf", orientation(6).removeprefix(b"Exif\0\0")) + plain[-12:])
    assert images.size(path) == (48, 64)
    assert np.array_equal(images.read(path), np.rot90(smooth(), -1))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_grey_is_scaled_from_the_depth_that_was_used(tmp_path: Path, bits: int) -> None:
    grey = noise(20, 30, high=2**bits, dtype=np.uint16)
    grey[0, 0] = 2**bits - 1
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    tifffile.imwrite(tmp_path / "a.tif", grey)
    tifffile.imwrite(tmp_path / "big.tif", grey, bigtiff=True)
    tifffile.imwrite(tmp_path / "reversed.tif", grey, byteorder=">")
    expected = np.rint(grey * (255 / (2**bits - 1))).astype(np.uint8)
    for name in ("a.png", "a.tif", "big.tif", "reversed.tif"):
        assert np.array_equal(images.read(tmp_path / name), np.repeat(expected[..., None], 3, 2)), name


def test_the_depth_and_not_the_largest_value_is_the_scale(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4), 3000, np.uint16))
    assert int(images.read(tmp_path / "a.png")[0, 0, 0]) == round(3000 / 4095 * 255)


def test_deep_grey_with_white_as_zero_is_turned_over(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 4095]], np.uint16), photometric="miniswhite")
    assert images.read(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("kind", ["png", "tif", "compressed", "planes", "turned"])
def test_deep_colour_keeps_its_lower_bits(tmp_path: Path, kind: str) -> None:
    colour = noise(20, 30, 3, high=4096, dtype=np.uint16)
    colour[0, 0] = 4095
    expected = np.rint(colour * (255 / 4095)).astype(np.uint8)
    path = tmp_path / "a.tif"
    match kind:
        case "png":
            path = tmp_path / "a.png"
            cv2.imwrite(str(path), colour[..., ::-1])
        case "tif":
            tifffile.imwrite(path, colour, photometric="rgb")
        case "compressed":
            tifffile.imwrite(path, colour, photometric="rgb", compression="zlib", predictor=True)
        case "planes":
            tifffile.imwrite(path, colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
        case "turned":
            tifffile.imwrite(path, colour, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
            expected = np.rot90(expected, -1)
    assert np.array_equal(images.read(path), expected)
    assert images.size(path) == (expected.shape[1], expected.shape[0])


def test_deep_colour_with_transparency_lies_over_white(tmp_path: Path) -> None:
    colour = np.zeros((2, 2, 4), np.uint16)
    colour[..., :] = (1023, 512, 0, 0)
    colour[0, 0, 3] = 65535
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(colour, cv2.COLOR_RGBA2BGRA))
    found = images.read(tmp_path / "a.png")
    assert found[0, 0].tolist() == [255, round(512 / 1023 * 255), 0]
    assert found[1, 1].tolist() == [255, 255, 255]


def test_floating_point_from_0_to_1_fills_8_bits_and_missing_samples_are_black(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 0.5, 1, np.nan, -3, np.inf]], np.float32))
    assert images.read(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255, 0, 0, 0]


def test_transparency_lies_over_white_in_every_mode_that_has_it(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [(200, 100, 0, 255), (200, 100, 0, 128), (200, 100, 0, 0)]
    expected = [[200, 100, 0], [227, 177, 127], [255, 255, 255]]
    layered = Image.fromarray(rgba)
    for name in ("a.png", "a.tif"):
        layered.save(tmp_path / name)
        assert np.abs(images.read(tmp_path / name)[0].astype(int) - expected).max() <= 1
    grey = Image.fromarray(np.array([[[90, 255], [90, 0]]], np.uint8), "LA")
    grey.save(tmp_path / "la.png")
    assert images.read(tmp_path / "la.png")[0].tolist() == [[90] * 3, [255] * 3]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=bytes([255, 0]))
    assert images.read(tmp_path / "p.png")[0].tolist() == [[10, 20, 30], [255] * 3]
    palette.save(tmp_path / "opaque.png")
    assert images.read(tmp_path / "opaque.png")[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    Image.fromarray(np.array([[7, 8]], np.uint8)).save(tmp_path / "key.png", transparency=8)
    assert images.read(tmp_path / "key.png")[0].tolist() == [[7] * 3, [255] * 3]


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert images.read(tmp_path / "a.png")[0].tolist() == [[255] * 3, [0] * 3]


def test_ink_becomes_light(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    Image.new("CMYK", (16, 16), (0, 0, 0, 255)).save(tmp_path / "k.tif")
    red = images.read(tmp_path / "a.jpg")[8, 8].astype(int)
    assert np.abs(red - [255, 0, 0]).max() <= 4
    assert images.read(tmp_path / "k.tif")[8, 8].tolist() == [0, 0, 0]


def swapped_profile() -> bytes:
    """A display profile whose red and green primaries have changed places: what it marks as red is green."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(struct.unpack(">I", data[128:132])[0]):
        at = 132 + 12 * i
        data[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(bytes(data[at : at + 4]), data[at : at + 4])
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_embedded_profile_is_converted_to_srgb(tmp_path: Path, name: str, mode: str) -> None:
    image = Image.new("RGB", (4, 4), (250, 10, 10)).convert(mode)
    image.save(tmp_path / name, icc_profile=swapped_profile())
    r, g, b = images.read(tmp_path / name)[0, 0].astype(int)
    assert g > 240 and r < 20 and b < 20


def test_the_profile_of_a_jpeg_is_converted_and_an_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save(tmp_path / "a.jpg", smooth())
    save(tmp_path / "srgb.jpg", smooth(), icc_profile=srgb)
    save(tmp_path / "swapped.jpg", smooth(), icc_profile=swapped_profile())
    plain = images.read(tmp_path / "a.jpg").astype(int)
    assert np.abs(images.read(tmp_path / "srgb.jpg").astype(int) - plain).max() <= 4
    swapped = images.read(tmp_path / "swapped.jpg").astype(int)
    assert np.abs(swapped - plain[..., [1, 0, 2]]).max() <= 6


@pytest.mark.parametrize("profile", [b"nonsense", swapped_profile()[:200], bytes(400)])
def test_a_broken_profile_is_passed_over(tmp_path: Path, profile: bytes) -> None:
    path = save(tmp_path / "a.png", smooth(), icc_profile=profile)
    assert np.array_equal(images.read(path), smooth())


def test_a_grey_image_with_a_colour_profile_stays_grey(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = smooth()[..., 0]
    found = images.read(save(tmp_path / "a.png", grey, icc_profile=srgb)).astype(int)
    assert np.abs(found - grey[..., None]).max() <= 1


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.png", "a.webp"])
def test_several_pages_are_refused_because_all_but_one_would_be_lost(tmp_path: Path, name: str) -> None:
    pages = [Image.fromarray(noise(8, 8, 3)) for _ in range(3)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    for look in (images.read, images.size):
        with pytest.raises(DataError, match="holds 3 pages or frames, allowed is 1; save each"):
            look(tmp_path / name)


def test_smaller_copies_of_the_first_page_are_no_pages(tmp_path: Path) -> None:
    picture = noise(32, 32, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(picture, photometric="rgb")
        writer.write(picture[::2, ::2], photometric="rgb", subfiletype=1)
    assert np.array_equal(images.read(tmp_path / "a.tif"), picture)


def test_the_second_picture_in_a_phones_jpeg_is_no_page(tmp_path: Path) -> None:
    first, second = Image.fromarray(smooth()), Image.fromarray(smooth(24, 32))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    with Image.open(tmp_path / "a.jpg") as image:
        assert isinstance(image, MpoImagePlugin.MpoImageFile) and image.n_frames == 2
    assert images.read(tmp_path / "a.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.bmp", "a.webp", "grey.tif", "deep.png"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_file_is_refused_and_never_filled_up(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    if name == "deep.png":
        cv2.imwrite(str(path), noise(64, 64, 3, high=65536, dtype=np.uint16))
    else:
        save(path, noise(64, 64) if name == "grey.tif" else noise(64, 64, 3))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"a\.|grey|deep") as caught:
        images.read(path)
    assert "\n" not in str(caught.value) and ";" in str(caught.value)


def closed_again(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\xff\xd9"


def without_its_middle(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[-len(data) // 4 :]


def zeroed(data: bytes) -> bytes:
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


@pytest.mark.parametrize("damage", [closed_again, without_its_middle, zeroed])
@pytest.mark.parametrize("kind", ["plain", "progressive", "grey", "turned", "profile", "CMYK", "MPO"])
def test_a_jpeg_of_which_a_part_is_lost_is_refused_though_its_end_is_there(
    tmp_path: Path, kind: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.jpg"
    picture = Image.fromarray(noise(96, 96) if kind == "grey" else noise(96, 96, 3))
    options: dict[str, Any] = {"progressive": {"progressive": True}, "turned": {"exif": orientation(6)}}.get(kind, {})
    if kind == "profile":
        options = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    picture.convert("CMYK" if kind == "CMYK" else picture.mode).save(
        path, "MPO" if kind == "MPO" else "JPEG", **options
    )
    images.read(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"a\.jpg: is damaged or cut off \(.*\); copy it again"):
        images.read(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.bmp", "a.webp", "a.gif", "deep.tif"])
def test_damaged_bytes_give_an_image_or_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "deep.tif":
        tifffile.imwrite(path, noise(16, 16, 3, high=65536, dtype=np.uint16), photometric="rgb", compression="zlib")
    else:
        save(path, noise(16, 16, 3))
    whole = path.read_bytes()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        damaged = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 400), 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            found = images.read(path, max_pixels=10**6)
            assert found.dtype == np.uint8 and found.ndim == 3 and images.size(path) == found.shape[1::-1]
        except DataError as error:
            assert str(error).startswith(str(path))


def test_what_is_no_image_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    (tmp_path / "folder.png").mkdir()
    tifffile.imwrite(tmp_path / "double.tif", np.zeros((4, 4)))
    said = {
        "empty.png": "is empty",
        "text.png": "is not an image",
        "script.png": "is not an image",
        "folder.png": "cannot be read",
        "absent.png": "cannot be read",
        "double.tif": "TIFF with a sample type",
    }
    for name, words in said.items():
        for look in (images.read, images.size):
            with pytest.raises(DataError, match=words):
                look(tmp_path / name)
    with pytest.raises(DataError, match=r"absent\.png: cannot be read"):
        images.content_hash(tmp_path / "absent.png")


def test_a_bomb_is_refused_from_its_header_and_pillows_own_limit_is_left_as_it_was(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png(chunk(b"IHDR", header), chunk(b"IDAT", b""), chunk(b"IEND", b"")))
    limit = Image.MAX_IMAGE_PIXELS
    start = time.perf_counter()
    for look in (images.read, images.size):
        with pytest.raises(DataError, match=r"60000 x 60000 pixels \(3,600,000,000\), allowed are 268,435,456 "):
            look(tmp_path / "a.png")
    assert time.perf_counter() - start < 1
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_holds_for_an_image_that_is_already_decoded(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", noise(10, 10, 3))
    images.read(path, max_pixels=100)
    with pytest.raises(DataError, match="allowed are 99"):
        images.read(path, max_pixels=99)


def test_an_image_beyond_pillows_limit_and_within_ours_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.tif", noise(40, 40, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert images.read(path).shape == (40, 40, 3) and images.size(path) == (40, 40)


def test_size_reads_the_header_only(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 4000, 3000, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png(chunk(b"IHDR", header), chunk(b"IDAT", b"no pixels"), chunk(b"IEND", b"")))
    assert images.size(tmp_path / "a.png") == (4000, 3000)


def test_a_window_is_that_part_of_the_image_and_may_be_changed(tmp_path: Path) -> None:
    picture = noise(30, 40, 3)
    path = save(tmp_path / "a.png", picture)
    part = images.read(path, window=Box(5, 7, 25, 28))
    assert np.array_equal(part, picture[7:28, 5:25])
    part[:] = 0
    assert np.array_equal(images.read(path), picture)
    with pytest.raises(ValueError, match="read-only"):
        images.read(path)[0, 0, 0] = 1
    for outside in (Box(-1, 0, 5, 5), Box(0, -1, 5, 5), Box(0, 0, 41, 5), Box(0, 0, 5, 31)):
        with pytest.raises(DataError, match="lies outside of its 40 x 30 pixels"):
            images.read(path, window=outside)


def test_many_windows_decode_the_file_once_from_several_threads_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = noise(64, 64, 3)
    path = save(tmp_path / "a.png", picture)
    decoded: list[int] = []
    inner = cv2.imdecode

    def counting(data: NDArray[np.uint8], flags: int) -> NDArray[np.uint8]:
        decoded.append(1)
        time.sleep(0.02)
        return np.asarray(inner(data, flags))

    monkeypatch.setattr(cv2, "imdecode", counting)
    wrong: list[int] = []

    def look(start: int) -> None:
        for x in range(start, 64, 4):
            if not np.array_equal(images.read(path, window=Box(x, 0, x + 1, 64)), picture[:, x : x + 1]):
                wrong.append(x)

    threads = [threading.Thread(target=look, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(decoded) == 1


def test_a_changed_file_is_decoded_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for seed in range(5):
        picture = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        images.write_png(path, picture)
        assert np.array_equal(images.read(path), picture)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_what_is_written_as_png_other_readers_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    picture = noise(*shape)
    images.write_png(tmp_path / "deep" / "a.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), picture)
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["a.png"]


@pytest.mark.parametrize(("shape", "dtype"), [((4, 4), np.uint16), ((4, 4, 4), np.uint8), ((0, 4), np.uint8)])
def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    path = save(tmp_path / "a.png", noise(4, 4, 3))
    before = path.read_bytes()
    with pytest.raises(DataError, match="cannot be written; allowed are"):
        images.write_png(path, np.zeros(shape, dtype))
    assert path.read_bytes() == before


def test_the_content_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc" * 100_000)
    assert images.content_hash(tmp_path / "a.png") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_damaged_tag_does_not_keep_the_pixels_from_being_read(tmp_path: Path) -> None:
    picture = noise(8, 8, 3)
    info = PngImagePlugin.PngInfo()
    Image.fromarray(picture).save(tmp_path / "a.png", pnginfo=info, exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert np.array_equal(images.read(tmp_path / "a.png"), picture)
    buffer = io.BytesIO()
    Image.fromarray(smooth()).save(buffer, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0garbage")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert images.read(tmp_path / "a.jpg").shape == (48, 64, 3)


def test_real_photographs_are_read_as_pillow_reads_them() -> None:
    if not SHARED.is_dir():
        pytest.skip("no real photographs beside the checkout")
    files = [f for suffix in ("jpg", "png") for f in sorted(SHARED.rglob(f"*.{suffix}"))[::97]]
    assert files
    for file in files:
        with Image.open(file) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
            plain = "icc_profile" not in image.info and image.mode in ("L", "RGB")
        found = images.read(file)
        assert images.size(file) == found.shape[1::-1] == expected.shape[1::-1]
        if plain:
            difference = np.abs(found.astype(int) - expected)
            assert difference.max() <= (0 if file.suffix == ".png" else 8) and difference.mean() < 0.5, file
