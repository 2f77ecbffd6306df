"""Small orthomosaics drawn for the tests."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

rasterio = pytest.importorskip("rasterio")

Draw = Callable[..., Path]


def ground(rows: int, columns: int, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth ground with noise, nowhere 0: ``(bands, rows, columns)`` uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    waves = np.stack([np.sin(x / (9 + b)) + np.cos(y / (7 + b)) for b in range(bands)])
    return (120 + 40 * waves + rng.normal(0, 4, waves.shape)).clip(1, 255).astype(np.uint8)


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Write an array ``(bands, rows, columns)`` as GeoTIFF; 5 cm in UTM 33 N unless said otherwise."""

    def write(
        pixels: NDArray[Any],
        name: str = "field.tif",
        *,
        crs: str | None = "EPSG:32633",
        transform: tuple[float, ...] | None = (0.05, 0, 500_000, 0, -0.05, 5_800_000),
        descriptions: tuple[str, ...] = (),
        mask: NDArray[Any] | None = None,
        alpha: bool = False,
        **profile: Any,
    ) -> Path:
        path = tmp_path / name
        profile |= {"driver": "GTiff", "count": len(pixels), "dtype": pixels.dtype, "crs": crs}
        profile |= {"height": pixels.shape[1], "width": pixels.shape[2]}
        if transform:
            profile["transform"] = rasterio.Affine(*transform)
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, "w", **profile) as target:
                if alpha:
                    enums = rasterio.enums.ColorInterp
                    target.colorinterp = (enums.red, enums.green, enums.blue, enums.alpha)
                target.write(pixels)
                for band, words in enumerate(descriptions, 1):
                    target.set_band_description(band, words)
                if mask is not None:
                    target.write_mask(mask)
        return path

    return write
