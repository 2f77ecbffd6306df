"""Candidates for the bundle: the closed-form head, a searched head, a fine-tuned backbone, each ready to be judged."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.building.work import Part, Vectors, Work, parts, some_pictures
from shared.data.manifest import Row
from shared.errors import ConfigError, ExportError
from shared.export import graph
from shared.inference import calibration
from shared.recipe import Recipe
from shared.training import features, head

TUNING_SHARE = 5
"""One in so many components of the training images chooses between checkpoints and is not trained on."""
FIRST_SHARE = 0.4
"""Of the time for fine-tuning, for the one that sets images aside; the rest is for learning from all of them."""
TRIALS = 300
_TIMED, _TIMED_SECONDS = 28, 10.0
LARGER = 1.4
"""Side of the larger size that the search looks at, relative to the recipe's."""
FEATURES_SHARE = 0.4
"""Of the search's time, for features at the larger size."""


@dataclass(frozen=True)
class Candidate:
    """A model that could become the bundle.

    Attributes:
        name: What it is called in the report.
        extractor: Backbone as an ONNX graph.
        image_size: Side in pixels to which the graph resizes.
        head: The linear head with its temperature.
        known: Features by image id.
        inner: Balanced accuracy on folds or parts of the training images, 0 to 1.
        about: The head in words.
        details: What else is worth keeping.
        kept: The torch network, where it is not the one that the recipe gives.
    """

    name: str
    extractor: features.Extractor
    image_size: int
    head: graph.Head
    known: Vectors
    inner: float
    about: str
    details: Mapping[str, Any]
    kept: Any = None

    def probabilities(self, part: Part) -> NDArray[np.float64]:
        """Calibrated probabilities ``(n, labels)`` of a part made from this candidate's features."""
        return calibration.softmax(self.head.scores(part.x))


def closed_form(work: Work, extractor: features.Extractor, known: Vectors, rows: Sequence[Row]) -> Candidate:
    """The closed-form head on frozen features: the one that everything later must beat."""
    train = parts(work, rows, known)["train"]
    recipe = work.recipe
    fitted = head.fit(
        train.x,
        train.y,
        train.components,
        len(work.labels),
        strengths=recipe.lambdas,
        count=recipe.folds,
        seed=recipe.seed,
    )
    return Candidate(
        "closed-form head",
        extractor,
        recipe.image_size,
        fitted.head,
        known,
        fitted.tried[fitted.strength],
        "ridge, closed form, labels weighted equally",
        {"strength": fitted.strength, "tried": {str(s): value for s, value in fitted.tried.items()}},
    )


def searched(work: Work, base: Candidate, rows: Sequence[Row], until: float) -> Candidate | str:
    """The best head that a search proposes, on the same features or on those of a larger size; or why none."""
    from shared.training import search
    from shared.training.heads import Choice
    from shared.training.judge import Config, Source

    bases = {f"{base.image_size} px": base}
    if larger := _larger(work, base, rows, until):
        bases[f"{larger.image_size} px"] = larger
    train = parts(work, rows, base.known)["train"]
    default = Config(next(iter(bases)), Choice("ridge", base.details["strength"]))
    found = search.search(
        {name: Source(parts(work, rows, b.known)["train"].x, b.extractor.stages) for name, b in bases.items()},
        train.y,
        train.components,
        len(work.labels),
        default=default,
        until=until,
        trials=TRIALS,
        count=work.recipe.folds,
        seed=work.recipe.seed,
        say=work.say,
    )
    if found.config == default:
        return f"{len(found.tried)} heads were judged inside training, none surely better than the default"
    details = {"trials": len(found.tried), "seconds": found.seconds, "default_score": found.default_score}
    return replace(
        bases[found.config.source],
        name="searched head",
        head=found.head,
        inner=found.score,
        about=str(found.config),
        details=details,
    )


def _larger(work: Work, base: Candidate, rows: Sequence[Row], until: float) -> Candidate | None:
    """The same backbone at a larger size, with features of all rows; None where that takes too long or cannot be."""
    size = 32 * round(LARGER * base.image_size / 32)
    rate = _images_per_second(work, base, rows) * (base.image_size / size) ** 2
    share = FEATURES_SHARE * (until - time.monotonic())
    if len(rows) / rate > share:
        return None
    pictures = some_pictures(work.manifest, [row for row in rows if row.split == "train"])
    try:
        extractor = features.extractor(replace(work.recipe, image_size=size), pictures, work.cache)
    except (ConfigError, ExportError):
        return None
    known, _ = features.extract(
        extractor,
        work.manifest,
        rows,
        cache=work.cache,
        threads=work.recipe.threads,
        until=time.monotonic() + share,
    )
    if any(row.sample.id not in known for row in rows):
        return None
    return replace(base, extractor=extractor, image_size=size, known=known)


