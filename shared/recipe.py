"""The Recipe: all that a training depends on, with the defaults that hold where nobody says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.tuning import Launch, Tuning

DEFAULT_BACKBONE = "loupe_mobile"
"""The embedded one, whose weights come with the package: it needs no network."""
EMBEDDED_WEIGHTS = Path(__file__).resolve().parent / "pretraining" / "embedded.safetensors"
"""Beside the recipe that made them; ``embedded.md`` there is their data sheet."""
RANDOM = "random"
"""In place of a weights file: random initialisation, for comparison."""


@dataclass(frozen=True)
class Recipe:
    """All that a training depends on.

    Attributes:
        backbone: Any timm name; empty means the embedded one.
        weights: A safetensors file, or ``random``; empty means the weights that come with the package for the embedded
            backbone, and timm's hub for any other.
        backbone_args: Further arguments of ``timm.create_model``, e.g. ``pad_type = "same"``.
        mean: Per-channel mean of the input, 0 to 1; empty means what timm states for the backbone.
        std: Per-channel deviation, likewise.
        stages: Number of the backbone's last stages that give features.
        image_size: Side in pixels to which every image is resized inside the model, a multiple of 32. At 160 px the
            embedded backbone tells more apart than at 224 (benchmarks/README.md) and learns twice as fast; a larger
            side is tried by the search.
        seed: Seed of everything random.
        test_fraction: Share of the images held out for the report (3:1:1 by default).
        validation_fraction: Share held out for calibration and the certificate.
        near_duplicate_bits: Images whose 64-bit perceptual hashes differ in at most this many bits stay together.
        recall: Recall to certify, 0 to 1.
        confidence: Confidence of the certificate, 0 to 1.
        lambdas: Ridge strengths to choose from, relative to the features' total variance divided by 1000.
        folds: Folds over the training images in which the ridge strength and the temperature are chosen.
        threads: Threads for features and training, 0 means all cores.
        search: Whether other heads are looked for on the same features.
        finetune: Whether the backbone is fine-tuned in the time that is left.
        tuning: How, see :class:`shared.tuning.Tuning`.
        launch: Over how many processes, see :class:`shared.tuning.Launch`; None for this one.
        adopt_confidence: Confidence, 0.5 to 1, of the paired test by which a candidate replaces the best so far.
    """

    backbone: str = ""
    weights: str = ""
    backbone_args: Mapping[str, str] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    stages: int = 4
    image_size: int = 160
    seed: int = 0
    test_fraction: float = 0.2
    validation_fraction: float = 0.2
    near_duplicate_bits: int = 4
    recall: float = 0.98
    confidence: float = 0.95
    lambdas: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    folds: int = 5
    threads: int = 0
    search: bool = True
    finetune: bool = True
    tuning: Tuning = field(default_factory=Tuning)
    launch: Launch | None = None
    adopt_confidence: float = 0.8

    def __post_init__(self) -> None:
        if self.image_size % 32 or not 32 <= self.image_size <= 1024:
            raise ValueError(f"image_size is {self.image_size}; allowed are multiples of 32 from 32 to 1024")
        for name in ("recall", "confidence", "test_fraction", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is above 0 and below 1")
        if self.test_fraction + self.validation_fraction > 0.9:
            raise ValueError("test_fraction and validation_fraction leave less than a tenth for training; lower them")
        if not 0 <= self.near_duplicate_bits <= 16:
            raise ValueError(f"near_duplicate_bits is {self.near_duplicate_bits}; allowed is 0 to 16")
        if not 0.5 <= self.adopt_confidence < 1:
            raise ValueError(f"adopt_confidence is {self.adopt_confidence}; allowed is 0.5 to below 1")
        if self.stages < 1:
            raise ValueError(f"stages is {self.stages}; allowed is 1 or more")
        if self.folds < 2:
            raise ValueError(f"folds is {self.folds}; allowed is 2 or more")
        if not self.lambdas or min(self.lambdas) <= 0:
            raise ValueError("lambdas must be one or more numbers above 0")
        if len(self.mean) not in (0, 3) or len(self.std) not in (0, 3):
            raise ValueError("mean and std have three numbers each (red, green, blue), or none")
