"""Overlays as objects that an archive takes, with words that nobody can overlook."""

import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import DataError
from shared.inference.explanation import overlay
from shared.records import Decision, Finding, Verdict
from verticals.medical.dicom import lettering
from verticals.medical.dicom.dicom_read import read
from verticals.medical.dicom.dicom_write import Code, Exposure, dermoscopic, photographic, save, secondary_capture
from verticals.medical.dicom.report_content import Algorithm
from verticals.medical.dicom.secondary_capture import BURNED_IN, captioned, overlay_capture
from verticals.medical.privacy import burned_in

pydicom = pytest.importorskip("pydicom")

BUNDLE = Algorithm("skin of seven", "2026.1", "0123456789abcdef" * 4)
AT = datetime(2026, 3, 4, 10, 30)
ABOUT = Exposure(
    patient_id="p1",
    patient_name="Größe^Ana",
    acquired=datetime(2026, 3, 4, 10, 20),
    body_site=Code("77568009", "SCT", "Back"),
    laterality="L",
    lesion_id="mole 1",
    lesion_uid="2.25.123",
)
FLAGGED = Decision("a", Verdict.FLAG, ("because",), (Finding("a", "MEL", 0.5, 0.54),))
PLACES = np.array([[0.0, 0.1], [0.2, 1.0]])
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def picture(rows: int = 240, columns: int = 640) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return np.stack([190 + 0 * x, 140 + (x % 7), 120 + (y % 5)], -1).astype(np.uint8)


def capture(seen: np.ndarray, make: Any = dermoscopic, about: Exposure = ABOUT, **syntax: str) -> tuple[Any, Any]:
    source = make(seen, about, **syntax)
    return overlay_capture(source, seen, PLACES, FLAGGED, BUNDLE, AT), source


