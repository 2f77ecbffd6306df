"""The verbs as a person types them: a small build, its findings, their reports, the validation page."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.review.items import NOT_EXAMINED
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


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, Path]:
    """Drawn objects, and a bundle built from them."""
    from verticals.medical.synth import synth

    folder = tmp_path_factory.mktemp("skin")
    raw = synth(folder / "raw", seed=4, lesions=21, small=True)
    told("ingest", "medical", raw, "-o", folder / "samples")
    quick = ["--set", "image_size=64", "--set", "search=false", "--set", "finetune=false", "--budget", "10m"]
    told("build", folder / "samples", "-o", folder / "skin.bundle", "--cache", cache, *quick)
    return raw, folder / "skin.bundle"


@pytest.mark.long
def test_objects_of_one_uid_and_copies_get_no_report_and_each_frame_gets_its_own(
    skin: tuple[Path, Path], tmp_path: Path
) -> None:
    today, (raw, bundle) = tmp_path / "today", skin
    today.mkdir()
    drawn = [pydicom.dcmread(f) for f in sorted(raw.rglob("*.dcm"))]
    several, first = drawn[0], drawn[2]
    frames = [np.asarray(each.pixel_array) for each in drawn[:2]]
    several.decompress() if several.file_meta.TransferSyntaxUID.is_compressed else None
    several.SOPClassUID = several.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    several.PixelData, several.NumberOfFrames = b"".join(f.tobytes() for f in frames), 2
    several.save_as(today / "two.dcm")
    first.save_as(today / "a.dcm")
    first.save_as(today / "copy.dcm")
    told("predict", bundle, today, "-o", tmp_path / "f.jsonl")
    made = told("structured-report", tmp_path / "f.jsonl", today, "--bundle", bundle, "-o", tmp_path / "reports")
    assert len(made["reports"]) == 3 and len(made["problems"]) == 1
    assert "holds the same pixels as" in made["problems"][0] and "decoded" not in made["problems"][0]
    named = {}
    for name in made["reports"].values():
        said = pydicom.dcmread(tmp_path / "reports" / name)
        (image,) = [i for i in said.iterall() if i.keyword == "ReferencedFrameNumber"] or [None]
        named[name] = None if image is None else image.value
        capture = tmp_path / "reports" / name.replace(".dcm", ".capture.dcm")
        if capture.is_file():
            assert pydicom.dcmread(capture).SourceImageSequence[0].get("ReferencedFrameNumber") == named[name]
    assert sorted(named.values(), key=str) == [1, 2, None]
    # Findings from before two pictures of one UID were refused: neither gets a report.
    other = drawn[3]
    other.save_as(today / "b.dcm")
    told("predict", bundle, today, "-o", tmp_path / "g.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "g.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    other.save_as(today / "b.dcm")
    part = told("structured-report", tmp_path / "g.jsonl", today, "--bundle", bundle, "-o", tmp_path / "more")
    assert len(part["reports"]) == 2 and sum("same SOP Instance UID" in p for p in part["problems"]) == 2
    told("predict", bundle, today, "-o", tmp_path / "h.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    torn = [line for line in lines if "SOP Instance UID" in line["reasons"][0]]
    assert {line["verdict"] for line in torn} == {"not_examined"} and len(torn) == 3


@pytest.mark.long
def test_findings_become_preliminary_reports_of_their_own_objects_and_a_validation_page(
    skin: tuple[Path, Path], tmp_path: Path
) -> None:
    original, bundle = skin
    raw = Path(shutil.copytree(original, tmp_path / "raw"))
    findings = tmp_path / "findings.jsonl"
    told("predict", bundle, raw, "-o", findings)
    made = told("structured-report", findings, raw, "--bundle", bundle, "-o", tmp_path / "reports")
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
    texts = "".join(pydicom.dcmread(tmp_path / "reports" / name).to_json() for name in made["reports"].values())
    assert "All percentages are as built, where" in texts and "the software's default" in texts
    assert (tmp_path / "reports").stat().st_mode & 0o077 == 0, "the reports name the patient"
    again = run("structured-report", findings, raw, "--bundle", bundle, "-o", tmp_path / "reports")
    assert again.returncode == 2 and "signed reports may refer" in again.stderr
    page = tmp_path / "validation.html"
    facts = told("validate", findings, raw / "labels.csv", "-o", page, "--bundle", bundle)
    assert facts["counts"]["pictures"] == len(objects) and facts["left_out"] == []
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ("CLEAR Derm", "CLAIM", "TRIPOD+AI", "878.1820", "SYNTHETIC", "NOT FILLED"))
    victim = next(iter(objects.values()))
    victim.write_bytes(victim.read_bytes() + b"\0\0")
    part = told("structured-report", findings, raw, "--bundle", bundle, "-o", tmp_path / "more")
    assert len(part["problems"]) == 1 and "was changed after the prediction" in part["problems"][0]
    assert victim.stem not in part["problems"][0], "files may be called after patients"


def test_pictures_are_queued_for_reading_with_no_model(five: Any) -> None:
    facts = told("queue", five.folder / "findings.jsonl.frames", "--store", five.store)
    assert facts["new"] == 5 and facts["disclaimer"] == DISCLAIMER and len(Store.open(str(five.store)).items()) == 5
    done = run("queue", five.folder, "--store", five.store)
    assert done.returncode == 2 and "ingest again" in done.stderr


def test_what_could_not_be_read_waits_in_the_queue_without_a_model_too(five: Any, tmp_path: Path) -> None:
    """A melanoma whose file was cut off is not gone from the worklist."""
    source, samples = tmp_path / "in", tmp_path / "samples"
    source.mkdir()
    shutil.copy(five.folder / "findings.jsonl.frames" / "frames" / "CASE0.png", source / "Jane.png")
    (source / "Erika.png").write_bytes((source / "Jane.png").read_bytes()[:900])
    assert run("ingest", "medical", source, "-o", samples).returncode == 0
    facts = told("queue", samples, "--store", five.store)
    again = told("queue", samples, "--store", five.store)
    assert (facts["new"], facts["unread"], again["new"], again["kept"]) == (2, 1, 0, 2)
    lost = next(item for item in Store.open(str(five.store)).items() if not item.image)
    assert lost.label == NOT_EXAMINED and lost.reasons[-1] == DISCLAIMER and len(lost.reasons) == 3
    assert (
        "Erika" not in repr(lost)
        and "1 of them could not be read" in run("queue", samples, "--store", five.store).stdout
    )


def test_a_validation_says_what_taught_the_bundle_and_names_no_file(five: Any, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in five.findings.read_text().splitlines()]
    for row in rows[:2]:
        row["used_in_build"] = True
    five.findings.write_text("".join(json.dumps(row) + "\n" for row in rows))
    private = five.folder / "findings.jsonl.frames" / "private"
    private.mkdir()
    (private / "sources.csv").write_text("file,name\n" + "".join(f"Jane {n}.jpg,CASE{n}\n" for n in range(5)))
    known, page = tmp_path / "known.csv", tmp_path / "page.html"
    files = [(f"Jane {n}.jpg", "mel" if n else "wartlike") for n in range(4)]
    table = [*files, ("Jane at home.jpg", "mel"), ("Jane in March.jpg", "wartlike")]
    known.write_text(
        "path,label,lesion_id\n" + "".join(f"{p},{label},Jane L{i}\n" for i, (p, label) in enumerate(table))
    )
    facts = told("validate", five.findings, known, "-o", page)
    assert facts["counts"]["pictures"] == 3 and facts["counts"]["lesions"] == 3
    assert [text.partition(":")[0] for text in facts["left_out"]] == ["CASE4", "CASE0", "row 5", "row 6"]
    text = page.read_text(encoding="utf-8")
    assert "Jane" not in text + json.dumps(facts), "files and lesions may be called after patients"
    assert "2 of 5 frames were used to build the bundle" in text and "no evidence" in facts["notes"][0]


def test_a_report_takes_a_table_of_files_by_the_names_that_they_had(five: Any, tmp_path: Path) -> None:
    home = five.folder / "findings.jsonl.frames"
    (home / "private").mkdir()
    (home / "private" / "sources.csv").write_text(
        "file,name\n" + "".join(f"Jane {n}.jpg,CASE{n}\n" for n in range(4)) + "Jane.mp4,FILM\nJane.png,LOST\n"
    )
    rows = [json.loads(line) for line in five.findings.read_text().splitlines()]
    film = [json.loads(json.dumps(rows[4]).replace("CASE4", f"FILM-000{n}")) for n in (1, 2)]
    five.findings.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:4], *film]))
    known, page = tmp_path / "known.csv", tmp_path / "page.html"
    known.write_text(
        "path,label\nJane 0.jpg,mel\nJane 1.jpg,mel\nframes/CASE2.png,nv\nJane 3.jpg,wartlike\nJane.mp4,mel\n"
        "Jane.png,mel\nJane at home.jpg,mel\n"
    )
    done = run("report", five.findings, "--truth", known, "-o", page, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["without_truth"] == 1 and facts["without_answer"] == ["LOST", "row 7"]
    assert facts["measured"]["counts"]["pictures"] == 7 and facts["measured"]["counts"]["flag"] == 5
    assert "label 'wartlike' of CASE3 is unknown" in done.stderr
    assert "Jane" not in done.stdout + done.stderr + page.read_text(encoding="utf-8")


def test_findings_of_another_bundle_are_refused_in_one_sentence(five: Any, bundle: Path) -> None:
    for verb in (["structured-report", five.findings, five.folder], ["validate", five.findings, five.findings]):
        done = run(*verb, "--bundle", bundle, "-o", five.folder / "out")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "bundle" in done.stderr
    assert not (five.folder / "out").exists()
