"""The front door: ``loupe VERB``. Verb first; an artefact knows the rest."""

import json
import sys
from pathlib import Path

import click

import verticals
from shared.errors import ConfigError, LoupeError
from verticals import compressing, exporting, upkeep
from verticals.options import FILE, cache_option, json_option, taxonomy_of, tell_out

DONE, BUG, CHANGE_SOMETHING, INTERRUPTED = 0, 1, 2, 130


def main() -> None:
    """Run the command; what the user must change is one sentence and exit code 2, anything else is a bug."""
    try:
        cli(standalone_mode=False)
    except LoupeError as error:
        _end(f"loupe: {error}", CHANGE_SOMETHING)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end("loupe: interrupted; what was finished is kept", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DONE)
    except OSError as error:
        # A full disk, a folder without permission, a file where a folder should be: nothing of ours is broken.
        where = error.filename2 or error.filename or "the disk"
        _end(f"loupe: {where}: {error.strerror or error}; free space, or give another place", CHANGE_SOMETHING)


def _end(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


class _Door(click.Group):
    """Verbs of the core, and those that verticals bring; a vertical is only imported where its verbs are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(str(verb.name) for verb in verticals.verbs())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        return own or next((verb for verb in verticals.verbs() if verb.name == cmd_name), None)


@click.group(cls=_Door, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="loupe-vision")
def cli() -> None:
    """Recall you can sign for, at the least review effort.

    Start with:  loupe demo industrial   or   loupe demo medical

    Or with your own images in one folder per label:  loupe build IMAGES -o my.bundle
    """


@cli.command()
@click.argument("vertical", default="industrial")
@click.option("--no-open", is_flag=True, help="Do not open the review page at the end.")
@click.option("--dir", "folder", type=FILE, default=Path("demo"), show_default=True, help="Where everything is put.")
@click.option("--small", is_flag=True, help="Less of everything, for a quick look.")
@click.option("--budget", default="3m", show_default=True, help="Time of the build; more on a slow machine.")
@cache_option
@json_option
def demo(
    vertical: str, no_open: bool, folder: Path, small: bool, budget: str, cache: Path | None, as_json: bool
) -> None:
    """Make raw input, then go the whole way with it, then open the review page.

    All images are synthetic: the numbers show how the parts work together, not how well it will do on yours.
    """
    from shared.deadline import parse_seconds
    from verticals.demo import run

    found = verticals.load(vertical)
    out = sys.stderr if as_json else sys.stdout
    seconds = parse_seconds(budget)
    facts = run(found, folder, cache=_cache(cache), small=small, show=not no_open, budget_seconds=seconds, out=out)
    if as_json:
        print(json.dumps(facts))


@cli.command()
@click.argument("vertical")
@click.argument("source", type=FILE)
@click.option("-o", "out", type=FILE, required=True, help="Folder for frames and manifest.")
@json_option
def ingest(vertical: str, source: Path, out: Path, as_json: bool) -> None:
    """Turn raw files into Samples and a manifest.

    What cannot be read is listed with its reason, and its frame will be NOT EXAMINED, never OK.
    """
    from shared.data import ingested
    from verticals import tell

    found = verticals.load(vertical)
    result = found.ingest(source, out)
    ingested.save(result, out, vertical)
    facts = {
        "manifest": str(out / ingested.MANIFEST),
        "samples": len(result.samples),
        "labelled": len(result.labels),
        "finds": found.finds,
        f"known_{found.finds}": len(result.truth),
        "problems": [str(p) for p in (*result.problems, *result.remarks)],
        "skipped": dict(result.skipped),
        **result.summary,
    }
    tell_out(facts, as_json, tell.ingested)


@cli.command()
@click.argument("data", type=FILE)
@click.option("--vertical", default="", help="Check labels against this vertical's taxonomy.")
@click.option(
    "--fix", type=FILE, help="Write the usable images with a leak-proof split to this manifest (.csv, .parquet)."
)
@click.option("-o", "page", type=FILE, help="Write the findings as a self-contained HTML page with small pictures.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One value over the recipe; repeatable.")
@click.option("--backbone", help="Any timm name. Default: a small one that needs no network.")
@click.option("--weights", type=FILE, help="Safetensors file for the backbone. Default: timm's hub.")
@cache_option
@json_option
def check(
    data: Path,
    vertical: str,
    fix: Path | None,
    page: Path | None,
    overrides: tuple[str, ...],
    backbone: str | None,
    weights: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Look for what spoils a training, the costliest first, before there is one.

    Unreadable files, copies (also turned ones), contradicting and doubtful labels, leaks between splits and what they
    are worth, images that stand out, labels from too few groups, and whether the label can be told without the object.
    """
    from shared import config
    from shared.check import check as check_data
    from shared.recipe import Recipe
    from verticals import tell

    named = {"backbone": backbone, "weights": weights}
    options = [f"{k}={json.dumps(str(v))}" for k, v in named.items() if v is not None]
    files = [verticals.load(vertical).folder / "recipe.toml"] if vertical else []
    recipe = config.load(Recipe, *files, overrides=[*overrides, *options])
    facts = check_data(data, cache=_cache(cache), taxonomy=taxonomy_of(vertical), recipe=recipe, fix=fix, page=page)
    tell_out(facts, as_json, tell.checked)


@cli.command()
@click.argument("data", type=FILE)
@click.option("-o", "out", type=FILE, required=True, help="Folder of the bundle.")
@click.option("--vertical", default="", help="industrial, ...; brings its labels, recipe and policy.")
@click.option("--budget", default="10m", show_default=True, help="Time, like 90s, 10m or 1h.")
@click.option("--recipe", "recipe_file", type=FILE, help="TOML file over the defaults.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One value over the recipe; repeatable.")
@click.option("--backbone", help="Any timm name. Default: a small one that needs no network.")
@click.option("--weights", type=FILE, help="Safetensors file for the backbone. Default: timm's hub.")
@click.option("--recall", type=float, help="Recall to certify, e.g. 0.98.")
@click.option("--distributed", is_flag=True, help="Fine-tune on many processes with torchrun: docs/distributed.md.")
@click.option(
    "--nproc",
    type=int,
    help="Processes with --distributed. Default: one to each GPU, or 2 without GPUs.",
)
@cache_option
@json_option
def build(
    data: Path,
    out: Path,
    vertical: str,
    budget: str,
    recipe_file: Path | None,
    overrides: tuple[str, ...],
    backbone: str | None,
    weights: Path | None,
    recall: float | None,
    distributed: bool,
    nproc: int | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Turn labelled images into a calibrated, certified, self-testing bundle.

    DATA is a folder of class folders, a table with path,label[,group,split,mask], a manifest, or a VOC, COCO, YOLO or
    CVAT export. Images of one group (part, patient, field) never lie on both sides of the split.
    """
    from shared import config
    from shared.build import build as build_bundle
    from shared.data.sources import vertical_of
    from shared.deadline import parse_seconds
    from shared.recipe import Recipe
    from verticals import tell

    seconds = parse_seconds(budget)
    vertical = vertical or vertical_of(data)
    named = {"backbone": backbone, "weights": weights, "recall": recall}
    options = [
        f"{k}={v!r}" if isinstance(v, float) else f"{k}={json.dumps(str(v))}" for k, v in named.items() if v is not None
    ]
    if nproc is not None and nproc < 1:
        raise ConfigError(f"--nproc is {nproc}; allowed is 1 or more, or leave it out")
    if nproc is not None and not distributed:
        raise ConfigError("--nproc: is for --distributed alone; add it, or leave --nproc out")
    options += [f"launch.nproc={nproc or 0}"] if distributed else []
    files = [verticals.load(vertical).folder / "recipe.toml"] if vertical else []
    recipe = config.load(Recipe, *files, *([recipe_file] if recipe_file else []), overrides=[*overrides, *options])
    facts = build_bundle(
        data,
        out,
        recipe=recipe,
        budget_seconds=seconds,
        cache=_cache(cache),
        vertical=vertical,
        taxonomy=taxonomy_of(vertical),
    )
    tell_out(facts, as_json, tell.built)


@cli.command()
@click.argument("bundle", type=FILE)
@click.argument("data", type=FILE)
@click.option("--policy", type=FILE, help="The site's policy over the vertical's defaults.")
@json_option
def evaluate(bundle: Path, data: Path, policy: Path | None, as_json: bool) -> None:
    """Measure a bundle on the images of DATA that it has not seen, with intervals; then the vertical's own report."""
    from verticals import tell
    from verticals.steps import evaluate_bundle

    tell_out(evaluate_bundle(bundle, data, policy), as_json, tell.evaluated)


@cli.command()
@click.argument("bundle", type=FILE)
@click.argument("source", type=FILE)
@click.option("-o", "out", type=FILE, help="File for the JSON lines, one per frame. Default: stdout.")
@click.option("--policy", type=FILE, help="The site's policy over the vertical's defaults.")
@click.option("--threads", type=int, default=0, help="Threads, 0 means all cores.")
@click.option(
    "--engine", type=click.Choice(["own", "ray"]), default="own", show_default=True, help="ray: many processes."
)
@click.option("--workers", type=int, default=2, show_default=True, help="Processes of the engine ray.")
@json_option
def predict(
    bundle: Path,
    source: Path,
    out: Path | None,
    policy: Path | None,
    threads: int,
    engine: str,
    workers: int,
    as_json: bool,
) -> None:
    """Look at every image or raw file of SOURCE and decide: pass, flag, or NOT EXAMINED."""
    from verticals import tell
    from verticals.steps import predict_source

    many = max(1, workers) if engine == "ray" else 0
    to_stdout = not (out or as_json)
    summary = predict_source(
        bundle, source, out, policy=policy, threads=threads, lines_to_stdout=to_stdout, workers=many
    )
    if as_json:
        print(json.dumps(summary))
    else:
        print(tell.predicted(summary), file=sys.stderr)


@cli.command()
@click.argument("vertical", default="industrial")
@click.option("--store", default="reviews.sqlite", show_default=True, help="File or SQLAlchemy URL of the review log.")
@click.option("--findings", type=FILE, help="What loupe predict -o wrote; its flagged items are added to the queue.")
@click.option("--reviewer", help="Your name; the page asks for it otherwise.")
@click.option("--policy", type=FILE, help="What the site's page does, over the vertical's defaults.")
@click.option("--port", type=int, help="Port of the page on 127.0.0.1. Default: a free one.")
@click.option("--no-open", is_flag=True, help="Serve the page, but do not open a browser.")
@json_option
def review(
    vertical: str,
    store: str,
    findings: Path | None,
    reviewer: str | None,
    policy: Path | None,
    port: int | None,
    no_open: bool,
    as_json: bool,
) -> None:
    """Open the review page. It needs no model and no GPU; stop it with Ctrl-C."""
    from verticals.reviewing import add_findings, open_page

    if findings is not None:
        print(add_findings(findings, store), file=sys.stderr)
    found = verticals.load(vertical)
    open_page(found, store=store, reviewer=reviewer, port=port, browser=not no_open, as_json=as_json, policy=policy)


@cli.command()
@click.argument("findings", type=FILE)
@click.option("--truth", type=FILE, help="truth.jsonl of an ingest, or a table with path,label.")
@click.option("--store", help="Review log whose verdicts are counted too.")
@click.option("-o", "page", type=FILE, help="Write the report as a self-contained HTML page.")
@json_option
def report(findings: Path, truth: Path | None, store: str | None, page: Path | None, as_json: bool) -> None:
    """The domain's numbers from findings, truth and reviews, each with its count and interval."""
    from verticals import tell
    from verticals.steps import report_findings

    tell_out(report_findings(findings, truth=truth, store=store, page=page), as_json, tell.reported)


def _cache(chosen: Path | None) -> Path:
    from platformdirs import user_cache_path

    return chosen or user_cache_path("loupe")


for verb in (*upkeep.VERBS, *compressing.VERBS, *exporting.VERBS):
    cli.add_command(verb)
