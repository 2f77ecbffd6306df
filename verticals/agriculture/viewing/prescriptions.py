"""A field map and a wish in, the spray plan with its savings-recall curve out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import ConfigError, DataError
from verticals.agriculture.decide import AgriculturePolicy, read_policy
from verticals.agriculture.mapping.field_map import FieldMap
from verticals.agriculture.spraying import layers
from verticals.agriculture.spraying.grid import SwathGrid, burn, lay
from verticals.agriculture.spraying.machine import Machine, load, named, profiles
from verticals.agriculture.spraying.map_layers import MapLayers, map_layers
from verticals.agriculture.spraying.plan import SprayPlan, Unexamined, spray_plan
from verticals.agriculture.spraying.provenance import Provenance
from verticals.agriculture.spraying.savings import SavingsCurve, savings_curve
from verticals.agriculture.viewing import keep_off, targets
from verticals.agriculture.viewing.outlines import Outline

_LIKELY = 0.5


@dataclass(frozen=True)
class Wish:
    """What a person asks for.

    Attributes:
        machine: The sprayer.
        targets: Labels to be sprayed; empty takes :func:`targets.usual`.
        threshold: Probability from which ground is a target, 0 to 1; None takes the highest that reaches ``recall``.
        recall: Share of the diseased area to be reached, as the map's probabilities expect it; above 0 and up to 1.
        unexamined: Whether ground that is NOT EXAMINED is sprayed as in broadcast or left out.
        heading_deg: Driving direction, clockwise from grid north; None takes the field's longest edge.
        policy: What a spray of this site reaches.
    """

    machine: Machine
    targets: tuple[str, ...] = ()
    threshold: float | None = None
    recall: float = 0.95
    unexamined: Unexamined = "spray"
    heading_deg: float | None = None
    policy: AgriculturePolicy = field(default_factory=lambda: read_policy(None))

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold is {self.threshold}; allowed is above 0 and up to 1")
        if not 0 < self.recall <= 1:
            raise ConfigError(f"recall is {self.recall}; allowed is above 0 and up to 1")


@dataclass(frozen=True)
class Ground:
    """A map on a machine's grid, with what people said of its zones.

    Attributes:
        grid: The machine's grid over the field.
        layers: Scores, as corrected.
        corrected: Zones that a person has judged.
        curve: What the machine saves at which recall, expected from the probabilities.
        ceiling: Share of broadcast that this machine would save if the map were right everywhere; 0 to 1.
        mapped_unexamined_ha: What the map counts as NOT EXAMINED, in its own cells.
        keep_off: Ground that must not be sprayed, distances added, in the map's CRS.
        remarks: What that is.
        name: Of the field.
    """

    grid: SwathGrid
    layers: MapLayers
    corrected: int
    curve: SavingsCurve
    ceiling: float
    mapped_unexamined_ha: float
    keep_off: tuple[Any, ...] = field(default=(), repr=False)
    remarks: tuple[str, ...] = ()
    name: str = "field"


@dataclass(frozen=True)
class Prescribed:
    """A plan and what it was made of.

    Attributes:
        plan: Which sections spray where.
        threshold: Probability from which ground is a target.
        recall: Expected share of the diseased area that is sprayed; None beyond the curve.
        provenance: For the files.
        folder: Of the map.
        name: Of the field, which the terminal shows.
        remarks: Sentences for the person.
    """

    plan: SprayPlan
    threshold: float
    recall: float | None
    provenance: Provenance
    folder: Path
    name: str
    remarks: tuple[str, ...] = ()


def machine(key: str) -> Machine:
    """A machine by the key of a profile, or from its TOML file.

    Raises:
        ConfigError: It is neither.
    """
    return load(Path(key)) if key.lower().endswith(".toml") and key not in profiles() else named(key)


def ground(field_map: FieldMap, outline: Outline, wish: Wish, said: Sequence[tuple[Any, str]] = ()) -> Ground:
    """Lay the machine over the field and trace what it saves at which recall; what is kept off in the map's folder is.

    Args:
        field_map: The map.
        outline: Its field.
        wish: Machine, targets, recall and policy; its threshold is not looked at.
        said: (outline of a zone in the map's CRS, label that a person gave it): such ground is a target for certain,
            or none for certain.

    Raises:
        DataError: A target is no label of the map, or nothing of the examined field is expected to be a target.
    """
    wanted = wish.targets or targets.usual(field_map, wish.policy)
    if not wanted:
        raise DataError(
            f"{field_map.folder}: no label of the map is anything that a spray of this site reaches; name what is to "
            f"be sprayed as target: {', '.join(field_map.labels)}"
        )
    grid = lay(outline.shape, field_map.grid.crs, wish.machine, heading_deg=wish.heading_deg)
    read = _corrected(map_layers(field_map, grid, wanted), grid, said)
    off, said_off = keep_off.kept(field_map)
    curve = savings_curve(
        grid, read.score, read.examined, expected=read.expected, unexamined=wish.unexamined, no_spray=off,
        recall_target=wish.recall, synthetic=_synthetic(field_map),
    )  # fmt: skip
    likely = (np.nan_to_num(read.expected) >= _LIKELY).astype(np.float32)
    ceiling = 1.0
    if (likely.astype(bool) & grid.inside & read.examined).any():
        # With the map's own classes as truth the ceiling is the machine's alone: its sections, buffer and times.
        perfect = savings_curve(
            grid, read.score, read.examined, truth=likely, unexamined=wish.unexamined, no_spray=off, thresholds=[1.0],
            resamples=2,
        )  # fmt: skip
        ceiling = perfect.ceiling or 0.0
    unseen_ha = field_map.hectares["not_examined"]
    return Ground(grid, read, len(said), curve, ceiling, unseen_ha, off, said_off, outline.name)


def prescribe(field_map: FieldMap, on: Ground, wish: Wish) -> Prescribed:
    """Decide which sections spray.

    Raises:
        DataError: No threshold reaches the recall, or the map does not say the hashes it was made from.
    """
    point = on.curve.operating
    if wish.threshold is None and point is None:
        kept = "ground that is kept off holds too much of what is sought; " if on.keep_off else ""
        raise DataError(
            f"{field_map.folder}: no threshold reaches a recall of {wish.recall:g} on this map; {kept}"
            "ask for less recall or name a threshold"
        )
    threshold = wish.threshold if wish.threshold is not None or point is None else point.threshold
    assert threshold is not None
    goal = on.layers.score >= np.float32(threshold)
    plan = spray_plan(on.grid, goal, on.layers.examined, no_spray=on.keep_off, unexamined=wish.unexamined)
    provenance = on.layers.provenance(
        threshold=threshold,
        recall_target=None if wish.threshold is not None else wish.recall,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        synthetic=_synthetic(field_map),
    )
    said = [f"zones as a person judged them: {on.corrected}, for certain"] if on.corrected else []
    named_machine = replace(provenance, machine=wish.machine.name)
    recall = _recall_at(on.curve, threshold)
    remarks = (*said, *targets.remarks(field_map, on.layers.targets, wish.policy), *on.remarks, *plan.remarks)
    return Prescribed(plan, threshold, recall, named_machine, field_map.folder, on.name, remarks)


def sprayed(made: Prescribed) -> Any:
    """GeoDataFrame of the ground that is sprayed, as polygons in the map's CRS."""
    frame = layers.prescription(made.plan)
    return frame[frame.rate_l_ha > 0]


def facts(made: Prescribed, on: Ground) -> dict[str, Any]:
    """The figures of a prescription, ready for ``json.dumps``."""
    plan = made.plan
    return {
        "synthetic": on.curve.synthetic,
        "field": made.name,
        "machine": plan.grid.machine.name,
        "targets": list(on.layers.targets),
        "threshold": made.threshold,
        "expected_recall": made.recall,
        "saved": plan.saved,
        "ceiling": on.ceiling,
        "hectares": dict(plan.hectares),
        "mapped_not_examined_ha": on.mapped_unexamined_ha,
        "litres": plan.litres,
        "broadcast_litres": plan.broadcast_litres,
        "tanks": plan.tanks,
        "heading_deg": plan.grid.heading_deg,
        "curve": [
            {key: value for key, value in asdict(point).items() if value is not None} for point in on.curve.points
        ],
        "remarks": [*made.remarks, *on.curve.remarks],
        "provenance": dict(made.provenance.metadata()),
    }


def told(found: dict[str, Any]) -> list[str]:
    """The same for a person at the terminal."""
    ha = found["hectares"]
    lines = ["!! SYNTHETIC: a drawn field, no figure of a real one"] if found["synthetic"] else []
    recall = found["expected_recall"]
    reached = "" if recall is None else f", expected to reach {100 * recall:.1f} % of the diseased area"
    lines += [
        f"{found['machine']}; targets {', '.join(found['targets'])}",
        f"from probability {found['threshold']:.3f}{reached}",
        f"sprayed {ha['sprayed']:.4f} of {ha['broadcast']:.4f} ha broadcast: {100 * found['saved']:.1f} % saved "
        f"(this machine's ceiling on this map, at 100 % recall: {100 * found['ceiling']:.1f} %)",
        f"{litres(found['litres'])} against {litres(found['broadcast_litres'])} broadcast, {found['tanks']:.2f} tanks",
        f"NOT EXAMINED {ha['not_examined']:.4f} ha, of that unsprayed {ha['not_examined_unsprayed']:.4f} ha: all that "
        f"such a cell of the map touches; the map counts its cells, {found['mapped_not_examined_ha']:.4f} ha",
        *(f"note: {remark}" for remark in found["remarks"]),
    ]
    if "files" in found:
        passed = f"; no reason found why {found['terminal']} would refuse it" if found["terminal"] else ""
        lines.append(f"written: {found['files']} ({found['format']}){passed}")
    return lines


def litres(volume: float) -> str:
    """A volume with its unit, in as many digits as a saving of some per cent can be seen in."""
    return f"{volume:.{0 if volume >= 100 else 1 if volume >= 10 else 2}f} l"


def _corrected(read: MapLayers, grid: SwathGrid, said: Sequence[tuple[Any, str]]) -> MapLayers:
    score, expected = read.score.copy(), read.expected.copy()
    for shape, label in said:
        here = burn([shape], grid.transform, score.shape) & read.examined
        score[here] = expected[here] = np.float32(label in read.targets)
    return replace(read, score=score, expected=expected)


def _recall_at(curve: SavingsCurve, threshold: float) -> float | None:
    """Expected recall of the nearest point that treats no more than the threshold does; points fall in threshold."""
    return next((p.recall for p in reversed(curve.points) if p.threshold >= np.float32(threshold)), None)


def _synthetic(field_map: FieldMap) -> bool:
    return bool((field_map.card.get("raster") or {}).get("synthetic"))
