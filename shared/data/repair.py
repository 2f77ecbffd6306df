"""A manifest without what a data check can repair by rule: copies joined into groups, no leak between the splits."""

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from shared.data import splits
from shared.data.manifest import SPLITS, Manifest, Row, save
from shared.recipe import Recipe


def repair(found: Manifest, near: splits.Near, recipe: Recipe, out: Path) -> tuple[str, ...]:
    """Write the repaired manifest; labels are never changed.

    Args:
        found: The usable rows.
        near: Which of them show nearly the same picture.
        recipe: Says the shares of the splits and the seed.
        out: The manifest, ``.csv`` or ``.parquet``; its paths start from its own folder.

    Returns:
        What was changed, one sentence each.

    Raises:
        DataError: Too few labels, or another ending.
    """
    grouped, joined, groups = _join_copies(found, near)
    done, report, _ = splits.split(grouped, recipe, near)
    changes = []
    if joined:
        changes.append(f"{joined} images joined with their copies into {groups} groups")
    if report.given and report.leaked_after > 0:
        fresh = grouped.with_rows(replace(row, split="") for row in grouped.rows)
        before = report.leaked_after
        done, report, _ = splits.split(fresh, recipe, near)
        moved = sum(a.split != b.split for a, b in zip(found.rows, done.rows, strict=True))
        changes.append(f"the split was made anew, because {before:.1%} of its test images leaked: {moved} images moved")
    elif report.given:
        added = sum(a.split != b.split for a, b in zip(found.rows, done.rows, strict=True))
        changes.append("the split that came with the data leaks nothing and was kept")
        if added:
            changes.append(f"{added} training images became validation images, of which there were none")
    else:
        sizes = " : ".join(str(report.images[s]) for s in SPLITS)
        changes.append(f"a split was made, train : validation : test = {sizes} images; {report.leaked_after:.1%} leak")
    save(_beside(done, out), out)
    return tuple(changes)


def _join_copies(found: Manifest, near: splits.Near) -> tuple[Manifest, int, int]:
    members = defaultdict(list)
    for i, c in enumerate(splits.components(found.rows, near.confirmed).tolist()):
        members[c].append(i)
    rows, joined, groups = list(found.rows), 0, 0
    for indices in members.values():
        names = {rows[i].sample.group for i in indices}
        if len(indices) < 2 or (len(names) == 1 and names != {""}):
            continue
        name = min(names - {""}, default=f"copies of {rows[indices[0]].sample.id}")
        groups += 1
        for i in indices:
            joined += rows[i].sample.group != name
            rows[i] = replace(rows[i], sample=replace(rows[i].sample, group=name))
    return found.with_rows(rows), joined, groups


def _beside(done: Manifest, out: Path) -> Manifest:
    """The same rows with paths that start from the folder of ``out``."""
    home = out.resolve().parent
    if home == done.folder.resolve():
        return done

    def moved(path: str) -> str:
        return Path(os.path.relpath((done.folder / path).resolve(), home)).as_posix() if path else ""

    def row(old: Row) -> Row:
        return replace(old, sample=replace(old.sample, path=moved(old.sample.path)), mask=moved(old.mask))

    return replace(done, folder=home, rows=tuple(row(r) for r in done.rows))
