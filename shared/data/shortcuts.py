"""Can the label be told from how an image was taken and stored, without looking at what it shows?

A model learns whatever tells the labels apart. Where one label was photographed by another camera, saved by another
program or on a brighter day, it learns that, and fails on the first picture that breaks the habit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data.quality import Measures
from shared.errors import require

Indices = NDArray[np.int64]

ACQUISITION = (
    "camera", "exposure", "device", "scanner", "sensor", "lens", "light", "gain", "station", "line", "machine",
    "operator", "photographer", "site", "hospital", "centre", "center", "source", "session", "date", "day", "time",
    "flight", "batch", "lot",
)  # fmt: skip
"""Words in the name of a table's column that make it a property of the recording and not of the object."""
_MANY = 50
_WORTH = 0.1
"""A dozen properties are tried and one may lie above chance by luck: an effect that matters is asked for as well."""


@dataclass(frozen=True)
class Property:
    """One thing that is known about every image.

    Attributes:
        name: E.g. ``brightness``.
        values: ``(n, columns)`` float64 for a small classifier; a word becomes one column per word.
        recording: True where it cannot be what the label means (file, camera, size); False where it is a look of the
            picture (brightness, blur) that a defect may have by nature.
    """

    name: str
    values: NDArray[np.float64]
    recording: bool


def properties(
    measures: Sequence[Measures],
    origins: Sequence[tuple[str, str, int]],
    columns: Mapping[str, Sequence[str]],
) -> tuple[Property, ...]:
    """What is known about every image, without what is the same for all.

    Args:
        measures: Of each image.
        origins: Format, camera and bytes of each image's file, see :func:`shared.data.quality.origin`.
        columns: Further columns of the table, a text for each image; those about the recording are taken, see
            :data:`ACQUISITION`.
    """
    width = np.array([m.width for m in measures], np.float64)
    height = np.array([m.height for m in measures], np.float64)
    looks = {
        "blur": [m.sharpness for m in measures],
        "brightness": [m.brightness for m in measures],
        "contrast": [m.contrast for m in measures],
        "colour": [m.colour for m in measures],
    }
    size = np.array([o[2] for o in origins], np.float64)
    files = {"size": width * height, "aspect ratio": width / height, "file size": size}
    words = {"file format": [o[0] for o in origins], "EXIF camera": [o[1] for o in origins]}
    taken = {f"column {name}": values for name, values in columns.items() if of_recording(name)}
    found = [
        *(Property(name, np.array(values, np.float64)[:, None], False) for name, values in looks.items()),
        *(Property(name, values[:, None], name != "file size") for name, values in files.items()),
        *(Property(name, _columns(values), True) for name, values in {**words, **taken}.items()),
    ]
    return tuple(p for p in found if p.values.size and np.ptp(p.values, axis=0).any())


def of_recording(name: str) -> bool:
    """Whether a column's name speaks of the recording."""
    return bool(set(ACQUISITION) & set(name.lower().replace("-", "_").replace(" ", "_").split("_")))


def _columns(values: Sequence[str]) -> NDArray[np.float64]:
    """Numbers as they are; words as one column each, the rarest beyond fifty together."""
    try:
        numbers = np.array([float(v) if v else np.nan for v in values])
        return np.where(np.isnan(numbers), -1.0, numbers)[:, None]
    except ValueError:
        _, number, count = np.unique(np.asarray(values, str), return_inverse=True, return_counts=True)
        kept = np.argsort(-count, kind="stable")[:_MANY]
        one_hot: NDArray[np.float64] = (number[:, None] == kept[None, :]).astype(np.float64)
        return one_hot


def predict(prop: Property, labels: Indices, fold: Indices) -> Indices:
    """Label of each image by a small tree on one property, grown on the other folds; shape ``(n,)``.

    Args:
        prop: The property.
        labels: ``(n,)``.
        fold: Fold of each image ``(n,)``; images of one component lie in one fold.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    tree: Any = require("sklearn.tree", extra="train")
    predicted = np.zeros(len(labels), np.int64)
    for f in np.unique(fold):
        inside, outside = fold != f, fold == f
        grown = tree.DecisionTreeClassifier(
            max_leaf_nodes=max(8, 2 * len(np.unique(labels))),
            min_samples_leaf=5,
            class_weight="balanced",
            random_state=0,
        )
        grown.fit(prop.values[inside], labels[inside])
        predicted[outside] = grown.predict(prop.values[outside])
    return predicted


def tells(value: float, low: float, chance: float) -> bool:
    """Whether a property tells the label: its interval lies above chance, and it goes a tenth of the way to certainty.

    Args:
        value: Balanced accuracy of :func:`predict`.
        low: Lower end of its 95 % interval.
        chance: What guessing gets.
    """
    return low > chance and value - chance >= _WORTH * (1 - chance)
