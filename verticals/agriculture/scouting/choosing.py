"""Places in, those worth walking to out: by stratum, far enough from each other and from the edge."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigError, require
from verticals.agriculture.scouting.places import Places

_SURE = 0.5
"""A place is sure where less than this share of the most that can be at stake is at stake there."""


class Stratum(StrEnum):
    """Why a place is visited."""

    UNCERTAIN = "uncertain"
    """A visit may change the decision; most at stake first."""
    HIGH = "high"
    """The map is sure of a target; most likely first."""
    CONTROL = "control"
    """The map is sure that there is none; drawn at random, because a rule finds only what the map already knows."""
    UNSEEN = "unseen"
    """NOT EXAMINED; most hectares first."""


@dataclass(frozen=True)
class Choice:
    """How many places are visited, and where they may lie.

    Attributes:
        uncertain: Places where a visit may change the decision.
        high: Places where the map is sure of a target.
        control: Places where it is sure that there is none.
        unseen: Places that are NOT EXAMINED.
        apart_m: Least distance of two places in metres.
        headland_m: Least distance from the field's edge in metres.
        seed: Of the control places.
    """

    uncertain: int = 6
    high: int = 3
    control: int = 3
    unseen: int = 2
    apart_m: float = 20.0
    headland_m: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        counts = [self.wanted(stratum) for stratum in Stratum]
        if min(counts) < 0 or not 0 < sum(counts) <= 200:
            raise ConfigError(f"places to visit are {counts}; allowed are 1 to 200 together, none below 0")
        if not (self.apart_m >= 0 and self.headland_m >= 0):
            raise ConfigError(
                f"apart_m is {self.apart_m:g} and headland_m {self.headland_m:g}; allowed are 0 m and above"
            )

    def wanted(self, stratum: Stratum) -> int:
        """Places of a stratum."""
        return int(getattr(self, stratum.value))


def strata(places: Places) -> dict[Stratum, NDArray[np.bool_]]:
    """Which places belong to which stratum; one that is partly examined goes by what was seen of it."""
    costs, seen = places.costs, places.examined_ha > 0
    most = costs.needless * (1 - costs.threshold) * places.examined_ha
    sure = places.stake < _SURE * most
    sick = np.nan_to_num(places.risk) >= costs.threshold
    return {
        Stratum.UNCERTAIN: seen & ~sure,
        Stratum.HIGH: seen & sure & sick,
        Stratum.CONTROL: seen & sure & ~sick,
        Stratum.UNSEEN: ~seen,
    }


def allowed(places: Places, ground: Any, headland_m: float) -> NDArray[np.bool_]:
    """Whether the middle of each place lies in the field and off its headland."""
    shapely = require("shapely", extra="agriculture")
    inner = ground.buffer(-headland_m)
    shapely.prepare(inner)
    return np.asarray(shapely.covers(inner, shapely.points(places.x, places.y)), bool)


def choose(places: Places, able: NDArray[np.bool_], how: Choice) -> list[tuple[int, Stratum]]:
    """Choose places greedily, stratum by stratum in the order of :class:`Stratum`.

    Args:
        places: Of the map.
        able: ``(places,)`` bool, those that may be visited.
        how: Counts and distances.

    Returns:
        Index and stratum; fewer than wanted where a stratum has no more places that are far enough apart.
    """
    rng = np.random.default_rng(how.seed)
    rank = {
        Stratum.UNCERTAIN: -places.stake,
        Stratum.HIGH: -np.nan_to_num(places.risk) * places.examined_ha,
        Stratum.CONTROL: rng.random(len(places)),
        Stratum.UNSEEN: -places.not_examined_ha,
    }
    taken: list[tuple[int, Stratum]] = []
    for stratum, members in strata(places).items():
        candidates = np.flatnonzero(members & able)
        candidates = candidates[np.argsort(rank[stratum][candidates], kind="stable")]
        left = how.wanted(stratum)
        for i in candidates if left else ():
            near = any(np.hypot(places.x[i] - places.x[j], places.y[i] - places.y[j]) < how.apart_m for j, _ in taken)
            if not near:
                taken.append((int(i), stratum))
                left -= 1
            if not left:
                break
    return taken
