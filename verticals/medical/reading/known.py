"""Findings and what is known, under whatever name it is known, in; a table under the names of the frames out."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.data import ingested
from shared.data.manifest import read_table
from shared.decisions import Line, pictures_of
from shared.errors import DataError
from verticals.medical.ingest import PRIVATE, SOURCES


def by_frame(lines: Sequence[Line], known: Path, out: Path) -> Path:
    """Rewrite a table of truth so that its paths are the frames of the findings.

    An ingest gives files pseudonyms; the table of file names beside its frames says which is which.

    Args:
        lines: The findings.
        known: A table with ``path,label`` and more (``path`` is a frame, or a file as the ingest was given it), or the
            ``truth.jsonl`` of an ingest.
        out: The new table (CSV).

    Returns:
        ``out``.

    Raises:
        DataError: It cannot be read, or has no column ``path``.
    """
    if known.suffix == ".jsonl":
        rows = [{"path": f.frame, "label": f.label} for f in ingested.read_truth(known)]
    else:
        table = read_table(known)
        if "path" not in table.columns:
            raise DataError(f"{known}: column 'path' is missing; needed are path,label")
        rows = [{str(k): str(v) for k, v in row.items()} for row in table.to_dict("records")]
    called = frames(pictures_of(lines))
    for row in rows:
        own = called.get(row["path"], ())
        row["path"] = own[0] if len(own) == 1 else row["path"]  # what a table says of a film is about no frame alone
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else ["path", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return out


def frames(pictures: Mapping[str, Path]) -> Mapping[str, Sequence[str]]:
    """Frames by file, of a film several, and by the path of their picture.

    Args:
        pictures: Picture of each frame, where its ingest put it.
    """
    found = {f"frames/{picture.name}": [frame] for frame, picture in pictures.items()}
    of_file = defaultdict(list)
    for frame in pictures:
        of_file[frame.partition("-")[0]].append(frame)
    for home in {picture.parent.parent for picture in pictures.values()}:
        names = home / PRIVATE / SOURCES
        if names.is_file():
            with names.open(encoding="utf-8", newline="") as stream:
                found |= {row["file"]: of_file.get(row["name"], [row["name"]]) for row in csv.DictReader(stream)}
    return found
