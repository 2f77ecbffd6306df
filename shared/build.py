"""The build: labelled images in, a calibrated, certified, self-testing bundle out, inside a time budget.

A first bundle is there within a minute; a searched head and a fine-tuned backbone then try to beat it, each in the time
that is left, and take its place only where a paired test on the validation images says that they are better.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from shared import bundling
from shared.building import adopt, candidates, card, second_opinion
from shared.building.adopt import Trial
from shared.building.candidates import Candidate
from shared.building.hardest import hardest
from shared.building.work import Clock, Say, Work, by_need, parts, some_pictures
from shared.data import sources, splits
from shared.data.manifest import Manifest, Row
from shared.deadline import Deadline
from shared.errors import DataError, Problem
from shared.evaluate import samples_table
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.reporting import build_page, cautions
from shared.taxonomy import Taxonomy, guess_ok
from shared.training import cache as cached
from shared.training import features

FIRST_MODEL_SECONDS = 40.0
"""When features of all images take longer than this, a first bundle is written from those that are there."""
RESERVE_SECONDS = 15.0
"""Kept free at the end for the head, the graph and the files."""
SEARCH_SHARE, MOST_SEARCH_SECONDS = 0.1, 60.0
"""Of the budget, for looking for another head."""
LEAST_TUNING_SECONDS = 40.0
"""With less than this left, fine-tuning is not begun."""
ENOUGH = 0.99
"""Balanced accuracy over the folds from which fine-tuning has nothing left to win."""


def to_stderr(text: str) -> None:
    """Where progress is told: never stdout, which belongs to the result."""
    print(text, file=sys.stderr, flush=True)


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
    that were already computed, and the fine-tuning where it was. Beside the bundle lies ``<out>.html``, the report of
    the build; it shows pictures, which the bundle does not hold.

    Args:
        data: See :func:`shared.data.sources.read`.
        out: Folder of the bundle; an older bundle there is replaced, whole.
        recipe: What the training depends on.
        budget_seconds: Time until the bundle must be there.
        cache: Folder of features and interrupted fine-tunings.
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
    deadline, clock = Deadline(budget_seconds), Clock()
    bundles.check_place(out)
    if recipe.launch:
        from shared.training.launch import agent  # torch comes with it

        agent.check(recipe.launch)
    if removed := cached.clear(cache):
        say(f"{removed / 1e9:.1f} GB of features that were not needed for long were removed from {cache}")
    with clock.on("reading and splitting"):
        manifest, problems = sources.read(data, taxonomy=taxonomy)
        _tell_problems(problems, say)
        manifest, report, components = splits.split(manifest, recipe)
    say(f"{len(manifest.rows)} images, {len(manifest.counts)} labels: {_counts(manifest)}")
    say(str(report))
    for label in report.unmeasured:
        say(f"label {label!r} comes from too few groups to be measured: it is trained, but no recall can be stated")
    facts = {
        "vertical": vertical,
        "taxonomy_version": taxonomy.version if taxonomy else "",
        "tile": _tile(manifest),
        "notes": _notes(manifest),
        "data": {"source": data.name, "hash": manifest.hash, "labels": dict(manifest.counts), "split": asdict(report)},
        "left_out": [str(p) for p in problems],
    }
    labels, ok_label = tuple(sorted(manifest.counts)), _ok_label(manifest, taxonomy)
    unsought = taxonomy.unsought(labels) if taxonomy else tuple(filter(None, [ok_label]))
    work = Work(manifest, components, recipe, labels, ok_label, deadline, cache, clock, say, facts, unsought)
    with clock.on("backbone"):
        extractor = _extractor(work)
    return _Builder(work, out, extractor).run()


class _Builder:
    """One build on its way: the best candidate so far and the bundle that was last written."""

    def __init__(self, work: Work, out: Path, extractor: features.Extractor) -> None:
        self.work, self.out, self.extractor = work, out, extractor
        self.trials: list[Trial] = []
        self.rows: list[Row] = []
        self.problems: tuple[Problem, ...] = ()
        self.first_model: float | None = None
        self.outlook: dict[str, Any] = {}
        self.table: pd.DataFrame | None = None

    def run(self) -> dict[str, Any]:
        """From features to the last bundle."""
        facts = self._frozen()
        if self.work.deadline.left > 2 * RESERVE_SECONDS:
            with self.work.clock.on("learning curve"):
                self.outlook |= card.more_labels(self.work, self._closed, self.rows)
            with self.work.clock.on("random split"):
                self.outlook |= card.random_split(self.work, self._closed, self.rows)
        for name, challenger in (("search", self._searched), ("fine-tuning", self._tuned)):
            with self.work.clock.on(name):
                found = challenger()
            if isinstance(found, str):
                self.trials.append(adopt.nothing(self.work, name, found))
            else:
                self.trials.append(self._judged(found))
        self.outlook |= card.more_time(self.trials)
        if (self.work.recipe.search or self.work.recipe.finetune) and self.work.deadline.left > 0:
            # Also where nothing was adopted: what was tried belongs into the report.
            facts = self._bundle(last=True)
        _tell_problems(self.problems, self.work.say)
        return facts

    @property
    def _best(self) -> Candidate:
        return adopt.best(self.trials)

    @property
    def _closed(self) -> Candidate:
        return adopt.best(self.trials[:1])

    def _frozen(self) -> dict[str, Any]:
        """Closed-form head on frozen features: a first bundle early, another when all features are there."""
        work, wanted = self.work, by_need(self.work.manifest.rows)
        last = work.deadline.budget - min(RESERVE_SECONDS, work.deadline.budget / 4)
        facts: dict[str, Any] = {}
        for seconds in (min(FIRST_MODEL_SECONDS, last), last):
            # Where the start took long already, half of what is left: a model of few images is better than none.
            late = work.deadline.elapsed > seconds and not facts
            until = work.deadline.at(work.deadline.elapsed + work.deadline.left / 2 if late else seconds)
            with work.clock.on("features"):
                known, self.problems = features.extract(
                    self.extractor, work.manifest, wanted, cache=work.cache, threads=work.recipe.threads, until=until
                )
            usable = [row for row in wanted if row.sample.id in known]
            if facts and len(usable) == len(self.rows):
                break
            self.rows = usable
            with work.clock.on("head"):
                self._check_enough()
                self.trials = [adopt.first(candidates.closed_form(work, self.extractor, known, usable))]
            facts = self._bundle(last=not (work.recipe.search or work.recipe.finetune))
            if len(usable) + len(self.problems) == len(wanted):
                break
        return facts

    def _check_enough(self) -> None:
        used = [row.label for row in self.rows if row.split == "train"]
        if len(set(used)) < 2:
            raise DataError(
                f"{self.work.manifest.folder}: only {len(used)} training images could be used in the time, of fewer "
                "than two labels; give a longer --budget"
            )

    def _searched(self) -> Candidate | str:
        deadline = self.work.deadline
        seconds = min(SEARCH_SHARE * deadline.budget, MOST_SEARCH_SECONDS, deadline.left - 2 * RESERVE_SECONDS)
        if not self.work.recipe.search:
            return "switched off in the recipe"
        if seconds < 3:
            return "left out: no time"
        until = deadline.at(deadline.elapsed + seconds)
        return candidates.searched(self.work, self._closed, self.rows, until)

    def _tuned(self) -> Candidate | str:
        work, closed = self.work, self._closed
        complete = len(self.rows) + len(self.problems) == len(work.manifest.rows)
        if not work.recipe.finetune:
            return "switched off in the recipe"
        if not complete or work.deadline.left < LEAST_TUNING_SECONDS + RESERVE_SECONDS:
            return "left out: no time"
        if self._best.inner >= ENOUGH:
            return f"left out: {self._best.inner:.1%} over the folds leaves nothing to win"
        return candidates.tuned(work, closed, self.rows, work.deadline.at(work.deadline.budget - RESERVE_SECONDS))

    def _judged(self, challenger: Candidate) -> Trial:
        """By the validation images; where they cannot tell and time is left, by training images as well."""
        work, champion = self.work, self._best
        trial = adopt.against(work, champion, challenger, self.rows)
        if not adopt.undecided(trial) or champion is not self._closed:
            return trial
        with work.clock.on("second opinion"):
            until = work.deadline.at(work.deadline.budget - RESERVE_SECONDS)
            further = second_opinion.ask(work, champion, challenger, self.rows, until)
        return adopt.against(work, champion, challenger, self.rows, further) if further else trial

    def _bundle(self, *, last: bool) -> dict[str, Any]:
        """Measure the best candidate and write its bundle, then the report beside it; the last one shows maps too."""
        work = self.work
        made = bundling.packed(work, self.trials, self.rows, self.problems, more=self.outlook)
        facts = made.facts
        self._time(facts)
        with work.clock.on("writing"):
            sealed = made.write(self.out, self._table())
        if self.first_model is None:
            self.first_model = round(work.deadline.elapsed, 1)
        self._time(facts)
        facts |= {"bundle_hash": sealed.hash, "bundle": str(self.out)}
        facts["report"] = str(self.out.with_name(self.out.name + ".html"))
        test = parts(work, self.rows, self._best.known)["test"]
        with work.clock.on("pictures of the report"):
            shown = hardest(
                work, self._best, test, Runtime.open(self.out, threads=work.recipe.threads) if last else None
            )
        build_page.write(facts, Path(facts["report"]), hardest=shown)
        work.say(_told(facts))
        return facts

    def _table(self) -> pd.DataFrame:
        """Which image serves for what; it takes a look at each image, and stays the same between bundles."""
        if self.table is None:
            self.table = samples_table(self.work.manifest, self.work.components)
        return self.table

    def _time(self, facts: dict[str, Any]) -> None:
        facts["seconds"] = round(self.work.deadline.elapsed, 1)
        facts["first_model_seconds"] = self.first_model or facts["seconds"]
        facts["stages"] = self.work.clock.stages()


def _extractor(work: Work) -> features.Extractor:
    pictures = some_pictures(work.manifest, work.manifest.part("train"))
    made = features.extractor(work.recipe, pictures, work.cache)
    apart = f"{made.parity['max_difference']:.1e} deviations on {made.parity['images']} images"
    work.say(f"backbone {made.origin['name']} ({made.origin['weights']}); onnxruntime and torch differ by {apart}")
    if made.origin["note"]:
        work.say(made.origin["note"])
    return made


def _notes(manifest: Manifest) -> list[str]:
    """What has to be said before any number."""
    drawn = sum(bool(row.sample.provenance.get("synthetic")) for row in manifest.rows)
    if not drawn:
        return []
    return [f"SYNTHETIC images: {drawn} of {len(manifest.rows)} are drawn, not photographed; no figure is an accuracy"]


def _tile(manifest: Manifest) -> dict[str, int] | None:
    """Size of the windows that the model looks at; None where it looks at whole images."""
    windows = [row.sample for row in manifest.rows if row.sample.window is not None]
    return {"width": windows[0].width, "height": windows[0].height} if windows else None


def _ok_label(manifest: Manifest, taxonomy: Taxonomy | None) -> str | None:
    if taxonomy is None:
        return guess_ok(manifest.counts)
    return next((label for label in sorted(manifest.counts) if taxonomy.resolve(label).ok), None)


def _counts(manifest: Manifest) -> str:
    return ", ".join(f"{label} {n}" for label, n in manifest.counts.most_common())


def _tell_problems(problems: Sequence[Problem], say: Say) -> None:
    for problem in problems[:20]:
        say(f"left out: {problem}")
    if len(problems) > 20:
        say(f"left out: {len(problems) - 20} more, all listed in the bundle's card")


def _told(facts: Mapping[str, Any]) -> str:
    total, omitted = sum(facts["data"]["labels"].values()), cautions.left_out(facts["left_out"])
    measured = facts["test"].get("balanced_accuracy", {"value": float("nan"), "low": 0.0, "high": 1.0})
    said = (
        f"{facts['seconds']:.0f} s: bundle written from {facts['used_images']} of {total} images; balanced accuracy on "
        f"held-out test images {measured['value']:.1%} [{measured['low']:.1%} .. {measured['high']:.1%}]"
    )
    said = f"{said}; {facts['certificate']['sentence']}" if facts["certificate"] else said
    return f"{said}; {omitted}" if omitted else said
