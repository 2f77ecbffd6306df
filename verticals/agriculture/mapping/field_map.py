"""The map of a field as a folder of COGs on one grid: probability, class, severity, uncertainty, validity; hectares."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.errors import DataError, require
from verticals.agriculture.mapping import cogs
from verticals.agriculture.mapping.area import cell_areas
from verticals.agriculture.mapping.cogs import Layer

CARD = "map.json"
OUTSIDE, EXAMINED, NOT_EXAMINED = 0, 1, 2
"""Values of ``validity.tif``."""
NO_CLASS = 255
FIELD_KEYS = ("field", "examined", "not_examined")
"""Keys of the hectares beside the labels."""
_PART_VALUES = 4_000_000
_VALIDITY = ("outside", "examined", "NOT EXAMINED")
_VALIDITY_COLOURS = ((0, 0, 0), (0, 158, 115), (150, 150, 150))


@dataclass(frozen=True)
class Grid:
    """The cells of a map.

    Attributes:
        crs: Projected CRS in metres: authority code, else WKT.
        transform: ``(a, b, c, d, e, f)``: x = a column + b row + c, y = d column + e row + f.
        width: Cells across.
        height: Cells down.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int

    @property
    def cell_m2(self) -> float:
        """Planar area of a cell in square metres."""
        a, b, _, d, e, _ = self.transform
        return abs(a * e - b * d)

    @property
    def gsd_m(self) -> float:
        """Side of a square of that area in metres."""
        return math.sqrt(self.cell_m2)


@dataclass(frozen=True)
class Rows:
    """Rows of a map, over its whole width.

    Attributes:
        row: The first.
        probabilities: ``(labels, rows, columns)`` float32, adding up to 1; what it holds where ``validity`` is not 1 is
            not written.
        validity: ``(rows, columns)`` uint8: 0 outside, 1 examined, 2 NOT EXAMINED.
        severity: ``(rows, columns)`` float32, per cent; NaN where there is none to tell.
    """

    row: int
    probabilities: NDArray[np.float32]
    validity: NDArray[np.uint8]
    severity: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FieldMap:
    """A written map.

    Attributes:
        folder: Where it is.
        card: The content of ``map.json``.
    """

    folder: Path
    card: Mapping[str, Any] = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> "FieldMap":
        """Read a map's card.

        Raises:
            DataError: It is no map, or one of its rasters is missing.
        """
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            present = [cls(folder, card).grid, card["labels"], card["hectares"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder}: is not a field map ({CARD} is missing or unreadable); map the field again"
            ) from error
        missing = [path.name for path in cls(folder, card).rasters if not path.is_file()]
        if missing or not all(present):
            raise DataError(f"{folder}: {', '.join(missing) or CARD} is missing or empty; map the field again")
        return cls(folder, card)

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the bundle's probabilities."""
        return tuple(self.card["labels"])

    @property
    def ok_label(self) -> str | None:
        """The label that means "nothing wrong", None where there is none."""
        return self.card["ok_label"] or None

    @property
    def grid(self) -> Grid:
        """Its cells."""
        card = self.card
        a, b, c, d, e, f = (float(v) for v in card["transform"])
        return Grid(str(card["crs"]), (a, b, c, d, e, f), int(card["width"]), int(card["height"]))

    @property
    def hectares(self) -> dict[str, float]:
        """On the ellipsoid: ``field``, ``examined``, ``not_examined`` and each label."""
        return dict(self.card["hectares"])

    @property
    def class_path(self) -> Path:
        """uint8, index into the labels, 255 nodata."""
        return self.folder / "class.tif"

    @property
    def probability_path(self) -> Path:
        """float32, a band for each label, NaN nodata."""
        return self.folder / "probability.tif"

    @property
    def severity_path(self) -> Path | None:
        """float32, per cent, NaN nodata; None where the model says none."""
        path = self.folder / "severity.tif"
        return path if self.card["severity"] else None

    @property
    def uncertainty_path(self) -> Path:
        """float32, entropy over its largest value, 0 to 1, NaN nodata."""
        return self.folder / "uncertainty.tif"

    @property
    def validity_path(self) -> Path:
        """uint8: 0 outside, 1 examined, 2 NOT EXAMINED."""
        return self.folder / "validity.tif"

    @property
    def rasters(self) -> tuple[Path, ...]:
        """All rasters there are."""
        always = (self.class_path, self.probability_path, self.uncertainty_path, self.validity_path)
        return always if self.severity_path is None else (*always, self.severity_path)


