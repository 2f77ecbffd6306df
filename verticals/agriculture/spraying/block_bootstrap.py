"""Spatial blocks of a field in, 95 % intervals of ratios over them out.

Neighbouring ground is alike, so that its pixels are no independent evidence; blocks larger than the patches nearly are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from verticals.agriculture.mapping.correlation import spread
from verticals.agriculture.spraying.grid import Mask, SwathGrid

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
LEAST_BLOCK_M = 20.0
BLOCK_RANGES = 3.0
"""At three ranges a correlation has fallen to 5 %."""


def block_side(grid: SwathGrid, disease: NDArray[Any], examined: Mask) -> float:
    """Blocks so large that neighbours have little to do with each other, in metres."""
    pixel_m = max(grid.machine.section_m / grid.across, grid.machine.step_m / grid.along)
    known = spread(disease.astype(np.float32), grid.inside & examined)
    return max(LEAST_BLOCK_M, BLOCK_RANGES * known.range_cells * pixel_m)


def numbers(grid: SwathGrid, block_m: float) -> NDArray[np.int64]:
    """``(sections, steps)``: number of the square block that each cell's centre lies in."""
    sections, steps = grid.cells
    v = ((np.arange(sections) + 0.5) * grid.machine.section_m // block_m).astype(np.int64)
    u = ((np.arange(steps) + 0.5) * grid.machine.step_m // block_m).astype(np.int64)
    result: NDArray[np.int64] = v[:, None] * (u[-1] + 1) + u[None, :]
    return result


def weights(blocks: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """``(resamples, blocks)``: how often each block is drawn."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples).astype(np.float64)


def interval(
    weights: NDArray[np.float64], part: NDArray[np.float64], whole: NDArray[np.float64], blocks: int
) -> tuple[float, float]:
    """Percentile interval of ``sum(part) / sum(whole)`` over resampled blocks, within 0 and 1.

    Percentiles of few blocks lie too near each other; they are widened about the estimate as Student's t is wider than
    the normal distribution, with the variance of n - 1 (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
    """
    below = weights @ whole
    ratios = (weights @ part)[below > 0] / below[below > 0]
    middle = float(part.sum() / whole.sum())
    wider = np.sqrt(blocks / (blocks - 1)) * stats.t.ppf(1 - TAIL, blocks - 1) / stats.norm.ppf(1 - TAIL)
    low, high = middle + wider * (np.quantile(ratios, [TAIL, 1 - TAIL]) - middle)
    return max(0.0, float(low)), min(1.0, float(high))
