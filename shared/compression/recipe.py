"""What a compression depends on: the limits that it must keep, and the settings of each method."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LOSSES = ("dist", "kl", "none")
CHOSEN_OVER = "chosen_over"
"""Among a candidate's details: how many others the validation images set behind it before it was proposed."""


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
class Distil:
    """The student, and how it learns.

    Attributes:
        student: Any timm name; empty means the embedded backbone: half as wide inside its blocks where the parent is
            that one itself, at its full width otherwise.
        weights: A safetensors file for it, or ``random``; empty as in a build.
        backbone_args: Further arguments of ``timm.create_model``.
        image_size: Side in pixels, a multiple of 32; 0 means the parent's.
        loss: Beside cross-entropy: ``dist`` (correlations and features), ``kl`` (plain divergence) or ``none``.
        epochs: Upper limit of passes over the training images.
        baseline: Train the same student also without its teacher, each for half of the time, and take the better one.
    """

    student: str = ""
    weights: str = ""
    backbone_args: Mapping[str, str] = field(default_factory=dict)
    image_size: int = 0
    loss: str = "dist"
    epochs: int = 100
    baseline: bool = True

    def __post_init__(self) -> None:
        fits = self.image_size == 0 or (self.image_size % 32 == 0 and 32 <= self.image_size <= 1024)
        _check("image_size", self.image_size, fits, "0 or a multiple of 32 from 32 to 1024")
        _check("epochs", self.epochs, self.epochs >= 1, "1 or more")
        _check("loss", self.loss, self.loss in LOSSES, ", ".join(LOSSES))


@dataclass(frozen=True)
class Prune:
    """How much a network is to lose, and how it recovers.

    Attributes:
        speedup: Time of one image before over after, measured on one core of this machine; above 1. Where the limits
            do not hold, less is tried.
        steps: Number of speed-ups that are tried, the one asked for first.
        epochs: Upper limit of passes over the training images while it recovers.
        loss: As in :class:`Distil`.
    """

    speedup: float = 2.0
    steps: int = 2
    epochs: int = 100
    loss: str = "dist"

    def __post_init__(self) -> None:
        _check("speedup", self.speedup, self.speedup > 1, "above 1")
        for name in ("steps", "epochs"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        _check("loss", self.loss, self.loss in LOSSES, ", ".join(LOSSES))


@dataclass(frozen=True)
class Quantization:
    """How a network is put into whole numbers.

    Attributes:
        engine: ``onnxruntime``, or ``nncf`` for OpenVINO's accuracy control.
        images: Training images, balanced over the labels, on which ranges and losses are measured.
        calibration: ``percentile`` cuts rare extremes off; ``minmax`` covers all that was seen.
        percentile: Share of the values that the range covers, in per cent, above 50 to 100.
        reduce_range: Weights of 7 bits. Processors without VNNI overflow on 8, and a bundle travels: what was measured
            here must hold elsewhere.
        everything: Round all operators, features and their statistics included; for comparison, it often collapses.
        left_out: Shares of the layers, worst first, that stay float32 in the later rungs.
        recovery: Share of the time left for training in whole numbers; 0 leaves it out.
    """

    engine: str = "onnxruntime"
    images: int = 128
    calibration: str = "percentile"
    percentile: float = 99.99
    reduce_range: bool = True
    everything: bool = False
    left_out: tuple[float, ...] = (0.1, 0.25)
    recovery: float = 0.5

    def __post_init__(self) -> None:
        if self.engine not in ("onnxruntime", "nncf"):
            raise ValueError(f"engine is {self.engine!r}; allowed are onnxruntime and nncf")
        if self.calibration not in ("percentile", "minmax"):
            raise ValueError(f"calibration is {self.calibration!r}; allowed are percentile and minmax")
        _check("images", self.images, self.images >= 8, "8 or more")
        _check("percentile", self.percentile, 50 < self.percentile <= 100, "above 50 to 100")
        _check("recovery", self.recovery, 0 <= self.recovery < 1, "0 to below 1")
        for share in self.left_out:
            _check("left_out", share, 0 < share < 1, "above 0 and below 1")


@dataclass(frozen=True)
class Compression:
    """All that a compression depends on, beside the bundle and its images.

    Attributes:
        allowed: What the smaller model may lose.
        quantize: Settings of ``loupe quantize``.
        threads: Threads, 0 means all cores.
        seed: Seed of everything random.
        distil: The student.
        prune: What is taken out.
    """

    allowed: Allowed = field(default_factory=Allowed)
    quantize: Quantization = field(default_factory=Quantization)
    threads: int = 0
    seed: int = 0
    distil: Distil = field(default_factory=Distil)
    prune: Prune = field(default_factory=Prune)


def _check(name: str, value: float | str, fine: bool, allowed: str) -> None:
    if not fine:
        raise ValueError(f"{name} is {value}; allowed is {allowed}")
