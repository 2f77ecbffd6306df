import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from shared.training import head, heads, judge, search
from shared.training.heads import Choice
from shared.training.judge import Config, Judge, Source

WIDTHS = (10, 10, 20)
DEFAULT = Config("plain", Choice("ridge", 1.0))


def data(n: int = 240, seed: int = 0, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The labels show in the last stage; the second stage is loud chance. Three images per component."""
    rng = np.random.default_rng(seed)
    components = np.arange(n) // 3
    labels = np.random.default_rng(7).integers(0, 3, n)[components]
    x = rng.normal(size=(n, 40))
    x[:, 20:] += signal * np.random.default_rng(99).normal(size=(3, 20))[labels]
    return x, labels, components


def run(sources: dict[str, Source], labels: np.ndarray, components: np.ndarray, **changed: object) -> search.Found:
    options = {"default": DEFAULT, "until": time.monotonic() + 300, "trials": 25, "count": 4, "seed": 0}
    return search.search(sources, labels, components, 3, **{**options, "say": lambda _: None, **changed})  # type: ignore[arg-type]


def test_held_out_scores_are_those_of_a_head_that_was_fitted_without_the_fold() -> None:
    x, y, c = data(120)
    judged = Judge({"plain": Source(x, WIDTHS)}, y, c, 3, count=4, seed=0)
    for choice in (Choice("ridge", 3.0), Choice("lda", 0.2, (1, 2), 8), Choice("logistic", 1.0, (2,), 8, 0.5)):
        fold = judged.fold(5)
        for f in judged.usable(5):
            expected = heads.fit(x[fold != f], y[fold != f], 3, choice, WIDTHS).scores(x[fold == f])
            assert np.allclose(judged.outside_scores(Config("plain", choice), 5, f), expected, atol=1e-3)


def test_a_better_source_is_found_and_its_head_is_fitted_on_all_images() -> None:
    x, y, c = data(signal=0.2)
    better = data(signal=1.0, seed=3)[0]
    found = run({"plain": Source(x, WIDTHS), "sharp": Source(better, WIDTHS)}, y, c)
    assert found.config.source == "sharp" and found.score > found.default_score + 0.1
    again = heads.fit(better, y, 3, found.config.choice, WIDTHS)
    assert np.allclose(found.head.weights, again.weights) and found.head.temperature != 1.0
    new, truth, _ = data(300, seed=11)
    assert head.balanced_accuracy(found.head.scores(new).argmax(1), truth) > 0.8


def test_labels_by_chance_are_not_sold_as_a_gain() -> None:
    """The greatest of many noisy scores is high; what is reported comes from folds that did not choose."""
    scores, proposed = [], 0
    for seed in range(4):
        x, _, c = data(seed=seed)
        y = np.random.default_rng(seed).integers(0, 3, len(x))
        found = run({"plain": Source(x, WIDTHS)}, y, c, seed=seed, trials=20)
        scores.append(found.score)
        proposed += found.config != DEFAULT
    assert np.mean(scores) < 0.45 and proposed <= 1


def test_where_nothing_is_better_the_default_stays() -> None:
    x, y, c = data(signal=6.0)  # the default already knows everything
    found = run({"plain": Source(x, WIDTHS)}, y, c)
    assert found.config == DEFAULT and found.score == found.default_score == 1.0
    (expected,) = head.ridge(x, y, 3, [1.0])
    assert np.allclose(found.head.weights, expected.weights, atol=1e-8)


def test_the_lead_counts_components_and_not_images() -> None:
    x, y, _ = data(240)
    right, wrong = np.eye(3)[y], np.eye(3)[(y + 1) % 3]
    other = np.where((np.arange(240) < 24)[:, None], wrong, right)
    errors = []
    for components in (np.arange(240), np.arange(240) // 3):
        judged = Judge({"plain": Source(x, WIDTHS)}, y, components, 3, count=4, seed=0)
        lead, error = judged.lead(right[None], other[None])
        weights = head.class_weights(y, 3)
        assert lead == pytest.approx(weights[:24].sum())
        errors.append(error)
    assert errors[1] == pytest.approx(np.sqrt(3) * errors[0])


def test_no_time_gives_the_default() -> None:
    x, y, c = data()
    found = run({"plain": Source(x, WIDTHS)}, y, c, until=time.monotonic() - 1)
    assert found.config == DEFAULT and not found.tried


def test_the_same_seed_finds_the_same() -> None:
    x, y, c = data(120)
    one, other = (run({"plain": Source(x, WIDTHS)}, y, c, trials=15) for _ in range(2))
    assert one.tried == other.tried and one.config == other.config
    assert np.array_equal(one.head.weights, other.head.weights)


def test_losers_are_stopped_after_few_folds() -> None:
    x, y, c = data()
    found = run({"plain": Source(x, WIDTHS)}, y, c, trials=40)
    folds = [t["folds"] for t in found.tried]
    assert min(folds) < 4 and max(folds) == 4
    stopped = np.mean([t["score"] for t in found.tried if t["folds"] < 4])
    assert stopped < np.mean([t["score"] for t in found.tried if t["folds"] == 4])


def test_what_was_tried_says_everything_that_is_needed_to_repeat_it() -> None:
    x, y, c = data(120)
    found = run({"plain": Source(x, WIDTHS)}, y, c, trials=5)
    for t in found.tried:
        choice = Choice(**{k: v for k, v in t.items() if k not in ("source", "score", "folds")})
        assert {**asdict(choice), "source": "plain"}.items() <= t.items()


def test_sources_may_have_different_stages() -> None:
    x, y, c = data(120)
    found = run({"plain": Source(x, WIDTHS), "short": Source(x[:, :15], (5, 10))}, y, c, trials=15)
    assert {t["source"] for t in found.tried} == {"plain", "short"}


def test_many_images_are_searched_on_in_part_and_learnt_from_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "LARGE", 60)
    x, y, c = data(240)
    found = run({"plain": Source(x, WIDTHS)}, y, c, trials=5)
    searched = ~np.isnan(found.held_out_scores[:, 0])
    assert 45 <= searched.sum() <= 75 and not set(c[searched]) & set(c[~searched])
    everything = heads.fit(x, y, 3, found.config.choice, WIDTHS)
    assert np.allclose(replace(found.head, temperature=1.0).scores(x), everything.scores(x))


def test_too_few_groups_for_a_single_fold_give_the_default() -> None:
    x, y, _ = data(60)
    found = run({"plain": Source(x, WIDTHS)}, y, np.zeros(60, int), trials=3)
    assert found.config == DEFAULT and np.isfinite(found.head.temperature)


def test_the_result_is_told_in_one_sentence() -> None:
    said: list[str] = []
    x, y, c = data(120)
    run({"plain": Source(x, WIDTHS)}, y, c, trials=5, say=said.append)
    assert len(said) == 1 and said[0].startswith("search: 5 heads in ") and "fresh folds" in said[0]