@pytest.mark.parametrize("make", [photographic, dermoscopic])
@pytest.mark.parametrize("about", [ABOUT, Exposure("p", datetime(2026, 1, 1)), replace(ABOUT, drawn=True)])
@pytest.mark.parametrize("syntax", [None, JPEG_BASELINE])
def test_dciodvfy_finds_no_error(make, about: Exposure, syntax: str | None, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    result, _ = capture(picture(48, 64), make, about, transfer_syntax=syntax)
    save(result, tmp_path / "a.dcm")
    done = subprocess.run(["dciodvfy", str(tmp_path / "a.dcm")], capture_output=True, text=True)
    lines = (done.stderr + done.stdout).splitlines()
    assert "SCImage" in lines and not [line for line in lines if line.startswith("Error")], lines


@pytest.mark.parametrize("columns", [64, 640, 901])
def test_the_map_lies_over_the_whole_picture_and_no_word_covers_it(columns: int, tmp_path: Path) -> None:
    seen = picture(240, columns)
    result, _ = capture(seen)
    save(result, tmp_path / "a.dcm")
    shown = read(tmp_path / "a.dcm").frames[0]
    assert shown.shape[1] == max(columns, 480)
    whole = overlay(seen, PLACES)
    left = (shown.shape[1] - columns) // 2
    inside = shown[:, left : left + columns]
    assert any(np.array_equal(inside[top : top + 240], whole) for top in range(shown.shape[0] - 239))


@pytest.mark.parametrize("columns", [64, 640])
def test_the_words_are_found_by_the_search_for_burned_in_text_above_and_below_the_picture(columns: int) -> None:
    result, _ = capture(picture(240, columns))
    shown = np.asarray(result.pixel_array)
    boxes = [text.box for text in burned_in.find(shown)]
    assert any(box.y1 <= shown.shape[0] / 2 for box in boxes) and any(box.y0 >= shown.shape[0] / 2 for box in boxes)


LONG = "Clinician's impression: melanoma in situ, lentigo maligna type; within 2 weeks"
SIGNED = "Zoë Ünal-Świętosławska, Universitätsklinikum der Landeshauptstadt, 2026-03-05"


@pytest.mark.parametrize("columns", [200, 479, 600, 1024, 3000, 4000])
def test_no_word_is_cut_off_at_any_width(columns: int) -> None:
    shown = captioned(np.zeros((8, columns, 3), np.uint8), (BURNED_IN, LONG, SIGNED))
    width = shown.shape[1]
    inked = np.flatnonzero(shown.max(axis=(0, 2)))
    assert 0.03 * width < inked[0] and inked[-1] < 0.97 * width, "the margins are empty"
    above = np.flatnonzero(shown.max(axis=(1, 2)))[0]
    assert above > 0 and shown[-1].max() == 0, "so are the edges above and below"
    ink = np.count_nonzero(shown > 127) / width**2
    wide = captioned(np.zeros((8, 2400, 3), np.uint8), (BURNED_IN, LONG, SIGNED))
    assert ink == pytest.approx(np.count_nonzero(wide > 127) / 2400**2, rel=0.2), "as much is drawn as with much room"


def test_a_name_is_drawn_with_its_own_letters_and_what_has_none_is_refused() -> None:
    drawn = {name: lettering.strip([name], 900, 40) for name in ("Świętosławska", "Swietoslawska", "Swietos?awska")}
    first, *others = drawn.values()
    assert all(first.shape != other.shape or (first != other).any() for other in others)
    missing = lettering._font(40).getmask("\U0010fffe")
    for letter in "ŚęłÜşğıİřžőĐæøåÞñçαЖ":
        assert lettering.drawable(letter) and bytes(lettering._font(40).getmask(letter)) != bytes(missing), letter
    for text in ("山田", "كريم", "a\u0301\u0488"):
        assert not lettering.drawable(text)
        with pytest.raises(DataError, match="the font has no such letter"):
            lettering.strip([text], 900, 40)


def test_the_header_says_that_words_are_in_it_and_what_it_was_made_from() -> None:
    result, source = capture(picture(), transfer_syntax=JPEG_BASELINE)
    assert (result.BurnedInAnnotation, result.ConversionType, list(result.ImageType)) == (
        "YES", "WSD", ["DERIVED", "SECONDARY"],
    )  # fmt: skip
    assert BURNED_IN in result.DerivationDescription and result.DeviceSerialNumber == BUNDLE.bundle_hash
    assert result.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID != result.SOPInstanceUID
    assert (result.PatientName, result.PatientID, result.TrackingUID) == ("Größe^Ana", "p1", "2.25.123")
    assert result.StudyInstanceUID == source.StudyInstanceUID and result.SeriesInstanceUID != source.SeriesInstanceUID
    assert result.LossyImageCompression == "01" and result.LossyImageCompressionRatio > 1


def test_a_capture_of_one_frame_of_several_names_it(tmp_path: Path) -> None:
    _, source = capture(picture(48, 64), secondary_capture)
    source.SOPClassUID, source.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.7.4", 3
    save(overlay_capture(source, picture(48, 64), PLACES, FLAGGED, BUNDLE, AT, 3), tmp_path / "a.dcm")
    assert pydicom.dcmread(tmp_path / "a.dcm").SourceImageSequence[0].ReferencedFrameNumber == 3
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", str(tmp_path / "a.dcm")], capture_output=True, text=True)
    lines = (done.stderr + done.stdout).splitlines()
    assert not [line for line in lines if line.startswith("Error")], lines


def test_a_capture_of_a_drawn_picture_says_that_it_was_drawn() -> None:
    result, _ = capture(picture(48, 64), about=replace(ABOUT, drawn=True))
    assert result.ImageType[3] == "DRAWN" and result.ContentQualification == "RESEARCH"
    assert result.BurnedInAnnotation == "YES"


def test_no_map_is_shown_of_what_was_not_examined_or_not_named_or_of_another_picture() -> None:
    source = dermoscopic(picture(48, 64), ABOUT)
    with pytest.raises(DataError, match="nothing was examined"):
        overlay_capture(
            source, picture(48, 64), PLACES, Decision("a", Verdict.NOT_EXAMINED, ("dark",)), BUNDLE, AT
        )  # fmt: skip
    unlike = replace(FLAGGED, findings=(Finding("a", "UNKNOWN", 0.7, 0.5),))
    with pytest.raises(DataError, match="no disease is named"):
        overlay_capture(source, picture(48, 64), PLACES, unlike, BUNDLE, AT)
    with pytest.raises(DataError, match="this very object"):
        overlay_capture(source, picture(48, 65), PLACES, FLAGGED, BUNDLE, AT)
