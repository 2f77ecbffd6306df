import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.data import images
from shared.errors import DataError
from verticals.medical.dicom import colour, dicom_encode
from verticals.medical.dicom.dicom_read import DERMOSCOPIC, read
from verticals.medical.dicom.dicom_write import Code, Exposure, dermoscopic, photographic, save, secondary_capture

pydicom = pytest.importorskip("pydicom")

ABOUT = Exposure(
    patient_id="p1",
    patient_name="Doe^Jane",
    acquired=datetime(2024, 3, 4, 10, 20),
    age_years=54,
    sex="F",
    fitzpatrick="III",
    body_site=Code("77568009", "SCT", "Back"),
    lesion_id="mole 1",
    lesion_uid="2.25.123",
    manufacturer="maker",
    model="M1",
    immersion="ULTRASOUND_GEL",
    mm_per_px=(0.02, 0.03),
)
LOSSLESS = [
    s
    for s in dicom_encode.SYNTAXES
    if s not in (dicom_encode.JPEG_BASELINE, dicom_encode.JPEG_LS_NEAR, dicom_encode.JPEG_2000_LOSSY)
]


def drawn(rows: int = 61, columns: int = 83) -> np.ndarray:
    """Smooth colours with an edge; odd sizes, because padding is where writers fail."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    picture = np.stack([120 + 100 * np.sin(x / 17), 110 + 90 * np.cos(y / 13), 90 + 60 * np.sin((x + y) / 29)], -1)
    picture[20:40, 30:50] = (60, 30, 20)
    return picture.clip(0, 255).astype(np.uint8)


def errors(path: Path) -> list[str]:
    """What dciodvfy finds wrong."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    text = done.stderr + done.stdout
    assert re.search(r"^(VLPhotographicImage|DermoscopicPhotographyImage|SCImage)", text, re.M), text
    return [line for line in text.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("make", [photographic, dermoscopic, secondary_capture])
@pytest.mark.parametrize("syntax", [s for s in dicom_encode.SYNTAXES if s != dicom_encode.DEFLATED])
def test_dciodvfy_finds_no_error_in_any_object_in_any_transfer_syntax(make, syntax: str, tmp_path: Path) -> None:
    save(make(drawn(), ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []


@pytest.mark.parametrize("make", [photographic, dermoscopic, secondary_capture])
def test_dciodvfy_finds_no_error_where_next_to_nothing_is_known(make, tmp_path: Path) -> None:
    save(make(drawn(), Exposure("p", datetime(2024, 1, 1))), tmp_path / "a.dcm")
    assert errors(tmp_path / "a.dcm") == []


@pytest.mark.parametrize("make", [photographic, dermoscopic, secondary_capture])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_transfer_syntaxes_give_the_same_pixels_back(make, syntax: str, tmp_path: Path) -> None:
    save(make(drawn(), ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm")
    np.testing.assert_array_equal(found.frames[0], drawn())
    assert found.transfer_syntax == syntax and found.icc == "srgb" and found.warnings == ()


@pytest.mark.parametrize(
    ("syntax", "most"),
    [
        (dicom_encode.JPEG_LS_NEAR, dicom_encode.NEAR),
        (dicom_encode.JPEG_2000_LOSSY, 40),
        (dicom_encode.JPEG_BASELINE, 60),
    ],
)
def test_lossy_transfer_syntaxes_stay_near_and_say_that_they_are_lossy(syntax: str, most: int, tmp_path: Path) -> None:
    save(dermoscopic(drawn(), ABOUT, transfer_syntax=syntax), tmp_path / "a.dcm")
    off = np.abs(read(tmp_path / "a.dcm").frames[0].astype(int) - drawn())
    assert 0 < off.max() <= most and off.mean() < 2.5
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.LossyImageCompression == "01" and dataset.LossyImageCompressionRatio > 1


def test_what_is_known_comes_back_as_it_was_given(tmp_path: Path) -> None:
    save(dermoscopic(drawn(), ABOUT), tmp_path / "a.dcm")
    said = read(tmp_path / "a.dcm").facts
    assert (said.patient_id, said.age_years, said.sex, said.fitzpatrick) == ("p1", 54.0, "F", "III")
    assert (said.body_site, said.body_site_name, said.lesion) == ("SCT:77568009", "Back", "2.25.123")
    assert (said.acquired, said.device, said.modality) == ("20240304", "maker M1", "DMS")
    assert said.mm_per_px == (0.02, 0.03) and not said.synthetic
    assert "Doe" not in repr(said) and "p1" not in repr(said)


def test_a_baseline_jpeg_keeps_its_compressed_picture_and_loses_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    Image.fromarray(drawn()).save(tmp_path / "a.jpg", quality=88, exif=exif)
    save(photographic(tmp_path / "a.jpg", ABOUT), tmp_path / "a.dcm")
    dataset, original = pydicom.dcmread(tmp_path / "a.dcm"), (tmp_path / "a.jpg").read_bytes()
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    scan = original[original.index(b"\xff\xda") :]
    assert scan in frame, "the entropy-coded picture is the same bytes"
    assert b"SECRETCAMERA" not in (tmp_path / "a.dcm").read_bytes()
    np.testing.assert_array_equal(read(tmp_path / "a.dcm").frames[0], images.read(tmp_path / "a.jpg"))
    assert errors(tmp_path / "a.dcm") == [] and dataset.PhotometricInterpretation == "YBR_FULL_422"


def test_a_jpeg_taken_sideways_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(drawn()).save(tmp_path / "a.jpg", quality=95, exif=exif)
    save(photographic(tmp_path / "a.jpg", ABOUT), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm")
    assert found.frames[0].shape == (83, 61, 3)
    np.testing.assert_array_equal(found.frames[0], images.read(tmp_path / "a.jpg"))
    assert pydicom.dcmread(tmp_path / "a.dcm").LossyImageCompression == "01", "decoding does not undo the loss"


def test_progressive_and_grey_and_png_files_are_taken_too(tmp_path: Path) -> None:
    Image.fromarray(drawn()).save(tmp_path / "p.jpg", progressive=True)
    Image.fromarray(drawn()).convert("L").save(tmp_path / "g.jpg")
    Image.fromarray(drawn()).save(tmp_path / "c.png")
    for name in ("p.jpg", "g.jpg", "c.png"):
        save(photographic(tmp_path / name, ABOUT), tmp_path / "a.dcm")
        np.testing.assert_array_equal(read(tmp_path / "a.dcm").frames[0], images.read(tmp_path / name))
        assert errors(tmp_path / "a.dcm") == []


def test_the_profile_of_a_jpeg_goes_along_and_is_applied_in_reading(tmp_path: Path) -> None:
    profile = colour.srgb_profile()
    swapped = profile.replace(b"rXYZ", b"tmp.", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tmp.", b"bXYZ", 1)
    Image.fromarray(drawn()).save(tmp_path / "a.jpg", quality=95, icc_profile=swapped)
    save(photographic(tmp_path / "a.jpg", ABOUT), tmp_path / "a.dcm")
    found = read(tmp_path / "a.dcm")
    assert found.icc == "applied"
    with Image.open(tmp_path / "a.jpg") as plain:
        wanted, _ = colour.to_srgb(np.asarray(plain), swapped)
    np.testing.assert_array_equal(found.frames[0], wanted)


def test_a_palette_holds_255_colours_and_refuses_what_cannot_hold_it(tmp_path: Path) -> None:
    save(secondary_capture(drawn(), ABOUT, palette=True, transfer_syntax=dicom_encode.RLE), tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.PhotometricInterpretation == "PALETTE COLOR" and errors(tmp_path / "a.dcm") == []
    wanted = np.asarray(Image.fromarray(drawn()).quantize(255, dither=Image.Dither.NONE).convert("RGB"))
    np.testing.assert_array_equal(read(tmp_path / "a.dcm").frames[0], wanted)
    with pytest.raises(DataError, match="not written with a palette"):
        secondary_capture(drawn(), ABOUT, palette=True, transfer_syntax=dicom_encode.JPEG_LS)


def test_what_cannot_be_written_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(DataError, match=r"sex is 'X'; allowed are nothing, M, F, O"):
        Exposure("p", datetime(2024, 1, 1), sex="X")
    with pytest.raises(DataError, match="is not written; allowed are"):
        photographic(drawn(), ABOUT, transfer_syntax="1.2.3")
    with pytest.raises(DataError, match=r"allowed is \(rows, columns, 3\) uint8"):
        photographic(drawn()[..., 0], ABOUT)


def test_pictures_of_one_lesion_share_their_frame_of_reference() -> None:
    first, second = (dermoscopic(drawn(), ABOUT).FrameOfReferenceUID for _ in range(2))
    other = dermoscopic(drawn(), Exposure("p", datetime(2024, 1, 1))).FrameOfReferenceUID
    assert first == second != other


def test_drawn_objects_say_so() -> None:
    dataset = dermoscopic(drawn(), Exposure("p", datetime(2024, 1, 1), drawn=True))
    assert dataset.ImageType[3] == "DRAWN" and dataset.ContentQualification == "RESEARCH"
    assert dataset.SOPClassUID == DERMOSCOPIC
