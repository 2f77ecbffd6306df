"""Compression: a bundle and its images in, a smaller bundle of the same answers out, or the reason why there is none.

Every method proposes candidates, the one most wanted first; the first one that keeps the limits against its parent is
measured like any build, gets a temperature, thresholds and a certificate of its own, and is written. So methods chain.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from shared import bundling
from shared.building import adopt
from shared.building.adopt import Trial, first
from shared.building.candidates import Candidate
from shared.building.hardest import hardest
from shared.bundling import Packed
from shared.compression import judging, latency, parent
from shared.compression.parent import Parent, Say
from shared.compression.recipe import CHOSEN_OVER, Compression
from shared.data.manifest import Manifest
from shared.errors import ExportError
from shared.evaluate import SAMPLES
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.reporting import build_page
from shared.reporting.paired import paired
from shared.updating.gate import Check, Gate, Refused, record

Method = Literal["distil", "prune", "quantize"]
_ROOMS = {"distil": "distillation", "prune": "pruning", "quantize": "quantization"}


class _Room(Protocol):
    def rungs(self, parent: Parent, recipe: Compression) -> Iterator[Candidate]:
        """Candidates, the one most wanted first; it is not asked for another once one keeps the limits."""


def to_stderr(text: str) -> None:
    """Where progress is told: never stdout, which belongs to the result."""
    print(text, file=sys.stderr, flush=True)


def compress(
    bundle: Path,
    manifest: Manifest,
    recipe: Compression,
    method: Method,
    out: Path,
    *,
    cache: Path,
    budget_seconds: float = 600.0,
    say: Say = to_stderr,
) -> dict[str, Any]:
    """Make a smaller bundle.

    Args:
        bundle: The parent's folder.
        manifest: The images it was built from.
        recipe: Limits and settings.
        method: Which one.
        out: Folder of the smaller bundle; an older bundle there is replaced, whole.
        cache: Folder of computed features.
        budget_seconds: Time for everything; learning methods use what there is.
        say: Told what was decided and why.

    Returns:
        The facts that ``loupe distil / prune / quantize --json`` print.

    Raises:
        Refused: No candidate kept the limits; nothing was written.
        BundleError: The parent is no bundle, or damaged.
        DataError: The images are not those of the bundle.
    """
    bundles.check_place(out)
    own = parent.opened(bundle, manifest, cache=cache, budget_seconds=budget_seconds, threads=recipe.threads, say=say)
    room: _Room = import_module(f"shared.compression.{_ROOMS[method]}")
    trials = [first(own.candidate)]
    for candidate in room.rungs(own, recipe):
        gate = judging.judged(own, candidate, recipe.allowed)
        made = None
        if gate.passed:
            try:
                made, gate = _packed(own, trials, candidate, gate, recipe, method)
            except ExportError as error:  # two runtimes would not agree about this one; the next may do better
                gate = Gate((*gate.checks, Check("runtimes", False, str(error))))
        trials.append(_trial(own, candidate, gate))
        say(f"{candidate.name}: {gate}")
        if made is not None and gate.passed:
            return _written(own, made, trials, gate, out)
    reasons = "; ".join(f"{trial.name}: {trial.why}" for trial in trials[1:]) or "nothing could be tried"
    raise Refused(f"{bundle}: no smaller model kept the limits ({reasons}); nothing was written")


def _trial(own: Parent, candidate: Candidate, gate: Gate) -> Trial:
    part, new = own.parts["validation"], own.of(candidate.known)["validation"]
    before, after = own.candidate.probabilities(part), candidate.probabilities(new)
    difference = paired(part.y, before.argmax(1), after.argmax(1), part.groups)
    return Trial(candidate.name, candidate, gate.passed, difference, str(gate))


def _packed(
    own: Parent, before: Sequence[Trial], candidate: Candidate, gate: Gate, recipe: Compression, method: Method
) -> tuple[Packed, Gate]:
    """The model put together, and what the gate says once its size and its time are known."""
    trials = [*before, _trial(own, candidate, gate)]
    earlier = int(own.bundle.card["candidates"]) - 1 + int(candidate.details.get(CHOSEN_OVER, 0))
    made = bundling.packed(own.work, trials, own.rows, own.problems, more={}, earlier=earlier)
    files = [own.bundle.content(bundles.MODEL), made.model]
    times = latency.compared(files, own.pictures)
    gate = Gate((*gate.checks, *judging.costs(own, len(made.model), times, recipe.allowed)))
    step = {
        "method": method,
        "parent": own.bundle.hash,
        "recipe": asdict(recipe),
        "chosen": candidate.name,
        "rungs": [{"name": t.name, "why": t.why} for t in trials[1:]],
        "gate": record(gate, {}),
        "size_bytes": {"before": own.size, "after": len(made.model)},
        "latency_ms": {"before": asdict(times[0]), "after": asdict(times[1])},
        "details": {k: v for k, v in candidate.details.items() if k not in ("evaluations", "tried")},
        **{split: judging.against_parent(own, candidate, split) for split in ("validation", "test")},
    }
    made.facts["compression"] = [*own.bundle.card.get("compression", []), step]
    return made, gate


def _written(own: Parent, made: Packed, trials: Sequence[Trial], gate: Gate, out: Path) -> dict[str, Any]:
    facts = made.facts
    facts["gate"] = gate.id
    facts |= {"seconds": round(own.work.deadline.elapsed, 1), "stages": own.work.clock.stages()}
    facts["first_model_seconds"] = facts["seconds"]
    table = pd.read_csv(own.bundle.path / SAMPLES, dtype="string", keep_default_na=False)
    sealed = made.write(out, table)
    report = out.with_name(out.name + ".html")
    facts |= {"bundle_hash": sealed.hash, "bundle": str(out), "report": str(report)}
    best = adopt.best(trials)
    shown = hardest(own.work, best, own.of(best.known)["test"], Runtime.open(out, threads=own.work.recipe.threads))
    build_page.write(facts, report, hardest=shown)
    return facts
