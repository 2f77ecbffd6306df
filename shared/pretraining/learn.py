"""The training loop of the embedded backbone: any objective, a time to spend, one file that can be taken up again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared import atomic
from shared.errors import require
from shared.pretraining import crops
from shared.pretraining.objectives import Loss
from shared.training.embedded import MEAN, STD

torch: Any = require("torch", extra="train")


@dataclass(frozen=True)
class Schedule:
    """How long and how to learn.

    Attributes:
        seconds: Time to spend.
        batch: Pictures a step.
        side: Side of a crop in pixels.
        views: Crops of one scene that the objective compares.
        learning_rate: At its highest; half a cosine down to nothing over the time.
        frozen_norm: Keep the batch normalisations' statistics, as small batches would only blur inherited ones.
        seed: Of scenes and crops.
        device: ``cpu`` or ``cuda``.
        steps: End after so many steps instead, however long they take; 0 means that the time decides.
    """

    seconds: float
    batch: int = 32
    side: int = 160
    views: int = 1
    learning_rate: float = 4e-4
    frozen_norm: bool = True
    seed: int = 0
    device: str = "cpu"
    steps: int = 0

    def done(self, steps: int, seconds: float) -> float:
        """Which share is done, 0 to 1."""
        return min(steps / self.steps if self.steps else seconds / self.seconds, 1.0)


def learn(
    student: Any, beside: Any, loss: Loss, schedule: Schedule, *, say: Callable[[str], None], save: Path | None = None
) -> dict[str, float]:
    """Train ``student`` (and ``beside``, a projector or None) until the time is spent.

    The scenes are drawn on the CPU in a thread beside it. With ``save``, the weights are written there every minute.

    Returns:
        Steps, pictures seen, seconds, and the mean loss of the first and the last hundredth of the steps.
    """
    trained = torch.nn.ModuleList([student] if beside is None else [student, beside]).to(schedule.device)
    trained.train().requires_grad_(True)
    if schedule.frozen_norm:
        for module in student.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    parameters = list(trained.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=0.02)
    start = saved = time.monotonic()
    losses: list[float] = []
    stream = crops.batches(schedule.seed, batch=schedule.batch, side=schedule.side, views=schedule.views)
    for made in stream:
        now = time.monotonic()
        done = schedule.done(len(losses), now - start)
        if done >= 1 and losses:
            break
        rate = schedule.learning_rate * min(1.0, (len(losses) + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = rate
        value = loss(normalised(made, schedule.device))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        losses.append(value.item())
        if len(losses) % 100 == 0:
            say(f"{done:.0%}: step {len(losses)}, {now - start:.0f} s, loss {np.mean(losses[-100:]):.4f}")
        if save is not None and now - saved > 60:
            write(student, save)
            saved = now
    stream.close()  # type: ignore[attr-defined]
    trained.eval().requires_grad_(False)
    share = max(1, len(losses) // 100)
    return {
        "steps": len(losses),
        "pictures": len(losses) * schedule.batch,
        "seconds": round(time.monotonic() - start, 1),
        "first_loss": float(np.mean(losses[:share])),
        "last_loss": float(np.mean(losses[-share:])),
    }


def normalised(views: Any, device: str) -> Any:
    """``(..., side, side, 3)`` uint8 to ``(..., 3, side, side)`` float32 as the network takes it."""
    pixels = torch.from_numpy(views).to(device).movedim(-1, -3).float() / 255
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, STD))
    return (pixels - mean) / std


def write(student: Any, path: Path) -> None:
    """Weights as safetensors in half precision, whole or not at all."""
    from safetensors.torch import save

    state = {k: v.half() if v.is_floating_point() else v for k, v in student.state_dict().items()}
    atomic.write(path, save({k: v.detach().cpu().contiguous() for k, v in state.items()}))
