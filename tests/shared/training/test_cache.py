"""A cache has a limit; what is in use and what is not ours stays."""

import os
import time
from pathlib import Path

from shared.training import cache, features


def _aged(path: Path, days: float, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def test_the_longest_unused_goes_first_until_the_rest_fits(tmp_path: Path) -> None:
    old = _aged(tmp_path / "features" / "old.sqlite", 30)
    middle = _aged(tmp_path / "backbones" / "middle.onnx", 20)
    young = _aged(tmp_path / "features" / "young.sqlite", 2)
    assert cache.clear(tmp_path, limit_bytes=2500) == 1000
    assert not old.exists() and middle.exists() and young.exists()


def test_what_was_used_today_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    today = _aged(tmp_path / "features" / "today.sqlite", 0.1)
    foreign = _aged(tmp_path / "thesis" / "years of work.txt", 900)
    assert cache.clear(tmp_path, limit_bytes=0) == 0
    assert today.exists() and foreign.exists()


def test_an_interrupted_fine_tuning_is_one_entry(tmp_path: Path) -> None:
    _aged(tmp_path / "tuning" / "key" / "at-1.safetensors", 40)
    kept = _aged(tmp_path / "tuning" / "other" / "at-1.safetensors", 1.5)
    for folder, days in (("key", 40), ("other", 1.5)):
        then = time.time() - days * 86400
        os.utime(tmp_path / "tuning" / folder, (then, then))
    assert cache.clear(tmp_path, limit_bytes=6000) > 0
    assert not (tmp_path / "tuning" / "key").exists() and kept.exists()


def test_reading_features_counts_as_use(tmp_path: Path) -> None:
    path = tmp_path / "features" / "key.sqlite"
    features.Store(path)
    os.utime(path, (0, 0))
    features.Store(path)
    assert time.time() - path.stat().st_mtime < 60


def test_no_cache_is_no_error(tmp_path: Path) -> None:
    assert cache.clear(tmp_path / "absent") == 0
