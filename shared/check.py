"""The data doctor: what spoils a training and can be found before one, ordered by what it costs."""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared import atomic
from shared.data import copies, images, listing, quality, repair, shortcuts, sources, splits, suspects
from shared.data.manifest import Manifest, Row
from shared.errors import ConfigError, DataError, MissingDependency, Problem
from shared.recipe import Recipe
from shared.reporting import diagnosis, leaks
from shared.taxonomy import Taxonomy
from shared.wording import counted

if TYPE_CHECKING:
    from shared.training.out_of_fold import Labelled

Facts = dict[str, Any]
Indices = NDArray[np.int64]
SEEDS = 3
"""Divisions into folds over which answers are averaged; one where there are more than :data:`MANY` images."""
MANY = 4000


@dataclass(frozen=True)
class _Set:
    """The usable rows and what was seen of them in one decoding each."""

    manifest: Manifest
    measures: tuple[quality.Measures, ...]
    near: splits.Near
    component: Indices
    names: tuple[str, ...]
    labels: Indices

    @cached_property
    def groups(self) -> list[str]:
        """Component of each row as text, for intervals that count what is independent."""
        return [str(c) for c in self.component.tolist()]


def check(
    data: Path,
    *,
    cache: Path,
    taxonomy: Taxonomy | None = None,
    recipe: Recipe | None = None,
    fix: Path | None = None,
    page: Path | None = None,
) -> Facts:
    """Examine labelled images.

    Args:
        data: See :func:`shared.data.sources.read`.
        cache: Folder of the feature cache.
        taxonomy: The vertical's labels, where there is one.
        recipe: Backbone and shares of the splits; the defaults where nobody says otherwise.
        fix: Receives the repaired manifest, see :func:`shared.data.repair.repair`.
        page: Receives the findings as a self-contained HTML page.

    Returns:
        The facts that ``loupe check --json`` prints. ``findings`` are ordered, the costliest first; what needs the
        train extra is None where that is not installed, and ``needs`` says so.

    Raises:
        DataError: Nothing usable is there, or images of one label only.
        ConfigError: Backbone or weights do not fit, or ``fix`` has another ending than a manifest.
        Offline: Weights are wanted from the hub and it cannot be reached.
    """
    started = time.monotonic()
    recipe = recipe or Recipe()
    if fix is not None and fix.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--fix {fix}: a manifest ends in .csv or .parquet; give such a name")
    for place in (fix, page):
        if place is not None:
            atomic.check(place)
    found, problems = sources.read(data, taxonomy=taxonomy)
    usable, small, measures, damaged = _look(found, recipe.threads)
    near = splits.near_copies(usable, recipe.near_duplicate_bits, small)
    _, report, of_id = splits.split(usable, recipe, near)
    names = tuple(sorted(usable.counts))
    labels = np.array([names.index(r.label) for r in usable.rows], np.int64)
    component = np.array([of_id[r.sample.id] for r in usable.rows], np.int64)
    work = _Set(usable, measures, near, component, names, labels)
    facts = _facts(work, data, report, (*problems, *damaged)) | _learned(
        work, report, recipe, cache, listing.columns(data, usable)
    )
    facts["findings"] = diagnosis.findings(facts)
    facts["fixed"], facts["changes"] = None, []
    if fix is not None:
        facts["changes"] = [*_left_out(facts, damaged), *repair.repair(usable, near, recipe, fix)]
        facts["fixed"] = str(fix)
    facts["seconds"] = round(time.monotonic() - started, 1)
    if page is not None:
        from shared.reporting.doctor_page import write_page

        write_page(facts, usable.folder, page)
    facts["page"] = str(page) if page else None
    return facts


def _facts(work: _Set, data: Path, report: splits.SplitReport, problems: Sequence[Problem]) -> Facts:
    """What can be said without learning anything."""
    copied = listing.copies(work.manifest, work.near)
    return {
        "data": str(data),
        "images": len(work.manifest.rows),
        "labels": dict(work.manifest.counts.most_common()),
        "groups": _groups_per_label(work),
        "problems": [str(p) for p in problems],
        "split": {**asdict(report), "sentence": str(report)},
        "unmeasured_labels": list(report.unmeasured),
        "data_hash": work.manifest.hash,
        "copies": copied,
        "contradictions": listing.contradictions(work.manifest, copied, problems),
        "quality": [listing.outlier(work.manifest, o) for o in quality.outliers(work.measures)],
    }


def _look(
    found: Manifest, threads: int
) -> tuple[Manifest, dict[str, NDArray[np.uint8] | None], tuple[quality.Measures, ...], tuple[Problem, ...]]:
    """Decode every image once, for the small picture and for the measures."""

    def one(row: Row) -> tuple[NDArray[np.uint8], quality.Measures] | Problem:
        try:
            picture = images.read(found.file(row.sample), window=row.sample.window)
        except DataError as error:
            return Problem(row.sample.path, str(error))
        return copies.thumbnail(picture), quality.measure(picture)

    rows, small, measures, problems = [], {}, [], []
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        seen = tqdm(pool.map(one, found.rows), "looking", len(found.rows), unit="image", disable=None, leave=False)
        for row, answer in zip(found.rows, seen, strict=True):
            if isinstance(answer, Problem):
                problems.append(answer)
                continue
            rows.append(row)
            small[row.sample.id] = answer[0]
            measures.append(answer[1])
    if not rows:
        raise DataError(
            f"{found.folder}: not one of {len(found.rows)} images can be decoded; first reason: {problems[0]}"
        )
    return found.with_rows(rows), dict(small), tuple(measures), tuple(problems)


