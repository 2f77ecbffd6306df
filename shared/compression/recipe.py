"""What a compression depends on: the limits that it must keep, and the settings of each method."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Allowed:
    """What a smaller model may lose against its parent.

    Attributes:
        drop: Balanced accuracy over all labels, 0 to 1.
        label_drop: Recall of any one label, 0 to 1.
        brier: Brier score, 0 to 2.
        sure: Confidence from which a loss beyond the limit counts as real, 0.5 to 1. A loss that one image in ten
            decides is not sure at any confidence; the report says on how many images each figure stands.
        latency: Median time of an image relative to the parent's on this machine; 0 for no limit.
        size: Size of the file relative to the parent's.
    """

    drop: float = 0.01
    label_drop: float = 0.03
    brier: float = 0.02
    sure: float = 0.8
    latency: float = 0.0
    size: float = 1.0

    def __post_init__(self) -> None:
        for name in ("drop", "label_drop", "brier"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "0 to below 1")
        _check("sure", self.sure, 0.5 <= self.sure < 1, "0.5 to below 1")
        _check("latency", self.latency, self.latency >= 0, "0 or more")
        _check("size", self.size, self.size > 0, "above 0")


@dataclass(frozen=True)
class Compression:
    """All that a compression depends on, beside the bundle and its images.

    Attributes:
        allowed: What the smaller model may lose.
        threads: Threads, 0 means all cores.
        seed: Seed of everything random.
    """

    allowed: Allowed = field(default_factory=Allowed)
    threads: int = 0
    seed: int = 0


def _check(name: str, value: float, fine: bool, allowed: str) -> None:
    if not fine:
        raise ValueError(f"{name} is {value}; allowed is {allowed}")
