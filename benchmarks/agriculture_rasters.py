"""Every raster below a folder: read to its last pixel, or refused with its sentence, as a Markdown table.

python benchmarks/agriculture_rasters.py FOLDER

Shares are of all pixels of the grid that is worked on. What has no geotransform is tried as a camera frame as well; the
bands of one capture are put together and their shifts measured.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from shared.errors import DataError, LoupeError
from shared.records import Box
from verticals.agriculture.raster import captures, frames
from verticals.agriculture.raster.pixels import NO_DATA, READ, UNREADABLE, Raster
from verticals.agriculture.raster.rasters import open_raster

SIDE_PX = 1024


def counted(raster: Raster) -> np.ndarray:
    """Pixels without data, read and unreadable, read window by window."""
    facts, counts = raster.facts, np.zeros(3, np.int64)
    for y in range(0, facts.height, SIDE_PX):
        for x in range(0, facts.width, SIDE_PX):
            box = Box(x, y, min(x + SIDE_PX, facts.width), min(y + SIDE_PX, facts.height))
            counts += np.bincount(raster.read(box).validity.ravel(), minlength=3)
    return counts


def row(path: Path, name: str) -> Iterator[str]:
    try:
        with open_raster(path) as raster:
            facts, began = raster.facts, time.perf_counter()
            counts = counted(raster)
            speed = counts.sum() / 1e6 / (time.perf_counter() - began)
    except LoupeError as error:
        yield f"| {name} | refused | | | | | | {str(error).removeprefix(f'{path}: ')} |"
        return
    shares = [f"{100 * counts[state] / counts.sum():.1f}" for state in (READ, NO_DATA, UNREADABLE)]
    grid = f"{facts.width} × {facts.height}, {facts.crs}"
    how = "warped" if facts.warped else "read"
    yield f"| {name} | {how} | {grid} | {100 * facts.gsd_m:.3g} | {' | '.join(shares)} | {'; '.join(facts.remarks)} |"
    print(f"{name}: {speed:.1f} MPix/s", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print("| file | | grid | pixel cm | read % | no data % | unreadable % | what is said |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".tif", ".tiff", ".vrt")):
        for line in row(path, str(path.relative_to(folder))):
            print(line, flush=True)
    found, _ = frames.read_frames(folder)
    several = [capture for capture in captures.group([f for f in found if f.capture]) if len(capture.frames) > 1]
    if not several:
        return
    print("\n| capture | band | against | shift px (right, down) | peak |")
    print("| --- | --- | --- | --- | --- |")
    for capture in several:
        try:
            for shift in captures.shifts(capture):
                place = f"{shift.dx_px:+.1f}, {shift.dy_px:+.1f}" if shift.measured else "not measured"
                print(f"| {capture.id} | {shift.band} | {shift.against} | {place} | {shift.peak:.2f} |")
        except DataError as error:
            print(f"| {capture.id} | | | {error} | |")


if __name__ == "__main__":
    main()
