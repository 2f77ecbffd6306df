"""Split images into train, validation and test so that nothing leaks: what is split is components, not images.

Two images belong to one component when they have the same group, the same content, or nearly the same picture. A
component goes to one split as a whole.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from shared.data import copies, images
from shared.data.manifest import SPLITS, Manifest, Row
from shared.errors import DataError
from shared.recipe import Recipe

_FEW = 20
_GIANT = 0.25
"""A near-duplicate component with more than this share of the images says that the hash cannot tell them apart."""
_CHAINED = 0.1
_ALIKE = 0.999
"""Confirmed copies as alike as this stay together however many they are."""


@dataclass(frozen=True)
class SplitReport:
    """What a split achieved.

    Attributes:
        images: Images per split.
        components: Components per split.
        ratio: Images per split, relative to the test images, e.g. ``"3.02 : 1.01 : 1"``.
        given: True where the split came with the data and was kept.
        duplicates: Images that have an exact copy.
        near_duplicates: Images that are a near copy of one in another group.
        near_duplicate_bits: The distance that counted without comparing the pictures; lower than asked for where the
            hash cannot tell images apart.
        leaked_before: Share of test images that would share a component with a training image: in the split that came
            with the data, or else in a random split by image.
        leaked_after: The same for the split that was made; 0 unless a given split was kept.
        unmeasured: Labels from too few components to be in all three splits; they are trained, but nothing can be
            said about their recall.
    """

    images: dict[str, int]
    components: dict[str, int]
    ratio: str
    given: bool
    duplicates: int
    near_duplicates: int
    near_duplicate_bits: int
    leaked_before: float
    leaked_after: float
    unmeasured: tuple[str, ...]

    def __str__(self) -> str:
        origin = "came with the data" if self.given else "random, by image"
        return (
            f"train : validation : test = {' : '.join(str(self.images[s]) for s in SPLITS)} images ({self.ratio}), "
            f"{' : '.join(str(self.components[s]) for s in SPLITS)} independent components; "
            f"{self.duplicates} exact copies, {self.near_duplicates} near copies "
            f"(turned and mirrored ones too; hashes within {self.near_duplicate_bits} of 64 bits); "
            f"{self.leaked_before:.1%} of the test images leaked before ({origin}), {self.leaked_after:.1%} now"
        )


@dataclass(frozen=True)
class Near:
    """Which rows show nearly the same picture.

    Attributes:
        pairs: ``(pairs, 2)`` of what must stay together in a split: confirmed copies, and equal or close hashes.
        confirmed: ``(copies, 2)`` of what is one picture, in any orientation, see :mod:`shared.data.copies`.
        bits: Greatest distance of hashes that count without confirmation.
    """

    pairs: NDArray[np.int64]
    confirmed: NDArray[np.int64]
    bits: int


def thumbnail(manifest: Manifest, row: Row) -> NDArray[np.uint8] | None:
    """Small grey picture of a row's whole image, None where it cannot be decoded."""
    try:
        return copies.thumbnail(images.read(manifest.file(row.sample)))
    except DataError:
        return None


def thumbnails(manifest: Manifest) -> dict[str, NDArray[np.uint8] | None]:
    """Small grey picture of each image by its id; None where it cannot be decoded, which is said with its features."""
    known: dict[str, NDArray[np.uint8] | None] = {}
    for row in tqdm(manifest.rows, desc="near duplicates", unit="image", disable=None, leave=False):
        if row.sample.id not in known:
            known[row.sample.id] = thumbnail(manifest, row)
    return known


def perceptual_hashes(manifest: Manifest) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """64-bit pHashes of each row's whole image, see :func:`shared.data.copies.every_way`.

    Returns:
        Hashes ``(n, 8)``, and ``(n,)`` whether the image could be decoded; one that could not is like no other, and is
        listed when its features are computed.
    """
    known = thumbnails(manifest)
    found = [known[row.sample.id] for row in manifest.rows]
    decoded = np.array([small is not None for small in found], bool)
    result = np.zeros((len(found), copies.ORIENTATIONS), np.uint64)
    if decoded.any():
        result[decoded] = copies.every_way(np.stack([small for small in found if small is not None]))
    return result, decoded


