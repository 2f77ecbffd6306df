"""The folder that an ingest leaves: manifest, truth, and what could not be read, for later steps to account for."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from shared import atomic
from shared.data import images
from shared.data import manifest as manifests
from shared.data.manifest import Manifest, Row
from shared.errors import DataError, Problem
from shared.records import Finding, as_json, finding_from_json
from shared.vertical import Ingested

MANIFEST, RECORD, TRUTH = "manifest.csv", "ingest.json", "truth.jsonl"


def save(ingested: Ingested, folder: Path, vertical: str) -> None:
    """Write the three files; the record last, so that a folder with a record is complete."""
    rows = tuple(Row(sample, ingested.labels.get(sample.id, "")) for sample in ingested.samples)
    manifests.save(Manifest(rows, folder, vertical), folder / MANIFEST)
    write_truth(ingested.truth, folder / TRUTH)
    record = {
        "vertical": vertical,
        "samples": len(rows),
        "problems": [[p.where, p.what] for p in ingested.problems],
        "skipped": dict(ingested.skipped),
        "groups": dict(ingested.groups),
        "summary": dict(ingested.summary),
    }
    atomic.write(folder / RECORD, json.dumps(record, indent=2))


def load(folder: Path) -> Ingested:
    """The inverse of :func:`save`.

    Raises:
        DataError: The folder is not the complete result of an ingest.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: is not the complete result of an ingest ({RECORD} is missing); ingest again"
        ) from error
    table = manifests.read_table(folder / MANIFEST)
    rows = manifests.from_table(table, folder, folder / MANIFEST).rows
    if len(rows) != record["samples"]:
        raise DataError(
            f"{folder / MANIFEST}: lists {len(rows)} samples, the ingest made {record['samples']}; ingest again"
        )
    return Ingested(
        samples=tuple(row.sample for row in rows),
        labels={row.sample.id: row.label for row in rows if row.label},
        problems=tuple(Problem(where, what) for where, what in record["problems"]),
        skipped=record["skipped"],
        truth=read_truth(folder / TRUTH),
        summary=record["summary"],
        groups=record.get("groups", {}),
    )


def unchanged(found: Ingested, folder: Path) -> Ingested:
    """Without the Samples whose files are not what was ingested; their frames say so, and how much of them is gone.

    Args:
        found: What was loaded.
        folder: Where its Samples' paths start.
    """
    wrong = {}
    for path, identity in dict.fromkeys((s.path, s.id.split("@")[0]) for s in found.samples):
        try:
            if not images.content_hash(folder / path).startswith(identity):
                wrong[path] = "was changed after the ingest, so that it is not examined; ingest again"
        except DataError as error:
            wrong[path] = str(error)
    if not wrong:
        return found
    whole, gone = Counter[str](), Counter[str]()
    problems = {}
    for sample in found.samples:
        whole[sample.frame] += sample.area
        if sample.path in wrong:
            gone[sample.frame] += sample.area
            problems[sample.frame, sample.path] = Problem(sample.frame, f"{folder / sample.path}: {wrong[sample.path]}")
    lost = {f: 1 - (1 - found.skipped.get(f, 0.0)) * (1 - gone[f] / whole[f]) for f in gone}
    return replace(
        found,
        samples=tuple(s for s in found.samples if s.path not in wrong),
        problems=(*found.problems, *problems.values()),
        skipped={**found.skipped, **lost},
    )


def is_ingested(folder: Path) -> bool:
    """Whether the folder is the complete result of an ingest."""
    return (folder / RECORD).is_file()


def write_truth(truth: Iterable[Finding], path: Path) -> None:
    """Known defects as JSON lines."""
    atomic.write(path, "".join(json.dumps(as_json(finding)) + "\n" for finding in truth))


def read_truth(path: Path) -> tuple[Finding, ...]:
    """The inverse of :func:`write_truth`.

    Raises:
        DataError: A line is not a Finding.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(finding_from_json(json.loads(line)) for line in lines)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read as truth ({error}); expected JSON lines as loupe ingest writes them"
        ) from error
