"""Targets on a machine's grid in, the spray plan out: cells on, hectares of every kind, litres against broadcast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from shared.errors import DataError
from verticals.agriculture.spraying.grid import Geometry, Mask, SwathGrid
from verticals.agriculture.spraying.gridding import covered
from verticals.agriculture.spraying.switching import cell_scores, switch

Unexamined = Literal["spray", "skip"]
_TOLD_HA = 0.0005
"""Least area that is more than 0 in the digits that a sentence has."""


@dataclass(frozen=True)
class SprayPlan:
    """Which sections spray where, and what that comes to.

    Attributes:
        grid: The machine's grid over the field.
        cells: ``(sections, steps)`` bool: on.
        blocked: ``(sections, steps)`` bool: cells that no-spray ground touches, always off.
        unknown: ``(rows, columns)`` bool: fine pixels of the field that were NOT EXAMINED.
        rate_l_ha: Litres per hectare where it is on.
        unexamined: What was done with ground that was NOT EXAMINED: sprayed as in broadcast, or left out.
        hectares: On the ellipsoid: ``field`` = ``examined`` + ``not_examined``; ``no_spray`` (of the field);
            ``broadcast`` (what the machine would spray of the field with all sections on where they may);
            ``sprayed`` = ``sprayed_examined`` + ``sprayed_not_examined``; ``not_examined_unsprayed``;
            ``target``, ``target_unsprayed``; ``beyond_field`` (sprayed outside of the outline by cells over its edge).
        litres: Spray liquid of the plan, ground beyond the outline included.
        broadcast_litres: Spray liquid of broadcast, likewise.
        no_spray: The shapes that must not be sprayed, in the grid's CRS.
        remarks: Sentences for the person.
    """

    grid: SwathGrid
    cells: Mask = field(repr=False, compare=False)
    blocked: Mask = field(repr=False, compare=False)
    unknown: Mask = field(repr=False, compare=False)
    rate_l_ha: float
    unexamined: Unexamined
    hectares: Mapping[str, float]
    litres: float
    broadcast_litres: float
    no_spray: tuple[Geometry, ...] = field(default=(), repr=False)
    remarks: tuple[str, ...] = ()

    @property
    def saved(self) -> float:
        """Share of the broadcast hectares that is not sprayed, 0 to 1."""
        broadcast = self.hectares["broadcast"]
        return 1.0 - self.hectares["sprayed"] / broadcast if broadcast > 0 else 0.0

    @property
    def tanks(self) -> float:
        """Tank fillings."""
        return self.litres / self.grid.machine.tank_l


def spray_plan(
    grid: SwathGrid,
    target: Mask,
    examined: Mask,
    *,
    no_spray: Sequence[Geometry] = (),
    unexamined: Unexamined = "spray",
    rate_l_ha: float | None = None,
) -> SprayPlan:
    """Decide which sections switch on.

    Args:
        grid: The machine's grid over the field.
        target: ``(rows, columns)`` bool: ground to be sprayed.
        examined: ``(rows, columns)`` bool: ground that was looked at (``gridding.examined``).
        no_spray: Shapes in the grid's CRS that must not be sprayed, their distances already added (water, neighbours).
        unexamined: ``spray`` treats field that was not looked at as in broadcast, since nothing is known of it.
        rate_l_ha: Litres per hectare; None takes the machine's.

    Raises:
        DataError: A mask does not fit the grid, or the policy is unknown.
    """
    for name, mask in (("target", target), ("examined", examined)):
        if mask.shape != grid.inside.shape:
            raise DataError(
                f"spray plan: {name} has {mask.shape}, the grid {grid.inside.shape}; bring it onto the grid"
            )
    if unexamined not in ("spray", "skip"):
        raise DataError(f"spray plan: unexamined is {unexamined!r}; allowed are 'spray' and 'skip'")
    unknown = grid.inside & ~examined
    goal = grid.inside & target & examined
    wanted = (goal | unknown) if unexamined == "spray" else goal
    forbidden = covered(grid, no_spray)
    blocked = grid.any_in_cell(forbidden)
    cells = switch(grid, cell_scores(grid, wanted.astype(np.float32)) > 0, blocked)
    hectares = _hectares(grid, cells, blocked, goal=goal, unknown=unknown, forbidden=forbidden)
    rate = grid.machine.rate_l_ha if rate_l_ha is None else rate_l_ha
    everywhere = grid.fine(grid.any_in_cell(grid.inside) & ~blocked)
    return SprayPlan(
        grid,
        cells,
        blocked,
        unknown,
        rate,
        unexamined,
        hectares,
        rate * grid.hectares(grid.fine(cells)),
        rate * grid.hectares(everywhere),
        tuple(no_spray),
        _remarks(hectares, unexamined),
    )


def _hectares(
    grid: SwathGrid, cells: Mask, blocked: Mask, *, goal: Mask, unknown: Mask, forbidden: Mask
) -> Mapping[str, float]:
    on, inside = grid.fine(cells), grid.inside
    return {
        "field": grid.hectares(inside),
        "examined": grid.hectares(inside & ~unknown),
        "not_examined": grid.hectares(unknown),
        "no_spray": grid.hectares(inside & forbidden),
        "broadcast": grid.hectares(inside & ~grid.fine(blocked)),
        "sprayed": grid.hectares(inside & on),
        "sprayed_examined": grid.hectares(inside & on & ~unknown),
        "sprayed_not_examined": grid.hectares(on & unknown),
        "not_examined_unsprayed": grid.hectares(unknown & ~on),
        "target": grid.hectares(goal),
        "target_unsprayed": grid.hectares(goal & ~on),
        "beyond_field": grid.hectares(on & ~inside),
    }


def _remarks(hectares: Mapping[str, float], unexamined: Unexamined) -> tuple[str, ...]:
    said = []
    if hectares["not_examined"] > 0:
        done = "is sprayed as in broadcast" if unexamined == "spray" else "is left unsprayed by the policy"
        left = hectares["not_examined_unsprayed"]
        but = f", but for {left:.3f} ha in no-spray ground" if unexamined == "spray" and left > 0 else ""
        said.append(f"{hectares['not_examined']:.3f} ha of the field were NOT EXAMINED; that ground {done}{but}")
    if hectares["no_spray"] > 0:
        said.append(
            f"{hectares['no_spray']:.3f} ha of the field lie in no-spray buffers; sections that touch them are off"
        )
    if hectares["target_unsprayed"] > 0:
        said.append(
            f"{hectares['target_unsprayed']:.3f} of {hectares['target']:.3f} ha of targets are not sprayed: they "
            "lie in no-spray ground or in sections that touch it"
        )
    if hectares["beyond_field"] >= _TOLD_HA:
        said.append(
            f"{hectares['beyond_field']:.3f} ha beyond the field's outline, holes in it too, are under sections that "
            "reach over it: in the litres and not in the hectares; what must not be sprayed there has to be kept off"
        )
    return tuple(said)
