"""A backbone and its linear head as one network that can learn, starting exactly where the closed form ended."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from shared.errors import require
from shared.export.graph import Head
from shared.recipe import Recipe
from shared.training.backbones import FieldNet, torch
from shared.tuning import Tuning

optim: Any = require("timm.optim", extra="train")
models: Any = require("timm.models", extra="train")

LEAST_SURE = 0.3
"""Scores of the closed form lie between 0 and 1; divided by this they differ by a few units at most."""

_NORMS = (torch.nn.modules.batchnorm._BatchNorm,)


class Tunable(torch.nn.Module):  # type: ignore[misc]
    """Pixels 0 to 255 to scores before softmax.

    The mean by which features are centred stays that of the starting head, and so does the deviation, except that the
    smaller half of the deviations is raised to their median, and the weights with them: the scores are the same, but
    a channel that rarely speaks no longer arrives at hundreds of deviations in a turned picture. The starting head's
    temperature is divided into weights and bias, so that the probabilities of step 0 are those of the closed form. Only
    a temperature above :data:`LEAST_SURE` is taken as that: where the folds found no skill it can be 100, and on
    weights shrunk by that much the first steps would wipe out all that they know.
    """

    def __init__(self, net: FieldNet, head: Head) -> None:
        super().__init__()
        self.net = net
        self.format = memory_format(net.model)
        self.register_buffer("shift", 255 * torch.tensor(net.mean).view(1, 3, 1, 1))
        self.register_buffer("spread", 255 * torch.tensor(net.std).view(1, 3, 1, 1))
        real = torch.get_default_dtype()
        self.register_buffer("mean", torch.tensor(head.mean, dtype=real))
        temperature = min(head.temperature, LEAST_SURE)
        deviation = np.maximum(head.deviation, np.median(head.deviation))
        weights = head.weights * (deviation / head.deviation)[:, None] / temperature
        self.register_buffer("deviation", torch.tensor(deviation, dtype=real))
        self.weights = torch.nn.Parameter(torch.tensor(weights, dtype=real))
        self.bias = torch.nn.Parameter(torch.tensor(head.bias / temperature, dtype=real))

    def features(self, pixels: Any) -> Any:
        """Features ``(n, d)`` of pixels ``(n, 3, size, size)``, 0 to 255."""
        normalised = (pixels.to(self.shift.dtype) - self.shift) / self.spread
        return self.net(normalised.contiguous(memory_format=self.format))[0]

    def forward(self, pixels: Any) -> Any:
        """Scores ``(n, labels)`` of pixels ``(n, 3, size, size)``, 0 to 255."""
        return (self.features(pixels) - self.mean) / self.deviation @ self.weights + self.bias

    def head(self, temperature: float = 1.0) -> Head:
        """The linear head as numbers."""
        mean, deviation, weights, bias = (
            tensor.detach().double().cpu().numpy().copy()
            for tensor in (self.mean, self.deviation, self.weights, self.bias)
        )
        return Head(mean, deviation, weights, bias, temperature)


def copied(net: FieldNet, recipe: Recipe, image_size: int) -> FieldNet:
    """A copy of a backbone that takes another size; transformers usually refuse (AssertionError, RuntimeError)."""
    model = copy.deepcopy(net.model)
    model.eval()
    result: FieldNet = FieldNet(model, replace(recipe, image_size=image_size), net.mean, net.std).eval()
    return result


def memory_format(model: Any) -> Any:
    """channels_last, which is up to 1.6 times faster on a CPU, but not where it crashes.

    The backward pass of a 1x1 convolution with stride on RGB writes past its memory in channels_last (torch 2.12 to
    2.15 with oneDNN; FastViT, MobileOne, RepVGG).
    """
    for module in model.modules():
        few_inputs = isinstance(module, torch.nn.Conv2d) and module.in_channels <= 5
        if few_inputs and max(module.kernel_size) == 1 and max(module.stride) > 1:
            return torch.contiguous_format
    return torch.channels_last


def learn_mode(tunable: Tunable, tuning: Tuning) -> None:
    """Training mode, with batch normalisation left in evaluation mode where the tuning freezes it."""
    tunable.train()
    if tuning.freeze_norm:
        for module in tunable.modules():
            if isinstance(module, _NORMS):
                module.eval()


def thaw(tunable: Tunable, *, last_half: bool) -> None:
    """Let the parameters learn; with ``last_half`` only those of the later half of the backbone's stages."""
    tunable.requires_grad_(True)
    if last_half:
        model = tunable.net.model
        stage = models.group_parameters(model, model.group_matcher(coarse=True), reverse=True)
        middle = (max(stage.values()) + 1) // 2
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(stage.get(name, middle) >= middle)


def optimiser(tunable: Tunable, tuning: Tuning, factor: float = 1.0) -> Any:
    """AdamW with a rate per layer; ``factor`` times the tuning's.

    The head stands on thousands of standardised features, and AdamW moves each weight by about the learning rate: at
    the backbone's rate one step would move the scores by several units. ``head_rate`` makes it slower.
    """
    groups = optim.param_groups_layer_decay(
        tunable.net.model, weight_decay=tuning.weight_decay, layer_decay=tuning.layer_decay
    )
    head = {"params": [tunable.weights, tunable.bias], "lr_scale": tuning.head_rate, "weight_decay": 0.0}
    return optim.create_optimizer_v2([*groups, head], opt="adamw", lr=factor * tuning.learning_rate, weight_decay=0.0)
