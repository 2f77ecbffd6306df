"""Verbs that make a bundle smaller: distilled, pruned, in whole numbers. Each takes a bundle, so that they chain."""

import sys
from pathlib import Path
from typing import Any

import click

from verticals.options import FILE, cache_option, json_option, taxonomy_of, tell_out

_WHAT = {
    "distil": "Teach a smaller network the answers of a bundle.",
    "prune": "Take the channels out of a bundle's network that its answers need least, and let it recover.",
    "quantize": "Put a bundle's network into whole numbers of 8 bits, as far as its answers bear it.",
}

_HELP = """{what}

DATA are the images of its build, in any form that a build takes. The smaller bundle gets thresholds and a certificate
of its own; where it would lose more than allowed against its parent, nothing is written.
"""


def _verb(method: Any) -> click.Command:
    @click.command(name=method, help=_HELP.format(what=_WHAT[method]))
    @click.argument("bundle", type=FILE)
    @click.argument("data", type=FILE)
    @click.option("-o", "out", type=FILE, required=True, help="Folder of the smaller bundle.")
    @click.option("--recipe", "recipe_file", type=FILE, help="TOML file over the defaults.")
    @click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One value over it; repeatable.")
    @click.option("--budget", default="10m", show_default=True, help="Time, like 90s, 10m or 1h.")
    @cache_option
    @json_option
    def run(
        bundle: Path,
        data: Path,
        out: Path,
        recipe_file: Path | None,
        overrides: tuple[str, ...],
        budget: str,
        cache: Path | None,
        as_json: bool,
    ) -> None:
        from platformdirs import user_cache_path

        from shared import config
        from shared.compress import compress
        from shared.compression.recipe import Compression
        from shared.data import sources
        from shared.deadline import parse_seconds
        from shared.inference import bundle as bundles
        from shared.inference import registry
        from verticals import tell

        seconds = parse_seconds(budget)
        recipe = config.load(Compression, *([recipe_file] if recipe_file else []), overrides=overrides)
        place = registry.resolve(bundle)
        manifest, problems = sources.read(data, taxonomy=taxonomy_of(bundles.load(place).vertical))
        for problem in problems:
            print(f"left out: {problem}", file=sys.stderr)
        facts = compress(
            place, manifest, recipe, method, out, cache=cache or user_cache_path("loupe"), budget_seconds=seconds
        )
        tell_out(facts, as_json, tell.compressed)

    return run


VERBS = tuple(_verb(method) for method in _WHAT)
