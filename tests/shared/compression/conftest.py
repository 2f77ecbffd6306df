"""A parent opened from the small bundle, ready to be made smaller."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.compression import parent as parents
from shared.compression.parent import Parent
from shared.data import sources


@pytest.fixture(scope="session")
def opened(bundle: Path, pictures: Path, cache: Path) -> Callable[[float], Parent]:
    """Opens the small bundle with so many seconds of time."""
    manifest, _ = sources.read(pictures)

    def open_it(seconds: float = 600.0) -> Parent:
        return parents.opened(bundle, manifest, cache=cache, budget_seconds=seconds, threads=1, say=lambda text: None)

    return open_it


@pytest.fixture(scope="session")
def parent(opened: Callable[[float], Parent]) -> Parent:
    """The small bundle, opened."""
    return opened(600.0)
