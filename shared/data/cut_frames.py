"""The folder of pictures that an ingest writes, and the files below a source that it may read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared import atomic
from shared.data import links
from shared.errors import DataError

FRAMES = "frames"
"""Folder of the pictures, below the output."""
MARK = ".loupe-frames"
"""Says that a folder of frames is ours and may be replaced."""


def check(out: Path) -> None:
    """Refuse an output whose frames somebody else wrote.

    Raises:
        DataError: ``out/frames`` holds something that no ingest wrote.
    """
    if (out / FRAMES).exists() and not (out / FRAMES / MARK).is_file():
        raise DataError(f"{out / FRAMES}: holds something that no ingest wrote; give another folder after -o")


def check_source(source: Path) -> None:
    """Refuse the pictures that an ingest cut as a source of their own: what they were cut from knew more.

    Raises:
        DataError: ``source`` lies in a folder of frames that an ingest wrote.
    """
    cut = next((f for f in (source.absolute(), *source.absolute().parents) if (f / MARK).is_file()), None)
    if cut is not None:
        raise DataError(
            f"{source}: are pictures that an ingest cut, without the lines that were lost and without scale; give the "
            f"raw files, or {cut.parent}, where the ingest wrote down what it knew"
        )


@contextmanager
def folder(out: Path) -> Iterator[Path]:
    """A folder to write pictures into, which becomes ``out/frames`` whole or not at all."""
    with atomic.folder(out / FRAMES) as made:
        (made / MARK).touch()
        yield made


def links_below(source: Path, out: Path) -> list[tuple[Path, str]]:
    """Links below a folder that nobody follows, each with the sentence to tell; not below what an ingest wrote."""
    shunned = _shunned(source, out)
    return [(f, what) for f, what in links.unfollowed(source) if not f.absolute().is_relative_to(shunned)]


def _shunned(source: Path, out: Path) -> Path:
    return (out / FRAMES if out.resolve() == source.resolve() else out).resolve()


def files_below(source: Path, out: Path) -> list[Path]:
    """Files below a folder in order, without hidden ones and without pictures that this or another ingest cut."""
    shunned = (_shunned(source, out), *(mark.parent.resolve() for mark in source.rglob(MARK)))
    return [
        f
        for f in sorted(source.rglob("*"))
        if f.is_file()
        and not any(f.resolve().is_relative_to(cut) for cut in shunned)
        and not any(part.startswith(".") for part in f.relative_to(source).parts)
    ]
