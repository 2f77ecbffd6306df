"""Whether a smaller model kept the limits against its parent, on the images that nothing was learnt from."""

from dataclasses import asdict
from typing import Any

import numpy as np

from shared.building.candidates import Candidate
from shared.compression.latency import Latency
from shared.compression.parent import Parent
from shared.compression.recipe import Allowed
from shared.inference import novelty
from shared.reporting.paired import paired, per_label
from shared.updating import gate as gates
from shared.updating.gate import Check, Gate, Judged, Limits


def judged(parent: Parent, smaller: Candidate, allowed: Allowed) -> Gate:
    """Every question about the answers, asked of the validation images; they choose between the rungs of a ladder.

    Args:
        parent: The larger model.
        smaller: A candidate with features of the same images.
        allowed: What it may lose.
    """
    limits = Limits(allowed.drop, allowed.label_drop, allowed.brier, sure=allowed.sure)
    part = parent.parts["validation"]
    old, new = _answers(parent, parent.candidate), _answers(parent, smaller)
    return Gate(tuple(gates.old_and_new(old, new, part.y, part.groups, parent.work.labels, limits)))


def costs(parent: Parent, size: int, latency: list[Latency], allowed: Allowed) -> list[Check]:
    """Whether a written model is as small and as fast as was asked for.

    Args:
        parent: The larger model.
        size: Bytes of the smaller model's file.
        latency: Of the parent and of the smaller model.
        allowed: What was asked for.
    """
    before, after = latency
    checks = [
        Check("size", size <= allowed.size * parent.size, f"{size:,} bytes, before {parent.size:,}"),
    ]
    said = f"median {after.p50:.1f} ms an image on one core, before {before.p50:.1f} ms"
    slow = allowed.latency and after.p50 > allowed.latency * before.p50
    return [*checks, Check("latency", not slow, said + (f", allowed {allowed.latency:.2f} times" if slow else ""))]


def against_parent(parent: Parent, smaller: Candidate, split: str) -> dict[str, Any]:
    """Balanced accuracy and recall per label against the parent on one split, and every answer that flipped.

    Args:
        parent: The larger model.
        smaller: The smaller one.
        split: ``validation`` or ``test``.
    """
    old, new = parent.parts[split], parent.of(smaller.known)[split]
    if not len(old.rows):
        return {"n": 0, "flips": []}
    labels = parent.work.labels
    a, b = (c.probabilities(p) for c, p in ((parent.candidate, old), (smaller, new)))
    said = a.argmax(1), b.argmax(1)
    over = paired(old.y, *said, old.groups)
    by_label = {labels[i]: asdict(d) for i, d in per_label(old.y, *said, old.groups).items()}
    worst = min(by_label, key=lambda label: by_label[label]["value"])
    flips = [
        {"path": row.sample.path, "label": row.label, "before": labels[x], "after": labels[y]}
        for row, x, y in zip(old.rows, *said, strict=True)
        if x != y
    ]
    return {
        "n": len(old.rows),
        "balanced_accuracy": asdict(over),
        "per_label": by_label,
        "worst_label": worst,
        "largest_probability_difference": float(np.abs(a - b).max()),
        "flips": flips,
    }


def _answers(parent: Parent, candidate: Candidate) -> Judged:
    own = parent.of(candidate.known)
    z = {split: candidate.head.standardise(own[split].x) for split in ("train", "validation")}
    novel = novelty.fit(z["train"], z["validation"])
    return Judged(candidate.probabilities(own["validation"]), novel.score(z["validation"]), 0, 0)
