"""The search over heads on features that are at hand: hundreds of trials in seconds, judged on training images alone.

Every trial is judged on folds of the training images; the best are then judged once more beside the default on folds
that the search has not used, and only a winner of that second comparison is proposed. The validation images stay
unseen, so that whoever adopts the proposal can still test it on them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import require
from shared.export.graph import Head
from shared.inference import calibration
from shared.training import heads
from shared.training.head import class_weights
from shared.training.heads import Choice
from shared.training.judge import Config, Judge, Source

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

FINALISTS = 4
FRESH = 2
"""Times that the finalists are judged on fresh folds."""
MARGIN = 2.0
"""Standard errors by which the best finalist must lead on the fresh folds. Fresh folds forget which fold chose, not
which images did: over three outer folds of HAM10000 finalists led by 1.8 points on fresh folds and lost 0.6 on images
that nobody had seen."""
SEARCH_SHARE = 0.6
"""Share of the time for the trials; the rest is for the fresh folds and the last fit."""
_DIMS = (0, 32, 64, 128, 256)
_STRENGTHS = {"ridge": (1e-2, 1e2), "logistic": (1e-3, 1e1), "lda": (1e-2, 1.0), "svm": (1e-1, 1e2)}
_HINTS = (Choice("ridge", 1.0), Choice("lda", 0.3))


@dataclass(frozen=True)
class Found:
    """What the search proposes; the default itself where nothing was better.

    Attributes:
        config: The proposed head.
        head: Fitted on all training images, with its temperature.
        score: Its balanced accuracy on fresh folds.
        default_score: The default's on the same folds.
        tried: What was tried, in order: ``source``, the fields of :class:`shared.training.heads.Choice`, ``score`` (the
            objective) and ``folds`` (fewer than asked for where the trial was stopped early).
        seconds: Time that all this took.
        held_out_scores: ``(n, classes)`` scores of the training images by heads that had not seen them, before the
            temperature; NaN for images that were not searched on.
    """

    config: Config
    head: Head
    score: float
    default_score: float
    tried: tuple[dict[str, Any], ...]
    seconds: float
    held_out_scores: Matrix


def search(
    sources: Mapping[str, Source],
    labels: Indices,
    components: Indices,
    classes: int,
    *,
    default: Config,
    until: float,
    trials: int,
    count: int,
    seed: int,
    say: Callable[[str], None],
) -> Found:
    """Look for a linear head that is better than the default, by more than chance.

    Args:
        sources: What there is to choose from; all for the same training images, in the same order.
        labels: ``(n,)`` indices below ``classes``; two or more labels are there.
        components: ``(n,)``; images of one component never help to judge each other.
        classes: Number of labels.
        default: What to beat, and what is returned where nothing does.
        until: ``time.monotonic()`` at which to be done. A search that time ends is not repeatable, one that ``trials``
            ends is.
        trials: Greatest number of trials.
        count: Number of folds.
        seed: For folds and trials.
        say: Told what came out.
    """
    started = time.monotonic()
    judge = Judge(sources, labels, components, classes, count, seed)
    tried = _trials(judge, sources, started + SEARCH_SHARE * (until - started), trials, seed)
    best = sorted((t for t in tried if t.complete), key=lambda t: -t.score)
    finalists = list(dict.fromkeys(t.config for t in best if t.config != default))[:FINALISTS]
    fresh = {default: _fresh(judge, default, seed)}
    for config in finalists:
        if time.monotonic() < until:
            fresh[config] = _fresh(judge, config, seed)
    chosen = _proposed(judge, fresh, default)
    result = Found(
        chosen,
        _final(sources[chosen.source], labels, classes, chosen.choice, fresh[chosen].scores[0]),
        fresh[chosen].accuracy,
        fresh[default].accuracy,
        tuple(
            {"source": t.config.source, **asdict(t.config.choice), "score": t.score, "folds": t.folds} for t in tried
        ),
        time.monotonic() - started,
        fresh[chosen].scores[0],
    )
    say(_told(result, default))
    return result


def _told(found: Found, default: Config) -> str:
    spent = f"search: {len(found.tried)} heads in {found.seconds:.0f} s"
    if found.config == default:
        return f"{spent}, none surely better than the default ({found.default_score:.1%} over fresh folds)"
    return f"{spent}; {found.config}: {found.score:.1%} over fresh folds, the default {found.default_score:.1%}"


@dataclass(frozen=True)
class _Tried:
    config: Config
    score: float
    folds: int
    complete: bool


def _trials(judge: Judge, sources: Mapping[str, Source], until: float, trials: int, seed: int) -> list[_Tried]:
    optuna: Any = require("optuna", extra="train")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=20),
        pruner=optuna.pruners.PercentilePruner(50.0, n_startup_trials=8),
    )
    for name, source in sources.items():
        for hint in _HINTS:
            study.enqueue_trial(_parameters(name, len(source.widths), hint))
    tried: list[_Tried] = []
    while len(tried) < trials and time.monotonic() < until:
        trial = study.ask()
        done = _one(judge, trial, _suggested(trial, sources), seed)
        state = optuna.trial.TrialState.COMPLETE if done.complete else optuna.trial.TrialState.PRUNED
        study.tell(trial, done.score if done.complete else None, state=state)
        tried.append(done)
    return tried


def _one(judge: Judge, trial: Any, config: Config, seed: int) -> _Tried:
    """Judge fold by fold; what falls behind the middle of the earlier trials is stopped."""
    scores = np.full((len(judge.labels), judge.classes), np.nan)
    usable = judge.usable(seed)
    score = 0.0
    for i, f in enumerate(usable):
        scores[judge.fold(seed) == f] = judge.outside_scores(config, seed, f)
        score = judge.rate(scores).score
        trial.report(score, i)
        if i + 1 < len(usable) and trial.should_prune():
            return _Tried(config, score, i + 1, complete=False)
    return _Tried(config, score, len(usable), complete=bool(usable))


def _suggested(trial: Any, sources: Mapping[str, Source]) -> Config:
    source = trial.suggest_categorical("source", list(sources))
    runs = _runs(len(sources[source].widths))
    # The choices of a parameter must not change between trials, and sources may differ in their stages.
    stages = runs[trial.suggest_categorical(f"stages of {len(sources[source].widths)}", list(runs))]
    kind = trial.suggest_categorical("kind", list(heads.KINDS))
    strength = trial.suggest_float(f"strength of {kind}", *_STRENGTHS[kind], log=True)
    # Iterating in all directions costs seconds and brought nothing over 256.
    allowed = _DIMS if kind in ("ridge", "lda") else _DIMS[2:]
    dims = trial.suggest_categorical(f"dims of {len(allowed)}", list(allowed))
    prior = trial.suggest_float("prior", 0.0, 1.0, step=0.25)
    return Config(source, Choice(kind, strength, stages, dims, prior))


def _parameters(source: str, stages: int, hint: Choice) -> dict[str, Any]:
    return {
        "source": source,
        f"stages of {stages}": "all",
        "kind": hint.kind,
        f"strength of {hint.kind}": hint.strength,
        f"dims of {len(_DIMS)}": hint.dims,
        "prior": hint.prior,
    }


def _runs(stages: int) -> dict[str, tuple[int, ...]]:
    """All stages, those without the first ones, and the same without the last."""
    found: dict[str, tuple[int, ...]] = {"all": ()}
    for last in (stages, stages - 1):
        for first in range(last):
            if last - first < stages:
                found[f"{first + 1} to {last}"] = tuple(range(first, last))
    return found


@dataclass(frozen=True)
class _Fresh:
    score: float
    accuracy: float
    scores: Matrix  # (times, n, classes)


def _fresh(judge: Judge, config: Config, seed: int) -> _Fresh:
    """Judged on folds that the search has not used."""
    times = [judge.judge(config, seed + repeat) for repeat in range(1, FRESH + 1)]
    score, accuracy = (float(np.mean([getattr(t, name) for t in times])) for name in ("score", "accuracy"))
    return _Fresh(score, accuracy, np.stack([t.scores for t in times]))


def _proposed(judge: Judge, fresh: Mapping[Config, _Fresh], default: Config) -> Config:
    """The best finalist, where its lead is more than chance; else the default."""
    best = max(fresh, key=lambda config: (fresh[config].score, config == default))
    lead, error = judge.lead(fresh[best].scores, fresh[default].scores)
    return best if lead > MARGIN * error else default


def _final(source: Source, labels: Indices, classes: int, choice: Choice, held_out: Matrix) -> Head:
    head = heads.fit(np.asarray(source.features, np.float64), labels, classes, choice, source.widths)
    seen = ~np.isnan(held_out[:, 0])
    weights = class_weights(labels[seen], classes)
    return replace(head, temperature=calibration.fit_temperature(held_out[seen], labels[seen], weights))
