from typing import Any

import pytest

from shared import config
from shared.errors import ConfigError
from shared.tuning import Tuning


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"layer_decay": 1.5},
        {"mixup": -0.1},
        {"mix_off": 1.1},
        {"label_smoothing": 1.0},
        {"scale": [1.2, 0.8]},
        {"rotation_degrees": 200.0},
        {"image_size": 100},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"tuning: {next(iter(wrong))} is .*; allowed is"):
        config.build(Tuning, wrong, where="tuning")
