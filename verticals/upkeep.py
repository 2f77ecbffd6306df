"""Verbs for a bundle in use: it learns, is pooled, rolled back and served."""

from pathlib import Path
from typing import Any

import click

from verticals.options import FILE, json_option, taxonomy_of, tell_out


@click.command()
@click.argument("bundle", type=FILE)
@click.argument("data", required=False)
@click.option("-o", "out", type=FILE, required=True, help="Folder of the new bundle.")
@click.option("--forget", multiple=True, metavar="ID|FILE|FOLDER", help="Images to take out; repeatable.")
@click.option("--shadow", type=FILE, help="Folder of recent images on which answers are compared.")
@click.option("--rehearse", type=FILE, help="Folder or table of the old pictures: the backbone may learn too.")
@click.option("--registry", type=FILE, help="Promote what passed the gate into this registry.")
@click.option("--accept", multiple=True, metavar="CHECK", help="A check of the gate that a person answers for.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One limit of the gate; repeatable.")
@json_option
def update(
    bundle: Path,
    data: str | None,
    out: Path,
    forget: tuple[str, ...],
    shadow: Path | None,
    rehearse: Path | None,
    registry: Path | None,
    accept: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Teach a bundle new images, verdicts or labels, or take images out; no old picture is needed.

    DATA is what a build takes, or the review log (a .sqlite file or a URL). Labelled images teach and judge; verdicts
    of the log only teach, because what passed was never reviewed: the certificate then stays on the images held out
    before. A gate compares the candidate with its parent on images that neither learnt from, and refuses, with the
    reason, what made it worse.
    """
    from shared import config
    from shared.update import Wish
    from shared.update import update as update_bundle
    from shared.updating.gate import Limits
    from verticals import tell

    limits = config.load(Limits, overrides=overrides)
    wish = Wish(data, forget, None, shadow, limits, accept, rehearse)
    tell_out(update_bundle(bundle, out, wish, taxonomy=_labels_of(bundle), into=registry), as_json, tell.updated)


@click.command()
@click.argument("bundle", type=FILE)
@click.argument("other", type=FILE)
@click.option("-o", "out", type=FILE, required=True, help="Folder of the new bundle.")
@json_option
def merge(bundle: Path, other: Path, out: Path, as_json: bool) -> None:
    """Pool two bundles of the same backbone: as if all images had been in one place. No picture is exchanged."""
    from shared.update import Wish
    from shared.update import update as update_bundle
    from verticals import tell

    tell_out(update_bundle(bundle, out, Wish(merge=other), taxonomy=_labels_of(bundle)), as_json, tell.updated)


@click.command("roll-back")
@click.argument("registry", type=FILE)
@json_option
def roll_back(registry: Path, as_json: bool) -> None:
    """Make the version before the present one answer again."""
    from shared.inference import registry as registries
    from verticals import tell

    found = registries.roll_back(registry)
    tell_out(
        {"registry": str(registry), "current": found.current, "previous": found.previous}, as_json, tell.rolled_back
    )


@click.command()
@click.argument("bundles", type=FILE, nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
@click.option("--port", type=int, default=8001, show_default=True, help="Port of gRPC; 0 for a free one.")
@click.option("--metrics-port", type=int, help="Port of Prometheus' /metrics; 0 for a free one. Default: none.")
@click.option("--batch", type=int, default=16, show_default=True, help="Most images of one run of a model.")
@click.option("--delay-ms", type=float, default=0.0, show_default=True, help="How long an idle model waits.")
@click.option("--queue", type=int, default=256, show_default=True, help="Most images that wait; more are refused.")
@click.option("--max-message-mb", type=int, default=64, show_default=True, help="Largest request.")
@click.option("--threads", type=int, default=0, help="Threads of each model, 0 means all cores.")
@click.option("--tls-cert", type=FILE, help="Certificate chain (PEM).")
@click.option("--tls-key", type=FILE, help="Its private key (PEM).")
@click.option("--token-file", type=FILE, help="File with the token that clients must send.")
@click.option("--open-to-all", is_flag=True, help="Bind an outside address without TLS and token.")
@json_option
def serve(bundles: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Serve bundles over gRPC (Open Inference Protocol); stop it with Ctrl-C.

    Any client of the protocol works unchanged, also tritonclient. The server is ready when every bundle has passed its
    self-test. A bundle that was replaced is taken up by RepositoryModelLoad without dropping a request.
    """
    from verticals.serving import run

    run(bundles, as_json=as_json, **options)


def _labels_of(bundle: Path) -> Any:
    from shared.inference import bundle as bundles
    from shared.inference import registry

    return taxonomy_of(bundles.load(registry.resolve(bundle)).vertical)


VERBS = (update, merge, roll_back, serve)