def write(
    folder: Path,
    rows: Iterable[Rows],
    grid: Grid,
    labels: tuple[str, ...],
    *,
    ok_label: str | None = None,
    severity: bool = False,
    field_hectares: float | None = None,
    facts: Mapping[str, Any] | None = None,
) -> FieldMap:
    """Write a map, whole or not at all.

    The hectares of a label are those of the cells of its class: a count of pixels, without any correction for the
    model's mistakes. ``not_examined`` is what is left of the field without ``examined``, the part beyond the raster
    included.

    Args:
        folder: Made, or replaced.
        rows: From top to bottom without gaps; any number at once.
        grid: The cells.
        labels: In the order of the probabilities.
        ok_label: The one that means "nothing wrong".
        severity: Whether rows carry a severity.
        field_hectares: Area of the field's boundary, which may reach beyond the raster; None takes the cells that are
            not outside.
        facts: Further entries of ``map.json``: raster, bundle, settings, seam; a function without arguments is called
            when all rows are written.

    Raises:
        DataError: Labels are no names for classes, or the rows do not fill the grid.
    """
    _check_labels(labels, ok_label)
    with cogs.bounded(), atomic.folder(folder) as out:
        total = _Hectares(grid, len(labels))
        done = 0
        with cogs.writing(
            out, _layers(labels, ok_label, severity), crs=grid.crs, transform=grid.transform,
            size_wh=(grid.width, grid.height), tags={"LABELS": json.dumps(labels)},
        ) as writers:  # fmt: skip
            for part in _small(rows, grid.width * len(labels)):
                classes = _put(writers, part, severity)
                total.add(part.row, classes, part.validity)
                done += len(classes)
        if done != grid.height:
            raise DataError(f"{folder}: {done} rows of cells were painted; the map has {grid.height}")
        hectares = total.result(labels, field_hectares)
        card = {
            "labels": labels, "ok_label": ok_label, "crs": grid.crs, "transform": grid.transform, "width": grid.width,
            "height": grid.height, "gsd_m": grid.gsd_m, "severity": severity, "hectares": hectares,
            **{key: value() if callable(value) else value for key, value in (facts or {}).items()},
        }  # fmt: skip
        (out / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return FieldMap.open(folder)


def entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shannon entropy over its largest value, log of the number of labels; ``(labels, ...)`` to ``(...)``, 0 to 1."""
    p = np.clip(probabilities, 1e-12, 1)
    result: NDArray[np.float32] = -(p * np.log(p)).sum(0) / np.float32(max(np.log(len(p)), 1e-12))
    return result.clip(0, 1)


def _check_labels(labels: tuple[str, ...], ok_label: str | None) -> None:
    if not 1 <= len(labels) <= NO_CLASS or len(set(labels)) < len(labels):
        raise DataError(f"a map has 1 to {NO_CLASS} different labels, not {len(labels)} ({len(set(labels))} different)")
    taken = sorted(set(labels) & set(FIELD_KEYS))
    if taken:
        raise DataError(f"label {taken[0]!r} is the name of an area of every map; rename it")
    if ok_label is not None and ok_label not in labels:
        raise DataError(f"label {ok_label!r} is not one of the map's; allowed are {', '.join(labels)}")


def _layers(labels: tuple[str, ...], ok_label: str | None, severity: bool) -> list[Layer]:
    colours = cogs.palette([label == ok_label for label in labels])
    layers = [
        Layer("class.tif", "uint8", NO_CLASS, ("class",), labels, colours),
        Layer("probability.tif", "float32", math.nan, labels),
        Layer("uncertainty.tif", "float32", math.nan, ("uncertainty",)),
        # 0 is a value that means something here: 255 is never written.
        Layer("validity.tif", "uint8", NO_CLASS, ("validity",), _VALIDITY, _VALIDITY_COLOURS),
    ]
    return [*layers, Layer("severity.tif", "float32", math.nan, ("severity",), unit="%")] if severity else layers


def _small(rows: Iterable[Rows], per_row: int) -> Iterator[Rows]:
    """The same rows in parts of bounded memory; what is computed of a part takes several times its own."""
    many = max(1, _PART_VALUES // per_row)
    for part in rows:
        for start in range(0, len(part.validity), many):
            place = slice(start, start + many)
            severity = None if part.severity is None else part.severity[place]
            yield Rows(part.row + start, part.probabilities[:, place], part.validity[place], severity)


def _put(writers: cogs.Writers, part: Rows, severity: bool) -> NDArray[np.uint8]:
    """Write one part; returns its classes."""
    examined = part.validity == EXAMINED
    probabilities = np.where(examined, part.probabilities, np.float32(np.nan))
    classes = np.where(examined, part.probabilities.argmax(0), NO_CLASS).astype(np.uint8)
    uncertain = np.where(examined, entropy(part.probabilities), np.float32(np.nan))
    writers.put("probability.tif", part.row, probabilities)
    writers.put("class.tif", part.row, classes[None])
    writers.put("uncertainty.tif", part.row, uncertain[None])
    writers.put("validity.tif", part.row, part.validity[None])
    if severity:
        if part.severity is None:
            raise DataError(f"rows from {part.row} on carry no severity, though the map has one")
        writers.put("severity.tif", part.row, np.where(examined, part.severity, np.float32(np.nan))[None])
    return classes


class _Hectares:
    """Adds up the ellipsoidal area of cells, strip by strip."""

    def __init__(self, grid: Grid, labels: int) -> None:
        affine = require("affine", extra="agriculture").Affine(*grid.transform)
        self._areas = cell_areas(affine, grid.crs, grid.width, grid.height)
        self._labels = np.zeros(labels)
        self._validity = np.zeros(3)

    def add(self, row: int, classes: NDArray[np.uint8], validity: NDArray[np.uint8]) -> None:
        cell = self._areas.at(row + len(classes) / 2)
        for i in range(len(self._labels)):
            self._labels[i] += (classes == i).sum(0) @ cell
        for i in (OUTSIDE, EXAMINED, NOT_EXAMINED):
            self._validity[i] += (validity == i).sum(0) @ cell

    def result(self, labels: tuple[str, ...], field_hectares: float | None) -> dict[str, float]:
        examined, not_examined = float(self._validity[EXAMINED]), float(self._validity[NOT_EXAMINED])
        whole = examined + not_examined if field_hectares is None else field_hectares
        # Cells count by their centres, so that they may cover a little more than the field.
        areas = {"field": whole, "examined": examined, "not_examined": max(whole - examined, not_examined)}
        return {**areas, **{label: float(v) for label, v in zip(labels, self._labels, strict=True)}}
