import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ConfigError
from shared.inference import runtime
from shared.recipe import Recipe
from shared.training import features
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


def test_the_columns_of_the_stages_add_up_and_a_record_without_them_is_made_again(tmp_path: Path) -> None:
    pictures = [np.random.default_rng(i).integers(0, 255, (40, 40, 3), dtype=np.uint8) for i in range(2)]
    recipe = Recipe(image_size=64, threads=1)
    made = features.extractor(recipe, pictures, tmp_path)
    session = runtime.session(made.model.SerializeToString(), threads=1)
    columns = session.run(["features"], {"image": pictures[0][None]})[0].shape[1]
    assert sum(made.stages) == columns and len(made.stages) >= 4
    record = tmp_path / "backbones" / f"{made.key}.json"
    old = json.loads(record.read_text(encoding="utf-8"))
    del old["origin"]["stages"]
    record.write_text(json.dumps(old), encoding="utf-8")
    again = features.extractor(recipe, pictures, tmp_path)
    assert again.stages == made.stages and again.key == made.key
    assert features.extractor(recipe, pictures, tmp_path).stages == made.stages
