"""Probabilities of a bundle's labels in; masses of families, malignancy and urgency out. Ties go to the graver."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from verticals.medical import taxonomy
from verticals.medical.taxonomy import Malignancy, Node

DISCLAIMER = (
    "Decision support for qualified clinicians. Not a diagnosis. Not a medical device, not for screening, never the "
    "only ground of a decision."
)
TIE = 1e-6
"""Probabilities closer than this are equal: the graph computes in float32."""

T = TypeVar("T")


@dataclass(frozen=True)
class RollUp:
    """Probability masses of one image; each of the four mappings adds up to what the labels add up to.

    Attributes:
        labels: By code of the taxonomy, the gravest first.
        families: By code of the family; empty text holds what could be of any family.
        malignancy: By kind of growth, the gravest first; kinds of which no label speaks are 0.
        urgency: By urgency, 0 to 4.
    """

    labels: Mapping[str, float]
    families: Mapping[str, float]
    malignancy: Mapping[Malignancy, float]
    urgency: tuple[float, ...]

    @property
    def risk(self) -> float:
        """Mass of what must not be missed: malignant, pre-malignant, in situ, uncertain."""
        return sum(mass for code, mass in self.labels.items() if taxonomy.nodes()[code].sought)


def roll_up(probabilities: Mapping[str, float]) -> RollUp:
    """Add up the probabilities of labels.

    Sums of leaves, as the indicator mapping matrix of Legit.Health does it. A label of a group, family or tier counts
    whole as the gravest leaf below it, since nobody can say which of them was meant.

    Args:
        probabilities: By label, in any spelling that the taxonomy knows; other words count as UNKNOWN, which is sought.
    """
    by_code: dict[str, float] = defaultdict(float)
    for word, probability in probabilities.items():
        by_code[node_of(word).code] += probability
    ordered = sorted((taxonomy.nodes()[code] for code in by_code), key=lambda node: node.gravity)
    families: dict[str, float] = defaultdict(float)
    malignancy = dict.fromkeys(Malignancy, 0.0)
    urgency = [0.0] * len(taxonomy.URGENCY)
    for node in ordered:
        families[node.family] += by_code[node.code]
        malignancy[node.malignancy] += by_code[node.code]
        urgency[node.urgency] += by_code[node.code]
    return RollUp({node.code: by_code[node.code] for node in ordered}, dict(families), malignancy, tuple(urgency))


def node_of(word: str) -> Node:
    """What a bundle's label is here; UNKNOWN where the taxonomy has no such word."""
    return taxonomy.find(word) or taxonomy.nodes()[taxonomy.UNKNOWN]


def leading(masses: Mapping[T, float], gravity: Callable[[T], tuple[int, ...]]) -> T:
    """The key with the largest mass; of those within :data:`TIE` of it (or where it is not a number), the graver.

    Args:
        masses: At least one.
        gravity: Sorts the graver first.
    """
    largest = max(masses.values())
    return min((key for key, mass in masses.items() if not largest - mass > TIE), key=gravity)


def likeliest(rolled: RollUp) -> Node:
    """The label with the largest probability."""
    return taxonomy.nodes()[leading(rolled.labels, lambda code: taxonomy.nodes()[code].gravity)]


def likeliest_sought(rolled: RollUp) -> Node | None:
    """The likeliest of what must not be missed; None where the bundle has no such label."""
    sought = {code: mass for code, mass in rolled.labels.items() if taxonomy.nodes()[code].sought}
    return taxonomy.nodes()[leading(sought, lambda code: taxonomy.nodes()[code].gravity)] if sought else None


def likeliest_family(rolled: RollUp) -> str:
    """Code of the family with the largest mass; empty where tiers or UNKNOWN weigh most."""
    return leading(rolled.families, lambda code: taxonomy.nodes()[code].gravity if code else (0, 0))


def likeliest_malignancy(rolled: RollUp) -> Malignancy:
    """The kind of growth with the largest mass."""
    return leading(rolled.malignancy, lambda kind: (list(Malignancy).index(kind),))


def likeliest_urgency(rolled: RollUp) -> int:
    """The urgency with the largest mass, 0 to 4."""
    return leading(dict(enumerate(rolled.urgency)), lambda urgency: (urgency,))


def gravest(nodes: Iterable[Node]) -> Node:
    """The gravest of at least one node."""
    return min(nodes, key=lambda node: node.gravity)
