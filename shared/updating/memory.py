"""What a bundle remembers of its images, so that it can be updated without them: sums, held-out vectors, the table."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from shared.building.work import Part
from shared.data import copies
from shared.errors import BundleError, DataError
from shared.evaluate import SAMPLES, read_table
from shared.inference import Bundle, calibration
from shared.training import held_out, sums
from shared.training.head import class_weights
from shared.training.held_out import HeldOut
from shared.training.sums import Sums
from shared.updating.intake import Intake

FOLDS = 5
_NAMED = 5
LEAST_ROWS = 50
"""With fewer training images kept one by one, a temperature is not chosen anew."""


@dataclass(frozen=True)
class Memory:
    """The parts of one bundle.

    Attributes:
        sums: Of the training images.
        held: Validation and test images.
        table: Id, split, group, component and perceptual hashes of every image, see
            :func:`shared.evaluate.samples_table`.
    """

    sums: Sums
    held: HeldOut
    table: pd.DataFrame

    @property
    def images(self) -> list[dict[str, str]]:
        """The lines of the table."""
        lines: list[dict[str, str]] = self.table.to_dict("records")  # type: ignore[assignment]
        return lines

    @property
    def labels(self) -> dict[str, str]:
        """Label of every image by id."""
        blocks = self.sums.blocks.items()
        known = {i: label for label, block in blocks for i in (*block.ids, *block.folded)}
        return known | dict(zip(self.held.ids, self.held.labels, strict=True))

    def renamed(self, names: Mapping[str, str]) -> "Memory":
        """With other names of components; those that are not among ``names`` keep theirs."""

        def new(components: Sequence[str]) -> tuple[str, ...]:
            return tuple(names.get(c, c) for c in components)

        blocks = {k: replace(b, components=new(b.components)) for k, b in self.sums.blocks.items()}
        return Memory(
            replace(self.sums, blocks=blocks),
            replace(self.held, components=new(self.held.components)),
            self.table.assign(component=list(new(list(self.table["component"])))),
        )

    def forget(self, wanted: Sequence[str], features: Mapping[str, NDArray[np.float32]] | None = None) -> "Memory":
        """Without images, by id or the first digits of it; windows of an image go with it.

        Raises:
            DataError: An image is unknown, several begin with these digits, or one is part of a sum and its features
                are not given.
        """
        known = self.labels
        gone = {i for w in wanted for i in ([w] if w in known else _beginning(w, known))}
        return Memory(
            self.sums.forget(gone, features),
            self.held.where([i not in gone for i in self.held.ids]),
            self.table[~self.table["id"].isin(gone)],
        )


def of(backbone: str, parts: Mapping[str, Part]) -> tuple[Sums, HeldOut]:
    """What to keep of a build.

    Args:
        backbone: See :func:`key`.
        parts: Training, validation and test images with features.
    """
    train = parts["train"]
    names = [row.label for row in train.rows], [row.sample.id for row in train.rows]
    kept = sums.of(backbone, train.x, *names, train.groups)
    out = [(split, part) for split, part in parts.items() if split != "train" and len(part.rows)]
    rows = [(split, row, group) for split, part in out for row, group in zip(part.rows, part.groups, strict=True)]
    return kept, HeldOut(
        np.concatenate([part.x for _, part in out]).astype(np.float32)
        if out
        else np.zeros((0, train.x.shape[1]), np.float32),
        tuple(row.sample.id for _, row, _ in rows),
        tuple(row.label for _, row, _ in rows),
        tuple(split for split, _, _ in rows),
        tuple(group for _, _, group in rows),
    )


def key(origin: Mapping[str, Any], image_size: int) -> str:
    """Names a backbone with its weights and input; sums over equal ones can be pooled."""
    said = {name: origin[name] for name in ("name", "sha256", "stages", "weights")} | {"image_size": image_size}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]


def load(bundle: Bundle) -> Memory:
    """Read a bundle's memory.

    Raises:
        BundleError: It has none, it is damaged, or another bundle has taken the folder's place meanwhile.
    """
    own, held = sums.load(bundle.path), held_out.load(bundle.path)
    if own is None or held is None:
        raise BundleError(f"{bundle.path}: was built before bundles could be updated; build it again")
    table = read_table(bundle)
    for file in (sums.FILE, held_out.FILE, SAMPLES):
        bundle.content(file)  # what was read a moment ago is what was checked
    return Memory(own, held, table)


def _beginning(digits: str, known: Iterable[str]) -> list[str]:
    """Ids of the one image that begins with these digits: several where it is windows."""
    found = [i for i in known if digits and i.startswith(digits)]
    if not found:
        raise DataError(f"--forget {digits}: the bundle has no image of this id; its images stand in {SAMPLES}")
    whole = sorted({i.partition("@")[0] for i in found})
    if len(whole) > 1:
        raise DataError(
            f"--forget {digits}: {len(whole)} images begin so ({', '.join(whole[:2])} ...); give more digits of one"
        )
    return found


def taken_in(before: Memory, new: Intake) -> Memory:
    """With what came in: training rows into the sums, the others to the judges; corrected labels replace the old."""
    features = {row.sample.id: x for row, x in zip(new.rows, new.features, strict=True)}
    left = before.forget(sorted(new.relabelled), features) if new.relabelled else before
    inside = [i for i, row in enumerate(new.rows) if row.split == "train"]
    outside = [i for i, row in enumerate(new.rows) if row.split != "train"]
    rows = new.rows
    own = left.sums
    if inside:
        names = [rows[i].label for i in inside], [rows[i].sample.id for i in inside]
        own = own.add(new.features[inside], *names, [new.components[i] for i in inside])
    held = HeldOut(
        new.features[outside],
        tuple(rows[i].sample.id for i in outside),
        tuple(rows[i].label for i in outside),
        tuple(rows[i].split for i in outside),
        tuple(new.components[i] for i in outside),
    )
    lines = [
        {"id": r.sample.id, "split": r.split, "group": r.sample.group, "component": c, "picture": p}
        for r, c, p in zip(rows, new.components, new.hashes, strict=True)
    ]
    table = pd.concat([left.table, pd.DataFrame(lines, dtype="string")]).fillna("")
    return Memory(own, left.held.add(held), table)


def merged(own: Memory, other: Memory, name: str, *, bits: int) -> Memory:
    """Both together; components of the other get a name of their own, unless they belong to one that is here.

    Groups of the same name are one, and so are pictures that look alike, whichever way one was turned or mirrored;
    those of a bundle of an earlier version are compared as they lie.

    Args:
        own: One.
        other: The other one.
        name: Of the other bundle, to tell equal component numbers apart.
        bits: Greatest distance of the hashes of one picture.

    Raises:
        DataError: They come from different backbones, share images, or one learnt from what the other is judged on.
    """
    if both := sorted(set(own.labels) & set(other.labels)):
        raise DataError(f"{both[0]}: is in both bundles; forget it in one of them first, else it would count twice")
    far = other.renamed({c: f"{name}:{c}" for c in other.table["component"]})
    tied = _tied(own, far, bits)
    if torn := [tie for tie in tied if tie.splits[0] != tie.splits[1]]:
        shown = list(dict.fromkeys(map(str, torn)))
        more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
        raise DataError(
            "the bundles cannot be pooled, because one learnt from what the other is judged on: "
            f"{'; '.join(shown[:_NAMED])}{more}; take these images out of one of the two with loupe update --forget, "
            "or, where equal names of groups are chance, build one with other names"
        )
    one = _united([tie.components for tie in tied])
    own, far = own.renamed(one), far.renamed(one)
    return Memory(own.sums.merge(far.sums), own.held.add(far.held), pd.concat([own.table, far.table]).fillna(""))


@dataclass(frozen=True)
class _Tie:
    """An image of one bundle and one of another that belong together."""

    what: str
    components: tuple[str, str]
    splits: tuple[str, str]

    def __str__(self) -> str:
        return f"{self.what} ({self.splits[0]} here, {self.splits[1]} there)"


def _tied(own: Memory, far: Memory, bits: int) -> list[_Tie]:
    """What is of one group, or looks alike, in two bundles."""

    def tie(what: str, a: Mapping[str, str], b: Mapping[str, str]) -> _Tie:
        return _Tie(what, (a["component"], b["component"]), (a["split"], b["split"]))

    # One line for each component and split of a group: a group may have thousands of images.
    mine, theirs = ({(line["group"], line["component"], line["split"]): line for line in m.images} for m in (own, far))
    by_group: dict[str, list[dict[str, str]]] = defaultdict(list)
    for line in mine.values():
        by_group[line["group"]].append(line)
    groups = [tie(f"group {b['group']!r}", a, b) for b in theirs.values() if b["group"] for a in by_group[b["group"]]]
    here, there = ([line for line in m.images if line["picture"]] for m in (own, far))
    known = np.array([copies.read(line["picture"])[0] for line in here], np.uint64)
    pictures = []
    for b in there:
        apart = np.bitwise_count(known[:, None] ^ copies.read(b["picture"])[None, :])
        near = np.flatnonzero((apart <= bits).any(1))
        pictures += [tie(f"images {here[i]['id']} and {b['id']}, which look alike", here[i], b) for i in near]
    return [*groups, *pictures]


def _united(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """One name for all components that are tied to each other, by each of their names."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    number = {name: i for i, name in enumerate(names)}
    edges = np.array([[number[a], number[b]] for a, b in pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(names), len(names)))
    parts = connected_components(graph, directed=False)[1].tolist() if names else []
    first: dict[int, str] = {}
    return {name: first.setdefault(part, name) for name, part in zip(names, parts, strict=True)}


