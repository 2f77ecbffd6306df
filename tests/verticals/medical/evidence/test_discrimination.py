"""Every metric against somebody else's implementation of it, within 1e-6."""

import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from numpy.typing import NDArray

from verticals.medical.evidence import discrimination as d
from verticals.medical.evidence.resampling import patient_weights, percentiles, resampled

PROC_SETS = ((3, 400, 0.15, None), (4, 400, 0.15, 0.1), (5, 90, 0.5, 0.25), (6, 1000, 0.02, None))
"""Seed, cases, share of positives and step of the scores of each set that R's pROC judges."""
Truth = NDArray[np.bool_]
Scores = NDArray[np.float64]


def drawn(seed: int, n: int = 400, share: float = 0.15, step: float | None = None) -> tuple[Truth, Scores]:
    """Cases with overlapping scores; with ``step`` many of them tie."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    truth[:2] = True, False
    scores = 1 / (1 + np.exp(-rng.normal(np.where(truth, 0.8, -1.0), 1.0)))
    return truth, scores if step is None else np.round(scores / step) * step


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [None, 0.1])
def test_the_auc_is_that_of_sklearn_also_with_ties(seed: int, step: float | None) -> None:
    truth, scores = drawn(seed, step=step)
    assert d.auc(truth, scores).value == pytest.approx(sk.roc_auc_score(truth, scores), abs=1e-12)


@pytest.mark.parametrize("step", [None, 0.1])
def test_its_interval_is_delongs_as_written_down_in_1988(step: float | None) -> None:
    truth, scores = drawn(7, n=150, step=step)
    x, y = scores[truth], scores[~truth]
    psi = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    area = psi.mean()
    variance = psi.mean(1).var(ddof=1) / len(x) + psi.mean(0).var(ddof=1) / len(y)
    found = d.auc(truth, scores)
    assert found.value == pytest.approx(area, abs=1e-12)
    assert found.low == pytest.approx(area - 1.959963984540054 * math.sqrt(variance), abs=1e-9)
    assert found.high == pytest.approx(min(1.0, area + 1.959963984540054 * math.sqrt(variance)), abs=1e-9)


PROC = """
suppressMessages(library(pROC))
table <- read.csv(commandArgs(TRUE)[1])
for (k in unique(table$set)) {
  own <- table[table$set == k, ]
  curve <- roc(own$truth, own$score, direction = "<", levels = c(0, 1), quiet = TRUE)
  part <- auc(curve, partial.auc = c(1, 0.8), partial.auc.focus = "sensitivity")
  cat(sprintf("%.12f", c(ci.auc(curve, method = "delong"), part)), "\\n")
}
"""


def test_area_interval_and_partial_area_are_those_of_proc_also_with_ties(tmp_path: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("Rscript is not installed")
    sets = [drawn(seed, n, share, step) for seed, n, share, step in PROC_SETS]
    rows = [(k, int(t), float(s)) for k, one in enumerate(sets) for t, s in zip(*one, strict=True)]
    pd.DataFrame(rows, columns=["set", "truth", "score"]).to_csv(tmp_path / "scores.csv", index=False)
    (tmp_path / "areas.R").write_text(PROC)
    line = ["Rscript", str(tmp_path / "areas.R"), str(tmp_path / "scores.csv")]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode and "pROC" in done.stderr:
        pytest.skip("R's pROC is not installed")
    assert done.returncode == 0, done.stderr
    theirs = [[float(word) for word in answer.split()] for answer in done.stdout.strip().splitlines()]
    assert len(theirs) == len(sets)
    for (truth, scores), expected in zip(sets, theirs, strict=True):
        found = d.auc(truth, scores)
        ours = [found.low, found.value, found.high, d.partial_auc(truth, scores)]
        assert ours == pytest.approx(expected, abs=1e-6)


def test_pictures_of_one_patient_widen_the_interval_and_copies_change_nothing() -> None:
    truth, scores = drawn(5, n=80)
    one = d.auc(truth, scores)
    copied = d.auc(np.repeat(truth, 5), np.repeat(scores, 5), [str(i) for i in range(80) for _ in range(5)])
    naive = d.auc(np.repeat(truth, 5), np.repeat(scores, 5))
    assert copied.value == pytest.approx(one.value)
    assert copied.low == pytest.approx(one.low, abs=1e-9) and copied.high == pytest.approx(one.high, abs=1e-9)
    assert naive.high - naive.low < 0.6 * (one.high - one.low)


def test_a_faultless_auc_of_few_patients_is_not_called_certain() -> None:
    truth = np.array([True] * 5 + [False] * 40)
    found = d.auc(truth, truth.astype(float))
    assert found.value == 1.0 and found.low == pytest.approx(0.025 ** (1 / 5)) and found.high == 1.0
    worst = d.auc(~truth, truth.astype(float))
    assert worst.value == 0.0 and worst.high == pytest.approx(1 - 0.025 ** (1 / 5))
    alone = d.auc(truth, truth.astype(float), ["a"] * 5 + [f"b{i}" for i in range(40)])
    assert (alone.low, alone.high) == (0.0, 1.0)
    assert d.auc(truth[:5], np.ones(5)).value is None


def test_the_interval_of_the_auc_covers_as_often_as_it_says() -> None:
    """Scores whose true AUC is known: Phi(1 / sqrt 2) for normals one deviation apart."""
    rng, truth, hits = np.random.default_rng(0), np.array([True] * 40 + [False] * 60), 0
    for _ in range(400):
        found = d.auc(truth, rng.normal(truth, 1.0))
        hits += found.low <= 0.7602499389 <= found.high
    assert 0.92 <= hits / 400 <= 0.98


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [None, 0.05, 0.5])
def test_the_partial_auc_is_that_of_isic_2024(seed: int, step: float | None) -> None:
    """The published formula: McClish's correction of sklearn taken back, classes and scores turned round."""
    truth, scores = drawn(seed, step=step)
    if np.all(scores == scores[0]):
        pytest.skip("nothing to rank")
    corrected = sk.roc_auc_score(~truth, -scores, max_fpr=0.2)
    published = 0.5 * 0.2**2 + (0.2 - 0.5 * 0.2**2) / 0.5 * (corrected - 0.5)
    assert d.partial_auc(truth, scores) == pytest.approx(published, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_partial_auc_agrees_with_the_scoring_of_the_earlier_isic_challenges(seed: int) -> None:
    """They add the whole area under the curve right of the crossing, not only what lies above 80 %."""
    oracle = pytest.importorskip("isic_challenge_scoring.metrics")
    truth, scores = drawn(seed)
    ones = pd.Series(np.ones(len(truth)))
    theirs = oracle.auc_above_sensitivity(pd.Series(truth.astype(float)), pd.Series(scores), ones, 0.8)
    false, hits, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    after = int(np.searchsorted(hits, 0.8))
    crossing = np.interp(0.8, hits[after - 1 : after + 1], false[after - 1 : after + 1])
    assert d.partial_auc(truth, scores) == pytest.approx(theirs - 0.8 * (1 - crossing), abs=1e-9)


def test_the_partial_auc_has_its_ends() -> None:
    truth = np.array([True, False] * 50)
    assert d.partial_auc(truth, truth.astype(float)) == pytest.approx(0.2)
    assert d.partial_auc(truth, np.zeros(100)) == pytest.approx(0.02)
    assert d.partial_auc(truth, -truth.astype(float)) == pytest.approx(0.0)
    assert math.isnan(d.partial_auc(np.ones(4, bool), np.arange(4.0)))


@pytest.mark.parametrize("step", [None, 0.1])
@pytest.mark.parametrize("share", [0.8, 0.9, 0.95, 1.0])
def test_the_thresholds_reach_what_sklearn_says_can_be_reached(share: float, step: float | None) -> None:
    truth, scores = drawn(11, step=step)
    false, hits, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    at = d.threshold_at_specificity(truth, scores, share)
    assert (scores[truth] >= at).mean() == pytest.approx(hits[false <= 1 - share + 1e-12].max(), abs=1e-12)
    assert (scores[~truth] < at).mean() >= share - 1e-12
    at = d.threshold_at_sensitivity(truth, scores, share)
    assert (scores[~truth] >= at).mean() == pytest.approx(false[hits >= share - 1e-12].min(), abs=1e-12)
    assert (scores[truth] >= at).mean() >= share - 1e-12


def test_a_threshold_is_measured_with_intervals_that_count_patients() -> None:
    truth, scores = drawn(2)
    found = d.at_threshold(truth, scores, [f"p{i // 2}" for i in range(400)], 0.5)
    hits = int(((scores >= 0.5) & truth).sum())
    assert found["sensitivity"]["value"] == pytest.approx(sk.recall_score(truth, scores >= 0.5))
    assert found["specificity"]["value"] == pytest.approx(sk.recall_score(~truth, scores < 0.5))
    assert found["sensitivity"]["n"] == truth.sum() and hits


@pytest.mark.parametrize("k", [1, 3])
def test_top_k_is_that_of_sklearn_and_ties_count_against_the_model(k: int) -> None:
    rng = np.random.default_rng(k)
    probabilities = rng.dirichlet(np.ones(7) * 0.5, 300)
    labels = np.array([rng.choice(7, p=p) for p in probabilities])
    found = d.top_k(probabilities, labels, k, [""] * 300)
    assert found.value == pytest.approx(sk.top_k_accuracy_score(labels, probabilities, k=k, labels=range(7)), abs=1e-12)
    assert d.top_k(np.full((4, 5), 0.2), np.arange(4), k, [""] * 4).value == 0.0


def test_the_brier_score_of_the_risk_is_that_of_sklearn() -> None:
    truth, scores = drawn(4)
    assert d.risk_brier(truth, scores) == pytest.approx(sk.brier_score_loss(truth, scores), abs=1e-12)


def test_the_calibration_error_is_that_of_fifteen_equal_bins() -> None:
    from sklearn.calibration import calibration_curve

    truth, scores = drawn(4, n=450)
    observed, stated = calibration_curve(truth, scores, n_bins=15, strategy="quantile")
    # 450 different scores fill 15 quantile bins with 30 each, but for the few that lie on an edge.
    assert d.risk_calibration_error(truth, scores) == pytest.approx(np.abs(observed - stated).mean(), abs=5e-3)
    order = np.argsort(scores)
    by_hand = [abs(scores[b].mean() - truth[b].mean()) for b in order.reshape(15, 30)]
    assert d.risk_calibration_error(truth, scores) == pytest.approx(np.mean(by_hand), abs=1e-12)


def test_the_bootstrap_draws_patients_and_not_pictures() -> None:
    patients = ["a"] * 3 + ["b"] * 2 + ["", ""]
    for weights in patient_weights(patients, resamples=50):
        assert len(set(weights[:3])) == len(set(weights[3:5])) == 1
        assert weights[0] + weights[3] + weights[5] + weights[6] == 4
    assert percentiles([math.nan] * 9 + [1.0]) is None and list(patient_weights([])) == []


def test_copies_of_a_patient_do_not_narrow_the_bootstrap() -> None:
    truth, scores = drawn(6, n=120)
    one = resampled(lambda rows: d.risk_brier(truth[rows], scores[rows]), [str(i) for i in range(120)])
    four = np.repeat(truth, 4), np.repeat(scores, 4)
    copied = resampled(lambda rows: d.risk_brier(four[0][rows], four[1][rows]), [str(i // 4) for i in range(480)])
    assert copied.high - copied.low == pytest.approx(one.high - one.low, rel=0.15)


def test_the_interval_of_a_calibration_error_holds_it() -> None:
    """Percentiles of draws begin next to it: fewer different cases are noisier bins."""
    rng = np.random.default_rng(1)
    risk = rng.random(211)
    truth = rng.random(211) < risk
    names = [str(i) for i in range(211)]

    def error(rows: NDArray[np.int64]) -> float:
        return d.risk_calibration_error(truth[rows], risk[rows])

    plain, centred = resampled(error, names), resampled(error, names, centred=True)
    assert plain.value == centred.value and plain.low > 0.9 * (plain.value or 0)
    assert 0 <= centred.low < 0.6 * (centred.value or 0) < (centred.value or 0) < centred.high
