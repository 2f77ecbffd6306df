"""Batch normalisation over the images of all ranks, where its statistics are learnt."""

from typing import Any

from shared.errors import require
from shared.training.backbones import torch

layers: Any = require("timm.layers", extra="train")

_NORMS = (torch.nn.BatchNorm2d,)


def synchronise(net: Any, device: Any) -> None:
    """Let every batch normalisation of a network see the images of all ranks; changed in place.

    On accelerators it is torch's own (SyncBatchNorm, through timm for its norms with an activation inside), which
    has no kernels for CPUs; there the same sums go over the ranks one layer at a time.
    """
    if device.type != "cpu":
        net.model = layers.convert_sync_batchnorm(net.model)
        return
    for module in net.model.modules():
        if isinstance(module, _NORMS):
            module.__class__ = _synchronised(type(module))


def _synchronised(kind: Any) -> Any:
    """The class of a norm with its statistics taken over all ranks; the rest of its forward pass stays its own."""

    class Synchronised(kind):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            if not self.training:
                return super().forward(x)
            mean, variance, count = _moments(x)
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                # The running variance is the unbiased one, as in torch.nn.BatchNorm2d.
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            shape = (1, -1, 1, 1)
            y = (x - mean.view(shape)) * torch.rsqrt(variance.view(shape) + self.eps)
            if self.affine:
                y = y * self.weight.view(shape) + self.bias.view(shape)
            # timm's norms have dropout and activation inside (BatchNormAct2d).
            return self.act(self.drop(y)) if hasattr(self, "act") else y

    return Synchronised


def _moments(x: Any) -> tuple[Any, Any, float]:
    """Mean and biased variance ``(channels,)`` over the images ``(n, channels, rows, columns)`` of all ranks."""
    all_reduce: Any = require("torch.distributed.nn.functional", extra="train").all_reduce
    # Squares are taken about a mean, so that nothing is lost where a channel's mean is far from 0.
    count = x.new_tensor([x.numel() / x.shape[1]])
    sums = all_reduce(torch.cat([x.sum((0, 2, 3)), count]))
    mean, total = sums[:-1] / sums[-1], float(sums[-1])
    squares = all_reduce(((x - mean.view(1, -1, 1, 1)) ** 2).sum((0, 2, 3)))
    return mean, squares / total, total
