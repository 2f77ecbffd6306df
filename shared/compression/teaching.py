"""A smaller network learns what its parent answers: the same views for both, scores and features to come out alike."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.building.candidates import Candidate
from shared.building.work import Part
from shared.compression import losses
from shared.compression import parent as parents
from shared.compression.parent import Parent
from shared.data import images
from shared.errors import BundleError, ConfigError, Offline
from shared.export import parity
from shared.export.graph import Head
from shared.inference import runtime
from shared.recipe import DEFAULT_BACKBONE, Recipe
from shared.training import head, learning, whole
from shared.training.backbones import FieldNet, torch
from shared.training.features import Extractor, compute
from shared.training.finetune import labels_in_turn
from shared.training.kept_backbone import KeptBackbone
from shared.training.pixels import Pixels
from shared.training.run import FurtherLoss
from shared.training.throughput import BATCH, Plan
from shared.training.tunable import Tunable
from shared.updating.candidate import STRENGTH

WEIGHT = 2.0
"""Of each part of DIST beside cross-entropy, as in Huang et al. for ImageNet."""
FEATURES_WEIGHT = 2.0
"""Of the share of the teacher's variance that the student's features leave unexplained."""
COMPONENTS = 128
"""Principal components of the teacher's features that the student's have to give; noise lies beyond them."""
MAP_RIDGE = 1.0
"""Relative to the variance of the student's features, for the map from those to the components."""
FASTER = 3.0
"""Times a build's learning rate: a cut or narrower network has further to go than one that only adapts (pruned to half
the time: 62.7 instead of 51.7 % on isic_7class, 61.0 instead of 57.3 % on ham10000)."""
MARGIN = 1.3
"""Measured times are believed with this much on top."""
PACKING_SECONDS = 14.0
"""For export, closed form, certificate and the comparison of latencies."""
LEAST_SECONDS = 5.0
_MEASURED, _BATCH = 96, 16
"""Training images on which what can be solved in closed form is solved."""


@dataclass(frozen=True)
class _View:
    """A model's features in a few numbers: standardised, then mapped to the components that matter to the teacher.

    Attributes:
        mean: ``(d,)``.
        deviation: ``(d,)``, the smaller half raised to the median as in :class:`shared.training.tunable.Tunable`.
        map: ``(d, k)``.
    """

    mean: Any
    deviation: Any
    map: Any

    def __call__(self, features: Any) -> Any:
        """``(n, k)`` of features ``(n, d)``."""
        return (features - self.mean) / self.deviation @ self.map


def taught(
    parent: Parent,
    name: str,
    net: FieldNet,
    recipe: Recipe,
    *,
    loss: str,
    epochs: int,
    seconds: float,
    changed: str,
    seed: int,
) -> Candidate:
    """A network that has learnt from its parent, as a candidate with a closed-form head on its features.

    Args:
        parent: The teacher, with the training images.
        name: Of the candidate.
        net: Where the learning starts, in evaluation mode; it is not changed.
        recipe: Names the network's architecture.
        loss: What is added to cross-entropy.
        epochs: Upper limit of passes; the time usually ends it first.
        seconds: Time for all of it, until the candidate has been packed.
        changed: What was done to the network, in words.
        seed: Of the order of the images and of the views.

    Raises:
        ExportError: No exporter agrees with torch about the network.
    """
    until = time.monotonic() + seconds
    part = parent.parts["train"]
    extractor = exported(parent, net, recipe, changed)
    begun = time.monotonic()
    known, _ = compute(extractor, parent.work.manifest, part.rows, threads=parent.work.recipe.threads, until=np.inf)
    rate = len(part.rows) / (time.monotonic() - begun)
    end = until - MARGIN * len(parent.rows) / rate - PACKING_SECONDS
    features = np.stack([known[row.sample.id] for row in part.rows]).astype(np.float64)
    facts = {"epochs": 0.0, "steps": 0, "seconds": 0.0, "loss": loss}
    if end - time.monotonic() > LEAST_SECONDS:
        net, facts = _learnt(parent, net, features, recipe, loss, epochs, end, seed)
        extractor = exported(parent, net, recipe, changed)
    made = parents.refitted(parent, name, extractor, net.image_size, parent.features(extractor))
    # Features that have learnt know the training images, and so do folds over them: the parent says how sure to be.
    wanted = parent.candidate.probabilities(part)
    factor = parents.matching_temperature(made.head.scores(parent.of(made.known)["train"].x), wanted)
    honest = replace(made.head, temperature=made.head.temperature * factor)
    kept = KeptBackbone(net, replace(recipe, image_size=net.image_size))
    return replace(made, head=honest, kept=kept, details={**made.details, "learning": facts})


