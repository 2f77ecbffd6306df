"""What stands behind the verb serve: the core's server joined with what each vertical says about an answer."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import verticals
from shared import config
from shared.data import blank
from shared.decide import decide
from shared.policy import Policy
from shared.serving.batching import Limits
from shared.serving.repository import Judge
from shared.serving.server import Running, Settings, serve


def judge(name: str) -> Judge:
    """What the vertical of a bundle adds to its numbers.

    Where raw files pass a gate before they are scored, a picture that came without it gets no verdict.
    """
    if not name:
        return Judge(partial(decide, policy=config.load(Policy)))
    vertical = verticals.load(name)
    if vertical.always_ingest:
        return Judge(None, vertical.notice)
    return Judge(lambda case: vertical.decide(case, None), vertical.notice, vertical.blind or blank.why)


def run(bundles: Sequence[Path], *, as_json: bool, **options: Any) -> None:
    """Serve until interrupted.

    Args:
        bundles: Folders of bundles.
        as_json: Whether to print one JSON object when the server is ready.
        options: As the command names them.
    """
    limits = Limits(batch=options["batch"], delay_s=options["delay_ms"] / 1000, images=options["queue"])
    settings = Settings(
        host=options["host"],
        port=options["port"],
        metrics_port=options["metrics_port"],
        limits=limits,
        message_bytes=options["max_message_mb"] * 2**20,
        threads=options["threads"],
        certificate=options["tls_cert"],
        key=options["tls_key"],
        token=options["token_file"],
        open_to_all=options["open_to_all"],
    )

    def started(running: Running) -> None:
        if as_json:
            print(json.dumps(asdict(running)), flush=True)
        models = ", ".join(f"{name} ({number})" for name, number in running.models.items())
        print(f"serving {models} at {running.host}:{running.port}  (stop with Ctrl-C)", file=sys.stderr, flush=True)

    asyncio.run(serve(bundles, settings, version=version("loupe-vision"), judge=judge, started=started))
