"""The command line that starts a vertical's review page, and what the page reads from it. Imports no Streamlit."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from shared.errors import ConfigError

DEFAULT_STORE = "reviews.sqlite"


@dataclass(frozen=True)
class Options:
    """What a page is started with.

    Attributes:
        store: File or database URL of the review store.
        reviewer: Who is asked for by default; empty where the page asks.
        policy: The site's file of what its page does; empty for the vertical's defaults.
    """

    store: str
    reviewer: str = ""
    policy: str = ""


def command(
    app: Path, *, store: str, reviewer: str | None = None, port: int | None = None, policy: Path | None = None
) -> list[str]:
    """The command that serves a page on this machine only.

    Args:
        app: The vertical's ``app.py``.
        store: File or database URL of the review store.
        reviewer: Name that the page starts with.
        port: Where to listen; None lets Streamlit look for a free one from 8501 on.
        policy: The site's file of what its page does.
    """
    # -P: a folder "shared" in the directory the command is typed in must not replace ours.
    line = [sys.executable, "-P", "-m", "streamlit", "run", str(app)]
    line += ["--server.headless=true", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    line += ["--browser.gatherUsageStats=false", "--client.toolbarMode=minimal", "--server.runOnSave=false"]
    line += [f"--server.port={port}"] if port else []
    more = [f"--reviewer={reviewer}"] if reviewer else []
    return [*line, "--", f"--store={store}", *more, *([f"--policy={policy}"] if policy else [])]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"review page: {message}; allowed are --store URL, --reviewer NAME, --policy FILE")


def options(arguments: Sequence[str]) -> Options:
    """Read what stands after ``--`` on the page's command line.

    Raises:
        ConfigError: An unknown option, or one without its value.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--store", default=DEFAULT_STORE)
    parser.add_argument("--reviewer", default="")
    parser.add_argument("--policy", default="")
    found = parser.parse_args(list(arguments))
    return Options(found.store, found.reviewer.strip(), found.policy)
