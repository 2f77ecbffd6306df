"""Probabilities of a field on a machine's grid in, its savings-recall curve out, with the machine's own ceiling.

What is bought and what is paid: for every threshold the share of the diseased area that gets sprayed (recall), and the
share of the broadcast area that does not (saved). Without truth both axes come from the probabilities themselves; such
a curve is called *expected*, and is as good as their calibration.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from verticals.agriculture.spraying import block_bootstrap
from verticals.agriculture.spraying.grid import Fine, Geometry, Mask, SwathGrid
from verticals.agriculture.spraying.gridding import covered
from verticals.agriculture.spraying.plan import Unexamined
from verticals.agriculture.spraying.switching import cell_scores, switch

ARTICLE_SAVED = 0.31
"""The figure of the source article (-31 % pesticide); it names no machine, so it is a mark on the axis and no more."""
THRESHOLDS = 100
FEWEST_BLOCKS = 5
"""Diseased blocks below which no interval is given."""
ENOUGH_BLOCKS = 30
"""Below it the interval is given with a warning: on simulated fields with about 11 diseased blocks it held the truth in
eight to nine of ten, with 37 blocks in nine of ten and more (benchmarks/agriculture_savings.py)."""


@dataclass(frozen=True)
class Point:
    """One threshold of the curve.

    Attributes:
        threshold: Score from which ground is a target.
        recall: Share of the diseased area, as far as it was examined, that is sprayed; 0 to 1.
        saved: Share of the broadcast area that is not sprayed, 0 to 1.
        treated_ha: Hectares of the field sprayed.
        recall_low: 95 % interval over spatial blocks; None without truth or with too few diseased blocks.
        recall_high: Likewise.
        saved_low: Likewise.
        saved_high: Likewise.
    """

    threshold: float
    recall: float
    saved: float
    treated_ha: float
    recall_low: float | None = None
    recall_high: float | None = None
    saved_low: float | None = None
    saved_high: float | None = None


@dataclass(frozen=True)
class SavingsCurve:
    """What a machine saves at which recall, on one field.

    Attributes:
        machine: Its name.
        basis: ``measured`` against truth, or ``expected`` from the probabilities alone.
        points: By falling threshold.
        ceiling: Share saved by this machine with a perfect map of all of the field, at a recall of 1; below that recall
            the curve may lie above it. None without truth.
        operating: The point of the highest threshold that reaches the recall target; None where none does.
        assured: The same by the lower end of the interval; None where none does, or without truth.
        recall_target: Diseased-area recall asked for.
        diseased_ha: Diseased hectares, or their expectation, as far as examined.
        not_examined_ha: Field that was not looked at; how it is treated is in the curve.
        blocks: Spatial blocks with disease, the number of independent pieces of evidence.
        block_m: Side of a block in metres; it must exceed the patches' size for the intervals to hold.
        synthetic: True for simulated fields; it goes with every number.
        remarks: Sentences for the person.
    """

    machine: str
    basis: Literal["measured", "expected"]
    points: tuple[Point, ...] = field(repr=False)
    ceiling: float | None
    operating: Point | None
    assured: Point | None
    recall_target: float
    diseased_ha: float
    not_examined_ha: float
    blocks: int
    block_m: float
    synthetic: bool
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Ground:
    """Hectares of every cell, and the spatial block it lies in."""

    disease: NDArray[np.float64]
    payable: NDArray[np.float64]
    block: NDArray[np.int64]


def savings_curve(
    grid: SwathGrid,
    score: Fine,
    examined: Mask,
    *,
    truth: Fine | None = None,
    expected: Fine | None = None,
    no_spray: Sequence[Geometry] = (),
    unexamined: Unexamined = "spray",
    recall_target: float = 0.95,
    thresholds: Sequence[float] | None = None,
    block_m: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    synthetic: bool = False,
) -> SavingsCurve:
    """Trace what this machine saves against the diseased-area recall.

    Args:
        grid: The machine's grid over the field.
        score: ``(rows, columns)`` float32: what thresholds act on, best the highest probability within a fine pixel.
        examined: ``(rows, columns)`` bool.
        truth: ``(rows, columns)`` float32: truly diseased fraction of each fine pixel; None where it is not known.
        expected: The fraction as the model expects it, best the mean probability; used without truth, None takes score.
        no_spray: Shapes that must not be sprayed, in the grid's CRS.
        unexamined: Whether field that was not looked at is sprayed.
        recall_target: Diseased-area recall to reach, above 0 and up to 1.
        thresholds: Thresholds to look at, e.g. the one that another field chose; None takes up to 100 of this field's.
        block_m: Side of the blocks that are resampled, in metres; None takes thrice the range of the disease's spatial
            correlation, at least 20 m. Smaller blocks depend on each other, and their intervals are too narrow.
        resamples: Bootstrap resamples of the blocks.
        seed: Of the resampling.
        synthetic: Whether the field is simulated.

    Raises:
        DataError: The rasters do not fit the grid, or nothing of the field is diseased.
    """
    _check(grid, score, examined, truth, expected, recall_target)
    blocked, unknown = grid.any_in_cell(covered(grid, no_spray)), grid.inside & ~examined
    disease = _disease(grid, examined, truth if truth is not None else score if expected is None else expected)
    side_m = block_bootstrap.block_side(grid, disease, examined) if block_m is None else block_m
    sprayable = grid.hectares_in_cell(grid.inside & ~grid.fine(blocked))
    ground = _Ground(grid.hectares_in_cell(disease), sprayable, block_bootstrap.numbers(grid, side_m))
    own = thresholds is None
    levels, on = _switched(grid, score, examined, blocked, unexamined, thresholds)
    points, blocks = _points(levels, on, ground, truth is not None, resamples, seed)
    perfect = None if truth is None else _perfect(grid, truth, blocked, ground)
    return SavingsCurve(
        grid.machine.name,
        "expected" if truth is None else "measured",
        points,
        perfect,
        next((p for p in points if p.recall >= recall_target), None),
        next((p for p in points if p.recall_low is not None and p.recall_low >= recall_target), None),
        recall_target,
        float(ground.disease.sum()),
        grid.hectares(unknown),
        blocks,
        side_m,
        synthetic,
        _remarks(truth is not None, own, synthetic, blocks, grid.hectares(unknown), unexamined),
    )


def _disease(grid: SwathGrid, examined: Mask, fraction: Fine) -> NDArray[np.floating[Any]]:
    """Diseased fraction of each fine pixel of the examined field."""
    disease = np.where(grid.inside & examined, np.nan_to_num(fraction), 0.0)
    if not disease.any():
        raise DataError("savings curve: nothing of the examined field is diseased, so that recall has no meaning there")
    return disease


def _switched(
    grid: SwathGrid, score: Fine, examined: Mask, blocked: Mask, unexamined: Unexamined,
    thresholds: Sequence[float] | None,
) -> tuple[NDArray[np.float32], list[Mask]]:  # fmt: skip
    """Falling thresholds, and which cells each of them switches on."""
    unknown = (grid.inside & ~examined).astype(np.float32)
    forced = cell_scores(grid, unknown) > 0 if unexamined == "spray" else np.zeros(grid.cells, bool)
    scores = cell_scores(grid, np.where(examined, score, np.nan).astype(np.float32))
    own = scores[grid.any_in_cell(grid.inside) & ~blocked]
    levels = _levels(own) if thresholds is None else _falling(thresholds)
    return levels, [switch(grid, (scores >= level) | forced, blocked) for level in levels]


def _check(
    grid: SwathGrid, score: Fine, examined: Mask, truth: Fine | None, expected: Fine | None, recall_target: float
) -> None:
    for name, raster in (("score", score), ("examined", examined), ("truth", truth), ("expected", expected)):
        if raster is not None and raster.shape != grid.inside.shape:
            raise DataError(f"savings curve: {name} has {raster.shape}, the grid {grid.inside.shape}; bring it onto it")
    if not 0 < recall_target <= 1:
        raise DataError(f"savings curve: recall target is {recall_target}; allowed is above 0 and up to 1")


def _falling(thresholds: Sequence[float]) -> NDArray[np.float32]:
    if not thresholds:
        raise DataError("savings curve: thresholds is empty; give at least one, or None for the field's own")
    return np.unique(np.asarray(thresholds, np.float32))[::-1]


def _levels(scores: Fine) -> NDArray[np.float32]:
    """Falling thresholds at even steps of the treated share; scores of cells are all that thresholds can tell apart."""
    asked = scores[scores >= 0]
    if not len(asked):
        return np.array([np.inf], np.float32)
    levels = np.quantile(asked, np.linspace(0, 1, THRESHOLDS), method="nearest")
    return np.unique(levels)[::-1].astype(np.float32)


def _perfect(grid: SwathGrid, truth: Fine, blocked: Mask, ground: _Ground) -> float:
    """Share saved with every diseased place known and everything examined."""
    cells = switch(grid, cell_scores(grid, truth) > 0, blocked)
    return 1.0 - float(ground.payable[cells].sum() / ground.payable.sum())


def _points(
    thresholds: NDArray[np.float32], on: list[Mask], ground: _Ground, measured: bool, resamples: int, seed: int
) -> tuple[tuple[Point, ...], int]:
    """The curve's points, and how many blocks have disease."""
    count = int(ground.block.max()) + 1
    flat = ground.block.ravel()

    def per_block(hectares: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(flat, hectares.ravel(), minlength=count).astype(np.float64)

    disease, payable = per_block(ground.disease), per_block(ground.payable)
    used = (payable > 0) | (disease > 0)
    diseased = int((disease > 0).sum())
    weights = (
        block_bootstrap.weights(int(used.sum()), resamples, seed) if measured and diseased >= FEWEST_BLOCKS else None
    )
    points = []
    for threshold, cells in zip(thresholds, on, strict=True):
        hit, paid = per_block(ground.disease * cells), per_block(ground.payable * cells)
        recall, treated = hit.sum() / disease.sum(), float(paid.sum())
        saved = 1.0 - treated / payable.sum()
        if weights is None:
            points.append(Point(float(threshold), float(recall), float(saved), treated))
            continue
        low, high = block_bootstrap.interval(weights, hit[used], disease[used], diseased)
        if hit.sum() >= disease.sum() * (1 - 1e-12):
            # Resampling cannot show a miss that no block has: the exact bound for zero of n.
            low, high = block_bootstrap.TAIL ** (1 / diseased), 1.0
        paid_low, paid_high = block_bootstrap.interval(weights, paid[used], payable[used], int(used.sum()))
        points.append(
            Point(float(threshold), float(recall), float(saved), treated, low, high, 1 - paid_high, 1 - paid_low)
        )
    return tuple(points), diseased


def _remarks(
    measured: bool, own: bool, synthetic: bool, blocks: int, not_examined_ha: float, unexamined: Unexamined
) -> tuple[str, ...]:
    said = []
    if synthetic:
        said.append("synthetic: measured on a simulated field, no figure of a real one")
    if not measured:
        said.append("expected from the model's own probabilities, without truth; as good as their calibration")
    elif own:
        said.append("the threshold was read off this very field; on another field its recall will differ")
    if measured and blocks < FEWEST_BLOCKS:
        said.append(f"{blocks} blocks have disease, no interval is given below {FEWEST_BLOCKS}")
    elif measured and blocks < ENOUGH_BLOCKS:
        said.append(f"the intervals rest on {blocks} blocks with disease and are too narrow below {ENOUGH_BLOCKS}")
    if not_examined_ha > 0:
        done = "sprayed" if unexamined == "spray" else "left unsprayed"
        said.append(f"{not_examined_ha:.3f} ha were NOT EXAMINED: {done}, and in no recall")
    return tuple(said)
