"""The pictures that a bundle learnt from, found again by their content: the bundle itself holds none of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.data import sources
from shared.records import Box, Sample


@dataclass(frozen=True)
class Found:
    """What was looked for.

    Attributes:
        samples: Those that are there, by id, with absolute paths.
        missing: Ids of those that are not.
    """

    samples: dict[str, Sample]
    missing: tuple[str, ...]


def find(source: Path, ids: Iterable[str]) -> Found:
    """Look for images in a folder, or in a table of paths, whatever their names are now.

    Args:
        source: Folder, table or file.
        ids: Of Samples; a window is found where its frame is.

    Raises:
        DataError: ``source`` is not there, or holds no image.
    """
    listed, folder, _ = sources.samples(source)
    files = {sample.id: (folder / sample.path).resolve() for sample in listed}
    wanted = list(dict.fromkeys(ids))
    samples = {}
    for identity in wanted:
        file = files.get(identity.partition("@")[0])
        if file is not None:
            samples[identity] = sample(identity, file)
    return Found(samples, tuple(i for i in wanted if i not in samples))


def sample(identity: str, file: Path, *, width: int = 0, height: int = 0) -> Sample:
    """A Sample rebuilt from its id: content hash, and the window where there is one.

    Args:
        identity: The id.
        file: Where it lies.
        width: Of the whole image in pixels, 0 where nobody asks.
        height: Likewise.
    """
    place = identity.partition("@")[2]
    if not place:
        return Sample(identity, str(file), width, height, frame=str(file))
    x, y, w, h = map(int, place.split(","))
    return Sample(identity, str(file), w, h, Box(x, y, x + w, y + h), frame=str(file))
