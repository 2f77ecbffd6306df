from pathlib import Path

import numpy as np

from shared.inference import Runtime


def test_an_int8_network_behind_the_preprocessing_is_loaded_with_all_optimisations(
    bundle: Path, int8_bundle: Path, some_pictures: list[np.ndarray]
) -> None:
    parent, small = Runtime.open(bundle).predict(some_pictures), Runtime.open(int8_bundle).predict(some_pictures)
    assert (int8_bundle / "model.onnx").stat().st_size < 0.4 * (bundle / "model.onnx").stat().st_size
    same = parent.probabilities.argmax(1) == small.probabilities.argmax(1)
    assert same.mean() > 0.7 and (parent.probabilities != small.probabilities).any(), same
