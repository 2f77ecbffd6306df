"""Findings and the DICOM objects they are about in, a folder of preliminary reports and captures for the archive out.

The reports belong to the patient's study and name the patient, as their sources do: the folder is for the site's
archive. Files are called by the pseudonym of the frame, so that the page, which knows no patient, finds them.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared import atomic, decisions
from shared.data import images
from shared.decisions import Line
from shared.errors import DataError, LoupeError, Problem, require
from shared.inference import Bundle, Runtime
from shared.inference.explanation import contrast, overlay
from shared.records import Decision, Sample, Verdict
from shared.review.items import Item
from verticals.medical.dicom import dicom_write
from verticals.medical.dicom.report_content import LONG_STRING, Algorithm, AtClinic, scores
from verticals.medical.dicom.secondary_capture import overlay_capture
from verticals.medical.dicom.structured_report import measurement_report
from verticals.medical.ingest import PRIVATE, SOURCES
from verticals.medical.reading import frequency, page_policy, visits
from verticals.medical.reading.frequency import Clinic
from verticals.medical.reading.page_policy import PagePolicy
from verticals.medical.taxonomy import UNKNOWN
from verticals.medical.triage import DISCLAIMER, node_of

if TYPE_CHECKING:
    from pydicom import Dataset

INDEX = "reports.json"
_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What was written about one frame.

    Attributes:
        report: Name of the structured report's file.
        capture: Name of the secondary capture's file, empty where nothing is named and no map explains anything.
        map: Name of a PNG of the picture with the map over it, likewise.
        samples: Ids of the Samples that the decision is about.
        label: What the decision calls it; empty where it names nothing.
        verdict: pass, flag or not_examined.
    """

    report: str
    capture: str
    map: str
    samples: tuple[str, ...]
    label: str
    verdict: str


@dataclass(frozen=True)
class Folder:
    """A folder of reports as it is read back.

    Attributes:
        path: Where.
        bundle_hash: Of the bundle that scored the pictures.
        study_prevalence: Share of malignant and pre-malignant pictures in its build, 0 where not known.
        entries: By frame.
    """

    path: Path
    bundle_hash: str
    study_prevalence: float
    entries: Mapping[str, Entry]


@dataclass(frozen=True)
class _Work:
    """What every report of a folder is made with."""

    source: Path
    out: Path
    runtime: Runtime
    at: datetime
    study: float
    clinic: Clinic


def write(
    findings: Path, source: Path, out: Path, bundle: Path, policy: PagePolicy | None = None
) -> tuple[Folder, tuple[Problem, ...]]:
    """Write a PRELIMINARY, UNVERIFIED report for every decision, and a capture of the map where a disease is named.

    Args:
        findings: What ``loupe predict -o`` wrote; the folder of its frames must still be there.
        source: The folder (or the one file) that was predicted on.
        out: New folder; written whole or not at all.
        bundle: The bundle that made the findings.
        policy: The site's, whose prevalence the reports state; None for the defaults.

    Returns:
        The folder, and one sentence for each decision that has no report.

    Raises:
        DataError: The findings are of another bundle or vertical, or ``out`` holds reports already.
        BundleError: The bundle is not usable.
        MissingDependency: pydicom or highdicom is not installed.
    """
    require("highdicom.sr", extra="medical")
    if (out / INDEX).exists() or (out.exists() and any(out.iterdir())):
        raise DataError(f"-o {out}: is not empty, and signed reports may refer to what is in it; give a new folder")
    lines, runtime = decisions.read(findings), Runtime.open(bundle)
    _check_origin(findings, lines, runtime.bundle)
    policy = policy or page_policy.load("")
    at, study = datetime.fromtimestamp(findings.stat().st_mtime), policy.study_prevalence or _prevalence(runtime.bundle)
    entries, problems, claimed = {}, [], _claimed(lines, source)
    with atomic.folder(out) as folder:
        work = _Work(source, folder, runtime, at, study, policy.clinic)
        for line in tqdm(lines, desc="reports", unit="report", disable=None, leave=False):
            try:
                _check_alone(line, claimed)
                entries[line.decision.frame] = _one(line, work)
            except LoupeError as error:
                # Nothing of a path may reach a log: folders and files are called after patients.
                said = str(error).replace(str(source), "the source")
                problems.append(Problem(line.decision.frame, said.removeprefix(f"{line.decision.frame}: ")))
        made = Folder(out, runtime.bundle.hash, study, entries)
        content = {**asdict(made), "path": "", "format": _FORMAT, "disclaimer": DISCLAIMER}
        atomic.write(folder / INDEX, json.dumps(content, indent=1))
    out.chmod(0o700)  # the reports name the patient
    return made, tuple(problems)


