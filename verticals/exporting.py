"""The verb that takes a bundle to other runtimes."""

from pathlib import Path

import click

from verticals.options import FILE, json_option, tell_out

TARGETS = ("onnx", "openvino", "tflite", "tensorrt")


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--to", "target", type=click.Choice(TARGETS), required=True, help="The runtime it is for.")
@click.option("-o", "out", type=FILE, required=True, help="Folder for the files and their parity certificate.")
@click.option(
    "--images", type=FILE, help="Pictures to compare on: a folder, a table, one file. Default: golden inputs."
)
@click.option("--most", type=click.IntRange(min=1), default=200, show_default=True, help="Pictures that are compared.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One limit of the parity; repeatable.")
@json_option
def export(
    bundle: Path, target: str, out: Path, images: Path | None, most: int, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Write a bundle for another runtime, with a parity certificate from that runtime.

    The same pictures go through the bundle and through the written files. Where labels or probabilities differ by more
    than the limits (probability, apart, flips, golden_flips), nothing is written and the reason is said.
    """
    from shared.export.exporting import export as export_bundle
    from verticals import tell

    facts = export_bundle(bundle, target, out, source=images, most=most, overrides=overrides)
    tell_out(facts, as_json, tell.exported)


VERBS = (export,)
