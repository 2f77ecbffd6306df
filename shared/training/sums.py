"""What the closed-form head depends on, label by label: it can be added to, taken from and pooled, always exactly.

A label's images are kept as rows (the factor of their Gram matrix) while that is smaller, and folded into the Gram
matrix itself when it is not: both give the same head as fitting it anew on all images. Nothing in it is a picture.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from shared import atomic
from shared.errors import DataError, require
from shared.export.graph import Head
from shared.inference import bundle

FILE = "statistics.safetensors"
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """The training images of one label.

    Attributes:
        rows: ``(n, d)`` float32 features of those that are kept one by one.
        ids: Their ids, ``n`` of them.
        components: Component of each, ``n``: images of one component never judge each other.
        gram: ``(d, d)`` float64, sum of ``(h - o)(h - o)^T`` over those that were folded; None where none was. The
            origin ``o`` is that of the :class:`Sums`: without it, features far from 0 would lose digits.
        total: ``(d,)`` float64, sum of ``h - o`` over those that were folded.
        folded: Ids of those.
    """

    rows: NDArray[np.float32]
    ids: tuple[str, ...]
    components: tuple[str, ...]
    gram: Matrix | None
    total: Matrix
    folded: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.ids) + len(self.folded)

    def sums(self, origin: Matrix) -> tuple[Matrix, Matrix]:
        """Sum of ``h - o`` and of ``(h - o)(h - o)^T`` over all images, float64."""
        wide = self.rows - origin
        gram = wide.T @ wide
        return self.total + wide.sum(0), gram if self.gram is None else gram + self.gram

    def fold(self, origin: Matrix) -> "Block":
        """The same sums without single rows."""
        total, gram = self.sums(origin)
        return Block(self.rows[:0], (), (), gram, total, (*self.folded, *self.ids))

    def with_rows(
        self, rows: NDArray[np.float32], ids: Sequence[str], components: Sequence[str], origin: Matrix
    ) -> "Block":
        """With further images; folded as soon as the rows take more room than the matrix."""
        made = replace(
            self,
            rows=np.concatenate([self.rows, rows]),
            ids=(*self.ids, *ids),
            components=(*self.components, *components),
        )
        return made.fold(origin) if len(made.ids) > 2 * rows.shape[1] else made

    def without(self, dropped: Mapping[str, NDArray[np.float32] | None], origin: Matrix) -> "Block":
        """Without images, by id; of a folded one the features must be given.

        Raises:
            DataError: An image is folded and its features are not given.
        """
        kept = [i for i, identity in enumerate(self.ids) if identity not in dropped]
        gone = [identity for identity in self.folded if identity in dropped]
        made = replace(
            self,
            rows=self.rows[kept],
            ids=tuple(self.ids[i] for i in kept),
            components=tuple(self.components[i] for i in kept),
        )
        if not gone:
            return made
        given = {identity: vector for identity in gone if (vector := dropped[identity]) is not None}
        if missing := [identity for identity in gone if identity not in given]:
            raise DataError(
                f"{missing[0]}: is part of a sum of {len(self.folded)} images and cannot be taken out by its id alone; "
                "give its file: --forget FILE"
            )
        wide = np.stack([given[identity] for identity in gone]) - origin
        assert made.gram is not None
        left = tuple(identity for identity in self.folded if identity not in given)
        return replace(made, gram=made.gram - wide.T @ wide, total=made.total - wide.sum(0), folded=left)

    def moved(self, by: Matrix) -> "Block":
        """The same images about another origin, ``by`` further down."""
        if self.gram is None:
            return self
        n, outer = len(self.folded), np.outer(self.total, by)
        return replace(self, gram=self.gram + outer + outer.T + n * np.outer(by, by), total=self.total + n * by)


@dataclass(frozen=True)
class Sums:
    """All labels of one head, over one backbone.

    Attributes:
        backbone: Key of the backbone; sums over different ones mean nothing together.
        origin: ``(d,)`` float64, what all sums are about.
        blocks: By label.
    """

    backbone: str
    origin: Matrix
    blocks: Mapping[str, Block]

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        return tuple(sorted(self.blocks))

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all images."""
        return frozenset(i for block in self.blocks.values() for i in (*block.ids, *block.folded))

    def add(
        self, features: NDArray[np.floating], labels: Sequence[str], ids: Sequence[str], components: Sequence[str]
    ) -> "Sums":
        """With further images; a label that was not there becomes one.

        Args:
            features: ``(n, d)`` as the backbone gives them.
            labels: Of each image.
            ids: Of each image's Sample.
            components: Of each image.

        Raises:
            DataError: An image is there already.
        """
        if known := sorted(self.ids & set(ids)):
            raise DataError(f"{known[0]}: is among the training images already; take it out first, or leave it out")
        rows, blocks = np.asarray(features, np.float32), dict(self.blocks)
        for label in sorted(set(labels)):
            own = [i for i, name in enumerate(labels) if name == label]
            block = blocks.get(label) or _empty(rows.shape[1])
            own_ids, own_components = [ids[i] for i in own], [components[i] for i in own]
            blocks[label] = block.with_rows(rows[own], own_ids, own_components, self.origin)
        return replace(self, blocks=blocks)

    def forget(self, ids: Iterable[str], features: Mapping[str, NDArray[np.float32]] | None = None) -> "Sums":
        """Without images; a label without any image left is gone.

        Args:
            ids: Of the images to take out; unknown ones change nothing.
            features: Of those that were folded, by id.

        Raises:
            DataError: An image is folded and its features are not given.
        """
        dropped = {identity: (features or {}).get(identity) for identity in ids}
        left = {label: block.without(dropped, self.origin) for label, block in self.blocks.items()}
        return replace(self, blocks={label: block for label, block in left.items() if block.count})

    def merge(self, other: "Sums") -> "Sums":
        """Both together, as if all images had been in one place.

        Raises:
            DataError: They come from different backbones, or share images.
        """
        if self.backbone != other.backbone:
            raise DataError(
                f"the two were made with different backbones ({self.backbone} and {other.backbone}); their sums mean "
                "nothing together: build both with the same one"
            )
        if shared := sorted(self.ids & other.ids):
            raise DataError(f"{shared[0]}: is in both; forget it in one of them first, else it would count twice")
        blocks = dict(self.blocks)
        for label, block in other.blocks.items():
            moved = block.moved(other.origin - self.origin)
            blocks[label] = _joined(blocks[label], moved, self.origin) if label in blocks else moved
        return replace(self, blocks=blocks)

    def head(self, strength: float, temperature: float = 1.0) -> Head:
        """The ridge head over all images, every label with the same weight; equal to fitting on the images themselves.

        Args:
            strength: As in :func:`shared.training.head.ridge`.
            temperature: Put into the head.
        """
        labels = self.labels
        weights = [1.0 / (self.blocks[label].count * len(labels)) for label in labels]
        sums = [self.blocks[label].sums(self.origin) for label in labels]
        totals = np.stack([w * total for w, (total, _) in zip(weights, sums, strict=True)])
        mean = totals.sum(0)
        gram: Matrix = np.zeros((len(mean), len(mean)))
        for w, (total, own) in zip(weights, sums, strict=True):
            outer = np.outer(total, mean)
            gram += w * (own - outer - outer.T) + np.outer(mean, mean) / len(labels)
        deviation = np.sqrt(np.maximum(gram.diagonal(), 0))
        deviation = np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-12))
        gram /= np.outer(deviation, deviation)
        right = ((totals - mean / len(labels)) / deviation).T
        gram[np.diag_indices_from(gram)] += strength * len(mean) / 1000
        solution = cho_solve(cho_factor(gram, overwrite_a=True), right)
        return Head(mean + self.origin, deviation, solution, np.full(len(labels), 1.0 / len(labels)), temperature)

    def covariance(self, deviation: Matrix) -> Matrix:
        """Covariance ``(d, d)`` of all images, each with the same weight, about their mean and divided by deviations.

        Args:
            deviation: ``(d,)`` above 0, e.g. the head's.
        """
        sums = [block.sums(self.origin) for block in self.blocks.values()]
        n = sum(block.count for block in self.blocks.values())
        mean = sum((total for total, _ in sums), np.zeros_like(self.origin)) / n
        gram = sum((own for _, own in sums), np.zeros((len(mean), len(mean)))) / n - np.outer(mean, mean)
        result: Matrix = gram / np.outer(deviation, deviation)
        return result

    def save(self, folder: Path) -> Path:
        """Write them as :data:`FILE` into a folder; equal sums give equal bytes."""
        pack = require("safetensors.numpy", extra="train").save
        arrays: dict[str, NDArray[Any]] = {"origin": self.origin}
        names = {}
        for i, label in enumerate(self.labels):
            block = self.blocks[label]
            arrays |= {f"{i}.rows": np.ascontiguousarray(block.rows), f"{i}.total": block.total}
            if block.gram is not None:
                # Of a symmetric matrix half is enough.
                arrays[f"{i}.gram"] = block.gram[np.triu_indices(len(block.gram))]
            names[label] = [block.ids, block.components, block.folded]
        about = {"loupe": json.dumps({"backbone": self.backbone, "labels": names}, sort_keys=True)}
        atomic.write(folder / FILE, pack(arrays, about))
        return folder / FILE


