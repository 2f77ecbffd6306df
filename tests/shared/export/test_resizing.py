from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.export import resizing
from shared.inference import runtime

onnx = pytest.importorskip("onnx", reason="the train extra is not installed")


@pytest.fixture(scope="module")
def odd_pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = [(64, 64), (33, 200), (200, 33), (500, 375), (7, 9), (1, 1)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_two_matrices_resize_as_pillow_does(odd_pictures: list[np.ndarray]) -> None:
    for picture in odd_pictures:
        channels = [Image.fromarray(picture[..., c].astype(np.float32)) for c in range(3)]
        expected = np.stack([np.asarray(c.resize((64, 64), Image.Resampling.BILINEAR)) for c in channels], 2)
        assert np.abs(resizing.resized(picture, 64) - expected).max() < 1e-3


def test_a_graph_that_computes_its_matrices_gives_the_bundles_answers(
    bundle: Path, odd_pictures: list[np.ndarray]
) -> None:
    model = onnx.load(bundle / "model.onnx")
    changed = resizing.as_matrices(model)
    assert not [n for n in changed.graph.node if any(a.name == "antialias" and a.i for a in n.attribute)]
    before, after = (runtime.session(m.SerializeToString()) for m in (model, changed))
    for picture in odd_pictures:
        for a, b in zip(
            *(s.run(["scores", "novelty"], {"image": picture[None]}) for s in (before, after)), strict=True
        ):
            assert np.allclose(a, b, rtol=1e-3, atol=1e-3)
