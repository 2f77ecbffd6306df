"""A setting and a seed in, one flight over a drawn field out: picture, true classes, severity, canopy and boundary."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.errors import require
from verticals.agriculture.drawing import outline, picture, scene, weather
from verticals.agriculture.drawing.random_fields import Field
from verticals.agriculture.drawing.setting import NODATA, Setting

if TYPE_CHECKING:
    from affine import Affine
    from shapely import Polygon  # type: ignore[import-untyped]


@dataclass(frozen=True)
class SimulatedField:
    """One flight over a drawn field; everything in it is SYNTHETIC.

    Attributes:
        setting: What was asked for.
        seed: The seed.
        bands: ``(H, W, 3)`` uint8 RGB, or ``(H, W, 4)`` uint16 RGB and near infrared; 0 in all bands is nodata.
        valid: ``(H, W)`` bool, where the mosaic has pixels.
        truth: ``(H, W)`` uint8, index into ``setting.labels``; 255 outside of the field. Known below nodata too.
        severity: ``(H, W)`` float32, per cent of the plant's leaf area that is diseased as drawn; NaN where no leaf of
            the crop is seen.
        canopy: ``(H, W)`` bool, leaves of the crop.
        boundary: Of the field, in the CRS.
        true_transform: Pixel to CRS, of truth, severity and boundary.
        shift_m: Error (east, north) of the picture's georeference in metres, 0 for a single flight.
        weather: Daily, see :data:`verticals.agriculture.drawing.weather.COLUMNS`.
    """

    setting: Setting
    seed: int
    bands: NDArray[np.uint8] | NDArray[np.uint16]
    valid: NDArray[np.bool_]
    truth: NDArray[np.uint8]
    severity: Field
    canopy: NDArray[np.bool_]
    boundary: "Polygon"
    true_transform: "Affine"
    shift_m: tuple[float, float] = (0.0, 0.0)
    weather: pd.DataFrame = field(default_factory=lambda: weather.season(0))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the values of ``truth``."""
        return self.setting.labels

    @property
    def epsg(self) -> int:
        """Code of the CRS."""
        return self.setting.epsg

    @property
    def transform(self) -> "Affine":
        """Pixel to CRS, as the picture's file says: the true one moved by ``shift_m``."""
        t, (east, north) = self.true_transform, self.shift_m
        return type(t)(t.a, t.b, t.c + east, t.d, t.e, t.f + north)

    def square_metres(self) -> dict[str, float]:
        """True area of each label inside the field, on the map's plane, whether the mosaic covers it or not."""
        counts = np.bincount(self.truth.ravel(), minlength=256)
        return {label: float(counts[i] * self.setting.gsd_m**2) for i, label in enumerate(self.labels)}


def draw(setting: Setting | None = None, *, seed: int = 0) -> SimulatedField:
    """Draw one flight over one field; the same arguments give the same pixels.

    Args:
        setting: What is drawn, None for the defaults.
        seed: Seed of everything random.

    Raises:
        MissingDependency: shapely or affine is not installed.
    """
    return _flight(setting or Setting(), seed, flight=0, shift_m=(0.0, 0.0))


def two_flights(
    setting: Setting | None = None,
    *,
    seed: int = 0,
    shift_m: tuple[float, float] = (0.37, -0.22),
    infestation: float = 0.35,
    day: str = "2026-07-08",
) -> tuple[SimulatedField, SimulatedField]:
    """Two flights over one field: the same soil, plants and weeds under another sky, and the disease has spread.

    Args:
        setting: Of the first flight.
        seed: Seed of everything random.
        shift_m: Error (east, north) of the second picture's georeference in metres; its truth keeps the true one.
        infestation: Share of plants infected at the second flight; if larger than before, all that were infected still
            are.
        day: ISO 8601, of the second flight.
    """
    first = setting or Setting()
    later = replace(first, infestation=infestation, day=day)
    return (
        _flight(first, seed, flight=0, shift_m=(0.0, 0.0)),
        _flight(later, seed, flight=1, shift_m=shift_m),
    )


def _flight(setting: Setting, seed: int, *, flight: int, shift_m: tuple[float, float]) -> SimulatedField:
    shape, gsd = setting.shape, setting.gsd_m
    area = outline.field(np.random.default_rng([seed, 10]), shape, gsd)
    inside = outline.inside(area, shape, gsd)
    ground = scene.grown(setting, seed, inside)
    sky = picture.sky(setting, np.random.default_rng([seed, 8, flight]))
    bands = picture.pictured(setting, ground, sky, np.random.default_rng([seed, 9, flight]))
    valid = outline.covered(np.random.default_rng([seed, 11, flight]), area, shape, gsd, setting.uncovered)
    bands[~valid] = 0
    transform = require("affine", extra="agriculture").Affine(gsd, 0.0, setting.west, 0.0, -gsd, setting.north)
    return SimulatedField(
        setting=setting,
        seed=seed,
        bands=bands,
        valid=valid,
        truth=np.where(inside, ground.truth, NODATA).astype(np.uint8),
        severity=np.where(inside, ground.severity, np.nan).astype(np.float32),
        canopy=ground.canopy & inside,
        boundary=outline.placed(area, transform),
        true_transform=transform,
        shift_m=shift_m,
        weather=weather.season(seed),
    )
