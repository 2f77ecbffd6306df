"""The embedded backbone: its architecture, known to timm by name, and its weights, which come with the package."""

from functools import partial
from typing import Any

from shared.errors import require
from shared.recipe import DEFAULT_BACKBONE, EMBEDDED_WEIGHTS

torch: Any = require("torch", extra="train")
timm_models: Any = require("timm.models", extra="train")
efficientnet: Any = require("timm.models.efficientnet", extra="train")

NAME = DEFAULT_BACKBONE
WEIGHTS = EMBEDDED_WEIGHTS
MEAN = STD = (0.5, 0.5, 0.5)
EXPANSION = 4
"""Hidden channels of an inverted residual block per channel of its input; MobileNetV2 has 6."""

default_cfgs = timm_models.generate_default_cfgs(
    {
        f"{NAME}.procedural": {
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "mean": MEAN,
            "std": STD,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "num_classes": 0,
            "first_conv": "conv_stem",
            "classifier": "classifier",
            "license": "apache-2.0",
        }
    }
)


def architecture(expansion: int) -> list[list[str]]:
    """The blocks of MobileNetV2 (Sandler et al. 2018, table 2) in timm's notation, with another expansion."""
    return [
        ["ds_r1_k3_s1_c16"],
        [f"ir_r2_k3_s2_e{expansion}_c24"],
        [f"ir_r3_k3_s2_e{expansion}_c32"],
        [f"ir_r4_k3_s2_e{expansion}_c64"],
        [f"ir_r3_k3_s1_e{expansion}_c96"],
        [f"ir_r3_k3_s2_e{expansion}_c160"],
        [f"ir_r1_k3_s1_e{expansion}_c320"],
    ]


@timm_models.register_model  # type: ignore[untyped-decorator]
def loupe_mobile(pretrained: bool = False, **kwargs: Any) -> Any:
    """MobileNetV2 without its widest layer, with narrower blocks: the features are the four stages' alone.

    The last 1 x 1 convolution to 1280 channels is left out: on the real sets the probe is better without its features
    (benchmarks/README.md), and a sixth of the time is saved.
    """
    if pretrained:
        raise ValueError("the weights of loupe_mobile come with the package; leave --backbone out to use them")
    kwargs.setdefault("num_classes", 0)
    return timm_models.build_model_with_cfg(
        efficientnet.EfficientNet,
        NAME,
        pretrained,
        kwargs_filter=("features_only",),
        block_args=efficientnet.decode_arch_def(architecture(kwargs.pop("expansion", EXPANSION))),
        num_features=0,
        stem_size=32,
        fix_stem=True,
        round_chs_fn=partial(efficientnet.round_channels, multiplier=1.0),
        act_layer=torch.nn.ReLU6,
        pad_type="same",
        **kwargs,
    )
