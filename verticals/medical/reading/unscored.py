"""Ingested pictures in, items of a review store out, for reading with no model at all."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.data import ingested
from shared.decisions import content
from shared.records import Verdict
from shared.review.items import NOT_EXAMINED, Item
from verticals.medical.decide import CARRIED, NOT_SCORED, NOTED
from verticals.medical.triage import DISCLAIMER

NO_MODEL = "no model has looked at it"


def items(folder: Path) -> Iterator[Item]:
    """One item per picture: NOT EXAMINED, because no machine has examined it.

    What the ingest could not read is an item without a picture, with the reason: its lesion waits for a person too.

    Args:
        folder: What ``loupe ingest medical`` left.

    Raises:
        DataError: It is not the complete result of an ingest.
    """
    found = ingested.load(folder)
    for sample in found.samples:
        said = [str(sample.provenance[key]) for key in (NOT_SCORED, NOTED) if sample.provenance.get(key)]
        facts = {k: sample.provenance[k] for k in CARRIED if sample.provenance.get(k) not in (None, "")}
        yield _item(sample.frame, str((folder / sample.path).resolve()), said, facts, sample.id, folder.name)
    # Nothing else tells a file that cannot be read from the next of that name: a verdict holds for this ingest alone.
    made = str((folder / ingested.RECORD).stat().st_mtime_ns)
    seen, unread = {sample.frame for sample in found.samples}, defaultdict(list)
    for problem in found.problems:
        unread[problem.where].append(problem.what)
    for frame, why in unread.items():
        if frame not in seen:
            yield _item(frame, "", why, {}, content([*why, made]), folder.name)


def _item(frame: str, image: str, said: Sequence[str], facts: Mapping[str, Any], sample: str, batch: str) -> Item:
    return Item(
        id=frame,
        frame=frame,
        image=image,
        box=None,
        label=NOT_EXAMINED,
        probability=0.0,
        risk=1.0,
        verdict=Verdict.NOT_EXAMINED,
        reasons=(NO_MODEL, *said, DISCLAIMER),
        examined=0.0,
        batch=batch,
        payload={"facts": {**facts, "model": "none"}, "samples": [sample]},
    )
