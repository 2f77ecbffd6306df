"""Takes the pictures of the review page for these documents: a store with findings in, ``docs/review-*.png`` out.

Run it with ``python docs/take_screenshots.py --store reviews.sqlite --report industrial.bundle.html``; it records no
verdict.
"""

import argparse
import io
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

from shared.review import launch

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 250_000
_WIDTH, _HEIGHT = 1366, 720
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_SETTLE_S = 1.5


def save(png: bytes, path: Path) -> None:
    """Write a screenshot with 256 colours, smaller and smaller until it is below the limit."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for percent in range(100, 20, -10):
        size = (picture.width * percent // 100, picture.height * percent // 100)
        stream = io.BytesIO()
        picture.resize(size, Image.Resampling.LANCZOS).quantize(256, Image.Quantize.MAXCOVERAGE).save(
            stream, "png", optimize=True
        )
        if stream.tell() < LIMIT:
            break
    path.write_bytes(stream.getvalue())
    print(f"{path}: {size[0]} x {size[1]}, {stream.tell() / 1000:.0f} kB")


def take(tab: Any, out: Path) -> None:
    """Walk through the page by its keys."""

    def press(key: str) -> None:
        tab.keyboard.press(key)
        time.sleep(_SETTLE_S)

    tab.get_by_role("button", name="Skip").wait_for()
    time.sleep(2 * _SETTLE_S)
    for _ in range(30):
        if not tab.get_by_role("button", name="Stays not examined").count():
            break
        if tab.locator(".stImage img").count() and not (out / "review-not-examined.png").exists():
            save(tab.screenshot(), out / "review-not-examined.png")
        press("n")
    save(tab.screenshot(), out / "review-place.png")
    press("w")
    save(tab.screenshot(), out / "review-whole.png")
    tab.get_by_test_id("stPopover").click()
    time.sleep(_SETTLE_S)
    save(tab.screenshot(), out / "review-settings.png")


def main() -> None:
    """Start the page, take the pictures, stop the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, help="review store with findings")
    parser.add_argument("--vertical", default="industrial", help="whose page")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for the pictures")
    parser.add_argument("--report", type=Path, help="report of a build, <bundle>.html")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    given.out.mkdir(parents=True, exist_ok=True)
    for old in given.out.glob("review-*.png"):
        old.unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = ROOT / "verticals" / given.vertical / "app.py"
    server = subprocess.Popen(launch.command(app, store=given.store, reviewer="A. Inspector", port=port))
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
            tab = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
            tab.goto(f"http://127.0.0.1:{port}")
            take(tab, given.out)
            if given.report:
                tab.goto(given.report.resolve().as_uri())
                save(tab.screenshot(), given.out / "build-report.png")
            browser.close()
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str) -> None:
    """Until the server answers, at most a minute."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url}: does not answer; start the page by hand and look at what it says")


if __name__ == "__main__":
    main()
