"""A folder of DICOM objects and photographs of skin in, one PNG per frame out, without name or id of any patient."""

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from shared import atomic
from shared.data import cut_frames, images
from shared.errors import DataError, LoupeError, Problem
from shared.records import Box, Finding, Sample
from shared.vertical import Ingested
from verticals.medical import taxonomy
from verticals.medical.decide import NOT_SCORED
from verticals.medical.dicom import dicom_read, keep
from verticals.medical.labels_table import NOTHING, TABLE, LabelRow, read_labels, unused
from verticals.medical.photograph import gate
from verticals.medical.privacy import pseudonyms
from verticals.medical.privacy.pseudonyms import Key
from verticals.medical.provenance import Photograph, photographs

FRAMES, PRIVATE = "frames", "private"
"""Folders below ``out``: pictures for the work, and what must stay with the site."""
SALT, SOURCES = "salt", "sources.csv"
MASK_SUFFIX = ".mask.png"
"""Beside a file: where its lesion is, anything but 0; same size as the picture."""
MARK = ".loupe-frames"
"""Says that a folder of frames is ours and may be replaced."""
NOTES = frozenset({".md", ".txt", ".json", ".html", ".pdf", ".yaml", ".yml", ".log"})
"""Endings of files that people put beside pictures; they are no input, and nobody needs to be told."""


@dataclass
class _Harvest:
    """What has been made so far."""

    samples: list[Sample] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    skipped: dict[str, float] = field(default_factory=dict)
    truth: list[Finding] = field(default_factory=list)
    written: dict[str, Sample] = field(default_factory=dict)
    contradicted: dict[str, str] = field(default_factory=dict)
    objects: dict[str, "_Object"] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


@dataclass
class _Object:
    """What was first seen under a SOP Instance UID.

    Attributes:
        file: Pseudonym of its file.
        pixels: Digest of all frames.
        torn: Whether another file claims the UID with other pixels.
    """

    file: str
    pixels: str
    torn: bool = False


def ingest(source: Path, out: Path) -> Ingested:
    """Turn DICOM objects and ordinary photographs into Samples, one for each frame.

    DICOM is known by its content, whatever the file is called. Frames become PNG below ``out/frames``; that folder is
    written whole or not at all. Files, patients, lesions and DICOM UIDs get pseudonyms that depend on a salt; dates
    move by a constant of each patient, so that intervals survive. ``out/private`` holds the salt and the table from
    file names to pseudonyms, readable by the owner alone: keep it at the site, and keep it, since the same salt gives
    the same patients the same pseudonyms next time. What is burned into the pixels stays in them.

    The quality gate (:func:`verticals.medical.photograph.gate.examined`) looks at each frame; what it says stands in
    the Sample's provenance, and below the gate the decision is NOT EXAMINED.

    Different pictures under one SOP Instance UID, which names one object (PS3.3 C.12.1.1.1), are all left out with the
    reason: nobody can say which of them an archive has under it. Where ``source`` is the folder of an inbox's objects,
    what lies in its quarantine is read with them.

    Beside the files may lie ``labels.csv`` (:func:`verticals.medical.labels_table.read_labels`) and, for each file,
    ``<stem>.mask.png``.

    Args:
        source: A folder (searched deeply) or one file.
        out: Folder of the result.

    Returns:
        Samples grouped by patient, else by lesion; what could not be read, named by its pseudonym, with the reason.

    Raises:
        DataError: ``source`` does not exist or is empty, or ``out/frames`` holds somebody's files.
        ConfigError: The salt cannot be made or read.
    """
    if not source.exists():
        raise DataError(f"{source}: does not exist; give a folder of DICOM objects or photographs, or one of them")
    files, folder = _inputs(source, out), source if source.is_dir() else source.parent
    if not files:
        raise DataError(f"{source}: holds neither DICOM objects nor photographs; give some")
    if (out / FRAMES).exists() and not (out / FRAMES / MARK).is_file():
        raise DataError(f"{out / FRAMES}: holds something that no ingest wrote; give another folder after -o")
    (out / PRIVATE).mkdir(mode=0o700, parents=True, exist_ok=True)
    key = pseudonyms.load_key(out / PRIVATE / SALT)
    rows, remarks = read_labels(folder / TABLE)
    astray = cut_frames.links_below(source, out) if source.is_dir() else []
    files += keep.quarantined(source)  # acknowledged, and seen by nobody if not here
    relative = {p: Path(os.path.relpath(p, folder)).as_posix() for p in (*files, *(link for link, _ in astray))}
    names = {path: pseudonyms.opaque(key, "file", name) for path, name in relative.items()}
    harvest = _Harvest(remarks=list(remarks))
    for path, what in astray:
        harvest.problems.append(Problem(names[path], what))
    with atomic.folder(out / FRAMES) as frames:
        (frames / MARK).touch()
        for path in tqdm(files, desc="reading", unit="file", disable=None, leave=False):
            _take(path, names[path], rows.get(relative[path], NOTHING), frames, key, harvest)
    if source.is_dir():
        harvest.remarks += unused(rows, frozenset(relative.values()))
    _keep_names(out / PRIVATE / SOURCES, {relative[path]: name for path, name in names.items()})
    return _result(harvest, len(files))


