"""Candidates for the bundle: the closed-form head, a searched head, a fine-tuned backbone, each ready to be judged."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.building.work import Part, Vectors, Work, parts, some_pictures
from shared.data import images
from shared.data.manifest import Row
from shared.errors import ExportError
from shared.export import graph
from shared.inference import calibration
from shared.training import features, head

TUNING_SHARE = 5
"""One in so many components of the training images chooses between checkpoints and is not trained on."""
TRIALS = 300


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
    """

    name: str
    extractor: features.Extractor
    image_size: int
    head: graph.Head
    known: Vectors
    inner: float
    about: str
    details: Mapping[str, Any]

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
    """The best head that a search on the same features proposes, or why it proposes none."""
    from shared.training import search
    from shared.training.heads import Choice
    from shared.training.judge import Config, Source

    train = parts(work, rows, base.known)["train"]
    default = Config("frozen", Choice("ridge", base.details["strength"]))
    found = search.search(
        {"frozen": Source(train.x, base.extractor.stages)},
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
        base, name="searched head", head=found.head, inner=found.score, about=str(found.config.choice), details=details
    )


def tuned(work: Work, base: Candidate, rows: Sequence[Row], until: float) -> Candidate | str:
    """The fine-tuned backbone with its head, or why there is none.

    Args:
        work: The build.
        base: The closed-form candidate to start from.
        rows: All usable rows.
        until: ``time.monotonic()`` at which features of all rows must be there.
    """
    from shared.training import backbones, finetune

    train = parts(work, rows, base.known)["train"]
    core = head.folds(train.components, train.y, TUNING_SHARE, work.recipe.seed) != 0
    if len(np.unique(train.y[core])) < len(np.unique(train.y)) or core.all():
        return "left out: some label has too few groups to set any aside for judging checkpoints"
    # The head that was fitted on all training images knows the ones that judge here; this one does not.
    start = next(
        head.ridge(train.x[core], train.y[core], len(work.labels), [base.details["strength"]]),
    )
    start = replace(start, temperature=base.head.temperature)
    net, _ = backbones.create(work.recipe)
    rate = _images_per_second(work, base, train.rows)
    after = 1.3 * len(rows) / rate + 10.0
    folder = work.cache / "tuning"
    made = finetune.finetune(
        net,
        start,
        _reader(work, train.rows),
        train.y,
        ~core,
        work.recipe,
        work.recipe.tuning,
        until=until - after,
        checkpoint=folder / f"{base.extractor.key}-{work.manifest.hash[:16]}",
        say=work.say,
    )
    if made.facts["chosen"] == "start":
        return f"nothing was better than the start on the part set aside; it ended because {made.facts['why']}"
    return _exported(work, base, made, rows, until)


def _exported(work: Work, base: Candidate, made: Any, rows: Sequence[Row], until: float) -> Candidate | str:
    """The tuned network as a graph, and its features of every image: all of them, or it cannot be compared."""
    from shared.export import parity

    pictures = some_pictures(work.manifest, [row for row in rows if row.split == "train"])
    try:
        model, compared = parity.export(made.net, pictures)
    except ExportError as error:
        return str(error)
    origin = {**base.extractor.origin, "weights": f"{base.extractor.origin['weights']}, fine-tuned"}
    extractor = features.Extractor(model, origin, vars(compared) | {"tried": list(compared.tried)}, "")
    usable = [row for row in rows if row.sample.id in base.known]
    known, _ = features.compute(extractor, work.manifest, usable, threads=work.recipe.threads, until=until)
    if len(known) < len(usable):
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
    )


def _reader(work: Work, rows: Sequence[Row]) -> Any:
    def read(i: int) -> NDArray[np.uint8]:
        return images.read(work.manifest.file(rows[i].sample), window=rows[i].sample.window)

    return read


def _images_per_second(work: Work, base: Candidate, rows: Sequence[Row]) -> float:
    """How fast features are computed right now, on a few images."""
    few = rows[:8]
    started = time.monotonic()
    features.compute(base.extractor, work.manifest, few, threads=work.recipe.threads, until=started + 10)
    return len(few) / (time.monotonic() - started)
