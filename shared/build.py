"""The build: labelled images in, a calibrated, certified, self-testing bundle out, inside a time budget."""

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import atomic, packing
from shared.data import images, sources, splits
from shared.data.manifest import SPLITS, Manifest, Row
from shared.deadline import Deadline
from shared.errors import BundleError, DataError, Problem
from shared.export import graph
from shared.inference import bundle as bundles
from shared.inference import calibration, novelty, risk
from shared.recipe import Recipe
from shared.reporting import rates
from shared.taxonomy import Taxonomy, guess_ok
from shared.training import features, head

FIRST_MODEL_SECONDS = 40.0
"""When features of all images take longer than this, a first bundle is written from those that are there."""
RESERVE_SECONDS = 12.0
"""Kept free at the end for the head, the graph and the files."""
_BLOCK = 32

Say = Callable[[str], None]


def to_stderr(text: str) -> None:
    """Where progress is told: never stdout, which belongs to the result."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Work:
    """What stays the same between the first bundle and the last."""

    manifest: Manifest
    components: dict[str, int]
    extractor: features.Extractor
    recipe: Recipe
    labels: tuple[str, ...]
    ok_label: str | None
    deadline: Deadline
    facts: dict[str, Any]


def build(
    data: Path,
    out: Path,
    *,
    recipe: Recipe,
    budget_seconds: float,
    cache: Path,
    vertical: str = "",
    taxonomy: Taxonomy | None = None,
    say: Say = to_stderr,
) -> dict[str, Any]:
    """Build a bundle.

    At any moment after the first model there is a valid bundle at ``out``; a rerun after a kill takes up the features
    that were already computed.

    Args:
        data: See :func:`shared.data.sources.read`.
        out: Folder of the bundle; an older bundle there is replaced at the end, whole.
        recipe: What the training depends on.
        budget_seconds: Time until the bundle must be there.
        cache: Folder of the feature cache.
        vertical: Name of the vertical, empty for none.
        taxonomy: Its labels; labels that it does not know are listed and left out.
        say: Told what was decided and why.

    Returns:
        The facts that ``loupe build --json`` prints.

    Raises:
        DataError: Too little usable data.
        ConfigError: Backbone or weights do not fit.
        Offline: Weights are wanted from the hub and it cannot be reached.
        ExportError: The exported model does not agree with the trained one.
    """
    deadline = Deadline(budget_seconds)
    if out.exists() and not (out / bundles.CARD).is_file():
        raise BundleError(f"{out}: exists and is no bundle; give another name after -o, nothing is overwritten")
    atomic.check(out)
    manifest, problems = sources.read(data, taxonomy=taxonomy)
    _tell_problems(problems, say)
    manifest, report, components = splits.split(manifest, recipe)
    say(f"{len(manifest.rows)} images, {len(manifest.counts)} labels: {_counts(manifest)}")
    say(str(report))
    for label in report.unmeasured:
        say(f"label {label!r} comes from too few groups to be measured: it is trained, but no recall can be stated")
    work = _Work(
        manifest,
        components,
        _extractor(manifest, recipe, cache, say),
        recipe,
        tuple(sorted(manifest.counts)),
        _ok_label(manifest, taxonomy),
        deadline,
        {
            "vertical": vertical,
            "taxonomy_version": taxonomy.version if taxonomy else "",
            "tile": _tile(manifest),
            "data": _data_facts(data.name, manifest, report),
            "left_out": [str(p) for p in problems],
        },
    )
    return _anytime(work, out, cache, say)


def _data_facts(source: str, manifest: Manifest, report: splits.SplitReport) -> dict[str, Any]:
    return {
        "source": source,
        "hash": manifest.hash,
        "labels": dict(manifest.counts),
        "split": asdict(report),
    }


def _anytime(work: _Work, out: Path, cache: Path, say: Say) -> dict[str, Any]:
    """Write a first bundle early, and the last one when all features are there or the time is up."""
    deadline, rows = work.deadline, _by_need(work.manifest.rows)
    last = deadline.budget - min(RESERVE_SECONDS, deadline.budget / 4)
    first_model: float | None = None
    facts: dict[str, Any] = {}
    for seconds in (min(FIRST_MODEL_SECONDS, last), last):
        known, problems = features.extract(
            work.extractor, work.manifest, rows, cache=cache, threads=work.recipe.threads, until=deadline.at(seconds)
        )
        usable = [row for row in rows if row.sample.id in known]
        complete = len(usable) + len(problems) == len(rows)
        if facts and len(usable) == facts["used_images"]:
            break
        facts = _one_bundle(work, out, known, usable, problems, first_model)
        first_model = facts["first_model_seconds"]
        say(_told(facts, len(rows)))
        if complete:
            break
    _tell_problems(problems, say)
    return facts


def _one_bundle(
    work: _Work,
    out: Path,
    known: Mapping[str, NDArray[np.float32]],
    rows: Sequence[Row],
    problems: Sequence[Problem],
    first_model: float | None,
) -> dict[str, Any]:
    """Fit on the rows whose features are known, measure, and write the bundle."""
    part = {s: [row for row in rows if row.split == s] for s in SPLITS}
    x = {s: _stack([known[row.sample.id] for row in part[s]]) for s in SPLITS}
    y = {s: np.array([work.labels.index(row.label) for row in part[s]], np.int64) for s in SPLITS}
    if len(np.unique(y["train"])) < 2:
        raise DataError(
            f"{work.manifest.folder}: only {len(part['train'])} training images could be used in the time, of fewer "
            "than two labels; give a longer --budget"
        )
    members = np.array([work.components[row.sample.id] for row in part["train"]])
    fitted = head.fit(
        x["train"],
        y["train"],
        members,
        len(work.labels),
        strengths=work.recipe.lambdas,
        count=work.recipe.folds,
        seed=work.recipe.seed,
    )
    z = {s: fitted.head.standardise(x[s]) for s in SPLITS}
    novel = novelty.fit(z["train"], z["validation"])
    probabilities = {s: calibration.softmax(fitted.head.scores(x[s])) for s in SPLITS}
    certificate = _certificate(work, probabilities["validation"], y["validation"], part["validation"])
    facts = {
        **work.facts,
        "labels": list(work.labels),
        "ok_label": work.ok_label or "",
        "backbone": {**work.extractor.origin, "image_size": work.recipe.image_size, "features": x["train"].shape[1]},
        "chosen": _chosen(fitted),
        "temperature": fitted.head.temperature,
        "certificate": None if certificate is None else {**asdict(certificate), "sentence": str(certificate)},
        "used_images": len(rows),
        "left_out": [*work.facts["left_out"], *map(str, problems)],
        **{s: _measured(work, probabilities[s], y[s], part[s]) for s in ("validation", "test")},
        "budget_seconds": work.deadline.budget,
        "recipe": asdict(work.recipe),
        "made": {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "with": {name: version(name) for name in ("loupe-vision", "numpy", "onnxruntime")},
        },
    }
    return _write(work, out, facts, fitted.head, novel, part["train"], first_model)


def _write(
    work: _Work,
    out: Path,
    facts: dict[str, Any],
    fitted: graph.Head,
    novel: novelty.Novelty,
    train: Sequence[Row],
    first_model: float | None,
) -> dict[str, Any]:
    said = ("labels", "ok_label", "vertical", "temperature", "certificate", "tile", "backbone")
    metadata = {key: facts[key] for key in said}
    metadata |= {"data_hash": work.manifest.hash, "input": "uint8 RGB [N, H, W, 3]"}
    pictures = _pictures(work.manifest, train)
    model, agreement = packing.whole_model(work.extractor.model, fitted, novel, metadata, pictures)
    facts["onnx_parity"] = {**work.extractor.parity, **agreement}
    facts["size_bytes"] = len(model)
    facts["seconds"] = round(work.deadline.elapsed, 1)
    facts["first_model_seconds"] = first_model or facts["seconds"]
    facts["bundle_hash"] = packing.write(out, model, facts, work.manifest, work.components).hash
    facts["bundle"] = str(out)
    facts["seconds"] = round(work.deadline.elapsed, 1)
    facts["first_model_seconds"] = first_model or facts["seconds"]
    return facts


def _extractor(manifest: Manifest, recipe: Recipe, cache: Path, say: Say) -> features.Extractor:
    made = features.extractor(recipe, _pictures(manifest, manifest.part("train")), cache)
    say(f"backbone {made.origin['name']} ({made.origin['weights']}), torch and onnxruntime agree: {made.parity}")
    if made.origin["note"]:
        say(made.origin["note"])
    return made


def _pictures(manifest: Manifest, rows: Sequence[Row]) -> list[NDArray[np.uint8]]:
    """A few readable images spread over the rows."""
    found: list[NDArray[np.uint8]] = []
    step = max(1, len(rows) // features.PARITY_IMAGES)
    for row in [*rows[::step], *rows]:
        if len(found) == features.PARITY_IMAGES:
            break
        try:
            found.append(images.read(manifest.file(row.sample), window=row.sample.window))
        except DataError:
            continue  # listed when its features are computed
    if not found:
        raise DataError(f"{manifest.folder}: not one training image can be decoded; check the files")
    return found


def _by_need(rows: Sequence[Row]) -> list[Row]:
    """Rows so that every beginning of the list holds every split and label, in proportion."""
    members = defaultdict(list)
    for row in rows:
        members[row.split, row.label].append(row)
    ranked = [(i / len(m), i, row) for m in members.values() for i, row in enumerate(m)]
    ordered = [row for _, _, row in sorted(ranked, key=lambda r: r[:2])]
    # Windows of one frame stand together within each block, so that the frame is decoded once a block.
    blocks = [ordered[i : i + _BLOCK] for i in range(0, len(ordered), _BLOCK)]
    return [row for block in blocks for row in sorted(block, key=lambda r: r.sample.frame if r.sample.window else "")]


def _certificate(
    work: _Work, probabilities: NDArray[np.float64], labels: NDArray[np.int64], rows: Sequence[Row]
) -> risk.Certificate | None:
    if work.ok_label is None:
        return None
    ok = work.labels.index(work.ok_label)
    risks = 1.0 - probabilities[:, ok]
    component = [work.components[row.sample.id] for row in rows]
    # A split that came with the data may leak; what has a sibling in training proves nothing about new images.
    trained = {work.components[row.sample.id] for row in work.manifest.part("train")}
    clean = np.array([c not in trained for c in component], bool)
    positive, good = (labels != ok) & clean, (labels == ok) & clean
    found = risk.certify(
        risks[positive],
        risks[good],
        recall=work.recipe.recall,
        confidence=work.recipe.confidence,
        groups=[str(c) for c, p in zip(component, positive, strict=True) if p],
    )
    # The graph computes in float32: it may fall this far short of the float64 risk that the threshold comes from.
    return replace(found, threshold=max(found.threshold - packing.TOLERANCE, 0.0))


def _measured(
    work: _Work, probabilities: NDArray[np.float64], labels: NDArray[np.int64], rows: Sequence[Row]
) -> dict[str, Any]:
    if not len(rows):
        return {"n": 0}
    groups = [str(work.components[row.sample.id]) for row in rows]
    measured = rates.classification(labels, probabilities.argmax(1), work.labels, groups=groups)
    return {**measured, "ece": calibration.expected_calibration_error(probabilities, labels)}


def _chosen(fitted: head.Fitted) -> dict[str, Any]:
    default = 1.0 if 1.0 in fitted.tried else next(iter(fitted.tried))
    best = fitted.tried[fitted.strength]
    return {
        "head": "ridge, closed form, labels weighted equally",
        "strength": fitted.strength,
        "balanced_accuracy_over_folds": best,
        "over_default": best - fitted.tried[default],
        "tried": {str(s): value for s, value in fitted.tried.items()},
    }


def _tile(manifest: Manifest) -> dict[str, int] | None:
    """Size of the windows that the model looks at; None where it looks at whole images."""
    windows = [row.sample for row in manifest.rows if row.sample.window is not None]
    return {"width": windows[0].width, "height": windows[0].height} if windows else None


def _ok_label(manifest: Manifest, taxonomy: Taxonomy | None) -> str | None:
    if taxonomy is None:
        return guess_ok(manifest.counts)
    return next((label for label in sorted(manifest.counts) if taxonomy.resolve(label).ok), None)


def _stack(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.stack(vectors).astype(np.float64) if vectors else np.zeros((0, 0))


def _counts(manifest: Manifest) -> str:
    return ", ".join(f"{label} {n}" for label, n in manifest.counts.most_common())


def _tell_problems(problems: Sequence[Problem], say: Say) -> None:
    for problem in problems[:20]:
        say(f"left out: {problem}")
    if len(problems) > 20:
        say(f"left out: {len(problems) - 20} more, all listed in the bundle's card")


def _told(facts: Mapping[str, Any], total: int) -> str:
    measured = facts["test"].get("balanced_accuracy", {"value": float("nan"), "low": 0.0, "high": 1.0})
    said = (
        f"{facts['seconds']:.0f} s: bundle written from {facts['used_images']} of {total} images; balanced accuracy on "
        f"held-out test images {measured['value']:.1%} [{measured['low']:.1%} .. {measured['high']:.1%}]"
    )
    return f"{said}; {facts['certificate']['sentence']}" if facts["certificate"] else said