def read(folder: Path) -> Folder | None:
    """What :func:`write` left; None where there is no such folder.

    Raises:
        DataError: Its index is damaged.
    """
    index = folder / INDEX
    return _read(folder, index.stat().st_mtime_ns) if index.is_file() else None


@lru_cache(maxsize=4)
def _read(folder: Path, _written: int) -> Folder:
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}, this version reads {_FORMAT}")
        entries = {k: Entry(**{**row, "samples": tuple(row["samples"])}) for k, row in content["entries"].items()}
        return Folder(folder, str(content["bundle_hash"]), float(content["study_prevalence"]), entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / INDEX}: cannot be read ({error!r}); run loupe structured-report again") from error


def folders_in(place: Path) -> tuple[Path, ...]:
    """Folders of reports that lie in a folder, whatever they are called."""
    return tuple(sorted(index.parent for index in place.glob(f"*/{INDEX}")))


def map_of(folder: Folder | None, item: Item) -> Path | None:
    """The picture with the map of this very answer over it; None where there is none."""
    entry = folder.entries.get(item.frame) if folder is not None else None
    if folder is None or entry is None or not entry.map or entry.label != item.label:
        return None
    return folder.path / entry.map if entry.samples == tuple(item.payload.get("samples", ())) else None


def _check_origin(findings: Path, lines: Sequence[Line], bundle: Bundle) -> None:
    said = {(str(line.extra.get("vertical", "")), str(line.extra.get("bundle_hash", ""))) for line in lines}
    if said != {("medical", bundle.hash)}:
        raise DataError(
            f"{findings}: holds answers of {len(said)} bundles or verticals; allowed are those of {bundle.path} "
            "(medical) alone: give the bundle that made them"
        )


def _prevalence(bundle: Bundle) -> float:
    counts: Mapping[str, int] = bundle.card.get("data", {}).get("labels", {})
    total = sum(counts.values())
    return round(sum(n for label, n in counts.items() if node_of(label).sought) / total, 6) if total else 0.0


