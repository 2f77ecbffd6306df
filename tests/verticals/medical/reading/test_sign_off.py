"""Signing, judged by what lies on the disk and by dciodvfy."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.errors import DataError
from shared.records import Action, Review
from shared.review.desk import Desk
from shared.review.items import Item
from shared.review.log import now
from shared.review.store import Store
from verticals.medical.dicom import secondary_capture
from verticals.medical.reading import reports, sign_off
from verticals.medical.reading.blind import NO_TRIGGER, Answer, note
from verticals.medical.reading.sign_off import Signature
from verticals.medical.triage import DISCLAIMER

pydicom = pytest.importorskip("pydicom")
WHO = Signature("Müller", "Eva Maria", "Hautklinik am Ring", datetime(2026, 3, 5, 9, 0, tzinfo=UTC))


def errors(path: Path) -> list[str]:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    return [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]


def coded(dataset: Any, name: str) -> list[str]:
    found = []
    for child in dataset.get("ContentSequence", ()):
        if child.ConceptNameCodeSequence[0].CodeValue == name:
            found.append(child.ConceptCodeSequence[0].CodeValue)
        found += coded(child, name)
    return found


def test_a_signature_makes_a_verified_report_beside_the_preliminary_one_and_changes_no_file(reported: Any) -> None:
    before = {f.name: f.read_bytes() for f in reported.reports.iterdir()}
    folder = reports.read(reported.reports)
    assert folder is not None
    made = sign_off.sign(folder, "CASE0", Answer("NEVUS", 3), WHO)
    report, first = pydicom.dcmread(made.report), pydicom.dcmread(reported.reports / "CASE0.dcm")
    assert (report.VerificationFlag, report.PreliminaryFlag, first.VerificationFlag) == (
        "VERIFIED",
        "FINAL",
        "UNVERIFIED",
    )
    observer = report.VerifyingObserverSequence[0]
    assert (observer.VerifyingObserverName, observer.VerifyingOrganization) == (
        "Müller^Eva Maria",
        "Hautklinik am Ring",
    )
    assert coded(report, "READER-FINDING") == ["NEVUS"] and coded(report, "READER-URGENCY") == ["URGENCY-3"]
    texts = [str(child.get("TextValue", "")) for child in report.ContentSequence[-1].ContentSequence]
    assert DISCLAIMER in texts and "The clinician's impression differs." in texts
    assert not coded(first, "READER-FINDING")
    predecessor = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert {n: (reported.reports / n).read_bytes() for n in before} == before
    assert errors(made.report) == []


def test_a_changed_mind_makes_a_report_that_supersedes_the_signed_one(reported: Any) -> None:
    folder = reports.read(reported.reports)
    assert folder is not None
    first = sign_off.sign(folder, "CASE1", Answer("MEL", 1), WHO)
    second = sign_off.sign(folder, "CASE1", Answer(NO_TRIGGER, 3), WHO)
    assert second.supersedes == first.report.name and first.report.is_file()
    report = pydicom.dcmread(second.report)
    predecessor = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.uid != report.SOPInstanceUID
    assert coded(report, "READER-FINDING") == [NO_TRIGGER]
    assert errors(second.report) == []


def test_the_capture_gets_the_name_in_its_pixels_and_keeps_the_picture(reported: Any) -> None:
    folder = reports.read(reported.reports)
    assert folder is not None
    made = sign_off.sign(folder, "CASE0", Answer("MEL", 1), WHO)
    assert made.capture is not None
    signed, plain = pydicom.dcmread(made.capture), pydicom.dcmread(reported.reports / "CASE0.capture.dcm")
    assert signed.Rows > plain.Rows and signed.SOPInstanceUID != plain.SOPInstanceUID
    rows = range(signed.Rows - plain.Rows)
    assert any((signed.pixel_array[r : r + plain.Rows] == plain.pixel_array).all() for r in rows)
    assert "Eva Maria Müller" in signed.DerivationDescription and signed.BurnedInAnnotation == "YES"
    known = set(errors(reported.reports / "CASE0.capture.dcm"))
    assert set(errors(made.capture)) <= known


def test_the_capture_never_bears_another_name_than_the_signers(reported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, drawn = reports.read(reported.reports), []
    assert folder is not None
    monkeypatch.setattr(
        sign_off, "captioned", lambda picture, lines: drawn.append(lines) or secondary_capture.captioned(picture, lines)
    )
    sign_off.sign(folder, "CASE0", Answer("MEL", 1), replace(WHO, family="Ünal-Świętosławska"))
    sign_off.sign(folder, "CASE0", Answer("MEL", 1), replace(WHO, family="山田", given="花子"))
    assert drawn[0][2] == "Eva Maria Ünal-Świętosławska, Hautklinik am Ring, 2026-03-05"
    assert drawn[1][2] == "Name: see the VERIFIED report, Hautklinik am Ring, 2026-03-05"
    report = pydicom.dcmread(sorted(reported.reports.glob("CASE0.verified-*.dcm"))[-1])
    assert report.VerifyingObserverSequence[0].VerifyingObserverName == "山田^花子"


@pytest.mark.parametrize(
    ("family", "organisation"), [("", "Clinic"), ("Berg", " "), ("A^B", "Clinic"), ("Berg", "x" * 65)]
)
def test_a_signature_without_its_full_name_and_place_writes_nothing(
    reported: Any, family: str, organisation: str
) -> None:
    folder, before = reports.read(reported.reports), sorted(reported.reports.iterdir())
    assert folder is not None
    with pytest.raises(DataError):
        sign_off.sign(folder, "CASE0", Answer("MEL", 1), Signature(family, "Eva", organisation, WHO.at))
    assert sorted(reported.reports.iterdir()) == before


def judged(cases: Any, frame: str, who: str = "Eva") -> Review:
    said = note(Answer("MEL", 1))
    return Review(frame, Action.CONFIRM, "MEL", who, now(), 2.0, said)


def test_only_what_this_reader_judged_and_what_is_still_that_picture_is_signed(reported: Any) -> None:
    store = Store.open(str(reported.store))
    store.add(reported.lines)
    for frame, who in (("CASE0", "Eva"), ("CASE1", "Otto"), ("CASE2", "Eva")):
        store.record(judged(reported, frame, who))
    (reported.folder / "findings.jsonl.frames" / "frames" / "CASE2.png").write_bytes(b"another picture")
    desk = Desk(store, severity={})
    desk.reviewer = "Eva"
    desk.refresh()
    folder = reports.read(reported.reports)
    assert folder is not None
    ready, hindered = sign_off.waiting(desk, folder)
    assert [item.id for item, _ in ready] == ["CASE0"]
    assert len(hindered) == 1 and "nothing is signed unseen" in hindered[0]
    assert "1 reports are VERIFIED" in sign_off.sign_all(store, folder, ready, WHO)
    assert len(list(reported.reports.glob("*.verified-*.dcm"))) == 1
    desk.refresh()
    assert sign_off.waiting(desk, folder)[0] == [], "a signed verdict does not wait any more"
    assert sign_off.outdated(desk, ready[0][0]) == ""
    row = store.reviews()[-1]
    told = json.loads(row.note)
    assert row.action is Action.SIGN and told["name"] == "Müller^Eva Maria" and len(told["sha256"]) == 64
    store.verify()
    store.undo("Eva")  # the verdict on CASE2, which is the latest
    store.undo("Eva")
    desk.refresh()
    said = sign_off.outdated(desk, ready[0][0])
    assert "CASE0.verified-01.dcm is VERIFIED by Müller, Eva Maria and still states invasive melanoma" in said
    assert "taken back" in said and "sign (S) again" in said
    store.record(Review("CASE0", Action.RELABEL, "NEVUS", "Eva", now(), 2.0, note(Answer("NEVUS", 3))))
    desk.refresh()
    ready, _ = sign_off.waiting(desk, folder)
    assert [(i.id, v.label) for i, v in ready] == [("CASE0", "NEVUS")]
    assert "changed after that" in sign_off.outdated(desk, ready[0][0])
    sign_off.sign_all(store, folder, ready, WHO)
    assert json.loads(store.reviews()[-1].note)["supersedes"] == "CASE0.verified-01.dcm"
    desk.refresh()
    assert sign_off.outdated(desk, ready[0][0]) == ""


def test_a_verdict_that_was_changed_at_another_screen_is_not_signed_from_this_one(reported: Any) -> None:
    """The reader answers for what stands, and a report that the log does not know as signed must not say VERIFIED."""
    store, folder = Store.open(str(reported.store)), reports.read(reported.reports)
    assert folder is not None
    store.add(reported.lines)
    items = {item.id: item for item in store.items()}
    stale = [(items[frame], judged(reported, frame)) for frame in ("CASE0", "CASE1")]
    for _, verdict in stale:
        store.record(verdict)
    store.undo("Eva")
    store.record(Review("CASE1", Action.RELABEL, "NEVUS", "Eva", now(), 2.0, note(Answer("NEVUS", 3))))
    said = sign_off.sign_all(store, folder, stale, WHO)
    assert said.startswith("1 of 2 signed. Not signed: CASE1: the verdict was changed")
    assert [f.name for f in reported.reports.glob("*.verified-*.dcm")] == ["CASE0.verified-01.dcm"]
    assert [r.item for r in store.reviews() if r.action is Action.SIGN] == ["CASE0"]
    renewed = replace(items["CASE1"], probability=0.1)
    said = sign_off.sign_all(store, folder, [(renewed, store.standing()["CASE1"])], WHO)
    assert "0 of 1 signed" in said and "was renewed" in said
    assert not list(reported.reports.glob("CASE1.*verified*")) + list(reported.reports.glob("CASE1.*signed*"))


def test_reports_are_found_whatever_their_folder_is_called(reported: Any) -> None:
    reported.reports.rename(reported.folder / "march")
    assert reports.folders_in(reported.folder) == (reported.folder / "march",)
    assert "name the folder that holds it" in sign_off.hindrance(items_of(reported)[0], None)


def items_of(cases: Any) -> list[Item]:
    store = Store.open(str(cases.store))
    store.add(cases.lines)
    return list(store.items())