def tuned(work: Work, base: Candidate, rows: Sequence[Row], until: float) -> Candidate | str:
    """The fine-tuned backbone with its head, or why there is none.

    Args:
        work: The build.
        base: The closed-form candidate to start from.
        rows: All usable rows.
        until: ``time.monotonic()`` at which features of all rows must be there.
    """
    from shared.training import backbones, finetune, stages, throughput

    train = parts(work, rows, base.known)["train"]
    core = ~judges_checkpoints(train, work.recipe)
    if len(np.unique(train.y[core])) < len(np.unique(train.y)) or core.all():
        return "left out: some label has too few groups to set any aside for judging checkpoints"
    # The head that was fitted on all training images knows the ones that judge here; this one does not.
    start = next(
        head.ridge(train.x[core], train.y[core], len(work.labels), [base.details["strength"]]),
    )
    start = replace(start, temperature=base.head.temperature)
    net, _ = backbones.create(work.recipe)
    rate = _images_per_second(work, base, train.rows)
    last = until - (1.3 * len(rows) / rate + 10.0)
    left = last - time.monotonic()
    # Twice only where the first time leaves enough passes: one whole fine-tuning is better than two that are cut short.
    twice = FIRST_SHARE * left * rate / finetune.TRAINING_COST > throughput.ENOUGH_EPOCHS * len(train.rows)
    job = stages.Job(
        net,
        start,
        base.head,
        tuple((work.manifest.file(row.sample), row.sample.window) for row in train.rows),
        train.y,
        ~core,
        work.recipe,
        last - (1 - FIRST_SHARE) * left if twice else None,
        last,
        checkpoint(work, base),
    )
    made = _learned(job, work)
    if made.facts["chosen"] == "start":
        return f"nothing was better than the start on the part set aside; it ended because {made.facts['why']}"
    return _exported(work, base, made, rows, until)


def judges_checkpoints(train: Part, recipe: Recipe) -> NDArray[np.bool_]:
    """Which training images ``(n,)`` choose between checkpoints, and are not learnt from until that is done."""
    result: NDArray[np.bool_] = head.folds(train.components, train.y, TUNING_SHARE, recipe.seed) == 0
    return result


def checkpoint(work: Work, base: Candidate) -> Path:
    """Folder of a fine-tuning under way.

    Another recipe has another one, so that two builds of the same images do not meet; threads and ranks may change.
    """
    recipe = asdict(replace(work.recipe, threads=0, launch=None))
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return work.cache / "tuning" / f"{base.extractor.key}-{work.manifest.hash[:16]}-{digest[:8]}"


def _learned(job: Any, work: Work) -> Any:
    """The job's outcome, from this process or from as many as the recipe says."""
    from shared.training import stages

    if work.recipe.launch is None:
        return stages.tune(job, say=work.say)
    from shared.training.launch import agent

    return agent.tune(job, work.recipe.launch, say=work.say)


def _exported(work: Work, base: Candidate, made: Any, rows: Sequence[Row], until: float) -> Candidate | str:
    """The tuned network as a graph, and its features of every image: all of them, or it cannot be compared."""
    from shared.export import parity
    from shared.training.kept_backbone import KeptBackbone

    pictures = some_pictures(work.manifest, [row for row in rows if row.split == "train"])
    try:
        model, compared = parity.export(made.net, pictures)
    except ExportError as error:
        return str(error)
    origin = {**base.extractor.origin, "weights": f"{base.extractor.origin['weights']}, fine-tuned"}
    extractor = features.Extractor(model, origin, vars(compared) | {"tried": list(compared.tried)}, "")
    usable = [row for row in rows if row.sample.id in base.known]
    known, _ = features.compute(extractor, work.manifest, usable, threads=work.recipe.threads, until=until)
    if any(row.sample.id not in known for row in usable):  # copies share one id
        return "there was no time left to compare it"
    return Candidate(
        "fine-tuned",
        extractor,
        made.net.image_size,
        made.head,
        known,
        made.facts["score"]["balanced_accuracy"],
        "linear, tuned together with the backbone",
        {**made.facts, "evaluations": made.tried},
        KeptBackbone(made.net, replace(work.recipe, image_size=made.net.image_size)),
    )


def _images_per_second(work: Work, base: Candidate, rows: Sequence[Row]) -> float:
    """How fast features are computed right now: what some images take longer than a few, without the start."""
    took = []
    for few in (rows[:4], rows[:_TIMED]):
        started = time.monotonic()
        known, _ = features.compute(
            base.extractor, work.manifest, few, threads=work.recipe.threads, until=started + _TIMED_SECONDS
        )
        took.append((len(known), time.monotonic() - started))
    (less, short), (more, long) = took
    return max(more - less, 1) / max(long - short, 1e-2)
