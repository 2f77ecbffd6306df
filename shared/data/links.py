"""A folder in, the links in it that nobody follows out: what they lead to must not be missing without a word."""

from pathlib import Path


def unfollowed(folder: Path) -> list[tuple[Path, str]]:
    """Links below a folder that lead nowhere or to a folder, in order, each with the sentence to tell; no hidden ones.

    Linked folders are not followed, because one that leads back up never ends.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_dir():
            found.append((path, "is a link to a folder, which is not followed; give that folder, or copy it here"))
        elif not path.exists():
            found.append((path, "is a link to nothing, so that no picture can be read; copy the file here"))
    return found
