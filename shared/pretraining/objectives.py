"""What the embedded backbone learns: to see what a teacher sees or, as the control, to know two cuts of one scene."""

from collections.abc import Callable, Sequence
from typing import Any

from shared.errors import require
from shared.training.backbones import stage_maps

torch: Any = require("torch", extra="train")
functional: Any = torch.nn.functional

Loss = Callable[[Any], Any]
"""Views ``(views, batch, 3, side, side)`` of normalised pixels in, a number to make smaller out."""


def distillation(student: Any, teacher: Any, measured: Sequence[Any]) -> Loss:
    """Maps of all stages, embedding and logits of a teacher with the same stage widths.

    Per stage the squared difference of the map, and of the features that the probe reads (mean and deviation over the
    places), each in units of its deviation over ``measured``. The student's last stage also goes through the teacher's
    own last layers: embedding and logits must come out the same (Kullback-Leibler divergence).

    Args:
        student: What learns.
        teacher: What is learnt from; it has ``conv_head``, ``bn2`` and ``classifier`` after its last stage.
        measured: Normalised batches ``(n, 3, side, side)``; units taken from each batch alone would let the plainest
            batches speak loudest.
    """
    teacher.eval().requires_grad_(False)
    with torch.no_grad():
        known = [stage_maps(teacher, pixels) for pixels in measured]
        units = [_units(torch.cat(stage)) for stage in zip(*known, strict=True)]
        scale = torch.cat([_ends(teacher, maps[-1])[0] for maps in known]).var()

    def loss(views: Any) -> Any:
        pixels = views[0]
        with torch.no_grad():
            wanted = stage_maps(teacher, pixels)
            embedding, logits = _ends(teacher, wanted[-1])
        reached = stage_maps(student, pixels)
        total = torch.zeros((), device=pixels.device)
        for ours, theirs, (unit, *spreads) in zip(reached, wanted, units, strict=True):
            total = total + functional.mse_loss(ours / unit, theirs / unit)
            for moment, spread in zip((torch.mean, torch.std), spreads, strict=True):
                a, b = moment(ours, (2, 3)) / spread, moment(theirs, (2, 3)) / spread
                total = total + 0.5 * functional.mse_loss(a, b)
        ours_embedding, ours_logits = _ends(teacher, reached[-1])
        total = total + functional.mse_loss(ours_embedding, embedding) / scale
        divergence = functional.kl_div(ours_logits.log_softmax(1), logits.softmax(1), reduction="batchmean")
        return total + divergence

    return loss


def _units(maps: Any) -> tuple[Any, Any, Any]:
    """Deviation of each channel over all places, of its means and of its deviations over the images."""
    place = maps.std((0, 2, 3), keepdim=True)
    floor = 0.1 * place.mean()
    mean, deviation = (moment(maps, (2, 3)).std(0) for moment in (torch.mean, torch.std))
    return place.clamp_min(floor), mean.clamp_min(0.2 * floor), deviation.clamp_min(0.2 * floor)


def _ends(teacher: Any, last: Any) -> tuple[Any, Any]:
    embedding = teacher.bn2(teacher.conv_head(last)).mean((2, 3))
    return embedding, teacher.classifier(embedding)


def self_supervision(student: Any, projector: Any) -> Loss:
    """VICReg (Bardes, Ponce and LeCun 2022) on the features that the probe reads; no teacher, no labels."""

    def loss(views: Any) -> Any:
        maps = stage_maps(student, views.flatten(0, 1))
        features = torch.cat([torch.cat([m.mean((2, 3)), m.std((2, 3))], 1) for m in maps], 1)
        first, second = projector(features).chunk(2)
        total = 25 * functional.mse_loss(first, second)
        for z in (first, second):
            z = z - z.mean(0)
            total = total + 12.5 * functional.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()
            covariance = z.T @ z / (len(z) - 1)
            total = total + (covariance - torch.diag(covariance.diagonal())).square().sum() / z.shape[1]
        return total

    return loss


def projector(features: int, width: int = 512) -> Any:
    """The expander that VICReg trains beside the network and throws away."""
    layers = torch.nn
    return layers.Sequential(
        layers.BatchNorm1d(features),
        layers.Linear(features, width),
        layers.BatchNorm1d(width),
        layers.ReLU(),
        layers.Linear(width, width),
    )
