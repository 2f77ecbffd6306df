"""Strips of rows in, cloud-optimised GeoTIFFs of any size out; memory holds a row of blocks, not the raster."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from shared.errors import require

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache; its default is a twentieth of the machine's memory."""
_EXTRA = "agriculture"
_STRIP_ROWS = 16
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Layer:
    """One raster of a map.

    Attributes:
        name: File name.
        dtype: ``uint8`` or ``float32``.
        nodata: Value for "nothing here".
        bands: Description of each band.
        classes: Name of each value of the one band, from 0; empty where values are no classes.
        colours: Of the classes, RGB.
        unit: Of the values, empty for none.
    """

    name: str
    dtype: str
    nodata: float
    bands: tuple[str, ...]
    classes: tuple[str, ...] = ()
    colours: tuple[Colour, ...] = ()
    unit: str = ""


class Writers:
    """Open plain rasters, filled from top to bottom; made by :func:`writing`."""

    def __init__(self, files: Mapping[str, Any]) -> None:
        self._files = files

    def put(self, name: str, row: int, values: NDArray[Any]) -> None:
        """Write rows of one layer: its name, the first row, and ``(bands, rows, columns)``."""
        window = require("rasterio.windows", extra=_EXTRA).Window(0, row, values.shape[2], values.shape[1])
        self._files[name].write(values, window=window)


@contextmanager
def bounded() -> Iterator[None]:
    """GDAL with a small block cache."""
    with require("rasterio", extra=_EXTRA).Env(GDAL_CACHEMAX=CACHE_BYTES):
        yield


@contextmanager
def writing(
    folder: Path, layers: Sequence[Layer], *, crs: str, transform: Sequence[float], size_wh: tuple[int, int],
    tags: Mapping[str, str],
) -> Iterator[Writers]:  # fmt: skip
    """Open the layers for writing strip by strip; when the block ends without an error they are made COGs.

    Args:
        folder: Where; it exists.
        layers: The rasters.
        crs: Authority code or WKT.
        transform: ``(a, b, c, d, e, f)``, cell to CRS.
        size_wh: Cells across and down.
        tags: Written into each file.
    """
    rasterio, affine = require("rasterio", extra=_EXTRA), require("affine", extra=_EXTRA)
    width, height = size_wh
    # Strips can be appended to without reading back; the blocks of a COG are made of them in the end.
    profile = {
        "driver": "GTiff", "width": width, "height": height, "crs": crs, "transform": affine.Affine(*transform),
        "compress": "deflate", "zlevel": 1, "interleave": "band", "bigtiff": "if_safer", "blockysize": _STRIP_ROWS,
    }  # fmt: skip
    with ExitStack() as stack:
        files = {
            layer.name: stack.enter_context(
                rasterio.open(
                    folder / f".{layer.name}", "w", dtype=layer.dtype, nodata=layer.nodata, count=len(layer.bands),
                    **profile,
                )
            )
            for layer in layers
        }  # fmt: skip
        for layer in layers:
            _describe(files[layer.name], layer, tags)
        yield Writers(files)
    for layer in layers:
        _optimise(folder / f".{layer.name}", folder / layer.name, layer)


def _describe(target: Any, layer: Layer, tags: Mapping[str, str]) -> None:
    target.update_tags(**tags)
    for i, band in enumerate(layer.bands, start=1):
        target.set_band_description(i, band)
        if layer.unit:
            target.set_band_unit(i, layer.unit)
    if layer.classes:
        target.update_tags(CLASSES=",".join(f"{i}={name}" for i, name in enumerate(layer.classes)))
        target.write_colormap(1, dict(enumerate(layer.colours)))


def _optimise(plain: Path, target: Path, layer: Layer) -> None:
    """Blocks, overviews and order of a COG, made by GDAL's own driver."""
    real = layer.dtype == "float32"
    require("rasterio.shutil", extra=_EXTRA).copy(
        plain,
        target,
        driver="COG",
        compress="deflate",
        predictor="floating_point" if real else "no",
        blocksize=512,
        bigtiff="if_safer",
        # A mean of classes is no class, and one of probabilities is a probability.
        overview_resampling="average" if real else "mode",
    )
    plain.unlink()
    if layer.classes:
        names = "".join(f"<Category>{escape(name)}</Category>" for name in layer.classes)
        table = (
            f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>\n'
        )
        target.with_name(f"{target.name}.aux.xml").write_text(table, encoding="utf-8")


def palette(ok: Sequence[bool]) -> tuple[Colour, ...]:
    """A colour for each label: green where ``ok``, the others from Okabe and Ito (2008).

    Colour-blind eyes tell them apart. Beyond seven labels they come again, darker each time.
    """
    wheel = ((213, 94, 0), (0, 114, 178), (204, 121, 167), (230, 159, 0), (86, 180, 233), (240, 228, 66), (90, 90, 90))
    found: list[Colour] = []
    others = 0
    for fine in ok:
        if fine:
            found.append((0, 158, 115))
            continue
        base, shade = wheel[others % len(wheel)], 0.75 ** (others // len(wheel))
        red, green, blue = (np.rint(np.array(base) * shade).astype(int)).tolist()
        found.append((red, green, blue))
        others += 1
    return tuple(found)
