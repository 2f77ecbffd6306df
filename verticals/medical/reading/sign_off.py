"""A reader's verdict, full name and organisation in; the report VERIFIED in that name, beside the preliminary, out.

What the software said stays in the verified report, and what the clinician says stands in it as its own coded item. A
verified report is final: a verdict that changed later makes a new verified report that names the one it supersedes
(Predecessor Documents Sequence, PS3.3 C.17.2); no file is changed or removed.
"""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.data import images
from shared.errors import DataError, LoupeError, require
from shared.inference.bundle import file_hash
from shared.records import Action, Review
from shared.review.desk import Desk
from shared.review.items import Item, canonical
from shared.review.log import now
from shared.review.store import Store
from verticals.medical import taxonomy
from verticals.medical.dicom import dicom_write
from verticals.medical.dicom.lettering import drawable
from verticals.medical.dicom.report_content import SCHEME
from verticals.medical.dicom.secondary_capture import captioned
from verticals.medical.dicom.structured_report import verified
from verticals.medical.reading.blind import NO_TRIGGER, Answer, answer_of
from verticals.medical.reading.reports import Entry, Folder
from verticals.medical.taxonomy import UNKNOWN, URGENCY

if TYPE_CHECKING:
    from pydicom import Dataset

SAID = {NO_TRIGGER: "No referral trigger seen"}
"""What a clinician's word means that names no disease."""


@dataclass(frozen=True)
class Signature:
    """Who answers for a report.

    Attributes:
        family: Family name.
        given: Given names.
        organisation: Where.
        at: When, with its offset from UTC.
    """

    family: str
    given: str
    organisation: str
    at: datetime

    @property
    def dicom_name(self) -> str:
        """``family^given`` (PS3.5 6.2, PN)."""
        return f"{self.family.strip()}^{self.given.strip()}"

    @property
    def spoken(self) -> str:
        """As people write it."""
        return f"{self.given.strip()} {self.family.strip()}"


@dataclass(frozen=True)
class Signed:
    """What a signature made.

    Attributes:
        report: The verified report.
        capture: The signed capture, None where there was none.
        uid: SOP Instance UID of the report.
        supersedes: Name of the verified report that it takes the place of, empty for the first.
    """

    report: Path
    capture: Path | None
    uid: str
    supersedes: str


def hindrance(item: Item, entry: Entry | None) -> str:
    """Why the report of a judged item cannot be signed, in one sentence; empty where it can."""
    if entry is None:
        return (
            f"{item.frame}: has no report in the folder of reports; write them with loupe structured-report, or name "
            "the folder that holds it (reports, in the file after --policy)"
        )
    if entry.verdict == "not_examined":
        return f"{item.frame}: its report says that nothing was examined, which nobody can verify"
    if entry.label != item.label or entry.samples != tuple(item.payload.get("samples", ())):
        return f"{item.frame}: its report is about another answer than the one that was judged; write the reports again"
    try:
        same = images.content_hash(Path(item.image))[:16] in entry.samples
    except DataError:
        same = False
    return "" if same else f"{item.frame}: the picture that was judged is gone or was changed; nothing is signed unseen"


def already(verdict: Review, signed: Review | None) -> bool:
    """Whether this very verdict has been signed."""
    if signed is None:
        return False
    try:
        return bool(json.loads(signed.note).get("verdict_at") == verdict.at)
    except (ValueError, AttributeError):
        return False


def outdated(desk: Desk, item: Item) -> str:
    """What a signed report of an item still says although its verdict does not stand any more; empty where it does.

    Args:
        desk: The reviewer's session.
        item: The item.
    """
    signed, standing = desk.signed.get(item.id), desk.standing.get(item.id)
    if signed is None or (standing is not None and already(standing, signed)):
        return ""
    try:
        said = json.loads(signed.note)
        report, name = str(said["report"]), str(said["name"]).replace("^", ", ")
    except (ValueError, KeyError, TypeError):
        report, name = "a report", signed.reviewer
    what = "changed after that" if standing is not None else "taken back"
    return (
        f"{report} is VERIFIED by {name} and still states {spoken(Answer(signed.label))}, which was {what}. A "
        "signature cannot be undone: judge and sign (S) again, so that a new report supersedes it, and tell whoever "
        "has the old one"
    )


