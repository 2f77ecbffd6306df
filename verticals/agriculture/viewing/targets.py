"""A map and the site's policy in, what a prescription is against out, and what it is not against, in sentences."""

from collections.abc import Sequence

from verticals.agriculture.decide import AgriculturePolicy, agent_kind, read_policy, unreached
from verticals.agriculture.mapping.field_map import FieldMap
from verticals.agriculture.taxonomy import terms
from verticals.agriculture.taxonomy.terms import Kind

_CONDITIONS = (Kind.CONDITION, Kind.GROUP, Kind.FAMILY, Kind.UNKNOWN)


def conditions(field_map: FieldMap) -> tuple[str, ...]:
    """Labels of a map that name a disease, pest, weed or stress, or that the taxonomy does not know."""
    found = {label: terms.find(label) for label in field_map.labels if label != field_map.ok_label}
    return tuple(label for label, term in found.items() if term is None or term.kind in _CONDITIONS)


def usual(field_map: FieldMap, policy: AgriculturePolicy | None = None) -> tuple[str, ...]:
    """Labels of a map that a spray of the site reaches, by the rule for single tiles, or that the taxonomy lacks.

    Anything else is not sprayed unless a person asks for it: a virus disease, drought, what nobody could name.

    Args:
        field_map: The map.
        policy: The site's, None for the vertical's defaults.
    """
    site = policy or read_policy(None)
    found = {label: terms.find(label) for label in conditions(field_map)}
    return tuple(label for label, term in found.items() if term is None or not unreached(term, site))


def remarks(field_map: FieldMap, chosen: Sequence[str], policy: AgriculturePolicy) -> tuple[str, ...]:
    """What a person who signs has to know about the targets: several kinds of agents, and what is left out.

    Args:
        field_map: The map.
        chosen: What is sprayed.
        policy: The site's.
    """
    return (*_kinds(chosen), *_left(field_map, chosen, policy))


def _kinds(chosen: Sequence[str]) -> tuple[str, ...]:
    kinds: dict[str, list[str]] = {}
    for label in chosen:
        term = terms.find(label)
        kinds.setdefault((agent_kind(term) if term else "") or "no known agent", []).append(
            term.name if term else label
        )
    if len(kinds) < 2:
        return ()
    told = "; ".join(f"{kind}: {', '.join(labels)}" for kind, labels in kinds.items())
    return (
        f"targets of several kinds ({told}) with one rate: look whether what is in the tank reaches all of them, or "
        "make an order for each kind",
    )


def _left(field_map: FieldMap, chosen: Sequence[str], policy: AgriculturePolicy) -> tuple[str, ...]:
    hectares = {label: field_map.hectares[label] for label in conditions(field_map) if label not in chosen}
    return tuple(
        f"not sprayed against: {label}, {area:.4f} ha on the map, "
        f"{unreached(terms.find(label), policy) or 'not among the targets'}"
        for label, area in hectares.items()
        if area > 0
    )
