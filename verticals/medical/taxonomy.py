"""The skin taxonomy: any word of a data set or bundle in, its disease with family, malignancy and urgency out."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType

from shared import taxonomy
from shared.errors import DataError
from shared.taxonomy import Label, Taxonomy

LABELS = Path(__file__).parent / "labels.toml"
OUTSIDE = Path(__file__).parent / "outside_labels.csv"
"""Names of the labels of public data sets as they were published: HAM10000, ISIC 2019, PAD-UFES-20, Fitzpatrick17k
(114 distinct labels of its table), DermNet 23, SD-198, and the seven ISIC classes of a common copy."""
UNKNOWN = "UNKNOWN"
PROPOSED = "proposed, needs a dermatologist's sign-off"
URGENCY = (
    "same day",
    "within 2 weeks",
    "within 8 weeks",
    "routine",
    "reassurance or self-care",
)
"""What an urgency of 0 to 4 asks for; the tiers of all labels are proposals until a dermatologist signs them."""


class Malignancy(StrEnum):
    """What kind of growth a label is; the order is that of gravity."""

    MALIGNANT = "M"
    PREMALIGNANT = "P"
    """Pre-malignant, in situ, or of uncertain behaviour."""
    NON_NEOPLASTIC = "N"
    BENIGN = "B"


class Kind(StrEnum):
    """What an entry of ``labels.toml`` is."""

    LEAF = "leaf"
    GROUP = "group"
    """Several leaves that a public data set files under one label."""
    FAMILY = "family"
    TIER = "tier"
    """A bare statement of malignancy, as data sets of two or three classes make it."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Node:
    """One entry of the taxonomy.

    Attributes:
        code: Short and permanent, at most 16 characters, so that it fits a DICOM code value.
        name: What a person reads.
        kind: Leaf, group, family, tier or unknown.
        family: Code of the family; empty for tiers and UNKNOWN, which could be of any.
        malignancy: Of a leaf its own, of everything above the gravest below it.
        urgency: 0 (same day) to 4 (reassurance or self-care), likewise; see :data:`URGENCY`.
        codes: In outside systems: ``ICD-10``, ``ICD-11``, ``SCT``, ``ISIC`` (path of isic-metadata).
        source: Where the outside codes were read.
        reviewed_by: The dermatologist who signed the tiers, empty where nobody has.
        reviewed_on: The day, ISO 8601.
    """

    code: str
    name: str
    kind: Kind
    family: str
    malignancy: Malignancy
    urgency: int
    codes: Mapping[str, str] = field(hash=False)
    source: str
    reviewed_by: str
    reviewed_on: str

    @property
    def sought(self) -> bool:
        """Whether it must not be missed: malignant, pre-malignant, or nobody knows."""
        return self.malignancy in (Malignancy.MALIGNANT, Malignancy.PREMALIGNANT)

    @property
    def tier_status(self) -> str:
        """Who answers for malignancy and urgency."""
        return f"signed by {self.reviewed_by}, {self.reviewed_on}" if self.reviewed_by else PROPOSED

    @property
    def gravity(self) -> tuple[int, int]:
        """Sorts the graver first: the more urgent, then the more malignant."""
        return self.urgency, list(Malignancy).index(self.malignancy)


@cache
def labels() -> Taxonomy:
    """The entries of ``labels.toml`` as the core reads them."""
    return taxonomy.load(LABELS)


@cache
def nodes() -> Mapping[str, Node]:
    """All entries by their code, in the order of ``labels.toml``.

    Raises:
        DataError: An entry has no kind or malignancy, or its parents do not end in a family.
    """
    by_code = {label.code: label for label in labels().labels}
    return MappingProxyType({code: _node(label, by_code) for code, label in by_code.items()})


def leaves() -> tuple[Node, ...]:
    """The 128 diseases."""
    return tuple(node for node in nodes().values() if node.kind is Kind.LEAF)


def find(word: str) -> Node | None:
    """The entry with this code, name or alias, in any case; None where there is none."""
    label = labels().find(word)
    return None if label is None else nodes()[label.code]


def resolve(word: str) -> Node:
    """The entry with this code, name or alias.

    Raises:
        DataError: There is none; the sentence names the closest.
    """
    return nodes()[labels().resolve(word).code]


@cache
def outside_sets() -> Mapping[str, Mapping[str, Node | None]]:
    """Labels of public data sets: by the set's name, each label as published and what it is here.

    None means that the list has nothing for it: a disease outside the 128, no disease, or a mixture of families.
    """
    found: dict[str, dict[str, Node | None]] = {}
    with OUTSIDE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["set"], {})[row["label"]] = find(row["label"])
    return MappingProxyType(found)


def _node(label: Label, by_code: Mapping[str, Label]) -> Node:
    try:
        kind, malignancy = Kind(label.facts["kind"]), Malignancy(label.facts["malignancy"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{LABELS}: {label.code} has no usable kind or malignancy ({error}); allowed are "
            f"{', '.join(Kind)} and {', '.join(Malignancy)}"
        ) from error
    return Node(
        code=label.code,
        name=label.name,
        kind=kind,
        family=_family(label, by_code) if kind in (Kind.LEAF, Kind.GROUP, Kind.FAMILY) else "",
        malignancy=malignancy,
        urgency=4 - label.severity,
        codes=label.codes,
        source=label.source,
        reviewed_by=label.facts.get("reviewed_by", ""),
        reviewed_on=label.facts.get("reviewed_on", ""),
    )


def _family(label: Label, by_code: Mapping[str, Label]) -> str:
    """The top of the tree above a label."""
    top, climbed = label, [label.code]
    while top.parent:
        if top.parent not in by_code or top.parent in climbed:
            raise DataError(f"{LABELS}: parent {top.parent!r} of {top.code} is no entry above it; name a family's code")
        top = by_code[top.parent]
        climbed.append(top.code)
    if top.facts.get("kind") != Kind.FAMILY:
        raise DataError(f"{LABELS}: {label.code} ends in {top.code}, which is no family; give it a parent")
    return top.code