def near_pairs(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Pairs of rows ``(pairs, 2)`` that connect all whose hashes differ in at most ``bits`` bits.

    Rows with equal hashes are chained rather than paired each with each, so that a thousand equal pictures are a
    thousand pairs and not a million.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    chained = np.stack([first[inverse], np.arange(len(hashes))], 1)
    found = [chained[chained[:, 0] != chained[:, 1]]]
    for start in range(0, len(unique) if bits else 0, 512):
        near = np.bitwise_count(unique[start : start + 512, None] ^ unique[None, :]) <= bits
        i, j = np.nonzero(near)
        i = i + start
        found.append(np.stack([first[i], first[j]], 1)[i < j])
    return np.concatenate(found)


def components(rows: Sequence[Row], pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number of the component of each row, from equal groups, equal content and near pairs; shape ``(n,)``."""
    edges = [pairs]
    for keys in ([row.sample.group for row in rows], [row.sample.id for row in rows]):
        members = defaultdict(list)
        for i, key in enumerate(keys):
            if key:
                members[key].append(i)
        edges += [np.array([(m[0], other) for other in m[1:]], np.int64).reshape(-1, 2) for m in members.values()]
    all_edges = np.concatenate(edges)
    n = len(rows)
    graph = coo_array((np.ones(len(all_edges)), (all_edges[:, 0], all_edges[:, 1])), shape=(n, n))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def split(manifest: Manifest, recipe: Recipe, near: Near | None = None) -> tuple[Manifest, SplitReport, dict[str, int]]:
    """Give every row a split; one that came with the data is kept, and its leaks are counted.

    Args:
        manifest: Labelled rows.
        recipe: Says the shares of validation and test, the greatest distance of two perceptual hashes that counts as
            the same picture, and the seed.
        near: What :func:`near_copies` gives, where it was computed before.

    Returns:
        The manifest with splits, what was achieved, and the component of each image id.

    Raises:
        DataError: Fewer than two labels, or a label without training images.
    """
    rows = manifest.rows
    labels = sorted(manifest.counts)
    if len(labels) < 2:
        found = f"only {labels[0]!r}" if labels else "none"
        raise DataError(f"{manifest.folder}: two labels or more are needed, found {found}; add images of another label")
    near = near_copies(manifest, recipe.near_duplicate_bits) if near is None else near
    component = components(rows, near.pairs)
    given = _given(rows)
    validation, seed = recipe.validation_fraction, recipe.seed
    target = np.array([1 - validation - recipe.test_fraction, validation, recipe.test_fraction])
    y = np.array([labels.index(row.label) for row in rows])
    if given:
        assigned = _with_validation([row.split for row in rows], component, y, validation, seed)
        before = leaked(np.array([row.split for row in rows]), component)
    else:
        assigned = assign(component, y, target, seed)
        random = np.random.default_rng(seed).choice(SPLITS, len(rows), p=target)
        before = leaked(random, component)
    done = manifest.with_rows(replace(row, split=s) for row, s in zip(rows, assigned, strict=True))
    _check(done, labels)
    of_id = {row.sample.id: int(c) for row, c in zip(rows, component, strict=True)}
    return done, _report(done, component, near, given, before), of_id


def _given(rows: Sequence[Row]) -> bool:
    """Whether the data came with a split; half a split is refused, because guessing would train on somebody's test."""
    words = Counter(row.split for row in rows)
    if set(words) == {""}:
        return False
    if words[""] or not {"train", "test"} <= set(words):
        found = ", ".join(f"{n} {word or 'empty'}" for word, n in sorted(words.items()))
        raise DataError(
            f"column 'split' has {found}; fill it for every row with train and test, or leave the column out"
        )
    return True


def near_copies(manifest: Manifest, bits: int, known: Mapping[str, NDArray[np.uint8] | None] | None = None) -> Near:
    """Find rows that show nearly the same picture; exact copies stand behind the first of their rows.

    Args:
        manifest: Rows.
        bits: Greatest distance of hashes that count without confirmation; lowered where the hash cannot tell the
            images apart.
        known: What :func:`thumbnails` gives, where it was computed before.
    """
    nothing = np.zeros((0, 2), np.int64)
    # Windows of one frame overlap by design and frames are groups already; comparing them would join whole strips.
    if any(row.sample.window is not None for row in manifest.rows):
        return Near(nothing, nothing, 0)
    known = thumbnails(manifest) if known is None else known
    first = {row.sample.id: i for i, row in reversed(list(enumerate(manifest.rows)))}
    small = {first[identity]: picture for identity, picture in known.items() if picture is not None}
    if not small:
        return Near(nothing, nothing, bits)
    place, stack = np.array(list(small), np.int64), np.stack(list(small.values()))
    order = np.argsort(place)
    place, stack = place[order], stack[order]
    confirmed = _confirmed(manifest, place, *copies.alike(stack, bits + copies.REACH))
    hashed = copies.hashes(stack)
    while True:
        pairs = place[near_pairs(hashed, bits)]
        if bits == 0 or _largest(manifest, pairs) <= max(_FEW, _GIANT * len(manifest.rows)):
            return Near(np.unique(np.concatenate([pairs, confirmed]), axis=0), confirmed, bits)
        bits -= 1


def _confirmed(
    manifest: Manifest, place: NDArray[np.int64], pairs: NDArray[np.int64], likeness: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Pairs in numbers of rows; where they would chain a tenth of the set together, only those that are more alike."""
    least = copies.LIKENESS
    while least < _ALIKE:
        kept = place[pairs[likeness >= least]]
        if _largest(manifest, kept) <= max(_FEW, _CHAINED * len(manifest.rows)):
            return kept
        least = (1 + least) / 2
    return place[pairs[likeness >= _ALIKE]]


def _largest(manifest: Manifest, pairs: NDArray[np.int64]) -> int:
    sizes = Counter(components([Row(replace(r.sample, group="")) for r in manifest.rows], pairs).tolist())
    return max(sizes.values())


def assign(component: NDArray[np.int32], y: NDArray[np.int64], target: NDArray[np.float64], seed: int) -> list[str]:
    """Largest components of the rarest labels first, each to the split that lacks its labels most."""
    # A label of which no row is to be shared out would divide by its size, zero, and send everything to train.
    y = np.unique(y, return_inverse=True)[1]
    counts = np.zeros((component.max() + 1, y.max() + 1))
    np.add.at(counts, (component, y), 1)
    total = counts.sum(0)
    wanted = target[:, None] * total
    have = np.zeros_like(wanted)
    rng = np.random.default_rng(seed)
    rarity = (counts / total).max(1)
    order = np.lexsort((rng.random(len(counts)), -rarity))
    place = np.zeros(len(counts), int)
    for c in order:
        # Squared distance from the wanted counts, per label relative to its size, after giving the component to each.
        after = ((have[None] + np.eye(3)[:, :, None] * counts[c] - wanted) / total) ** 2
        cost = (after / target[None, :, None]).sum((1, 2))
        place[c] = int(np.argmin(cost))
        have[place[c]] += counts[c]
    return [SPLITS[place[c]] for c in component]


def _with_validation(
    splits: list[str], component: NDArray[np.int32], y: NDArray[np.int64], validation: float, seed: int
) -> list[str]:
    """Where a given split has no validation images, take them from its training components."""
    if "validation" in splits:
        return splits
    train = np.array([i for i, s in enumerate(splits) if s == "train"])
    _, renumbered = np.unique(component[train], return_inverse=True)
    parts = assign(renumbered.astype(np.int32), y[train], np.array([1 - validation, validation, 1e-9]), seed)
    out = list(splits)
    for i, s in zip(train, parts, strict=True):
        out[i] = "validation" if s == "validation" else "train"
    return out


def leaked(splits: NDArray[np.str_], component: NDArray[np.int32]) -> float:
    """Share of test rows that have a training row in their component."""
    test = component[splits == "test"]
    return float(np.isin(test, component[splits == "train"]).mean()) if len(test) else 0.0


def _check(manifest: Manifest, labels: Sequence[str]) -> None:
    trained = {row.label for row in manifest.part("train")}
    for label in labels:
        if label not in trained:
            raise DataError(
                f"{manifest.folder}: label {label!r} has no training image in the split that came with the data; "
                "add some, or leave the label out"
            )


def _report(manifest: Manifest, component: NDArray[np.int32], near: Near, given: bool, before: float) -> SplitReport:
    splits = np.array([row.split for row in manifest.rows])
    sizes = {s: int((splits == s).sum()) for s in SPLITS}
    ids = Counter(row.sample.id for row in manifest.rows)
    groups = [row.sample.group or f"row {i}" for i, row in enumerate(manifest.rows)]
    return SplitReport(
        images=sizes,
        components={s: len(set(component[splits == s].tolist())) for s in SPLITS},
        ratio=" : ".join(f"{sizes[s] / max(sizes['test'], 1):.2f}" for s in SPLITS),
        given=given,
        duplicates=sum(n - 1 for n in ids.values()),
        near_duplicates=len({max(i, j) for i, j in near.pairs.tolist() if groups[i] != groups[j]}),
        near_duplicate_bits=near.bits,
        leaked_before=before,
        leaked_after=leaked(splits, component),
        unmeasured=tuple(
            label
            for label in sorted(manifest.counts)
            if len({row.split for row in manifest.rows if row.label == label}) < len(SPLITS)
        ),
    )
