"""A bundle and labelled images in, its rates on images it has not seen out, each with count and interval."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.data import blank, copies, images, sources, splits
from shared.data.manifest import Manifest, Row
from shared.data.rgb import Picture
from shared.errors import DataError, Problem
from shared.inference import Bundle, Runtime, calibration
from shared.predict import Blind, predict
from shared.records import Sample
from shared.reporting import rates
from shared.taxonomy import Taxonomy, key
from shared.vertical import Seen

SAMPLES = "samples.csv"
_COLUMNS = ("group", "component", "picture")


def samples_table(manifest: Manifest, components: Mapping[str, int | str]) -> pd.DataFrame:
    """Which image served for what, so that a later evaluation can leave out what the bundle has seen.

    Args:
        manifest: Rows with their splits.
        components: Component of each image id, see :func:`shared.data.splits.split`.

    Returns:
        Columns id, split, group, component and, for whole images, picture: their perceptual hashes in hexadecimal, see
        :func:`shared.data.copies.every_way`, so that a merge can find turned copies without a picture.
    """
    rows = [(r.sample.id, r.split, r.sample.group, components[r.sample.id]) for r in manifest.rows]
    table = pd.DataFrame(rows, columns=["id", "split", "group", "component"])
    if all(r.sample.window is None for r in manifest.rows):
        hashes, decoded = splits.perceptual_hashes(manifest)
        table["picture"] = [copies.written(h) if d else "" for h, d in zip(hashes, decoded, strict=True)]
    return table


def read_table(bundle: Bundle) -> pd.DataFrame:
    """What :func:`samples_table` gave, as text; columns that a bundle of an earlier version lacks are empty."""
    table = pd.read_csv(bundle.path / SAMPLES, dtype="string", keep_default_na=False)
    return table.reindex(columns=list(dict.fromkeys([*table.columns, *_COLUMNS])), fill_value="")


def used_for_building(bundle: Bundle) -> Callable[[Sample, Picture], bool]:
    """What tells whether a Sample trained the bundle or chose anything about it; its test part did neither.

    A Sample is known by its id; a whole picture also by its look, since one that came another way (saved anew, inside
    of a DICOM object) has another id.
    """
    table = read_table(bundle)
    used, bits = table[table["split"] != "test"], telling_bits(bundle.card)
    ids, hashed = frozenset(used["id"]), _first_hashes(used)

    def known(sample: Sample, picture: Picture) -> bool:
        if sample.id in ids or sample.window is not None:
            return sample.id in ids
        return bool(copies.known(copies.thumbnail(picture)[None], hashed, bits)[0] >= 0)

    return known


def _first_hashes(table: pd.DataFrame) -> NDArray[np.uint64]:
    """Hashes ``(m,)`` of the pictures as they lie, of those rows that have one."""
    return np.array([copies.read(text)[0] for text in table["picture"] if text], np.uint64)


def unseen(bundle: Bundle, manifest: Manifest) -> tuple[Row, ...]:
    """The rows that the bundle has seen nothing of: no same image, no copy in any orientation, no image of its groups.

    What a build would have kept together is seen together. About images of the bundle's own test part the build has
    decided already, so that its components tell. Every row gets its component as group, so that intervals count what
    is independent.
    """
    table = read_table(bundle)
    used = table[table["split"] != "test"]
    ids, groups, parts = (set(used[name]) - {""} for name in ("id", "group", "component"))
    by_group = dict(zip(table["group"], table["component"], strict=True))
    by_id = dict(zip(table["id"], table["component"], strict=True))
    near, pairs = _near(used, manifest, telling_bits(bundle.card))
    known = [by_id.get(r.sample.id) or (r.sample.group and by_group.get(r.sample.group)) for r in manifest.rows]
    own = splits.components(manifest.rows, np.concatenate([pairs, _same(known)]))
    seen = [
        row.sample.id in ids or row.sample.group in groups or part in parts or (copy and not by_id.get(row.sample.id))
        for row, part, copy in zip(manifest.rows, known, near, strict=True)
    ]
    with_seen = set(own[np.array(seen, bool)].tolist())
    return tuple(
        replace(row, sample=replace(row.sample, group=f"component {c}"))
        for row, was, c in zip(manifest.rows, seen, own.tolist(), strict=True)
        if not was and (by_id.get(row.sample.id) or c not in with_seen)
    )


def telling_bits(card: Mapping[str, Any]) -> int:
    """Distance of hashes that tells a bundle's pictures apart: a build lowers the asked one where it would join all."""
    asked = int(card["recipe"]["near_duplicate_bits"])
    return min(asked, int(card["data"].get("split", {}).get("near_duplicate_bits", asked)))


def _same(keys: Sequence[str | None]) -> NDArray[np.int64]:
    """Pairs ``(pairs, 2)`` of the first with each other place of equal keys; empty ones are no key."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(key, i), i) for i, key in enumerate(keys) if key]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def _near(used: pd.DataFrame, manifest: Manifest, bits: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each row looks like an image that the bundle was built on, and which rows are copies of each other.

    Windows are compared by id and group alone.
    """
    found = np.zeros(len(manifest.rows), bool)
    if any(r.sample.window is not None for r in manifest.rows):
        return found, np.zeros((0, 2), np.int64)
    small = splits.thumbnails(manifest)
    decoded = [i for i, row in enumerate(manifest.rows) if small[row.sample.id] is not None]
    known = _first_hashes(used)
    if decoded:
        stack = np.stack([picture for i in decoded if (picture := small[manifest.rows[i].sample.id]) is not None])
        found[decoded] = copies.known(stack, known, bits) >= 0
    return found, splits.near_copies(manifest, bits, small).pairs


