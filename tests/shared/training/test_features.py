import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ConfigError
from shared.training.features import Store


def test_vectors_survive_and_unknown_ids_are_not_invented(tmp_path: Path) -> None:
    vectors = {f"id{i}@0,0,8,8": np.random.default_rng(i).normal(size=5).astype(np.float32) for i in range(1200)}
    Store(tmp_path / "f.sqlite").write(vectors)
    found = Store(tmp_path / "f.sqlite").read([*vectors, "stranger"])
    assert found.keys() == vectors.keys() and all(np.array_equal(found[k], vectors[k]) for k in vectors)


def test_a_cache_that_is_no_database_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "f.sqlite").write_text("junk" * 1000)
    Store(tmp_path / "f.sqlite").write({"a": np.ones(2, np.float32)})
    assert list(Store(tmp_path / "f.sqlite").read(["a"])) == ["a"]


def test_a_locked_cache_is_kept_and_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.sqlite"
    store = Store(path)
    store.write({"a": np.ones(2, np.float32)})
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda p, timeout: real(p, timeout=0.1))
    with closing(real(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigError, match="database is locked; free space there, or give another --cache"):
            store.write({"b": np.ones(2, np.float32)})
        other.rollback()
    assert list(store.read(["a", "b"])) == ["a"]
