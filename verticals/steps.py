"""What stands behind the verbs evaluate, predict and report: the core's functions joined with a vertical's."""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import verticals
from shared import atomic, decisions, taxonomy
from shared.data import blank, ingested, manifest, sources
from shared.errors import ConfigError, DataError, Problem
from shared.evaluate import evaluate
from shared.inference import Bundle, Runtime
from shared.predict import uncertified
from shared.records import Action, Decision, Finding, Review, Sample, Verdict
from shared.vertical import Case, Ingested, Seen, Vertical
from verticals import sharded, tell
from verticals.answering import answered, vertical_of


def evaluate_bundle(bundle: Path, data: Path, policy: Path | None) -> dict[str, Any]:
    """Rates of a bundle on unseen images; with a vertical, its own report over the same images."""
    runtime = Runtime.open(bundle)
    vertical = vertical_of(runtime.bundle)
    labels = taxonomy.load(vertical.folder / "labels.toml") if vertical else None
    blind = (vertical and vertical.blind) or blank.why
    facts, answers, problems = evaluate(
        runtime, data, taxonomy=labels, blind=blind, gate=vertical.gate if vertical else None
    )
    facts["left_out"] = [str(p) for p in problems]
    facts["certificate"] = (runtime.bundle.card["certificate"] or {}).get("sentence")
    facts["vertical"] = vertical.name if vertical else ""
    facts["report"] = None
    if vertical is not None and all(row.sample.window is None for row, _ in answers):
        made, truth = [], []
        for row, answer in answers:
            made.append(vertical.decide(_whole_case(row.sample, answer, runtime.bundle), policy))
            ok = row.label == runtime.bundle.ok_label
            truth.append(Finding(row.sample.frame, row.label, 1.0, 0.0 if ok else 1.0))
        facts["report"] = vertical.report(made, truth, [])
    return facts


def _whole_case(sample: Sample, answer: Seen | Problem, bundle: Bundle) -> Case:
    stated = (bundle.ok_label, bundle.threshold, bundle.unsought, uncertified(bundle))
    if isinstance(answer, Problem):
        return Case(sample.frame, (), 0.0, (answer,), *stated, group=sample.group)
    return Case(sample.frame, (answer,), 1.0, (), *stated, group=sample.group)


def predict_source(
    bundle: Path,
    source: Path,
    out: Path | None,
    *,
    policy: Path | None,
    threads: int,
    lines_to_stdout: bool,
    workers: int = 0,
) -> dict[str, Any]:
    """Decide about every frame of ``source``; one JSON line each goes to ``out`` or stdout.

    Raw files are ingested first: beside ``out`` (the review page shows those frames), or into a folder that is deleted
    at the end. With ``workers`` that many processes of Ray share the frames, see :mod:`verticals.sharded`.
    """
    if workers and out is None:
        raise ConfigError("--engine ray: its answers are collected in files; give -o FILE")
    if out is not None and out.is_dir():
        raise ConfigError(f"-o {out}: is a folder; give the name of a file for the JSON lines")
    if out is not None:
        atomic.check(out)
    runtime = Runtime.open(bundle, threads=threads)
    vertical = vertical_of(runtime.bundle)
    started = time.monotonic()
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        found, folder = _samples(runtime.bundle, vertical, source, out, stack)
        looked = time.monotonic()
        if workers and out is not None:
            counts = sharded.predict(runtime.bundle, found, folder, out, policy=policy, workers=workers)
        else:
            stream = sys.stdout if lines_to_stdout else stack.enter_context(decisions.writer(out)) if out else None
            for decision, line in answered(runtime, found, folder, policy):
                counts[decision.verdict] += 1
                if stream is not None:
                    print(json.dumps(line), file=stream)
    seconds = time.monotonic() - looked
    return {
        "bundle": str(bundle),
        "bundle_hash": runtime.bundle.hash,
        "backbone": runtime.bundle.card["backbone"],
        "source": str(source),
        "out": str(out) if out else None,
        "frames": sum(counts.values()),
        **{v.value: counts[v] for v in Verdict},
        "images": len(found.samples),
        "seconds": round(time.monotonic() - started, 2),
        "images_per_second": round(len(found.samples) / max(seconds, 1e-9), 1),
        "problems": [str(p) for p in (*found.problems, *found.remarks)],
    }


def _samples(
    bundle: Bundle, vertical: Vertical | None, source: Path, out: Path | None, stack: ExitStack
) -> tuple[Ingested, Path]:
    home = source.parent if source.name == ingested.MANIFEST else source
    if ingested.is_ingested(home):
        return ingested.unchanged(ingested.load(home), home), home
    if vertical is not None and (bundle.card["tile"] or vertical.always_ingest):
        if out is None and vertical.always_ingest:
            raise ConfigError(
                f"predict {source}: its files get pseudonyms, and the table of them would be lost with the output; "
                "give -o FILE, beside which it is kept"
            )
        if out is not None:
            folder = out.with_name(out.name + ".frames")
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loupe-")))
        result = vertical.ingest(source, folder)
        ingested.save(result, folder, vertical.name)
        return result, folder
    samples, folder, problems = sources.samples(source)
    groups = {sample.frame: sample.group for sample in samples if sample.group}
    return Ingested(samples, {}, problems, remarks=sources.masks_told(source), groups=groups), folder