def cautions(bundle: Bundle, manifest: Manifest) -> list[str]:
    """What cannot be found out about images and a bundle, each one sentence."""
    if any(row.sample.window is not None for row in manifest.rows):
        return []
    table, said = read_table(bundle), []
    whole = table[(table["split"] != "test") & ~table["id"].str.contains("@", regex=False)]
    if lacking := int((whole["picture"] == "").sum()):
        said.append(
            f"the bundle says of {lacking} images that it was built on not what they look like: copies of them that "
            "were saved anew count as unseen here; build again to have them found"
        )
    asked, bits = int(bundle.card["recipe"]["near_duplicate_bits"]), telling_bits(bundle.card)
    if bits < asked:
        said.append(
            f"the images that the bundle was built on look so alike that hashes must agree within {bits} bits instead "
            f"of {asked} to mean a copy: copies that were saved anew may count as unseen here; a group column ties them"
        )
    return said


def evaluate(
    runtime: Runtime,
    data: Path,
    *,
    taxonomy: Taxonomy | None = None,
    blind: Blind = blank.why,
    gate: Blind | None = None,
) -> tuple[dict[str, Any], list[tuple[Row, Seen | Problem]], tuple[Problem, ...]]:
    """Measure a bundle on the images of ``data`` that it has not seen.

    Args:
        runtime: The loaded bundle.
        data: Labelled images, see :func:`shared.data.sources.read`.
        taxonomy: The vertical's labels, where the bundle has a vertical; brings the words of ``data`` and of the bundle
            together.
        blind: What is asked of every whole picture before the model is, as in a prediction.
        gate: What stands before a prediction; its refusals are counted in the cautions, and the images stay in the
            rates, which are those of the model.

    Returns:
        The facts that ``loupe evaluate --json`` prints, for each image what was seen or why it was not examined (it is
        in no rate then), and what was left out.

    Raises:
        DataError: No image is left to measure on.
    """
    manifest, problems = sources.read(data, taxonomy=taxonomy)
    fresh = unseen(runtime.bundle, manifest)
    rows, foreign = _known_labels(fresh, runtime.labels, taxonomy)
    if not rows:
        raise DataError(
            f"{data}: all {len(manifest.rows)} usable images were used to build the bundle, are copies of such images "
            "or of their groups, or carry labels that it does not know; give images that it has not seen"
        )
    answers = list(
        zip(rows, predict(runtime, [r.sample for r in rows], manifest.folder, maps=False, blind=blind), strict=True)
    )
    seen = [(row, answer) for row, answer in answers if isinstance(answer, Seen)]
    failed = [answer for _, answer in answers if isinstance(answer, Problem)]
    if not seen:
        raise DataError(f"{data}: not one of {len(rows)} images can be examined; first reason: {failed[0]}")
    labels = np.array([runtime.labels.index(row.label) for row, _ in seen], np.int64)
    probabilities = np.array([list(s.probabilities.values()) for _, s in seen])
    groups = [row.sample.group or row.sample.id for row, _ in seen]
    facts = {
        **rates.classification(labels, probabilities.argmax(1), runtime.labels, groups=groups),
        "ece": calibration.expected_calibration_error(probabilities, labels),
        "at_threshold": _at_threshold(runtime.bundle, labels, probabilities, groups),
        "used_for_building": len(manifest.rows) - len(fresh),
        "not_examined": len(failed),
        "cautions": [*cautions(runtime.bundle, manifest), *_below(gate, manifest, [row for row, _ in seen])],
        "bundle_hash": runtime.bundle.hash,
        "data_hash": manifest.hash,
        "backbone": runtime.bundle.card["backbone"],
    }
    return facts, answers, (*problems, *foreign, *failed)


def _below(gate: Blind | None, manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    """How many of the images a prediction would not examine, and the commonest reason."""
    asked = [row for row in rows if row.sample.window is None] if gate else []
    reasons = [why for row in asked if gate and (why := gate(images.read(manifest.file(row.sample))))]
    if not reasons:
        return []
    (usual, times), *_ = Counter(reasons).most_common()
    return [
        f"{len(reasons)} of the {len(rows)} images in these rates would stay NOT EXAMINED in a prediction, {times} of "
        f"them so: {usual}"
    ]


def _known_labels(
    rows: Sequence[Row], labels: Sequence[str], taxonomy: Taxonomy | None
) -> tuple[list[Row], list[Problem]]:
    """Bring labels to the bundle's words; what it does not know is listed."""
    words = {key(label, taxonomy): label for label in labels}
    known, problems = [], []
    for row in rows:
        word = row.label if row.label in labels else words.get(key(row.label, taxonomy))
        if word is not None:
            known.append(replace(row, label=word))
        else:
            problems.append(
                Problem(row.sample.path, f"label {row.label!r} is not in the bundle; it knows {', '.join(labels)}")
            )
    return known, problems


def _at_threshold(
    bundle: Bundle, labels: NDArray[np.int64], probabilities: NDArray[np.float64], groups: Sequence[str]
) -> dict[str, Any] | None:
    """Recall of what should be flagged and overkill, at the bundle's threshold."""
    if bundle.threshold is None:
        return None
    unsought = np.isin(bundle.labels, bundle.unsought)
    flagged = 1.0 - probabilities[:, unsought].sum(1) >= bundle.threshold
    bad = ~unsought[labels]
    return {
        "threshold": bundle.threshold,
        "recall": asdict(_grouped(flagged, bad, groups)),
        "flagged_ok": asdict(_grouped(flagged, ~bad, groups)),
    }


def _grouped(flagged: NDArray[np.bool_], chosen: NDArray[np.bool_], groups: Sequence[str]) -> rates.Rate:
    return rates.grouped(flagged[chosen], [g for g, c in zip(groups, chosen, strict=True) if c])