def _groups_per_label(work: _Set) -> dict[str, int]:
    return {label: len(np.unique(work.component[work.labels == i])) for i, label in enumerate(work.names)}


def _learned(
    work: _Set, report: splits.SplitReport, recipe: Recipe, cache: Path, columns: Mapping[str, list[str]]
) -> Facts:
    """What needs features and a head."""
    nothing: Facts = {"price": None, "suspects": None, "shortcuts": None, "backbone": None, "whole": None}
    passed_over = [column for column in columns if not shortcuts.of_recording(column)]
    nothing["columns_passed_over"] = passed_over
    try:
        data, origin = _features(work, recipe, cache)
        from shared.training import out_of_fold
    except MissingDependency as error:
        return {**nothing, "needs": f"suspects, shortcuts and the price of leaks need the train extra: {error}"}
    seeds = range(recipe.seed, recipe.seed + (SEEDS if len(work.labels) <= MANY else 1))
    clean = [out_of_fold.probabilities(data, work.component, seed) for seed in seeds]
    whole = leaks.balanced_accuracy(work.labels, work.names, work.groups, [p.argmax(1) for p in clean])
    return {
        "needs": "",
        "columns_passed_over": passed_over,
        "backbone": origin,
        "whole": whole,
        "price": _price(work, report, data, clean, seeds),
        "suspects": _suspects(work, np.mean(clean, axis=0)),
        "shortcuts": _shortcuts(work, columns, recipe, whole),
    }


def _features(work: _Set, recipe: Recipe, cache: Path) -> tuple["Labelled", Facts]:
    from shared.training import features
    from shared.training.out_of_fold import Labelled

    usable = work.manifest
    parity = [images.read(usable.file(r.sample), window=r.sample.window) for r in usable.rows[: features.PARITY_IMAGES]]
    extractor = features.extractor(recipe, parity, cache)
    known, problems = features.extract(
        extractor, usable, usable.rows, cache=cache, threads=recipe.threads, until=float("inf")
    )
    if problems:  # each was decoded a moment ago
        raise DataError(f"{problems[0]}; the file changed while it was examined, start again")
    x = np.stack([known[r.sample.id] for r in usable.rows]).astype(np.float64)
    return Labelled(x, work.labels, len(work.names), recipe.lambdas, recipe.folds), dict(extractor.origin)


def _price(
    work: _Set,
    report: splits.SplitReport,
    data: "Labelled",
    clean: Sequence[NDArray[np.float64]],
    seeds: Sequence[int],
) -> Facts | None:
    """Balanced accuracy on the same images, with and without copies and siblings of them among the training images."""
    from shared.training import out_of_fold

    if report.leaked_before == 0:
        return None
    rows = alone = np.arange(len(work.labels))
    if report.given:
        split = np.array([r.split for r in work.manifest.rows])
        rows, train = np.nonzero(split == "test")[0], np.nonzero(split == "train")[0]
        leaky, apart = (
            [out_of_fold.of_split(data, members, train, rows, seed) for seed in seeds]
            for members in (alone, work.component)
        )
    else:
        leaky = [out_of_fold.probabilities(data, alone, seed).argmax(1) for seed in seeds]
        apart = [p.argmax(1) for p in clean]
    groups = [work.groups[i] for i in rows]
    return {**leaks.price(work.labels[rows], work.names, groups, leaky, apart), "given": report.given}


def _suspects(work: _Set, probabilities: NDArray[np.float64]) -> list[Facts]:
    found = suspects.find(probabilities, work.labels)
    rows = work.manifest.rows
    return [
        {
            "path": listing.name(rows[i]),
            "label": rows[i].label,
            "likely": work.names[found.likely[i]],
            "probability": float(probabilities[i, found.likely[i]]),
            "given_probability": float(probabilities[i, work.labels[i]]),
            "confident": bool(found.suspect[i]),
        }
        for i in found.order.tolist()
        if found.doubted[i]
    ]


def _shortcuts(work: _Set, columns: Mapping[str, list[str]], recipe: Recipe, whole: Facts) -> Facts:
    from shared.training import head

    fold = head.folds(work.component, work.labels, recipe.folds, recipe.seed)
    origins = [quality.origin(work.manifest.file(r.sample)) for r in work.manifest.rows]
    chance = 1 / len(work.names)
    listed = []
    for prop in shortcuts.properties(work.measures, origins, columns):
        rate = leaks.balanced_accuracy(
            work.labels, work.names, work.groups, [shortcuts.predict(prop, work.labels, fold)]
        )
        named = shortcuts.tells(rate["value"], rate["low"], chance)
        skill = (rate["value"] - chance) / max(whole["value"] - chance, 1e-9)
        listed.append({"name": prop.name, **rate, "recording": prop.recording, "named": named, "of_whole": skill})
    return {"chance": chance, "properties": sorted(listed, key=lambda row: -row["value"])}


def _left_out(facts: Facts, damaged: Sequence[Problem]) -> list[str]:
    exact = facts["contradictions"]["exact"]
    contradicting = sum(len(group["paths"]) for group in exact)
    others = len(facts["problems"]) - contradicting
    changes = []
    if contradicting:
        several = f"{counted(len(exact), 'image')} filed under several labels"
        changes.append(f"{counted(contradicting, 'file')} left out: {several}")
    if others:
        changes.append(f"{counted(others, 'file')} left out that cannot be used ({len(damaged)} of them damaged)")
    if facts["suspects"]:
        changes.append(f"no label was changed; {len(facts['suspects'])} doubtful ones are listed for a person to judge")
    return changes