def _claimed(lines: Sequence[Line], source: Path) -> dict[str, list[str]]:
    """Decisions about one frame of one SOP Instance UID, by each of them; those without a readable source have none."""
    pydicom = require("pydicom", extra="medical")
    about: dict[tuple[str, int | None], list[str]] = defaultdict(list)
    for line in lines:
        picture, frame = _picture(line), line.decision.frame
        sample = _sample(picture, frame)
        if picture is None or sample is None:
            continue
        try:
            file = _source_of(picture.parent.parent, frame, source)
            header = pydicom.dcmread(file, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
            about[str(header.get("SOPInstanceUID", "")), _number(sample)].append(frame)
        except (LoupeError, OSError, pydicom.errors.InvalidDicomError):
            continue  # its own report says what is wrong with it
    return {frame: frames for frames in about.values() for frame in frames}


def _check_alone(line: Line, claimed: Mapping[str, Sequence[str]]) -> None:
    if len(claimed.get(line.decision.frame, ())) > 1:
        raise DataError(
            "another finding is about the same SOP Instance UID, and two reports on one object may contradict each "
            "other; find out which object is right, and predict again"
        )


def _picture(line: Line) -> Path | None:
    return next((Path(shown.image) for shown in line.shown.values() if shown.image), None)


def _number(sample: Sample) -> int | None:
    """Which frame of a multi-frame object it is, from 1; None for an object of one frame."""
    number = sample.provenance.get("frame_number")
    return None if number is None else int(number)


def _at_clinic(decision: Decision, study: float, clinic: Clinic) -> AtClinic | None:
    """What the risk means as built and at the clinic's prevalence; None where it is no probability."""
    if not scores(decision):
        return None
    risk = decision.findings[0].risk
    said = frequency.as_built(risk, study)
    if not 0 < study < 1:
        return AtClinic(None, said)
    here = f"{said} {frequency.sentence(risk, study, clinic)}."
    return AtClinic(frequency.shifted(risk, study, clinic.share), here)


def _one(line: Line, work: _Work) -> Entry:
    """Report, capture and map of one frame."""
    decision, frame = line.decision, line.decision.frame
    picture_file = _picture(line)
    sample = _sample(picture_file, frame)
    if picture_file is None:
        why = next(iter(decision.reasons), "no reason was recorded")
        raise DataError(f"there is no picture of it to report about: {why}")
    if sample is None:
        raise DataError("its ingest does not know it any more; keep the folder of frames, or predict again")
    header = _header(_source_of(picture_file.parent.parent, frame, work.source), sample)
    made = _algorithm(work.runtime.bundle)
    masses = decision.facts.get("probabilities") if decision.verdict is not Verdict.NOT_EXAMINED else None
    report = measurement_report(
        decision,
        [header],
        made,
        work.at,
        probabilities=masses,
        frame=_number(sample),
        clinic=_at_clinic(decision, work.study, work.clinic),
    )
    dicom_write.save(report, work.out / f"{frame}.dcm")
    label = decision.findings[0].label if decision.findings else ""
    entry = Entry(f"{frame}.dcm", "", "", (sample.id,), label, decision.verdict.value)
    index = _index(work.runtime.labels, label, masses)
    if index is None or decision.verdict is Verdict.NOT_EXAMINED:
        return entry
    picture = images.read(picture_file)
    places = _places(work.runtime, picture, index)
    capture = overlay_capture(header, picture, places, decision, made, work.at, _number(sample))
    dicom_write.save(capture, work.out / f"{frame}.capture.dcm")
    images.write_png(work.out / f"{frame}.map.png", overlay(picture, places))
    return Entry(entry.report, f"{frame}.capture.dcm", f"{frame}.map.png", *list(asdict(entry).values())[3:])


def _sample(picture: Path | None, frame: str) -> Sample | None:
    return None if picture is None else visits.samples_of(str(picture)).get(frame)


def _source_of(home: Path, frame: str, source: Path) -> Path:
    """The object that a frame is from, by the table that the ingest keeps."""
    table = home / PRIVATE / SOURCES
    names = _names(table, table.stat().st_mtime_ns if table.is_file() else 0)
    file = names.get(frame) or names.get(frame.rpartition("-")[0])
    if file is None:
        raise DataError("the table of file names of its ingest does not know it; keep the folder private beside frames")
    return (source if source.is_dir() else source.parent) / file


@lru_cache(maxsize=4)
def _names(table: Path, _written: int) -> Mapping[str, str]:
    """Files by the pseudonym of each."""
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            return {row["name"]: row["file"] for row in csv.DictReader(stream)}
    except (OSError, KeyError) as error:
        raise DataError("the ingest's table of file names cannot be read; it lies in private beside frames") from error


def _header(file: Path, sample: Sample) -> "Dataset":
    """The header of the very object whose picture was judged."""
    pydicom = require("pydicom", extra="medical")
    if not file.is_file():
        raise DataError("its source is not in the folder that was given; give the one that was predicted on")
    if images.content_hash(file) != sample.provenance.get("file_sha256"):
        raise DataError("its source was changed after the prediction; predict again")
    try:
        header: Dataset = pydicom.dcmread(file, stop_before_pixels=True)
    except pydicom.errors.InvalidDicomError as error:
        raise DataError("its source is no DICOM object, so that it has no study for a report to lie in") from error
    return header


def _algorithm(bundle: Bundle) -> Algorithm:
    return Algorithm(
        bundle.path.resolve().name[:LONG_STRING], str(bundle.card["made"]["at"])[:LONG_STRING], bundle.hash
    )


def _index(labels: Sequence[str], label: str, masses: Mapping[str, float] | None) -> int | None:
    """Place of a label of the taxonomy among those of the bundle; None where it names none."""
    if not label or label == UNKNOWN or masses is None:
        return None
    return next((i for i, word in enumerate(labels) if node_of(word).code == label), None)


def _places(runtime: Runtime, picture: NDArray[np.uint8], index: int) -> NDArray[np.float64]:
    """What speaks for a label, place by place, against all others."""
    class_map = runtime.predict([picture], class_map=True).class_map
    assert class_map is not None
    return contrast(class_map[0], index)
