"""The torch network of a bundle: its weights as safetensors and its shape as numbers, so that it can go on learning.

Most bundles need no such file, because their backbone is that of their recipe; those whose backbone has learnt, was
distilled or was pruned keep it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shared import atomic, config
from shared.errors import BundleError, require
from shared.inference import Bundle
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.training import backbones
from shared.training.backbones import FieldNet, torch

FILE = bundles.NETWORK
_CONVOLUTIONS = (torch.nn.Conv2d,)
_NORMS = (torch.nn.modules.batchnorm._BatchNorm,)


@dataclass(frozen=True)
class KeptBackbone:
    """A network to be kept with a bundle.

    Attributes:
        net: In evaluation mode.
        recipe: Names the architecture; the network may have fewer channels than it says.
    """

    net: FieldNet
    recipe: Recipe

    def save(self, folder: Path) -> Path:
        """Write it as :data:`FILE` into a folder."""
        pack = require("safetensors.torch", extra="train").save
        model = self.net.model
        about = {
            "recipe": asdict(self.recipe),
            "image_size": self.net.image_size,
            "mean": self.net.mean,
            "std": self.net.std,
            "num_features": int(model.num_features),
        }
        tensors = {name: value.detach().contiguous().clone() for name, value in model.state_dict().items()}
        atomic.write(folder / FILE, pack(tensors, {"loupe": json.dumps(about)}))
        return folder / FILE


def load(bundle: Bundle) -> tuple[FieldNet, Recipe]:
    """The network of a bundle, frozen and in evaluation mode, and the recipe that names its architecture.

    Raises:
        BundleError: Its file is damaged, or it has none and its recipe gives other weights today.
        Offline: Its weights are on timm's hub and it cannot be reached.
    """
    path = bundle.path / FILE
    if not path.is_file():
        return _of_recipe(bundle)
    opened = require("safetensors", extra="train").safe_open
    try:
        with opened(path, "pt") as stored:
            about = json.loads(stored.metadata()["loupe"])
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - it is no dictionary
        recipe = config.build(Recipe, about["recipe"], where=str(path))
        recipe = replace(recipe, image_size=about["image_size"])
        model = backbones.bare(recipe)
        fit_shapes(model, state)
        model.num_features = about["num_features"]
        model.load_state_dict(state)
    except Exception as error:  # safetensors, json and torch each raise classes of their own
        raise BundleError(f"{path}: cannot be read ({error!r}); take an unaltered copy or build again") from error
    model.eval().requires_grad_(False)
    return FieldNet(model, recipe, about["mean"], about["std"]).eval(), recipe


def _of_recipe(bundle: Bundle) -> tuple[FieldNet, Recipe]:
    """The frozen backbone as the recipe makes it, where that is still the one the bundle was made with."""
    card = bundle.card
    recipe = config.build(Recipe, card["recipe"], where=f"{bundle.path}: recipe")
    recipe = replace(recipe, image_size=int(card["backbone"]["image_size"]))
    net, origin = backbones.create(recipe)
    if origin.sha256 != card["backbone"]["sha256"]:
        raise BundleError(
            f"{bundle.path}: was made with other weights of {origin.name} than its recipe gives here "
            f"({origin.weights}); build it again"
        )
    return net, recipe


def fit_shapes(model: Any, state: Mapping[str, Any]) -> None:
    """Give the layers of a network the shapes of stored weights: fewer channels, the same architecture.

    Args:
        model: Changed in place; convolutions, batch normalisations and linear layers can be narrower.
        state: Tensors by name.
    """
    for name, module in model.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None or not hasattr(module, "weight") or module.weight.shape == weight.shape:
            continue
        if isinstance(module, _CONVOLUTIONS):
            depthwise = module.groups > 1 and module.groups == module.out_channels
            module.groups = weight.shape[0] if depthwise else module.groups
            module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
        elif isinstance(module, _NORMS):
            module.num_features = weight.shape[0]
            for buffer in ("running_mean", "running_var"):
                setattr(module, buffer, torch.zeros(weight.shape[0]))
        elif isinstance(module, torch.nn.Linear):
            module.out_features, module.in_features = weight.shape
        for part in ("weight", "bias"):
            if getattr(module, part, None) is not None:
                setattr(module, part, torch.nn.Parameter(torch.zeros(state[f"{name}.{part}"].shape)))
