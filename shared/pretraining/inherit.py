"""A narrower copy of a network: each block keeps the hidden channels that its output needs most.

What is left out is made up for by solving the block's last convolution anew, in closed form, on what the narrower
network itself feeds it (as He, Zhang and Sun, "Channel pruning for accelerating very deep neural networks", ICCV 2017).
"""

from collections.abc import Sequence
from typing import Any

from shared.errors import require

torch: Any = require("torch", extra="train")

_RIDGE = 1e-3


def narrowed(student: Any, teacher: Any, pixels: Sequence[Any]) -> None:
    """Fill ``student`` with the parts of ``teacher`` that fit, block by block.

    Args:
        student: timm EfficientNet of the same blocks with equal or fewer hidden channels; changed in place and
            put into evaluation mode, as its statistics are inherited too.
        teacher: The wider one.
        pixels: Normalised batches ``(n, 3, side, side)`` to measure on.
    """
    student.eval()
    teacher.eval()
    with torch.no_grad():
        student.conv_stem.load_state_dict(teacher.conv_stem.state_dict())
        student.bn1.load_state_dict(teacher.bn1.state_dict())
        reached = [teacher.bn1(teacher.conv_stem(p)) for p in pixels]
        wanted = [r.clone() for r in reached]
        for small, large in zip(
            (b for stage in student.blocks for b in stage), (b for stage in teacher.blocks for b in stage), strict=True
        ):
            if hasattr(large, "conv_pwl"):
                _narrow(small, large, reached, wanted)
            else:
                small.load_state_dict(large.state_dict())
            reached = [small(x) for x in reached]
            wanted = [large(x) for x in wanted]


def _narrow(small: Any, large: Any, reached: Sequence[Any], wanted: Sequence[Any]) -> None:
    """One inverted residual block: choose hidden channels, then solve the projection for the wide block's output."""
    count = small.conv_pw.out_channels
    hidden = torch.cat([_flat(_hidden(large, x)) for x in reached])
    strength = hidden.std(0) * large.conv_pwl.weight.flatten(1).norm(dim=0)
    kept = strength.topk(count).indices.sort().values
    for name in ("conv_pw", "bn1", "conv_dw", "bn2"):
        state = {k: v[kept] if v.ndim else v for k, v in getattr(large, name).state_dict().items()}
        getattr(small, name).load_state_dict(state)
    small.bn3.load_state_dict(large.bn3.state_dict())
    # What the projection must give so that the block's output is the wide network's, also where its input is not.
    target = torch.cat([_flat(large.conv_pwl(_hidden(large, w))) for w in wanted])
    if large.has_skip:
        scale = large.bn3.weight / torch.sqrt(large.bn3.running_var + large.bn3.eps)
        target = target + torch.cat([_flat(w - r) for w, r in zip(wanted, reached, strict=True)]) / scale
    inside, kept_weight = hidden[:, kept].double(), large.conv_pwl.weight.flatten(1)[:, kept].double()
    middle, goal = inside.mean(0), target.double().mean(0)
    a = inside - middle
    # Ridge about the inherited weights, not about nothing: what the batches do not show stays as it was.
    left = target.double() - goal - a @ kept_weight.T
    gram = a.T @ a
    damping = _RIDGE * gram.diagonal().mean() * torch.eye(count, dtype=torch.float64)
    weight = kept_weight + torch.linalg.solve(gram + damping, a.T @ left).T
    small.conv_pwl.weight.copy_(weight.float()[:, :, None, None])
    # The convolution has no bias: what is left over goes into the mean that the normalisation takes away.
    small.bn3.running_mean.sub_((goal - weight @ middle).float())


def _hidden(block: Any, x: Any) -> Any:
    return block.bn2(block.conv_dw(block.bn1(block.conv_pw(x))))


def _flat(maps: Any) -> Any:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
