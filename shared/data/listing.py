"""What a data check found among the rows, as plain lists and dictionaries that name every path."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data import images, quality, sources, splits
from shared.data.manifest import Manifest, Row, read_table
from shared.errors import Problem

Facts = dict[str, Any]
_OWN_COLUMNS = frozenset(
    ["path", "label", "group", "split", "mask", "id", "width", "height", "x", "y", "w", "h", "core_x", "core_y"]
) | {"core_w", "core_h", "frame", "origin_x", "origin_y", "mm_x", "mm_y", "provenance", "vertical", "loupe_manifest"}
_CONTRADICTS = "the same image is filed under"
"""How :func:`shared.data.sources.read` says that it left out contradicting copies."""


def name(row: Row) -> str:
    """The row's path, and its window where it is one."""
    window = row.sample.window
    place = f"@{window.x0},{window.y0},{window.width},{window.height}" if window else ""
    return f"{row.sample.path}{place}"


def copies(usable: Manifest, near: splits.Near) -> Facts:
    """Groups of exact copies, and of copies that are not exact."""
    rows = usable.rows
    alone = [replace(r, sample=replace(r.sample, group="")) for r in rows]
    exact = splits.components(alone, np.zeros((0, 2), np.int64))
    both = splits.components(alone, near.confirmed)
    inexact = [g for g in _members(both) if len({int(exact[i]) for i in g}) > 1]
    return {"exact": [_listed(usable, g) for g in _members(exact)], "near": [_listed(usable, g) for g in inexact]}


def _members(component: NDArray[np.int32]) -> list[list[int]]:
    """Rows of each component that has more than one, the largest first."""
    found = defaultdict(list)
    for i, c in enumerate(component.tolist()):
        found[c].append(i)
    return sorted((g for g in found.values() if len(g) > 1), key=len, reverse=True)


def _listed(usable: Manifest, indices: Sequence[int]) -> Facts:
    rows = [usable.rows[i] for i in indices]
    return {
        "paths": [name(r) for r in rows],
        "labels": [r.label for r in rows],
        "splits": [r.split for r in rows],
        "groups": [r.sample.group for r in rows],
    }


def contradictions(usable: Manifest, found: Facts, problems: Sequence[Problem]) -> Facts:
    """Copies under several labels: exact ones were left out already, of the others a person must judge.

    Args:
        usable: The rows that are left.
        found: What :func:`copies` gives.
        problems: What :func:`shared.data.sources.read` left out.
    """
    exact = defaultdict(list)
    for problem in problems:
        if problem.what.startswith(_CONTRADICTS):
            exact[images.content_hash(usable.folder / problem.where)].append(problem)
    near = [g for g in found["near"] if len(set(g["labels"])) > 1]
    return {
        "exact": [{"paths": [p.where for p in group], "what": group[0].what} for group in exact.values()],
        "near": near,
    }


def outlier(usable: Manifest, found: quality.Outlier) -> Facts:
    """One image that stands out, by its path."""
    row = usable.rows[found.index]
    return {"path": name(row), "label": row.label, **{k: v for k, v in asdict(found).items() if k != "index"}}


def columns(data: Path, usable: Manifest) -> dict[str, list[str]]:
    """Further columns of the table, and what an ingest wrote down about each image, in the order of the rows."""
    tables = [data] if data.is_file() else [data / n for n in (*sources.MANIFEST_NAMES, "labels.csv", "labels.parquet")]
    file = next((t for t in tables if t.is_file() and t.suffix in (".csv", ".parquet")), None)
    known: dict[str, list[str]] = {}
    if file is not None:
        table = read_table(file).drop_duplicates("path").set_index("path")
        order = [row.sample.path for row in usable.rows]
        extra = [c for c in table.columns if c not in _OWN_COLUMNS]
        known = {str(c): table[c].reindex(order).fillna("").tolist() for c in extra}
    keys = dict.fromkeys(key for row in usable.rows for key in row.sample.provenance)
    return known | {key: [str(r.sample.provenance.get(key, "")) for r in usable.rows] for key in keys}
