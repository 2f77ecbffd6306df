"""The Policy: what a site decides, kept apart from what was trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """What a site decides.

    Attributes:
        threshold: Risk (0 to 1) from which something is flagged; 0 means the bundle's certified threshold.
        novelty_limit: Novelty from which an image is flagged as UNKNOWN; 1.0 is the 99th percentile of images held
            out in the build.
        min_examined: Fraction of a frame that must have been looked at before it can pass, 0 to 1.
    """

    threshold: float = 0.0
    novelty_limit: float = 1.0
    min_examined: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; allowed is 0 to 1")
        if not 0 <= self.min_examined <= 1:
            raise ValueError(f"min_examined is {self.min_examined}; allowed is 0 to 1")
        if self.novelty_limit <= 0:
            raise ValueError(f"novelty_limit is {self.novelty_limit}; allowed is above 0")