def exported(parent: Parent, net: FieldNet, recipe: Recipe, changed: str) -> Extractor:
    """A network as an extractor whose origin says what was done.

    Raises:
        ExportError: No exporter agrees with torch.
    """
    model, compared = parity.export(net, parent.pictures)
    weights = str(parent.candidate.extractor.origin["weights"])
    origin = {
        "name": recipe.backbone or DEFAULT_BACKBONE,
        "weights": f"{weights}, {changed}",
        "note": "",
        "stages": list(net.stages),
    }
    digest = hashlib.sha256(model.SerializeToString()).hexdigest()
    return Extractor(model, {**origin, "sha256": digest}, vars(compared) | {"tried": list(compared.tried)}, digest[:24])


def _learnt(
    parent: Parent,
    net: FieldNet,
    features: NDArray[np.float64],
    recipe: Recipe,
    loss: str,
    epochs: int,
    until: float,
    seed: int,
) -> tuple[FieldNet, dict[str, Any]]:
    part = parent.parts["train"]
    start = first_head(parent, features)
    recipe = replace(recipe, seed=seed, threads=parent.work.recipe.threads)
    # A cut or narrower network has to learn in its first layers as much as in its last ones.
    rate = min(1.0, FASTER * recipe.tuning.learning_rate)
    tuning = replace(recipe.tuning, epochs=epochs, layer_decay=1.0, learning_rate=rate)
    plan = Plan(net.image_size, min(BATCH, len(part.rows)), 0.0, epochs, False)
    with learning.threads(recipe), torch.random.fork_rng(devices=[]):
        beside = further(parent, features, loss)
        run = whole.once(net, start, plan, reader(parent, part), part.y, recipe, tuning, 0, until, None, beside)
        made = learning.finished(run, run.progress.average)
    facts = {
        "epochs": round(run.progress.step / run.steps_per_epoch, 1),
        "steps": run.progress.step,
        "loss": loss,
        "why": run.why,
    }
    finite = all(bool(torch.isfinite(value).all()) for value in made.state_dict().values())
    return (made.net, facts) if finite else (net, {**facts, "why": "the loss was no longer a number; nothing was kept"})


def first_head(parent: Parent, features: NDArray[np.float64]) -> Head:
    """The closed form on a student's features of the training images, as strong as the parent's."""
    strength = parent.candidate.details.get("strength", STRENGTH)
    return next(head.ridge(features, parent.parts["train"].y, len(parent.work.labels), [strength]))


def further(parent: Parent, features: NDArray[np.float64], loss: str) -> FurtherLoss | None:
    """What is added to cross-entropy; ``features`` are the student's of the training images, ``(n, d)``."""
    if loss == "none":
        return None
    taught_by = teacher(parent)
    says = answer(parent)
    if loss == "kl":
        return lambda learner, views, scores: losses.plain_divergence(scores, says(taught_by(views)))
    theirs, ours, variance = component_views(parent, features)
    seen: dict[str, Any] = {}

    def both(learner: Tunable, views: Any, scores: Any) -> Any:
        if not seen:  # from now on each forward pass of the backbone leaves its features here
            learner.net.register_forward_hook(lambda net, given, made: seen.update(features=made[0]))
            learner.features(views)
        wanted = taught_by(views)
        left = (ours(seen["features"]) - theirs(wanted)).square().sum(1).mean() / variance
        return WEIGHT * losses.dist(scores, says(wanted)) + FEATURES_WEIGHT * left

    return both


