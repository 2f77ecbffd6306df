"""What copies and siblings among the training images are worth: a figure that a split by image would promise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.reporting import paired, rates

Indices = NDArray[np.int64]


def price(
    labels: Indices, names: Sequence[str], groups: Sequence[str], leaky: Sequence[Indices], apart: Sequence[Indices]
) -> dict[str, Any]:
    """Balanced accuracy on the same images with and without their siblings among the training images.

    Args:
        labels: True labels ``(n,)``, indices into ``names``.
        names: The labels.
        groups: Component of each image ``(n,)``; intervals count these, however the images were divided.
        leaky: Answers ``(n,)`` of one or more divisions by image.
        apart: As many, of divisions that keep components together.

    Returns:
        ``leaky`` and ``clean`` with their intervals; ``points``, the first minus the second in points, from ``low`` to
        ``high``; ``images`` and ``seeds``, how many of each.
    """
    truth, members = np.tile(labels, len(leaky)), [*groups] * len(leaky)
    worth = paired.paired(truth, np.concatenate(apart), np.concatenate(leaky), members)
    return {
        "leaky": balanced_accuracy(labels, names, groups, leaky),
        "clean": balanced_accuracy(labels, names, groups, apart),
        "points": 100 * worth.value,
        "low": 100 * worth.low,
        "high": 100 * worth.high,
        "images": len(labels),
        "seeds": len(leaky),
    }


def balanced_accuracy(
    labels: Indices, names: Sequence[str], groups: Sequence[str], answers: Sequence[Indices]
) -> dict[str, Any]:
    """Over several divisions into folds; the interval counts each group once. Arguments as in :func:`price`."""
    truth, members = np.tile(labels, len(answers)), [*groups] * len(answers)
    return dict(rates.classification(truth, np.concatenate(answers), names, groups=members)["balanced_accuracy"])
