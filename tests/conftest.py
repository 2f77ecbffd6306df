"""What many tests need: small labelled pictures, a built bundle, and the real photographs where they are."""

import os
import signal
from pathlib import Path

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