def of(
    backbone: str,
    features: NDArray[np.floating],
    labels: Sequence[str],
    ids: Sequence[str],
    components: Sequence[str],
) -> Sums:
    """The sums of some images, see :meth:`Sums.add`."""
    rows = np.asarray(features, np.float32)
    origin = rows.mean(0, np.float64).astype(np.float32).astype(np.float64)
    return Sums(backbone, origin, {}).add(rows, labels, ids, components)


def load(folder: Path) -> Sums | None:
    """Read what :meth:`Sums.save` wrote into a folder; None where the folder has none.

    Raises:
        BundleError: The file is damaged.
    """
    return bundle.part(folder / FILE, _read)


def _read(path: Path) -> Sums:
    opened = require("safetensors", extra="train").safe_open
    with opened(path, "np") as stored:
        about = json.loads(stored.metadata()["loupe"])
        named = sorted(about["labels"].items())
        blocks = {label: _block(stored, i, *parts) for i, (label, parts) in enumerate(named)}
        return Sums(str(about["backbone"]), stored.get_tensor("origin"), blocks)


def _block(stored: Any, i: int, ids: list[str], components: list[str], folded: list[str]) -> Block:
    rows, total = stored.get_tensor(f"{i}.rows"), stored.get_tensor(f"{i}.total")
    gram = None
    if folded:
        gram = np.zeros((len(total), len(total)))
        gram[np.triu_indices(len(total))] = stored.get_tensor(f"{i}.gram")
        gram = gram + np.triu(gram, 1).T
    if not len(rows) == len(ids) == len(components):
        raise ValueError("its parts do not fit together")
    return Block(rows, tuple(ids), tuple(components), gram, total, tuple(folded))


def _empty(d: int) -> Block:
    return Block(np.zeros((0, d), np.float32), (), (), None, np.zeros(d))


def _joined(a: Block, b: Block, origin: Matrix) -> Block:
    grams = [g for g in (a.gram, b.gram) if g is not None]
    made = replace(
        a, gram=sum(grams[1:], grams[0]) if grams else None, total=a.total + b.total, folded=(*a.folded, *b.folded)
    )
    return made.with_rows(b.rows, b.ids, b.components, origin)
