"""New labelled images, or verdicts of a review log, as rows of a manifest whose splits fit those of a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.data import images, sources, splits
from shared.data.manifest import Manifest, Row
from shared.errors import DataError, Problem
from shared.evaluate import SAMPLES
from shared.inference import Bundle, Runtime
from shared.taxonomy import Taxonomy
from shared.updating import verdicts

TARGET = np.array([0.6, 0.2, 0.2])
"""Shares of training, validation and test, as in a build."""
_HELD = (
    "belongs to an image that is held out to judge the bundle, and verdicts of a review log only teach; to correct its "
    "label, give it in a table path,label"
)


@dataclass(frozen=True)
class Intake:
    """New images, looked at by the bundle that is to be updated.

    Attributes:
        rows: With label and split; n of them.
        folder: Where their paths start.
        features: ``(n, d)`` float32 by the bundle's own graph.
        probabilities: ``(n, labels)``, what the bundle says about them.
        novelty: ``(n,)``.
        components: Component of each; one of the bundle's where the image belongs to it.
        hashes: Perceptual hash of each in hexadecimal, empty for windows.
        relabelled: Ids that the bundle knows under another label; they are taken out before they come in again.
        pictures: Some of them, decoded.
        problems: What was left out, with its reason.
    """

    rows: tuple[Row, ...]
    folder: Path
    features: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    novelty: NDArray[np.float64]
    components: tuple[str, ...]
    hashes: tuple[str, ...]
    relabelled: frozenset[str]
    pictures: tuple[NDArray[np.uint8], ...]
    problems: tuple[Problem, ...]


def read(source: Path | str, taxonomy: Taxonomy | None) -> tuple[Manifest, tuple[Problem, ...]]:
    """Labelled images of a folder or table, or the standing verdicts of a review log.

    Args:
        source: A path as for a build, a SQLite file of a review, or a SQLAlchemy URL.
        taxonomy: The vertical's labels.

    Raises:
        DataError: There is nothing, or no verdict stands.
    """
    if verdicts.is_log(source):
        return verdicts.read(source, taxonomy)
    return sources.read(Path(source), taxonomy=taxonomy)


def look(
    runtime: Runtime,
    manifest: Manifest,
    known: Mapping[str, str],
    taxonomy: Taxonomy | None,
    problems: Sequence[Problem],
    *,
    seed: int,
    only_training: bool = False,
) -> Intake:
    """Give new rows their splits and look at them with the bundle's own graph.

    Images that the bundle has under the same label are left out; one that belongs to a group or picture of the bundle
    goes where that is, so that nothing leaks.

    Args:
        runtime: The bundle.
        manifest: New rows, labelled.
        known: Label of every image of the bundle by id.
        taxonomy: The vertical's labels.
        problems: What was left out before.
        seed: For the split.
        only_training: Whether the rows may judge no model, as those of a review log: what belongs to a held-out image
            of the bundle is left out then.

    Raises:
        DataError: Nothing new is left.
    """
    words = _words(runtime.labels, taxonomy)
    renamed = [replace(row, label=words.get(_code(row.label, taxonomy), row.label)) for row in manifest.rows]
    fresh = [row for row in renamed if known.get(row.sample.id) != row.label]
    left = [*problems, *(Problem(r.sample.path, "is in the bundle already") for r in renamed if r not in fresh)]
    looked: list[tuple[Row, NDArray[np.uint8]]] = []
    for row in fresh:
        try:
            looked.append((row, images.read(manifest.file(row.sample), window=row.sample.window)))
        except DataError as error:
            left.append(Problem(row.sample.path, str(error)))
    component, place, hashes = _places(runtime.bundle, manifest.with_rows(row for row, _ in looked))
    kept = [i for i, c in enumerate(component) if not only_training or place.get(c, "train") == "train"]
    left += [Problem(row.sample.path, _HELD) for i, (row, _) in enumerate(looked) if i not in set(kept)]
    if not kept:
        why = f" (first reason: {left[0]})" if left else ""
        raise DataError(f"the data hold no image that the bundle does not have already; nothing to learn{why}")
    looked = [looked[i] for i in kept]
    component, hashes = [component[i] for i in kept], [hashes[i] for i in kept]
    rows = _split([row for row, _ in looked], component, place, seed)
    answers = runtime.predict([picture for _, picture in looked], features=True)
    assert answers.features is not None
    relabelled = frozenset(row.sample.id for row in rows if row.sample.id in known)
    return Intake(
        rows,
        manifest.folder,
        answers.features,
        answers.probabilities.astype(np.float64),
        answers.novelty.astype(np.float64),
        tuple(component),
        tuple(hashes),
        relabelled,
        tuple(picture for _, picture in looked[:: max(1, len(looked) // 8)][:8]),
        tuple(left),
    )


def _code(label: str, taxonomy: Taxonomy | None) -> str:
    found = taxonomy.find(label) if taxonomy is not None else None
    return found.code if found else label


def _words(labels: Sequence[str], taxonomy: Taxonomy | None) -> dict[str, str]:
    """The bundle's own word for each label's code."""
    return {_code(label, taxonomy): label for label in labels}


def _places(bundle: Bundle, manifest: Manifest) -> tuple[list[str], dict[str, str], list[str]]:
    """Component of each new row, the split of those that the bundle has already, and each row's perceptual hash."""
    if not manifest.rows:
        return [], {}, []
    bits = int(bundle.card["recipe"]["near_duplicate_bits"])
    own = splits.components(manifest.rows, splits.near_copies(manifest, bits).pairs).tolist()
    table = pd.read_csv(bundle.path / SAMPLES, dtype="string", keep_default_na=False)
    old: list[dict[str, str]] = table.to_dict("records")  # type: ignore[assignment]
    by_key = {line["id"]: line for line in old} | {f"group {line['group']}": line for line in old if line["group"]}
    placed = [line for line in old if line.get("picture")]
    pictures = np.array([int(line["picture"], 16) for line in placed], np.uint64)
    hashes, decoded = np.zeros(len(own), np.uint64), np.zeros(len(own), bool)
    if all(row.sample.window is None for row in manifest.rows):
        hashes, decoded = splits.perceptual_hashes(manifest)
    joined: dict[int, str] = {}
    place: dict[str, str] = {}
    for i, row in enumerate(manifest.rows):
        found = by_key.get(row.sample.id) or by_key.get(f"group {row.sample.group}")
        if found is None and decoded[i] and placed:
            near = np.flatnonzero(np.bitwise_count(pictures ^ hashes[i]) <= bits)
            found = placed[near[0]] if len(near) else None
        if found is not None:
            joined[own[i]] = found["component"]
            place[found["component"]] = found["split"]
    start = f"{bundle.hash[:8]}+"
    said = [f"{h:016x}" if d else "" for h, d in zip(hashes.tolist(), decoded, strict=True)]
    return [joined.get(c, f"{start}{c}") for c in own], place, said


def _split(rows: Sequence[Row], component: Sequence[str], place: Mapping[str, str], seed: int) -> tuple[Row, ...]:
    """Old components stay where they are; the others are shared out as in a build, unless they came with a split."""
    new = [i for i, c in enumerate(component) if c not in place]
    assigned = {}
    if new and not all(rows[i].split for i in new):
        numbers = np.unique([component[i] for i in new], return_inverse=True)[1]
        labels = sorted({row.label for row in rows})
        y = np.array([labels.index(rows[i].label) for i in new])
        shares = splits.assign(numbers.astype(np.int32), y, TARGET, seed)
        assigned = dict(zip(new, shares, strict=True))
    return tuple(
        replace(row, split=place.get(component[i]) or assigned.get(i) or row.split) for i, row in enumerate(rows)
    )