def _inputs(source: Path, out: Path) -> list[Path]:
    """Every file but notes, masks, the table of labels, and what is hidden or our own."""
    if source.is_file():
        return [source]
    shunned = [out / FRAMES, out / PRIVATE] if out.resolve() == source.resolve() else [out]
    return [
        f
        for f in sorted(source.rglob("*"))
        if f.is_file()
        and f.name != TABLE
        and not f.name.endswith(MASK_SUFFIX)
        and not any(f.resolve().is_relative_to(s.resolve()) for s in shunned)
        and not any(part.startswith(".") for part in f.relative_to(source).parts)
        and (f.suffix.lower() not in NOTES or dicom_read.is_dicom(f))
    ]


def _take(path: Path, name: str, row: LabelRow, frames: Path, key: Key, harvest: _Harvest) -> None:
    """Write one file's frames and add its Samples, labels and truth to the harvest."""
    try:
        found = photographs(path, row, key)
    except LoupeError as error:
        # Nothing of the path may reach a log: folders and files are called after patients.
        problem = Problem(name, str(error).removeprefix(f"{path}: ").replace(str(path), name))
        if dicom_read.is_directory(path):
            harvest.remarks.append(problem)
            return
        harvest.problems.append(problem)
        harvest.skipped[name] = 1.0
        return
    torn = _torn_from(found, name, frames, harvest)
    for each in found:
        frame = name if each.frames == 1 else f"{name}-{each.number:04d}"
        if torn:
            harvest.problems.append(Problem(frame, _torn(torn)))
            harvest.skipped[frame] = 1.0
            continue
        sample = _write(each, frame, name, row.label, frames, harvest)
        if sample is not None and row.label:
            harvest.labels[sample.id] = row.label
            harvest.truth.append(_truth(path, sample, row.label, harvest))


def _torn_from(found: tuple[Photograph, ...], name: str, frames: Path, harvest: _Harvest) -> str:
    """The file that claims the same SOP Instance UID with other pixels, whose frames are withdrawn; else empty."""
    uid = str(found[0].provenance.get("sop_instance", ""))
    if not uid:
        return ""
    pixels = hashlib.sha256()
    for each in found:
        pixels.update(repr(each.picture.shape).encode() + np.ascontiguousarray(each.picture).tobytes())
    known = harvest.objects.setdefault(uid, _Object(name, pixels.hexdigest()))
    if known.pixels == pixels.hexdigest() and not known.torn:
        return ""
    known.torn = True
    for content, sample in [(c, s) for c, s in harvest.written.items() if s.provenance.get("sop_instance") == uid]:
        (frames / Path(sample.path).name).unlink()
        del harvest.written[content]
        harvest.samples.remove(sample)
        harvest.labels.pop(sample.id, None)
        harvest.truth = [finding for finding in harvest.truth if sample.id not in finding.samples]
        harvest.problems.append(Problem(sample.frame, _torn(name)))
        harvest.skipped[sample.frame] = 1.0
    return known.file


def _torn(other: str) -> str:
    return (
        f"has the SOP Instance UID of {other}, which shows other pixels: a report on one would be read as about both, "
        "so that neither counts as examined; find out which of them is right and remove the other"
    )


