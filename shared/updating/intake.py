"""New labelled images, or verdicts of a review log, as rows of a manifest whose splits fit those of a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.data import copies, images, sources, splits
from shared.data.manifest import Manifest, Row
from shared.errors import DataError, Problem
from shared.evaluate import read_table, telling_bits
from shared.inference import Bundle, Runtime
from shared.taxonomy import Taxonomy, key
from shared.updating import verdicts

TARGET = np.array([0.6, 0.2, 0.2])
"""Shares of training, validation and test, as in a build."""
_TORN = "torn"
_BETWEEN = (
    "ties images that the bundle learnt from to others that it is judged on, by group or by copies, and would leak; "
    "give its group a name of its own if that is chance"
)
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
        hashes: Perceptual hashes of each in hexadecimal, empty for windows.
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


def read(source: Path | str, taxonomy: Taxonomy | None, ok_label: str | None) -> tuple[Manifest, tuple[Problem, ...]]:
    """Labelled images of a folder or table, or the standing verdicts of a review log.

    Args:
        source: A path as for a build, a SQLite file of a review, or a SQLAlchemy URL.
        taxonomy: The vertical's labels.
        ok_label: The bundle's word for "nothing wrong", None where it has none.

    Raises:
        DataError: There is nothing, or no verdict stands.
    """
    if verdicts.is_log(source):
        return verdicts.read(source, taxonomy, ok_label)
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
    renamed = _in_its_words(manifest.rows, runtime.labels, taxonomy)
    fresh = [row for row in renamed if known.get(row.sample.id) != row.label]
    there = [row for row in renamed if known.get(row.sample.id) == row.label]
    left = [*problems, *(Problem(row.sample.path, "is in the bundle already") for row in there)]
    looked: list[tuple[Row, NDArray[np.uint8]]] = []
    for row in fresh:
        try:
            looked.append((row, images.read(manifest.file(row.sample), window=row.sample.window)))
        except DataError as error:
            left.append(Problem(row.sample.path, str(error)))
    component, place, hashes = _places(runtime.bundle, manifest.with_rows(row for row, _ in looked))
    refused = {i: why for i, c in enumerate(component) if (why := _refused(place.get(c, ""), only_training))}
    left += [Problem(looked[i][0].sample.path, why) for i, why in refused.items()]
    kept = [i for i in range(len(looked)) if i not in refused]
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


def _refused(split: str, only_training: bool) -> str:
    """Why a row that belongs to images of the bundle with this split cannot come in; empty where it can."""
    if split == _TORN:
        return _BETWEEN
    return _HELD if only_training and split in ("validation", "test") else ""


def _in_its_words(rows: Sequence[Row], labels: Sequence[str], taxonomy: Taxonomy | None) -> list[Row]:
    """Rows whose labels are the bundle's own words, where it has one for them."""
    words = {key(label, taxonomy): label for label in labels} | {label: label for label in labels}
    return [replace(row, label=words.get(row.label) or words.get(key(row.label, taxonomy), row.label)) for row in rows]


def _places(bundle: Bundle, manifest: Manifest) -> tuple[list[str], dict[str, str], list[str]]:
    """Component of each new row, the split of those that the bundle has already, and each row's perceptual hashes.

    A component that would join images of different splits of the bundle has the split :data:`_TORN`.
    """
    if not manifest.rows:
        return [], {}, []
    bits = telling_bits(bundle.card)
    whole = all(row.sample.window is None for row in manifest.rows)
    small = splits.thumbnails(manifest) if whole else {}
    own = splits.components(manifest.rows, splits.near_copies(manifest, bits, small).pairs).tolist()
    old: list[dict[str, str]] = read_table(bundle).to_dict("records")  # type: ignore[assignment]
    by_key = {line["id"]: line for line in old} | {f"group {line['group']}": line for line in old if line["group"]}
    alike, hashes = _looking_like(old, [small.get(row.sample.id) for row in manifest.rows], bits)
    joined: dict[int, str] = {}
    place: dict[str, str] = {}
    for c, row, like in zip(own, manifest.rows, alike, strict=True):
        found = by_key.get(row.sample.id) or by_key.get(f"group {row.sample.group}") or like
        if found is None:
            continue
        component, split = found["component"], found["split"]
        if c in joined and place[joined[c]] != split:
            component, split = f"{_TORN} {c}", _TORN
        joined[c] = component
        place[component] = split
    start = f"{bundle.hash[:8]}+"
    return [joined.get(c, f"{start}{c}") for c in own], place, hashes


def _looking_like(
    old: Sequence[dict[str, str]], pictures: Sequence[NDArray[np.uint8] | None], bits: int
) -> tuple[list[dict[str, str] | None], list[str]]:
    """The line of the bundle that shows the same picture in any orientation, and the hashes in hexadecimal, of each."""
    placed = [line for line in old if line["picture"]]
    there = [i for i, picture in enumerate(pictures) if picture is not None]
    alike: list[dict[str, str] | None] = [None] * len(pictures)
    hashes = [""] * len(pictures)
    if there:
        stack = np.stack([picture for picture in pictures if picture is not None])
        known = copies.known(stack, np.array([copies.read(line["picture"])[0] for line in placed], np.uint64), bits)
        for i, k, h in zip(there, known.tolist(), copies.every_way(stack), strict=True):
            alike[i], hashes[i] = placed[k] if k >= 0 else None, copies.written(h)
    return alike, hashes


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
