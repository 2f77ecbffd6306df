"""The facts of a build as they lie in ``bundle.json`` and on the card and the page."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from shared.building import adopt, measure
from shared.building.adopt import Trial
from shared.building.candidates import Candidate
from shared.building.work import Work, parts
from shared.data.manifest import Row
from shared.errors import Problem
from shared.inference import novelty
from shared.reporting import leaks
from shared.reporting.diagnosis import interval
from shared.training import learning_curve, out_of_fold
from shared.training.out_of_fold import Labelled

MOST_PRICED = 20_000
"""Images up to which the random split is priced: two heads per fold on more of them would cost minutes."""


def facts(
    work: Work,
    trials: Sequence[Trial],
    rows: Sequence[Row],
    problems: Sequence[Problem],
    novel: novelty.Novelty,
    *,
    earlier: int = 0,
) -> dict[str, Any]:
    """All that is known about the best model so far, times and hashes excepted.

    Args:
        work: The build.
        trials: What was tried, the closed-form head first.
        rows: The usable rows.
        problems: What could not be decoded.
        novel: The novelty statistics.
        earlier: Models among which the same validation images had chosen before.
    """
    best, closed, count = adopt.best(trials), adopt.best(trials[:1]), adopt.compared(trials) + earlier
    own = parts(work, rows, best.known)
    certificate = measure.certificate(work, best, own, count)
    return {
        **work.facts,
        "labels": list(work.labels),
        "ok_label": work.ok_label or "",
        "unsought": list(work.unsought),
        "backbone": {**best.extractor.origin, "image_size": best.image_size, "features": len(best.head.mean)},
        "chosen": {
            "name": best.name,
            "head": best.about,
            "balanced_accuracy_over_folds": best.inner,
            "over_closed_form": measure.over_closed_form(
                work, closed, best, parts(work, rows, closed.known)["test"], own["test"]
            ),
            **{k: v for k, v in best.details.items() if k in ("strength", "tried")},
        },
        "tried": [trial.facts() for trial in trials],
        "candidates": count,
        "temperature": best.head.temperature,
        "certificate": None if certificate is None else {**asdict(certificate), "sentence": str(certificate)},
        "conformal": measure.prediction_sets(work, best, own, count),
        "novelty": measure.novelty_limit(work, best, novel, own),
        "used_images": len(rows),
        "left_out": [*work.facts["left_out"], *map(str, problems)],
        **{s: measure.measured(work, best, own[s]) for s in ("validation", "test")},
        "budget_seconds": work.deadline.budget,
        "recipe": asdict(work.recipe),
        "made": {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "with": {name: version(name) for name in ("loupe-vision", "numpy", "onnxruntime")},
        },
    }


def more_labels(work: Work, closed: Candidate, rows: Sequence[Row]) -> dict[str, Any]:
    """What 50 more labels would probably bring; empty where it cannot be said."""
    train = parts(work, rows, closed.known)["train"]
    more = learning_curve.more_labels(
        train.x,
        train.y,
        train.components,
        len(work.labels),
        strength=closed.details["strength"],
        seed=work.recipe.seed,
    )
    if more is None:
        return {}
    points = [{"n": n, "balanced_accuracy": 1 - e} for n, e in zip(more.sizes, more.errors, strict=True)]
    return {"learning_curve": {"points": points, "sentence": str(more)}}


def random_split(work: Work, closed: Candidate, rows: Sequence[Row]) -> dict[str, Any]:
    """What a split by image would have promised, beside what holds for images without siblings in training.

    Both figures are of the closed-form head over folds of all images, so that they differ in nothing but the division.
    Empty for more than :data:`MOST_PRICED` images.
    """
    used = [row for row in rows if row.sample.id in closed.known]
    if len(used) > MOST_PRICED:
        return {}
    components = np.array([work.components[row.sample.id] for row in used], np.int64)
    if len(np.unique(components)) == len(used):
        return {
            "random_split": {"sentence": "no image has a sibling or a copy: split by image or by group is the same"}
        }
    data = Labelled(
        np.stack([closed.known[row.sample.id] for row in used]).astype(np.float64),
        np.array([work.labels.index(row.label) for row in used], np.int64),
        len(work.labels),
        work.recipe.lambdas,
        work.recipe.folds,
    )
    alone, seed = np.arange(len(used)), work.recipe.seed
    leaky, apart = (out_of_fold.probabilities(data, c, seed).argmax(1) for c in (alone, components))
    found = leaks.price(data.labels, work.labels, [str(c) for c in components.tolist()], [leaky], [apart])
    sentence = (
        f"a random split by image would promise {interval(found['leaky'])} balanced accuracy where "
        f"{interval(found['clean'])} hold for images without siblings in training: {found['points']:+.1f} points "
        f"[{found['low']:+.1f} .. {found['high']:+.1f}] (closed-form head over {work.recipe.folds} folds of all images)"
    )
    return {"random_split": {**found, "sentence": sentence}}


def more_time(trials: Sequence[Trial]) -> dict[str, Any]:
    """What one more minute of fine-tuning would probably bring; empty where it cannot be said."""
    evaluations = [e for trial in trials for e in trial.details.get("evaluations", ()) if "seconds_left" in e]
    found = learning_curve.extra_minute([{**e, "seconds": -e["seconds_left"]} for e in evaluations])
    return {} if found is None else {"extra_minute": {"sentence": str(found)}}
