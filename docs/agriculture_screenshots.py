"""Takes the pictures of the field page for these documents: a map and a farm in, ``docs/agriculture-*.png`` out.

    python docs/agriculture_screenshots.py MAP --farm farm.toml

Paths are shown as they are given. The orthomosaic must lie where it was mapped; no verdict is recorded.
"""

import argparse
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from take_screenshots import ROOT, save, wait_for

from shared.review import launch

_WH = {"width": 1366, "height": 1020}
# WebGL by software, so that the pictures come out alike on every machine.
_FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--use-gl=angle",
          "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # fmt: skip


def main() -> None:
    """Start the page, take the pictures, stop the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("map", type=Path)
    parser.add_argument("--farm", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = ROOT / "verticals" / "agriculture" / "app.py"
    with tempfile.TemporaryDirectory() as folder:
        line = launch.command(app, store=f"{folder}/reviews.sqlite", reviewer="A. Agronomist", port=port)
        server = subprocess.Popen([*line, f"--map={given.map}"])
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
                tab = browser.new_page(viewport=_WH)
                tab.set_default_timeout(120_000)
                tab.goto(f"http://127.0.0.1:{port}")
                take(tab, given.out, given.farm)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def take(tab: Any, out: Path, farm: Path) -> None:
    """Walk through the panels."""

    def settled() -> None:
        time.sleep(2)
        tab.get_by_test_id("stStatusWidget").wait_for(state="detached")
        time.sleep(2)

    def panel(name: str) -> None:
        tab.get_by_test_id("stButtonGroup").get_by_text(name).click()
        settled()

    tab.get_by_role("button", name="Next").wait_for()
    tab.keyboard.press("ArrowRight")
    settled()
    time.sleep(6)
    save(tab.screenshot(), out / "agriculture-map.png")
    panel("Spraying")
    save(tab.screenshot(), out / "agriculture-prescription.png")
    panel("Irrigation")
    field = tab.get_by_label("Farm (weather, soil, crop, probes)")
    field.fill(str(farm))
    field.press("Enter")
    settled()
    tab.get_by_text("earlier probe readings").wait_for()
    tab.get_by_text("Not claimed").wait_for()
    settled()
    save(tab.screenshot(), out / "agriculture-irrigation.png")


if __name__ == "__main__":
    main()