def component_views(parent: Parent, features: NDArray[np.float64]) -> tuple[_View, _View, float]:
    """The teacher's principal components, the student's features mapped to them in closed form, and their variance."""
    theirs = parent.parts["train"].x
    mean, deviation = theirs.mean(0), _deviation(theirs)
    z = (theirs - mean) / deviation
    _, sizes, directions = np.linalg.svd(z, full_matrices=False)
    basis = directions[:COMPONENTS].T
    own_mean, own_deviation = features.mean(0), _deviation(features)
    x = (features - own_mean) / own_deviation
    gram = x @ x.T
    gram.flat[:: len(gram) + 1] += MAP_RIDGE * x.shape[1] / 1000 * len(x)
    mapped = x.T @ np.linalg.solve(gram, z @ basis)
    variance = float((sizes[:COMPONENTS] ** 2).sum() / len(z))

    def view(*parts: NDArray[np.float64]) -> _View:
        return _View(*(torch.tensor(part, dtype=torch.float32) for part in parts))

    return view(mean, deviation, basis), view(own_mean, own_deviation, mapped), variance


def _deviation(features: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = features.std(0)
    raised: NDArray[np.float64] = np.maximum(deviation, max(float(np.median(deviation)), 1e-6))
    return raised


def answer(parent: Parent) -> Callable[[Any], Any]:
    """The parent's scores, divided by its temperature, of its features."""
    own = parent.candidate.head
    weights = own.weights / own.deviation[:, None] / own.temperature
    bias = own.bias / own.temperature - own.mean @ weights
    w, b = (torch.tensor(v, dtype=torch.float32) for v in (weights, bias))
    return lambda features: features @ w + b


def teacher(parent: Parent) -> Callable[[Any], Any]:
    """Features of views ``(n, 3, side, side)``, 0 to 255, by the parent's torch network.

    By its graph where there is none, e.g. because the parent is in whole numbers.
    """
    size = parent.candidate.image_size
    try:
        net, _ = parent.network()
    except (BundleError, ConfigError, Offline):
        session = runtime.session(
            parent.candidate.extractor.model.SerializeToString(), threads=parent.work.recipe.threads
        )

        def of_graph(views: Any) -> Any:
            pixels = _at(views.detach(), size).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
            return torch.from_numpy(session.run(["features"], {"image": pixels.numpy()})[0])

        return of_graph
    knows = Tunable(net, parent.candidate.head).eval().requires_grad_(False)
    knows.to(memory_format=knows.format)

    def of_network(views: Any) -> Any:
        with torch.no_grad():
            return knows.features(_at(views, size))

    return of_network


def _at(views: Any, size: int) -> Any:
    if views.shape[-1] == size:
        return views
    return torch.nn.functional.interpolate(views, (size, size), mode="bilinear", antialias=True, align_corners=False)


def batches(parent: Parent, net: FieldNet) -> list[Any]:
    """Some training images of all labels as a network takes them: normalised ``(n, 3, side, side)`` each."""
    part = parent.parts["train"]
    order = labels_in_turn(part.y, np.random.default_rng(0))[:_MEASURED]
    own = Pixels(reader(parent, part), order, net.image_size)
    shift, spread = (255 * torch.tensor(v).view(1, 3, 1, 1) for v in (net.mean, net.std))
    starts = range(0, len(order), _BATCH)
    return [(own.take(range(i, min(i + _BATCH, len(order)))).float() - shift) / spread for i in starts]


def reader(parent: Parent, part: Part) -> Any:
    """A function that reads image ``i`` of a part."""

    def read(i: int) -> NDArray[np.uint8]:
        sample = part.rows[i].sample
        return images.read(parent.work.manifest.file(sample), window=sample.window)

    return read
