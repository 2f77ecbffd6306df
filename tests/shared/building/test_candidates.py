"""Where a fine-tuning under way is kept."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shared.building import candidates
from shared.recipe import Recipe
from shared.tuning import Launch


def place(recipe: Recipe) -> Path:
    work: Any = SimpleNamespace(recipe=recipe, cache=Path("cache"), manifest=SimpleNamespace(hash="f" * 64))
    base: Any = SimpleNamespace(extractor=SimpleNamespace(key="backbone"))
    return candidates.checkpoint(work, base)


def test_two_recipes_keep_their_fine_tunings_apart() -> None:
    recipe = Recipe()
    other = replace(recipe, tuning=replace(recipe.tuning, learning_rate=2e-3))
    assert place(recipe) != place(other)
    assert place(recipe) != place(replace(recipe, seed=1))


def test_other_threads_and_ranks_go_on_where_it_stands() -> None:
    recipe = Recipe()
    assert place(recipe) == place(replace(recipe, threads=1, launch=Launch(nproc=2)))
