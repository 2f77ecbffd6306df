"""Answers about labelled images by heads that had not seen them: for doubts about labels, and to price leaks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.inference import calibration
from shared.training import head
from shared.training.head import Indices, Matrix


@dataclass(frozen=True)
class Labelled:
    """What the heads learn from.

    Attributes:
        features: ``(n, d)`` float64.
        labels: ``(n,)`` indices.
        classes: Number of labels.
        strengths: Ridge strengths to choose from.
        folds: Number of folds.
    """

    features: Matrix
    labels: Indices
    classes: int
    strengths: Sequence[float]
    folds: int


def probabilities(data: Labelled, components: Indices, seed: int) -> Matrix:
    """Calibrated probabilities ``(n, labels)`` of every image by heads that had seen nothing of its component.

    Args:
        data: The images.
        components: ``(n,)``; every image its own component gives what a split by image would promise.
        seed: For the division into folds.
    """
    x, y, classes = data.features, data.labels, data.classes
    fitted = head.fit(x, y, components, classes, strengths=data.strengths, count=data.folds, seed=seed)
    scores = fitted.held_out_scores.copy()
    # The head judges only one fold of a large set; here every image is wanted.
    fold = head.folds(components, y, data.folds, seed)
    for f in np.unique(fold[np.isnan(scores[:, 0])]):
        inside, outside = fold != f, fold == f
        one = next(head.ridge(x[inside], y[inside], classes, [fitted.strength]))
        scores[outside] = one.scores(x[outside])
    return calibration.softmax(scores / fitted.head.temperature)


def of_split(data: Labelled, components: Indices, train: Indices, test: Indices, seed: int) -> Indices:
    """Labels of the rows ``test`` by heads fitted on the rows ``train`` outside of the fold of the component.

    Called with every image its own component, training images are left out at random, and copies of the test images
    stay; called with the true components, the copies go. Both sides learn from about as many images, so that the
    difference is what the copies are worth (a little less, because at random some copies are left out too).

    Args:
        data: The images.
        components: ``(n,)``.
        train: Numbers of the training rows.
        test: Numbers of the rows to answer for.
        seed: For the division into folds.

    Returns:
        ``(len(test),)``; the first label where no training image was left.
    """
    x, y = data.features, data.labels
    chosen = head.fit(
        x[train], y[train], components[train], data.classes, strengths=data.strengths, count=data.folds, seed=seed
    )
    fold = head.folds(components, y, data.folds, seed)
    answer = np.zeros(len(test), np.int64)
    for f in np.unique(fold[test]):
        inside, asked = train[fold[train] != f], fold[test] == f
        if len(inside):
            one = next(head.ridge(x[inside], y[inside], data.classes, [chosen.strength]))
            answer[asked] = one.scores(x[test[asked]]).argmax(1)
    return answer
