"""Tuning and Launch: how a backbone is fine-tuned after the closed-form head, and over how many processes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """All that a fine-tuning depends on, beside the images, the weights and the time.

    Attributes:
        epochs: Upper limit of passes over the training images; the deadline usually comes first.
        learning_rate: Peak of AdamW's learning rate for the last layer of the backbone.
        head_rate: The linear head's learning rate, relative to the backbone's; see ``shared.training.tunable``.
        layer_decay: Each layer learns at this factor of the rate of the layer behind it, above 0 to 1.
        bolder: Times the learning rate for a second try, twice as long and with all layers alike, where there is time
            for it; the images that choose between checkpoints choose between both tries. 0 for none.
        weight_decay: AdamW's, for weights of two or more dimensions.
        warmup: Share of the way, 0 to 1, over which the learning rate rises.
        label_smoothing: Share of each target that is spread over all labels, 0 to below 1.
        mixup: Alpha of mixup's beta distribution (Zhang et al. 2018), 0 for none.
        cutmix: Alpha of cutmix's (Yun et al. 2019), 0 for none; with both, each batch draws one of them.
        mix_off: Share of the way, at its end, without mixup and cutmix.
        ema: Largest decay of the moving average of the weights; it rises towards it with the steps.
        soup: Greatest number of checkpoints, and of runs on all images, that are averaged, 1 for none.
        balanced: True draws every label equally often; False shows every image once an epoch and adds the logarithm
            of the label's share to its score in the loss instead (Menon et al. 2021). Both make equal labels count.
        freeze_norm: Keep the statistics of batch normalisation as pre-trained; few images estimate them badly.
        flip_horizontal: Mirror left and right, half of the time.
        flip_vertical: Mirror up and down, half of the time.
        quarter_turns: Turn by 0, 90, 180 or 270 degrees.
        rotation_degrees: Turn by up to this angle either way.
        scale: Smallest and greatest factor by which the picture is drawn larger.
        brightness: Brightness is multiplied by 1 - this .. 1 + this; 0 to below 1.
        contrast: The same for the distance from the picture's mean.
        saturation: The same for the distance from grey.
        hue_degrees: Colours are turned about the grey axis by up to this angle either way.
        image_size: Side in pixels to train and answer at, a multiple of 32; 0 lets the probe choose.
        batch: Images per step; 0 lets the probe choose.
    """

    epochs: int = 12
    learning_rate: float = 1e-3
    head_rate: float = 0.1
    layer_decay: float = 0.8
    bolder: float = 3.0
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.05
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_off: float = 0.25
    ema: float = 0.999
    soup: int = 3
    balanced: bool = False
    freeze_norm: bool = True
    flip_horizontal: bool = True
    flip_vertical: bool = False
    quarter_turns: bool = False
    rotation_degrees: float = 30.0
    scale: tuple[float, float] = (0.8, 1.2)
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.1
    hue_degrees: float = 0.0
    image_size: int = 0
    batch: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "soup"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        for name in ("learning_rate", "head_rate"):
            self._check(name, 0 < getattr(self, name) <= 1, "above 0 to 1")
        self._check("layer_decay", 0 < self.layer_decay <= 1, "above 0 to 1")
        for name in ("bolder", "weight_decay", "mixup", "cutmix", "batch"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("warmup", "mix_off"):
            self._check(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        for name in ("label_smoothing", "ema", "brightness", "contrast", "saturation"):
            self._check(name, 0 <= getattr(self, name) < 1, "0 to below 1")
        for name in ("rotation_degrees", "hue_degrees"):
            self._check(name, 0 <= getattr(self, name) <= 180, "0 to 180")
        self._check("scale", 0.25 <= self.scale[0] <= self.scale[1] <= 4, "two factors in order, 0.25 to 4")
        fits = self.image_size == 0 or (self.image_size % 32 == 0 and 32 <= self.image_size <= 1024)
        self._check("image_size", fits, "0 or a multiple of 32 from 32 to 1024")

    def _check(self, name: str, fine: bool, allowed: str) -> None:
        if not fine:
            raise ValueError(f"{name} is {getattr(self, name)}; allowed is {allowed}")


SHARDINGS = ("none", "full", "hybrid")


@dataclass(frozen=True)
class Launch:
    """How a fine-tuning is spread over processes; what is learnt depends on none of it, rounding excepted.

    Attributes:
        nproc: Processes on each machine, one to a GPU; 0 takes every GPU, or two processes where there is none.
        sharding: ``none`` keeps the whole network on every process (DDP); ``full`` shares weights, gradients and
            moments among all (FSDP2); ``hybrid`` shares them within a group and repeats the groups (HSDP).
        replicas: Groups of ``hybrid``; 0 makes one of each machine.
        checkpointing: Compute activations again in the backward pass instead of keeping them.
        micro_batch: Greatest number of images in one pass of one process; a larger batch is accumulated; 0 for no
            limit.
        device: ``cuda``, ``cpu``, or ``auto`` for GPUs where every process of the machine has one.
        checkpoint_seconds: Between two checkpoints, above 0.
        precision: ``float32``, which is bfloat16 inside a GPU's autocast; ``float64`` to compare runs.
        torchrun: Further arguments of torchrun, e.g. ``--nnodes=2``.
    """

    nproc: int = 0
    sharding: str = "none"
    replicas: int = 0
    checkpointing: bool = False
    micro_batch: int = 0
    device: str = "auto"
    checkpoint_seconds: float = 20.0
    precision: str = "float32"
    torchrun: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("nproc", "replicas", "micro_batch"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is 0 or more")
        if self.checkpoint_seconds <= 0:
            raise ValueError(f"checkpoint_seconds is {self.checkpoint_seconds}; allowed is above 0")
        words = {"sharding": SHARDINGS, "device": ("auto", "cpu", "cuda"), "precision": ("float32", "float64")}
        for name, allowed in words.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}")
