"""What a drawn field is to look like: size, stage, diseases, weeds, light; checked when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shared.errors import ConfigError

HEALTHY, SOIL, WEED = "healthy", "bare_soil", "weed"
NODATA = 255
"""Of the truth raster: outside of the field."""


@dataclass(frozen=True)
class Look:
    """How one disease shows on leaves.

    Attributes:
        lesion: Material of its lesions, a key of :data:`verticals.agriculture.drawing.light.REFLECTANCE`.
        size_m: Size of a lesion in metres.
        yellow: How much it yellows the leaf around, 0 to 1.
        wither: Share of the crown's radius that is lost where all leaves are diseased, 0 to 1.
    """

    lesion: str
    size_m: float
    yellow: float
    wither: float


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "potato_late_blight": Look("dark lesion", size_m=0.10, yellow=0.15, wither=0.45),
        "potato_early_blight": Look("tan lesion", size_m=0.04, yellow=1.0, wither=0.1),
    }
)
"""Diseases that can be drawn."""


@dataclass(frozen=True)
class Setting:
    """What is drawn.

    Attributes:
        width: Pixels across.
        height: Pixels down.
        gsd_m: Metres per pixel.
        bbch: Stage of the crop, 9 (emergence) to 65 (full flowering): how much of the soil is covered.
        infestation: Share of the plants that are infected, 0 to 1.
        patch_m: Correlation length of the patches in metres.
        severity: Per cent of leaf area diseased in the worst places.
        diseases: Of :data:`LOOKS`.
        weeds: Share of the ground under weeds, about.
        row_m: Distance of rows in metres.
        row_angle_deg: Direction of rows on the picture, clockwise from the raster's rows.
        nir: True for four bands of uint16 with near infrared, False for RGB of uint8.
        cloud: Darkest cloud shadow, 0 to 1.
        drift: Deviation of the exposure between flight lines, relative.
        blur_px: Deviation of the camera's blur in pixels.
        uncovered: Share of the field, about, that the mosaic does not cover.
        epsg: Projected CRS in metres.
        west: Easting of the raster's left edge.
        north: Northing of its upper edge.
        day: ISO 8601, of the flight.
    """

    width: int = 1000
    height: int = 1000
    gsd_m: float = 0.03
    bbch: int = 33
    infestation: float = 0.2
    patch_m: float = 6.0
    severity: float = 60.0
    diseases: tuple[str, ...] = ("potato_late_blight", "potato_early_blight")
    weeds: float = 0.03
    row_m: float = 0.75
    row_angle_deg: float = 14.0
    nir: bool = False
    cloud: float = 0.35
    drift: float = 0.04
    blur_px: float = 0.7
    uncovered: float = 0.02
    epsg: int = 32632
    west: float = 565_000.0
    north: float = 5_540_000.0
    day: str = "2026-06-28"

    def __post_init__(self) -> None:
        ranges = {
            "width": (32, 20_000), "height": (32, 20_000), "gsd_m": (0.005, 0.2), "bbch": (9, 65),
            "infestation": (0, 1), "patch_m": (0.2, 200), "severity": (5, 95), "weeds": (0, 0.4), "cloud": (0, 1),
            "row_m": (0.1, 3), "drift": (0, 0.3), "blur_px": (0, 5), "uncovered": (0, 0.5),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"drawn field: {name} is {value}; allowed is {low} to {high}")
        foreign = [name for name in self.diseases if name not in LOOKS]
        if foreign or len(set(self.diseases)) < len(self.diseases):
            raise ConfigError(f"drawn field: diseases are {self.diseases}; allowed are different ones of {list(LOOKS)}")

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (down, across)."""
        return self.height, self.width

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the values of the truth raster."""
        return (HEALTHY, SOIL, WEED, *self.diseases)
