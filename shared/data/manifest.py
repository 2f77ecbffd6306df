"""The Manifest: Samples with labels and splits as one table, CSV or Parquet by its ending, with a content hash."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from shared import atomic
from shared.errors import DataError
from shared.records import Box, Sample

SPLITS = ("train", "validation", "test")
_WINDOW = ("x", "y", "w", "h")
_MARK = "loupe_manifest"
"""A column that only :func:`save` writes: a user's own columns ``id`` or ``width`` mean something else."""
_CORE = ("core_x", "core_y", "core_w", "core_h")


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    Attributes:
        sample: The image.
        label: What it shows; empty where nobody said.
        split: ``train``, ``validation``, ``test``, or empty before splitting.
        mask: Path of a mask image, empty where there is none.
    """

    sample: Sample
    label: str = ""
    split: str = ""
    mask: str = ""


@dataclass(frozen=True)
class Manifest:
    """Rows, and the folder that their relative paths start from.

    Attributes:
        rows: In the order of the source.
        folder: Where relative paths start.
        vertical: Name of the vertical that made it, empty for plain tables.
    """

    rows: tuple[Row, ...]
    folder: Path
    vertical: str = ""

    @cached_property
    def hash(self) -> str:
        """SHA-256 over content ids, labels, groups and splits; it changes with any of them and not with the order."""
        lines = sorted(json.dumps([r.sample.id, r.label, r.sample.group, r.split]) for r in self.rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def counts(self) -> Counter[str]:
        """Images per label, without the unlabelled."""
        return Counter(r.label for r in self.rows if r.label)

    def file(self, sample: Sample) -> Path:
        """Where the Sample's file lies."""
        return self.folder / sample.path

    def part(self, *splits: str) -> tuple[Row, ...]:
        """The rows of these splits."""
        return tuple(r for r in self.rows if r.split in splits)

    def with_rows(self, rows: Iterable[Row]) -> "Manifest":
        """The same manifest with other rows."""
        return replace(self, rows=tuple(rows))


def save(manifest: Manifest, path: Path) -> None:
    """Write a manifest as CSV or Parquet by the ending of ``path``.

    Raises:
        DataError: Another ending.
    """
    table = pd.DataFrame([_flat(row) for row in manifest.rows])
    table["vertical"] = manifest.vertical
    table[_MARK] = 1
    table = table.dropna(axis="columns", how="all")
    with atomic.file(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        elif path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            raise DataError(f"{path}: a manifest ends in .csv or .parquet")


def read_table(path: Path) -> pd.DataFrame:
    """A CSV or Parquet table with all columns as text; empty cells are empty text.

    A CSV may separate its columns by commas, or by semicolons as spreadsheets do where the comma is a decimal sign.

    Raises:
        DataError: It cannot be read, or has no column ``path``.
    """
    try:
        if path.suffix.lower() == ".parquet":
            # Whole numbers beside empty cells come back as floats from Parquet; as text they must be whole again.
            table = pd.read_parquet(path).convert_dtypes().astype("string").fillna("")
        else:
            with path.open(encoding="utf-8-sig") as stream:
                header = stream.readline()
            between = ";" if ";" in header and "," not in header else ","
            table = pd.read_csv(
                path, sep=between, dtype="string", keep_default_na=False, encoding="utf-8-sig", index_col=False
            )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); give CSV or Parquet") from error
    if "path" not in table.columns:
        raise DataError(
            f"{path}: column 'path' is missing; found {', '.join(map(str, table.columns))}; "
            "needed are path,label and, if you have them, group, split and mask"
        )
    return table


def is_manifest(table: pd.DataFrame) -> bool:
    """Whether a table was written by :func:`save` (then sizes and ids need not be read from the images again)."""
    return _MARK in table.columns


def from_table(table: pd.DataFrame, folder: Path, where: Path) -> Manifest:
    """The inverse of :func:`save`, for a table that :func:`is_manifest`.

    Raises:
        DataError: A cell is not of its type.
    """
    records: list[dict[str, str]] = table.to_dict("records")  # type: ignore[assignment]
    rows = []
    for number, record in enumerate(records, start=2):
        try:
            rows.append(_row(record))
        except (ValueError, KeyError, DataError) as error:
            raise DataError(f"{where} line {number}: {error}; write the table again with loupe ingest") from error
    return Manifest(tuple(rows), folder, records[0].get("vertical", "") if records else "")


def _flat(row: Row) -> dict[str, Any]:
    sample = row.sample
    window = {} if sample.window is None else _four(_WINDOW, sample.window)
    core = {} if sample.core is None else _four(_CORE, sample.core)
    scale = {} if sample.mm_per_px is None else dict(zip(("mm_x", "mm_y"), sample.mm_per_px, strict=True))
    provenance = {"provenance": json.dumps(dict(sample.provenance))} if sample.provenance else {}
    return {
        "path": sample.path,
        "label": row.label,
        "group": sample.group,
        "split": row.split,
        "mask": row.mask,
        "id": sample.id,
        "width": sample.width,
        "height": sample.height,
        **window,
        **core,
        "frame": sample.frame,
        "origin_x": sample.origin[0],
        "origin_y": sample.origin[1],
        **scale,
        **provenance,
    }


def _four(names: tuple[str, ...], box: Box) -> dict[str, int]:
    return dict(zip(names, (box.x0, box.y0, box.width, box.height), strict=True))


def _row(record: Mapping[str, str]) -> Row:
    def box(names: tuple[str, ...]) -> Box | None:
        if not record.get(names[0]):
            return None
        x, y, w, h = (int(float(record[name])) for name in names)
        return Box(x, y, x + w, y + h)

    mm = (record.get("mm_x", ""), record.get("mm_y", ""))
    return Row(
        Sample(
            id=record["id"],
            path=record["path"],
            width=int(record["width"]),
            height=int(record["height"]),
            window=box(_WINDOW),
            core=box(_CORE),
            frame=record.get("frame", ""),
            origin=(int(record.get("origin_x") or 0), int(record.get("origin_y") or 0)),
            group=record.get("group", ""),
            mm_per_px=(float(mm[0]), float(mm[1])) if all(mm) else None,
            provenance=json.loads(record.get("provenance") or "{}"),
        ),
        label=record.get("label", ""),
        split=record.get("split", ""),
        mask=record.get("mask", ""),
    )
