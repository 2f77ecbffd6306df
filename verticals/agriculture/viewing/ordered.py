"""What was prescribed last on a map, kept in its folder: one threshold for one field, also for who walks there."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared import atomic
from verticals.agriculture.mapping.field_map import FieldMap

FILE = "prescribed.json"
ASSUMED = 0.5
MOST = 0.99
"""A threshold of 1 has no break-even: no cost of a missed hectare would be small enough."""


@dataclass(frozen=True)
class Ordered:
    """A prescription that was written.

    Attributes:
        threshold: Probability from which ground is sprayed.
        targets: Labels that are sprayed.
        machine: The sprayer.
        made_at: ISO 8601.
    """

    threshold: float
    targets: tuple[str, ...]
    machine: str
    made_at: str


def keep(folder: Path, facts: Mapping[str, Any]) -> None:
    """Note in a map's folder what was prescribed on it; ``facts`` of :func:`prescriptions.facts`."""
    made = Ordered(facts["threshold"], tuple(facts["targets"]), facts["machine"], facts["provenance"]["loupe_made_at"])
    atomic.write(folder / FILE, json.dumps(asdict(made), indent=2) + "\n")


def last(field_map: FieldMap) -> Ordered | None:
    """What was prescribed last on a map, None where nothing was or the note cannot be read."""
    try:
        said = json.loads((field_map.folder / FILE).read_text(encoding="utf-8"))
        return Ordered(float(said["threshold"]), tuple(said["targets"]), str(said["machine"]), str(said["made_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def threshold(found: Ordered | None, given: float | None) -> tuple[float, str]:
    """Probability from which a walk takes ground as sprayed, and a sentence: where that is from.

    Args:
        found: What was prescribed last.
        given: What a person says; goes before it.
    """
    if given is not None:
        return given, f"sprayed from probability {given:.2f}, as given"
    if found is None:
        return ASSUMED, (
            f"sprayed from probability {ASSUMED:.2f}: assumed, since nothing was prescribed on this map; "
            "prescribe first, or give --threshold"
        )
    said = f"sprayed from probability {found.threshold:.2f}, as prescribed for {found.machine} at {found.made_at}"
    return min(found.threshold, MOST), said
