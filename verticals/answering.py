"""Ingested Samples in, one decision and one line of JSON for each frame out: a bundle joined with its vertical."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import verticals
from shared import config, decisions
from shared.data import blank
from shared.decide import decide as decide_whole
from shared.evaluate import used_for_building
from shared.inference import Bundle, Runtime
from shared.policy import Policy
from shared.predict import cases
from shared.records import Decision
from shared.vertical import Case, Ingested, Vertical


def answered(
    runtime: Runtime, found: Ingested, folder: Path, policy: Path | None
) -> Iterator[tuple[Decision, dict[str, Any]]]:
    """Every frame's decision, and the line about it."""
    vertical = vertical_of(runtime.bundle)
    blind = (vertical and vertical.blind) or blank.why
    for case in cases(
        runtime,
        found.samples,
        folder,
        skipped=found.skipped,
        problems=found.problems,
        blind=blind,
        built=used_for_building(runtime.bundle),
        groups=found.groups,
    ):
        decision = _decide(vertical, case, policy)
        extra = {
            "vertical": runtime.bundle.vertical,
            "bundle_hash": runtime.bundle.hash,
            "notes": _notes(runtime.bundle, case),
            "used_in_build": any(seen.in_build for seen in case.seen),
        }
        yield decision, decisions.line(decision, case, folder, **extra)


def _notes(bundle: Bundle, case: Case) -> list[str]:
    """What a person must know before trusting any answer about this frame."""
    notes = [str(bundle.card["backbone"]["note"])] if bundle.card["backbone"]["note"] else []
    if any(seen.sample.provenance.get("synthetic") for seen in case.seen):
        notes.append("SYNTHETIC image: drawn, not photographed")
    return notes


def _decide(vertical: Vertical | None, case: Case, policy: Path | None) -> Decision:
    if vertical is not None:
        return vertical.decide(case, policy)
    return decide_whole(case, config.load_once(Policy, *([policy] if policy else [])))


def vertical_of(bundle: Bundle) -> Vertical | None:
    """The vertical that a bundle was built for, None for none."""
    return verticals.load(bundle.vertical) if bundle.vertical else None
