import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError, MissingDependency
from verticals.industrial.pixels import BITS, open_strip

tifffile = pytest.importorskip("tifffile")

WIDTH, LINES = 40, 25


def sidecar(path: Path, pixel_format: str, extra: str = "", width: int = WIDTH) -> None:
    path.with_suffix(".toml").write_text(
        f'width = {width}\npixel_format = "{pixel_format}"\nline_rate_hz = 20000\nmm_per_px = [0.05, 0.06]\n{extra}\n'
    )


def values(pixel_format: str) -> NDArray[np.uint16]:
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, 2 ** BITS[pixel_format], (LINES, WIDTH)).astype(np.uint16)
    drawn[0, :2] = 0, 2 ** BITS[pixel_format] - 1
    return drawn


def write_raw(path: Path, pixel_format: str, extra: str = "") -> NDArray[np.uint16]:
    drawn = values(pixel_format)
    path.write_bytes(drawn.astype("u1" if pixel_format == "Mono8" else "<u2").tobytes())
    sidecar(path, pixel_format, extra)
    return drawn


@pytest.mark.parametrize("pixel_format", list(BITS))
def test_every_format_becomes_eight_bits_linearly_over_its_full_scale(tmp_path: Path, pixel_format: str) -> None:
    drawn = write_raw(tmp_path / "a.raw", pixel_format)
    strip = open_strip(tmp_path / "a.raw")
    assert (strip.width, strip.lines, strip.problems, strip.missing) == (WIDTH, LINES, (), 0.0)
    expected = np.rint(drawn * (255.0 / (2 ** BITS[pixel_format] - 1))).astype(np.uint8)
    read = strip.read(0, LINES)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, expected)
    np.testing.assert_array_equal(strip.read(7, 9), expected[7:9])
    assert read[0, 0] == 0 and read[0, 1] == 255


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pixel_format", ["Mono8", "Mono12", "Mono16"])
def test_tiff_and_bigtiff_of_both_byte_orders_give_the_same_as_raw(
    tmp_path: Path, pixel_format: str, big: bool, order: str
) -> None:
    drawn = write_raw(tmp_path / "raw.raw", pixel_format)
    kind = np.uint8 if pixel_format == "Mono8" else np.uint16
    tifffile.imwrite(tmp_path / "tiff.tif", drawn.astype(kind), bigtiff=big, byteorder=order)
    sidecar(tmp_path / "tiff.tif", pixel_format)
    strip = open_strip(tmp_path / "tiff.tif")
    assert strip.problems == ()
    np.testing.assert_array_equal(strip.read(0, LINES), open_strip(tmp_path / "raw.raw").read(0, LINES))


def test_a_short_strip_is_usable_as_far_as_it_goes_and_says_what_is_missing(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "Mono8", "lines = 100")
    strip = open_strip(tmp_path / "a.raw")
    assert strip.lines == LINES and strip.missing == pytest.approx(0.75)
    assert "25 of 100 lines are there" in strip.problems[0].what
    assert strip.read(0, LINES).shape == (LINES, WIDTH)
    with pytest.raises(DataError, match="allowed are 0 to 25"):
        strip.read(20, 26)


def test_a_tiff_that_ends_early_is_treated_like_a_short_raw_strip(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values("Mono12"))
    sidecar(path, "Mono12")
    path.write_bytes(path.read_bytes()[: -3 * WIDTH * 2 - 10])
    strip = open_strip(path)
    assert strip.lines == LINES - 4 and strip.missing == pytest.approx(4 / LINES)
    assert len(strip.problems) == 2


def test_a_partial_last_line_is_dropped_and_told(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "Mono12")
    with (tmp_path / "a.raw").open("ab") as stream:
        stream.write(b"\0" * 11)
    strip = open_strip(tmp_path / "a.raw")
    assert strip.lines == LINES and "11 bytes into a line" in strip.problems[0].what


