"""What many tests need: small labelled pictures, a built bundle, and the real photographs where they are."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A shell starts background jobs with Ctrl-C ignored, which what the tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs beside the checkout."""
    folder = BESIDE / "data"
    if not folder.is_dir():
        pytest.skip(f"no real photographs: {folder.parent.name}/{folder.name} beside the checkout is absent")
    return folder


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """ImageNet weights of timm's mobilenetv2_100 beside the checkout."""
    found = sorted((BESIDE / "weights").glob("mobilenetv2_100*.safetensors"))
    if not found:
        pytest.skip("no pre-trained weights beside the checkout")
    return found[0]


def texture(label: str, seed: int, side: int = 64) -> NDArray[np.uint8]:
    """A noisy surface; ``scratch`` has a bright line, ``spot`` a dark disc, ``ok`` nothing. (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = rng.normal(120, 12, (side, side)).astype(np.float32)
    x, y = rng.integers(12, side - 12, 2)
    if label == "scratch":
        angle = rng.uniform(0, np.pi)
        d = np.array([np.cos(angle), np.sin(angle)]) * 20
        start, end = (int(x - d[0]), int(y - d[1])), (int(x + d[0]), int(y + d[1]))
        cv2.line(image, start, end, 235.0, 2)
    elif label == "spot":
        cv2.circle(image, (int(x), int(y)), 7, 30.0, -1)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders ok (60), scratch (40) and spot (40)."""
    folder = tmp_path_factory.mktemp("pictures")
    for offset, (label, n) in enumerate({"ok": 60, "scratch": 40, "spot": 40}.items()):
        (folder / label).mkdir()
        for i in range(n):
            cv2.imwrite(str(folder / label / f"{i:03}.png"), texture(label, 1000 * offset + i))
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One feature cache for the whole run, so that each backbone is exported once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def bundle(pictures: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle built from the pictures with the default backbone."""
    from shared.build import build
    from shared.recipe import Recipe

    out = tmp_path_factory.mktemp("bundles") / "small.bundle"
    build(
        pictures,
        out,
        recipe=Recipe(image_size=64, threads=1, search=False, finetune=False),
        budget_seconds=120,
        cache=cache,
    )
    return out


CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# WebGL by software: the machine that tests has no graphics card.
WEBGL = [*(flag for flag in CHROMIUM if flag != "--disable-gpu"), "--use-gl=angle", "--use-angle=swiftshader",
         "--enable-unsafe-swiftshader"]  # fmt: skip


class PageServer:
    """A review page's server, to be started, killed and started again at one address."""

    def __init__(
        self, app: Path, store: Path, folder: Path, reviewer: str, policy: Path | None, more: Sequence[str]
    ) -> None:
        from shared.review import launch

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = launch.command(app, store=str(store), reviewer=reviewer, port=self.port, policy=policy)
        self.command += more
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log)
        for _ in range(1200):
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def page_server() -> Iterator[Callable[..., PageServer]]:
    """Makes servers of review pages, which are killed at the end."""
    made: list[PageServer] = []

    def make(
        app: Path, store: Path, folder: Path, *, reviewer: str, policy: Path | None = None, more: Sequence[str] = ()
    ) -> PageServer:
        made.append(PageServer(app, store, folder, reviewer, policy, more))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def tab(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of the system's Chromium, 1366 x 720; a parameter of the fixture replaces :data:`CHROMIUM`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=getattr(request, "param", CHROMIUM))
        page = browser.new_page(viewport={"width": 1366, "height": 720})
        page.set_default_timeout(60_000)
        yield page
        browser.close()
