"""The whole way with synthetic raw input: ingest, build, evaluate, predict, report, review."""

import shutil
import sys
from pathlib import Path
from typing import Any, TextIO

from shared import config, taxonomy
from shared.build import build, to_stderr
from shared.data import ingested
from shared.errors import ConfigError
from shared.recipe import Recipe
from shared.vertical import Vertical
from verticals import tell
from verticals.reviewing import add_findings, open_page
from verticals.steps import evaluate_bundle, predict_source, report_findings

MARK = ".loupe-demo"


def run(
    vertical: Vertical,
    folder: Path,
    *,
    cache: Path,
    small: bool,
    show: bool,
    budget_seconds: float,
    out: TextIO = sys.stdout,
) -> dict[str, Any]:
    """Run the demo in ``folder``, which is emptied first when an earlier demo left it; results are told on ``out``.

    Returns:
        Facts of the build, the evaluation, the prediction and the report.

    Raises:
        ConfigError: The folder holds something else.
    """
    _empty(folder)
    print(f"1. Synthetic raw input of the {vertical.name} vertical", file=sys.stderr)
    raw = vertical.synth(folder / "raw", seed=1, small=small)
    today = vertical.synth(folder / "today", seed=2, small=True)

    print("2. Ingest: raw files to samples", file=sys.stderr)
    result = vertical.ingest(raw, folder / "samples")
    ingested.save(result, folder / "samples", vertical.name)
    print(f"   {len(result.samples)} samples, {len(result.truth)} known {vertical.finds}", file=sys.stderr)

    print("3. Build", file=sys.stderr)
    bundle = folder / f"{vertical.name}.bundle"
    # The first rung alone: a demo is to be short, and what it shows is not how well the model sees.
    quick = ["image_size=128", "search=false", "finetune=false"]
    recipe = config.load(Recipe, vertical.folder / "recipe.toml", overrides=quick)
    labels = taxonomy.load(vertical.folder / "labels.toml")
    built = build(
        folder / "samples",
        bundle,
        recipe=recipe,
        budget_seconds=budget_seconds,
        cache=cache,
        vertical=vertical.name,
        taxonomy=labels,
        say=lambda text: to_stderr(f"   {text}"),
    )

    print(f"4. Evaluate on {vertical.samples} that the model has not seen", file=sys.stderr)
    evaluated = evaluate_bundle(bundle, folder / "samples", None)
    print(tell.evaluated(evaluated), file=out)

    print("\n5. Predict on today's raw input", file=sys.stderr)
    findings = folder / "findings.jsonl"
    summary = predict_source(bundle, today, findings, policy=None, threads=0, lines_to_stdout=False)
    print(tell.predicted(summary), file=sys.stderr)

    print("6. Report", file=sys.stderr)
    truth = findings.with_name(findings.name + ".frames") / ingested.TRUTH
    facts = report_findings(findings, truth=truth, store=None, page=folder / "report.html")
    print(tell.reported(facts), file=out)
    print(f"\nEverything above is measured on SYNTHETIC images. Page: {folder / 'report.html'}", file=out)

    store = str(folder / "reviews.sqlite")
    print(f"7. Review: {add_findings(findings, store)}", file=sys.stderr)
    if show:
        open_page(vertical, store=store, reviewer=None, port=None, browser=True)
    else:
        print(f"   open it with: loupe review {vertical.name} --store {store}", file=sys.stderr)
    return {"synthetic": True, "build": built, "evaluate": evaluated, "predict": summary, "report": facts}


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise ConfigError(f"--dir {folder}: holds something that is not an earlier demo; give another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
