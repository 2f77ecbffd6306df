"""What stands behind ``loupe review``: findings into the store, and the vertical's page in a browser."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

from shared import decisions
from shared.errors import ReviewError
from shared.review import launch
from shared.review.store import Store
from shared.vertical import Vertical

START_SECONDS = 60.0


def add_findings(findings: Path, store: str) -> str:
    """Put what was flagged or not examined into the review queue; the same items twice are one.

    Returns:
        One sentence for the person at the terminal.
    """
    opened = Store.open(store)
    try:
        added = opened.add(decisions.read(findings), batch=findings.name)
        return f"{added.new} new items in the queue, {added.replaced} renewed, {added.kept} known already"
    finally:
        opened.close()


def open_page(
    vertical: Vertical,
    *,
    store: str,
    reviewer: str | None,
    port: int | None,
    browser: bool,
    as_json: bool = False,
    policy: Path | None = None,
) -> None:
    """Serve the page on 127.0.0.1 until it is stopped with Ctrl-C; ``as_json`` tells its address on stdout.

    Raises:
        ReviewError: The page does not answer within a minute, or it ended by itself.
    """
    Store.open(store).close()  # a store that cannot be used is said here, in one sentence
    port = port or _free_port()
    line = launch.command(vertical.folder / "app.py", store=store, reviewer=reviewer, port=port, policy=policy)
    page = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(page, address)
        print(f"review page: {address}  (stop with Ctrl-C)", file=sys.stderr, flush=True)
        if as_json:
            print(json.dumps({"address": address, "store": store, "vertical": vertical.name}), flush=True)
        if browser:
            webbrowser.open(address)
        if page.wait() not in (0, -2, -15):
            raise ReviewError(f"the review page ended with code {page.returncode}; its messages stand above")
    finally:
        page.terminate()
        page.wait(timeout=10)


def _wait(page: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if page.poll() is not None:
            raise ReviewError(f"the review page did not start (code {page.returncode}); its messages stand above")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ReviewError(f"the review page does not answer on {address} after {START_SECONDS:.0f} s; try another --port")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
