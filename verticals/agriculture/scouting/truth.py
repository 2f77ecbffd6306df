"""Points on a map in, how often it is right and the areas that follow from them out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from shared.reporting import rates
from shared.reporting.rates import Rate
from verticals.agriculture.mapping.field_map import FieldMap
from verticals.agriculture.scouting.area_estimate import AreaEstimate, Design, estimate, recalls
from verticals.agriculture.scouting.observations import Observation, Observations

RECALL_OF = {
    "area": "recall is the share of the true area that the map found, at the worse end of what the points leave open",
    "points": "recall is that of these points and not of the field: points that were chosen by what the map says find "
    "more of what it found than of what it missed",
}


@dataclass(frozen=True)
class Agreement:
    """A map against what somebody saw.

    Attributes:
        labels: Of the map.
        confusion: ``(true labels, mapped labels)`` points.
        recall: Label -> share of its true area that the map has right; of the points alone where ``area`` is None.
        precision: Label -> share of the points where the map says it that have it.
        severity_error: Root mean square and mean of mapped minus seen severity in per cent, with ``n``.
        area: Design-based areas, None where they cannot be had.
        no_area: Why not, empty where they can.
        not_examined_ha: Hectares of the field that none of this says anything about.
        problems: Points that were left out, as text.
        synthetic: Whether the map is of a drawn field.
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    recall: Mapping[str, Rate]
    precision: Mapping[str, Rate]
    severity_error: Mapping[str, float] | None
    area: AreaEstimate | None
    no_area: str
    not_examined_ha: float
    problems: tuple[str, ...]
    synthetic: bool = False


def compare(
    field_map: FieldMap, seen: Observations, design: Design, *, mapped_severity: NDArray[np.float64] | None = None
) -> Agreement:
    """Compare a map with observations.

    Args:
        field_map: The map.
        seen: Points on it.
        design: How the points were chosen; areas follow from probability samples only.
        mapped_severity: ``(points,)`` per cent that the map says, see :func:`severity_at`; NaN where it says none.
    """
    labels, hectares = field_map.labels, field_map.hectares
    true = _indices([p.label for p in seen.points], labels)
    said = _indices([p.mapped for p in seen.points], labels)
    counts = np.asarray(rates.confusion(true, said, labels)["counts"], np.int64)
    groups, mapped = [p.group for p in seen.points], [hectares[label] for label in labels]
    area, why, recall = None, "", _shares(true, said, labels, groups)
    try:
        area = estimate(counts.T, mapped, labels, design)
        recall = recalls(counts.T, mapped, labels, design)
    except DataError as error:
        why = str(error)
    return Agreement(
        labels, counts, recall, _shares(said, true, labels, groups),
        _severities(seen.points, mapped_severity), area, why, hectares["not_examined"],
        tuple(map(str, seen.problems)), bool(field_map.card.get("raster", {}).get("synthetic")),
    )  # fmt: skip


def severity_at(field_map: FieldMap, seen: Observations) -> NDArray[np.float64]:
    """Severity that the map says at each point ``(points,)``, per cent; NaN where it says none."""
    from shared.errors import require
    from verticals.agriculture.mapping import cogs

    if field_map.severity_path is None:
        return np.full(len(seen.points), np.nan)
    with cogs.bounded(), require("rasterio", extra="agriculture").open(field_map.severity_path) as source:
        values = [float(v[0]) for v in source.sample([(p.x, p.y) for p in seen.points])]
    return np.array(values)


def facts(found: Agreement) -> dict[str, Any]:
    """Plain numbers for JSON and pages; rates with ``value``, ``low``, ``high`` and ``n``."""
    area = None
    if found.area is not None:
        area = asdict(found.area)
        area["share_of_map_right"] = area.pop("overall")
    notes = ["Numbers from a drawn field (synthetic): no accuracy of anything real."] if found.synthetic else []
    of = "area" if found.area is not None else "points"
    notes.append(RECALL_OF[of])
    return {
        "notes": notes,
        "points": int(found.confusion.sum()),
        "confusion": {"labels": list(found.labels), "counts": found.confusion.tolist()},
        "recall_of": of,
        "recall": {label: asdict(rate) for label, rate in found.recall.items()},
        "precision": {label: asdict(rate) for label, rate in found.precision.items()},
        "severity_error": dict(found.severity_error) if found.severity_error else None,
        "area": area,
        "no_area": found.no_area,
        "not_examined_ha": found.not_examined_ha,
        "left_out": list(found.problems),
        "synthetic": found.synthetic,
    }


def _indices(words: list[str], labels: tuple[str, ...]) -> NDArray[np.intp]:
    return np.array([labels.index(word) for word in words], np.intp)


def _shares(
    of: NDArray[np.intp], other: NDArray[np.intp], labels: tuple[str, ...], groups: list[str]
) -> dict[str, Rate]:
    """Share of the cases of each label in ``of`` that have it in ``other``; points of one field are alike."""
    result = {}
    for i, label in enumerate(labels):
        mine = np.flatnonzero(of == i)
        result[label] = rates.grouped(other[mine] == i, [groups[k] for k in mine])
    return result


def _severities(
    points: tuple[Observation, ...], mapped: NDArray[np.float64] | None
) -> dict[str, float] | None:  # fmt: skip
    if mapped is None:
        return None
    error = mapped - np.array([p.severity for p in points])
    error = error[np.isfinite(error)]
    if not len(error):
        return None
    return {"rmse": float(np.sqrt((error**2).mean())), "bias": float(error.mean()), "n": len(error)}
