"""The best candidate so far, measured and packed: all that a bundle is, before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shared import packing
from shared.building import adopt, card
from shared.building.adopt import Trial
from shared.building.work import Work, parts, some_pictures
from shared.data.manifest import Row
from shared.errors import Problem
from shared.export import graph
from shared.inference import Bundle, nearest, novelty
from shared.updating import memory

_SAID = ("labels", "ok_label", "vertical", "temperature", "certificate", "tile", "backbone")
"""Facts that ``model.onnx`` carries too, for runtimes that get nothing but that file."""


@dataclass(frozen=True)
class Packed:
    """A model with everything that a bundle says about it, before it is written.

    Attributes:
        model: Content of ``model.onnx``.
        facts: Content of ``bundle.json``.
        kept: What the bundle keeps of its images, and its network where the recipe does not give it.
    """

    model: bytes
    facts: dict[str, Any]
    kept: tuple[packing.Kept, ...]

    def write(self, out: Path, table: pd.DataFrame) -> Bundle:
        """Write the folder whole or not at all, see :func:`shared.packing.write`."""
        return packing.write(out, self.model, self.facts, table, self.kept)


def packed(
    work: Work,
    trials: Sequence[Trial],
    rows: Sequence[Row],
    problems: Sequence[Problem],
    *,
    more: Mapping[str, Any],
    earlier: int = 0,
) -> Packed:
    """Measure the candidate that was adopted last, and put its model together.

    Args:
        work: The build.
        trials: What was tried, the one to compare with first.
        rows: The usable rows.
        problems: What could not be decoded.
        more: Further facts for the card.
        earlier: Models among which the same validation images had chosen before.
    """
    best = adopt.best(trials)
    with work.clock.on("measuring"):
        own = parts(work, rows, best.known)
        train = own["train"]
        z = {s: best.head.standardise(own[s].x) for s in ("train", "validation") if len(own[s].rows)}
        novel = novelty.fit(
            z["train"],
            z.get("validation", z["train"][:0]),
            eight_bits=graph.in_whole_numbers(best.extractor.model),
        )
        exemplars = nearest.fit(
            train.x,
            [row.sample.id for row in train.rows],
            [row.label for row in train.rows],
            mean=best.head.mean,
            deviation=best.head.deviation,
            paths=[row.sample.path for row in train.rows],
        )
        sums = memory.of(memory.key(best.extractor.origin, best.image_size), own)
        facts = card.facts(work, trials, rows, problems, novel, earlier=earlier) | dict(more)
    with work.clock.on("writing"):
        metadata = {key: facts[key] for key in _SAID}
        metadata |= {"data_hash": work.manifest.hash, "input": "uint8 RGB [N, H, W, 3]"}
        pictures = some_pictures(work.manifest, train.rows)
        model, agreement = packing.whole_model(best.extractor.model, best.head, novel, metadata, pictures)
        facts["onnx_parity"] = {**best.extractor.parity, **agreement}
        facts["size_bytes"] = len(model)
    return Packed(model, facts, (exemplars, *sums, *([best.kept] if best.kept else [])))
