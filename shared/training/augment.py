"""Pictures as they might also have been taken: turned, mirrored, nearer, brighter; each one differently."""

import math
from typing import Any, NamedTuple

from shared.errors import require
from shared.tuning import Tuning

torch: Any = require("torch", extra="train")
v2: Any = require("torchvision.transforms.v2", extra="train")

_GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as in torchvision's ``rgb_to_grayscale``."""


class Draws(NamedTuple):
    """What is random about the views of n images.

    Attributes:
        placements: ``(n, 2, 3)``: where each view's points lie in its image, in coordinates from -1 to 1.
        colours: ``(n, 3, 3)``: what each view's colours are multiplied by.
        contrast: ``(n, 1, 1, 1)``: factors of the distance from the picture's mean.
    """

    placements: Any
    colours: Any
    contrast: Any

    def of(self, rows: Any) -> "Draws":
        """Those of some of the images."""
        return Draws(*(part[rows] for part in self))


def draw(n: int, tuning: Tuning) -> Draws:
    """Views of n images, from torch's generator on the CPU: the same on any device, and however a batch is divided."""
    return Draws(_placements(n, tuning), _colours(n, tuning), _factors(n, tuning.contrast))


def views(pixels: Any, size: int, tuning: Tuning, draws: Draws | None = None) -> Any:
    """One random view of each image.

    The whole image is looked at, squashed to a square as the exported graph does it. What a turn or a smaller scale
    brings in from outside is the mirrored picture: a black corner would be an edge that no photograph has.

    Args:
        pixels: ``(n, 3, side, side)`` uint8; ``side`` a little above ``size`` keeps the resampling sharp.
        size: Side of the views in pixels.
        tuning: How far each may go.
        draws: The views to take; drawn anew where none are given.

    Returns:
        ``(n, 3, size, size)`` of torch's default type, 0 to 255, on the device of the images.
    """
    n = len(pixels)
    placements, colours, contrast = (part.to(pixels.device) for part in draws or draw(n, tuning))
    grid = torch.nn.functional.affine_grid(placements, (n, 3, size, size), align_corners=False)
    images = pixels.to(grid.dtype)
    seen = torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    coloured = (colours @ seen.flatten(2)).view_as(seen)
    middle = coloured.mean((1, 2, 3), keepdim=True)
    return (middle + contrast * (coloured - middle)).clamp(0, 255)


def mixing(tuning: Tuning, classes: int) -> Any | None:
    """Mixup, cutmix, or one of them drawn per batch; None where the tuning wants neither.

    It takes images and labels ``(n,)``, and gives images and targets ``(n, classes)``.
    """
    wanted = [(v2.MixUp, tuning.mixup), (v2.CutMix, tuning.cutmix)]
    chosen = [kind(alpha=alpha, num_classes=classes) for kind, alpha in wanted if alpha > 0]
    return v2.RandomChoice(chosen) if chosen else None


def _placements(n: int, tuning: Tuning) -> Any:
    angle = math.radians(tuning.rotation_degrees) * _signed(n)
    if tuning.quarter_turns:
        angle = angle + math.pi / 2 * torch.randint(4, (n,))
    low, high = (math.log(s) for s in tuning.scale)
    shrink = torch.exp(-(low + (high - low) * torch.rand(n)))
    mirror_x, mirror_y = _mirror(n, tuning.flip_horizontal), _mirror(n, tuning.flip_vertical)
    cos, sin, zero = torch.cos(angle) * shrink, torch.sin(angle) * shrink, torch.zeros(n)
    rows = [
        torch.stack([cos * mirror_x, -sin * mirror_y, zero], 1),
        torch.stack([sin * mirror_x, cos * mirror_y, zero], 1),
    ]
    return torch.stack(rows, 1)


def _colours(n: int, tuning: Tuning) -> Any:
    grey = torch.tensor(_GREY).expand(3, 3)
    # Hue: a rotation about the grey axis (Rodrigues), which leaves grey as it is.
    angle = math.radians(tuning.hue_degrees) * _signed(n)[:, None, None]
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    hue = torch.cos(angle) * torch.eye(3) + torch.sin(angle) * cross + (1 - torch.cos(angle)) / 3
    saturation = _factors(n, tuning.saturation)[:, :, 0]
    return (saturation * torch.eye(3) + (1 - saturation) * grey) @ hue * _factors(n, tuning.brightness)[:, :, 0]


def _signed(n: int) -> Any:
    return 2 * torch.rand(n) - 1


def _mirror(n: int, wanted: bool) -> Any:
    return 1 - 2 * torch.randint(2, (n,)) * int(wanted)


def _factors(n: int, amount: float) -> Any:
    return 1 + amount * _signed(n)[:, None, None, None]
