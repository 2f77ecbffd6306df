"""What holds a training on many ranks back: twenty steps are measured part by part, and the dearest part is named."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from shared.training import augment, gradients, tunable
from shared.training.backbones import torch
from shared.training.pixels import Pixels
from shared.training.run import Run

STEPS = 20
"""Eight with gradients summed over the ranks, eight without, four with twice the images."""
_PERIOD = ("alone", "double", "summed", "alone", "summed")
# FSDP2 keeps gradients that were not summed until some are: a sum comes last, so that none are left behind.
MOST_OF_THE_TIME = 0.05
"""A probe that would take a larger share of what is left is not made."""
TELLING = 0.1
"""A part below this share of a step is no bottleneck."""


@dataclass(frozen=True)
class Parts:
    """Seconds of a step, mean over the ranks.

    Attributes:
        loader: Decoding images, or taking them from memory, averaged over the passes to come.
        transfer: Moving them to the device.
        compute: Views, forward and backward pass.
        all_reduce: What summing the gradients adds to it; a rank's waiting for a slower one is in it.
        double: Compute with twice the images.
        images: Images of a rank.
    """

    loader: float
    transfer: float
    compute: float
    all_reduce: float
    double: float
    images: int

    @property
    def step(self) -> float:
        """Seconds of the whole step."""
        return self.loader + self.transfer + self.compute + self.all_reduce

    @property
    def shares(self) -> dict[str, float]:
        """What each part takes of a step, 0 to 1; ``small batch`` is what twice the images would save of compute."""
        wasted = max(0.0, self.compute - self.double / 2)
        lost = {
            "loader": self.loader,
            "transfer": self.transfer,
            "all-reduce": self.all_reduce,
            "small batch": wasted,
        }
        return {name: seconds / max(self.step, 1e-9) for name, seconds in lost.items()}


def verdict(parts: Parts) -> tuple[str, str]:
    """The name of the bottleneck, or ``none``, and what to change."""
    name, share = max(parts.shares.items(), key=lambda item: item[1])
    if share < TELLING:
        return "none", "nothing has to be changed: the steps are spent on computing"
    advice = {
        "loader": "store the images smaller, near the size they are trained at, on a disk of this machine, and give "
        "each process more cores",
        "transfer": "let fewer processes share the bus, or train at a smaller tuning.image_size",
        "all-reduce": "sum gradients less often, by a larger tuning.batch with launch.micro_batch, or use fewer "
        "processes or a faster network",
        "small batch": f"give a larger tuning.batch: {parts.images} images a process do not fill its device",
    }
    return name, advice[name]


def told(parts: Parts) -> str:
    """The outcome as one sentence."""
    name, advice = verdict(parts)
    shares = ", ".join(f"{part} {share:.0%}" for part, share in parts.shares.items())
    return (
        f"probe of {STEPS} steps of {parts.step:.3f} s: {shares}; "
        f"{'no bottleneck' if name == 'none' else f'the bottleneck is {name}'}: {advice}"
    )


def probe(run: Run, pixels: Pixels, forward: Any) -> dict[str, Any]:
    """Measure :data:`STEPS` steps of a training that has not begun; it is left as it was found.

    Returns:
        The parts, the bottleneck and the advice, the same on every rank; empty where there is no time for it.
    """
    task, team = run.task, run.task.ranks
    if STEPS * run.plan.batch / run.plan.images_per_second > MOST_OF_THE_TIME * (task.until - team.now()):
        task.say(f"the probe of {STEPS} steps was left out: too little time")
        return {}
    kept = {name: buffer.clone() for name, buffer in run.learner.named_buffers()}
    seconds: dict[str, list[float]] = {name: [] for name in ("cold", "warm", "transfer", "alone", "summed", "double")}

    def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
        begun = time.perf_counter()
        made = work(*given)
        team.settle()
        seconds[name].append(time.perf_counter() - begun)
        return made

    tunable.learn_mode(run.learner, task.tuning)
    for step in range(STEPS):
        drawn = gradients.drawn_at(run, step)
        rows = drawn[list(team.own(len(drawn)) or [0])]
        timed("cold", pixels.take, rows)
        images = timed("transfer", timed("warm", pixels.take, rows).to, team.device)
        kind = _PERIOD[step % len(_PERIOD)]
        images = torch.cat([images, images]) if kind == "double" else images
        team.total(0.0)  # all begin at once
        timed(kind, _pass, run, images, forward, kind == "summed")
        run.learner.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in run.learner.named_buffers():
            buffer.copy_(kept[name])
    parts = _parts(run, pixels, {name: team.total(median(times)) / team.world for name, times in seconds.items()})
    task.say(told(parts))
    name, advice = verdict(parts)
    return {**asdict(parts), "bottleneck": name, "advice": advice}


def _pass(run: Run, images: Any, forward: Any, summed: bool) -> None:
    team, tuning = run.task.ranks, run.task.tuning
    with team.passing(forward, last=summed), team.arithmetic():
        scores = forward(augment.views(images, run.plan.image_size, tuning))
        scores.logsumexp(1).mean().backward()


def _parts(run: Run, pixels: Pixels, seconds: dict[str, float]) -> Parts:
    """The first pass over the images decodes them, and later ones only those that memory did not hold."""
    passes = max(1.0, min(run.task.tuning.epochs, run.plan.epochs))
    decoded = min(1.0, 1 / passes + (1 - pixels.kept_share))
    return Parts(
        loader=decoded * seconds["cold"] + (1 - decoded) * seconds["warm"],
        transfer=seconds["transfer"],
        compute=seconds["alone"],
        all_reduce=max(0.0, seconds["summed"] - seconds["alone"]),
        double=seconds["double"],
        images=len(run.task.ranks.own(run.plan.batch)),
    )