def _write(each: Photograph, frame: str, name: str, label: str, frames: Path, harvest: _Harvest) -> Sample | None:
    """Write a frame's PNG and describe it; None for a copy of another."""
    path, group = frames / f"{frame}.png", each.patient or str(each.provenance.get("lesion", "")) or name
    images.write_png(path, each.picture)
    content = images.content_hash(path)
    twin = harvest.written.get(content)
    if twin is not None:
        path.unlink()
        whose = "" if twin.group == group else _whose(each.told and twin.id in harvest.told)
        what = f"holds the same pixels as {twin.frame}{whose}; it counts as not examined: remove one of the two"
        what += _contradiction(twin, label, harvest)
        harvest.problems.append(Problem(frame, what))
        harvest.skipped[frame] = 1.0
        return None
    height, width = each.picture.shape[:2]
    sample = Sample(
        id=content[:16],
        path=f"{FRAMES}/{path.name}",
        width=width,
        height=height,
        frame=frame,
        group=group,
        mm_per_px=each.mm_per_px,
        provenance={**each.provenance, **gate.examined(each.picture)},
    )
    harvest.written[content] = sample
    harvest.told |= {sample.id} if each.told else set()
    harvest.samples.append(sample)
    return sample


def _whose(told: bool) -> str:
    if told:
        return ", which is filed under another patient: find out whose it is"
    return ", of another study, and not both of them say whose they are: find out whether it is one patient"


def _contradiction(twin: Sample, label: str, harvest: _Harvest) -> str:
    """What to say where one picture is filed under two labels; then it keeps none, since nobody knows which is true."""
    other = harvest.contradicted.get(twin.id) or harvest.labels.get(twin.id, "")
    if not label or not other or label == other:
        return ""
    harvest.contradicted[twin.id] = other
    harvest.labels.pop(twin.id, None)
    harvest.truth = [known for known in harvest.truth if twin.id not in known.samples]
    return f"; it is filed under {label}, the other under {other}: neither counts until somebody decides"


def _truth(path: Path, sample: Sample, label: str, harvest: _Harvest) -> Finding:
    """What the table says, and where the lesion is, if a mask lies beside the file."""
    risk = 1.0 if taxonomy.resolve(label).sought else 0.0
    plain = Finding(sample.frame, label, probability=1.0, risk=risk, samples=(sample.id,))
    mask = path.with_name(path.name.removesuffix(path.suffix) + MASK_SUFFIX)
    if not mask.is_file():
        return plain
    try:
        where = images.read(mask)[..., 0] > 0
        if where.shape != (sample.height, sample.width):
            raise DataError(f"its mask has {where.shape[1]} x {where.shape[0]} pixels, the picture has others")
    except DataError as error:
        what = str(error).replace(str(mask), "its mask")
        harvest.remarks.append(Problem(sample.frame, f"{what}; the mask is left out"))
        return plain
    if not where.any():
        return plain
    y, x = np.nonzero(where)
    region = Box(int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
    scale = sample.mm_per_px
    if scale is None:
        return replace(plain, region=region)
    # Greatest extent as the longest of the projections on 36 directions, within 0.1 % of the greatest diameter.
    turns = np.linspace(0, np.pi, 36, endpoint=False)
    along = np.outer(np.cos(turns), x * scale[0]) + np.outer(np.sin(turns), y * scale[1])
    length = float((along.max(axis=1) - along.min(axis=1)).max()) + min(scale)
    return replace(plain, region=region, length_mm=round(length, 3), area_mm2=round(len(x) * scale[0] * scale[1], 4))


def _keep_names(path: Path, names: Mapping[str, str]) -> None:
    """The only place where file names and pseudonyms stand together; its folder is for the owner alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "name"])
    writer.writerows(names.items())
    atomic.write(path, text.getvalue())
    path.chmod(0o600)


def _result(harvest: _Harvest, found: int) -> Ingested:
    known = [sample.provenance for sample in harvest.samples]
    summary = {
        "files": found,
        "frames": len(harvest.samples),
        "patients": len({sample.group for sample in harvest.samples}),
        "lesions": len({(s.group, s.provenance["lesion"]) for s in harvest.samples if "lesion" in s.provenance}),
        "labelled": len(harvest.labels),
        "labels": dict(sorted(Counter(harvest.labels.values()).items())),
        "contradicting_labels": len(harvest.contradicted),
        "kinds": dict(sorted(Counter(str(p.get("kind")) for p in known).items())),
        "corrected": sum("corrected" in p for p in known),
        "below_the_quality_gate": sum(NOT_SCORED in p for p in known),
        "synthetic": any(p.get("synthetic") for p in known),
        "file_names": f"{PRIVATE}/{SOURCES}",
    }
    return Ingested(
        samples=tuple(harvest.samples),
        labels=harvest.labels,
        problems=tuple(harvest.problems),
        remarks=tuple(harvest.remarks),
        skipped=harvest.skipped,
        truth=tuple(harvest.truth),
        summary=summary,
    )
