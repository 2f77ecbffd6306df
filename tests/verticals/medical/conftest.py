"""Five decided pictures with their DICOM objects, frames, and preliminary reports, as the verbs leave them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import decisions
from shared.data import images, ingested
from shared.decisions import Line
from shared.records import Sample
from shared.vertical import Case, Ingested, Seen
from verticals.medical.decide import QUALITY, decide
from verticals.medical.drawing.lesions import DRAW
from verticals.medical.reading import reports
from verticals.medical.reading.reports import Entry, Folder
from verticals.medical.synth import photograph

SIDE = 224
GRAVE = {"AKIEC": 0.02, "BCC": 0.021, "BKL": 0.03, "DF": 0.004, "MEL": 0.5, "NEVUS": 0.42, "VASC": 0.005}


@dataclass(frozen=True)
class Cases:
    """Where everything is.

    Attributes:
        folder: The working folder.
        findings: JSON lines of the decisions.
        lines: The same, read.
        reports: The folder of reports, beside the store.
        store: Where the review store is to be.
    """

    folder: Path
    findings: Path
    lines: tuple[Line, ...]
    reports: Path
    store: Path


def picture(number: int, visit: int = 0) -> np.ndarray:
    layers = DRAW[("mel", "nv", "bcc")[number % 3]](np.random.default_rng(number), SIDE, SIDE / 10)
    return photograph(np.random.default_rng([number, visit]), layers, "II", growth=1.0)[0]


@pytest.fixture
def five(tmp_path: Path) -> Cases:
    """Five flagged pictures; the last two are visits of one lesion."""
    home = tmp_path / "findings.jsonl.frames"
    samples, decided = [], []
    for number in range(5):
        frame = f"CASE{number}"
        path = home / "frames" / f"{frame}.png"
        images.write_png(path, picture(min(number, 3), visit=number // 4))
        seen = f"2025{3 + number:02d}01"
        known: dict[str, Any] = {QUALITY: "checked", "lesion": f"L{min(number, 3)}", "visit_date_shifted": seen}
        known |= {"sex": "F", "age_years": 61.0}
        sample = Sample(images.content_hash(path)[:16], f"frames/{path.name}", SIDE, SIDE, frame=frame,
                        group="P", mm_per_px=(0.045, 0.045), provenance=known)  # fmt: skip
        samples.append(sample)
        mass = 0.02 * number
        case_seen = Seen(sample, {**GRAVE, "MEL": 0.5 - mass, "NEVUS": 0.42 + mass}, 0.5, possible=("MEL", "NEVUS"))
        case = Case(frame, (case_seen,), 1.0, (), None, 0.1, ("BKL", "DF", "NEVUS", "VASC"))
        decided.append(decisions.line(decide(case, None), case, home, vertical="medical", bundle_hash="b" * 64))
    ingested.save(Ingested(tuple(samples), {}), home, "medical")
    findings = tmp_path / "findings.jsonl"
    findings.write_text("".join(json.dumps(row) + "\n" for row in decided))
    return Cases(tmp_path, findings, decisions.read(findings), tmp_path / "reports", tmp_path / "reviews.sqlite")


@pytest.fixture
def reported(five: Cases) -> Cases:
    """The same with a preliminary report and a capture of each, made by the functions that the verb calls."""
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    from verticals.medical.dicom import dicom_write
    from verticals.medical.dicom.dicom_write import Code, Exposure
    from verticals.medical.dicom.report_content import Algorithm
    from verticals.medical.dicom.secondary_capture import overlay_capture
    from verticals.medical.dicom.structured_report import measurement_report

    made: dict[str, Entry] = {}
    five.reports.mkdir()
    algorithm, at = Algorithm("skin of seven", "2026.1", "b" * 64), datetime(2026, 3, 4, 10, 30)
    for number, line in enumerate(five.lines):
        frame = line.decision.frame
        pixels = images.read(five.folder / "findings.jsonl.frames" / "frames" / f"{frame}.png")
        site = Code("77568009", "SCT", "Back")
        about = Exposure(
            "p1", at, patient_name="Doe^Jane", body_site=site, lesion_id=f"L{number}", lesion_uid=f"2.25.{number + 1}"
        )
        write: Callable[..., Any] = (dicom_write.dermoscopic, dicom_write.photographic)[number % 2]
        source = write(pixels, about)
        scores = line.decision.facts["probabilities"]
        report = measurement_report(line.decision, [source], algorithm, at, probabilities=scores)
        dicom_write.save(report, five.reports / f"{frame}.dcm")
        places = np.random.default_rng(number).random((7, 7))
        capture = overlay_capture(source, pixels, places, line.decision, algorithm, at)
        dicom_write.save(capture, five.reports / f"{frame}.capture.dcm")
        images.write_png(five.reports / f"{frame}.map.png", pixels)
        label = line.decision.findings[0].label
        made[frame] = Entry(f"{frame}.dcm", f"{frame}.capture.dcm", f"{frame}.map.png",
                            line.decision.findings[0].samples, label, "flag")  # fmt: skip
    content = asdict(Folder(Path(), "b" * 64, 0.4, made)) | {"path": "", "format": 1}
    (five.reports / reports.INDEX).write_text(json.dumps(content))
    return five
