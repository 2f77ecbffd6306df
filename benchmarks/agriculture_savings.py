"""What a sprayer can save: the ceiling of machines with a perfect map, and what imperfect maps leave of it.

    python benchmarks/agriculture_savings.py [--fields N] [--side M] [--seed S] [--step M]

Synthetic throughout: Gaussian random fields (white noise, smoothed with the patch scale as standard deviation, cut at
the quantile that leaves the wanted share diseased) on squares of 4 ha. The figures say what a machine's geometry allows
on such patches, and nothing about any real field. Prints Markdown; "reference" is the table that the first column block
is to reproduce, in per cent saved, patch scale 2 m / 10 m.
"""

import argparse
from dataclasses import replace

import numpy as np
from scipy import ndimage
from scipy.stats import norm
from shapely import box

from verticals.agriculture.spraying.grid import SwathGrid, lay
from verticals.agriculture.spraying.machine import Machine
from verticals.agriculture.spraying.savings import ARTICLE_SAVED, savings_curve

CRS, EAST, NORTH = "EPSG:32633", 500_000.0, 5_500_000.0
FINE_M = 0.5
SHARES, SCALES_M = (0.05, 0.10, 0.20, 0.40), (2.0, 10.0)
MACHINES = {
    "0.5 m, b0": (0.5, 0.0),
    "0.5 m, b1 m": (0.5, 1.0),
    "3 m, b1": (3.0, 1.0),
    "12 m, b1": (12.0, 1.0),
    "24 m, b1": (24.0, 1.0),
}
REFERENCE = {
    (0.05, 2.0): (94, 90, 84, 68, 51),
    (0.05, 10.0): (95, 94, 93, 90, 88),
    (0.10, 2.0): (89, 80, 72, 45, 26),
    (0.10, 10.0): (90, 88, 87, 81, 76),
    (0.20, 2.0): (78, 66, 55, 28, 10),
    (0.20, 10.0): (80, 77, 75, 67, 57),
    (0.40, 2.0): (57, 42, 29, 7, 1),
    (0.40, 10.0): (59, 56, 53, 41, 30),
}
QUALITIES = (0.6, 0.8, 0.9, 0.97)
"""Correlation of what the map sees with what is there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=8, help="simulated fields for each entry")
    parser.add_argument("--side", type=float, default=200.0, help="of a field, in metres")
    parser.add_argument("--step", type=float, default=1.0, help="length of a cell along the drive, in metres")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        f"Synthetic: {options.fields} fields of {options.side**2 / 10_000:g} ha for each entry, seed {options.seed}.\n"
    )
    tell_ceilings(options)
    tell_curves(options)
    tell_coverage(options)


def tell_ceilings(options: argparse.Namespace) -> None:
    """Saved with a perfect map, beside the reference."""
    print("## Ceiling with a perfect map, % of the field not sprayed: mean ± half of the 95 % interval (reference)\n")
    print("| infestation, patch scale | " + " | ".join(MACHINES) + " |")
    print("| --- |" + " --- |" * len(MACHINES))
    worst = 0.0
    for share in SHARES:
        for scale in SCALES_M:
            cells = []
            for (section, buffer), wanted in zip(MACHINES.values(), REFERENCE[share, scale], strict=True):
                saved = [
                    100 * ceiling(section, buffer, share, scale, options.seed + number, options)
                    for number in range(options.fields)
                ]
                half = 1.96 * np.std(saved, ddof=1) / np.sqrt(len(saved)) if len(saved) > 1 else float("nan")
                worst = max(worst, abs(float(np.mean(saved)) - wanted))
                cells.append(f"{np.mean(saved):.1f} ± {half:.1f} ({wanted})")
            print(f"| {share:.0%}, {scale:g} m | " + " | ".join(cells) + " |")
    print(f"\nLargest difference from the reference: {worst:.1f} points.\n")


def ceiling(section: float, buffer: float, share: float, scale: float, seed: int, options: argparse.Namespace) -> float:
    grid = square(machine_of(section, buffer, options.step), options.side)
    latent = patches(grid, scale, np.random.default_rng([seed, int(scale)]))
    truth = (latent > np.quantile(latent, 1 - share)).astype(np.float32)
    curve = savings_curve(grid, truth, grid.inside, truth=truth, thresholds=[1.0], resamples=2, synthetic=True)
    assert curve.ceiling is not None
    return curve.ceiling


def tell_curves(options: argparse.Namespace) -> None:
    """Saved at 95 % diseased-area recall by the quality of the map."""
    print("## Saved at >= 95 % diseased-area recall, 10 % infestation, patches of 10 m, buffer 1 m\n")
    print(
        "First field; 95 % interval over spatial blocks; the threshold is read off that field. Ceiling: recall 100 %.\n"
    )
    head = [f"map correlation {quality:g}" for quality in QUALITIES]
    print("| machine | " + " | ".join(head) + " | ceiling |")
    print("| --- |" + " --- |" * (len(QUALITIES) + 1))
    for section in (0.5, 3.0, 12.0, 24.0):
        grid = square(machine_of(section, 1.0, options.step), options.side)
        cells, top = [], 0.0
        for quality in QUALITIES:
            truth, probability = imperfect(grid, quality, 10.0, 0.10, options.seed)
            curve = savings_curve(grid, probability, grid.inside, truth=truth, synthetic=True)
            point, top = curve.operating, curve.ceiling or 0.0
            if point is None or point.saved_low is None or point.saved_high is None:
                cells.append("not reached")
                continue
            mark = " *" if point.saved >= ARTICLE_SAVED else ""
            cells.append(f"{100 * point.saved:.0f} [{100 * point.saved_low:.0f} .. {100 * point.saved_high:.0f}]{mark}")
        print(f"| sections of {section:g} m | " + " | ".join(cells) + f" | {100 * top:.0f} |")
    print(f"\n* at least the {ARTICLE_SAVED:.0%} of the article, which names no machine, buffer or recall.\n")


def tell_coverage(options: argparse.Namespace) -> None:
    """How often the 95 % intervals of single fields hold the value of all fields together, at one threshold."""
    print("## 95 % intervals that hold the truth of all fields, threshold 0.35, map correlation 0.8, 0.5 m sections\n")
    print("| patch scale | fields | blocks with disease | block, m | recall held | saved held |")
    print("| --- | --- | --- | --- | --- | --- |")
    grid = square(machine_of(0.5, 1.0, options.step), 150.0)
    for scale in (5.0, 10.0):
        curves = []
        for number in range(10 * options.fields):
            truth, probability = imperfect(grid, 0.8, scale, 0.10, 1000 + options.seed + number)
            curves.append(savings_curve(grid, probability, grid.inside, truth=truth, thresholds=[0.35], synthetic=True))
        points = [curve.points[0] for curve in curves]
        recall = np.average([p.recall for p in points], weights=[c.diseased_ha for c in curves])
        saved = np.mean([p.saved for p in points])
        held = [(p.recall_low or 0.0) <= recall <= (p.recall_high or 1.0) for p in points]
        paid = [(p.saved_low or 0.0) <= saved <= (p.saved_high or 1.0) for p in points]
        blocks, side = np.mean([c.blocks for c in curves]), np.mean([c.block_m for c in curves])
        print(
            f"| {scale:g} m | {len(points)} | {blocks:.0f} | {side:.0f} | {np.mean(held):.0%} | {np.mean(paid):.0%} |"
        )


def machine_of(section_m: float, buffer_m: float, step_m: float) -> Machine:
    plain = Machine("benchmark", boom_m=24.0, section_m=24.0, step_m=step_m)
    return replace(plain, section_m=section_m, buffer_m=buffer_m)


def square(machine: Machine, side: float) -> SwathGrid:
    outline = box(EAST, NORTH, EAST + side, NORTH + side)
    return lay(outline, CRS, machine, heading_deg=0, fine_m=FINE_M)


def patches(grid: SwathGrid, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian random field with unit variance on the fine pixels."""
    noise = rng.standard_normal(grid.inside.shape)
    smooth = ndimage.gaussian_filter(noise, scale / FINE_M, mode="wrap")
    return smooth / smooth.std()


def imperfect(grid: SwathGrid, quality: float, scale: float, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and the calibrated probability of it given a view with that correlation."""
    seen, hidden = (patches(grid, scale, np.random.default_rng([seed, part])) for part in (1, 2))
    spread = np.sqrt(1 - quality**2)
    cut = norm.isf(share)
    truth = (quality * seen + spread * hidden > cut).astype(np.float32)
    return truth, norm.sf((cut - quality * seen) / spread).astype(np.float32)


if __name__ == "__main__":
    main()
