"""What a prescription was made from, as metadata of its files and as the 32 characters a task's name has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from shared.errors import DataError

DESIGNATOR_LENGTH = 32
"""Longest TaskDesignator (ISO 11783-10, attribute B of TSK)."""
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Provenance:
    """What a prescription was made from.

    Attributes:
        raster: SHA-256 of the raster that was mapped, hexadecimal.
        bundle: Hash of the model bundle.
        map: SHA-256 of the map (its ``map.json``).
        threshold: Probability from which ground was a target, 0 to 1; None for zones drawn or picked by a person.
        recall_target: Diseased-area recall that the threshold was chosen for, 0 to 1; None where it was not.
        machine: Name of the machine.
        made_at: When, ISO 8601.
        synthetic: True where the raster was simulated; it goes with every number.
    """

    raster: str
    bundle: str
    map: str
    threshold: float | None = None
    recall_target: float | None = None
    machine: str = ""
    made_at: str = ""
    synthetic: bool = False

    def __post_init__(self) -> None:
        for name in ("raster", "bundle", "map"):
            value = getattr(self, name)
            if len(value) < 6 or not set(value.lower()) <= _HEX:
                raise DataError(f"provenance: {name} is {value!r}; allowed is a hash of at least 6 hexadecimal digits")
        for name in ("threshold", "recall_target"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise DataError(f"provenance: {name} is {value}; allowed are 0 to 1")

    def metadata(self) -> Mapping[str, str]:
        """Key and value pairs for a file's metadata; nothing that is unknown is in it."""
        return {f"loupe_{key}": str(value) for key, value in asdict(self).items() if value not in (None, "")}

    def designator(self) -> str:
        """Six digits of each hash, the threshold and the recall target, e.g. ``r1a2b3c b4d5e6f m708192 t.35R95``."""
        hashes = f"r{self.raster[:6]} b{self.bundle[:6]} m{self.map[:6]}"
        threshold = "" if self.threshold is None else f"t{self.threshold:.2f}".replace("t0.", "t.").replace("1.00", "1")
        recall = "" if self.recall_target is None else f"R{100 * self.recall_target:.0f}"
        text = f"{hashes} {threshold}{recall}".strip()
        assert len(text) <= DESIGNATOR_LENGTH
        return text