def test_a_strip_longer_than_said_is_examined_whole_and_told(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "Mono8", "lines = 20")
    strip = open_strip(tmp_path / "a.raw")
    assert strip.lines == LINES and strip.missing == 0.0
    assert "25 lines are there, 20 were expected" in strip.problems[0].what


def test_lost_lines_are_left_out_of_what_can_be_examined(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "Mono8", "lost_lines = [[20, 10], [3, 2], [4, 2]]")
    strip = open_strip(tmp_path / "a.raw")
    assert strip.runs == ((0, 3), (6, 20))
    assert strip.missing == pytest.approx(8 / 25)
    assert "the camera lost 8 of 25 lines" in strip.problems[0].what


def test_values_above_the_full_scale_are_refused_because_the_format_must_be_wrong(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "Mono16")
    sidecar(tmp_path / "a.raw", "Mono12")
    with pytest.raises(DataError, match="Mono12 ends at 4095; check pixel_format"):
        open_strip(tmp_path / "a.raw").read(0, LINES)


def test_an_unknown_key_gets_advice(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "Mono8", "line_rate = 3")
    with pytest.raises(ConfigError, match="unknown key 'line_rate'; did you mean 'line_rate_hz'"):
        open_strip(tmp_path / "a.raw")


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ("lines = 0", "lines is 0; allowed is 1 or more"),
        ("lost_lines = [[-1, 2]]", "lost_lines"),
        ("lost_lines = [[1]]", "lost_lines"),
        ('lines = "many"', "allowed is int"),
    ],
)
def test_a_sidecar_out_of_range_is_refused(tmp_path: Path, extra: str, sentence: str) -> None:
    write_raw(tmp_path / "a.raw", "Mono8", extra)
    with pytest.raises(ConfigError, match=sentence.replace("[", r"\[")):
        open_strip(tmp_path / "a.raw")


def test_a_packed_format_is_refused_with_what_is_read(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "Mono8")
    sidecar(tmp_path / "a.raw", "Mono12p")
    with pytest.raises(ConfigError, match=r"did you mean 'Mono12'.*unpacked; save packed"):
        open_strip(tmp_path / "a.raw")


def test_missing_sidecar_missing_file_and_less_than_a_line_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"123")
    with pytest.raises(ConfigError, match=r"a\.toml: is missing; write width"):
        open_strip(tmp_path / "a.raw")
    sidecar(tmp_path / "a.raw", "Mono8")
    with pytest.raises(DataError, match="less than one line of 40"):
        open_strip(tmp_path / "a.raw")
    sidecar(tmp_path / "b.raw", "Mono8")
    with pytest.raises(DataError, match="cannot be read"):
        open_strip(tmp_path / "b.raw")


def test_tiffs_that_cannot_be_mapped_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values("Mono16"), compression="zlib")
    sidecar(path, "Mono16")
    with pytest.raises(DataError, match=r"ADOBE_DEFLATE.*allowed is uncompressed grey"):
        open_strip(path)
    tifffile.imwrite(path, np.zeros((8, WIDTH, 3), np.uint8), photometric="rgb")
    sidecar(path, "Mono8")
    with pytest.raises(DataError, match=r"3 sample\(s\) per pixel"):
        open_strip(path)
    tifffile.imwrite(path, values("Mono16"))
    with pytest.raises(DataError, match="16 bits in a line, the sidecar says 40 of Mono8"):
        open_strip(path)
    tifffile.imwrite(path, np.zeros((3, 8, WIDTH), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match="holds 3 pages"):
        open_strip(path)
    path.write_bytes(b"no tiff at all")
    with pytest.raises(DataError, match="is not a readable TIFF"):
        open_strip(path)


def test_without_tifffile_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values("Mono16"))
    sidecar(tmp_path / "a.tif", "Mono16")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingDependency, match=r"loupe-vision\[industrial\]"):
        open_strip(tmp_path / "a.tif")
