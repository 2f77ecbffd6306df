"""How far a student's scores are from its teacher's.

DIST (Huang et al., "Knowledge distillation from a stronger teacher", NeurIPS 2022) asks not for the teacher's
probabilities but for their order, within each image and, for each label, over the images of a batch. Plain divergence
of probabilities often makes a small network worse than learning alone would.
"""

from typing import Any

from shared.training.backbones import torch

KL_TEMPERATURE = 4.0
"""Of the plain divergence, as in Hinton et al. 2015 and most since."""


def dist(scores: Any, wanted: Any) -> Any:
    """One minus Pearson's correlation of probabilities, over the labels of an image and over the images of a label.

    Args:
        scores: ``(n, labels)`` of the student, before softmax.
        wanted: ``(n, labels)`` of the teacher.

    Returns:
        The sum of both means, 0 to 4 (Huang et al. 2022, equations 8 to 10).
    """
    a, b = scores.softmax(1), wanted.softmax(1)
    return (1 - _correlation(a, b)).mean() + (1 - _correlation(a.T, b.T)).mean()


def plain_divergence(scores: Any, wanted: Any) -> Any:
    """Kullback-Leibler divergence at :data:`KL_TEMPERATURE`, times its square (Hinton et al. 2015)."""
    t = KL_TEMPERATURE
    said, true = (scores / t).log_softmax(1), (wanted / t).log_softmax(1)
    return t * t * torch.nn.functional.kl_div(said, true, reduction="batchmean", log_target=True)


def _correlation(a: Any, b: Any) -> Any:
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)
