"""The vertical joined to the command: the whole way of drawn DICOM objects, in a process of its own."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from verticals.medical.dicom import dicom_encode, dicom_read, dicom_write
from verticals.medical.dicom.dicom_write import Exposure
from verticals.medical.triage import DISCLAIMER

LOUPE = Path(sys.executable).parent / "loupe"
pytestmark = pytest.mark.long


def run(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([LOUPE, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def went(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    pytest.importorskip("pydicom", reason="pydicom is not installed")
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("demo", "medical", "--no-open", "--small", "--cache", folder / "cache", cwd=folder)


def test_the_demo_goes_from_drawn_objects_to_a_report_and_says_what_it_is_not(
    went: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    folder, done = went
    assert done.returncode == 0, done.stderr
    assert DISCLAIMER in done.stdout and "SYNTHETIC" in done.stdout and "lesion detection rate" in done.stdout
    assert not {"defect", "parts", "tiles", "overkill"} & set(done.stdout.split() + done.stderr.split())
    assert DISCLAIMER in (folder / "demo" / "report.html").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in (folder / "demo" / "findings.jsonl").read_text().splitlines()]
    assert lines and all(line["reasons"][-1] == DISCLAIMER for line in lines)
    assert not any("image quality was not checked" in reason for line in lines for reason in line["reasons"])


def test_a_prediction_without_a_place_for_the_names_is_refused(
    went: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    folder, _ = went
    done = run("predict", "demo/medical.bundle", "demo/today", cwd=folder)
    assert done.returncode == 2 and done.stdout == "" and "give -o FILE" in done.stderr


def test_a_table_of_other_files_is_told_and_is_no_picture_that_was_not_examined(
    went: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    folder, _ = went
    few = folder / "few"
    few.mkdir()
    first = next(iter(sorted((folder / "demo" / "today").rglob("*.dcm"))))
    (few / "one.dcm").write_bytes(first.read_bytes())
    (few / "labels.csv").write_text("path,label\nelsewhere.dcm,mel\n")
    done = run("predict", "demo/medical.bundle", few, "-o", "few.jsonl", "--json", cwd=folder)
    facts = json.loads(done.stdout)
    assert facts["frames"] == 1 and "names 1 files that are not there" in facts["problems"][0]


def test_no_name_of_a_drawn_patient_or_file_leaves_the_private_folder(
    went: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    folder, done = went
    patients = {p.name for p in (folder / "demo" / "today").iterdir() if p.is_dir()}
    told = done.stdout + done.stderr + (folder / "demo" / "findings.jsonl").read_text()
    assert patients and not any(name in told for name in patients)
    assert "lesion001-visit1" not in told


def test_triage_says_at_once_what_the_demo_said_and_writes_nothing(
    went: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    folder, _ = went
    bundle, drawn = folder / "demo" / "medical.bundle", sorted((folder / "demo" / "today").rglob("*.dcm"))
    large = np.asarray(cv2.resize(dicom_read.read(drawn[0]).frames[0], (1200, 1200), interpolation=cv2.INTER_CUBIC))
    about = Exposure(patient_id="P", acquired=datetime(2024, 1, 1), drawn=True)
    dicom_write.save(dicom_write.dermoscopic(large, about, transfer_syntax=dicom_encode.JPEG_2000), tmp_path / "j.dcm")
    (tmp_path / "broken.dcm").write_bytes(drawn[0].read_bytes()[:3000])
    before = sorted(tmp_path.rglob("*"))
    done = run("triage", bundle, drawn[0], tmp_path / "j.dcm", tmp_path / "broken.dcm", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    whole, smaller, broken = facts["answers"]
    assert facts["disclaimer"] == DISCLAIMER and all(a["reasons"][-1] == DISCLAIMER for a in facts["answers"])
    said = [json.loads(line)["reasons"] for line in (folder / "demo" / "findings.jsonl").read_text().splitlines()]
    assert whole["reasons"] in said and any("SYNTHETIC" in note for note in whole["notes"])
    assert any("looked at with 600 of its 1200 pixels" in reason for reason in smaller["reasons"])
    assert broken["verdict"] == "not_examined" and broken["urgency"] is None and "not examined" in broken["reasons"][0]
    assert sorted(tmp_path.rglob("*")) == before
