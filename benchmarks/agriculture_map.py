"""A large orthomosaic mapped with a bundle: peak memory, and time against reading it and bare onnxruntime on its tiles.

python benchmarks/agriculture_map.py BUNDLE [--pixels 40000] [--side 128] [--overlap 0.5] [--rounds 1]

The raster is drawn (a patch of 2,000 px, repeated) and written as a tiled JPEG GeoTIFF into a temporary folder: pixels
and seconds are real, what the map shows is not. Mapping is the whole way, with reading, blending, COGs and the hash of
the raster. "Bare" reads every pixel once with rasterio and gives the same tiles to an onnxruntime session. Each runs in
a process of its own, one after the other. Processor seconds are told beside the clock's: they change less where other
programs run.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from shared.inference import runtime as runtimes
from verticals.agriculture.drawing.field import draw
from verticals.agriculture.drawing.setting import Setting
from verticals.agriculture.mapping import tiles
from verticals.agriculture.mapping.painter import open_painter
from verticals.agriculture.mapping.painting import paint
from verticals.agriculture.raster.rasters import open_raster

PATCH, BLOCK, BATCH_PIXELS = 2_000, 512, 500_000


def orthomosaic(path: Path, pixels: int) -> None:
    patch = np.moveaxis(draw(Setting(width=PATCH, height=PATCH, uncovered=0.0), seed=1).bands, -1, 0)
    wide = np.tile(patch, (1, 1, -(-pixels // PATCH)))[:, :, :pixels]
    with rasterio.open(
        path, "w", driver="GTiff", width=pixels, height=pixels, count=3, dtype="uint8", crs="EPSG:32632", tiled=True,
        blockxsize=BLOCK, blockysize=BLOCK, compress="jpeg", photometric="YCBCR", bigtiff="IF_SAFER",
        transform=Affine(0.03, 0, 560_000, 0, -0.03, 5_540_000),
    ) as target:  # fmt: skip
        for top in range(0, pixels, BLOCK):
            rows = np.arange(top, min(top + BLOCK, pixels)) % PATCH
            target.write(wide[:, rows], window=Window(0, top, pixels, len(rows)))


def mapped(path: Path, bundle: Path, side: int, overlap: float) -> dict[str, float]:
    made = open_painter(bundle, side=side)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, open_raster(path) as raster:
        started, used = time.monotonic(), time.process_time()
        done = paint(
            raster, made, Path(folder) / "map", labels=made.runtime.labels, ok_label=made.runtime.bundle.ok_label,
            settings=made.settings(overlap=overlap, novelty_limit=None), bundle=made.record(),
        )  # fmt: skip
        told = {"seconds": time.monotonic() - started, "processor": time.process_time() - used}
        size = sum(f.stat().st_size for f in done.folder.iterdir())
        return {**told, "map_bytes": size, "seam": done.card["seam"]["ratio"] or float("nan")}


def bare(path: Path, bundle: Path, side: int, overlap: float) -> dict[str, float]:
    made = open_painter(bundle, side=side)
    session = runtimes.session(str(bundle / "model.onnx"))
    names = ["probabilities", "novelty", "class_map"]
    many = max(1, BATCH_PIXELS // made.side**2)
    started, used, count = time.monotonic(), time.process_time(), 0
    with rasterio.Env(GDAL_CACHEMAX=256), rasterio.open(path) as source:
        laid = tiles.layout(
            source.width, source.height, side=made.side, overlap=overlap, stride=made.side // made.places
        )
        rows, bottom = np.empty((0, source.width, 3), np.uint8), 0
        for y in laid.ys:
            top, end = y * laid.stride, min(y * laid.stride + laid.side, source.height)
            rows = rows[top - (bottom - len(rows)) :]
            while bottom < end:
                high = min(BLOCK, source.height - bottom)
                read = source.read(window=Window(0, bottom, source.width, high))
                rows, bottom = np.concatenate([rows, np.moveaxis(read, 0, -1)]), bottom + high
            for first in range(0, len(laid.xs), many):
                lefts = [min(x * laid.stride, source.width - laid.side) for x in laid.xs[first : first + many]]
                batch = np.stack([rows[end - top - laid.side : end - top, x : x + laid.side] for x in lefts])
                session.run(names, {"image": batch})
                count += len(batch)
    return {"seconds": time.monotonic() - started, "processor": time.process_time() - used, "tiles": count}


def child(what: str, options: argparse.Namespace, path: Path) -> dict[str, float]:
    given = {"side": options.side, "overlap": options.overlap, "pixels": options.pixels, "child": what, "raster": path}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    line = [sys.executable, __file__, str(options.bundle), *words]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def compared(options: argparse.Namespace) -> None:
    megapixels = options.pixels**2 / 1e6
    with tempfile.TemporaryDirectory(dir=options.temporary) as folder:
        path = Path(folder) / "field.tif"
        # In a process of its own: what a parent once used is counted in its children's peak too.
        child("draw", options, path)
        print(f"{options.pixels:,} x {options.pixels:,} px, {path.stat().st_size / 1e6:,.0f} MB on disk")
        for _ in range(options.rounds):
            one, other = child("map", options, path), child("bare", options, path)
            print(f"map:  peak {one['peak_gb']:.2f} GB, {one['seconds'] / megapixels:.3f} s per megapixel,", end=" ")
            print(f"map of {one['map_bytes'] / 1e6:,.0f} MB, seam ratio {one['seam']:.3f}")
            print(
                f"bare: peak {other['peak_gb']:.2f} GB, {other['seconds'] / megapixels:.3f} s per megapixel,", end=" "
            )
            print(f"{other['tiles']:,.0f} tiles of {options.side} px, overlap {options.overlap}")
            ratios = [one[clock] / other[clock] for clock in ("seconds", "processor")]
            print(f"map over bare: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} in processor seconds", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pixels", type=int, default=40_000)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--temporary", type=Path, help="where the raster and the map are written")
    parser.add_argument("--child", choices=("draw", "map", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--raster", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.child:
        compared(options)
        return
    told: dict[str, float] = {}
    if options.child == "draw":
        orthomosaic(options.raster, options.pixels)
    else:
        way = {"map": mapped, "bare": bare}[options.child]
        told = way(options.raster, options.bundle, options.side, options.overlap)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({**told, "peak_gb": peak}))


if __name__ == "__main__":
    main()
