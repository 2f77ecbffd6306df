"""The verbs as a person types them: a small build, its findings, their reports, the validation page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.review.store import Store
from verticals.medical.triage import DISCLAIMER

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
LOUPE = Path(sys.executable).parent / "loupe"


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([LOUPE, *map(str, arguments)], capture_output=True, text=True)


def told(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.long
def test_findings_become_preliminary_reports_of_their_own_objects_and_a_validation_page(
    tmp_path: Path, cache: Path
) -> None:
    from verticals.medical.synth import synth

    raw = synth(tmp_path / "raw", seed=4, lesions=21, small=True)
    told("ingest", "medical", raw, "-o", tmp_path / "samples")
    quick = ["--set", "image_size=64", "--set", "search=false", "--set", "finetune=false", "--budget", "10m"]
    told("build", tmp_path / "samples", "-o", tmp_path / "skin.bundle", "--cache", cache, *quick)
    findings = tmp_path / "findings.jsonl"
    told("predict", tmp_path / "skin.bundle", raw, "-o", findings)
    made = told("structured-report", findings, raw, "--bundle", tmp_path / "skin.bundle", "-o", tmp_path / "reports")
    assert made["disclaimer"] == DISCLAIMER and made["problems"] == []
    objects = {str(pydicom.dcmread(f).SOPInstanceUID): f for f in raw.rglob("*.dcm")}
    assert len(made["reports"]) == len(objects)
    for name in made["reports"].values():
        report = pydicom.dcmread(tmp_path / "reports" / name)
        assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
        evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        source = pydicom.dcmread(objects[evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID])
        assert (report.PatientID, report.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
        assert DISCLAIMER in str(report.to_json())
    assert (tmp_path / "reports").stat().st_mode & 0o077 == 0, "the reports name the patient"
    again = run("structured-report", findings, raw, "--bundle", tmp_path / "skin.bundle", "-o", tmp_path / "reports")
    assert again.returncode == 2 and "signed reports may refer" in again.stderr
    page = tmp_path / "validation.html"
    facts = told("validate", findings, raw / "labels.csv", "-o", page, "--bundle", tmp_path / "skin.bundle")
    assert facts["counts"]["pictures"] == len(objects) and facts["left_out"] == []
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ("CLEAR Derm", "CLAIM", "TRIPOD+AI", "878.1820", "SYNTHETIC", "NOT FILLED"))
    victim = next(iter(objects.values()))
    victim.write_bytes(victim.read_bytes() + b"\0\0")
    part = told("structured-report", findings, raw, "--bundle", tmp_path / "skin.bundle", "-o", tmp_path / "more")
    assert len(part["problems"]) == 1 and "was changed after the prediction" in part["problems"][0]
    assert victim.stem not in part["problems"][0], "files may be called after patients"


def test_pictures_are_queued_for_reading_with_no_model(five: Any) -> None:
    facts = told("queue", five.folder / "findings.jsonl.frames", "--store", five.store)
    assert facts["new"] == 5 and facts["disclaimer"] == DISCLAIMER and len(Store.open(str(five.store)).items()) == 5
    done = run("queue", five.folder, "--store", five.store)
    assert done.returncode == 2 and "ingest again" in done.stderr


def test_findings_of_another_bundle_are_refused_in_one_sentence(five: Any, bundle: Path) -> None:
    for verb in (["structured-report", five.findings, five.folder], ["validate", five.findings, five.findings]):
        done = run(*verb, "--bundle", bundle, "-o", five.folder / "out")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "bundle" in done.stderr
    assert not (five.folder / "out").exists()
