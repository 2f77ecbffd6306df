import io
import logging
import shutil
import subprocess
import sys
import warnings
import zlib
from datetime import datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from shared.errors import DataError, MissingDependency
from verticals.medical.dicom import dicom_decode, dicom_encode
from verticals.medical.dicom.dicom_read import ACCEPTED, is_dicom, is_directory, read
from verticals.medical.dicom.dicom_write import Exposure, dermoscopic, photographic, save, secondary_capture

pydicom = pytest.importorskip("pydicom")

OWN = Path(pydicom.__file__).parent / "data" / "test_files"
ABOUT = Exposure("SECRETID", datetime(2024, 3, 4), patient_name="SECRET^NAME")
LITTLE = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"


def drawn(rows: int = 40, columns: int = 56, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)


def jpeg(picture: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", **{"quality": 97, **options})
    return stream.getvalue()


def captured(pixels: bytes, syntax: str, photometric: str, shape: tuple[int, int], **more: object) -> "pydicom.Dataset":
    """A Secondary Capture whose header says what the test wants."""
    dataset = secondary_capture(drawn(*shape), ABOUT)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.PhotometricInterpretation = photometric
    if photometric.startswith(("MONO", "PAL")):
        dataset.SamplesPerPixel = 1
        del dataset.PlanarConfiguration, dataset.ICCProfile
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    dataset["PixelData"].is_undefined_length = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    return dataset


def encapsulated(*frames: bytes) -> bytes:
    return bytes(pydicom.encaps.encapsulate(list(frames)))


def test_a_jpeg_declared_rgb_and_coded_as_ycbcr_is_believed_over_its_header(tmp_path: Path) -> None:
    picture = drawn()
    data = jpeg(picture, subsampling="4:4:4")
    save(captured(encapsulated(data), JPEG, "RGB", (40, 56)), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm")
    assert np.abs(found.frames[0].astype(int) - picture).max() < 12, "not green"
    assert found.warnings == ("claims RGB, its JPEG says YCbCr; the JPEG is believed",)


def test_a_jpeg_declared_ybr_with_an_adobe_segment_is_not_converted_twice(tmp_path: Path) -> None:
    picture = drawn()
    data = jpeg(picture, subsampling="4:4:4")
    adobe = b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x01"
    save(captured(encapsulated(data[:2] + adobe + data[20:]), JPEG, "YBR_FULL_422", (40, 56)), tmp_path / "a.dcm")
    assert np.abs(read(tmp_path / "a.dcm").frames[0].astype(int) - picture).max() < 12


@pytest.mark.parametrize("declared", ["RGB", "YBR_FULL_422"])
def test_an_adobe_segment_that_says_rgb_outranks_the_header(declared: str, tmp_path: Path) -> None:
    picture = drawn()
    data = jpeg(picture[..., [0, 1, 2]], subsampling="4:4:4", keep_rgb=True)
    save(captured(encapsulated(data), JPEG, declared, (40, 56)), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm")
    assert np.abs(found.frames[0].astype(int) - picture).max() < 12
    assert bool(found.warnings) == (declared != "RGB")


def test_the_rgb_fixtures_with_missing_and_broken_segments_come_out_grey_as_they_are() -> None:
    wanted = read(OWN / "SC_rgb_jpeg_dcmd.dcm").frames[0]
    for name in ("SC_rgb_jpeg", "SC_jpeg_no_color_transform"):
        assert np.abs(read(OWN / f"{name}.dcm").frames[0].astype(int) - wanted).max() <= 1, name


def test_ybr_full_422_with_three_bytes_a_pixel_is_accepted_with_a_warning(tmp_path: Path) -> None:
    picture = drawn()
    ybr = pydicom.pixels.convert_color_space(picture, "RGB", "YBR_FULL")
    save(captured(ybr.tobytes(), LITTLE, "YBR_FULL_422", (40, 56)), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm")
    assert np.abs(found.frames[0].astype(int) - picture).max() <= 2
    assert found.warnings == ("claims YBR_FULL_422 and holds three bytes a pixel; it is taken as YBR_FULL",)


def test_native_ybr_follows_the_formula_of_the_standard(tmp_path: Path) -> None:
    ybr = np.random.default_rng(5).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    save(captured(ybr.tobytes(), LITTLE, "YBR_FULL", (40, 56)), tmp_path / "a.dcm")
    y, b, r = (ybr[..., i].astype(float) - (0, 128, 128)[i] for i in range(3))
    wanted = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], -1).clip(0, 255)
    assert np.abs(read(tmp_path / "a.dcm").frames[0] - wanted).max() <= 1


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("bits", [(8, 8), (16, 12), (16, 16), (32, 32)])
def test_every_depth_and_planar_configuration_gives_the_same_picture(
    planar: int, bits: tuple[int, int], tmp_path: Path
) -> None:
    picture, (allocated, stored) = drawn(), bits
    values = np.rint(picture * ((2.0**stored - 1) / 255)).astype(f"<u{allocated // 8}")
    data = values.transpose(2, 0, 1).tobytes() if planar else values.tobytes()
    more = {"BitsAllocated": allocated, "BitsStored": stored, "HighBit": stored - 1, "PlanarConfiguration": planar}
    save(captured(data, LITTLE, "RGB", (40, 56), **more), tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm").frames[0], picture)


def test_grey_jpeg_and_monochrome1_become_three_equal_channels(tmp_path: Path) -> None:
    grey = drawn()[..., 0]
    save(captured(encapsulated(jpeg(grey)), JPEG, "MONOCHROME2", (40, 56)), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm").frames[0]
    assert found.shape == (40, 56, 3) and np.abs(found[..., 1].astype(int) - grey).max() < 12
    save(captured(grey.tobytes(), LITTLE, "MONOCHROME1", (40, 56)), tmp_path / "b.dcm")
    np.testing.assert_array_equal(read(tmp_path / "b.dcm").frames[0][..., 2], 255 - grey)


def test_every_frame_of_a_multi_frame_object_comes_out_in_order(tmp_path: Path) -> None:
    pictures = [drawn(seed=n) for n in range(5)]
    dataset = captured(b"".join(p.tobytes() for p in pictures), LITTLE, "RGB", (40, 56), NumberOfFrames=5)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    save(dataset, tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm")
    assert found.numbers == (1, 2, 3, 4, 5) and found.total == 5
    for have, want in zip(found.frames, pictures, strict=True):
        np.testing.assert_array_equal(have, want)


def film(path: Path, frames: int) -> bytes:
    """An MPEG film whose frames get brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MPEG"), 25, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MPEG")
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path.read_bytes()


def video(tmp_path: Path, claimed: int) -> Path:
    data = film(tmp_path / "f.mpg", 20)
    dataset = captured(encapsulated(data), "1.2.840.10008.1.2.4.100", "YBR_FULL_422", (48, 64), NumberOfFrames=claimed)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4.1"
    save(dataset, tmp_path / "v.dcm")
    return tmp_path / "v.dcm"


def test_a_film_gives_evenly_spaced_stills(tmp_path: Path) -> None:
    found = read(video(tmp_path, 20), video_frames=4)
    assert found.numbers == (3, 8, 13, 18) and found.total == 20
    for number, frame in zip(found.numbers, found.frames, strict=True):
        assert frame.shape == (48, 64, 3) and abs(float(frame.mean()) - 10 * (number - 1)) < 6


def test_a_film_shorter_than_its_header_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be decoded as far as its header says"):
        read(video(tmp_path, 90), video_frames=4)


REFUSED = {
    "CT_small": "has the SOP class CT Image Storage, which is no photograph of skin",
    "MR_small": "has the SOP class MR Image Storage",
    "examples_rgb_color": "has the SOP class Ultrasound Image Storage",
    "rtdose": "has the SOP class RT Dose Storage",
    "rtplan": "has the SOP class RT Plan Storage",
    "reportsi": "has the SOP class Basic Text SR Storage",
    "waveform_ecg": "has the SOP class 12-lead ECG Waveform Storage",
    "JPEG2000": "is a Secondary Capture Image of modality NM",
    "liver_1frame": "has the SOP class Segmentation Storage",
    "badVR": "has the SOP class RT Dose Storage",
    "nested_priv_SQ": "names no SOP class",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_photograph_of_skin_is_refused_by_name(name: str) -> None:
    with pytest.raises(DataError) as caught:
        read(OWN / f"{name}.dcm")
    assert REFUSED[name] in str(caught.value) and "\n" not in str(caught.value)


def test_confocal_microscopy_is_refused_with_its_reason(tmp_path: Path) -> None:
    dataset = photographic(drawn(), ABOUT)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.8"
    save(dataset, tmp_path / "a.dcm")
    with pytest.raises(DataError, match="Confocal Microscopy Image Storage: cells in depth"):
        read(tmp_path / "a.dcm")


def test_the_foreign_samples_are_each_refused_and_none_is_half_read(real_data: Path) -> None:
    files = sorted((real_data / "medical" / "dicom_samples" / "files").iterdir())
    read_in, refused = [], {}
    for path in files:
        try:
            read_in.append((path.stem, read(path)))
        except DataError as error:
            refused[path.stem] = str(error)
    assert len(read_in) + len(refused) == len(files) >= 35
    assert all(found.facts.sop_class in ACCEPTED for _, found in read_in)
    assert "Enhanced MR" in refused["emri_small_jpeg_2k_lossless_too_short"]
    assert "Parametric Map" in refused["parametric_map_float"]
    assert all(text.count("\n") == 0 and "; " in text for text in refused.values())


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("syntax", dicom_encode.SYNTAXES)
def test_a_file_that_is_cut_off_anywhere_is_refused_whole(syntax: str, share: float, tmp_path: Path) -> None:
    save(photographic(drawn(), ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    data = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError) as caught:
        read(tmp_path / "b.dcm")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("syntax", dicom_encode.SYNTAXES)
def test_bytes_altered_anywhere_give_a_whole_picture_or_one_sentence(syntax: str, tmp_path: Path) -> None:
    save(photographic(drawn(), ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    data, rng, refused = (tmp_path / "a.dcm").read_bytes(), np.random.default_rng(7), 0
    for attempt in range(60):
        altered = bytearray(data)
        for place in rng.integers(128, len(data) if attempt % 2 else 2000, 4):
            altered[place] = rng.integers(256)
        (tmp_path / "b.dcm").write_bytes(altered)
        try:
            found = read(tmp_path / "b.dcm")
        except DataError as error:
            refused += 1
            assert str(error).count("\n") == 0 and "SECRET" not in str(error)
        else:
            assert found.frames[0].shape[2] == 3 and found.frames[0].dtype == np.uint8
    assert refused > 3


@pytest.mark.parametrize("keyword", ["SOPClassUID", "PhotometricInterpretation", "TransferSyntaxUID"])
def test_a_value_that_swallowed_what_stands_behind_it_is_not_repeated(keyword: str, tmp_path: Path) -> None:
    """Found by altered bytes: a damaged length made the patient's name part of the SOP class, and of the message."""
    dataset = photographic(drawn(), ABOUT)
    swallowed = "1.2.840.10008\x10\x00PN\x0bSECRET^NAME\n\x10LO"
    about = dataset.file_meta if keyword == "TransferSyntaxUID" else dataset
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        setattr(about, keyword, swallowed)
        if keyword == "TransferSyntaxUID":
            with pytest.raises(DataError) as caught:
                list(dicom_decode._by_plugin(dataset, None, swallowed, print))
        else:
            pydicom.dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=False)
            with pytest.raises(DataError) as caught:
                read(tmp_path / "a.dcm")
    assert "SECRET" not in str(caught.value) and str(caught.value).count("\n") == 0


def test_a_frame_of_which_a_part_is_lost_is_refused_though_its_end_is_there(tmp_path: Path) -> None:
    data = jpeg(drawn())
    closed = data[: len(data) // 2] + b"\xff\xd9"
    save(captured(encapsulated(closed), JPEG, "YBR_FULL_422", (40, 56)), tmp_path / "a.dcm")
    with pytest.raises(DataError, match="cannot be decoded whole"):
        read(tmp_path / "a.dcm")


def test_a_frame_that_is_cut_off_inside_of_a_whole_file_is_refused(tmp_path: Path) -> None:
    data = jpeg(drawn())
    save(
        captured(encapsulated(data, data[: len(data) // 2]), JPEG, "YBR_FULL_422", (40, 56), NumberOfFrames=2),
        tmp_path / "a",
    )
    with pytest.raises(DataError, match="a frame is cut off: its end marker is missing"):
        read(tmp_path / "a")


def test_fewer_frames_than_claimed_are_refused(tmp_path: Path) -> None:
    save(captured(encapsulated(jpeg(drawn())), JPEG, "YBR_FULL_422", (40, 56), NumberOfFrames=3), tmp_path / "a")
    with pytest.raises(DataError, match="cannot be decoded whole"):
        read(tmp_path / "a")


def test_a_small_header_over_a_huge_coded_frame_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    data = bytearray(jpeg(drawn()))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = b"\xff\xff\xff\xff"
    save(captured(encapsulated(bytes(data)), JPEG, "YBR_FULL_422", (40, 56)), tmp_path / "a")
    with pytest.raises(DataError, match="coded with 65535 x 65535 pixels, claimed are 56 x 40"):
        read(tmp_path / "a")


def test_pixels_and_frames_are_limited_by_the_header_alone(tmp_path: Path) -> None:
    dataset = captured(b"\0" * 10, LITTLE, "RGB", (40, 56), Rows=60_000, Columns=60_000)
    save(dataset, tmp_path / "a")
    with pytest.raises(DataError, match="has 60000 x 60000 pixels in 1 frames, allowed are"):
        read(tmp_path / "a")
    save(captured(b"\0" * 10, LITTLE, "RGB", (40, 56), NumberOfFrames=5000), tmp_path / "b")
    with pytest.raises(DataError, match="in 5000 frames"):
        read(tmp_path / "b")


def test_a_deflated_bomb_is_measured_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(photographic(drawn(), ABOUT, transfer_syntax=dicom_encode.DEFLATED), tmp_path / "a.dcm")
    module = sys.modules["verticals.medical.dicom.dicom_read"]
    monkeypatch.setattr(module, "MAX_BYTES", 2**22)
    assert read(tmp_path / "a.dcm").frames[0].shape == (40, 56, 3)
    meta = pydicom.filereader.read_file_meta_info(tmp_path / "a.dcm")
    start = (tmp_path / "a.dcm").read_bytes()[: 132 + 12 + meta.FileMetaInformationGroupLength]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(b"\0" * 2**20) for _ in range(8)) + packer.flush()
    (tmp_path / "b.dcm").write_bytes(start + bomb)
    with pytest.raises(DataError, match="unpacks to more than"):
        read(tmp_path / "b.dcm")


@pytest.mark.parametrize("syntax", [dicom_encode.JPEG_2000, dicom_encode.JPEG_2000_LOSSY])
@pytest.mark.parametrize(("least", "side"), [(0, 640), (400, 640), (320, 320), (100, 160), (50, 80)])
def test_jpeg_2000_comes_at_the_smallest_resolution_that_is_enough(
    syntax: str, least: int, side: int, tmp_path: Path
) -> None:
    picture = cv2.GaussianBlur(cv2.resize(drawn(), (640, 640)), (0, 0), 25)
    save(dermoscopic(picture, ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm", least_side_px=least)
    (frame,) = found.frames
    assert frame.shape == (side, side, 3) and found.side_px == 640
    wanted = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    assert np.abs(frame.astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("syntax", [dicom_encode.RLE, dicom_encode.JPEG_LS, dicom_encode.JPEG_BASELINE])
def test_other_forms_come_whole_whatever_is_enough(syntax: str, tmp_path: Path) -> None:
    save(photographic(drawn(), ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    assert np.array_equal(read(tmp_path / "a.dcm", least_side_px=8).frames[0], read(tmp_path / "a.dcm").frames[0])


@pytest.mark.parametrize("syntax", [dicom_encode.JPEG_LS, dicom_encode.JPEG_2000, dicom_encode.RLE])
def test_a_missing_codec_is_named_with_its_package(
    syntax: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(photographic(drawn(), ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    packages = {"80": ("jpeg_ls", "pyjpegls"), "90": ("openjpeg", "pylibjpeg-openjpeg"), ".5": ("rle", "pylibjpeg-rle")}
    module, package = packages[syntax[-2:]]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=rf"the package {package} decodes; .*loupe-vision\[medical\]"):
        read(tmp_path / "a.dcm")


def test_12_bit_jpeg_is_refused_with_a_way_out(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(OWN / "JPGExtended.dcm")
    dataset.Modality = "OT"
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"JPEG with 12 bits.*convert it with dcmdjpeg"):
        read(tmp_path / "a.dcm")


def test_names_never_reach_the_log_or_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = photographic(drawn(), ABOUT)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    # A date that is none makes pydicom quote it.
    data = (tmp_path / "a.dcm").read_bytes().replace(b"20240304", b"SECRETDA")
    (tmp_path / "a.dcm").write_bytes(data)
    with caplog.at_level(logging.DEBUG):
        found = read(tmp_path / "a.dcm")
    assert found.facts.acquired == ""
    assert "SECRET" not in caplog.text + repr(found.facts) + "".join(capfd.readouterr()) + "".join(found.warnings)


def test_dicom_is_known_by_its_content(tmp_path: Path) -> None:
    assert is_dicom(OWN / "CT_small.dcm") and is_dicom(OWN / "dicomdirtests" / "DICOMDIR")
    assert is_directory(OWN / "dicomdirtests" / "DICOMDIR") and not is_directory(OWN / "CT_small.dcm")
    (tmp_path / "a.dcm").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
    assert not is_dicom(tmp_path / "a.dcm") and not is_dicom(tmp_path / "missing")
    with pytest.raises(DataError, match="is not DICOM, whatever its name says"):
        read(tmp_path / "a.dcm")


@pytest.fixture(scope="module")
def colours():
    """The benchmark of colours, as a module."""
    path = Path(__file__).resolve().parents[4] / "benchmarks" / "dicom_colours.py"
    if not path.is_file():
        pytest.skip("the benchmarks are not part of this installation")
    spec = spec_from_file_location("dicom_colours", path)
    module = module_from_spec(spec)
    sys.modules["dicom_colours"] = module
    spec.loader.exec_module(module)
    return module


def test_dcmtk_and_gdcm_see_the_same_colours_in_every_form_that_dcmtk_writes(colours, tmp_path: Path) -> None:
    needed = ("img2dcm", "dcmj2pnm", "dcmcjpls", "dcmquant", "gdcmconv")
    missing = [program for program in needed if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (dcmtk, gdcm)")
    pytest.importorskip("gdcm")
    Image.fromarray(drawn(96, 128)).save(tmp_path / "photo.jpg", quality=95)
    core = {"SC_rgb_rle_16bit_2frame", "SC_rgb_rle_2frame", "SC_ybr_full_422_uncompressed", "SC_rgb_gdcm_KY"}
    core |= {"SC_rgb_jpeg_gdcm", "examples_palette", "examples_ybr_color", "SC_rgb_small_odd_big_endian"}
    (tmp_path / "made").mkdir()
    made = colours.variants(tmp_path / "photo.jpg", tmp_path / "made")
    cells, refused = colours.table(iter([*made, *(OWN / f"{name}.dcm" for name in sorted(core))]))
    assert refused == [] and core <= {cell.name for cell in cells}
    assert [cell for cell in cells if not cell.holds] == []
    assert len({(c.photometric, c.syntax, c.bits, c.frames > 1) for c in cells}) >= 30


def test_lossless_jpeg_with_components_named_r_g_b_is_rgb_whatever_its_header_says(tmp_path: Path) -> None:
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg (dcmtk) is not installed")
    pytest.importorskip("gdcm")
    picture = drawn()
    save(secondary_capture(picture, ABOUT), tmp_path / "raw.dcm")
    subprocess.run(["dcmcjpeg", "+e1", tmp_path / "raw.dcm", tmp_path / "a.dcm"], check=True)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    frame = bytearray(next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)))
    start, scan = frame.index(b"\xff\xc3"), frame.index(b"\xff\xda")
    for place, letter in enumerate(b"RGB"):
        frame[start + 10 + 3 * place] = frame[scan + 5 + 2 * place] = letter
    dataset.PixelData, dataset.PhotometricInterpretation = encapsulated(bytes(frame)), "YBR_FULL"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "b.dcm")
    found = read(tmp_path / "b.dcm")
    np.testing.assert_array_equal(found.frames[0], picture)
    assert found.warnings == ("claims YBR_FULL, its coded frames say RGB; they are believed",)


def test_pixels_that_are_not_square_are_told(tmp_path: Path) -> None:
    dataset = secondary_capture(drawn(), ABOUT)
    dataset.PixelAspectRatio = [1, 2]
    save(dataset, tmp_path / "a.dcm")
    assert "not square" in read(tmp_path / "a.dcm").warnings[0]