def report_findings(findings: Path, *, truth: Path | None, store: str | None, page: Path | None) -> dict[str, Any]:
    """The vertical's report over what ``loupe predict -o`` wrote."""
    lines = decisions.read(findings)
    names = {str(line.extra.get("vertical", "")) for line in lines}
    if len(names) != 1 or names == {""}:
        raise DataError(f"{findings}: says {len(names)} verticals; a report needs the findings of exactly one vertical")
    vertical = verticals.load(names.pop())
    labels = taxonomy.load(vertical.folder / "labels.toml")
    counts = Counter(line.decision.frame for line in lines)
    frames, (often, times) = set(counts), counts.most_common(1)[0]
    if times > 1:
        raise DataError(
            f"{findings}: holds {times} decisions about {often!r}, whose defects would count as often; report each "
            "prediction by itself, or predict their folders together"
        )
    called = vertical.frames(decisions.pictures_of(lines)) if vertical.frames else None
    known = _read_truth(truth, labels, frames, called) if truth is not None else ()
    if known and not frames & {finding.frame for finding in known}:
        raise DataError(
            f"{truth}: names no frame of {findings} (e.g. {known[0].frame!r} against {min(frames)!r}); predict on the "
            "folder from which the table's paths start"
        )
    reviews, about_store = _reviews(store, lines)
    facts = vertical.report([_in_codes(line.decision, labels) for line in lines], known, reviews)
    facts |= {"findings": str(findings), "truth": str(truth) if truth else None, "vertical": vertical.name}
    facts["bundle_hash"] = ", ".join(sorted({str(line.extra.get("bundle_hash", "")) for line in lines}))
    facts["notes"] = sorted({note for line in lines for note in line.extra.get("notes", ())})
    if used := decisions.used_in_build(lines):
        facts["notes"].append(used)
    facts |= about_store | {"notes": [*facts["notes"], *about_store.get("notes", [])]}
    if page is not None:
        from shared.reporting.page import write_page

        spoken = {entry.code: entry.name for entry in labels.labels}
        write_page(f"Loupe report: {vertical.name}", tell.on_page(facts), page, names=spoken)
    return facts


def _in_codes(decision: Decision, labels: taxonomy.Taxonomy) -> Decision:
    """With the taxonomy's codes, in which truth is written, for the words of the bundle that mean them."""
    return replace(decision, findings=tuple(_coded(finding, labels) for finding in decision.findings))


def _coded(finding: Finding, labels: taxonomy.Taxonomy) -> Finding:
    return replace(finding, label=labels.code(finding.label))


def _read_truth(
    path: Path, labels: taxonomy.Taxonomy, frames: Set[str], called: Mapping[str, Sequence[str]] | None
) -> tuple[Finding, ...]:
    """What is known, from an ingest's truth.jsonl or a table with path,label; images need not be there any more.

    Args:
        path: The file.
        labels: The vertical's.
        frames: Those of the findings.
        called: Frames of each file by its name, None where both are one. A file that it does not know is called by the
            number of its row: it may bear the name of a person.
    """
    if path.suffix == ".jsonl":
        return tuple(_coded(finding, labels) for finding in ingested.read_truth(path))
    table = manifest.read_table(path)
    if "label" not in table.columns:
        raise DataError(f"{path}: column 'label' is missing; needed are path,label")
    known = []
    for number, (name, word) in enumerate(zip(table["path"], table["label"], strict=True), start=1):
        entry = labels.find(word)
        own = [name] if called is None or name in frames else called.get(name, [f"row {number}"])
        if entry is None:
            said = f"label {word!r} of {', '.join(own)} is unknown; nothing is claimed about it"
            print(f"left out: {path}: {said}", file=sys.stderr)
        else:
            known += [Finding(frame, entry.code, 1.0, 0.0 if entry.ok else 1.0) for frame in own]
    return tuple(known)


def _reviews(store: str | None, lines: Sequence[decisions.Line]) -> tuple[list[Review], dict[str, Any]]:
    """Readings, standing verdicts and undos about these findings; and what the report says of the log itself.

    Raises:
        ReviewError: The log was altered, or does not answer.
    """
    if store is None:
        return [], {}
    from shared.review.items import items_of
    from shared.review.store import Store

    opened = Store.open(store)
    try:
        head = opened.head()
        opened.verify(known=head)
        log, standing, items = opened.reviews(), list(opened.standing().values()), opened.items()
    finally:
        opened.close()
    offered = {item.id: item for item in items_of(lines)}
    mine = {item.id for item in items if item.id in offered and item.same_picture(offered[item.id])}
    told = [*(review for review in log if review.action in (Action.READ, Action.UNDO)), *standing]
    waiting = offered.keys() - {review.item for review in standing if review.item in mine}
    unseen = sum(offered[i].verdict is Verdict.NOT_EXAMINED for i in waiting)
    elsewhere = sum(review.item not in mine for review in standing)
    notes = []
    if waiting:
        notes.append(
            f"{len(waiting)} of {len(offered)} things to review have no verdict ({unseen} of them NOT EXAMINED)"
        )
    if elsewhere:
        notes.append(
            f"{elsewhere} verdicts of the review store are about other findings than these and are in no figure"
        )
    log_end = {"rows": head.count, "last_hash": head.hash}
    return [review for review in told if review.item in mine], {"notes": notes, "review_log": log_end}
