"""Ingested pictures in, items of a review store out, for reading with no model at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.data import ingested
from shared.records import Sample, Verdict
from shared.review.items import NOT_EXAMINED, Item
from verticals.medical.decide import CARRIED, NOT_SCORED, NOTED
from verticals.medical.triage import DISCLAIMER

NO_MODEL = "no model has looked at it"


def items(folder: Path) -> Iterator[Item]:
    """One item per picture: NOT EXAMINED, because no machine has examined it.

    Args:
        folder: What ``loupe ingest medical`` left.

    Raises:
        DataError: It is not the complete result of an ingest.
    """
    found = ingested.load(folder)
    for sample in found.samples:
        yield _item(sample, folder)


def _item(sample: Sample, folder: Path) -> Item:
    said = [str(sample.provenance[key]) for key in (NOT_SCORED, NOTED) if sample.provenance.get(key)]
    facts: dict[str, Any] = {k: sample.provenance[k] for k in CARRIED if sample.provenance.get(k) not in (None, "")}
    return Item(
        id=sample.frame,
        frame=sample.frame,
        image=str((folder / sample.path).resolve()),
        box=None,
        label=NOT_EXAMINED,
        probability=0.0,
        risk=1.0,
        verdict=Verdict.NOT_EXAMINED,
        reasons=(NO_MODEL, *said, DISCLAIMER),
        examined=0.0,
        batch=folder.name,
        payload={"facts": {**facts, "model": "none"}, "samples": [sample.id]},
    )
