from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import ConfigError
from shared.inference import Runtime
from verticals.agriculture.mapping.painter import painter, place_probabilities
from verticals.agriculture.mapping.painting import paint
from verticals.agriculture.raster.rasters import open_raster

rasterio = pytest.importorskip("rasterio")
affine = pytest.importorskip("affine")


@pytest.fixture(scope="module")
def runtime(bundle: Path) -> Runtime:
    return Runtime.open(bundle, threads=1)


def ground(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """The noisy surface that the bundle knows as ok."""
    noise = np.random.default_rng(seed).normal(120, 12, (height, width)).clip(0, 255).astype(np.uint8)
    return np.repeat(noise[..., None], 3, 2)


def test_a_tile_is_painted_from_the_class_map_of_its_own_answer(runtime: Runtime) -> None:
    tiles = np.stack([ground(i, 64, 64) for i in range(4)])
    for tile, centre in zip(tiles[1:], ((20, 20), (40, 16), (30, 45)), strict=True):
        cv2.circle(tile, centre, 7, (30, 30, 30), -1)
    painted = painter(runtime, side=64)(tiles)
    answers = runtime.predict(list(tiles), class_map=True)
    assert answers.class_map is not None and painted.probabilities.shape == answers.class_map.shape
    np.testing.assert_allclose(painted.probabilities.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(painted.novelty, answers.novelty)
    assert painted.probabilities[1:, runtime.labels.index("spot")].max() > 0.9


def test_the_places_of_a_tile_have_the_tiles_probabilities_as_their_geometric_mean() -> None:
    """And their log odds differ by a root of the number of places less than their scores do."""
    scores = np.random.default_rng(0).normal(0, 3, (2, 3, 5, 4)).astype(np.float32)
    found = place_probabilities(scores)
    geometric = np.exp(np.log(found.astype(np.float64)).mean((2, 3)))
    tile = np.exp(scores.mean((2, 3), dtype=np.float64))
    for one in (geometric, tile):
        one /= one.sum(1, keepdims=True)
    np.testing.assert_allclose(geometric, tile, atol=1e-6)
    odds, raw = np.log(found[:, 0] / found[:, 1]), scores[:, 0] - scores[:, 1]
    mean = raw.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(odds - mean, (raw - mean) / np.sqrt(20), atol=1e-4)


def test_a_side_becomes_a_multiple_of_the_places_and_is_asked_for_where_it_is_unknown(runtime: Runtime) -> None:
    made = painter(runtime, side=65)
    assert made.side % made.places == 0 and abs(made.side - 65) <= made.places / 2
    settings = made.settings(overlap=0.25)
    assert settings.side == made.side and settings.stride * made.places == made.side
    assert settings.novelty_limit == runtime.bundle.card["novelty"]["limit"]
    assert made.settings(novelty_limit=None).novelty_limit is None
    with pytest.raises(ConfigError, match="was built on whole images"):
        painter(runtime)


def test_a_bundle_paints_spots_where_they_are(runtime: Runtime, tmp_path: Path) -> None:
    rgb = ground(9, 320, 400)
    centres = [(70, 60), (200, 130), (330, 250)]
    for centre in centres:
        for dx, dy in ((0, 0), (26, 6), (6, 26), (-24, 12), (12, -24)):
            cv2.circle(rgb, (centre[0] + dx, centre[1] + dy), 7, (30, 30, 30), -1)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=400, height=320, count=3, dtype="uint8", crs="EPSG:32633",
        photometric="RGB", transform=affine.Affine(0.05, 0, 4e5, 0, -0.05, 5.6e6),
    ) as target:  # fmt: skip
        target.write(np.moveaxis(rgb, -1, 0))
    made = painter(runtime, side=64)
    with open_raster(tmp_path / "a.tif") as raster:
        done = paint(
            raster, made, tmp_path / "map", labels=runtime.labels, ok_label="ok",
            settings=made.settings(overlap=0.75, novelty_limit=None), bundle=made.record(),
        )  # fmt: skip
    assert done.card["bundle"] == {"name": runtime.bundle.path.name, "hash": runtime.bundle.hash}
    with rasterio.open(done.probability_path) as source:
        spot = source.read(runtime.labels.index("spot") + 1)
    stride = made.side // made.places
    y, x = np.mgrid[: spot.shape[0], : spot.shape[1]]
    near = np.min([np.hypot(x * stride + stride / 2 - cx, y * stride + stride / 2 - cy) for cx, cy in centres], axis=0)
    assert spot[near < 20].mean() > spot[near > 80].mean() + 0.3
    assert done.hectares["examined"] == pytest.approx(320 * 400 * 0.05**2 / 1e4, rel=2e-3)
