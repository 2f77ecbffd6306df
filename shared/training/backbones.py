"""Any timm name in, a frozen network out that gives, for each place of an image, what its features are made of."""

import hashlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import did_you_mean
from shared.errors import ConfigError, Offline, require
from shared.recipe import DEFAULT_BACKBONE, RANDOM, Recipe
from shared.training import embedded

# Set before torch is imported: libgomp's threads spin, and beside any other busy process that costs a factor of ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
torch: Any = require("torch", extra="train")
timm: Any = require("timm", extra="train")

HUB = ("huggingface.co", 443)
OFFLINE_AFTER_SECONDS = 2.0
_EPSILON = 1e-6


@dataclass(frozen=True)
class Origin:
    """Where a backbone's weights came from.

    Attributes:
        name: timm name.
        weights: ``embedded ...``, ``file <name>``, ``timm <tag>`` or ``random``.
        sha256: Hash over all weights, hexadecimal.
        note: What a person must know, empty where there is nothing.
        stages: Number of feature columns that each stage gives, in the order of the columns; their sum is d.
    """

    name: str
    weights: str
    sha256: str
    note: str = ""
    stages: tuple[int, ...] = ()


class FieldNet(torch.nn.Module):  # type: ignore[misc]
    """Normalised images to features, and to the field whose mean over all places the features are.

    Per stage and channel there are two features: the mean over the places, and the deviation between them. The
    deviation is written as a mean too, of (x - mean)^2 / deviation, so that a linear head on the features is at the
    same time a map of what each place contributes.
    """

    def __init__(self, model: Any, recipe: Recipe, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = tuple(mean), tuple(std)
        self.image_size = recipe.image_size
        self.grid = recipe.image_size // 16
        self.indices = _stages(model, recipe.stages)
        with torch.inference_mode():
            final, maps = self._maps(torch.zeros(1, 3, recipe.image_size, recipe.image_size))
        # Convolutional heads add features after the last stage; where they do not, the last stage is counted once.
        channels_first = final.ndim == 4 and final.shape[1] == model.num_features
        self.use_final = channels_first and final.shape[1] != maps[-1].shape[1]
        self.stages = tuple(2 * part.shape[1] for part in ([*maps, final] if self.use_final else maps))

    def _maps(self, pixels: Any) -> tuple[Any, list[Any]]:
        return _intermediates(self.model, pixels, self.indices)

    def forward(self, pixels: Any) -> tuple[Any, Any]:
        """Pixels ``(n, 3, size, size)`` float32 to features ``(n, d)`` and field ``(n, d, size / 16, size / 16)``."""
        final, maps = self._maps(pixels)
        parts = []
        for stage in [*maps, final] if self.use_final else maps:
            mean = stage.mean((2, 3), keepdim=True)
            squared = (stage - mean) ** 2
            deviation = torch.sqrt(squared.mean((2, 3), keepdim=True) + _EPSILON)
            parts.append(self._to_grid(torch.cat([stage, squared / deviation], 1)))
        field = torch.cat(parts, 1)
        return field.mean((2, 3)), field

    def _to_grid(self, stage: Any) -> Any:
        side = stage.shape[-1]
        if side % self.grid == 0:
            return torch.nn.functional.avg_pool2d(stage, side // self.grid)
        if self.grid % side == 0:
            return torch.nn.functional.interpolate(stage, size=(self.grid, self.grid), mode="nearest")
        # Patch sizes that do not divide: any resampling that keeps the mean would do; this one is exact in the mean.
        return stage.mean((2, 3), keepdim=True).expand(-1, -1, self.grid, self.grid)


def stage_maps(model: Any, pixels: Any) -> list[Any]:
    """Maps ``(n, channels, rows, columns)`` of the stages that :class:`FieldNet` reads, for normalised pixels."""
    return _intermediates(model, pixels, _stages(model, Recipe.stages))[1]


def _intermediates(model: Any, pixels: Any, indices: list[int]) -> tuple[Any, list[Any]]:
    return model.forward_intermediates(pixels, indices=indices, output_fmt="NCHW", norm=False)  # type: ignore[no-any-return]


def create(recipe: Recipe) -> tuple[FieldNet, Origin]:
    """Build the backbone of a recipe with its weights, in evaluation mode.

    Weights are taken from ``recipe.weights``, else those that come with the package for the embedded backbone, else
    from timm's hub. Random weights have to be asked for, and the origin says so.

    Raises:
        ConfigError: timm does not know the name, or the weights do not fit it.
        Offline: The hub cannot be reached.
    """
    name = recipe.backbone or DEFAULT_BACKBONE
    _known(name)
    from_hub = name != embedded.NAME and not recipe.weights
    if from_hub:
        _reach_hub(name)
    torch.manual_seed(recipe.seed)
    model = _create(name, recipe, pretrained=from_hub)
    cfg = model.pretrained_cfg
    note = ""
    if recipe.weights == RANDOM:
        weights = RANDOM
        note = "RANDOMLY INITIALISED BACKBONE: leave --weights out for one that knows images"
    elif recipe.weights:
        _load(model, Path(recipe.weights), str(cfg.get("classifier", "")))
        weights = f"file {Path(recipe.weights).name}"
    elif from_hub:
        weights = f"timm {cfg.get('tag') or 'default'}"
    else:
        _load(model, embedded.WEIGHTS, "")
        weights = "embedded, distilled on procedural images"
    model.eval().requires_grad_(False)
    net = FieldNet(model, recipe, recipe.mean or cfg["mean"], recipe.std or cfg["std"]).eval()
    return net, Origin(name, weights, _state_hash(model), note, net.stages)


def bare(recipe: Recipe) -> Any:
    """The timm network of a recipe without its weights, for weights that are loaded into it.

    Raises:
        ConfigError: timm does not know the name.
    """
    name = recipe.backbone or DEFAULT_BACKBONE
    _known(name)
    return _create(name, recipe, pretrained=False)


def _known(name: str) -> None:
    plain = name.split(".")[0]
    if not timm.is_model(plain):
        raise ConfigError(
            f"--backbone {name}: timm {timm.__version__} does not know it; {did_you_mean(plain, timm.list_models())}"
        )


def _create(name: str, recipe: Recipe, *, pretrained: bool) -> Any:
    arguments = dict(recipe.backbone_args)
    try:
        try:
            # Transformers fix their input size when they are made.
            return timm.create_model(name, pretrained=pretrained, img_size=recipe.image_size, **arguments)
        except TypeError:
            return timm.create_model(name, pretrained=pretrained, **arguments)
    except (TypeError, RuntimeError, ValueError, KeyError, OSError) as error:
        raise ConfigError(
            f"--backbone {name}: timm cannot make it with {arguments or 'no arguments'} ({error})"
        ) from error


def _reach_hub(name: str) -> None:
    """Notice within seconds what timm alone notices after a minute of retries."""
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        reason = "HF_HUB_OFFLINE is set"
    elif any(os.environ.get(v) for v in ("HTTPS_PROXY", "https_proxy")):
        return
    else:
        try:
            with socket.create_connection(HUB, timeout=OFFLINE_AFTER_SECONDS):
                return
        except OSError as error:
            reason = f"{HUB[0]} cannot be reached: {error}"
    raise Offline(
        f"--backbone {name}: its weights are on timm's hub, and {reason}; give --weights FILE.safetensors, "
        "or leave --backbone out for the embedded backbone, which needs no network"
    )


def _load(model: Any, file: Path, classifier: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise ConfigError(f"--weights {file}: does not exist; give a safetensors file")
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"--weights {file}: is not a safetensors file ({error}); others are not read") from error
    wanted = model.state_dict()
    head = {key for key in {*wanted, *state} if classifier and key.startswith(f"{classifier}.")}
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    wrong = (set(wanted) - set(state) - counters) | (set(state) - set(wanted))
    wrong |= {key for key in set(state) & set(wanted) if state[key].shape != wanted[key].shape}
    if wrong - head:
        raise ConfigError(
            f"--weights {file}: {len(wrong - head)} of {len(wanted)} tensors do not fit the backbone, first "
            f"{min(wrong - head)!r}; give the weights of exactly this backbone"
        )
    model.load_state_dict({k: v for k, v in state.items() if k not in wrong}, strict=False)


def _stages(model: Any, count: int) -> list[int]:
    """Indices of up to ``count`` stages, at stride 4 or coarser; evenly spaced where all have one stride."""
    if not hasattr(model, "forward_intermediates"):
        raise ConfigError(
            f"--backbone {type(model).__name__}: timm gives no intermediate features for it; choose another"
        )
    strides = [int(info["reduction"]) for info in _feature_info(model)]
    usable = [i for i, stride in enumerate(strides) if stride >= 4]
    if len({strides[i] for i in usable}) == 1 and len(usable) > count:  # a transformer
        step = len(usable) / count
        return [usable[round(step * (i + 1)) - 1] for i in range(count)]
    return usable[-count:]


def _feature_info(model: Any) -> list[dict[str, Any]]:
    info = model.feature_info
    return list(getattr(info, "info", info))


def _state_hash(model: Any) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
