"""Any word of a data set or bundle in, its condition with crop, agent, EPPO codes and where they were read out."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType

from shared import taxonomy
from shared.errors import DataError
from shared.taxonomy import Label, Taxonomy

LABELS = Path(__file__).parent.parent / "labels.toml"
_HERE = Path(__file__).parent
HEALTHY, UNKNOWN, NOT_A_LEAF, ABIOTIC = "healthy", "unknown", "not_a_leaf", "abiotic"
"""Entries of their own: nothing wrong, nobody knows, nothing to judge, and no agent that a spray would reach."""


class Kind(StrEnum):
    """What an entry of ``labels.toml`` is."""

    CONDITION = "condition"
    """A disease, pest or weed, of one crop where it is bound to one."""
    GROUP = "group"
    """Several conditions that a data set files under one label."""
    FAMILY = "family"
    HEALTHY = "healthy"
    GROUND = "ground"
    UNKNOWN = "unknown"
    NOT_A_LEAF = "not_a_leaf"


@dataclass(frozen=True)
class Crop:
    """A cultivated plant.

    Attributes:
        eppo: EPPO code, five letters.
        name: What a person reads.
        scientific_name: Of the species or genus.
        bbch_scale: Name of its BBCH scale, empty where none was looked up.
        eppo_status: ``read`` in a named source, or ``unconfirmed``.
        source: Where the code was read.
        checked_on: The day, ISO 8601.
    """

    eppo: str
    name: str
    scientific_name: str
    bbch_scale: str
    eppo_status: str
    source: str
    checked_on: str


@dataclass(frozen=True)
class Agent:
    """What causes a condition.

    Attributes:
        agent: Its id in these tables: the EPPO code where one is claimed.
        scientific_name: Of the organism or virus.
        kind: fungus, oomycete, bacterium, virus, mite or weed.
        eppo: EPPO code, empty where none is claimed.
        eppo_status: ``read`` in a named source, ``unconfirmed``, or empty without a code.
        source: Where the code was read.
        checked_on: The day, ISO 8601.
    """

    agent: str
    scientific_name: str
    kind: str
    eppo: str
    eppo_status: str
    source: str
    checked_on: str


@dataclass(frozen=True)
class Scale:
    """How severity is told.

    Attributes:
        scale: Its id.
        unit: What a number means.
        bins: Edges of the classes, rising, separated by blanks.
        source: Where they come from.
        checked_on: The day, ISO 8601.
    """

    scale: str
    unit: str
    bins: str
    source: str
    checked_on: str

    @property
    def edges(self) -> tuple[float, ...]:
        """The edges as numbers."""
        return tuple(float(word) for word in self.bins.split())


@dataclass(frozen=True)
class Term:
    """One entry of the taxonomy.

    Attributes:
        code: Short and permanent.
        name: What a person reads.
        kind: What it is.
        family: Code of the family, its own for a family; empty for what is no disease.
        severity: 0 (nothing) to 4 (may take the crop).
        sought: Whether a build must find it.
        crop: The crop, None where it is bound to none.
        agent: What causes it, None where it is no single condition.
        organ: What shows it: leaf, shoot, ear, plant or tree; empty where it is no condition.
        scale: How its severity is told, None likewise.
        bbch: First and last stage at which it is looked for, None where no window is claimed.
        members: Codes of a group's conditions.
        source: Where codes and windows were read.
    """

    code: str
    name: str
    kind: Kind
    family: str
    severity: int
    sought: bool
    crop: Crop | None
    agent: Agent | None
    organ: str
    scale: Scale | None
    bbch: tuple[int, int] | None
    members: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class OutsideLabel:
    """A label of a public data set, as published.

    Attributes:
        set: Name of the set.
        label: The label.
        code: What it is here.
        crop: EPPO code of the crop that the set says, empty where it says none.
        lossy: Whether the mapping loses or presumes something.
        note: What.
        source: Where the label was read.
        checked_on: The day, ISO 8601.
    """

    set: str
    label: str
    code: str
    crop: str
    lossy: bool
    note: str
    source: str
    checked_on: str


@cache
def labels() -> Taxonomy:
    """The entries of ``labels.toml`` as the core reads them."""
    return taxonomy.load(LABELS)


@cache
def crops() -> Mapping[str, Crop]:
    """Crops by their EPPO code."""
    return MappingProxyType({row["eppo"]: Crop(**row) for row in _rows("crops.csv")})


@cache
def agents() -> Mapping[str, Agent]:
    """Agents by their id."""
    return MappingProxyType({row["agent"]: Agent(**row) for row in _rows("agents.csv")})


@cache
def scales() -> Mapping[str, Scale]:
    """Severity scales by their id."""
    return MappingProxyType({row["scale"]: Scale(**row) for row in _rows("severity_scales.csv")})


@cache
def terms() -> Mapping[str, Term]:
    """All entries by their code, in the order of ``labels.toml``.

    Raises:
        DataError: An entry names a crop, agent, scale, parent or member that is in no table.
    """
    by_code = {label.code: label for label in labels().labels}
    return MappingProxyType({code: _term(label, by_code) for code, label in by_code.items()})


@cache
def outside_sets() -> Mapping[str, Mapping[str, OutsideLabel]]:
    """Labels of public data sets: by the set's name, each label as published and what it is here.

    Raises:
        DataError: A label is mapped to a code that is no entry.
    """
    found: dict[str, dict[str, OutsideLabel]] = {}
    for row in _rows("outside_labels.csv"):
        if row["code"] not in terms():
            raise DataError(f"outside_labels.csv: {row['set']} {row['label']!r} goes to {row['code']!r}, no entry")
        found.setdefault(row["set"], {})[row["label"]] = OutsideLabel(**{**row, "lossy": row["lossy"] == "yes"})  # type: ignore[arg-type]
    return MappingProxyType(found)


def find(word: str) -> Term | None:
    """The entry with this code, name or alias, in any case; None where there is none."""
    label = labels().find(word)
    return None if label is None else terms()[label.code]


def resolve(word: str) -> Term:
    """The entry with this code, name or alias.

    Raises:
        DataError: There is none; the sentence names the closest.
    """
    return terms()[labels().resolve(word).code]


def _rows(name: str) -> list[dict[str, str]]:
    with (_HERE / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _term(label: Label, by_code: Mapping[str, Label]) -> Term:
    facts = label.facts
    try:
        kind = Kind(facts["kind"])
        bbch = [int(stage) for stage in facts["bbch"].split("-")] if "bbch" in facts else None
        return Term(
            code=label.code,
            name=label.name,
            kind=kind,
            family=label.code if kind is Kind.FAMILY else _family(label, by_code),
            severity=label.severity,
            sought=label.sought and not label.ok,
            crop=crops()[facts["crop"]] if "crop" in facts else None,
            agent=agents()[facts["agent"]] if "agent" in facts else None,
            organ=facts.get("organ", ""),
            scale=scales()[facts["severity_scale"]] if "severity_scale" in facts else None,
            bbch=(bbch[0], bbch[1]) if bbch else None,
            members=tuple(by_code[code].code for code in facts.get("members", "").split()),
            source=label.source,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"{LABELS}: {label.code} names {error}, which is in no table or no stage; correct it"
        ) from error


def _family(label: Label, by_code: Mapping[str, Label]) -> str:
    if not label.parent:
        return ""
    if by_code[label.parent].facts.get("kind") != Kind.FAMILY:
        raise ValueError(f"parent {label.parent}")
    return label.parent
