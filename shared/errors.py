"""What can go wrong for a user, as one tree; anything else is a bug and keeps its traceback.

LoupeError                  the user must change something; the command prints the sentence and exits with 2
├── ConfigError             a recipe, policy or option
├── DataError               images, tables, labels, annotations
├── BundleError             a bundle that is incomplete, altered, or fails its self-test
├── ExportError             two runtimes do not agree about a model
├── LaunchError             a training on many processes that came to an end
├── ReviewError             the review store
├── Offline                 something is only to be had from the network, and there is none
└── MissingDependency       a package of an extra that is not installed
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType


class LoupeError(Exception):
    """One sentence for the user: where, what was found, what is allowed, what to do."""


class ConfigError(LoupeError):
    """A recipe, policy or option is not usable."""


class DataError(LoupeError):
    """Images, tables, labels or annotations are not usable."""


class BundleError(LoupeError):
    """A bundle is incomplete, altered, or fails its self-test."""


class ExportError(LoupeError):
    """Two runtimes do not agree about a model, so it is not written."""


class LaunchError(LoupeError):
    """A training on many processes cannot start, or one of its processes ended before its time."""


class ReviewError(LoupeError):
    """The review store refuses: unreachable, altered, or the verdict is not possible."""


class Offline(LoupeError):
    """Something is only to be had from the network, and there is none."""


class MissingDependency(LoupeError):
    """A package of an extra is not installed."""


@dataclass(frozen=True)
class Problem:
    """One input that was left out, with its one sentence; the rest of the work went on."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Args:
        module: Import name, e.g. ``"tifffile"``.
        extra: Extra of this distribution that installs it, e.g. ``"industrial"``.

    Raises:
        MissingDependency: The module is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{error.name or module} is not installed; it comes with: pip install 'loupe-vision[{extra}]'"
        ) from error
