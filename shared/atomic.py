"""Files and folders written whole or not at all: made under another name beside the target, flushed, then renamed."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the name ``path`` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        # mkstemp makes files for the owner only; the result gets what a plain open() would have given.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all; text is UTF-8."""
    with file(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs; whoever else asks for it, in this process or another, waits.

    The system gives it back when its holder ends, killed or not. The file stays: removing it would let two in at once.

    Args:
        path: File of the lock; made where there is none, its folder too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def check(path: Path) -> None:
    """Find out before the work whether something can be written at ``path`` after it.

    Raises:
        OSError: Its folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder; it takes the place of ``path`` when the block ends without an error.

    An older folder of that name is moved aside first and deleted last, so that a kill leaves the old one, the new one,
    or neither under the name, and never a mixture.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    aside = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        for child in temporary.rglob("*"):
            if child.is_file():
                _flush(child)
        temporary.chmod(0o755)
        if path.exists():
            path.replace(aside)
        temporary.replace(path)
    finally:
        # Interrupted between the two renames: the old one takes its place again.
        if aside.exists() and not path.exists():
            aside.replace(path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
