"""A sprayer's TOML in, its switching geometry as data out; named profiles for machines without a file of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared import config
from shared.errors import ConfigError

PROFILES = Path(__file__).parent / "machines.toml"
_MULTIPLE = 1e-6
_M_S_PER_KM_H = 1 / 3.6


@dataclass(frozen=True)
class Machine:
    """A sprayer, as far as it decides which ground gets sprayed.

    Attributes:
        name: For people.
        boom_m: Working width of the boom in metres.
        section_m: Width that switches as one: nozzle spacing or part-width section, in metres; the boom is a multiple.
        step_m: Length in metres along the drive in which the terminal decides anew; a section on, on for a step.
        buffer_m: Safety zone in metres that is added around every target, for errors of position; 0 to 10.
        speed_km_h: Driving speed.
        min_on_s: Shortest time in seconds that a section stays on.
        latency_s: Switching delay in seconds that the terminal does not make up for; runs begin and end earlier and
            later by its way.
        tank_l: Tank in litres.
        rate_l_ha: Spray liquid in litres per hectare.
        terminal: Key of the terminal profile (:mod:`verticals.agriculture.spraying.terminals`), or empty.
        source: Where the figures come from.
    """

    name: str
    boom_m: float
    section_m: float
    step_m: float = 1.0
    buffer_m: float = 0.0
    speed_km_h: float = 8.0
    min_on_s: float = 0.0
    latency_s: float = 0.0
    tank_l: float = 3000.0
    rate_l_ha: float = 200.0
    terminal: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for name, low, high, unit in (
            ("boom_m", 0.25, 60.0, "m"),
            ("section_m", 0.1, 60.0, "m"),
            ("step_m", 0.1, 20.0, "m"),
            ("buffer_m", 0.0, 10.0, "m"),
            ("speed_km_h", 0.5, 40.0, "km/h"),
            ("min_on_s", 0.0, 10.0, "s"),
            ("latency_s", 0.0, 10.0, "s"),
            ("tank_l", 1.0, 30_000.0, "l"),
            ("rate_l_ha", 1.0, 2_000.0, "l/ha"),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value:g}; allowed are {low:g} to {high:g} {unit}")
        sections = self.boom_m / self.section_m
        if round(sections) < 1 or abs(sections - round(sections)) > _MULTIPLE:
            raise ValueError(
                f"boom_m {self.boom_m:g} is {sections:.2f} times section_m {self.section_m:g}; allowed is a whole "
                "number of equal sections: give the width that all sections have"
            )

    @property
    def sections(self) -> int:
        """Sections of the boom."""
        return round(self.boom_m / self.section_m)

    @property
    def min_on_m(self) -> float:
        """Shortest length in metres that a section sprays: speed times the shortest time."""
        return self.speed_km_h * _M_S_PER_KM_H * self.min_on_s

    @property
    def latency_m(self) -> float:
        """Way in metres that is driven within the switching delay."""
        return self.speed_km_h * _M_S_PER_KM_H * self.latency_s


def load(path: Path) -> Machine:
    """Read a machine from TOML: the attributes of :class:`Machine` as keys.

    Raises:
        ConfigError: The file cannot be read, or says something that is not allowed.
    """
    return config.load(Machine, path)


def profiles() -> Mapping[str, Machine]:
    """The machines that come with the package, by key; each says its source."""
    return config.profiles(Machine, PROFILES)


def named(key: str) -> Machine:
    """A machine of :func:`profiles`.

    Raises:
        ConfigError: There is none of that key.
    """
    known = profiles()
    if key not in known:
        raise ConfigError(f"machine {key!r} is not known; {config.did_you_mean(key, list(known))}, or give a TOML file")
    return known[key]
