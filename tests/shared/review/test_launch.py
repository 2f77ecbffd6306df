import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.review import launch

APP = Path("/x/app.py")


def test_the_page_is_served_to_this_machine_only_and_tells_nobody() -> None:
    line = launch.command(APP, store="r.sqlite")
    assert line[:2] == [sys.executable, "-P"]
    assert {"--server.address=127.0.0.1", "--server.headless=true", "--browser.gatherUsageStats=false"} <= set(line)
    assert "--server.fileWatcherType=none" in line
    assert not any(part.startswith("--server.port") for part in line)


@pytest.mark.parametrize(
    ("reviewer", "expected"), [("Bea Müller", "Bea Müller"), (None, ""), ("-x --store=y", "-x --store=y")]
)
def test_the_page_reads_what_the_command_says(reviewer: str | None, expected: str) -> None:
    line = launch.command(APP, store="postgresql://h/b?x=1", reviewer=reviewer, port=9000)
    assert "--server.port=9000" in line[: line.index("--")]
    assert launch.options(line[line.index("--") + 1 :]) == launch.Options("postgresql://h/b?x=1", expected)


def test_the_sites_page_policy_reaches_the_page() -> None:
    line = launch.command(APP, store="r.sqlite", policy=Path("clinic.toml"))
    assert launch.options(line[line.index("--") + 1 :]) == launch.Options("r.sqlite", "", "clinic.toml")


def test_without_options_the_store_is_in_the_present_folder() -> None:
    assert launch.options([]) == launch.Options("reviews.sqlite", "")


@pytest.mark.parametrize("arguments", [["--stor", "x"], ["--store"], ["left over"]])
def test_a_wrong_option_is_told_and_does_not_end_the_server(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="allowed are --store URL, --reviewer NAME, --policy FILE"):
        launch.options(arguments)


def test_starting_and_judging_need_no_streamlit_and_no_torch() -> None:
    code = (
        "import sys, shared.review.launch, shared.review.store, shared.review.export, shared.review.desk; "
        "sys.exit(' '.join({'streamlit', 'torch', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
