from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import ConfigError, DataError
from verticals.agriculture.mapping import blend, tiles
from verticals.agriculture.mapping.seam import SeamMeter
from verticals.agriculture.raster.pixels import NO_DATA, READ
from verticals.agriculture.raster.rasters import open_raster

rasterio = pytest.importorskip("rasterio")
affine = pytest.importorskip("affine")

Write = Callable[..., Path]


def written(path: Path, rgb: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> Path:
    """A GeoTIFF of 5 cm with an alpha band, ``(height, width, 3)`` in."""
    height, width = rgb.shape[:2]
    alpha = np.full((height, width), 255, np.uint8) if valid is None else np.where(valid, 255, 0).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=4, dtype="uint8", crs="EPSG:32633", tiled=True,
        blockxsize=128, blockysize=128, compress="deflate", transform=affine.Affine(0.05, 0, 4e5, 0, -0.05, 5.6e6),
        photometric="RGB", alpha="YES",
    ) as target:  # fmt: skip
        target.write(np.moveaxis(rgb, -1, 0), [1, 2, 3])
        target.write(alpha, 4)
    return path


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3)).astype(np.uint8)


def per_pixel(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model that looks at one pixel only: ``(..., side, side, 3)`` to ``(..., 4, side, side)``, softmax."""
    weights = np.array([[2.0, -1, 0.5, 0], [-1, 3, 0, 0.3], [0.2, 0.1, -2, 1]], np.float32)
    scores = rgb.astype(np.float32) / 255 @ weights
    odds = np.exp(scores)
    return np.moveaxis(odds / odds.sum(-1, keepdims=True), -1, -3).astype(np.float32)


def all_strips(path: Path, predictor: blend.Predictor, side: int, overlap: float, stride: int = 1) -> list[blend.Strip]:
    with open_raster(path) as raster:
        laid = tiles.layout(raster.facts.width, raster.facts.height, side=side, overlap=overlap, stride=stride)
        return list(blend.blended(raster, predictor, laid, labels=4))


@pytest.mark.parametrize(
    ("height", "width", "side", "overlap"),
    [
        (1, 1, 16, 0.5),
        (300, 7, 32, 0.5),
        (131, 97, 33, 0.37),
        (257, 301, 64, 0.75),
        (90, 260, 48, 0.0),
        (64, 64, 64, 0.9),
    ],
)
def test_a_per_pixel_model_gives_tiled_what_it_gives_untiled(
    tmp_path: Path, height: int, width: int, side: int, overlap: float
) -> None:
    rgb = noise(height, width)
    strips = all_strips(written(tmp_path / "a.tif", rgb), per_pixel, side, overlap)
    assert [s.row for s in strips] == np.cumsum([0, *(s.probabilities.shape[1] for s in strips[:-1])]).tolist()
    found = np.concatenate([s.probabilities for s in strips], 1)
    assert found.shape == (4, height, width)
    np.testing.assert_allclose(found, per_pixel(rgb), atol=1e-6)
    assert all((s.read == 1).all() for s in strips)


@pytest.mark.parametrize(("height", "width"), [(160, 160), (150, 203), (5, 3)])
def test_a_model_with_coarse_cells_gives_the_mean_of_each_cell(tmp_path: Path, height: int, width: int) -> None:
    rgb = noise(height, width)

    def coarse(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return per_pixel(images).reshape(len(images), 4, 8, 8, 8, 8).mean((3, 5))

    found = np.concatenate(
        [s.probabilities for s in all_strips(written(tmp_path / "a.tif", rgb), coarse, 64, 0.5, 8)], 1
    )
    padded = np.pad(rgb, ((0, -height % 8), (0, -width % 8), (0, 0)), "edge")
    rows, columns = padded.shape[0] // 8, padded.shape[1] // 8
    expected = per_pixel(padded).reshape(4, rows, 8, columns, 8).mean((2, 4))
    assert found.shape == (4, rows, columns)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_blending_removes_the_seams_that_a_model_with_borders_makes(tmp_path: Path) -> None:
    """The model errs towards a tile's border, as one with padding does; the content has steps of its own."""
    rng = np.random.default_rng(5)
    small = rng.integers(60, 200, (30, 30, 3)).astype(np.uint8)
    path = written(tmp_path / "a.tif", np.kron(small, np.ones((10, 10, 1), np.uint8))[:, :290])
    ramp = np.abs(np.linspace(-1, 1, 64, dtype=np.float32))
    wrong = 0.2 * np.maximum(ramp[:, None], ramp[None]) * np.linspace(-1, 1, 64, dtype=np.float32)

    def bordered(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        bright = images.mean(-1, dtype=np.float32) / 255
        first = np.clip(bright + wrong, 0, 1)
        return np.stack([first, 1 - first, 0 * first, 0 * first], 1)

    ratios = {}
    for overlap in (0.0, 0.5):
        laid = tiles.layout(290, 300, side=64, overlap=overlap)
        meter = SeamMeter(laid)
        for strip in all_strips(path, bordered, 64, overlap):
            meter.add(strip.row, strip.probabilities)
        ratios[overlap] = meter.result().ratio
    assert ratios[0.0] is not None and ratios[0.5] is not None
    assert ratios[0.0] > 1.5, ratios
    assert 0.8 < ratios[0.5] < 1.1, ratios


def test_the_seam_metric_is_a_mean_over_all_edges_computed_strip_by_strip() -> None:
    laid = tiles.layout(40, 30, side=10, overlap=0.5)
    field = np.random.default_rng(1).random((3, 30, 40)).astype(np.float32)
    field[:, 4:9, 11:17] = np.nan
    meter = SeamMeter(laid)
    for start, end in ((0, 1), (1, 12), (12, 30)):
        meter.add(start, field[:, start:end])
    found = meter.result()
    border, other = [], []
    for axis, length in ((2, 40), (1, 30)):
        steps = np.moveaxis(np.abs(np.diff(field, axis=axis)).mean(0), axis - 1, -1)
        for i in range(length - 1):
            (border if (i + 1) % 5 == 0 else other).extend(steps[:, i])
    assert found.steps == np.isfinite(border).sum()
    assert found.border == pytest.approx(np.nanmean(border)) and found.elsewhere == pytest.approx(np.nanmean(other))
    assert "ratio" in str(found)


def test_what_was_not_read_is_neither_shown_nor_answered(tmp_path: Path) -> None:
    rgb = noise(200, 300)
    valid = np.ones((200, 300), bool)
    valid[:, 130:] = False
    valid[60:70, 60:75] = False
    seen = []

    def watching(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(images)
        return per_pixel(images)

    strips = all_strips(written(tmp_path / "a.tif", np.where(valid[..., None], rgb, 0), valid), watching, 32, 0.5)
    found = np.concatenate([s.probabilities for s in strips], 1)
    np.testing.assert_allclose(found[:, valid], per_pixel(rgb)[:, valid], atol=1e-6)
    assert np.isnan(found[:, :, 160:]).all(), "tiles without a pixel are not asked about"
    shown = np.concatenate(seen)
    assert not (shown == 0).all(-1).any(), "black from outside the mosaic was shown to the model"
    np.testing.assert_array_equal(np.concatenate([s.read for s in strips]), valid)


def test_only_tiles_that_touch_the_cells_asked_for_are_painted(tmp_path: Path) -> None:
    asked = np.zeros((700, 256), bool)
    asked[300:340, 30:60] = True
    count = 0

    def counting(images: NDArray[np.uint8]) -> blend.Painted:
        nonlocal count
        count += len(images)
        return blend.Painted(per_pixel(images), np.full(len(images), 0.25, np.float32))

    with open_raster(written(tmp_path / "a.tif", noise(700, 256))) as raster:
        read: list[int] = []
        whole, raster.read = raster.read, lambda box: read.append(box.y0) or whole(box)  # type: ignore[method-assign]
        laid = tiles.layout(256, 700, side=32, overlap=0.0)
        strips = list(blend.blended(raster, counting, laid, labels=4, inside=lambda a, b: asked[a : min(b, 700)]))
    assert count == 2 * 2
    assert read == [288], "rows of the raster without a cell that is asked for are not even read"
    novelty = np.concatenate([s.novelty for s in strips if s.novelty is not None])
    np.testing.assert_allclose(novelty[asked[-len(novelty) :]], 0.25)
    np.testing.assert_array_equal(np.concatenate([s.inside for s in strips]), asked)


def test_a_predictor_with_another_form_and_impossible_tiles_are_one_sentence_each(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", noise(64, 64))
    with pytest.raises(DataError, match="has shape"):
        all_strips(path, lambda images: np.zeros((len(images), 3, 32, 32), np.float32), 32, 0.5)
    with pytest.raises(DataError, match="not finite"):
        all_strips(path, lambda images: np.full((len(images), 4, 32, 32), np.nan, np.float32), 32, 0.5)
    for side, overlap, stride in ((30, 0.5, 8), (32, 1.0, 8), (0, 0.5, 1)):
        with pytest.raises(ConfigError, match="allowed"):
            tiles.layout(64, 64, side=side, overlap=overlap, stride=stride)
    assert READ != NO_DATA
