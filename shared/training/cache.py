"""The folder of computed features, exported backbones and interrupted fine-tunings: it is never larger than allowed."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("features", "backbones", "tuning")
"""The folders that builds fill; nothing else in the cache is touched."""
LIMIT_BYTES = 4 * 1024**3
IN_USE_SECONDS = 24 * 3600.0
"""What was used within a day stays, whatever its size: another build may be reading it."""


def used(path: Path) -> None:
    """Note that an entry was needed now; reading alone leaves no trace on most file systems."""
    try:
        os.utime(path)
    except OSError:
        return  # another user's cache, or read-only: then nothing is cleared there either


def clear(cache: Path, *, limit_bytes: int = LIMIT_BYTES) -> int:
    """Remove what was not needed for longest until the rest fits the limit.

    Everything in it can be computed again; what is removed costs time, never an answer.

    Args:
        cache: The folder; it need not exist.
        limit_bytes: Largest size of the rest.

    Returns:
        Bytes removed.
    """
    entries = sorted(_entries(cache), key=lambda e: e[0])
    size, removed = sum(e[1] for e in entries), 0
    for last, bytes_, path in entries:
        if size - removed <= limit_bytes or time.time() - last < IN_USE_SECONDS:
            break
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed += bytes_
    return removed


def _entries(cache: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was last needed, its size in bytes, and its path."""
    for room in ROOMS:
        if not (cache / room).is_dir():
            continue
        for path in (cache / room).iterdir():
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            try:
                facts = [file.stat() for file in files]
            except OSError:
                continue  # removed by another build a moment ago
            yield max(f.st_mtime for f in facts), sum(f.st_size for f in facts), path
