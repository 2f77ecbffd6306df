"""A bundle of a vertical's own, whose labels are the words of its folders."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def plant(pictures: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures as an industrial bundle, whose labels are the folders' words and not the taxonomy's codes."""
    import verticals
    from shared import taxonomy
    from shared.build import build
    from shared.recipe import Recipe

    home = tmp_path_factory.mktemp("plant")
    for word, alias in {"ok": "good", "scratch": "scratch", "spot": "blowhole"}.items():
        shutil.copytree(pictures / word, home / "parts" / alias)
    out = home / "plant.bundle"
    recipe = Recipe(image_size=64, threads=1, search=False, finetune=False)
    labels = taxonomy.load(verticals.load("industrial").folder / "labels.toml")
    build(home / "parts", out, recipe=recipe, budget_seconds=120, cache=cache, vertical="industrial", taxonomy=labels)
    return out