def note(signed: Signed, signature: Signature, verdict: Review) -> str:
    """The note of the log's row: which file, by whom, and the verdict that it states."""
    return canonical(
        {
            "report": signed.report.name,
            "uid": signed.uid,
            "sha256": file_hash(signed.report),
            "name": signature.dicom_name,
            "organisation": signature.organisation.strip(),
            "supersedes": signed.supersedes,
            "verdict_at": verdict.at,
        }
    )


def sign(folder: Folder, frame: str, answer: Answer, signature: Signature) -> Signed:
    """Write the verified report, and the capture with the signature in its pixels, beside the preliminary ones.

    Args:
        folder: The folder of reports.
        frame: Whose report.
        answer: What the clinician says.
        signature: Who answers for it.

    Raises:
        DataError: There is no report of the frame, or a name is missing; nothing is written then.
    """
    entry = folder.entries.get(frame)
    if entry is None:
        raise DataError(f"{frame}: has no report in {folder.path}; write them with loupe structured-report")
    for what, word in (("family name", signature.family), ("given name", signature.given)):
        if not word.strip() or "^" in word:
            raise DataError(f"signature: {what} is {word!r}; give the full name, without a caret")
    pydicom = require("pydicom", extra="medical")
    preliminary = pydicom.dcmread(folder.path / entry.report)
    before = sorted(folder.path.glob(f"{frame}.verified-*.dcm"))
    draft = _with_word(preliminary, entry, answer, signature)
    if before:
        latest = pydicom.dcmread(before[-1])
        draft.SOPInstanceUID, draft.InstanceNumber = latest.SOPInstanceUID, latest.InstanceNumber
    report = verified(draft, signature.dicom_name, signature.organisation.strip(), signature.at)
    number = len(before) + 1
    path = folder.path / f"{frame}.verified-{number:02d}.dcm"
    capture = None
    if entry.capture:
        capture = folder.path / f"{frame}.capture.signed-{number:02d}.dcm"
        dicom_write.save(_captured(pydicom.dcmread(folder.path / entry.capture), answer, signature, number), capture)
    # The report last: a folder with a verified report has its capture too.
    dicom_write.save(report, path)
    return Signed(path, capture, str(report.SOPInstanceUID), before[-1].name if before else "")


def spoken(answer: Answer) -> str:
    """A clinician's word for a person: the label, and how urgent."""
    node = taxonomy.find(answer.label)
    label = node.name if node is not None else SAID.get(answer.label, answer.label)
    return label if answer.urgency is None else f"{label}; {URGENCY[answer.urgency]}"


def _with_word(preliminary: "Dataset", entry: Entry, answer: Answer, signature: Signature) -> "Dataset":
    """The preliminary report with the clinician's own word, coded, and with who said it."""
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    contains, observed = sr.RelationshipTypeValues.CONTAINS, sr.RelationshipTypeValues.HAS_OBS_CONTEXT

    def own(code: str, meaning: str) -> Any:
        return sr.CodedConcept(code, SCHEME, meaning)

    node = taxonomy.find(answer.label)
    value = own(node.code, node.name) if node is not None else own(answer.label, SAID.get(answer.label, answer.label))
    items = [sr.CodeContentItem(own("READER-FINDING", "Clinician's impression"), value, contains)]
    if answer.urgency is not None:
        words = own(f"URGENCY-{answer.urgency}", URGENCY[answer.urgency].capitalize())
        items.append(sr.CodeContentItem(own("READER-URGENCY", "Clinician's urgency"), words, contains))
    for item in items:
        who = sr.PnameContentItem(codes.DCM.PersonObserverName, signature.dicom_name, observed)
        item.ContentSequence = sr.ContentSequence([who])
    same = answer.label == entry.label
    if entry.label not in ("", UNKNOWN):
        said = "The clinician's impression is the label suggested." if same else "The clinician's impression differs."
        items.append(sr.TextContentItem(own("READER-AGREES", "Clinician against suggestion"), said, contains))
    draft: Dataset = deepcopy(preliminary)
    container = next(
        (child for child in draft.ContentSequence if child.ConceptNameCodeSequence[0].CodeValue == "C0034375"), None
    )
    if container is None:
        raise DataError(f"{entry.report}: was not made by loupe structured-report; write the reports again")
    container.ContentSequence.extend(items)
    return draft


