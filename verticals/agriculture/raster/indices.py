"""Bands by name in, a vegetation index with its source, out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.config import did_you_mean
from shared.errors import DataError

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Index:
    """One vegetation index.

    Attributes:
        name: As it is called in print.
        bands: What it needs, in the order of the formula's arguments.
        formula: In letters: R, G, B, N (near infrared), E (red edge).
        source: Where it was defined.
        compute: The formula.
        reflectance: Whether its constant supposes reflectances of 0 to 1; the others are ratios and take any unit that
            all bands share.
    """

    name: str
    bands: tuple[str, ...]
    formula: str
    source: str
    compute: Callable[..., Plane]
    reflectance: bool = False


def _difference(a: Plane, b: Plane) -> Plane:
    return (a - b) / (a + b)


def _excess_green(r: Plane, g: Plane, b: Plane) -> Plane:
    return (2 * g - r - b) / (r + g + b)


INDICES: Mapping[str, Index] = {
    index.name: index
    for index in (
        Index(
            "NDVI",
            ("nir", "red"),
            "(N - R) / (N + R)",
            "Rouse et al. 1974, Third ERTS Symposium, NASA SP-351 I, 309-317",
            _difference,
        ),
        Index(
            "GNDVI",
            ("nir", "green"),
            "(N - G) / (N + G)",
            "Gitelson, Kaufman, Merzlyak 1996, Remote Sensing of Environment 58, 289-298",
            _difference,
        ),
        Index(
            "NDRE",
            ("nir", "rededge"),
            "(N - E) / (N + E)",
            "Barnes et al. 2000, 5th International Conference on Precision Agriculture, Bloomington",
            _difference,
        ),
        Index(
            "OSAVI",
            ("nir", "red"),
            "(N - R) / (N + R + 0.16)",
            "Rondeaux, Steven, Baret 1996, Remote Sensing of Environment 55, 95-107",
            lambda n, r: (n - r) / (n + r + np.float32(0.16)),
            reflectance=True,
        ),
        Index(
            "VARI",
            ("green", "red", "blue"),
            "(G - R) / (G + R - B)",
            "Gitelson et al. 2002, Remote Sensing of Environment 80, 76-87",
            lambda g, r, b: (g - r) / (g + r - b),
        ),
        Index(
            "ExG",
            ("red", "green", "blue"),
            "2 g - r - b with r = R / (R + G + B) and so on",
            "Woebbecke et al. 1995, Transactions of the ASAE 38, 259-269",
            _excess_green,
        ),
    )
}
"""The indices, by name."""

MOST_REFLECTANCE = 2.0
"""Largest value taken for a reflectance: glints and bright soil pass 1, stored integers pass this."""


def possible(bands: Iterable[str]) -> tuple[str, ...]:
    """Names of the indices that bands with these names allow."""
    there = set(bands)
    return tuple(name for name, index in INDICES.items() if set(index.bands) <= there)


def index(name: str) -> Index:
    """An index by its name in any case.

    Raises:
        DataError: There is none; the sentence names the closest.
    """
    by_name = {known.lower(): entry for known, entry in INDICES.items()}
    if name.lower() not in by_name:
        raise DataError(f"vegetation index {name!r} is unknown; {did_you_mean(name, list(INDICES))}")
    return by_name[name.lower()]


def compute(name: str, bands: Mapping[str, NDArray[Any]]) -> Plane:
    """A vegetation index of bands of one shape.

    Args:
        name: One of :data:`INDICES`, in any case.
        bands: Values by band name, any shape and number type, all of one unit; reflectances where the index says so.

    Returns:
        float32 of that shape, NaN where a band is NaN or the denominator is 0. NDVI, GNDVI and NDRE lie in -1 to 1 and
        ExG in -1 to 2 where no band is negative; VARI has no bounds.

    Raises:
        DataError: The index is unknown, a band is missing, or stored integers came where reflectances are needed.
    """
    wanted = index(name)
    missing = [band for band in wanted.bands if band not in bands]
    if missing:
        raise DataError(
            f"{wanted.name} = {wanted.formula} needs the band {' and '.join(missing)}; there are "
            f"{', '.join(bands) or 'none'}, which allow {', '.join(possible(bands)) or 'no index'}"
        )
    planes = [np.asarray(bands[band], np.float32) for band in wanted.bands]
    if wanted.reflectance:
        largest = max((float(np.nanmax(plane, initial=0)) for plane in planes), default=0.0)
        if largest > MOST_REFLECTANCE:
            raise DataError(
                f"{wanted.name} = {wanted.formula} needs reflectances of 0 to 1; values up to {largest:g} were found: "
                "export reflectance, or use NDVI"
            )
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(wanted.compute(*planes), np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))
