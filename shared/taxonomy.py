"""The labels of a vertical: codes, names, parents, outside codes, read from its ``labels.toml``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from shared import config
from shared.errors import DataError


@dataclass(frozen=True)
class Label:
    """One entry.

    Attributes:
        code: Short and permanent, e.g. ``"SCR"``.
        name: What a person reads, e.g. ``"scratch"``.
        parent: Code or name of the family, empty at the top.
        ok: True for the one label that means "nothing wrong".
        severity: 0 (harmless) to 4 (critical); ties between labels go to the graver.
        aliases: Other spellings found in data sets, any case; ``-``, ``_`` and blanks are the same.
        codes: Codes in outside systems, e.g. ``{"ISO 8785" = "4.1.2"}``.
        source: Where the outside codes were read.
        description: One sentence on how to recognise it.
        sought: Whether a build must find it and certify its recall; the OK label never is.
        facts: What else the vertical says about it; the core only carries it.
    """

    code: str
    name: str
    parent: str = ""
    ok: bool = False
    severity: int = 1
    aliases: tuple[str, ...] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    description: str = ""
    sought: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)


def _normal(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").replace("-", " ").split())


@dataclass(frozen=True)
class Taxonomy:
    """An ordered list of labels with a version.

    Raises:
        DataError: Two entries share a code, name or alias, or severity is outside 0..4.
    """

    version: str
    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for label in self.labels:
            if not 0 <= label.severity <= 4:
                raise DataError(f"taxonomy: severity of {label.code} is {label.severity}, allowed is 0 to 4")
            for word in {_normal(w) for w in (label.code, label.name, *label.aliases)}:
                if seen.setdefault(word, label.code) != label.code:
                    raise DataError(f"taxonomy: {word!r} names both {seen[word]} and {label.code}; keep one")

    @cached_property
    def _index(self) -> dict[str, Label]:
        return {_normal(w): label for label in self.labels for w in (label.code, label.name, *label.aliases)}

    def find(self, word: str) -> Label | None:
        """The label with this code, name or alias, in any case; None where there is none."""
        return self._index.get(_normal(word))

    def code(self, word: str) -> str:
        """The code of the label with this code, name or alias; the word itself where there is none."""
        label = self.find(word)
        return word if label is None else label.code

    def resolve(self, word: str) -> Label:
        """The label with this code, name or alias.

        Raises:
            DataError: There is none; the sentence names the closest.
        """
        label = self.find(word)
        if label is None:
            known = [w for entry in self.labels for w in (entry.code, entry.name, *entry.aliases)]
            raise DataError(f"label {word!r} is unknown; {config.did_you_mean(word, known)}")
        return label

    @property
    def ok(self) -> Label | None:
        """The label that means "nothing wrong", where there is one."""
        return next((label for label in self.labels if label.ok), None)

    def unsought(self, words: Iterable[str]) -> tuple[str, ...]:
        """Those of the words whose label need not be found: OK, and what the vertical marks ``sought = false``.

        Raises:
            DataError: A word names no label.
        """
        found = [(word, self.resolve(word)) for word in words]
        return tuple(word for word, label in found if label.ok or not label.sought)


def key(word: str, taxonomy: Taxonomy | None) -> str:
    """What all words of one label have in common: its code, or without a taxonomy the word in any case and any blanks.

    Without a taxonomy ``-`` counts: ``-1`` and ``1`` are two labels.
    """
    return " ".join(word.split()).casefold() if taxonomy is None else taxonomy.code(word)


OK_WORDS = ("ok", "good", "free", "healthy", "normal", "negative", "no defect", "defect free", "background")
"""Words that mean "nothing wrong" in a table that comes without a taxonomy."""


def guess_ok(labels: Iterable[str]) -> str | None:
    """The label of a plain table that means "nothing wrong", or None where none of :data:`OK_WORDS` is there."""
    by_word = {_normal(label): label for label in labels}
    return next((by_word[word] for word in OK_WORDS if word in by_word), None)


def load(path: Path) -> Taxonomy:
    """Read ``labels.toml``.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type.
        DataError: The labels contradict each other.
    """
    return config.load(Taxonomy, path)