def temperature(own: Sums, strength: float) -> float | None:
    """The temperature at which heads are honest about training images that they have not seen; None with too few rows.

    Images of one component are always in one fold.
    """
    rows = [(label, i) for label, block in own.blocks.items() for i in range(len(block.ids))]
    if len(rows) < LEAST_ROWS or len(own.labels) < 2:
        return None
    ids = [own.blocks[label].ids[i] for label, i in rows]
    components = np.unique([own.blocks[label].components[i] for label, i in rows], return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(int(components.max()) + 1)[components] % FOLDS
    y = np.array([own.labels.index(label) for label, _ in rows])
    scores = np.full((len(rows), len(own.labels)), np.nan)
    for f in range(FOLDS):
        outside = np.flatnonzero(fold == f)
        inner = own.forget([ids[i] for i in outside])
        if inner.labels != own.labels or not len(outside):
            continue  # a label whose images all lie in this fold
        x = np.stack([own.blocks[rows[i][0]].rows[rows[i][1]] for i in outside])
        scores[outside] = inner.head(strength).scores(x)
    seen = ~np.isnan(scores[:, 0])
    if seen.sum() < LEAST_ROWS:
        return None
    return calibration.fit_temperature(scores[seen], y[seen], class_weights(y[seen], len(own.labels)))
