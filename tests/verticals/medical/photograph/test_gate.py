"""What the gate says about a picture reaches the decision."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from shared.data import images
from shared.records import Verdict
from shared.vertical import Case, Seen
from verticals.medical import VERTICAL
from verticals.medical.drawing.lesions import DRAW
from verticals.medical.drawing.skin_optics import Rng
from verticals.medical.photograph.gate import examined
from verticals.medical.synth import photograph


def lesion(side: int = 240) -> np.ndarray:
    rng: Rng = np.random.default_rng(3)
    return photograph(rng, DRAW["nv"](rng, side, side / 10.0), "II", growth=1.0)[0]


def decided(picture: np.ndarray, folder: Path) -> tuple[Verdict, str, int]:
    """Verdict, reasons and number of findings of a picture that a model calls harmless."""
    images.write_png(folder / "in" / "a.png", picture)
    (sample,) = VERTICAL.ingest(folder / "in", folder / "out").samples
    seen = Seen(sample, {"MEL": 0.001, "NEVUS": 0.999}, 0.2, possible=("NEVUS",))
    decision = VERTICAL.decide(Case(sample.frame, (seen,), 1.0, (), None, 0.2, ("NEVUS",)), None)
    return decision.verdict, " ".join(decision.reasons), len(decision.findings)


def test_a_good_picture_passes_and_says_that_it_was_checked(tmp_path: Path) -> None:
    verdict, reasons, findings = decided(lesion(), tmp_path)
    assert verdict is Verdict.PASS and findings == 1 and "not checked" not in reasons
    assert VERTICAL.gate is not None and VERTICAL.gate(lesion()) is None


def test_a_blurred_picture_is_not_examined_with_advice_and_without_a_score(tmp_path: Path) -> None:
    verdict, reasons, findings = decided(cv2.GaussianBlur(lesion(), (0, 0), 12), tmp_path)
    assert verdict is Verdict.NOT_EXAMINED and findings == 0
    assert "blurry" in reasons and "take it again" in reasons and "0.001" not in reasons
    assert VERTICAL.gate is not None
    assert "blurry" in str(VERTICAL.gate(cv2.GaussianBlur(lesion(), (0, 0), 12))), "an evaluation hears the same"
    assert "full size" in str(VERTICAL.gate(lesion()[:20, :20]))


def test_a_picture_of_leaves_is_not_examined_as_skin(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 12, (240, 240, 1))
    leaves = np.clip(np.array([70, 130, 50]) + noise, 0, 255).astype(np.uint8)
    verdict, reasons, _ = decided(leaves, tmp_path)
    assert verdict is Verdict.NOT_EXAMINED and "not those of skin" in reasons


def test_the_tiniest_picture_is_told_and_never_an_error() -> None:
    said = examined(np.full((9, 9, 3), 180, np.uint8))
    assert said["quality"] == "checked" and "16 pixels" in str(said["not_scored"])


def test_writing_in_the_pixels_is_noted_and_may_be_scored() -> None:
    picture = np.ascontiguousarray(lesion(480))
    cv2.putText(picture, "MUSTERMANN 1971", (20, 460), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    said = examined(picture)
    assert "may name the patient" in str(said["noted"])


def test_importing_the_vertical_loads_neither_torch_nor_pydicom() -> None:
    code = "import sys, verticals.medical; print([m for m in ('torch', 'pydicom', 'pynetdicom') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