def _captured(capture: "Dataset", answer: Answer, signature: Signature, number: int) -> "Dataset":
    """A new instance of the capture with the clinician's word and name in strips beside the picture."""
    pydicom = require("pydicom", extra="medical")
    date = f"{signature.at:%Y-%m-%d}"
    lines = (
        "REVIEWED BY A CLINICIAN",
        f"Clinician's impression: {_shown(spoken(answer), 'label')}",
        f"{_shown(signature.spoken, 'Name')}, {_shown(signature.organisation.strip(), 'organisation')}, {date}",
    )
    pixels = captioned(np.asarray(capture.pixel_array, np.uint8), lines)
    result: Dataset = deepcopy(capture)
    uid = require("pydicom.uid", extra="medical").generate_uid()
    result.SOPInstanceUID = result.file_meta.MediaStorageSOPInstanceUID = uid
    result.InstanceNumber = number + 1
    result.ContentDate, result.ContentTime = f"{signature.at:%Y%m%d}", f"{signature.at:%H%M%S}"
    result.Rows, result.Columns = pixels.shape[:2]
    data = pixels.tobytes()
    result.PixelData = data if len(data) % 2 == 0 else data + b"\0"
    result.DerivationDescription = f"{capture.DerivationDescription}. Reviewed by {signature.spoken}, {date}"
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = capture.SOPClassUID, capture.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = deepcopy(capture.SourceImageSequence[0].PurposeOfReferenceCodeSequence)
    result.SourceImageSequence = [*capture.SourceImageSequence, reference]
    return result


def _shown(text: str, what: str) -> str:
    """The text, or where it stands, for what the font has no letters for: a name is never written as another one."""
    return text if drawable(text) else f"{what}: see the VERIFIED report"


def waiting(desk: Desk, folder: Folder) -> tuple[list[tuple[Item, Review]], list[str]]:
    """Items whose standing verdict is the reviewer's own and not yet signed; and why others of them cannot be signed.

    Args:
        desk: The reviewer's session.
        folder: The folder of reports.
    """
    mine = [(item, v) for item in desk.items if (v := desk.standing.get(item.id)) and v.reviewer == desk.reviewer]
    mine = [(item, v) for item, v in mine if not already(v, desk.signed.get(item.id))]
    why = {item.id: hindrance(item, folder.entries.get(item.frame)) for item, _ in mine}
    return [(item, v) for item, v in mine if not why[item.id]], [said for said in why.values() if said]


def sign_all(store: Store, folder: Folder, ready: Sequence[tuple[Item, Review]], signature: Signature) -> str:
    """Sign the report of each verdict that still stands, and write each signature into the log.

    Returns:
        One sentence for the reader: how many were signed, or why the rest was not.
    """
    for done, (item, verdict) in enumerate(ready):
        try:
            _sign_one(store, folder, item, verdict, signature)
        except LoupeError as error:
            return f"{done} of {len(ready)} signed. Not signed: {error}"
    return f"{len(ready)} reports are VERIFIED in the name of {signature.spoken}"


def _sign_one(store: Store, folder: Folder, item: Item, verdict: Review, signature: Signature) -> None:
    # The screen may be older than the log: the same reader may have changed the verdict at another one.
    if store.standing().get(item.id) != verdict:
        raise DataError(f"{item.frame}: the verdict was changed or taken back meanwhile; look at the list again")
    answer = answer_of(verdict)
    made = sign(folder, item.frame, answer, signature)
    row = Review(item.id, Action.SIGN, answer.label, verdict.reviewer, now(), 0.0, note(made, signature, verdict))
    try:
        store.remark(row, shown=item.digest)
    except LoupeError:
        # What the log does not know as signed is not VERIFIED on the disk either.
        for file in filter(None, (made.report, made.capture)):
            file.unlink()
        raise
