"""An item in; whether the file that is shown of it still holds what the machine examined."""

import re
from functools import lru_cache
from pathlib import Path

from shared.data import images
from shared.decisions import file_of
from shared.errors import DataError
from shared.review.items import FILE, Item

_HASH = re.compile("[0-9a-f]{16}")
"""The beginning of a file's SHA-256, as in the id of a Sample; other ids say nothing about a file."""


def examined(item: Item) -> str:
    """The beginning of the content hash of the file that the item was made from; empty where it is not known."""
    known = str(item.payload.get(FILE, "")) or file_of(next(iter(item.samples), ""))
    return known if _HASH.fullmatch(known) else ""


def written(image: str) -> tuple[int, ...]:
    """What changes when a file is written anew; empty where there is none."""
    try:
        status = Path(image).stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check(item: Item, *, anew: bool = True) -> None:
    """Make sure that a person sees, or has seen, the picture that the item is about.

    Nothing is known of an item without the hash of its file, and nothing is said.

    Args:
        item: The item.
        anew: Whether to read a file again that seems not to have been written since: a large one takes a moment, which
            a verdict is worth and a step of the camera is not.

    Raises:
        DataError: The file cannot be read, or holds something else now.
    """
    known = examined(item)
    if not known:
        return
    found = images.content_hash(Path(item.image)) if anew else _content(item.image, written(item.image))
    if not found.startswith(known):
        raise DataError(
            f"{item.image}: was changed after it was examined as {item.frame}, and holds another picture now; put the "
            "examined file back, or predict again and review that in a store of its own"
        )


@lru_cache(maxsize=64)
def _content(image: str, _written: tuple[int, ...]) -> str:
    return images.content_hash(Path(image))
