"""What a raster says about its bands in, their names and the three that make a picture, out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import DataError

NAMES: Mapping[str, tuple[str, ...]] = {
    "red": ("red", "r"),
    "green": ("green", "g"),
    "blue": ("blue", "b"),
    "nir": ("nir", "n", "nearinfrared"),
    "rededge": ("rededge", "re"),
    "alpha": ("alpha", "a"),
    "thermal": ("lwir", "thermal"),
}
"""Names used here, and the spellings found in files (letters only, lower case)."""
WAVELENGTHS_NM: Mapping[str, tuple[float, float]] = {
    "blue": (440, 510),
    "green": (520, 590),
    "red": (620, 690),
    "rededge": (700, 750),
    "nir": (760, 1000),
}
"""Central wavelengths taken for a name: they hold the bands of MicaSense RedEdge and Altum, Parrot Sequoia, DJI P4M and
Mavic 3M, by their data sheets."""
RGB = ("red", "green", "blue")
EXAMPLE = "red=3,green=2,blue=1"


@dataclass(frozen=True)
class Band:
    """One band of a raster.

    Attributes:
        index: From 1, as GDAL counts.
        name: One of :data:`NAMES`, or empty where nothing tells.
        description: As in the file.
        interpretation: Colour interpretation of GDAL.
        dtype: NumPy's name of it.
        nodata: Value that stands for "nothing here", None where there is none.
        scale: Physical value = scale × stored value + offset.
        offset: Likewise.
    """

    index: int
    name: str
    description: str
    interpretation: str
    dtype: str
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0


def spelled(text: str) -> str:
    """The name in :data:`NAMES` that a description spells, by its letters or else its wavelength; empty if none."""
    letters = re.sub("[^a-z]", "", text.lower())
    for name, spellings in NAMES.items():
        if letters in spellings:
            return name
    for name in sorted(NAMES, key=len, reverse=True):
        if len(letters) > 2 and letters.removesuffix("nm").removesuffix("band") == name:
            return name
    number = re.search(r"(\d{3,4})(?:\.\d+)?\s*nm", text.lower())
    return by_wavelength(float(number[1])) if number else ""


def by_wavelength(nm: float) -> str:
    """The name of a band by its central wavelength in nanometres, empty outside :data:`WAVELENGTHS_NM`."""
    return next((name for name, (low, high) in WAVELENGTHS_NM.items() if low <= nm <= high), "")


def names(descriptions: Sequence[str], interpretations: Sequence[str], wavelengths_nm: Sequence[float]) -> list[str]:
    """A name for every band.

    What a band is called goes before its wavelength, and that before its colour interpretation: a writer of three bands
    marks them red, green and blue whatever they are. Where two bands spell the same name ("Blue-444", "Blue") the one
    without digits has it.

    Args:
        descriptions: One per band, empty where none.
        interpretations: GDAL's colour interpretations.
        wavelengths_nm: Central wavelengths, 0 where unknown.
    """
    found = ["alpha" if i == "alpha" else "" for i in interpretations]
    plain = sorted(range(len(found)), key=lambda k: any(c.isdigit() for c in descriptions[k]))
    spoken = [spelled(text) for text in descriptions]
    waved = [by_wavelength(nm) for nm in wavelengths_nm]
    shown = ["" if said else spelled(word) for said, word in zip(spoken, interpretations, strict=True)]
    for candidates in (spoken, waved, shown):
        for k in plain:
            if not found[k] and candidates[k] and candidates[k] not in found:
                found[k] = candidates[k]
    return found


def given_names(path: Path, given: str, own: Sequence[str]) -> list[str]:
    """The names a user gave, checked.

    Args:
        path: The raster, for the error.
        given: Some bands by number from 1, ``"red=3,green=2,blue=1"``, or all names in the file's order,
            ``"red,green,blue,nir"``.
        own: What each band is called by the file; bands without a number keep it.

    Raises:
        DataError: Neither of the two, a band that is not there, or a name or a band twice.
    """
    words = [word.strip() for word in given.split(",")]
    numbered = words if "=" in given else [f"{word}={number}" for number, word in enumerate(words, 1)]
    pairs = [word.partition("=")[::2] for word in numbered]
    known = {spelled(name) or name.strip().lower(): number.strip() for name, number in pairs}
    numbers = [int(number) for number in known.values() if number.isdecimal()]
    allowed = set(range(1, len(own) + 1))
    whole = "=" in given or len(words) == len(own)
    if not whole or "" in known or len(known) < len(pairs) or len(set(numbers) & allowed) < len(pairs):
        raise DataError(
            f"{path}: has {len(own)} bands and --bands says {given!r}; allowed are some of them by number from 1, "
            f"{EXAMPLE}, or a name for each in the file's order, none twice: {', '.join(NAMES)} or any other word"
        )
    result = ["" if name in known else name for name in own]
    for name, number in zip(known, numbers, strict=True):
        result[number - 1] = name
    return result


def advice(path: Path) -> str:
    """How to name the bands of a raster."""
    return (
        f'name the bands by number, to loupe map with --bands {EXAMPLE}, to every verb with bands = "{EXAMPLE}" in a '
        f"file {path.stem}.raster.toml beside it"
    )


def picture(path: Path, bands: Sequence[Band]) -> tuple[tuple[int, int, int] | None, str]:
    """Indices of red, green and blue, and a sentence: what was assumed, or why there is no picture."""
    by_name = {band.name: band.index for band in bands}
    if all(name in by_name for name in RGB):
        return (by_name["red"], by_name["green"], by_name["blue"]), ""
    colours = [band for band in bands if band.name != "alpha"]
    unnamed = sum(not band.name for band in colours)
    named = ", ".join(band.name for band in colours if band.name) or "no band with a name"
    told = f"{named} and {unnamed} without one" if unnamed else named
    fix = advice(path)
    if len(colours) in (3, 4) and not any(band.name for band in colours):
        first = (colours[0].index, colours[1].index, colours[2].index)
        return first, f"its bands have no names: the first three are taken for red, green and blue; if not, {fix}"
    return None, f"has {told}; a picture needs red, green and blue: {fix}"
